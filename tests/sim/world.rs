//! What all processes of one seed share: time, chance, the topic, the group, the lake's objects, and the
//! record of what happened.
//!
//! *Why one lock around all of it*: a seed runs on one thread, so nothing ever waits; the lock is there
//! because the pipeline wants its surroundings to be `Sync`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge::clock::Clock;

use crate::group::Group;
use crate::scenario::Scenario;
use crate::store::Objects;
use crate::topic::Topic;

/// The true wall clock at the beginning: 2026-01-31T23:50:00Z, so that a day ends on the way.
pub const WALL_START_NS: i64 = (1_769_904_000 - 600) * 1_000_000_000;

/// One seed's world.
pub struct World(Mutex<State>);

/// What is in it.
pub struct State {
    /// Virtual time since the beginning.
    pub now: Duration,
    pub random: ChaCha8Rng,
    pub trace: Trace,
    pub topic: Topic,
    pub group: Group,
    pub objects: Objects,
    /// Whether the lake's storage can rename.
    pub renames: bool,
    pub faults: Faults,
    /// Processes that do nothing any more, whatever their code still tries.
    pub dead: BTreeSet<u64>,
    /// How far each process' wall clock is off, nanoseconds.
    pub skew: BTreeMap<u64, i64>,
    /// What must never happen, and did.
    pub problems: Vec<String>,
}

/// How often something goes wrong, out of 10,000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Calls of the store that fail, per call.
    pub store: u32,
    /// Processes that die or are interrupted, per failpoint.
    pub failpoint: u32,
    /// Stretches in which the others go on, per call of the store or failpoint.
    pub interleave: u32,
    /// Writes that are not done when somebody waits for them.
    pub slow: u32,
    /// Calls of the source that fail, per call.
    pub source: u32,
    /// Crashes, pauses, stops, jumps of clocks, per step.
    pub process: u32,
}

impl World {
    pub fn new(scenario: &Scenario, seed: u64, tracing: bool) -> Arc<Self> {
        let state = State {
            now: Duration::ZERO,
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5eed),
            trace: Trace::new(tracing),
            topic: Topic::new(scenario),
            group: Group::new(scenario.cooperative, scenario.partitions),
            objects: Objects::default(),
            renames: scenario.renames,
            faults: scenario.faults,
            dead: BTreeSet::new(),
            skew: BTreeMap::new(),
            problems: Vec::new(),
        };
        Arc::new(Self(Mutex::new(state)))
    }

    /// The state. Never held while the pipeline's code runs.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True `per` times out of 10,000.
    pub fn chance(&mut self, per: u32) -> bool {
        per > 0 && self.random.random_range(0..10_000) < per
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    pub fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }

    /// Writes down what happens.
    pub fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.now;
        self.trace.note(now, what);
    }

    /// Writes down what must not happen.
    pub fn problem(&mut self, what: String) {
        self.note(format_args!("PROBLEM {what}"));
        self.problems.push(what);
    }

    /// The true wall clock, nanoseconds.
    pub fn wall_ns(&self) -> i64 {
        WALL_START_NS + self.now.as_nanos() as i64
    }

    /// Time passes; who has not been heard of for a session is out of the group.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        let (now, partitions) = (self.now, self.topic.partitions(self.now));
        for what in self.group.advance(now, partitions) {
            self.note(format_args!("group: {what}"));
        }
    }
}

/// What happened, in order; its digest tells whether two runs were the same.
pub struct Trace {
    hasher: DefaultHasher,
    /// The lines themselves, when somebody wants to read them.
    pub lines: Option<Vec<String>>,
    scratch: String,
}

impl Trace {
    fn new(tracing: bool) -> Self {
        let lines = tracing.then(Vec::new);
        Self { hasher: DefaultHasher::new(), lines, scratch: String::new() }
    }

    fn note(&mut self, now: Duration, what: std::fmt::Arguments<'_>) {
        self.scratch.clear();
        let _ = write!(self.scratch, "{:>10.3} {what}", now.as_secs_f64());
        self.scratch.hash(&mut self.hasher);
        if let Some(lines) = &mut self.lines {
            lines.push(self.scratch.clone());
        }
    }

    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

/// A process' clocks: the steady one is the world's, the wall clock may be wrong.
pub struct SimClock {
    pub world: Arc<World>,
    pub process: u64,
}

impl std::fmt::Debug for SimClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the clocks of process {}", self.process)
    }
}

impl Clock for SimClock {
    fn now_ns(&self) -> i64 {
        let state = self.world.state();
        state.wall_ns() + state.skew.get(&self.process).copied().unwrap_or(0)
    }

    fn instant(&self) -> Instant {
        instant(self.world.state().now)
    }
}

/// A virtual time as the instant that the pipeline sees.
pub fn instant(now: Duration) -> Instant {
    // Only differences matter, so that any beginning will do.
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now) + now
}
