//! Who may open a lake, and what its readers see.

use std::sync::Arc;

use tidegauge_flow::{NoFailpoint, Place, Store};

use super::*;
use crate::generation::LaneMode;
use crate::testing::{LANE, MemoryStore, NOW_US, StopAt, identity, live, open, open_with, writer};

#[test]
fn another_pipeline_is_refused_and_told_what_differs() {
    let store = MemoryStore::new();
    open(&store);
    type Change = fn(&mut Identity);
    let changes: [(Change, &str); 6] = [
        (|i| i.query = "SELECT 2".to_owned(), "query: SELECT 1 -> SELECT 2;"),
        (|i| i.lanes = LaneMode::Topic, "lanes: per-partition -> topic;"),
        (|i| i.time = "At".to_owned(), "time: TS -> At;"),
        (|i| i.counted_once = false, "each reading in one row: yes -> no;"),
        (
            |i| i.schema = Arc::new(i.schema.project(&[0, 1]).expect("fewer columns")),
            "columns: revision int64, n_readings uint64 -> none;",
        ),
        (
            |i| i.schema = Arc::new(i.schema.project(&[1, 0, 2, 3]).expect("the same columns")),
            "columns: Device int64, window_end timestamp_us, revision int64, n_readings uint64 \
             -> window_end timestamp_us, Device int64, revision int64, n_readings uint64;",
        ),
    ];
    for (change, expected) in changes {
        let mut other = identity();
        change(&mut other);
        let lake = Lake::open(Arc::<MemoryStore>::clone(&store), Arc::new(NoFailpoint), &other, 5);
        let text = lake.expect_err("it is another pipeline").to_string();
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("use another [lake] url"), "{text}");
    }
    assert_eq!(store.paths("").len(), 1, "nothing was written");
}

#[test]
fn the_same_query_with_other_line_ends_opens_the_lake_again() {
    let store = MemoryStore::new();
    open(&store);
    let same = Identity { query: "\r\nSELECT 1 \r\n".to_owned(), ..identity() };
    let lake = Lake::open(Arc::<MemoryStore>::clone(&store), Arc::new(NoFailpoint), &same, 5);
    let lake = lake.expect("it is the same pipeline");
    assert_eq!(lake.reader().generation().created_at_us, NOW_US, "the first one counts");
}

#[test]
fn a_place_without_a_lake_is_not_read() {
    let store = MemoryStore::new();
    let read = Lake::read(Arc::<MemoryStore>::clone(&store)).map(|_| ());
    assert!(matches!(read, Err(LakeError::NotALake { .. })), "{read:?}");
    assert!(matches!(crate::verify(store.as_ref(), &|_, _| ()), Err(LakeError::NotALake { .. })));
}

#[test]
fn a_ledger_without_its_generation_is_not_built_upon() {
    let store = MemoryStore::new();
    live(&open(&store), writer(1), 1).expect("nothing disturbs it");
    let path = paths::generation_path(1);
    store.delete(&path).expect("it goes");
    let refused = open_with(&store, Arc::new(NoFailpoint)).expect_err("nobody knows the query");
    assert!(refused.to_string().contains(&path), "{refused}");
    let report = crate::verify(store.as_ref(), &|_, _| ()).expect("there is a ledger");
    assert!(report.problems.iter().any(|p| p.what.contains("there is no generation")));
}

#[test]
fn readers_see_what_the_ledger_names_and_nothing_else() {
    let store = MemoryStore::new();
    let dying = open_with(&store, StopAt::new(Place::AfterLedger, 2)).expect("it opens");
    live(&dying, writer(1), 1).expect_err("it dies with its record written");
    let stray = "predictions/date=2026-02-01/part-0.parquet";
    store.put(stray, b"?").expect("the store takes it");

    let reader = Lake::read(Arc::<MemoryStore>::clone(&store)).expect("a lake");
    assert_eq!(reader.lanes().expect("a lane"), [LANE]);
    assert_eq!(reader.records(LANE).expect("whole").len(), 3);
    assert_eq!(reader.records("nobody").expect("none"), []);
    let files = reader.files(Table::Predictions).expect("whole");
    assert_eq!(files.len(), 3, "one of the first epoch, two dates of the second");
    for file in &files {
        assert_eq!(
            file.rows,
            crate::parquet::rows(reader.fetch(file).expect("whole")).expect("ok")
        );
        assert_ne!(file.path, stray);
    }
    assert!(reader.records("a/b").is_err());
    store.edit(&files[0].path, |bytes| bytes[9] ^= 1);
    assert!(matches!(reader.fetch(&files[0]), Err(LakeError::Damaged { .. })));
}

#[test]
fn a_missing_record_is_damage_not_the_end_of_the_ledger() {
    let store = MemoryStore::new();
    let lake = open(&store);
    live(&lake, writer(1), 1).expect("nothing disturbs it");
    store.delete(&paths::record_path(LANE, 3)).expect("it goes");
    let text = lake.reader().records(LANE).expect_err("epoch 3 is gone").to_string();
    assert!(text.contains(&paths::record_path(LANE, 3)), "{text}");
}
