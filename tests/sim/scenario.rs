//! What a seed decides beforehand: query, settings, how many workers, and everything that producers will
//! ever send.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge::config::{self, Config, Late, OnGap};
use tidegauge::pipeline::plan;
use tidegauge_aggregate::Query;
use tidegauge_flow::time::rfc3339;

use crate::events;
use crate::world::{Faults, WALL_START_NS};

pub const SECOND: i64 = 1_000_000_000;
pub const TOPIC: &str = "t";

/// The windows of a query, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub size: i64,
    pub slide: i64,
    pub offset: i64,
    /// Whether the query leaves out readings with a value below this.
    pub least: Option<i64>,
    /// Whether events have ids, so that each counts once.
    pub ids: bool,
}

/// A query of the simulation, planned once for all seeds.
pub struct Planned {
    pub shape: Shape,
    config: Config,
    pub query: Arc<Query>,
}

/// What the simulated producers send.
#[derive(Debug, Clone)]
pub struct Sent {
    pub offset: i64,
    /// When it is in the topic.
    pub at: Duration,
    pub timestamp_ms: Option<i64>,
    pub what: What,
}

#[derive(Clone)]
pub enum What {
    Reading {
        time_ns: i64,
        id: i64,
        value: i64,
        event: u64,
        payload: Arc<[u8]>,
    },
    /// A message that nobody can read, and the reason that the lake shall name.
    Poison {
        payload: Option<Arc<[u8]>>,
        reason: &'static str,
    },
    /// An offset without a message: the end of a transaction, a compacted message.
    Nothing,
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading { time_ns, id, value, event, .. } => {
                write!(f, "sensor {id}, time {time_ns}, value {value}, event {event}")
            }
            Self::Poison { reason, .. } => f.write_str(reason),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// One seed's decisions.
pub struct Scenario {
    pub planned: &'static Planned,
    pub config: Config,
    pub cooperative: bool,
    /// Partitions at the beginning.
    pub partitions: usize,
    /// When the topic grows, and to how many partitions.
    pub growth: Option<(Duration, usize)>,
    /// By partition, in the order of offsets.
    pub sent: Vec<Vec<Sent>>,
    /// Processes that are meant to run.
    pub processes: usize,
    /// Worker threads of each.
    pub threads: usize,
    pub faults: Faults,
    /// When trouble ends.
    pub calm_at: Duration,
    /// Whether the lake's storage can rename: a directory can, a bucket cannot.
    pub renames: bool,
    /// Whether the brokers delete what nobody has read yet; then the pipeline is to go on behind it.
    pub retention: bool,
    /// What the brokers say the topic is.
    pub identity: Option<Arc<str>>,
    /// Whether the open windows are closed at the end.
    pub close_windows: bool,
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let planned = queries().choose(&mut random).expect("there are queries");
        let mut config = planned.config.clone();
        config.events = events::settings(seed);
        config.window.out_of_order = Duration::from_secs(random.random_range(0..8));
        config.window.idle_after = Duration::from_secs(*pick(&mut random, &[15, 30, 60]));
        if random.random_bool(0.3) {
            let lateness = Duration::from_secs(*pick(&mut random, &[0, 7, 30, 200]));
            (config.window.late, config.window.allowed_lateness) = (Late::Revise, Some(lateness));
        }
        config.lake.commit_every = Duration::from_secs(*pick(&mut random, &[4, 10, 25, 70]));
        config.source.drain_within = Duration::from_secs(*pick(&mut random, &[2, 20, 60]));
        let revises = config.window.late == Late::Revise;
        let retention = random.random_bool(0.25);
        config.source.on_gap = if retention { OnGap::Skip } else { OnGap::Fail };
        config.lake.rejects_max = *pick(&mut random, &[3, 1000]);
        let partitions = random.random_range(1..=3);
        let growth = random.random_bool(0.15).then(|| {
            let at = Duration::from_secs(random.random_range(60..300));
            (at, partitions + random.random_range(1..=2))
        });
        let most = growth.map_or(partitions, |(_, most)| most);
        let bursts = random.random_range(3..9);
        let mut producer = Producer { random: &mut random, shape: planned.shape, next_event: 0 };
        let mut sent: Vec<_> =
            (0..partitions).map(|p| producer.partition(p, Duration::ZERO, bursts)).collect();
        for number in partitions..most {
            let from = growth.map_or(Duration::ZERO, |(at, _)| at);
            sent.push(producer.partition(number, from, bursts.div_ceil(2)));
        }
        let last = sent.iter().flatten().map(|s| s.at).max().unwrap_or_default();
        let calm = random.random_bool(0.05);
        let mut rate = |most: u32| if calm { 0 } else { random.random_range(0..=most) };
        let faults = Faults {
            store: rate(60),
            failpoint: rate(60),
            interleave: rate(150),
            slow: rate(2_000),
            source: rate(300),
            process: rate(150),
        };
        Self {
            planned,
            config,
            cooperative: random.random(),
            partitions,
            growth,
            sent,
            processes: random.random_range(1..=4),
            threads: *pick(&mut random, &[1, 1, 2]),
            faults,
            calm_at: last.mul_f64(random.random_range(0.7..1.2)),
            retention,
            renames: random.random_bool(0.7),
            identity: random.random_bool(0.5).then(|| "first".into()),
            // What is held has its last revisions then; until then the oracle would have to know when they came.
            close_windows: random.random_bool(0.7) | revises,
        }
    }
}

impl Scenario {
    /// What was decided, as lines for a reader.
    pub fn describe(&self) -> Vec<String> {
        let window = &self.config.window;
        let mut lines = vec![
            format!("{:?}, out of order {:?}", self.planned.shape, window.out_of_order),
            format!("idle after {:?}, revise for {:?}", window.idle_after, window.allowed_lateness),
            format!("commit every {:?}, {:?}", self.config.lake.commit_every, self.faults),
            format!("{} processes with {} threads", self.processes, self.threads),
            format!("cooperative: {}, renames: {}", self.cooperative, self.renames),
            format!("identity {:?}, retention: {}", self.identity, self.retention),
        ];
        for (number, sent) in self.sent.iter().enumerate() {
            let line = |sent: &Sent| {
                let at = sent.at.as_secs_f64();
                format!("{at:>10.3} {number}/{} is sent: {:?}", sent.offset, sent.what)
            };
            lines.extend(sent.iter().map(line));
        }
        lines
    }
}

fn pick<'a, T>(random: &mut ChaCha8Rng, choices: &'a [T]) -> &'a T {
    choices.choose(random).expect("there is a choice")
}

/// Makes what is sent to one partition after the other.
struct Producer<'a> {
    random: &'a mut ChaCha8Rng,
    shape: Shape,
    next_event: u64,
}

impl Producer<'_> {
    /// Bursts of messages with silence between.
    fn partition(&mut self, number: usize, from: Duration, bursts: usize) -> Vec<Sent> {
        let mut sent = Vec::new();
        // A partition that never gets anything.
        if self.random.random_bool(0.05) {
            return sent;
        }
        let (mut offset, mut at) = (0, from);
        for _ in 0..bursts {
            at += match self.random.random_range(0..10) {
                0..5 => Duration::from_millis(self.random.random_range(1_000..15_000)),
                5..9 => Duration::from_secs(self.random.random_range(10..100)),
                _ => Duration::from_secs(self.random.random_range(100..600)),
            };
            for _ in 0..self.random.random_range(1..16) {
                at += Duration::from_millis(*pick(self.random, &[0, 5, 40, 300, 1500]));
                let what = self.message(number, at, &sent);
                sent.push(Sent { offset, at, timestamp_ms: self.timestamp(at), what });
                offset += if self.random.random_bool(0.05) { 4 } else { 1 };
            }
        }
        sent
    }

    fn timestamp(&mut self, at: Duration) -> Option<i64> {
        let ms = (WALL_START_NS + at.as_nanos() as i64) / 1_000_000;
        match self.random.random_range(0..10) {
            0 => None,
            // A producer's clock that is half a day ahead.
            1 => Some(ms + 43_200_000),
            _ => Some(ms),
        }
    }

    fn message(&mut self, partition: usize, at: Duration, before: &[Sent]) -> What {
        match self.random.random_range(0..100) {
            0..4 => self.poison(at),
            4..6 => What::Nothing,
            6..10 => match before.choose(self.random).map(|sent| &sent.what) {
                // A producer that sends twice.
                Some(again @ What::Reading { .. }) => again.clone(),
                _ => What::Nothing,
            },
            _ => self.reading(partition, at),
        }
    }

    fn reading(&mut self, partition: usize, at: Duration) -> What {
        let wall = WALL_START_NS + at.as_nanos() as i64;
        let behind = match self.random.random_range(0..20) {
            0 => self.random.random_range(0..120 * SECOND),
            1 => -self.random.random_range(0..40 * SECOND),
            2..10 => self.random.random_range(0..9 * SECOND),
            _ => self.random.random_range(0..SECOND),
        };
        let mut time_ns = (wall - behind) / 1_000_000 * 1_000_000;
        if self.random.random_bool(0.2) {
            // On a window's edge.
            time_ns -= time_ns.rem_euclid(self.shape.slide) - self.shape.offset;
        }
        let id = partition as i64 * 100 + self.random.random_range(0..4);
        let (value, event) = (self.random.random_range(-20..80), self.next_event);
        self.next_event += 1;
        let time = rfc3339(time_ns);
        let text = format!(r#"{{"TS":"{time}","Id":{id},"Value":{value},"E":"{event}"}}"#);
        What::Reading { time_ns, id, value, event, payload: text.into_bytes().into() }
    }

    fn poison(&mut self, at: Duration) -> What {
        let some = |text: &str| Some(text.as_bytes().into());
        let (payload, reason) = match self.random.random_range(0..6) {
            0 => (None, "tombstone"),
            1 => (some("  "), "empty"),
            2 => (some("{\"TS\":"), "malformed"),
            3 => (some(r#"{"TS":"2026-02-01T00:00:00Z","Value":1,"E":"x"}"#), "missing_field"),
            4 => (some(r#"{"TS":"1970-01-01T00:00:00Z","Id":1,"Value":1,"E":"x"}"#), "too_old"),
            _ => {
                // Far beyond what any clock here is off by.
                let time = rfc3339(WALL_START_NS + at.as_nanos() as i64 + 864_000 * SECOND);
                let text = format!(r#"{{"TS":"{time}","Id":1,"Value":1,"E":"x"}}"#);
                (some(&text), "too_early")
            }
        };
        What::Poison { payload, reason }
    }
}

/// All queries, planned on first use: that takes longer than a seed.
fn queries() -> &'static [Planned] {
    static QUERIES: OnceLock<Vec<Planned>> = OnceLock::new();
    QUERIES.get_or_init(|| {
        let shape = |size: i64, slide: i64, offset: i64| Shape {
            size: size * SECOND,
            slide: slide * SECOND,
            offset: offset * SECOND,
            least: None,
            ids: false,
        };
        let tumble = shape(10, 10, 0);
        vec![
            planned("tumble(\"TS\", INTERVAL '10 seconds')", tumble),
            planned(
                "tumble(\"TS\", INTERVAL '15 seconds', INTERVAL '4 seconds')",
                Shape { least: Some(0), ..shape(15, 15, 4) },
            ),
            planned("tumble(\"TS\", INTERVAL '10 seconds')", Shape { ids: true, ..tumble }),
            planned("hop(\"TS\", INTERVAL '5 seconds', INTERVAL '20 seconds')", shape(20, 5, 0)),
            planned(
                "hop(\"TS\", INTERVAL '6 seconds', INTERVAL '15 seconds')",
                Shape { ids: true, least: Some(-10), ..shape(15, 6, 0) },
            ),
        ]
    })
}

fn planned(window: &str, shape: Shape) -> Planned {
    let filter = shape.least.map_or(String::new(), |v| format!("WHERE \"Value\" >= {v}"));
    let id = if shape.ids { "id = \"E\"" } else { "" };
    let text = format!(
        r#"
        [source]
        brokers = "127.0.0.1:1"
        topic = "{TOPIC}"
        [event]
        time = "TS"
        key = [{{ name = "Id", type = "int64" }}]
        values = ["Value"]
        {id}
        [window]
        query = '''SELECT "Id", count(*) AS n, sum("Value") AS s FROM readings {filter}
                   GROUP BY "Id", {window}'''
        [models]
        features = ["s"]
        "#
    );
    let config = config::parse("sim", &text, std::iter::empty(), &[]);
    let config = config.expect("the configuration is valid");
    let query = plan(&config).expect("the query can be planned");
    Planned { shape, config, query }
}
