//! What all lanes of a process share: configuration, query, lake, models, metrics.

mod models;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tidegauge_aggregate::{LateReason, Query, Spill};
use tidegauge_flow::{Failpoint, NoFailpoint, SensorId, Sensors, Store, WindowRows};
use tidegauge_ingest::Reason;
use tidegauge_ingest::kafka::instance;
use tidegauge_score::{Events, Registry, Stamp, Status, prediction_schema};
use tidegauge_serve::{LaneLabels, Metrics};
use tidegauge_sink::{
    Alerts, Counters, Identity, Lake, Lane as Ledger, LocalStore, ObjectStore, Storage, Table,
    Writer, is_object_url,
};

pub use self::models::{InForce, Newest, scorer};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::courier::Outbox;
use crate::executor::{Executor, Threads};
use crate::lane::late_schema;
use crate::memory::Memory;
use crate::spill;
use crate::split::SplitSensors;

/// Where a lake keeps its models unless the configuration names another place.
const MODELS_IN_LAKE: &str = "_tidegauge/models/";
/// How old a half-written file must be to be nobody's.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Epochs that are written at once, at most: they share one disk or one network.
const COMMIT_THREADS_MAX: usize = 8;

/// Sees every batch of predictions before it is committed: the demo's live view.
pub type Observer = Box<dyn Fn(&RecordBatch) + Send + Sync>;

/// Judges the windows of a lane that has read all its input, all at once.
pub type Trial = Box<dyn Fn(&[WindowRows], &Sensors, &Stamp<'_>) -> Result<Judged> + Send + Sync>;

/// What a trial gives.
pub struct Judged {
    /// Each of one sensor, whose rows come in order of time.
    pub predictions: Vec<(SensorId, RecordBatch)>,
    /// The sets that its models are published in.
    pub model_sets: Vec<u64>,
}

/// What a pipeline takes from the world around it.
pub struct Surroundings {
    /// The lake's storage.
    pub lake: Arc<dyn Store>,
    /// Where the models are.
    pub registry: Registry,
    /// Where a test may stop the process.
    pub failpoint: Arc<dyn Failpoint>,
    pub clock: Arc<dyn Clock>,
    /// Where epochs are written.
    pub commits: Arc<dyn Executor>,
    /// What writers' names are drawn from.
    pub chance: Box<dyn RngCore + Send>,
    /// Where windows go that memory has no room for.
    pub spill: Arc<dyn Spill>,
}

impl Surroundings {
    /// The real ones.
    ///
    /// # Errors
    /// When the lake's or the models' place can't be opened.
    pub fn real(config: &Config) -> Result<Self> {
        Ok(Self {
            lake: open_store(&config.lake.url, &config.lake.storage)?,
            registry: registry(config)?,
            failpoint: Arc::new(NoFailpoint),
            clock: Arc::new(SystemClock),
            commits: Arc::new(Threads::start(config.source.threads.clamp(2, COMMIT_THREADS_MAX))?),
            chance: Box::new(StdRng::from_os_rng()),
            spill: Arc::new(spill_folder(config)),
        })
    }
}

pub struct Pipeline {
    pub config: Config,
    pub query: Arc<Query>,
    pub registry: Registry,
    pub metrics: Arc<Metrics>,
    pub late_schema: SchemaRef,
    pub clock: Arc<dyn Clock>,
    pub commits: Arc<dyn Executor>,
    pub memory: Arc<Memory>,
    /// Where windows go that memory has no room for.
    pub spill: Arc<dyn Spill>,
    pub splits: SplitSensors,
    lake: Lake,
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    chance: Mutex<Box<dyn RngCore + Send>>,
    observer: Option<Observer>,
    trial: Option<Trial>,
    /// The models that were last put in force: a lane that opens later gets these when the newest ones
    /// cannot be used.
    good: Mutex<Option<Newest>>,
    totals: Mutex<Totals>,
}

/// What this process has committed, all lanes together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub messages: u64,
    pub rejected: u64,
    pub late: u64,
    pub rows: u64,
    pub anomalies: u64,
    pub commits: u64,
}

impl Pipeline {
    /// Plans the query and opens or founds the lake.
    ///
    /// # Errors
    /// When the query is not valid, or the lake belongs to another query or key.
    pub fn open(config: Config) -> Result<Self> {
        // A query that is not valid leaves no trace on the disk.
        let query = plan(&config)?;
        let around = Surroundings::real(&config)?;
        Self::planned(config, query, around)
    }

    /// The same in surroundings of the caller's.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn within(config: Config, around: Surroundings) -> Result<Self> {
        let query = plan(&config)?;
        Self::planned(config, query, around)
    }

    /// The same with a query that is planned already: many short-lived pipelines may share one.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn planned(config: Config, query: Arc<Query>, around: Surroundings) -> Result<Self> {
        let Surroundings { lake, registry, failpoint, clock, commits, chance, spill } = around;
        let store = lake.clone();
        let lake = Lake::open(lake, failpoint, &identity(&config, &query), clock.now_us())?;
        let metrics = Arc::new(Metrics::new()?);
        let pipeline = Self {
            memory: Memory::new(config.limits.memory, metrics.clone()),
            spill,
            splits: SplitSensors::default(),
            metrics,
            late_schema: late_schema(query.readings()),
            observer: None,
            trial: None,
            config,
            query,
            registry,
            lake,
            store,
            outbox: Arc::default(),
            clock,
            commits,
            chance: Mutex::new(chance),
            good: Mutex::default(),
            totals: Mutex::default(),
        };
        // Models that don't fit are a mistake to be told now, not when the first lane is taken.
        pipeline.scorer()?;
        Ok(pipeline)
    }

    /// The same pipeline with an observer of its predictions.
    pub fn observed(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same pipeline, whose windows are judged by a trial instead of by the models in force.
    pub fn tried(mut self, trial: Trial) -> Self {
        self.trial = Some(trial);
        self
    }

    pub fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    pub fn observe(&self, predictions: &RecordBatch) {
        if let Some(observer) = &self.observer {
            observer(predictions);
        }
    }

    /// Adds a committed epoch to the totals.
    pub fn add(&self, counters: &Counters, anomalies: u64) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.messages += counters.messages;
        totals.rejected += counters.rejected;
        totals.late += counters.late;
        totals.rows += counters.rows;
        totals.anomalies += anomalies;
        totals.commits += 1;
    }

    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lake that the pipeline writes to.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// The lake's storage.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What lanes of this process have committed of late.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// How far alerts have come.
    pub fn alerts(&self) -> Alerts {
        Alerts::of(self.store.clone())
    }

    /// What makes events of a lane's anomalies, if anybody wants them.
    pub fn events(&self) -> Option<Events> {
        let settings = self.config.events.as_ref()?;
        let generation = self.lake.reader().generation().number;
        Some(Events::new(*settings, &self.config.event.key, generation))
    }

    /// A writer's name that nobody has.
    pub fn new_writer(&self) -> Writer {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        Writer::random(&mut *chance)
    }

    /// Takes a lane in the ledger under a new writer's name.
    pub fn take_lane(&self, name: &str) -> Result<Ledger> {
        let writer = self.new_writer();
        let lane = self.lake.take(name, writer, self.clock.now_us());
        lane.with_context(|| format!("cannot take lane {name}"))
    }

    /// Between half of a duration and all of it: what several processes do again, they do not do at once.
    pub fn jitter(&self, longest: Duration) -> Duration {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let share = f64::from(chance.next_u32()) / f64::from(u32::MAX);
        longest.mul_f64(0.5 + share / 2.0)
    }
}

/// What a lake must belong to, to be this pipeline's.
pub fn identity(config: &Config, query: &Query) -> Identity {
    Identity {
        query: query.text().to_string(),
        schema: prediction_schema(query.output(), config.models.views()),
        key: config.event.key.as_ref().clone(),
        lanes: config.source.lanes,
        time: config.event.time.clone(),
        values: config.event.values.clone(),
        counted_once: query.window().is_tumble(),
    }
}

/// The planned query of a configuration.
pub fn plan(config: &Config) -> Result<Arc<Query>> {
    let query = Query::plan(&config.window.query, &config.event.schema());
    Ok(Arc::new(query.context("window.query")?))
}

/// The registry that a configuration names.
pub fn registry(config: &Config) -> Result<Registry> {
    if let Some(library) = &config.models.onnx_runtime {
        tidegauge_score::onnx::use_library(library).map_err(|what| anyhow!(what))?;
    }
    let storage = &config.lake.storage;
    match &config.models.url {
        Some(url) => Ok(Registry::new(open_store(url, storage)?, "")),
        None => Ok(Registry::new(open_store(&config.lake.url, storage)?, MODELS_IN_LAKE)),
    }
}

/// The registry inside a lake.
pub fn registry_of(store: Arc<dyn Store>) -> Registry {
    Registry::new(store, MODELS_IN_LAKE)
}

/// The store at a URL or path, its directory made if it is not there.
pub fn open_store(url: &str, storage: &Storage) -> Result<Arc<dyn Store>> {
    if is_object_url(url) {
        return Ok(Arc::new(ObjectStore::connect(url, storage)?));
    }
    let store = LocalStore::create(local_path(url));
    let store = store.with_context(|| format!("cannot open {url}"))?;
    // What a crash left behind long ago; whatever is being written now is younger.
    let old = SystemTime::now() - LEFTOVER_AGE;
    match store.sweep(old) {
        Ok(0) => {}
        Ok(swept) => tracing::info!(url, swept, "removed half-written files of a crash"),
        Err(error) => tracing::warn!(url, %error, "half-written files of a crash stay"),
    }
    Ok(Arc::new(store))
}

/// True when something is at a path or `file:` URL. Of a bucket only an answer tells.
pub fn is_there(url: &str) -> bool {
    is_object_url(url) || Path::new(local_path(url)).exists()
}

/// The store at a URL or path; a directory must be there.
pub fn existing_store(url: &str, storage: &Storage) -> Result<Arc<dyn Store>> {
    if is_object_url(url) {
        return Ok(Arc::new(ObjectStore::connect(url, storage)?));
    }
    let store = LocalStore::open(local_path(url));
    Ok(Arc::new(store.with_context(|| format!("there is no lake at {url}"))?))
}

/// Whether two URLs or paths are the same place, as far as their spelling tells.
pub fn is_same_place(a: &str, b: &str) -> Result<bool> {
    if is_object_url(a) || is_object_url(b) {
        return Ok(a.trim_end_matches('/') == b.trim_end_matches('/'));
    }
    Ok(std::path::absolute(local_path(a))? == std::path::absolute(local_path(b))?)
}

/// The path of a `file:` URL or plain path.
pub fn local_path(url: &str) -> &str {
    let path = url.strip_prefix("file:").unwrap_or(url);
    match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        _ => path,
    }
}

/// The folder of `[limits] spill`, or else one beside the process's own state.
fn spill_folder(config: &Config) -> spill::Folder {
    let own = || instance::state_directory(|name| std::env::var_os(name)).join("spill");
    spill::Folder::new(config.limits.spill.as_ref().map_or_else(own, Into::into))
}

/// The closed label sets of a lane's metrics.
pub const LABELS: LaneLabels =
    LaneLabels { reasons: &REASONS, statuses: &STATUSES, tables: &TABLES, late: &LATE };

const REASONS: [&str; Reason::ALL.len()] = {
    let mut words = [""; Reason::ALL.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = Reason::ALL[i].as_str();
        i += 1;
    }
    words
};

const STATUSES: [&str; Status::ALL.len()] = {
    let mut words = [""; Status::ALL.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = Status::ALL[i].as_str();
        i += 1;
    }
    words
};

const LATE: [&str; LateReason::ALL.len()] = {
    let mut words = [""; LateReason::ALL.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = LateReason::ALL[i].as_str();
        i += 1;
    }
    words
};

const TABLES: [&str; Table::ALL.len()] = {
    let mut words = [""; Table::ALL.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = Table::ALL[i].as_str();
        i += 1;
    }
    words
};
