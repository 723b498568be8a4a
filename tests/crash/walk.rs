//! The walk through all failpoints.

use std::collections::BTreeSet;

use tidegauge_flow::Place;

use crate::child::{Ended, spawn};
use crate::lake;
use crate::life::{Crash, Orders, Phase, live};

/// Messages per commit of the lives that crash, and of those that continue: another boundary.
const STEP: usize = 40;
const OTHER_STEP: usize = 55;

/// The places of taking a lane.
const TAKING: [Place; 5] = [
    Place::BeforeOpening,
    Place::AfterOpening,
    Place::BeforeRecovery,
    Place::MidRecovery,
    Place::AfterRecovery,
];

/// Whether a phase reaches a place so often.
fn is_reached(crash: &Crash) -> bool {
    match crash.phase {
        Phase::Start | Phase::Middle => true,
        // One commit of several files, then the lane is taken three times.
        Phase::Last => match crash.place {
            Place::MidStaging | Place::MidPublish => true,
            place => TAKING.contains(&place) || crash.reach == 1,
        },
    }
}

fn walk(phase: Phase) {
    let mut fired = BTreeSet::new();
    for place in Place::ALL {
        for reach in 1..=3 {
            let crash = Crash { place, reach, phase };
            let folder = lake::fresh();
            let mut orders = Orders::calm(folder.path(), STEP);
            orders.crash = Some(crash);
            let ended = spawn(&orders);
            assert_eq!(ended == Ended::Crashed, is_reached(&crash), "{crash:?}: {ended:?}");
            if ended == Ended::Crashed {
                fired.insert(format!("{place:?}"));
            }
            live(&Orders::calm(folder.path(), OTHER_STEP)).expect("the next process continues");
            lake::assert_whole(folder.path(), &format!("{crash:?}"));
        }
    }
    let all: BTreeSet<_> = Place::ALL.iter().map(|place| format!("{place:?}")).collect();
    assert_eq!(fired, all, "{phase:?}: each place is one where a process has crashed");
}

#[test]
fn fm_15_fm_21_fm_31_a_crash_at_each_place_before_any_commit_leaves_no_trace() {
    walk(Phase::Start);
}

#[test]
fn fm_15_fm_21_fm_31_a_crash_at_each_place_in_the_middle_leaves_no_trace() {
    walk(Phase::Middle);
}

#[test]
fn fm_15_fm_21_fm_31_a_crash_at_each_place_of_the_last_commit_leaves_no_trace() {
    walk(Phase::Last);
}

/// A crash in a commit, then two crashes in a row while the next processes recover from it.
#[test]
fn fm_21_fm_25_crashes_while_recovering_from_crashes_leave_no_trace() {
    let commits = Place::ALL.into_iter().filter(|place| !TAKING.contains(place));
    for (turn, first) in commits.enumerate() {
        for (index, second) in TAKING.into_iter().enumerate() {
            let third = TAKING[(index + turn) % TAKING.len()];
            let folder = lake::fresh();
            let crash = |place, reach, phase| Crash { place, reach, phase };
            let lives = [
                crash(first, 2, Phase::Start),
                crash(second, 1, Phase::Start),
                // Deeper into the recovery than the one before.
                crash(third, if third == Place::MidRecovery { 2 } else { 1 }, Phase::Start),
            ];
            for (n, crash) in lives.iter().enumerate() {
                let mut orders = Orders::calm(folder.path(), [STEP, OTHER_STEP, 70][n]);
                orders.crash = Some(*crash);
                assert_eq!(spawn(&orders), Ended::Crashed, "{lives:?}");
            }
            live(&Orders::calm(folder.path(), STEP)).expect("the next process continues");
            lake::assert_whole(folder.path(), &format!("{lives:?}"));
        }
    }
}

/// Run 1 committed [S, E1) and wrote [E1, E2) without committing it; run 2 reads [S, E3) in other steps.
#[test]
fn fm_22_a_replay_with_another_boundary_repeats_nothing() {
    for place in [Place::BeforeLedger, Place::AfterLedger] {
        for step in [1, 13, 39, 41, 239] {
            let folder = lake::fresh();
            let crash = Crash { place, reach: 3, phase: Phase::Start };
            let orders = Orders { crash: Some(crash), ..Orders::calm(folder.path(), STEP) };
            assert_eq!(spawn(&orders), Ended::Crashed);
            live(&Orders::calm(folder.path(), step)).expect("the next process continues");
            lake::assert_whole(folder.path(), &format!("{place:?}, then steps of {step}"));
        }
    }
}

/// What a crash left behind: invisible to readers, named by nobody, gone when the lane is taken; but what
/// a record names is published, and what another lane has under way stays.
#[test]
fn fm_25_orphans_are_seen_by_no_reader_and_pending_files_stay() {
    for (place, committed) in [(Place::BeforeLedger, false), (Place::AfterLedger, true)] {
        let folder = lake::fresh();
        let crash = Crash { place, reach: 2, phase: Phase::Start };
        let orders = Orders { crash: Some(crash), ..Orders::calm(folder.path(), STEP) };
        assert_eq!(spawn(&orders), Ended::Crashed);
        let staging = folder.path().join("_tidegauge/staging/t-0");
        let staged = lake::files(&staging);
        assert!(!staged.is_empty(), "{place:?}: the crash left files");
        let named = lake::rows(folder.path()).iter().map(Vec::len).sum::<usize>();
        assert_eq!(named > 0, committed, "{place:?}: readers see what a record names");
        // Another lane's file under way: not this lane's to judge.
        let other = folder.path().join("_tidegauge/staging/t-1");
        std::fs::create_dir_all(&other).expect("makes");
        let pending = other.join("g1-t-1-00000000000000000002-0123456789abcdef-0.parquet");
        std::fs::write(&pending, b"under way").expect("writes");
        live(&Orders::calm(folder.path(), OTHER_STEP)).expect("the next process continues");
        assert_eq!(lake::files(&staging), Vec::<std::path::PathBuf>::new(), "{place:?}");
        assert!(pending.exists(), "{place:?}: another lane's file stays");
        std::fs::remove_file(&pending).expect("removes");
        lake::assert_whole(folder.path(), &format!("{place:?}"));
    }
}

/// The walk knows each place: a new one that is not listed does not compile here, and a listed one that
/// no crash reaches turns the walk red.
#[test]
fn every_place_is_listed() {
    let is_upkeep = |place: Place| match place {
        Place::BeforeOpening
        | Place::AfterOpening
        | Place::BeforeRecovery
        | Place::MidRecovery
        | Place::AfterRecovery
        | Place::BeforeStaging
        | Place::MidStaging
        | Place::AfterStaging
        | Place::AfterCheckpoint
        | Place::BeforeLedger
        | Place::LedgerAmbiguous
        | Place::AfterLedger
        | Place::MidPublish
        | Place::AfterPublish
        | Place::BeforeOffsets => false,
        Place::BeforeCompaction
        | Place::MidCompaction
        | Place::BeforeSummary
        | Place::SummaryAmbiguous
        | Place::AfterSummary
        | Place::MidCompactPublish
        | Place::BeforeDelete
        | Place::MidDelete => true,
    };
    // As many as the arms above have.
    assert_eq!((Place::ALL.len(), Place::UPKEEP.len()), (15, 8));
    assert!(!Place::ALL.into_iter().any(is_upkeep) && Place::UPKEEP.into_iter().all(is_upkeep));
}
