//! Power that is lost at any call of the disk, and disks that fill up or fail.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidegauge_flow::NoFailpoint;

use super::super::powerless::{Mishap, PowerlessDisk, Survives};
use super::*;
use crate::testing::{END, LANE, NOW_US, STEP, assert_whole, cut, identity, partition, writer};
use crate::{Lake, LakeError};

/// Calls of the disk that a whole life makes, about.
const CALLS: u64 = 260;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;
const EMFILE: i32 = 24;

/// One life of the process. `acknowledged`: the offset up to which a commit has ever returned, or a lane
/// was ever found.
fn live(
    disk: &PowerlessDisk,
    seed: u64,
    steps: i64,
    acknowledged: &mut i64,
    story: &str,
) -> Result<(), LakeError> {
    let store = disk.store()?;
    let lake = Lake::open(store, std::sync::Arc::new(NoFailpoint), &identity(), NOW_US)?;
    let mut lane = lake.take(LANE, writer(seed), NOW_US)?;
    loop {
        let from = lane.positions().get(&partition()).copied().unwrap_or(0);
        let state = lane.checkpoint()?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(state, (from > 0).then(|| format!("state at {from}")), "{story}");
        assert!(
            from >= *acknowledged,
            "{story}: {acknowledged} was acknowledged and the lane is at {from}"
        );
        // Who takes a lane builds upon what it finds.
        *acknowledged = from;
        let left = (END - from) / STEP;
        if left == 0 {
            return Ok(());
        }
        let committed = steps.min(left);
        lane.commit(cut(from, committed), NOW_US)?;
        *acknowledged = from + STEP * committed;
    }
}

/// Ends the story: the last life is not disturbed, and its lake is that of an undisturbed run.
fn end_well(disk: &PowerlessDisk, acknowledged: &mut i64, context: &str) {
    live(disk, 0, 2, acknowledged, context).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_whole(&*disk.store().expect("it opens"), context);
}

fn one_story(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (disk, mut acknowledged, story) = (PowerlessDisk::default(), 0, format!("seed {seed}"));
    for life in 1..=random.random_range(1..=4) {
        disk.fail_at(random.random_range(1..CALLS), Mishap::Death);
        // How it ends is for the next life to find out.
        let _ = live(&disk, life, random.random_range(1..=4), &mut acknowledged, &story);
        disk.restart();
        match random.random_range(0..4) {
            // Only the process has died.
            0 => {}
            1 => disk.lose_power(Survives::Nothing),
            _ => disk.lose_power(Survives::Some { seed: random.random() }),
        }
    }
    live(&disk, 9, 2, &mut acknowledged, &story).unwrap_or_else(|e| panic!("{story}: {e}"));
    assert_eq!(acknowledged, END, "{story}");
    disk.lose_power(Survives::Nothing);
    end_well(&disk, &mut acknowledged, &format!("{story}, and power lost at rest"));
}

#[test]
fn fm_27_power_lost_at_any_moment_loses_nothing_that_was_acknowledged() {
    let count = std::env::var("TIDEGAUGE_POWER_SEEDS").ok().and_then(|n| n.parse().ok());
    let count: u64 = count.unwrap_or(2000);
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let mut stories = (0..count).filter(move |seed| seed % threads == thread);
            // Each assertion of a story names its seed.
            scope.spawn(move || stories.by_ref().for_each(one_story));
        }
    });
}

#[test]
fn fm_27_power_lost_at_each_call_of_the_disk_in_turn_leaves_the_same_lake() {
    for survives in [Survives::Nothing, Survives::Everything, Survives::Some { seed: 7 }] {
        let mut ended = false;
        for n in 1..2 * CALLS {
            let (disk, mut acknowledged) = (PowerlessDisk::default(), 0);
            disk.fail_at(n, Mishap::Death);
            let end = live(&disk, 1, 1, &mut acknowledged, &format!("call {n}"));
            if disk.is_armed() {
                end.expect("nothing has disturbed it");
                ended = true;
                break;
            }
            disk.lose_power(survives);
            end_well(&disk, &mut acknowledged, &format!("{survives:?} at call {n}"));
        }
        assert!(ended, "a life has fewer calls");
    }
}

/// What a user reads about each error, and what it tells them to do.
const ERRORS: [(i32, &str); 4] = [
    (ENOSPC, "make room on the disk of /disk/lake and start again"),
    (EROFS, "/disk/lake is mounted read-only; mount it for writing"),
    (EMFILE, "raise the limit of open files"),
    (EIO, "the disk of /disk/lake fails; look at the kernel's log"),
];

#[test]
fn fm_27_a_disk_that_fails_at_each_call_stops_the_lane_clearly_and_loses_nothing() {
    for once in [true, false] {
        let (mut told, mut ended) = (0, false);
        // The errors take turns, so that each is met at each kind of call.
        for (n, (code, advice)) in (1..2 * CALLS).zip(ERRORS.into_iter().cycle()) {
            let (disk, mut acknowledged) = (PowerlessDisk::default(), 0);
            disk.fail_at(n, if once { Mishap::Once(code) } else { Mishap::Always(code) });
            let end = live(&disk, 1, 1, &mut acknowledged, &format!("call {n}"));
            if disk.is_armed() {
                ended = true;
                break;
            }
            match end {
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(advice) || text.contains("start again"), "{n}: {text}");
                    told += 1;
                }
                // Removing a temporary file or an old checkpoint may fail without harm.
                Ok(()) => assert!(once || acknowledged == END, "{n}: code {code} went unnoticed"),
            }
            disk.restart();
            if code == EIO {
                // Mounted anew: the machine has forgotten what the disk did not take.
                disk.lose_power(Survives::Nothing);
            }
            end_well(&disk, &mut acknowledged, &format!("code {code} at call {n}, once: {once}"));
        }
        assert!(ended && told > 100, "{told} lives were stopped, once: {once}");
    }
}

#[test]
fn fm_27_after_a_folder_could_not_be_synced_nothing_is_written_any_more() {
    let disk = PowerlessDisk::default();
    let store = disk.store().expect("it opens");
    store.put("t/a", b"1").expect("written");
    // Temporary file, content, sync, name, its old name, and then the folder.
    disk.fail_at(6, Mishap::Once(EIO));
    let failed = store.put("t/b", b"2").expect_err("its name is not durable").to_string();
    assert!(failed.contains("Input/output error") && failed.contains("mount it anew"), "{failed}");
    for refused in
        [store.put("t/c", b"3"), store.put_if_absent("u/d", b"4"), store.publish("t/a", "u/a")]
    {
        let text = refused.expect_err("the disk is not trusted").to_string();
        assert!(
            text.contains("a sync has failed before") && text.contains("start again"),
            "{text}"
        );
    }
    assert_eq!(store.get("t/a").expect("reading goes on"), b"1");
    disk.store().expect("a new process").put("t/c", b"3").expect("starts afresh");
}

#[test]
fn fm_27_content_that_could_not_be_synced_is_written_anew_and_never_synced_again() {
    let disk = PowerlessDisk::default();
    let store = disk.store().expect("it opens");
    // The folder and its sync, the temporary file, its content, its sync.
    disk.fail_at(5, Mishap::Once(EIO));
    store.put("t/a", b"12345").expect_err("the kernel has dropped it");
    assert_eq!(store.list("").expect("listed"), [], "nothing stays of it");
    store.put("t/a", b"12345").expect("from the first byte");
    disk.lose_power(Survives::Nothing);
    assert_eq!(store.get("t/a").expect("durable"), b"12345");
}

#[test]
fn fm_27_what_a_call_has_done_survives_a_loss_of_power() {
    let disk = PowerlessDisk::default();
    let store = disk.store().expect("it opens");
    for path in ["a/b/put", "a/moved", "a/removed"] {
        store.put(path, b"1").expect("written");
    }
    store.put_if_absent("c/d/created", b"2").expect("absent");
    store.publish("a/moved", "e/f/moved").expect("moved");
    store.delete("a/removed").expect("removed");
    disk.lose_power(Survives::Nothing);
    for path in ["a/b/put", "c/d/created", "e/f/moved"] {
        let expected: &[u8] = if path == "c/d/created" { b"2" } else { b"1" };
        assert_eq!(store.get(path).expect("it is there"), expected, "{path}");
    }
    assert!(store.get("a/removed").is_err(), "what was removed is back");
}

#[test]
fn fm_27_a_move_to_another_file_system_never_loses_the_file() {
    // One half of what was not synced, or the other.
    let survives = (0..8).map(|seed| Survives::Some { seed }).chain([Survives::Nothing]);
    for (survives, n) in survives.flat_map(|survives| (1..20).map(move |n| (survives, n))) {
        let disk = PowerlessDisk::default();
        let store = disk.store().expect("it opens");
        store.put("staging/a", b"1").expect("written");
        disk.set_apart();
        disk.fail_at(n, Mishap::Death);
        let moved = store.publish("staging/a", "table/a");
        disk.lose_power(survives);
        let there = |path| store.get(path).is_ok();
        assert!(
            there("table/a") || (moved.is_err() && there("staging/a")),
            "death at call {n}, {survives:?}"
        );
    }
}
