//! `run`: workers, signals, and the end of a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_ingest::kafka::{EndOffsets, Instance, KafkaSettings, Start, ends, instance};
use tidegauge_serve::{Health, Server};

use crate::config::{self, Config, SourceKind};
use crate::files;
use crate::pipeline::Pipeline;
use crate::signals::Signals;
use crate::worker::{Control, OpenWindows, Worker};

/// How often the process looks at its workers.
const LOOK: Duration = Duration::from_millis(100);
/// After the last rebalance, this long without all partitions means that others have the rest.
const SHARED_AFTER: Duration = Duration::from_secs(15);

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Only when it is asked to; what becomes of open windows then.
    Asked(OpenWindows),
    /// When every partition has been at its end for so long.
    Idle(Duration, OpenWindows),
}

/// Runs the pipeline until it ends.
///
/// # Errors
/// The first failure; everything committed until then stays.
pub fn run(config: Config, until: Until, signals: &Signals) -> Result<()> {
    let pipeline = Arc::new(Pipeline::open(config)?);
    let health = Arc::new(Health::new());
    let server = pipeline
        .config
        .http
        .map(|listen| Server::start(listen, pipeline.metrics.clone(), health.clone()));
    let server = server.transpose()?;
    let result = match pipeline.config.source.kind {
        SourceKind::Kafka => run_kafka(&pipeline, until, signals, &health),
        SourceKind::Files => {
            health.ready();
            files::run(&pipeline, files::Clock::Stream, signals).map(drop)
        }
    };
    if let Some(server) = server {
        server.stop();
    }
    result
}

/// Runs the lanes of a topic.
pub fn run_kafka(
    pipeline: &Arc<Pipeline>,
    until: Until,
    signals: &Signals,
    health: &Health,
) -> Result<()> {
    let (settings, _instance) = kafka_settings(&pipeline.config)?;
    let control = Arc::new(Control::default());
    let ends = Arc::new(EndOffsets::start(&settings, ends::INTERVAL)?);
    let threads = pipeline.config.source.threads.min(ends.partitions().max(1));
    tracing::info!(topic = settings.topic, partitions = ends.partitions(), threads, "starting");
    let mut handles = Vec::new();
    for number in 0..threads {
        let worker =
            Worker::join(number, pipeline.clone(), &settings, ends.clone(), control.clone())?;
        let control = control.clone();
        let spawned = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || control.run(|| worker.run()));
        handles.push(spawned.context("cannot start a worker thread")?);
    }
    health.ready();
    watch(&control, threads, until, &ends, signals);
    health.not_ready("stopping");
    for handle in handles {
        if handle.join().is_err() {
            anyhow::bail!("a worker thread panicked: this is a bug; the lake is as last committed");
        }
    }
    control.take_failure().map_or(Ok(()), Err)
}

/// Waits for a signal, a failure or idleness, and passes the stop on.
fn watch(control: &Control, threads: usize, until: Until, ends: &EndOffsets, signals: &Signals) {
    while control.ended() < threads && !control.stopped() {
        if signals.wait(LOOK) {
            tracing::info!("stopping: committing what is in hand");
            control.stop(match until {
                Until::Asked(windows) => windows,
                Until::Idle(..) => OpenWindows::Leave,
            });
        }
        if let Until::Idle(after, windows) = until
            && is_idle(control, threads, ends.partitions(), after)
        {
            control.stop(windows);
        }
    }
}

fn is_idle(control: &Control, threads: usize, partitions: usize, after: Duration) -> bool {
    let standings = control.standings();
    if standings.len() < threads {
        return false;
    }
    let held: usize = standings.iter().map(|s| s.lanes).sum();
    let settled = standings.iter().map(|s| s.rebalanced).max();
    let shared = settled.is_some_and(|at: Instant| at.elapsed() >= SHARED_AFTER.max(after));
    let silent = standings.iter().all(|s| s.silence.is_none_or(|silence| silence >= after));
    silent && (held == partitions || shared)
}

/// The Kafka source of a configuration, and our name in its group for as long as it is held.
pub fn kafka_settings(config: &Config) -> Result<(KafkaSettings, Instance)> {
    let source = &config.source;
    let instance = match &source.instance {
        Some(name) => Instance::configured(name)?,
        None => {
            let state = instance::state_directory(|name| std::env::var_os(name));
            let lake = format!("{} {} {}", source.group, source.topic, config.lake.url);
            Instance::claim(&state, &instance::host_name(), &lake)?
        }
    };
    let settings = KafkaSettings {
        brokers: source.brokers.clone(),
        topic: source.topic.clone(),
        group: source.group.clone(),
        instance: instance.name().to_string(),
        start: match source.start {
            config::Start::Earliest => Start::Earliest,
            config::Start::Latest => Start::Latest,
            config::Start::Time(time_ns) => Start::Time(time_ns),
        },
        extra: source.kafka.clone(),
        connect_timeout: source.connect_timeout,
    };
    settings.check()?;
    Ok((settings, instance))
}
