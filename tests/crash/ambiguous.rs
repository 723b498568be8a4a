//! A store whose answer is lost: the record is written, or not, and nobody says which.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegauge_flow::{Entry, NoFailpoint, Place, Store, StoreError};

use crate::child::{Ended, spawn};
use crate::input;
use crate::lake;
use crate::life::{self, Crash, Orders, Phase, live, live_on};

/// Loses some answers about ledger records; everything else is as below.
struct LosesAnswers {
    below: Arc<dyn Store>,
    /// Answers to lose before the rest arrives.
    left: AtomicUsize,
    /// Whether the lost calls took place.
    wrote: bool,
}

impl Store for LosesAnswers {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.below.get(path)
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.below.size(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.below.list(prefix)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.below.put(path, bytes)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let take = |left: usize| left.checked_sub(1);
        let loses = path.starts_with("_tidegauge/ledger/")
            && path.ends_with("00000000000000000004.json")
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if !loses {
            return self.below.put_if_absent(path, bytes);
        }
        if self.wrote {
            // What it says is lost as well.
            let _ = self.below.put_if_absent(path, bytes);
        }
        let source = io::Error::new(io::ErrorKind::TimedOut, "the answer is lost");
        Err(StoreError::Ambiguous { path: path.to_owned(), source })
    }

    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.below.publish(from, to)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.below.delete(path)
    }

    fn url(&self) -> String {
        self.below.url()
    }
}

#[test]
fn fm_23_a_lost_answer_about_a_record_is_settled_and_the_process_lives_on() {
    for wrote in [true, false] {
        let folder = lake::fresh();
        let below = lake::store(folder.path());
        let store = Arc::new(LosesAnswers { below, left: AtomicUsize::new(2), wrote });
        live_on(store.clone(), &Orders::calm(folder.path(), 40)).expect("it lives on");
        assert_eq!(store.left.load(Ordering::Relaxed), 0, "answers were lost");
        lake::assert_whole(folder.path(), &format!("wrote: {wrote}"));
    }
}

#[test]
fn fm_23_a_commit_that_stays_uncertain_breaks_the_lane_and_the_ledger_decides() {
    for wrote in [true, false] {
        let folder = lake::fresh();
        let below = lake::store(folder.path());
        let store = Arc::new(LosesAnswers { below, left: AtomicUsize::new(3), wrote });
        let pipeline = life::pipeline(store, Arc::new(NoFailpoint)).expect("opens");
        let messages = input::messages();
        let mut lane = life::open(&pipeline).expect("opens");
        life::feed(&mut lane, &messages[..30]).expect("feeds");
        // Epochs: 1 opening, 2 the beginning, 3, and the one whose answers are lost.
        lane.commit(1).expect("commits");
        let committed = life::position(&lane);
        life::feed(&mut lane, &messages[30..50]).expect("feeds");
        let fed = life::position(&lane);
        let error = lane.commit(1).expect_err("nobody knows whether it was written");
        assert!(format!("{error:#}").contains("not known"), "{error:#}");
        let again = lane.commit(1);
        assert!(again.is_err(), "a lane that does not know must not go on: {again:?}");
        drop(lane);
        let lane = life::open(&pipeline).expect("the same process takes it again");
        assert_eq!(life::position(&lane), if wrote { fed } else { committed });
        drop(lane);
        live(&Orders::calm(folder.path(), 40)).expect("goes on");
        lake::assert_whole(folder.path(), &format!("wrote: {wrote}"));
    }
}

#[test]
fn fm_23_a_process_that_dies_before_the_answer_leaves_a_committed_epoch() {
    let folder = lake::fresh();
    let crash = Crash { place: Place::LedgerAmbiguous, reach: 3, phase: Phase::Start };
    let orders = Orders { crash: Some(crash), ..Orders::calm(folder.path(), 40) };
    assert_eq!(spawn(&orders), Ended::Crashed);
    let pipeline =
        life::pipeline(lake::store(folder.path()), Arc::new(NoFailpoint)).expect("opens");
    let lane = life::open(&pipeline).expect("opens");
    let last = input::messages()[79].offset;
    assert_eq!(life::position(&lane), last + 1, "the second step of 40 was committed");
    drop(lane);
    live(&Orders::calm(folder.path(), 40)).expect("goes on");
    lake::assert_whole(folder.path(), "died before the answer");
}
