//! Positions that move without reading: what a jump may be, and how the proof tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_flow::{Partition, Span};

use crate::error::LakeError;
use crate::record::{Jump, JumpReason};
use crate::testing::{LANE, MemoryStore, NOW_US, STEP, cut, open, partition, rewrite, writer};
use crate::{Counters, Cut, Lane, Report};

fn jump(from: i64, to: i64, why: JumpReason) -> Jump {
    Jump { partition: partition(), from, to, why }
}

fn known_as(id: &str) -> BTreeMap<Arc<str>, String> {
    BTreeMap::from([(partition().input, id.to_owned())])
}

/// A lane that stands at `STEP` and knows its topic's identity.
fn standing(store: &Arc<MemoryStore>) -> Lane {
    let mut lane = open(store).take(LANE, writer(1), NOW_US).expect("free");
    lane.commit(Cut { inputs: known_as("first"), ..cut(0, 1) }, NOW_US).expect("in order");
    lane
}

fn report(store: &MemoryStore) -> Report {
    crate::verify(store, &|_, _| ()).expect("a lake")
}

#[test]
fn fm_32_a_skipped_range_is_in_the_ledger_and_in_the_proof() {
    let store = MemoryStore::new();
    let mut lane = standing(&store);
    let skip = Cut { jumps: vec![jump(STEP, 20, JumpReason::Retention)], ..cut(20, 1) };
    lane.commit(skip, NOW_US).expect("a jump, then readings");
    let only = Cut { jumps: vec![jump(30, 33, JumpReason::Retention)], ..Cut::default() };
    lane.commit(only, NOW_US).expect("a jump without readings");
    assert_eq!(lane.positions()[&partition()], 33);
    let found = report(&store);
    // The sample's readings left open do not add up over a gap; the positions do.
    let joined = |p: &&crate::Problem| p.what.contains("offsets");
    assert_eq!(found.problems.iter().find(joined), None);
    assert_eq!(found.skipped, 13);
    let notes: Vec<_> = found.notes.iter().map(|note| note.what.as_str()).collect();
    let told = "sensors-a[0]: 10 offsets, 10 to 20, were deleted before they were read";
    assert_eq!(notes[0], told);
    assert_eq!(notes.len(), 2);
    rewrite(&store, 3, |record| record.jumps.clear());
    let gap = "sensors-a[0]: offsets 10 to 20 are in no record: a gap";
    assert!(report(&store).problems.iter().any(|p| p.what == gap));
}

#[test]
fn fm_38_a_topic_that_was_made_anew_begins_again_and_the_proof_says_so() {
    let store = MemoryStore::new();
    let mut lane = standing(&store);
    let jumps = vec![jump(STEP, 0, JumpReason::Recreated)];
    let counters = Counters { open: 1, ..Counters::default() };
    let anew = Cut { inputs: known_as("second"), jumps, counters, ..Cut::default() };
    lane.commit(anew, NOW_US).expect("its offsets began again");
    let mut lane = open(&store).take(LANE, writer(2), NOW_US).expect("free");
    assert_eq!(lane.positions()[&partition()], 0);
    assert_eq!(lane.newest().inputs, known_as("second"), "an opening record carries it over");
    let found = report(&store);
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!((found.skipped, found.notes.len()), (0, 1));
    assert!(found.notes[0].what.contains("was made anew: reading went on at 0 instead of 10"));
    lane.commit(
        Cut { spans: vec![(partition(), Span { from: 0, to: 5 })], ..Cut::default() },
        NOW_US,
    )
    .expect("it goes on from there");
    rewrite(&store, 3, |record| record.jumps.clear());
    let swapped = "input sensors-a was first and is second without a jump";
    assert!(report(&store).problems.iter().any(|p| p.what == swapped));
}

#[test]
fn a_jump_that_does_not_fit_the_ledger_is_refused() {
    let check = |change: fn(&mut Cut), expected: &str| {
        let store = MemoryStore::new();
        let mut lane = standing(&store);
        let mut wrong = Cut::default();
        change(&mut wrong);
        match lane.commit(wrong, NOW_US) {
            Err(LakeError::Refused { what, .. }) => assert_eq!(what, expected),
            other => panic!("{expected}: {other:?}"),
        }
    };
    use JumpReason::{Recreated, Retention};
    check(|c| c.jumps.push(jump(9, 20, Retention)), "sensors-a[0] jumps from 9 and stood at 10");
    check(
        |c| c.jumps.push(jump(STEP, 9, Retention)),
        "sensors-a[0] jumps back from 10 to 9 without being made anew",
    );
    check(
        |c| c.jumps.push(jump(STEP, -1, Recreated)),
        "sensors-a[0] jumps to -1, which is no offset",
    );
    check(
        |c| c.jumps.extend([jump(STEP, 11, Retention), jump(11, 12, Retention)]),
        "sensors-a[0] has two jumps",
    );
    check(
        |c| {
            let partition = Partition::new("other", 0);
            c.jumps.push(Jump { partition, ..jump(0, 1, Retention) });
        },
        "other[0] jumps and was never read",
    );
    check(
        |c| {
            c.jumps.push(jump(STEP, 12, Retention));
            c.spans.push((partition(), Span { from: STEP, to: 20 }));
        },
        "sensors-a[0] starts at 10 and not at 12",
    );
    check(
        |c| c.inputs = known_as("second"),
        "input sensors-a was first and is second without a jump",
    );
}
