//! One life of a process: it takes a lane of a lake in a directory, and feeds and commits it until all
//! is read, or until a failpoint aborts the process.

use std::path::{Path, PathBuf};
use std::process::abort;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tidegauge::clock::SystemClock;
use tidegauge::executor::Threads;
use tidegauge::lane::Lane;
use tidegauge::pipeline::{Pipeline, Surroundings, registry_of};
use tidegauge_aggregate::{Closing, InMemory};
use tidegauge_flow::{Failpoint, Interrupted, NoFailpoint, Partition, Place, Store};
use tidegauge_ingest::Message;
use tidegauge_sink::LocalStore;

use crate::input::{self, NOW_NS};
use crate::upkeep;

/// When a life's failpoint begins to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the lane is taken.
    Start,
    /// When half of the input is committed.
    Middle,
    /// Before the last commit.
    Last,
}

impl Phase {
    pub const ALL: [Self; 3] = [Self::Start, Self::Middle, Self::Last];
}

/// Where a life ends by a crash: at the n-th reach of a place within a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    pub place: Place,
    pub reach: usize,
    pub phase: Phase,
}

/// What a life shall do.
#[derive(Debug, Clone)]
pub struct Orders {
    pub lake: PathBuf,
    pub job: Job,
    pub crash: Option<Crash>,
}

/// What a life is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// To feed the lane, with so many messages per commit.
    Feed { step: usize },
    /// The same; with the commit that reaches half of the input the champion becomes another set.
    Swap { step: usize },
    /// To maintain the lake, several times in the course of days.
    Maintain,
}

/// All places, those of a lane and those of maintenance.
fn places() -> impl Iterator<Item = Place> {
    Place::ALL.into_iter().chain(Place::UPKEEP)
}

impl Orders {
    /// A life without a crash.
    pub fn calm(lake: &Path, step: usize) -> Self {
        Self { lake: lake.to_owned(), job: Job::Feed { step }, crash: None }
    }

    /// A life that maintains the lake.
    pub fn maintenance(lake: &Path, crash: Option<Crash>) -> Self {
        Self { lake: lake.to_owned(), job: Job::Maintain, crash }
    }

    /// As a value of the environment.
    pub fn to_text(&self) -> String {
        let place = |crash: &Crash| places().position(|p| p == crash.place);
        let phase = |crash: &Crash| Phase::ALL.iter().position(|p| *p == crash.phase);
        let crash = self.crash.as_ref().map(|crash| {
            let (place, phase) = (place(crash).expect("listed"), phase(crash).expect("listed"));
            format!("{place} {} {phase}", crash.reach)
        });
        let job = match self.job {
            Job::Feed { step } => format!("feed {step}"),
            Job::Swap { step } => format!("swap {step}"),
            Job::Maintain => "maintain".to_owned(),
        };
        format!("{job}\n{}\n{}", self.lake.display(), crash.unwrap_or_default())
    }

    /// What [`Orders::to_text`] made.
    pub fn from_text(text: &str) -> Self {
        let lines: Vec<&str> = text.split('\n').collect();
        let numbers: Vec<usize> =
            lines[2].split_whitespace().map(|n| n.parse().expect("a number")).collect();
        let crash = match numbers[..] {
            [place, reach, phase] => {
                let place = places().nth(place).expect("a place");
                Some(Crash { place, reach, phase: Phase::ALL[phase] })
            }
            _ => None,
        };
        let job = match lines[0].split_once(' ') {
            None => Job::Maintain,
            Some(("feed", step)) => Job::Feed { step: step.parse().expect("a number") },
            Some((_, step)) => Job::Swap { step: step.parse().expect("a number") },
        };
        Self { lake: lines[1].into(), job, crash }
    }
}

/// Aborts the process: nothing is unwound, dropped or cleaned up.
struct Aborts {
    crash: Crash,
    armed: AtomicBool,
    reached: AtomicUsize,
}

impl Failpoint for Aborts {
    fn reach(&self, place: Place) -> Result<(), Interrupted> {
        if self.armed.load(Ordering::Relaxed)
            && place == self.crash.place
            && self.reached.fetch_add(1, Ordering::Relaxed) + 1 == self.crash.reach
        {
            abort();
        }
        Ok(())
    }
}

/// Lives until its job is done: all input is committed and its windows are closed, or the lake is
/// maintained. Says why if it cannot.
pub fn live(orders: &Orders) -> anyhow::Result<()> {
    let store: Arc<dyn Store> = Arc::new(LocalStore::create(&orders.lake)?);
    live_on(store, orders)
}

/// The same on a store of the caller's.
pub fn live_on(store: Arc<dyn Store>, orders: &Orders) -> anyhow::Result<()> {
    let aborts = orders.crash.map(|crash| {
        let armed = AtomicBool::new(crash.phase == Phase::Start);
        Arc::new(Aborts { crash, armed, reached: AtomicUsize::new(0) })
    });
    let arm = |phase: Phase| {
        if let Some(aborts) = aborts.as_ref().filter(|aborts| aborts.crash.phase == phase) {
            aborts.armed.store(true, Ordering::Relaxed);
        }
    };
    let failpoint: Arc<dyn Failpoint> = match &aborts {
        Some(aborts) => aborts.clone(),
        None => Arc::new(NoFailpoint),
    };
    let (step, swaps) = match orders.job {
        Job::Feed { step } => (step, false),
        Job::Swap { step } => (step, true),
        Job::Maintain => return upkeep::maintain(store, failpoint),
    };
    let pipeline = pipeline(store, failpoint)?;
    let messages = input::messages();
    let mut commits = 0;
    let mut lane = open(&pipeline)?;
    loop {
        let next = position(&lane);
        let from = messages.partition_point(|message| message.offset < next);
        if from >= messages.len() / 2 {
            arm(Phase::Middle);
        }
        let to = (from + step).min(messages.len());
        // In two batches, so that a batch's end is not always an epoch's.
        for part in [from..from.midpoint(to), from.midpoint(to)..to] {
            feed(&mut lane, &messages[part])?;
        }
        if to == messages.len() {
            break;
        }
        if swaps && to == messages.len() / 2 {
            pipeline.registry.move_alias("champion", 2, 1)?;
        }
        lane.commit(NOW_NS / 1000)?;
        commits += 1;
        // A lane is taken again and again, so that the places of taking it come more than once.
        if commits % 2 == 0 {
            lane = open(&pipeline)?;
        }
    }
    arm(Phase::Last);
    lane.drain()?;
    lane.commit(NOW_NS / 1000)?;
    for _ in 0..3 {
        open(&pipeline)?;
    }
    Ok(())
}

/// The pipeline of all lives.
pub fn pipeline(
    lake: Arc<dyn Store>,
    failpoint: Arc<dyn Failpoint>,
) -> anyhow::Result<Arc<Pipeline>> {
    let around = Surroundings {
        registry: registry_of(lake.clone()),
        lake,
        failpoint,
        clock: Arc::new(SystemClock),
        commits: Arc::new(Threads::start(1)?),
        chance: Box::new(StdRng::from_os_rng()),
        spill: Arc::new(InMemory),
    };
    Ok(Arc::new(Pipeline::within(input::config(), around)?))
}

/// Takes the lane; a new one begins with a commit, as the worker's do.
pub fn open(pipeline: &Arc<Pipeline>) -> anyhow::Result<Lane> {
    let mut lane = Lane::open(pipeline, input::LANE, Closing::ByWatermark)?;
    lane.input(&partition(), 0);
    lane.commit(NOW_NS / 1000)?;
    Ok(lane)
}

/// The next offset of the lane's only input.
pub fn position(lane: &Lane) -> i64 {
    lane.position_of(&partition()).expect("the input is known")
}

/// Feeds messages of the lane's only input.
pub fn feed(lane: &mut Lane, messages: &[input::Owned]) -> anyhow::Result<()> {
    let message = |m: &'_ input::Owned| m.offset + 1;
    let borrowed = messages.iter().map(|m| {
        let payload = m.payload.as_deref();
        (Message { offset: m.offset, timestamp_ms: None, payload }, message(m))
    });
    lane.feed(0, borrowed, NOW_NS)
}

fn partition() -> Partition {
    Partition::new(input::TOPIC, 0)
}
