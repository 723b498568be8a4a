//! Epochs in flight, and lanes that go while there is one.

use std::time::Duration;

use tidegauge::control::OpenWindows;
use tidegauge_ingest::Revoked;

use super::{Bench, reading};

const S: Duration = Duration::from_secs(1);

#[test]
fn fm_15_a_lane_goes_on_while_its_epoch_is_written_and_the_next_waits_for_it() {
    let bench = Bench::new(1, &[]);
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    process.turns(1, S);
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    bench.gate.shut();
    process.turns(2, S);
    assert_eq!(bench.gate.waiting(), 1);
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    process.turns(5, S);
    assert_eq!(bench.gate.waiting(), 1, "the next epoch is not cut before this one is written");
    assert_eq!(process.metric("tidegauge_ingest_messages_total"), 20.0, "the lane has gone on");
    assert_eq!(bench.messages(0), 0);
    bench.gate.open();
    process.turns(4, S);
    assert_eq!(bench.messages(0), 20);
    bench.prove();
}

#[test]
fn fm_15_when_an_epoch_fails_what_was_read_after_its_cut_is_read_again() {
    let bench = Bench::new(1, &[]);
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    process.turns(1, S);
    bench.gate.shut();
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    process.turns(2, S);
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    process.turns(2, S);
    bench.store.break_writes("t-0", std::io::ErrorKind::TimedOut);
    bench.gate.open();
    bench.store.heal();
    process.turns(10, S);
    assert_eq!(bench.messages(0), 20);
    assert_eq!(process.metric("tidegauge_ingest_messages_total"), 40.0, "all of it was read twice");
    bench.prove();
}

#[test]
fn fm_36_a_revoke_waits_for_the_epoch_in_flight_and_commits_the_rest() {
    let bench = Bench::new(2, &[]);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    for partition in 0..2 {
        bench.topic.publish(partition, (0..10).map(|second| reading(second, 1 + partition as i64)));
    }
    process.turns(2, S);
    for partition in 0..2 {
        bench
            .topic
            .publish(partition, (10..15).map(|second| reading(second, 1 + partition as i64)));
    }
    process.turns(1, Duration::ZERO);
    process.group.revoke(&[0], Revoked::Orderly);
    process.turns(1, Duration::ZERO);
    assert_eq!(bench.messages(0), 15, "all that was read is committed before the lane goes");
    process.worker.end(OpenWindows::Leave).expect("ends");
    assert_eq!(bench.messages(1), 15);
    bench.prove();
}

#[test]
fn fm_36_a_revoke_past_its_deadline_drops_the_lane_and_the_next_owner_reads_again() {
    let bench = Bench::new(1, &["source.drain_within=200ms"]);
    let mut old = bench.process(1);
    old.group.assign(&[0]);
    old.turns(1, S);
    bench.gate.shut();
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    old.turns(2, S);
    old.group.revoke(&[0], Revoked::Orderly);
    old.turns(1, S);
    assert_eq!(old.metric("tidegauge_lanes_dropped_total"), 1.0);
    assert_eq!(bench.messages(0), 0);
    // The old write is still under way. The new owner takes the lane, and only then it lands.
    let late = std::mem::take(&mut *bench.gate.waiting.lock().expect("unharmed"));
    bench.gate.open();
    let mut new = bench.process(2);
    new.group.assign(&[0]);
    new.turns(1, Duration::ZERO);
    late.into_iter().for_each(|(work, _)| work());
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    new.turns(4, S);
    assert_eq!(bench.messages(0), 20, "the late write has not counted");
    bench.prove();
}

#[test]
fn fm_36_a_lost_partition_is_dropped_without_a_commit() {
    let bench = Bench::new(1, &[]);
    let mut old = bench.process(1);
    old.group.assign(&[0]);
    old.turns(1, Duration::ZERO);
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    old.turns(1, Duration::ZERO);
    let before = bench.records(0).len();
    old.group.revoke(&[0], Revoked::Lost);
    old.turns(1, Duration::ZERO);
    assert_eq!(bench.records(0).len(), before);
    let mut new = bench.process(2);
    new.group.assign(&[0]);
    new.turns(3, S);
    assert_eq!(bench.messages(0), 10);
    bench.prove();
}

#[test]
fn fm_24_a_process_that_slept_for_an_hour_cannot_commit() {
    let bench = Bench::new(1, &[]);
    let mut sleeper = bench.process(1);
    sleeper.group.assign(&[0]);
    sleeper.turns(1, Duration::ZERO);
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    sleeper.turns(1, Duration::ZERO);
    let mut other = bench.process(2);
    other.group.assign(&[0]);
    bench.clock.pass(3600 * S);
    other.turns(3, S);
    bench.topic.publish(0, (10..20).map(|second| reading(second, 1)));
    // It wakes with ten readings in hand and a commit that is long due; then it hears of the group.
    sleeper.turns(1, Duration::ZERO);
    sleeper.group.revoke(&[0], Revoked::Lost);
    sleeper.turns(1, S);
    assert_eq!(sleeper.metric("tidegauge_sink_commits_total"), 0.0);
    other.turns(20, S);
    assert_eq!(bench.messages(0), 20);
    bench.prove();
}
