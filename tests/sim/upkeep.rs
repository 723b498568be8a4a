//! Maintenance beside the writers: summaries, compaction, deletion of what is replaced and summarised.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge::pipeline::identity;
use tidegauge_sink::{Lake, Mode, Upkeep, Writer};

use crate::scenario::Scenario;
use crate::store::{SimFailpoint, SimStore};
use crate::world::World;

const MINUTE_US: i64 = 60_000_000;

/// One run of maintenance, as a process of its own.
pub fn run(world: &Arc<World>, scenario: &Scenario, id: u64) -> Result<()> {
    let store = Arc::new(SimStore { world: world.clone(), process: id });
    let failpoint = Arc::new(SimFailpoint { world: world.clone(), process: id });
    let (seed, now_us, upkeep) = {
        let mut state = world.state();
        let mut minutes = |choices: [i64; 3]| choices[state.below(3)] * MINUTE_US;
        let lateness = scenario.config.window.allowed_lateness.unwrap_or_default();
        let upkeep = Upkeep {
            compact: true,
            allowed_lateness_us: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
            compact_after_us: minutes([1, 5, 60]),
            file_max_bytes: 1 << 20,
            keep_replaced_us: minutes([1, 5, 60]),
            keep_ledger_us: minutes([1, 5, 60]),
            keep_us: BTreeMap::new(),
        };
        (state.random.next_u64(), state.wall_ns() / 1000, upkeep)
    };
    let identity = identity(&scenario.config, &scenario.planned.query);
    let lake = Lake::open(store, failpoint, &identity, now_us)?;
    let writer = Writer::random(&mut ChaCha8Rng::seed_from_u64(seed));
    lake.maintain(&upkeep, Mode::Act, writer, now_us, &|_, _| {})?;
    Ok(())
}
