//! Every kind of damage is found and named; a whole lake has no problem.

mod events;
mod new;
mod sensors;
mod summarised;

use std::cell::RefCell;
use std::sync::Arc;

use tidegauge_flow::{NoFailpoint, Place, Store};

use super::*;
use crate::record::{Record, Table};
use crate::testing::{
    LANE, MemoryStore, NOW_US, STEP, StopAt, cut, identity, live, open, open_with, predictions,
    rewrite, writer,
};
use crate::{Counters, Cut, Identity, Lake, paths};

fn whole() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    live(&open(&store), writer(1), 1).expect("nothing disturbs it");
    store
}

fn report(store: &MemoryStore) -> Report {
    verify(store, &|_, _| ()).expect("the lake can be read")
}

fn assert_found(store: &MemoryStore, path: &str, what: &str) {
    let report = report(store);
    let found = |p: &Problem| p.path == path && p.what.contains(what);
    assert!(report.problems.iter().any(found), "{path}: {what}: {:#?}", report.problems);
    assert!(!report.is_clean());
}

#[test]
fn a_whole_lake_is_proven_and_progress_is_told() {
    let store = whole();
    let told = RefCell::new(Vec::new());
    let report = verify(store.as_ref(), &|done, total| told.borrow_mut().push((done, total)));
    let report = report.expect("a lake");
    assert!(report.is_clean() && report.notes.is_empty(), "{report:#?}");
    assert_eq!((report.lanes, report.records, report.files), (1, 5, 13));
    assert_eq!((report.rows, report.readings), (8, 36));
    assert_eq!(*told.borrow(), (1..=13).map(|done| (done, 13)).collect::<Vec<_>>());
}

#[test]
fn each_file_that_is_missing_changed_or_added_is_named() {
    let paths = whole();
    for table in Table::ALL {
        for path in paths.paths(table.folder()) {
            let store = whole();
            store.edit(&path, |bytes| bytes[20] ^= 1);
            assert_found(&store, &path, "its sha256 is");
            store.edit(&path, Vec::clear);
            assert_found(&store, &path, "it has 0 bytes");
            store.delete(&path).expect("it goes");
            assert_found(&store, &path, "it is missing");
        }
    }
    let store = whole();
    let added = "late/date=2026-01-31/part-0.parquet";
    store.put(added, b"?").expect("the store takes it");
    assert_found(&store, added, "no record names it");
}

#[test]
fn each_record_that_is_edited_or_missing_is_named() {
    for path in whole().paths(LEDGER) {
        let store = whole();
        store.edit(&path, |bytes| {
            let at = bytes.len() - 5;
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        });
        assert_found(&store, &path, "its digest does not fit its body");
        store.edit(&path, |bytes| bytes.truncate(9));
        assert_found(&store, &path, "it is not {");
    }
    for epoch in 1..5 {
        let store = whole();
        store.delete(&paths::record_path(LANE, epoch)).expect("it goes");
        let next = paths::record_path(LANE, epoch + 1);
        assert_found(&store, &next, "some are missing");
        let store = whole();
        rewrite(&store, epoch, |record| record.committed_at_us += 1);
        assert_found(&store, &next, "the record before it is not the one it followed");
    }
    let store = whole();
    let stray = format!("{LEDGER}{LANE}/6.json");
    store.put(&stray, b"?").expect("the store takes it");
    assert_found(&store, &stray, "its name is not a record's");
}

#[test]
fn a_record_that_tells_another_story_is_named() {
    type Change = fn(&mut Record);
    let newest: [(Change, &str); 15] = [
        (
            |r| r.positions.values_mut().for_each(|s| s.from += 1),
            "offsets 30 to 31 are in no record",
        ),
        (|r| r.positions.values_mut().for_each(|s| s.from -= 1), "an overlap"),
        (|r| r.positions.clear(), "is missing, the record before it ends at 30"),
        (|r| r.watermark_ns = None, "the watermark goes back"),
        (|r| r.writer = writer(9), "commits and the lane was taken by"),
        (|r| r.recovered = 3, "it says that its writer took the lane at 3"),
        (|r| r.generation = 2, "it has generation 2 and the lake 1"),
        (|r| r.lane = "other".to_owned(), "it says it is of lane other epoch 5"),
        (|r| r.counters.messages += 1, "messages are not"),
        (|r| r.counters.rows += 1, "it counts 3 rows of predictions and its files have 2"),
        (|r| r.counters.n_readings += 1, "n_readings sums to"),
        (|r| r.counters.open += 1, "so far 28 readings were aggregated"),
        (|r| r.counters.superseded += 1, "of which 1 in rows that were revised"),
        (|r| r.counters.late_arrival += 1, "1 late readings are not 1 with closed windows, 1 by"),
        (|r| r.counters.late = 0, "it counts 0 late readings and keeps 1"),
    ];
    for (change, what) in newest {
        let store = whole();
        let path = rewrite(&store, 5, change);
        assert_found(&store, &path, what);
    }
    let store = whole();
    let path = rewrite(&store, 1, |r| r.counters.messages = 1);
    assert_found(&store, &path, "it takes the lane and commits readings as well");
    let state = whole().paths("_tidegauge/state/").pop().expect("there is one");
    let store = whole();
    store.delete(&state).expect("it goes");
    assert_found(&store, &state, "it is missing");
}

#[test]
fn a_file_entry_that_does_not_fit_its_file_is_named() {
    let path = whole().paths("predictions/").pop().expect("there is one");
    type Change = fn(&mut Record);
    let changes: [(Change, &str); 3] = [
        (|r| r.files[0].rows += 1, "it has 2 rows and its record says 3"),
        (|r| r.files[0].window_end_us = None, "its record says None"),
        (|r| r.epoch = 4, "its name is not of lane"),
    ];
    for (change, what) in changes {
        let store = whole();
        rewrite(&store, 5, change);
        assert_found(&store, &path, what);
    }
    let store = whole();
    rewrite(&store, 5, |r| r.files.push(r.files[0].clone()));
    assert_found(&store, &path, "two entries of the ledger name it");
}

#[test]
fn a_row_that_is_there_twice_is_named_also_across_lanes() {
    let store = MemoryStore::new();
    let lake = open(&store);
    for (seed, lane) in [(1, "a"), (2, "b")] {
        let mut lane = lake.take(lane, writer(seed), NOW_US).expect("free");
        lane.commit(cut(0, 1), NOW_US).expect("in order");
    }
    let paths = store.paths("predictions/");
    assert_found(&store, &paths[1], "2 of its rows are there twice, as sensor 1 at");
    assert_found(&store, &paths[1], &paths[0]);

    let store = MemoryStore::new();
    let mut lane = open(&store).take(LANE, writer(1), NOW_US).expect("free");
    let rows = predictions(&[(1, 5, 1), (2, 5, 1), (1, 5, 1)]);
    let counters = Counters {
        messages: 3,
        readable: 3,
        aggregated: 3,
        rows: 3,
        n_readings: 3,
        ..Counters::default()
    };
    let tables = vec![(Table::Predictions, vec![rows])];
    lane.commit(Cut { tables, counters, ..Cut::default() }, NOW_US).expect("in order");
    let path = store.paths("predictions/").remove(0);
    assert_found(&store, &path, "1 of its rows are there twice");
    assert_found(&store, &path, "sensor 1 at 1970-01-01T00:00:00.000005Z revision 0 in this file");
}

#[test]
fn readings_need_not_add_up_where_windows_overlap() {
    let store = MemoryStore::new();
    let hopping = Identity { counted_once: false, ..identity() };
    let shared = Arc::<MemoryStore>::clone(&store);
    let lake = Lake::open(shared, Arc::new(NoFailpoint), &hopping, NOW_US).expect("it opens");
    let mut lane = lake.take(LANE, writer(1), NOW_US).expect("free");
    let mut twice = cut(0, 1);
    twice.counters.open += 100;
    lane.commit(twice, NOW_US).expect("in order");
    assert_eq!(report(&store).problems, []);
}

#[test]
fn a_pipeline_in_the_middle_of_publishing_is_a_note_and_not_a_problem() {
    let store = MemoryStore::new();
    let dying = open_with(&store, StopAt::new(Place::MidPublish, 5)).expect("it opens");
    live(&dying, writer(1), 1).expect_err("it dies while publishing");
    let found = report(&store);
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!(found.notes.len(), 2, "{found:#?}");
    assert!(found.notes.iter().all(|note| note.what.contains("not published yet")));
    let mut lane = open(&store).take(LANE, writer(2), NOW_US).expect("free");
    lane.commit(cut(2 * STEP, 2), NOW_US).expect("in order");
    assert_eq!(report(&store).notes, []);
}

#[test]
fn a_store_that_fails_in_the_middle_is_a_problem_and_the_rest_is_still_read() {
    let store = whole();
    // The lake has to be listed first; from the 12th call on one object is read at a time.
    for n in 12..25 {
        store.fail_at(n, crate::testing::Fault::LoseRequest, None);
        let found = report(&store);
        assert!(!store.is_armed() && !found.is_clean());
        assert_eq!(found.records, 5);
    }
}
