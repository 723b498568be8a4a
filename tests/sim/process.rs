//! One process: its pipeline and its workers, which the runner turns one at a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge::control::OpenWindows;
use tidegauge::pipeline::{Pipeline, Surroundings, registry_of};
use tidegauge::worker::Worker;
use tidegauge_aggregate::InMemory;

use crate::executor::SimExecutor;
use crate::scenario::{Scenario, TOPIC};
use crate::source::{SimEnds, SimSource};
use crate::store::{SimFailpoint, SimStore};
use crate::world::{SimClock, World};

/// A process that runs.
pub struct Process {
    workers: Vec<Worker<SimSource>>,
    commits: Arc<SimExecutor>,
    pub ends: Arc<SimEnds>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.commits.clear();
    }
}

/// The name of a process' thread in the group.
pub fn member(name: &str, thread: usize) -> String {
    format!("{name}-{thread}")
}

impl Process {
    /// Starts as `run` does: pipeline, then members of the group.
    pub fn start(world: &Arc<World>, scenario: &Scenario, name: &str, id: u64) -> Result<Self> {
        let lake = Arc::new(SimStore { world: world.clone(), process: id });
        let commits = SimExecutor::new(world.clone(), id);
        let chance = ChaCha8Rng::seed_from_u64(world.state().random.next_u64());
        let around = Surroundings {
            registry: registry_of(lake.clone()),
            lake,
            failpoint: Arc::new(SimFailpoint { world: world.clone(), process: id }),
            commits: commits.clone(),
            clock: Arc::new(SimClock { world: world.clone(), process: id }),
            chance: Box::new(chance),
            spill: Arc::new(InMemory),
        };
        let query = scenario.planned.query.clone();
        let pipeline = Arc::new(Pipeline::planned(scenario.config.clone(), query, around)?);
        let ends = Arc::new(SimEnds::new(world.clone()));
        let worker = |thread| {
            let source = SimSource::join(world.clone(), id, member(name, thread), id);
            Worker::new(pipeline.clone(), TOPIC, source, ends.clone())
        };
        Ok(Self { workers: (0..scenario.threads).map(worker).collect(), commits, ends })
    }

    /// Where its epochs are written.
    pub fn commits(&self) -> Arc<SimExecutor> {
        self.commits.clone()
    }

    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// One turn of one worker.
    pub fn turn(&mut self, worker: usize) -> Result<()> {
        self.workers[worker].turn(Duration::from_millis(50)).map(drop)
    }

    /// The orderly end of all workers. When one has failed, the others end all the same.
    pub fn stop(mut self, windows: OpenWindows) -> Result<()> {
        let workers = std::mem::take(&mut self.workers);
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.end(windows)).collect();
        ends.into_iter().collect()
    }

    /// After a failure of one worker: it is dropped, and the others end in order.
    pub fn fail(mut self, worker: usize) -> Result<()> {
        drop(self.workers.remove(worker));
        self.stop(OpenWindows::Leave)
    }
}
