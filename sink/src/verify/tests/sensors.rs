//! Rows and sensors that are where they should not be.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use tidegauge_flow::names;

use super::{assert_found, report};
use crate::record::Table;
use crate::testing::plant::{
    HOUR_US, START_US, committed_us, maintain, origin, plant, produce, proof, step_of, upkeep,
};
use crate::testing::{MemoryStore, writer};
use crate::{Options, Repair, verify_with};

/// Both lanes commit step 0; then lane 1 commits rows for which lane 0's step `step` is the model.
fn mixed(step: i64) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    let mut zero = lake.take("t-0", writer(1), START_US).expect("free");
    let mut one = lake.take("t-1", writer(2), START_US).expect("free");
    let cut = step_of(&zero, 0, 0);
    zero.commit(cut, committed_us(0)).expect("in order");
    let mut cut = step_of(&one, 1, 0);
    // Its sensors are lane 0's; who it is and what it read stays.
    let theirs = step_of(&one, 0, step);
    let predictions = |table: &Table| *table == Table::Predictions;
    cut.tables.retain(|(table, _)| !predictions(table));
    cut.tables.extend(theirs.tables.into_iter().filter(|(table, _)| predictions(table)));
    one.commit(cut, committed_us(0)).expect("in order");
    store
}

#[test]
fn fm_37_a_sensor_in_two_lanes_is_named_with_both_and_since_when() {
    // Steps 0 and 2 have the same sensors and other windows.
    let store = mixed(2);
    let found = report(&store);
    assert!(found.is_clean(), "each reading counts once: {:?}", found.problems);
    assert_eq!((found.split_sensors, found.notes.len()), (3, 3), "{:?}", found.notes);
    let what = "is in lane t-0 since 2026-01-31T22:10:00Z and in lane t-1 since \
                2026-01-31T22:30:00Z: neither sees all of its readings";
    for id in [0, 7, 14] {
        let named = |p: &&crate::Problem| p.what == format!("sensor {id} {what}");
        assert!(found.notes.iter().any(|p| named(&p)), "{id}: {:?}", found.notes);
    }
    assert!(found.notes.iter().all(|note| note.repair == Repair::KeyEvents));
    // The same after compaction, when both lanes' rows lie in one file.
    let lake = plant(store.clone());
    maintain(&lake, &upkeep(), 1, committed_us(3) + 3 * HOUR_US).expect("it runs");
    assert_eq!(report(&store).split_sensors, 3);
}

#[test]
fn fm_37_windows_of_one_sensor_from_two_lanes_are_no_bare_duplicate() {
    let store = mixed(0);
    let path = store.paths("predictions/").pop().expect("there is one");
    assert_found(&store, &path, "3 of its rows are there twice, as sensor 14 at");
    assert_found(&store, &path, "; lanes t-0 and t-1 both have this sensor");
    let found = report(&store);
    assert!(found.problems.iter().all(|problem| problem.repair == Repair::KeyEvents));
}

#[test]
fn fm_31_a_reject_or_late_reading_that_is_there_twice_is_named() {
    for (table, offset) in [(Table::Rejects, 7), (Table::Late, 6)] {
        let store = MemoryStore::new();
        let lake = plant(store.clone());
        let mut lane = lake.take("t-0", writer(1), START_US).expect("free");
        let cut = step_of(&lane, 0, 0);
        lane.commit(cut, committed_us(0)).expect("in order");
        let mut cut = step_of(&lane, 0, 1);
        let of_table = cut.tables.iter_mut().find(|(t, _)| *t == table).expect("it is there");
        of_table.1 = vec![origin(0, offset)];
        // A day later: in another folder.
        lane.commit(cut, committed_us(200)).expect("in order");
        let path = store.paths(table.folder()).pop().expect("there are two");
        let what = format!("1 of its rows are there twice, as t[0] offset {offset} in ");
        assert_found(&store, &path, &what);
        let small = Options { rows_max: 1, threads: 1, ..Options::default() };
        let found = verify_with(store.as_ref(), small, &|_, _| ()).expect("a lake");
        assert!(found.problems.iter().any(|p| p.what.starts_with(&what)));
    }
}

/// The rows with a further column of model sets.
fn with_sets(rows: &RecordBatch, name: &str, sets: [u64; 3]) -> RecordBatch {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(name, DataType::UInt64, true)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from(sets.to_vec())));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("the column fits")
}

#[test]
fn rows_that_say_another_lane_epoch_or_model_set_are_named() {
    for what in ["lane", "epoch", names::MODEL_SET, names::NOVELTY_SET, names::CHALLENGER_SET] {
        let store = MemoryStore::new();
        let lake = plant(store.clone());
        produce(&lake, 2);
        let mut lane = lake.take("t-0", writer(1), START_US).expect("free");
        let mut cut = step_of(&lane, 0, 2);
        match what {
            "lane" => {
                let other = lake.take("t-9", writer(2), START_US).expect("free");
                let rows = step_of(&other, 0, 2).tables.swap_remove(0);
                cut.tables[0] = rows;
            }
            // As a record of epoch 4 would have it.
            "epoch" => {
                let earlier = plant(MemoryStore::new());
                let earlier = earlier.take("t-0", writer(2), START_US).expect("free");
                cut.tables[0] = step_of(&earlier, 0, 2).tables.swap_remove(0);
            }
            names::MODEL_SET => cut.model_sets = vec![2],
            view => cut.tables[0].1 = vec![with_sets(&cut.tables[0].1[0], view, [1, 2, 3])],
        }
        lane.commit(cut, committed_us(2)).expect("in order");
        let rows = if what.ends_with("set") { 2 } else { 3 };
        let told = format!("{rows} of its rows say another lane, epoch or model set");
        let found = proof(store.as_ref());
        assert!(found.problems.iter().any(|p| p.what.starts_with(&told)), "{:?}", found.problems);
    }
}
