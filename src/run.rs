//! `run`: workers, signals, and the end of a run.
#![allow(clippy::print_stderr)]

use std::borrow::Cow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_ingest::kafka::{
    Consumer, EndOffsets, Instance, KafkaSettings, Start, WholeTopic, ends, instance,
};
use tidegauge_serve::{Health, HttpSettings, Server, Site};
use tidegauge_sink::is_object_url;

use crate::background::Background;
use crate::config::{self, Config, LaneMode, SourceKind};
use crate::console::{LakeConsole, Origin, Process};
use crate::control::{Control, OpenWindows};
use crate::courier;
use crate::drift::DriftWatch;
use crate::files;
use crate::maintenance::{self, Maintenance};
use crate::pipeline::{self, Pipeline, Totals};
use crate::series::LakeSeries;
use crate::signals::Signals;
use crate::trainer::{self, Place};
use crate::worker::Worker;

/// How often the process looks at its workers.
const LOOK: Duration = Duration::from_millis(100);
/// After this long without an answer about end offsets the broker counts as away.
const SILENT_BROKER: Duration = Duration::from_secs(10);
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
    let settings = pipeline.config.http.clone();
    let server = settings.map(|settings| serve(&pipeline, &health, settings)).transpose()?;
    let mut beside = vec![Background::start(Maintenance(pipeline.clone()))?];
    beside.extend(trainer::start(&pipeline, Place::Run)?);
    beside.extend(DriftWatch::new(&pipeline).map(Background::start).transpose()?);
    beside.extend(courier::start(&pipeline)?);
    let result = match pipeline.config.source.kind {
        SourceKind::Kafka => run_kafka(&pipeline, until, signals, &health, &beside),
        SourceKind::Files => {
            health.ready();
            let windows = match until {
                Until::Idle(_, windows) => windows,
                Until::Asked(_) => OpenWindows::Close,
            };
            files::run(&pipeline, files::Clock::Stream, windows, signals).map(drop)
        }
    };
    if let Some(server) = server {
        server.stop();
    }
    Background::end_all(beside);
    result?;
    if matches!(until, Until::Idle(..)) || pipeline.config.source.kind == SourceKind::Files {
        maintenance::catch_up(&pipeline);
    }
    eprintln!("{}", summary(&pipeline));
    Ok(())
}

/// The live page, metrics, the lake for Grafana and probes beside the lanes.
///
/// # Errors
/// When it cannot listen, or the lake cannot be reached.
pub fn serve(pipeline: &Pipeline, health: &Arc<Health>, settings: HttpSettings) -> Result<Server> {
    let lake = &pipeline.config.lake;
    if !is_object_url(&lake.url) {
        pipeline.metrics.machine.watch_disk(pipeline::local_path(&lake.url).into());
    }
    let registry = pipeline::registry(&pipeline.config)?;
    let series = LakeSeries::open(&lake.url, &lake.storage, registry)?;
    let (metrics, health) = (pipeline.metrics.clone(), health.clone());
    let process = Process { metrics: metrics.clone(), health: health.clone() };
    let (config, clock) = (pipeline.config.clone(), pipeline.clock.clone());
    let console = LakeConsole::start(Origin::of_config(config, Some(process), clock))?;
    let (console, series) = (Some(Arc::new(console) as _), Some(Arc::new(series) as _));
    Ok(Server::start(settings, Site { metrics, health, console, series })?)
}

/// What this run has done, in one line.
fn summary(pipeline: &Pipeline) -> String {
    let Totals { messages, rejected, late, rows, anomalies, commits } = pipeline.totals();
    format!(
        "read {messages} messages ({rejected} rejected, {late} late), wrote {rows} predictions \
         ({anomalies} anomalies) in {commits} commits"
    )
}

/// Runs the lanes of a topic. Threads `beside` them are watched: who has ended is told by the health.
pub fn run_kafka(
    pipeline: &Arc<Pipeline>,
    until: Until,
    signals: &Signals,
    health: &Health,
    beside: &[Background],
) -> Result<()> {
    let (settings, _instance) = kafka_settings(&pipeline.config)?;
    let control = Arc::new(Control::default());
    let ends = Arc::new(EndOffsets::start(&settings, ends::INTERVAL)?);
    let threads = match pipeline.config.source.lanes {
        LaneMode::PerPartition => pipeline.config.source.threads.min(ends.partitions().max(1)),
        LaneMode::Topic => 1,
    };
    tracing::info!(topic = settings.topic, partitions = ends.partitions(), threads, "starting");
    let workers = Workers { pipeline, settings: &settings, ends: &ends, control: &control };
    let handles = workers.start(threads)?;
    let watch = Watch { pipeline, control: &control, threads, until, ends: &ends, health, beside };
    watch.run(signals);
    health.not_ready("stopping");
    for handle in handles {
        // What a panic leaves behind is in the control.
        let _ = handle.join();
    }
    control.take_failure().map_or(Ok(()), Err)
}

/// What workers are made of.
struct Workers<'a> {
    pipeline: &'a Arc<Pipeline>,
    settings: &'a KafkaSettings,
    ends: &'a Arc<EndOffsets>,
    control: &'a Arc<Control>,
}

impl Workers<'_> {
    /// # Errors
    /// When the operating system gives no thread; those that run already are ended.
    fn start(&self, threads: usize) -> Result<Vec<JoinHandle<()>>> {
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            match self.start_one(number) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    self.control.stop(OpenWindows::Leave);
                    handles.into_iter().for_each(|handle| drop(handle.join()));
                    return Err(error).context("cannot start a worker thread");
                }
            }
        }
        Ok(handles)
    }

    fn start_one(&self, number: usize) -> std::io::Result<JoinHandle<()>> {
        let (pipeline, settings) = (self.pipeline.clone(), self.settings.clone());
        let (ends, control) = (self.ends.clone(), self.control.clone());
        let body = move || control.run(|| work(pipeline, &settings, ends, number, &control));
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(body)
    }
}

/// A worker's life.
fn work(
    pipeline: Arc<Pipeline>,
    settings: &KafkaSettings,
    ends: Arc<EndOffsets>,
    number: usize,
    control: &Control,
) -> Result<()> {
    let topic = settings.topic.as_str();
    match pipeline.config.source.lanes {
        LaneMode::PerPartition => {
            let source = Consumer::start(settings, number)?;
            Worker::new(pipeline, topic, source, ends).run(number, control)
        }
        LaneMode::Topic => {
            let source = WholeTopic::start(settings, number)?;
            Worker::new(pipeline, topic, source, ends).run(number, control)
        }
    }
}

/// The process's eye on its workers.
struct Watch<'a> {
    pipeline: &'a Pipeline,
    control: &'a Control,
    threads: usize,
    until: Until,
    ends: &'a EndOffsets,
    health: &'a Health,
    beside: &'a [Background],
}

impl Watch<'_> {
    /// Waits for a signal, a failure or idleness, and passes the stop on.
    fn run(&self, signals: &Signals) {
        while self.control.ended() < self.threads && !self.control.stopped() {
            if signals.wait(LOOK) {
                tracing::info!("stopping: committing what is in hand");
                self.control.stop(match self.until {
                    Until::Asked(windows) => windows,
                    Until::Idle(..) => OpenWindows::Leave,
                });
            }
            match self.trouble() {
                None => self.health.ready(),
                Some(reason) => self.health.not_ready(&reason),
            }
            if let Until::Idle(after, windows) = self.until
                && self.is_idle(after)
            {
                self.control.stop(windows);
            }
            for (code, count) in self.ends.take_errors() {
                self.pipeline.metrics.kafka_errors(&code, count);
            }
        }
    }

    /// Why the process does not do its work at the moment.
    fn trouble(&self) -> Option<Cow<'static, str>> {
        let standings = self.control.standings();
        if standings.len() < self.threads || !standings.iter().all(|s| s.assigned) {
            return Some("the consumer group has not given us our partitions yet".into());
        }
        let held = standings.iter().any(|s| s.lanes > 0);
        let newest = self.ends.snapshot().values().map(|end| end.fetched_at).max();
        let heard = newest.is_some_and(|at| at.elapsed() < SILENT_BROKER);
        if held && !heard {
            return Some("the broker does not answer".into());
        }
        if standings.iter().any(|s| s.waiting > 0) {
            return Some("a lane can't be read at the moment; see the log".into());
        }
        let ended = self.beside.iter().find(|thread| thread.has_ended())?;
        Some(
            format!("the {} has ended: this is a bug; see the log, and restart", ended.name())
                .into(),
        )
    }

    /// Idle on evidence: every worker knows its partitions and has been at their ends for so long. When
    /// not all partitions are here, others have had the time to take the rest.
    fn is_idle(&self, after: Duration) -> bool {
        let standings = self.control.standings();
        if standings.len() < self.threads || !standings.iter().all(|s| s.assigned) {
            return false;
        }
        let held: usize = standings.iter().map(|s| s.lanes).sum();
        let settled = standings.iter().map(|s| s.rebalanced).max();
        let shared = settled.is_some_and(|at: Instant| at.elapsed() >= SHARED_AFTER.max(after));
        let silent = standings.iter().all(|s| s.silence.is_none_or(|silence| silence >= after));
        let lanes = match self.pipeline.config.source.lanes {
            LaneMode::PerPartition => self.ends.partitions(),
            LaneMode::Topic => 1,
        };
        silent && (held == lanes || shared)
    }
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
