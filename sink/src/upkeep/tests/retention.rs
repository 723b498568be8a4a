//! What is deleted because of its age, and that the proof knows of it.

use std::collections::BTreeMap;

use tidegauge_flow::Store;

use crate::paths::{LEDGER, SUMMARIES};
use crate::testing::plant::{
    HOUR_US, START_US, committed_us, counted, go_on, maintain, plant, produce, proof, upkeep,
};
use crate::testing::{MemoryStore, writer};
use crate::{Lane, Table, Upkeep};

const DAY_US: i64 = 24 * HOUR_US;

#[test]
fn rows_too_old_go_with_their_date_and_the_proof_counts_them() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 13);
    let keep_us = BTreeMap::from([(Table::Predictions, DAY_US), (Table::Rejects, 2 * DAY_US)]);
    let some = Upkeep { keep_us, ..upkeep() };
    // The end of January and a day: its predictions go; the rejects of that day stay one day longer.
    let january_ends = START_US + 2 * HOUR_US;
    let done = maintain(&lake, &some, 1, january_ends + DAY_US).expect("it runs");
    assert_eq!(done.expired_rows, 2 * 3 * 11, "eleven steps of both lanes");
    let report = proof(store.as_ref());
    assert_eq!((report.problems.as_slice(), report.expired), (&[][..], 66));
    let left = counted(&lake);
    assert_eq!(left.iter().filter(|row| row.starts_with("predictions")).count(), 2 * 3 * 2);
    assert_eq!(left.iter().filter(|row| row.starts_with("late")).count(), 26, "kept for ever");
    let done = maintain(&lake, &some, 2, january_ends + 10 * DAY_US).expect("it runs");
    assert_eq!(done.expired_rows, 12 + 26);
    let report = proof(store.as_ref());
    assert_eq!((report.problems.as_slice(), report.expired), (&[][..], 104));
    maintain(&lake, &some, 3, january_ends + 11 * DAY_US).expect("it runs");
    assert_eq!(store.paths("predictions/"), [""; 0]);
    assert_eq!(proof(store.as_ref()).problems, []);
    // A lane goes on in a lake that has forgotten its rows.
    let mut lanes: Vec<Lane> = (0..2)
        .map(|n| lake.take(&format!("t-{n}"), writer(30 + n), committed_us(13)).expect("free"))
        .collect();
    go_on(&mut lanes, 13, 15);
    assert_eq!(proof(store.as_ref()).problems, []);
}

#[test]
fn rows_that_are_gone_and_were_not_too_old_are_a_loss() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 13);
    maintain(&lake, &upkeep(), 1, committed_us(13) + 2 * HOUR_US).expect("it runs");
    let file = store.paths("predictions/date=2026-02-01/c").remove(0);
    store.delete(&file).expect("it goes");
    let report = proof(store.as_ref());
    assert!(report.problems.iter().any(|p| p.path == file && p.what == "it is missing"));
}

#[test]
fn records_and_summaries_stay_few_over_many_runs() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    let mut lanes: Vec<Lane> = (0..2)
        .map(|n| lake.take(&format!("t-{n}"), writer(900 + n), START_US).expect("free"))
        .collect();
    let mut most = (0, 0);
    for step in 0..160 {
        go_on(&mut lanes, step, step + 1);
        maintain(&lake, &upkeep(), 1000 + step as u64, committed_us(step)).expect("it runs");
        let files: usize = Table::ALL.iter().map(|t| store.paths(t.folder()).len()).sum();
        most = (most.0.max(store.paths(LEDGER).len()), most.1.max(files));
        assert!(store.paths(SUMMARIES).len() <= 3);
    }
    // An hour of records; of 36 files an hour those of three hours, and a file for each hour and table.
    assert!(most.0 <= 2 * 8 && most.1 <= 3 * 36 + 24 * 3, "{most:?}");
    let report = proof(store.as_ref());
    assert_eq!(report.problems, []);
    assert_eq!((report.rows, report.readings), (2 * 3 * 160, 2 * 7 * 160));
    assert_eq!(report.records, 2 * 161);
    assert!(report.records_read <= 16, "{}", report.records_read);
}

#[test]
fn maintenance_without_compaction_summarises_all_the_same() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 13);
    let rows = counted(&lake);
    let plain = Upkeep { compact: false, ..upkeep() };
    let done = maintain(&lake, &plain, 1, committed_us(12) + 3 * HOUR_US).expect("it runs");
    assert_eq!((done.made, done.deleted_records), (0, 26));
    assert_eq!(counted(&lake), rows);
    assert_eq!(proof(store.as_ref()).problems, []);
    // Files whose records are gone are still known to whoever takes the lane.
    lake.take("t-0", writer(5), committed_us(13)).expect("free");
    assert_eq!(counted(&lake), rows);
}
