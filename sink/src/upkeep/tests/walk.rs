//! Death at every place and at every call of the store, once and twice, then another life.

use std::sync::Arc;

use tidegauge_flow::Place;

use super::settle;
use crate::LakeError;
use crate::testing::plant::{
    HOUR_US, committed_us, counted, maintain, plant, plant_with, produce, upkeep,
};
use crate::testing::{Fault, MemoryStore, StopAt};

/// What maintenance does over the hours after the plant has stopped.
fn keep(lake: &crate::Lake, seed: u64) -> Result<(), LakeError> {
    for hours in [2, 4, 6] {
        maintain(lake, &upkeep(), seed + hours as u64, committed_us(12) + hours * HOUR_US)?;
    }
    Ok(())
}

fn produced(store: Arc<MemoryStore>) -> (Arc<MemoryStore>, Vec<String>) {
    let lake = plant(store.clone());
    produce(&lake, 13);
    let rows = counted(&lake);
    (store, rows)
}

#[test]
fn fm_21_death_at_each_place_of_maintenance_changes_no_row() {
    for place in Place::UPKEEP {
        let mut fired = 0;
        for (kind, nth) in (0..2).flat_map(|kind| [1, 2, 5, 20].map(|nth| (kind, nth))) {
            let [plain, flat] = MemoryStore::kinds();
            let (store, rows) = produced(if kind == 0 { plain } else { flat });
            let failpoint = StopAt::new(place, nth);
            let lake = plant_with(store.clone(), failpoint.clone());
            let ended = keep(&lake, 100);
            if failpoint.is_armed() {
                ended.expect("nothing has disturbed it");
                continue;
            }
            fired += 1;
            let context = format!("{place:?} the {nth}. time, store {kind}");
            assert_eq!(counted(&lake), rows, "{context}");
            settle(&lake, &store, &context);
            assert_eq!(counted(&lake), rows, "{context}, in the end");
        }
        assert!(fired > 0, "{place:?} was not reached");
    }
}

#[test]
fn fm_21_a_second_death_while_the_first_is_mended_changes_no_row() {
    let first =
        [Place::MidCompaction, Place::AfterSummary, Place::MidCompactPublish, Place::MidDelete];
    for first in first {
        for second in Place::UPKEEP {
            let (store, rows) = produced(MemoryStore::new());
            let failpoint = StopAt::new(first, 1);
            let lake = plant_with(store.clone(), failpoint.clone());
            keep(&lake, 100).expect_err("it dies");
            failpoint.arm(second, 1);
            // It may find nothing left to die of.
            let _ = keep(&lake, 200);
            let context = format!("{first:?}, then {second:?}");
            let lake = plant(store.clone());
            assert_eq!(counted(&lake), rows, "{context}");
            settle(&lake, &store, &context);
            assert_eq!(counted(&lake), rows, "{context}, in the end");
        }
    }
}

#[test]
fn fm_21_death_at_each_call_of_the_store_changes_no_row() {
    for fault in [Fault::DieBefore, Fault::DieAfter] {
        // A prime, so that all kinds of calls come up.
        for nth in (1..).step_by(17) {
            let (store, rows) = produced(MemoryStore::new());
            let lake = plant(store.clone());
            store.fail_at(nth, fault, None);
            let ended = keep(&lake, 100);
            if store.is_armed() {
                ended.expect("nothing has disturbed it");
                assert!(nth > 300, "{nth} calls are few");
                break;
            }
            store.restart();
            let context = format!("{fault:?} at call {nth}");
            assert_eq!(counted(&lake), rows, "{context}");
            settle(&lake, &store, &context);
            assert_eq!(counted(&lake), rows, "{context}, in the end");
        }
    }
}

#[test]
fn fm_23_a_lost_answer_to_a_summary_is_settled_by_reading_back() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let (store, rows) = produced(MemoryStore::new());
        let lake = plant(store.clone());
        store.fail_at(1, fault, Some("put_if_absent"));
        let done =
            maintain(&lake, &upkeep(), 1, committed_us(12) + 2 * HOUR_US).expect("it goes on");
        assert!(!store.is_armed(), "the fault must have come");
        assert_eq!((done.summary, done.lost), (Some(1), false), "{fault:?}");
        assert_eq!(counted(&lake), rows);
        settle(&lake, &store, &format!("{fault:?}"));
    }
}
