//! One lane over all partitions of a topic.

use std::time::Duration;

use tidegauge_ingest::Revoked;

use super::{Bench, reading};

const S: Duration = Duration::from_secs(1);
const LANE: &str = "t-all";

fn messages(bench: &Bench) -> u64 {
    bench.records_of(LANE).iter().map(|record| record.counters.messages).sum()
}

fn n_readings(bench: &Bench) -> u64 {
    bench.records_of(LANE).iter().map(|record| record.counters.n_readings).sum()
}

#[test]
fn fm_04_a_silent_partition_holds_the_lane_of_a_topic_back_only_until_it_is_proven_silent() {
    let bench = Bench::new(3, &["source.lanes=topic", "window.idle_after=3s"]);
    // One sensor in turns over two partitions; the third never has anything.
    for partition in 0..2 {
        let seconds = (0..40).filter(|second| second % 2 == partition);
        bench.topic.publish(partition as usize, seconds.map(|second| reading(second, 1)));
    }
    let mut process = bench.process(1);
    process.group.assign(&[0, 1, 2]);
    process.turns(2, S);
    assert_eq!(n_readings(&bench), 0, "nobody knows yet what the third may say");
    process.turns(8, S);
    assert_eq!(messages(&bench), 40);
    assert!(n_readings(&bench) >= 30, "{}", n_readings(&bench));
    let late: u64 = bench.records_of(LANE).iter().map(|record| record.counters.late).sum();
    assert_eq!(late, 0, "what is read from one partition first makes the others not late");
    assert_eq!(bench.records_of(LANE).last().expect("records").positions.len(), 3);
    bench.prove();
}

#[test]
fn fm_37_the_lane_of_a_topic_goes_as_a_whole_and_takes_new_partitions_in() {
    let bench = Bench::new(3, &["source.lanes=topic", "window.idle_after=3s"]);
    let publish = |partition: usize, from: i64| {
        bench.topic.publish(partition, (from..from + 10).map(|second| reading(second, 1)));
    };
    (0..2).for_each(|partition| publish(partition, 0));
    let mut first = bench.process(1);
    first.group.assign(&[0, 1]);
    first.turns(3, S);
    publish(2, 10);
    first.group.assign(&[2]);
    first.turns(3, S);
    assert_eq!(messages(&bench), 30);
    first.group.revoke(&[0, 1, 2], Revoked::Orderly);
    first.turns(1, S);
    let mut second = bench.process(2);
    second.group.assign(&[0, 1, 2]);
    (0..3).for_each(|partition| publish(partition, 20));
    second.turns(8, S);
    assert_eq!(messages(&bench), 60);
    bench.prove();
}

#[test]
fn fm_29_the_lane_of_a_topic_goes_back_on_all_its_partitions() {
    let bench = Bench::new(2, &["source.lanes=topic"]);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    process.turns(1, S);
    for partition in 0..2 {
        bench.topic.publish(partition, (0..10).map(|second| reading(second, 1)));
    }
    bench.store.break_writes("t-all", std::io::ErrorKind::TimedOut);
    process.turns(4, S);
    bench.store.heal();
    process.turns(30, S);
    assert_eq!(messages(&bench), 20);
    bench.prove();
}
