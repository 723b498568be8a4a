//! Maintenance that crashes: at each of its places, beside a lane that is still fed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tidegauge::pipeline::{identity, plan};
use tidegauge_flow::{Failpoint, NoFailpoint, Place, Store};
use tidegauge_sink::{Lake, Mode, Upkeep, Writer};

use crate::child::{Ended, spawn};
use crate::input::{self, NOW_NS};
use crate::lake;
use crate::life::{self, Crash, Orders, Phase, live};

const HOUR_US: i64 = 3_600_000_000;

/// Runs of maintenance in one life, hours after everything else: hours are compacted, then days; what was
/// replaced and what is summarised is deleted.
const RUNS_AFTER_HOURS: [i64; 4] = [4, 8, 60, 64];

/// One life of maintenance.
pub fn maintain(store: Arc<dyn Store>, failpoint: Arc<dyn Failpoint>) -> anyhow::Result<()> {
    let config = input::config();
    let query = plan(&config)?;
    let lake = Lake::open(store, failpoint, &identity(&config, &query), NOW_NS / 1000)?;
    let upkeep = Upkeep {
        compact: true,
        allowed_lateness_us: 0,
        compact_after_us: HOUR_US,
        file_max_bytes: 1 << 20,
        keep_replaced_us: HOUR_US,
        keep_ledger_us: HOUR_US,
        keep_us: BTreeMap::new(),
    };
    for hours in RUNS_AFTER_HOURS {
        let writer = Writer::random(&mut StdRng::from_os_rng());
        let now_us = NOW_NS / 1000 + hours * HOUR_US;
        lake.maintain(&upkeep, Mode::Act, writer, now_us, &|_, _| {})?;
    }
    Ok(())
}

/// A lake with half of the input, in several epochs.
fn half_fed(folder: &std::path::Path) {
    let pipeline = life::pipeline(lake::store(folder), Arc::new(NoFailpoint)).expect("opens");
    let messages = input::messages();
    let mut lane = life::open(&pipeline).expect("opens");
    for part in messages[..messages.len() / 2].chunks(20) {
        life::feed(&mut lane, part).expect("feeds");
        lane.commit(NOW_NS / 1000).expect("commits");
    }
}

#[test]
fn fm_21_maintenance_that_crashes_at_each_place_leaves_no_trace() {
    let mut fired = BTreeSet::new();
    for place in Place::UPKEEP {
        for reach in 1..=3 {
            let crash = Crash { place, reach, phase: Phase::Start };
            let folder = lake::fresh();
            half_fed(folder.path());
            let ended = spawn(&Orders::maintenance(folder.path(), Some(crash)));
            if ended == Ended::Crashed {
                fired.insert(format!("{place:?}"));
            }
            live(&Orders::calm(folder.path(), 40)).expect("the next process continues");
            live(&Orders::maintenance(folder.path(), None)).expect("maintenance runs again");
            lake::assert_whole(folder.path(), &format!("{crash:?}"));
        }
    }
    let all: BTreeSet<_> = Place::UPKEEP.iter().map(|place| format!("{place:?}")).collect();
    assert_eq!(fired, all, "each place is one where maintenance has crashed");
}
