//! A store that fails in between.

use super::*;

#[test]
fn a_record_that_cannot_be_read_is_told_each_time_and_the_lake_is_never_empty_because_of_it() {
    let mut bench = Bench::new(&[]);
    let mut lane = bench.lane();
    let now_us = (START_S + 200) * S_US;
    story(&mut bench, &mut lane, now_us);
    // All records are in a summary then; the lane's newest one stays beside it.
    bench.maintain(now_us + 3 * 86_400 * S_US);
    let folder = bench.folder.path().join("lake/_tidegauge/ledger/t-0");
    let records = std::fs::read_dir(&folder).expect("the lane's records");
    let newest = records.map(|entry| entry.expect("an entry").path()).max().expect("a record");
    let hidden = bench.folder.path().join("hidden");
    std::fs::rename(&newest, &hidden).expect("it goes");

    let console = bench.console();
    for _ in 0..3 {
        let error = console.overview().expect_err("a record is missing");
        assert!(matches!(error, ConsoleError::Unavailable(_)), "{error}");
    }
    std::fs::rename(&hidden, &newest).expect("it comes back");
    let overview = console.overview().expect("answers");
    assert_eq!((overview.sensors, overview.messages, overview.lanes), (5, 200, 1));
}
