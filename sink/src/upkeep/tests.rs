//! Maintenance over a store that fails: whatever happens, the rows that count stay the same.

mod beside;
mod retention;
mod walk;

use std::collections::BTreeMap;

use tidegauge_flow::Store;

use crate::paths::{COMPACTED, CompactFile, LEDGER, STAGING, SUMMARIES};
use crate::testing::plant::{
    HOUR_US, START_US, committed_us, counted, go_on, maintain, plant, produce, proof, upkeep,
};
use crate::testing::{MemoryStore, writer};
use crate::{Lane, Level, Mode, Table};

#[test]
fn files_of_closed_hours_then_days_become_one_and_every_row_stays() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    let mut lanes: Vec<Lane> = (0..2)
        .map(|n| lake.take(&format!("t-{n}"), writer(900 + n), START_US).expect("free"))
        .collect();
    let files = |table| lake.reader().files(table).expect("the ledger is whole");
    // Until 23:40; so 22:00 to 23:00 is closed.
    go_on(&mut lanes, 0, 10);
    let before = counted(&lake);
    let done = maintain(&lake, &upkeep(), 1, committed_us(9)).expect("it runs");
    assert_eq!((done.replaced, done.made, done.rows), (10, 1, 30), "{done:?}");
    assert_eq!(counted(&lake), before);
    assert_eq!(files(Table::Predictions).len(), 11);
    assert_eq!(proof(store.as_ref()).problems, []);
    // Until 01:00: the day of January is closed.
    go_on(&mut lanes, 10, 18);
    let before = counted(&lake);
    maintain(&lake, &upkeep(), 2, committed_us(17)).expect("it runs");
    assert_eq!(counted(&lake), before);
    let names = |date: &str| {
        let of = |f: &&crate::FileRef| f.path.contains(date);
        files(Table::Predictions).iter().filter(of).map(|f| f.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("2026-01-31").len(), 1, "{:?}", names("2026-01-31"));
    assert!(CompactFile::parse(&names("2026-01-31")[0]).is_some());
    let view = lake.reader().view().expect("the ledger is whole");
    let summary = view.summary.expect("there is one");
    let day = summary.files.iter().find(|live| live.level == Level::Day).expect("a day");
    assert_eq!(day.file.rows, 2 * 3 * 11, "eleven steps of both lanes end before midnight");
    assert_eq!(proof(store.as_ref()).problems, []);
    // The lanes go on as if nothing had happened.
    go_on(&mut lanes, 18, 20);
    assert_eq!(proof(store.as_ref()).problems, []);
}

#[test]
fn compacted_rows_are_sorted_by_sensor_and_time() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 12);
    maintain(&lake, &upkeep(), 1, committed_us(12) + 2 * HOUR_US).expect("it runs");
    let files = lake.reader().files(Table::Predictions).expect("the ledger is whole");
    let mut sorted = 0;
    for file in files.iter().filter(|file| file.rows > 3) {
        let bytes = lake.reader().fetch(file).expect("whole");
        let batches = crate::parquet::read(bytes).expect("parquet");
        let rows = batches.iter().flat_map(|batch| {
            let column = |name: &str| {
                crate::columns::whole(batch, name, &arrow::datatypes::DataType::Int64)
                    .expect("ints")
            };
            let ints = |name: &str| {
                use arrow::array::AsArray;
                column(name).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
            };
            ints("Device").into_iter().zip(ints("window_end")).collect::<Vec<_>>()
        });
        let rows: Vec<_> = rows.collect();
        assert!(rows.is_sorted(), "{rows:?}");
        sorted += rows.len();
    }
    assert_eq!(sorted, 2 * 3 * 12);
}

#[test]
fn looking_changes_nothing_and_says_what_acting_does() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 12);
    let before = store.paths("");
    let now = committed_us(12) + 2 * HOUR_US;
    let look = lake.maintain(&upkeep(), Mode::Look, writer(1), now, &|_, _| ()).expect("it looks");
    assert_eq!(store.paths(""), before);
    let done = maintain(&lake, &upkeep(), 2, now).expect("it runs");
    let told = |o: &crate::Outcome| (o.replaced, o.replaced_bytes, o.made, o.rows);
    assert_eq!(told(&look), told(&done));
    assert!(look.replaced > 60, "{look:?}");
}

#[test]
fn a_second_run_finds_nothing_to_do() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 12);
    let now = committed_us(12) + 2 * HOUR_US;
    maintain(&lake, &upkeep(), 1, now).expect("it runs");
    let before = store.paths("");
    let idle = maintain(&lake, &upkeep(), 2, now).expect("it runs");
    assert_eq!((idle.summary, idle.made, idle.deleted_files), (None, 0, 0));
    assert_eq!(store.paths(""), before);
}

#[test]
fn what_is_damaged_is_left_alone_and_named_and_the_rest_is_compacted() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 12);
    let bad = store.paths("predictions/date=2026-01-31/").remove(3);
    store.edit(&bad, |bytes| bytes[30] ^= 1);
    let done = maintain(&lake, &upkeep(), 1, committed_us(12) + 2 * HOUR_US).expect("it runs");
    assert_eq!(done.damaged, std::slice::from_ref(&bad));
    assert!(done.made >= 2, "late readings and rejects: {done:?}");
    let report = proof(store.as_ref());
    assert!(report.problems.iter().any(|p| p.path == bad && p.what.contains("its sha256 is")));
}

#[test]
fn a_small_limit_makes_several_files_and_no_row_is_lost() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 12);
    let before = counted(&lake);
    let small = crate::Upkeep { file_max_bytes: 12_000, ..upkeep() };
    let done = maintain(&lake, &small, 1, committed_us(12) + 2 * HOUR_US).expect("it runs");
    assert!(done.made > 6, "{done:?}");
    assert_eq!(counted(&lake), before);
    assert_eq!(proof(store.as_ref()).problems, []);
}

/// Maintains until everything has been compacted, and everything that may go is gone.
fn settle(lake: &crate::Lake, store: &MemoryStore, context: &str) {
    for (seed, hours) in (50..).zip([2, 4, 6]) {
        let now = committed_us(12) + hours * HOUR_US;
        maintain(lake, &upkeep(), seed, now).unwrap_or_else(|e| panic!("{context}: {e}"));
    }
    let report = proof(store);
    assert_eq!(report.problems, [], "{context}");
    assert_eq!(report.notes, [], "{context}");
    assert_eq!(store.paths(COMPACTED), [""; 0], "{context}");
    if store.renames() {
        assert_eq!(store.paths(STAGING), [""; 0], "{context}");
    }
    // By table and date one file (the plant has no events), a record for each lane, three summaries.
    let mut files: BTreeMap<Table, usize> = BTreeMap::new();
    for table in Table::ALL {
        files.insert(table, store.paths(table.folder()).len());
    }
    for (table, found) in files {
        let wanted = if table == Table::Events { 0 } else { 2 };
        assert_eq!(found, wanted, "{context}: {:?}", store.paths(table.folder()));
    }
    assert_eq!(store.paths(LEDGER).len(), 2, "{context}");
    assert!(store.paths(SUMMARIES).len() <= 3, "{context}");
}
