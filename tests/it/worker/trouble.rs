//! One lane's trouble is neither another lane's nor the process's end, unless it lasts.

use std::io::ErrorKind;
use std::time::Duration;

use super::{Bench, reading};

const S: Duration = Duration::from_secs(1);

/// Two lanes with some readings each, being read.
fn two_lanes(settings: &[&str]) -> Bench {
    let bench = Bench::new(2, settings);
    for partition in 0..2 {
        let id = partition as i64 + 1;
        bench.topic.publish(partition, (0..20).map(|second| reading(second, id)));
    }
    bench
}

#[test]
fn fm_29_a_lane_whose_store_fails_for_a_while_reads_again_and_the_other_goes_on() {
    let bench = two_lanes(&[]);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    process.turns(4, S);
    let (before, others) = (bench.records(0).len(), bench.messages(1));
    bench.store.break_writes("t-0", ErrorKind::TimedOut);
    for partition in 0..2 {
        bench
            .topic
            .publish(partition, (20..40).map(|second| reading(second, partition as i64 + 1)));
    }
    process.turns(8, S);
    assert_eq!(bench.records(0).len(), before, "nothing can be written of lane 0");
    assert_eq!(bench.messages(1), others + 20, "lane 1 has not waited for it");
    assert_eq!(process.metric("tidegauge_lanes_waiting"), 1.0);
    assert!(process.metric("tidegauge_lanes_dropped_total") > 0.0);
    bench.store.heal();
    bench.topic.publish(0, (40..50).map(|second| reading(second, 1)));
    process.turns(40, S);
    assert_eq!((bench.messages(0), bench.messages(1)), (50, 40), "each message counts once");
    assert_eq!(process.metric("tidegauge_lanes_waiting"), 0.0);
    bench.prove();
}

#[test]
fn fm_29_trouble_that_lasts_longer_than_it_may_ends_the_process() {
    let bench = two_lanes(&["source.retry_for=20s"]);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    process.turns(2, S);
    bench.store.break_writes("t-0", ErrorKind::ConnectionReset);
    let said = process.fails(100 * S);
    assert!(said.contains("source.retry_for (20s)") && said.contains("injected"), "{said}");
}

#[test]
fn fm_27_a_full_disk_is_no_passing_trouble() {
    let bench = two_lanes(&[]);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    bench.store.break_writes("t-0", ErrorKind::StorageFull);
    let said = process.fails(5 * S);
    assert!(said.contains("injected") && !said.contains("retry_for"), "{said}");
    bench.store.heal();
    let mut next = bench.process(2);
    next.group.assign(&[0, 1]);
    next.turns(4, S);
    assert_eq!((bench.messages(0), bench.messages(1)), (20, 20));
    bench.prove();
}

#[test]
fn fm_24_a_lane_that_another_took_is_let_go_and_opened_again_when_it_is_still_ours() {
    let bench = two_lanes(&[]);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    process.turns(2, S);
    // Another process believes for a moment that lane 0 is its own.
    let mut intruder = bench.process(2);
    intruder.group.assign(&[0]);
    intruder.turns(1, Duration::ZERO);
    bench.topic.publish(0, (20..30).map(|second| reading(second, 1)));
    process.turns(12, S);
    assert!(process.metric("tidegauge_lanes_dropped_total") >= 1.0);
    bench.topic.publish(0, (30..40).map(|second| reading(second, 1)));
    process.turns(12, S);
    assert_eq!((bench.messages(0), bench.messages(1)), (40, 20));
    bench.prove();
}
