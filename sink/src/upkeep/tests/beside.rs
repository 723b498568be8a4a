//! Maintenance beside other maintenance, readers, and writers that slept.

use std::sync::{Arc, Mutex, PoisonError};

use tidegauge_flow::{Entry, Failpoint, Interrupted, Place, Store, StoreError};

use super::settle;
use crate::LakeError;
use crate::paths::{LEDGER, record_path};
use crate::testing::plant::{
    HOUR_US, START_US, committed_us, counted, maintain, plant, plant_with, produce, proof, step_of,
    upkeep,
};
use crate::testing::{MemoryStore, writer};
use crate::{Table, Upkeep};

type Deed = Box<dyn FnOnce() + Send>;

/// Does something the first time that a place is reached, and lets all go on.
struct Meanwhile(Place, Mutex<Option<Deed>>);

impl Meanwhile {
    fn new(place: Place, deed: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self(place, Mutex::new(Some(Box::new(deed)))))
    }
}

impl Failpoint for Meanwhile {
    fn reach(&self, place: Place) -> Result<(), Interrupted> {
        if place == self.0 {
            let deed = self.1.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(deed) = deed {
                deed();
            }
        }
        Ok(())
    }
}

/// A store that does something right after a record was put.
struct AfterPut(Arc<MemoryStore>, Mutex<Option<(String, Deed)>>);

impl Store for AfterPut {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.0.get(path)
    }
    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.0.size(path)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.0.list(prefix)
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.put(path, bytes)
    }
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let put = self.0.put_if_absent(path, bytes);
        let mut planned = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if planned.as_ref().is_some_and(|(at, _)| at == path)
            && let Some((_, deed)) = planned.take()
        {
            deed();
        }
        put
    }
    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.0.publish(from, to)
    }
    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.0.delete(path)
    }
    fn url(&self) -> String {
        self.0.url()
    }
}

/// Maintains as if much time had passed, so that all records that may go are gone.
fn forget(store: &Arc<MemoryStore>) {
    let lake = plant(store.clone());
    let at_once = Upkeep { keep_ledger_us: 0, keep_replaced_us: 0, ..upkeep() };
    for seed in 0..3 {
        let now = committed_us(40) + seed * 30 * HOUR_US;
        maintain(&lake, &at_once, 70 + seed as u64, now).expect("it runs");
    }
}

/// Maintains as if all lanes had been silent for long.
fn compact(store: &Arc<MemoryStore>) {
    let at_once = Upkeep { keep_ledger_us: 0, ..upkeep() };
    let done = maintain(&plant(store.clone()), &at_once, 70, committed_us(40)).expect("it runs");
    assert!(done.made > 0, "{done:?}");
}

#[test]
fn of_two_runs_at_once_one_wins_and_the_others_files_vanish() {
    let store = MemoryStore::new();
    produce(&plant(store.clone()), 13);
    let rows = counted(&plant(store.clone()));
    let now = committed_us(12) + 2 * HOUR_US;
    let other = store.clone();
    let quicker = Meanwhile::new(Place::BeforeSummary, move || {
        let won = maintain(&plant(other), &upkeep(), 2, now).expect("it runs");
        assert_eq!(won.summary, Some(1));
    });
    let lake = plant_with(store.clone(), quicker);
    let lost = maintain(&lake, &upkeep(), 1, now).expect("it is no failure");
    assert_eq!((lost.lost, lost.summary, lost.made), (true, None, 0));
    let loser = writer(1).to_string();
    assert!(!store.paths("").iter().any(|path| path.contains(&loser)), "{:?}", store.paths(""));
    assert_eq!(counted(&lake), rows);
    settle(&lake, &store, "after the race");
}

#[test]
fn a_reader_that_listed_before_reads_on_until_the_grace_is_over() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 13);
    let known = lake.reader().files(Table::Predictions).expect("whole");
    let now = committed_us(12) + 2 * HOUR_US;
    maintain(&lake, &upkeep(), 1, now).expect("it runs");
    maintain(&lake, &upkeep(), 2, now + HOUR_US - 1).expect("it runs");
    for file in &known {
        lake.reader().fetch(file).expect("it is still there");
    }
    let done = maintain(&lake, &upkeep(), 3, now + HOUR_US).expect("it runs");
    assert!(done.deleted_files >= known.len() as u64, "{done:?}");
    lake.reader().fetch(&known[0]).expect_err("it is gone now");
    assert_eq!(proof(store.as_ref()).problems, []);
}

#[test]
fn maintenance_beside_a_writer_in_the_middle_of_a_commit_changes_nothing_for_it() {
    for place in [
        Place::BeforeStaging,
        Place::AfterStaging,
        Place::BeforeLedger,
        Place::AfterLedger,
        Place::MidPublish,
    ] {
        let store = MemoryStore::new();
        produce(&plant(store.clone()), 13);
        let other = store.clone();
        let beside = Meanwhile::new(place, move || compact(&other));
        let lake = plant_with(store.clone(), beside);
        let mut lane = lake.take("t-0", writer(5), committed_us(13)).expect("free");
        let cut = step_of(&lane, 0, 13);
        lane.commit(cut, committed_us(13)).unwrap_or_else(|e| panic!("{place:?}: {e}"));
        let cut = step_of(&lane, 0, 14);
        lane.commit(cut, committed_us(14)).expect("and the next");
        assert_eq!(counted(&lake).len(), 2 * 13 * 5 + 2 * 5, "{place:?}");
        let report = proof(store.as_ref());
        assert_eq!(report.problems, [], "{place:?}");
    }
}

#[test]
fn fm_24_a_writer_that_slept_while_its_epoch_was_committed_and_deleted_is_fenced() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    let mut old = lake.take("t-0", writer(1), START_US).expect("free");
    let cut = step_of(&old, 0, 0);
    old.commit(cut, committed_us(0)).expect("it is ours");
    let cut = step_of(&old, 0, 1);
    // It stops here for an hour. Another takes the lane, commits, and its records are deleted.
    let mut new = lake.take("t-0", writer(2), committed_us(1)).expect("taken");
    for step in 1..12 {
        let cut = step_of(&new, 0, step);
        new.commit(cut, committed_us(step)).expect("in order");
    }
    forget(&store);
    let epoch = old.next_epoch();
    assert!(!store.paths(LEDGER).contains(&record_path("t-0", epoch)), "its epoch is absent again");
    let before = (store.paths(""), counted(&lake));

    let lost = old.commit(cut, committed_us(1));
    assert!(matches!(&lost, Err(LakeError::Fenced { epoch: e, .. }) if *e == epoch), "{lost:?}");
    assert_eq!((store.paths(""), counted(&lake)), before, "the loser leaves nothing behind");
    assert_eq!(proof(store.as_ref()).problems, []);
    let cut = step_of(&new, 0, 12);
    new.commit(cut, committed_us(12)).expect("the new one goes on");
}

#[test]
fn fm_24_a_process_that_slept_while_taking_a_lane_takes_it_anew() {
    let store = MemoryStore::new();
    produce(&plant(store.clone()), 1);
    let other = store.clone();
    let slept = Meanwhile::new(Place::BeforeOpening, move || {
        let lake = plant(other.clone());
        let mut lane = lake.take("t-0", writer(7), committed_us(1)).expect("free");
        for step in 1..9 {
            let cut = step_of(&lane, 0, step);
            lane.commit(cut, committed_us(step)).expect("in order");
        }
        forget(&other);
    });
    let lake = plant_with(store.clone(), slept);
    let lane = lake.take("t-0", writer(8), committed_us(9)).expect("the second try");
    assert_eq!(lane.next_epoch(), 13);
    assert_eq!(proof(store.as_ref()).problems, []);
}

#[test]
fn a_summary_that_holds_our_own_record_does_not_fence_us() {
    let memory = MemoryStore::new();
    produce(&plant(memory.clone()), 1);
    let other = memory.clone();
    let at = record_path("t-0", 4);
    let deed = move || compact(&other);
    let store = AfterPut(memory.clone(), Mutex::new(Some((at, Box::new(deed) as Deed))));
    let lake = plant(Arc::new(store));
    let mut lane = lake.take("t-0", writer(3), committed_us(1)).expect("free");
    let cut = step_of(&lane, 0, 1);
    lane.commit(cut, committed_us(1)).expect("it counts");
    let cut = step_of(&lane, 0, 2);
    lane.commit(cut, committed_us(2)).expect("and the next");
    assert_eq!(proof(memory.as_ref()).problems, []);
}

#[test]
fn fm_24_a_record_that_others_have_followed_counts_although_its_writer_is_fenced() {
    let memory = MemoryStore::new();
    produce(&plant(memory.clone()), 1);
    let other = memory.clone();
    let deed = move || {
        let lake = plant(other.clone());
        lake.take("t-0", writer(9), committed_us(2)).expect("taken");
        // The record stays for as long as records are kept.
        maintain(&lake, &upkeep(), 70, committed_us(3)).expect("it runs");
    };
    let planned = Mutex::new(Some((record_path("t-0", 4), Box::new(deed) as Deed)));
    let lake = plant(Arc::new(AfterPut(memory.clone(), planned)));
    let mut lane = lake.take("t-0", writer(3), committed_us(1)).expect("free");
    let cut = step_of(&lane, 0, 1);
    let lost = lane.commit(cut, committed_us(1));
    assert!(matches!(lost, Err(LakeError::Fenced { epoch: 4, .. })), "{lost:?}");
    let report = proof(memory.as_ref());
    assert_eq!(report.problems, []);
    assert_eq!(counted(&lake).len(), 2 * 5 + 5, "its rows are in the lake once");
}
