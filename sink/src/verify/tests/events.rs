//! Anomaly events that cannot be, and that they survive compaction and age.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use tidegauge_flow::{Store, names};

use super::{assert_found, report};
use crate::paths::CompactFile;
use crate::record::Table;
use crate::testing::plant::{
    HOUR_US, START_US, committed_us, counted, maintain, plant, step_of, upkeep,
};
use crate::testing::{MemoryStore, writer};
use crate::{Lake, LakeError, Lane, Upkeep};

fn events(rows: &[(&str, &str)], lane: &str, epoch: u64) -> RecordBatch {
    let text = |of: &dyn Fn(&(&str, &str)) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let columns: [(&str, ArrayRef); 4] = [
        (names::EVENT_ID, text(&|row| row.0.to_owned())),
        (names::EVENT_STATE, text(&|row| row.1.to_owned())),
        (names::LANE, text(&|_| lane.to_owned())),
        (names::EPOCH, Arc::new(UInt64Array::from_value(epoch, rows.len()))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns")
}

/// Commits a step with these events, whose rows say `lane` and that many epochs more than is true.
fn commit(
    lane: &mut Lane,
    step: i64,
    rows: &[(&str, &str)],
    (says, more): (&str, u64),
) -> Result<(), LakeError> {
    let number = if lane.name() == "t-1" { 1 } else { 0 };
    let mut cut = step_of(lane, number, step);
    let batch = events(rows, says, lane.next_epoch() + more);
    cut.counters.events = rows.len() as u64;
    cut.tables.push((Table::Events, vec![batch]));
    lane.commit(cut, committed_us(step)).map(drop)
}

/// Lane 0 commits steps with these events.
fn told(steps: &[&[(&str, &str)]]) -> (Arc<MemoryStore>, Lake) {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    let mut lane = lake.take("t-0", writer(1), START_US).expect("free");
    for (step, rows) in (0..).zip(steps) {
        commit(&mut lane, step, rows, ("t-0", 0)).expect("in order");
    }
    (store, lake)
}

fn last_file(store: &MemoryStore) -> String {
    store.paths("events/").pop().expect("there is one")
}

#[test]
fn events_that_open_and_close_once_are_proven_also_when_they_are_compacted() {
    let (store, lake) =
        told(&[&[("a", "open")], &[("a", "closed"), ("b", "open")], &[("b", "closed")]]);
    assert!(report(&store).is_clean(), "{:?}", report(&store).problems);
    let rows = counted(&lake);
    assert_eq!(rows.iter().filter(|row| row.starts_with("events")).count(), 4);
    maintain(&lake, &upkeep(), 1, committed_us(3) + 3 * HOUR_US).expect("it runs");
    let files = store.paths("events/");
    assert!(
        files.iter().any(|path| CompactFile::parse(path).is_some()),
        "not compacted: {files:?}"
    );
    assert_eq!(counted(&lake), rows);
    assert!(report(&store).is_clean(), "{:?}", report(&store).problems);
}

#[test]
fn an_event_whose_beginning_is_too_old_to_be_kept_is_no_problem() {
    let (store, lake) = told(&[&[("a", "open")], &[("a", "closed")]]);
    let keep_us = BTreeMap::from([(Table::Events, 24 * HOUR_US)]);
    let some = Upkeep { keep_us, ..upkeep() };
    let done = maintain(&lake, &some, 1, committed_us(3) + 72 * HOUR_US).expect("it runs");
    assert_eq!(done.expired_rows, 2);
    assert!(report(&store).is_clean(), "{:?}", report(&store).problems);
}

#[test]
fn fm_31_what_no_event_can_do_is_found() {
    let (store, _) = told(&[&[("a", "open")], &[("a", "open")]]);
    assert_found(&store, &last_file(&store), "event a open");
    let (store, _) = told(&[&[("a", "open"), ("a", "closed")], &[("a", "closed")]]);
    assert_found(&store, &last_file(&store), "event a closed");
    let (store, _) = told(&[&[("a", "closed")]]);
    assert_found(&store, &last_file(&store), "event a closes in epoch 2 and never opened");
    let (store, _) = told(&[&[("a", "closed")], &[("a", "open")]]);
    let path = last_file(&store);
    assert_found(&store, &path, "event a closes in epoch 2 and opens in epoch 3");
}

#[test]
fn an_event_stays_in_its_lane_and_its_rows_say_where_they_come_from() {
    let (store, lake) = told(&[&[("a", "open")]]);
    let mut other = lake.take("t-1", writer(2), START_US).expect("free");
    commit(&mut other, 0, &[("a", "closed")], ("t-1", 0)).expect("in order");
    let found = report(&store);
    let what = "event a opens in lane t-0 and closes in lane t-1";
    assert!(found.problems.iter().any(|p| p.what == what), "{:?}", found.problems);
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    let mut lane = lake.take("t-0", writer(1), START_US).expect("free");
    commit(&mut lane, 0, &[("a", "open")], ("t-0", 7)).expect("in order");
    assert_found(&store, &last_file(&store), "1 of its rows say another lane, epoch");
}

#[test]
fn a_cut_whose_events_are_no_events_or_not_counted_is_refused() {
    let lake = plant(MemoryStore::new());
    let mut lane = lake.take("t-0", writer(1), START_US).expect("free");
    let refused = commit(&mut lane, 0, &[("a", "ajar")], ("t-0", 0)).expect_err("no state");
    assert!(refused.to_string().contains("\"ajar\""), "{refused}");
    let mut cut = step_of(&lane, 0, 0);
    cut.tables.push((Table::Events, vec![events(&[("a", "open")], "t-0", 2)]));
    let refused = lane.commit(cut, committed_us(0)).expect_err("not counted").to_string();
    assert!(refused.contains("events has 1 rows and the counter is 0"), "{refused}");
}

#[test]
fn a_lake_without_events_is_written_as_before_and_one_with_them_in_the_next_format() {
    let (store, _) = told(&[&[]]);
    let format = |store: &MemoryStore| {
        let path = crate::paths::record_path("t-0", 2);
        String::from_utf8(store.get(&path).expect("it is there")).expect("text")
    };
    assert!(format(&store).contains(r#""body":{"format":2,"#));
    let (store, _) = told(&[&[("a", "open")]]);
    assert!(format(&store).contains(r#""body":{"format":3,"#));
}
