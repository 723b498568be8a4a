//! What a crash leaves: finished if a record names it, removed if none does, never anybody else's.
//! And what looking for it costs.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegauge_flow::{Place, Store};

use crate::paths::{DataFile, staging_path};
use crate::record::Table;
use crate::testing::{
    LANE, MemoryStore, NOW_US, StopAt, assert_whole, cut, live, open, open_with, writer,
};

/// A name of this lane that no record has.
fn stray(lane: &str, epoch: u64) -> DataFile {
    DataFile { generation: 1, lane: lane.to_owned(), epoch, writer: writer(99), n: 0 }
}

fn staged(file: &DataFile) -> String {
    staging_path(&file.lane, &file.to_string())
}

#[test]
fn fm_25_orphans_go_and_pending_files_are_published() {
    let store = MemoryStore::new();
    let failpoint = StopAt::new(Place::AfterLedger, 2);
    let lake = open_with(&store, Arc::<StopAt>::clone(&failpoint)).expect("it opens");
    live(&lake, writer(1), 1).expect_err("it dies with its record written");
    let pending = store.paths("_tidegauge/staging/");
    assert_eq!(pending.len(), 4, "two dates, late, rejects");

    let orphans = [staged(&stray(LANE, 3)), staged(&stray(LANE, 4))];
    for path in &orphans {
        store.put(path, b"orphan").expect("the store takes it");
    }
    open(&store).take(LANE, writer(2), NOW_US).expect("free");
    let left = store.paths("");
    for path in &orphans {
        assert!(!left.contains(path), "{path} is named by no record and stays");
    }
    let reader = open(&store).reader().clone();
    let files = Table::ALL.map(|table| reader.files(table).expect("the ledger is whole")).concat();
    assert!(files.iter().all(|file| left.contains(&file.path)), "all that is named is published");
    live(&open(&store), writer(3), 1).expect("and on");
    assert_whole(store.as_ref(), "after orphans");
}

#[test]
fn fm_25_what_is_not_surely_ours_and_over_is_left_alone() {
    let store = MemoryStore::new();
    live(&open(&store), writer(1), 1).expect("nothing disturbs it");
    let others = [
        // A later epoch may be the next owner's, another lane another's, another name anyone's.
        staged(&stray(LANE, 7)),
        stray(LANE, 7).published(Table::Predictions, "2026-02-01"),
        stray("sensors-a", 3).published(Table::Predictions, "2026-02-01"),
        stray("a-0", 3).published(Table::Late, "2026-02-01"),
        DataFile { generation: 2, ..stray(LANE, 3) }.published(Table::Late, "2026-02-01"),
        format!("_tidegauge/staging/{LANE}/notes.txt"),
        stray(LANE, 3).published(Table::Late, "2026-02-01"),
        "predictions/date=2026-02-01/part-0.parquet".to_owned(),
        format!("_tidegauge/state/{LANE}/{:020}-{}", 7, writer(99)),
        format!("_tidegauge/state/{LANE}/copy"),
    ];
    for path in &others {
        store.put(path, b"other").expect("the store takes it");
    }
    let before = store.paths("");
    // Epoch 6 is taken now.
    open(&store).take(LANE, writer(2), NOW_US).expect("free");
    let left = store.paths("");
    for path in before {
        assert!(left.contains(&path), "{path} is gone");
    }
}

#[test]
fn fm_25_an_orphan_of_an_earlier_hold_that_never_recovered_goes_too() {
    let store = MemoryStore::new();
    let lake = open(&store);
    let mut lane = lake.take(LANE, writer(1), NOW_US).expect("free");
    lane.commit(cut(0, 1), NOW_US).expect("ours");
    let orphan = staged(&stray(LANE, 2));
    store.put(&orphan, b"orphan").expect("the store takes it");
    let dying = open_with(&store, StopAt::new(Place::BeforeRecovery, 1)).expect("it opens");
    assert!(dying.take(LANE, writer(2), NOW_US).is_err());
    assert!(store.paths("").contains(&orphan));
    live(&lake, writer(3), 1).expect("the third one recovers for both");
    assert_whole(store.as_ref(), "after a hold that never recovered");
}

#[test]
fn the_last_two_checkpoints_stay_and_no_more() {
    let store = MemoryStore::new();
    live(&open(&store), writer(1), 1).expect("nothing disturbs it");
    let state = |epoch: u64| format!("_tidegauge/state/{LANE}/{epoch:020}-{}", writer(1));
    assert_eq!(store.paths("_tidegauge/state/"), [state(4), state(5)]);
    let lost = format!("_tidegauge/state/{LANE}/{:020}-{}", 6, writer(99));
    for path in [&lost, &state(1)] {
        store.put(path, b"of no record").expect("the store takes it");
    }
    open(&store).take(LANE, writer(2), NOW_US).expect("free");
    assert_eq!(store.paths("_tidegauge/state/"), [state(4), state(5)]);
}

/// An epoch that dies before its record, on a store that cannot rename: two dates, late, rejects.
fn die_before_the_record(store: &Arc<MemoryStore>) -> Vec<String> {
    let lake = open_with(store, StopAt::new(Place::BeforeLedger, 1)).expect("it opens");
    live(&lake, writer(1), 2).expect_err("it dies with its files written");
    let files = data_files(store);
    assert_eq!(files.len(), 4, "{files:?}");
    files
}

fn data_files(store: &MemoryStore) -> Vec<String> {
    Table::ALL.iter().flat_map(|table| store.paths(table.folder())).collect()
}

#[test]
fn fm_25_without_renames_files_of_a_lost_epoch_go_by_their_intent() {
    let store = MemoryStore::flat();
    die_before_the_record(&store);
    let others = [
        stray(LANE, 2).published(Table::Predictions, "2026-02-01"),
        stray("sensors-a", 2).published(Table::Late, "2026-02-01"),
    ];
    for path in &others {
        store.put(path, b"of nobody's intent").expect("the store takes it");
    }
    store.listed();
    open(&store).take(LANE, writer(2), NOW_US).expect("free");
    assert_eq!(data_files(&store), others, "what no intent names is left alone");
    let listed = store.listed();
    assert!(listed.iter().all(|folder| folder.starts_with("_tidegauge/")), "{listed:?}");
}

#[test]
fn fm_25_without_renames_files_of_a_commit_under_way_are_a_note_and_not_a_problem() {
    let store = MemoryStore::flat();
    let files = die_before_the_record(&store);
    let report = crate::verify(store.as_ref(), &|_, _| ()).expect("a lake");
    assert_eq!(report.problems, []);
    let notes = report.notes.iter().map(|note| note.path.clone());
    // The checkpoint of that commit is noted too.
    let noted: BTreeSet<_> = notes.filter(|path| !path.starts_with("_tidegauge/state/")).collect();
    assert_eq!(noted, files.into_iter().collect());
    let stray = stray(LANE, 1).published(Table::Late, "2026-02-01");
    store.put(&stray, b"of an epoch that is over").expect("the store takes it");
    let report = crate::verify(store.as_ref(), &|_, _| ()).expect("a lake");
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert_eq!(report.problems[0].path, stray);
}

#[test]
fn fm_25_a_file_that_appears_after_its_lane_was_taken_goes_at_the_next_taking() {
    let store = MemoryStore::flat();
    let files = die_before_the_record(&store);
    open(&store).take(LANE, writer(2), NOW_US).expect("free");
    store.put(&files[0], b"a slow request arrives").expect("the store takes it");
    open(&store).take(LANE, writer(3), NOW_US).expect("free");
    assert_eq!(data_files(&store), [""; 0]);
    let intents = || store.paths("_tidegauge/staging/");
    assert_eq!(intents().len(), 1, "its writer may still be alive");
    open(&store).take(LANE, writer(4), NOW_US + 3_600_000_001).expect("free");
    assert_eq!(intents(), [""; 0]);
    live(&open(&store), writer(5), 1).expect("and on");
    assert_whole(store.as_ref(), "after a slow request");
}

#[test]
fn fm_18_a_damaged_intent_is_refused_by_name() {
    let store = MemoryStore::flat();
    die_before_the_record(&store);
    let path = store.paths("_tidegauge/staging/").remove(0);
    store.edit(&path, |bytes| bytes.truncate(20));
    let text = open(&store).take(LANE, writer(2), NOW_US).expect_err("refused").to_string();
    assert!(text.contains(&path) && text.contains("damaged"), "{text}");
}

#[test]
fn taking_a_lane_does_not_look_through_the_lake() {
    for store in MemoryStore::kinds() {
        live(&open(&store), writer(1), 1).expect("nothing disturbs it");
        store.listed();
        open(&store).take(LANE, writer(2), NOW_US).expect("free");
        let listed = store.listed();
        let of_the_lane = |folder: &String| {
            ["_tidegauge/generations/", "_tidegauge/summaries/"].contains(&folder.as_str())
                || folder.ends_with(&format!("/{LANE}/"))
        };
        assert!(listed.iter().all(of_the_lane), "{listed:?}");
    }
}
