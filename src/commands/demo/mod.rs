//! `demo`: the whole job in one terminal, with nothing else installed.
//!
//! An embedded broker, simulated sensors whose faults are known, the real pipeline, training on the
//! first stretch, then a comparison of injected faults with found anomalies. One hour of the sensors'
//! time passes in the time that the demo is given.

mod report;
mod screen;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_flow::time::NANOS;
use tidegauge_ingest::kafka::{Compression, EmbeddedBroker, Outgoing, Producer, ProducerSettings};
use tidegauge_ingest::simulate::{
    EventNames, Fault, FaultPlan, Shape, Simulation, Simulator, key_text, to_json,
};
use tidegauge_serve::{Health, HttpSettings, Server};

use self::screen::{Anomalies, Screen};
use super::history::{self, Range};
use super::serve::LISTEN;
use super::train;
use crate::cli::Demo;
use crate::clock;
use crate::config::{self, Config};
use crate::control::OpenWindows;
use crate::pipeline::Pipeline;
use crate::run::{Until, run_kafka, serve};
use crate::say::say;
use crate::signals::Signals;

const TOPIC: &str = "sensors";
const PARTITIONS: u16 = 4;
/// Event time that one demo covers.
const STORY_NS: i64 = 3600 * NANOS;
/// The stretch at its beginning that models are trained on.
const TRAINING_NS: i64 = STORY_NS * 2 / 5;
/// The embedded broker forgets what is more than 5 MiB behind: the producer waits well before that.
const AHEAD_MAX: u64 = 1 << 20;
/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(250);
/// How long the pipeline may take to read what was sent.
const CATCH_UP_MAX: Duration = Duration::from_secs(20);

pub fn run(args: &Demo) -> Result<ExitCode> {
    let signals = Arc::new(Signals::install()?);
    let lake = lake(args)?;
    let broker = EmbeddedBroker::start(TOPIC, PARTITIONS)?;
    let config = configuration(broker.bootstrap(), &lake)?;
    let story = story(args.seed);
    let faults = Simulator::new(story.clone())?.faults().to_vec();

    let anomalies = Arc::new(Mutex::new(Anomalies::default()));
    let seen = anomalies.clone();
    let pipeline = Pipeline::open(config)?.observed(Box::new(move |batch| {
        seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(batch);
    }));
    let pipeline = Arc::new(pipeline);
    let health = Arc::new(Health::new());
    let server = page(&pipeline, &health)?;
    introduce(args, &lake, &faults, server.local_addr());
    let stage = Arc::new(Stage::default());
    let outcome = std::thread::scope(|scope| -> Result<()> {
        let consumer = scope.spawn(|| {
            let until = Until::Asked(OpenWindows::Close);
            let result = run_kafka(&pipeline, until, &signals, &health, &[]);
            stage.over.store(true, Ordering::Release);
            result
        });
        let producer = scope.spawn(|| {
            let result = produce(args, story, &broker, &pipeline, &stage, &signals);
            if result.is_err() {
                signals.raise();
            }
            stage.sent_all.store(true, Ordering::Release);
            result
        });
        let directed = direct(&pipeline, &stage, &signals, &anomalies);
        signals.raise();
        let results = (joined(producer.join())?, joined(consumer.join())?);
        let ((), ()) = results;
        directed
    });
    server.stop();
    outcome?;
    report::tell(&lake, &pipeline, &faults)
}

/// The live page at its usual port, or at one that is free.
fn page(pipeline: &Pipeline, health: &Arc<Health>) -> Result<Server> {
    let at = |port| {
        let settings = HttpSettings::on(SocketAddr::from((LISTEN.0, port)));
        serve(pipeline, health, settings)
    };
    at(LISTEN.1).or_else(|_| at(0))
}

/// How far the demo has come, for its threads.
#[derive(Debug, Default)]
struct Stage {
    /// The stretch to train on has been sent.
    trainable: AtomicBool,
    trained: AtomicBool,
    sent_all: AtomicBool,
    over: AtomicBool,
    sent_events: AtomicU64,
    sent_bytes: AtomicU64,
}

fn joined(result: std::thread::Result<Result<()>>) -> Result<()> {
    result.unwrap_or_else(|_| anyhow::bail!("a thread of the demo panicked: this is a bug"))
}

/// Trains when there is enough, draws the screen, and waits for the end.
fn direct(
    pipeline: &Arc<Pipeline>,
    stage: &Stage,
    signals: &Signals,
    anomalies: &Mutex<Anomalies>,
) -> Result<()> {
    let mut screen = Screen::new();
    let mut caught_up_by = None;
    while !stage.over.load(Ordering::Acquire) && !signals.wait(FRAME) {
        let sent = stage.sent_events.load(Ordering::Relaxed);
        let read = pipeline.metrics.sum("tidegauge_ingest_messages_total") as u64;
        let trained = stage.trained.load(Ordering::Relaxed);
        let phase = match (trained, stage.trainable.load(Ordering::Acquire)) {
            (true, _) => "scoring",
            (false, false) => "watching normal sensors",
            (false, true) => "training",
        };
        screen.draw(phase, sent, &pipeline.metrics, anomalies);
        if phase == "training" && read >= sent {
            learn(pipeline, stage)?;
        }
        if stage.sent_all.load(Ordering::Acquire) {
            let deadline = *caught_up_by.get_or_insert_with(|| Instant::now() + CATCH_UP_MAX);
            if read >= sent || Instant::now() >= deadline {
                break;
            }
        }
    }
    screen.draw("ending", stage.sent_events.load(Ordering::Relaxed), &pipeline.metrics, anomalies);
    Ok(())
}

/// Trains on what the lake holds and, once the lanes have the models, lets the story go on.
fn learn(pipeline: &Arc<Pipeline>, stage: &Stage) -> Result<()> {
    let registry = &pipeline.registry;
    let alias = &pipeline.config.models.alias;
    if registry.alias(alias)?.is_none() {
        let scorer = train::scorer(&pipeline.config)?;
        let rows = history::from_lake(&pipeline.config, scorer.columns(), Range::default())?;
        // The windows that are committed so far may be fewer than were sent: wait for the rest.
        let shortest = rows.iter().map(|r| r.window_end_us.len()).min().unwrap_or(0);
        if (shortest as i64) < TRAINING_NS / (5 * NANOS) * 9 / 10 {
            return Ok(());
        }
        let report = train::fit(&pipeline.config, &scorer, &rows)?;
        if let Some((sensor, reason)) = report.skipped.first() {
            anyhow::bail!("sensor {sensor} could not be trained: {reason}");
        }
        let (key, now) = (&pipeline.config.event.key, clock::now_us());
        let version = registry.publish(key, report.entries, None, "trained by the demo", now)?;
        registry.move_alias(alias, version, now)?;
    }
    let loaded = pipeline.metrics.sum("tidegauge_score_models_loaded");
    let lanes = pipeline.metrics.sum("tidegauge_lanes");
    let sensors = f64::from(story(0).devices * story(0).sensors);
    if lanes > 0.0 && loaded >= lanes * sensors {
        stage.trained.store(true, Ordering::Release);
    }
    Ok(())
}

/// Sends the story's events at its pace; waits for the models in between.
fn produce(
    args: &Demo,
    story: Simulation,
    broker: &EmbeddedBroker,
    pipeline: &Pipeline,
    stage: &Stage,
    signals: &Signals,
) -> Result<()> {
    let producer = Producer::start(&ProducerSettings {
        brokers: broker.bootstrap().to_string(),
        topic: TOPIC.to_string(),
        compression: Compression::None,
        queue_kib: 4 << 10,
        extra: Default::default(),
    })?;
    let speed = STORY_NS as f64 / 1e9 / args.seconds as f64;
    let (start_ns, names) = (story.start_ns, EventNames::default());
    let (mut json, mut paused, started) = (Vec::new(), Duration::ZERO, Instant::now());
    for event in Simulator::new(story)? {
        let since_ns = event.due_ns - start_ns;
        if since_ns >= TRAINING_NS && !stage.trained.load(Ordering::Acquire) {
            let pause = Instant::now();
            producer.flush(CATCH_UP_MAX)?;
            stage.trainable.store(true, Ordering::Release);
            let waits = || !stage.trained.load(Ordering::Acquire);
            while waits() && !signals.wait(FRAME) {
                // The signal's wait is the pause.
            }
            paused += pause.elapsed();
        }
        let due = Duration::from_secs_f64(since_ns as f64 / 1e9 / speed) + paused;
        while !signals.seen() && (started.elapsed() < due || is_ahead(pipeline, stage)) {
            let left = due.saturating_sub(started.elapsed()).max(Duration::from_millis(5));
            signals.wait(left);
        }
        if signals.seen() {
            break;
        }
        json.clear();
        to_json(&event, &names, &mut json);
        let key = key_text(&event);
        let (key, payload) = (Some(key.as_bytes()), Some(json.as_slice()));
        producer.send(Outgoing { key, payload, ..Outgoing::default() })?;
        stage.sent_events.fetch_add(1, Ordering::Relaxed);
        stage.sent_bytes.fetch_add(json.len() as u64, Ordering::Relaxed);
    }
    producer.flush(CATCH_UP_MAX)?;
    Ok(())
}

/// True while so much is unread that the broker might forget some of it.
fn is_ahead(pipeline: &Pipeline, stage: &Stage) -> bool {
    let sent = stage.sent_bytes.load(Ordering::Relaxed);
    // Asking costs more than an event: not before it could matter.
    sent.saturating_sub(pipeline.metrics.sum("tidegauge_ingest_bytes_total") as u64) > AHEAD_MAX
}

/// Fifteen sensors, two readings a second each; faults only after the stretch to train on.
fn story(seed: u64) -> Simulation {
    // A fixed day: the demo's lake is the same for the same seed.
    let start_ns = 1_767_225_600 * NANOS;
    let minute = 60 * NANOS;
    Simulation {
        interval_ns: NANOS / 2,
        jitter_ns: NANOS,
        shape: Shape::Gaussian,
        end_ns: start_ns + STORY_NS,
        faults: FaultPlan {
            spikes: 12,
            stuck: 9,
            drifts: 6,
            from_ns: start_ns + TRAINING_NS + minute,
            to_ns: start_ns + STORY_NS - minute,
            stuck_ns: minute / 2,
            drift_ns: 2 * minute,
            rest_ns: minute,
            ..FaultPlan::default()
        },
        ..Simulation::reference(start_ns, seed)
    }
}

fn lake(args: &Demo) -> Result<PathBuf> {
    let lake = match &args.lake {
        Some(lake) => lake.clone(),
        None => PathBuf::from(format!("demo-lake-{}", clock::now_us() / 1_000_000)),
    };
    let used = std::fs::read_dir(&lake).is_ok_and(|mut entries| entries.next().is_some());
    if used {
        anyhow::bail!("{} is not empty: each demo makes a lake of its own", lake.display());
    }
    Ok(lake)
}

fn configuration(brokers: &str, lake: &Path) -> Result<Config> {
    let text = format!(
        r#"
        [source]
        brokers = "{brokers}"
        topic = "{TOPIC}"
        group = "demo"
        # One member: the embedded broker takes its time over rebalances.
        threads = 1
        instance = "demo-{}"
        [event]
        time = "TS"
        key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
        values = ["Value"]
        [window]
        query = """
        SELECT "Device", "Sensor", avg("Value") AS mean, stddev("Value") AS stddev,
               min("Value") AS low, max("Value") AS high
        FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"""
        out_of_order = "2s"
        [lake]
        commit_every = "1s"
        [events]
        "#,
        std::process::id()
    );
    let lake = format!("lake.url={}", lake.display());
    config::parse("the demo", &text, std::iter::empty(), &[lake]).context("a bug of the demo")
}

fn introduce(args: &Demo, lake: &Path, faults: &[Fault], page: SocketAddr) {
    say!(
        "15 simulated sensors -> an embedded Kafka broker -> 5 s windows -> one model per sensor -> Parquet\n\
         One hour of sensor time in about {} s: first they are normal and models are trained, then\n\
         {} faults are injected. The lake is {}. Ctrl-C ends it early.\n\
         Watch it in a browser: http://{page}\n",
        args.seconds,
        faults.len(),
        lake.display()
    );
}
