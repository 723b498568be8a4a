//! The worker's loop on a topic in memory, with a store that fails when told, and time that stands still.

mod drain;
mod gap;
mod kafka;
mod limits;
mod store;
mod topic;
mod trouble;
mod whole;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tidegauge::clock::Clock;
use tidegauge::config;
use tidegauge::executor::{Executor, Submitted, Work};
use tidegauge::pipeline::{Pipeline, Surroundings, existing_store, registry_of};
use tidegauge::worker::Worker;
use tidegauge_aggregate::InMemory;
use tidegauge_flow::NoFailpoint;
use tidegauge_sink::{Lake, LocalStore, Record, verify};

use self::store::Wobbly;
use self::topic::{MemoryEnds, MemorySource, Topic};

/// The topic of all tests here.
pub const TOPIC: &str = "t";

/// Time that passes when told.
#[derive(Debug)]
pub struct StillClock {
    base: Instant,
    passed: Mutex<Duration>,
}

impl StillClock {
    pub fn pass(&self, by: Duration) {
        *self.passed.lock().expect("unharmed") += by;
    }
}

impl Clock for StillClock {
    fn now_ns(&self) -> i64 {
        let passed = *self.passed.lock().expect("unharmed");
        1_767_225_600_000_000_000 + i64::try_from(passed.as_nanos()).expect("short")
    }

    fn instant(&self) -> Instant {
        self.base + *self.passed.lock().expect("unharmed")
    }
}

/// Writes epochs at once, or later.
#[derive(Default)]
pub struct Gate {
    pace: Arc<Mutex<Pace>>,
    waiting: Mutex<Vec<Slot>>,
}

/// When epochs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pace {
    #[default]
    AtOnce,
    /// When somebody waits for them.
    Awaited,
    /// Not before the gate is open.
    Stuck,
}

/// Work, until it is done.
type Slot = Arc<Mutex<Option<Work>>>;

impl Gate {
    pub fn shut(&self) {
        *self.pace.lock().expect("unharmed") = Pace::Stuck;
    }

    pub fn slow(&self) {
        *self.pace.lock().expect("unharmed") = Pace::Awaited;
    }

    pub fn open(&self) {
        *self.pace.lock().expect("unharmed") = Pace::AtOnce;
        self.take().iter().for_each(carry_out);
    }

    /// What is not done yet; the gate forgets it.
    pub fn take(&self) -> Vec<Slot> {
        std::mem::take(&mut *self.waiting.lock().expect("unharmed"))
    }

    pub fn waiting(&self) -> usize {
        self.waiting.lock().expect("unharmed").len()
    }
}

pub fn carry_out(slot: &Slot) {
    let work = slot.lock().expect("unharmed").take();
    if let Some(work) = work {
        work();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Executor for Gate {
    fn submit(&self, work: Work) -> Box<dyn Submitted> {
        let slot: Slot = Arc::new(Mutex::new(Some(work)));
        if *self.pace.lock().expect("unharmed") == Pace::AtOnce {
            carry_out(&slot);
        } else {
            self.waiting.lock().expect("unharmed").push(slot.clone());
        }
        Box::new(Behind { slot, pace: self.pace.clone() })
    }
}

struct Behind {
    slot: Slot,
    pace: Arc<Mutex<Pace>>,
}

impl Submitted for Behind {
    fn is_done(&self) -> bool {
        self.slot.lock().expect("unharmed").is_none()
    }

    /// With a deadline: what is stuck now will be stuck then.
    fn wait(&self, until: Option<Instant>) -> bool {
        if *self.pace.lock().expect("unharmed") != Pace::Stuck {
            carry_out(&self.slot);
        }
        assert!(until.is_some() || self.is_done(), "a wait without an end");
        self.is_done()
    }
}

/// One lake, one topic, and the processes on them.
pub struct Bench {
    folder: TempDir,
    pub topic: Topic,
    pub clock: Arc<StillClock>,
    pub store: Arc<Wobbly>,
    pub gate: Arc<Gate>,
    settings: Vec<String>,
}

impl Bench {
    /// A topic with this many partitions; settings as for `--set`.
    pub fn new(partitions: usize, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = folder.path().join("lake");
        let inner = LocalStore::create(&lake).expect("a store");
        let mut sets = vec![format!("lake.url={}", lake.display())];
        sets.extend(settings.iter().map(ToString::to_string));
        let clock = StillClock { base: Instant::now(), passed: Mutex::default() };
        Self {
            folder,
            topic: Topic::new(partitions),
            clock: Arc::new(clock),
            store: Arc::new(Wobbly::new(Arc::new(inner))),
            gate: Arc::default(),
            settings: sets,
        }
    }

    pub fn pipeline(&self, seed: u64) -> Arc<Pipeline> {
        let text = r#"
            [source]
            brokers = "127.0.0.1:1"
            topic = "t"
            [event]
            time = "TS"
            key = [{ name = "Id", type = "int64" }]
            values = ["Value"]
            [window]
            query = '''SELECT "Id", sum("Value") AS s FROM readings
                       GROUP BY "Id", tumble("TS", INTERVAL '5 seconds')'''
            out_of_order = "2s"
            [lake]
            commit_every = "1s"
        "#;
        let config = config::parse("test", text, std::iter::empty(), &self.settings);
        let around = Surroundings {
            lake: self.store.clone(),
            registry: registry_of(self.store.clone()),
            failpoint: Arc::new(NoFailpoint),
            clock: self.clock.clone(),
            commits: self.gate.clone(),
            chance: Box::new(StdRng::seed_from_u64(seed)),
            spill: Arc::new(InMemory),
        };
        Arc::new(Pipeline::within(config.expect("valid"), around).expect("opens"))
    }

    /// A process: its pipeline, its worker, and the group's wishes to it.
    pub fn process(&self, seed: u64) -> Process {
        let pipeline = self.pipeline(seed);
        let source = MemorySource::new(&self.topic);
        let group = source.group.clone();
        let ends = Arc::new(MemoryEnds::new(&self.topic, self.clock.clone()));
        let worker = Worker::new(pipeline.clone(), TOPIC, source, ends);
        Process { pipeline, worker, group, clock: self.clock.clone() }
    }

    pub fn records(&self, partition: usize) -> Vec<Record> {
        self.records_of(&format!("{TOPIC}-{partition}"))
    }

    pub fn records_of(&self, lane: &str) -> Vec<Record> {
        let reader = Lake::read(self.lake()).expect("a lake");
        reader.records(lane).unwrap_or_default()
    }

    /// Messages that the lane's ledger counts.
    pub fn messages(&self, partition: usize) -> u64 {
        self.records(partition).iter().map(|record| record.counters.messages).sum()
    }

    /// The lake proves itself.
    pub fn prove(&self) {
        let report = verify(&*self.lake(), &|_, _| {}).expect("verifies");
        assert!(report.is_clean(), "{:?}", report.problems);
    }

    fn lake(&self) -> Arc<dyn tidegauge_flow::Store> {
        existing_store(
            &self.folder.path().join("lake").display().to_string(),
            &tidegauge_sink::Storage::default(),
        )
        .expect("there")
    }
}

pub struct Process {
    pub pipeline: Arc<Pipeline>,
    pub worker: Worker<MemorySource>,
    pub group: topic::Group,
    clock: Arc<StillClock>,
}

impl Process {
    /// Some turns, each some time apart.
    pub fn turns(&mut self, count: usize, apart: Duration) {
        for _ in 0..count {
            self.turn().expect("goes on");
            self.clock.pass(apart);
        }
    }

    pub fn turn(&mut self) -> anyhow::Result<()> {
        self.worker.turn(Duration::ZERO).map(drop)
    }

    /// Turns until it fails, within a bounded time of the clock.
    pub fn fails(&mut self, within: Duration) -> String {
        let apart = Duration::from_millis(500);
        for _ in 0..within.as_millis() / apart.as_millis() {
            if let Err(error) = self.turn() {
                return format!("{error:#}");
            }
            self.clock.pass(apart);
        }
        panic!("it did not fail within {within:?}");
    }

    /// A counter or gauge.
    pub fn metric(&self, name: &str) -> f64 {
        self.pipeline.metrics.sum(name)
    }
}

/// A reading of a sensor at a second.
pub fn reading(second: i64, id: i64) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(r#"{{"TS":"2026-01-01T00:{minute:02}:{second:02}Z","Id":{id},"Value":1}}"#)
}
