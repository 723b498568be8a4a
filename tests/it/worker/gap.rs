//! What a lane would read next is not to be had.

use std::time::Duration;

use tidegauge::clock::Clock;
use tidegauge_sink::{Jump, JumpReason, Record};

use super::{Bench, TOPIC, reading};

const S: Duration = Duration::from_secs(1);
const SKIP: &[&str] = &["source.on_gap=skip"];

/// A lane that has read and committed ten readings, and its process has gone.
fn ten(settings: &[&str]) -> Bench {
    let bench = Bench::new(1, settings);
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    process.turns(3, S);
    assert_eq!(bench.messages(0), 10);
    bench
}

fn jumps(records: &[Record]) -> Vec<(i64, i64, JumpReason)> {
    let jumps = records.iter().flat_map(|record| &record.jumps);
    jumps.map(|Jump { from, to, why, .. }| (*from, *to, *why)).collect()
}

#[test]
fn fm_32_retention_that_overtook_us_stops_the_process_and_says_what_to_do() {
    let bench = ten(&[]);
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    bench.topic.delete_below(0, 15);
    let mut process = bench.process(2);
    process.group.assign(&[0]);
    let said = process.fails(5 * S);
    for part in ["t[0]", "offset 10", "15 or later", "5 messages", "on_gap = \"skip\""] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

#[test]
fn fm_32_retention_that_overtook_us_is_skipped_and_the_ledger_says_so() {
    let bench = ten(SKIP);
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    bench.topic.delete_below(0, 15);
    let mut process = bench.process(2);
    process.group.assign(&[0]);
    process.turns(3, S);
    assert_eq!(jumps(&bench.records(0)), [(10, 15, JumpReason::Retention)]);
    assert_eq!(process.metric("tidegauge_ingest_skipped_offsets_total"), 5.0);
    assert_eq!(bench.messages(0), 15);
    bench.prove();
}

#[test]
fn fm_32_retention_that_overtakes_a_running_lane_costs_nothing_that_was_read() {
    let bench = Bench::new(1, SKIP);
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    // Read, not committed.
    process.turns(1, Duration::ZERO);
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    bench.topic.delete_below(0, 15);
    process.turns(6, S);
    assert_eq!(jumps(&bench.records(0)), [(10, 15, JumpReason::Retention)]);
    assert_eq!(bench.messages(0), 15, "ten before, five after");
    bench.prove();
}

#[test]
fn fm_38_a_topic_made_anew_is_told_by_its_id_though_the_position_fits() {
    let bench = ten(&[]);
    bench.topic.recreate("second");
    bench.topic.publish(0, (10..30).map(|second| reading(second, 1)));
    let mut process = bench.process(2);
    process.group.assign(&[0]);
    let said = process.fails(5 * S);
    for part in ["t[0]", "made anew", "offset 10", "begins at 0", "on_gap = \"skip\""] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

#[test]
fn fm_38_a_topic_made_anew_is_read_from_its_beginning() {
    let bench = ten(SKIP);
    bench.topic.recreate("second");
    bench.topic.publish(0, (10..30).map(|second| reading(second, 1)));
    let mut process = bench.process(2);
    process.group.assign(&[0]);
    process.turns(4, S);
    let records = bench.records(0);
    assert_eq!(jumps(&records), [(10, 0, JumpReason::Recreated)]);
    let ids: Vec<_> = records.iter().filter_map(|record| record.inputs.get(TOPIC)).collect();
    assert_eq!((ids[0].as_str(), ids[ids.len() - 1].as_str()), ("first", "second"));
    assert_eq!(bench.messages(0), 30);
    bench.prove();
}

/// Makes the topic of a running lane anew, after `prepare`.
fn made_anew_under_a_lane(prepare: impl FnOnce(&Bench)) {
    let bench = ten(SKIP);
    let mut process = bench.process(2);
    process.group.assign(&[0]);
    process.turns(2, S);
    prepare(&bench);
    bench.topic.recreate("second");
    bench.topic.publish(0, (10..30).map(|second| reading(second, 1)));
    process.turns(8, S);
    assert_eq!(jumps(&bench.records(0)), [(10, 0, JumpReason::Recreated)]);
    assert_eq!(bench.messages(0), 30);
    bench.prove();
}

#[test]
fn fm_38_a_topic_made_anew_under_a_running_lane_is_noticed() {
    made_anew_under_a_lane(|_| {});
}

#[test]
fn fm_38_what_was_seen_before_a_lane_was_opened_says_nothing_of_it() {
    // It is noticed by the question of a commit.
    made_anew_under_a_lane(|bench| bench.topic.look_no_more(bench.clock.instant()));
}

#[test]
fn fm_35_a_tail_of_poison_is_passed_once_and_not_read_again() {
    let bench = ten(&[]);
    bench.topic.publish(0, (0..5).map(|n| format!("poison {n}")));
    let mut process = bench.process(2);
    process.group.assign(&[0]);
    process.turns(3, S);
    drop(process);
    let mut again = bench.process(3);
    again.group.assign(&[0]);
    again.turns(3, S);
    assert_eq!(again.metric("tidegauge_ingest_messages_total"), 0.0, "nothing is read again");
    let records = bench.records(0);
    let rejected: u64 = records.iter().map(|record| record.counters.rejected).sum();
    assert_eq!((bench.messages(0), rejected), (15, 5));
    let last = records.last().expect("records");
    assert_eq!(last.next_positions().values().copied().collect::<Vec<_>>(), [15]);
    bench.prove();
}
