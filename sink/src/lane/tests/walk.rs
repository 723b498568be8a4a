//! Death at every place and at every call of the store, then another life: always the same lake.

use std::sync::Arc;

use proptest::prelude::*;
use tidegauge_flow::{Place, Store};

use crate::error::LakeError;
use crate::testing::{Fault, MemoryStore, StopAt, assert_whole, live, open, open_with, writer};

/// A store that renames, and one that does not.
const MAKE: [fn() -> Arc<MemoryStore>; 2] = [MemoryStore::new, MemoryStore::flat];

/// Lives after the first, each with its own writer, until one ends well. They cut the input at
/// other places than the first did.
fn live_on(store: &Arc<MemoryStore>, failpoint: &Arc<StopAt>, context: &str) {
    for seed in 2..6 {
        store.restart();
        let lake = open_with(store, Arc::<StopAt>::clone(failpoint)).expect("it opens again");
        match live(&lake, writer(seed), 3) {
            Ok(()) => return,
            Err(LakeError::Interrupted(_)) => {}
            Err(other) => panic!("{context}: {other}"),
        }
    }
    panic!("{context}: it never ends well");
}

#[test]
fn fm_21_death_at_each_place_gives_the_same_lake() {
    for (make, place) in MAKE.iter().flat_map(|make| Place::ALL.map(|place| (make, place))) {
        if place == Place::MidPublish && !make().renames() {
            continue;
        }
        let mut fired = 0;
        for nth in 1..64 {
            let (store, failpoint) = (make(), StopAt::new(place, nth));
            let lake = open_with(&store, Arc::<StopAt>::clone(&failpoint)).expect("it opens");
            let end = live(&lake, writer(1), 1);
            if failpoint.is_armed() {
                end.expect("nothing has disturbed it");
                break;
            }
            fired += 1;
            assert!(matches!(end, Err(LakeError::Interrupted(at)) if at.0 == place));
            let context = format!("{place:?} the {nth}. time");
            live_on(&store, &failpoint, &context);
            assert_whole(store.as_ref(), &context);
        }
        assert!(fired > 0 && fired < 63, "{place:?} was reached {fired} times");
    }
}

#[test]
fn fm_21_a_second_death_while_recovering_gives_the_same_lake() {
    let first = [Place::AfterOpening, Place::MidStaging, Place::AfterCheckpoint, Place::MidPublish];
    let second = [
        Place::AfterOpening,
        Place::BeforeRecovery,
        Place::MidRecovery,
        Place::AfterRecovery,
        Place::MidStaging,
        Place::AfterLedger,
    ];
    let pairs = first.iter().flat_map(|f| second.iter().map(move |s| (*f, *s)));
    for ((first, second), make) in pairs.flat_map(|pair| MAKE.map(|make| (pair, make))) {
        for nth in 1..64 {
            let (store, failpoint) = (make(), StopAt::new(first, 2));
            let lake = open_with(&store, Arc::<StopAt>::clone(&failpoint)).expect("it opens");
            let end = live(&lake, writer(1), 1);
            // A process takes the lane once, so places of taking it come once.
            assert!(end.is_err() || failpoint.is_armed(), "{first:?}");
            failpoint.arm(second, nth);
            let context = format!("{first:?}, then {second:?} the {nth}. time");
            live_on(&store, &failpoint, &context);
            assert_whole(store.as_ref(), &context);
            if failpoint.is_armed() {
                break;
            }
        }
    }
}

#[test]
fn fm_15_death_at_each_call_of_the_store_gives_the_same_lake() {
    let faults = [Fault::DieBefore, Fault::DieAfter];
    for (fault, make) in faults.iter().flat_map(|fault| MAKE.map(|make| (*fault, make))) {
        let mut ended = false;
        for n in 1..400 {
            let store = make();
            store.fail_at(n, fault, None);
            let lake = open_with(&store, StopAt::new(Place::BeforeOffsets, u32::MAX));
            let end = lake.and_then(|lake| live(&lake, writer(1), 1));
            if store.is_armed() {
                end.expect("nothing has disturbed it");
                ended = true;
                break;
            }
            // Removing an old checkpoint may fail without harm, unless more is to be done.
            store.restart();
            live(&open(&store), writer(2), 2).expect("the second life is not disturbed");
            assert_whole(store.as_ref(), &format!("{fault:?} at call {n}"));
        }
        assert!(ended, "{fault:?} comes to an end");
    }
}

#[test]
fn fm_22_fm_31_a_replay_that_cuts_elsewhere_repeats_no_row_and_no_reject() {
    let uncommitted = [Place::AfterStaging, Place::AfterCheckpoint, Place::BeforeLedger];
    for (place, steps) in uncommitted.iter().flat_map(|place| [(*place, 2), (*place, 3)]) {
        for store in MemoryStore::kinds() {
            let failpoint = StopAt::new(place, 2);
            let lake = open_with(&store, failpoint).expect("it opens");
            live(&lake, writer(1), 1).expect_err("it dies with files of an epoch that never is");
            live(&open(&store), writer(2), steps).expect("the second life is not disturbed");
            assert_whole(store.as_ref(), &format!("{place:?}, then {steps} steps at once"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fm_21_many_short_lives_with_any_faults_give_the_same_lake(
        lives in proptest::collection::vec((1_u64..60, 0..4, 1_i64..5), 0..8),
        last in 1_i64..5,
        flat in any::<bool>(),
    ) {
        let store = MAKE[usize::from(flat)]();
        let faults = [Fault::DieBefore, Fault::DieAfter, Fault::LoseAnswer, Fault::LoseRequest];
        for (seed, (n, fault, steps)) in (1..).zip(&lives) {
            store.restart();
            store.fail_at(*n, faults[*fault as usize], None);
            let lake = open_with(&store, StopAt::new(Place::BeforeOffsets, u32::MAX));
            // How it ends is for the next life to find out.
            let _ = lake.and_then(|lake| live(&lake, writer(seed), *steps));
        }
        store.restart();
        store.disarm();
        live(&open(&store), writer(0), last).expect("the last life is not disturbed");
        assert_whole(store.as_ref(), &format!("{lives:?}"));
    }
}

#[test]
fn fm_23_a_lost_answer_is_settled_by_reading_back() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        // The generation, the opening record, four epochs.
        for (n, make) in (1..=6).flat_map(|n| MAKE.map(|make| (n, make))) {
            let store = make();
            store.fail_at(n, fault, Some("put_if_absent"));
            let lake = open(&store);
            live(&lake, writer(1), 1).expect("it goes on");
            assert!(!store.is_armed(), "the fault must have come");
            assert_whole(store.as_ref(), &format!("{fault:?} at put {n}"));
            assert_eq!(lake.reader().records(crate::testing::LANE).expect("whole").len(), 5);
        }
    }
}
