//! Proofs of what is new: what they read, what they find, and what they trust.

use std::sync::Arc;

use tidegauge_flow::Store;

use crate::paths::{MARK, record_path};
use crate::record::Table;
use crate::testing::plant::{
    HOUR_US, START_US, committed_us, go_on, maintain, plant, proof, step_of, upkeep,
};
use crate::testing::{MemoryStore, writer};
use crate::{Lane, Options, Report, Scope, verify_with};

fn new(store: &MemoryStore) -> Report {
    let scope = Scope::New { now_us: START_US };
    let options = Options { scope, ..Options::default() };
    verify_with(store, options, &|_, _| ()).expect("a lake")
}

fn lanes(store: &Arc<MemoryStore>) -> Vec<Lane> {
    let lake = plant(store.clone());
    let lane = |n: u64| lake.take(&format!("t-{n}"), writer(900 + n), START_US).expect("free");
    (0..2).map(lane).collect()
}

#[test]
fn only_what_is_new_is_read_and_the_counts_are_those_of_all() {
    let store = MemoryStore::new();
    let mut lanes = lanes(&store);
    go_on(&mut lanes, 0, 3);
    let first = new(&store);
    assert!(first.is_clean(), "{:?}", first.problems);
    assert_eq!((first.files, first.files_read), (18, 18), "the first time all is new");
    assert_eq!(new(&store).files_read, 0);
    go_on(&mut lanes, 3, 5);
    let second = new(&store);
    assert_eq!((second.files, second.files_read), (30, 12));
    assert_eq!((second.records, second.readings), (12, 70));
    // What compaction has made is new as well.
    let now = committed_us(5) + 3 * HOUR_US;
    let done = maintain(&plant(store.clone()), &upkeep(), 1, now).expect("it runs");
    let third = new(&store);
    assert!(third.is_clean(), "{:?}", third.problems);
    assert_eq!((third.files, third.files_read), (done.made, done.made));
    assert_eq!(new(&store).files_read, 0);
    go_on(&mut lanes, 5, 6);
    let last = new(&store);
    assert!(last.is_clean(), "{:?}", last.problems);
    assert_eq!(last.files_read, 6);
    assert_eq!(proof(store.as_ref()).problems, []);
}

#[test]
fn a_row_that_an_older_file_has_already_is_found() {
    let store = MemoryStore::new();
    let mut lanes = lanes(&store);
    go_on(&mut lanes, 0, 3);
    assert!(new(&store).is_clean());
    let mut cut = step_of(&lanes[0], 0, 3);
    cut.tables[0] = step_of(&lanes[0], 0, 1).tables.swap_remove(0);
    lanes[0].commit(cut, committed_us(3)).expect("in order");
    let found = new(&store);
    assert!(found.problems.iter().any(|p| p.what.contains("rows are there twice")), "{found:?}");
    assert!(!new(&store).is_clean(), "a proof that has failed is not remembered");
}

#[test]
fn old_files_must_be_there_with_their_size_and_only_a_full_proof_reads_their_bytes() {
    let store = MemoryStore::new();
    go_on(&mut lanes(&store), 0, 3);
    assert!(new(&store).is_clean());
    let file = store.paths(Table::Predictions.folder()).remove(0);
    store.edit(&file, |bytes| bytes[30] ^= 1);
    assert!(new(&store).is_clean(), "as the manual says");
    assert!(!proof(store.as_ref()).is_clean());
    store.edit(&file, |bytes| bytes.truncate(30));
    let what = |report: Report| report.problems.first().map(|p| p.what.clone()).unwrap_or_default();
    assert!(what(new(&store)).starts_with("it has 30 bytes and its record says"));
    store.delete(&file).expect("it goes");
    assert_eq!(what(new(&store)), "it is missing");
}

#[test]
fn a_ledger_that_is_not_the_one_that_was_proven_is_named() {
    let store = MemoryStore::new();
    go_on(&mut lanes(&store), 0, 3);
    assert!(new(&store).is_clean());
    let newest = record_path("t-0", 4);
    let proven = store.get(&newest).expect("it is there");
    store.edit(&newest, |bytes| {
        let mut record = crate::format::record::decode(&newest, bytes).expect("whole").value;
        record.committed_at_us += 1;
        *bytes = crate::format::record::encode(&record);
    });
    let found =
        |what: &str| new(&store).problems.iter().any(|p| p.path == newest && p.what.contains(what));
    assert!(found("it is not the record that was there at the last proof"));
    store.delete(&newest).expect("it goes");
    assert!(found("it was there at the last proof and the newest record is 3"));
    store.put(&newest, &proven).expect("the store takes it");
    assert!(new(&store).is_clean());
}

#[test]
fn an_edited_mark_hides_nothing() {
    let store = MemoryStore::new();
    go_on(&mut lanes(&store), 0, 3);
    assert!(new(&store).is_clean());
    let file = store.paths(Table::Predictions.folder()).remove(0);
    store.edit(&file, |bytes| bytes[30] ^= 1);
    for edit in ["\"epoch\":3", "\"epoch\":9"] {
        store.edit(MARK, |bytes| {
            let text = String::from_utf8(bytes.clone()).expect("text");
            *bytes = text.replacen("\"epoch\":4", edit, 1).into_bytes();
        });
        let found = new(&store);
        assert_eq!(found.files_read, 17, "all that can be read");
        assert!(found.notes.iter().any(|note| note.path == MARK), "{:?}", found.notes);
        assert!(found.problems.iter().any(|p| p.path == file));
    }
    store.edit(MARK, Vec::clear);
    assert!(!new(&store).is_clean());
}
