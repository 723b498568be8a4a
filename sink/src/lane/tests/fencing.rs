//! Two processes that both believe to hold the lane.

use std::sync::Arc;

use crate::error::LakeError;
use crate::testing::{
    LANE, MemoryStore, NOW_US, STEP, assert_whole, cut, live, next_offset, open, writer,
};

#[test]
fn fm_24_the_old_writer_cannot_commit_after_the_lane_was_taken() {
    MemoryStore::kinds().iter().for_each(old_writer_cannot_commit);
}

fn old_writer_cannot_commit(store: &Arc<MemoryStore>) {
    let lake = open(store);
    let mut old = lake.take(LANE, writer(1), NOW_US).expect("free");
    old.commit(cut(0, 1), NOW_US).expect("it is ours");
    let mut new = lake.take(LANE, writer(2), NOW_US).expect("taken from the old one");
    let before = store.paths("");

    let lost = old.commit(cut(STEP, 1), NOW_US);
    let by = writer(2).to_string();
    match &lost {
        Err(LakeError::Fenced { lane, epoch: 3, by: b }) => {
            assert_eq!((lane.as_str(), b), (LANE, &by))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.paths(""), before, "the loser leaves nothing behind");
    assert!(matches!(old.commit(cut(STEP, 1), NOW_US), Err(LakeError::Broken { .. })));

    assert_eq!(next_offset(&new), STEP);
    new.commit(cut(STEP, 3), NOW_US).expect("it is the new one's");
    assert_whole(store.as_ref(), "after fencing");
}

#[test]
fn fm_24_a_writer_who_wakes_after_many_epochs_harms_nothing() {
    let store = MemoryStore::new();
    let lake = open(&store);
    let mut old = lake.take(LANE, writer(1), NOW_US).expect("free");
    live(&lake, writer(2), 1).expect("the new one does all the work");
    assert!(matches!(old.commit(cut(0, 2), NOW_US), Err(LakeError::Fenced { epoch: 2, .. })));
    assert_whole(store.as_ref(), "after the old one woke");
}

#[test]
fn fm_24_a_writer_who_sleeps_before_it_loads_its_state_learns_that_the_lane_was_taken() {
    let store = MemoryStore::new();
    let lake = open(&store);
    live(&lake, writer(1), 2).expect("free");
    let sleeper = lake.take(LANE, writer(2), NOW_US).expect("taken");
    // So many epochs that the sleeper's checkpoint is not even the spare any more.
    let mut awake = lake.take(LANE, writer(3), NOW_US).expect("taken from the sleeper");
    for _ in 0..3 {
        let at = next_offset(&awake);
        awake.commit(cut(at, 0), NOW_US).expect("it is ours");
    }
    let by = writer(3).to_string();
    match sleeper.checkpoint() {
        Err(LakeError::Fenced { by: b, .. }) => assert_eq!(b, by),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_take_by_the_same_process_needs_its_own_writer_and_gets_the_lane() {
    let store = MemoryStore::new();
    let lake = open(&store);
    let first = lake.take(LANE, writer(1), NOW_US).expect("free");
    assert_eq!((first.next_epoch(), first.writer()), (2, writer(1)));
    let second = lake.take(LANE, writer(2), NOW_US).expect("taken");
    assert_eq!((second.next_epoch(), second.writer()), (3, writer(2)));
    live(&lake, writer(3), 4).expect("and again");
    assert_whole(store.as_ref(), "after three takes");
}
