//! The lake as series over time: what a Grafana asks `serve/src/series.rs` for, answered from the same files
//! by the same engine as `tidegauge query`.
//!
//! *Limits*: time and memory of each question; the server bounds how many there are at a time. Files that have
//! no window in the wanted time are not opened. The ledger is read at most once in [`VIEW_AGE`].

mod events;
mod families;
mod models;
mod rows;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_score::Registry;
use tidegauge_serve::console::{Answer, ConsoleError};
use tidegauge_serve::series::{CELLS_MAX, Family, Fold, Labels, Line, Series, Steps, Wanted};
use tidegauge_sink::{Lake, Reader, Storage, View};
use tokio::runtime::{Builder, Runtime};

use self::families::{Families, Told};
use self::models::ModelLines;
use crate::{clock, pipeline};

/// Threads that read for all questions together.
const THREADS: usize = 2;
/// How long one may take.
const TIME_MAX: Duration = Duration::from_secs(30);
/// How old the ledger that is known may be.
const VIEW_AGE: Duration = Duration::from_secs(2);

/// A lake, and the models beside it.
pub struct LakeSeries {
    url: String,
    storage: Storage,
    reader: Reader,
    families: Families,
    models: ModelLines,
    runtime: Runtime,
    view: Mutex<Option<(Instant, Arc<View>)>>,
}

impl LakeSeries {
    /// The lake at `url`, with the registry of its models.
    ///
    /// # Errors
    /// When there is no lake, or no thread for its questions.
    pub fn open(url: &str, storage: &Storage, registry: Registry) -> Result<Self> {
        let reader = Lake::read(pipeline::existing_store(url, storage)?)?;
        let families = Families::of(reader.generation());
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("series")
            .enable_all()
            .build()
            .context("cannot start the threads that read the lake for Grafana")?;
        Ok(Self {
            url: url.to_owned(),
            storage: storage.clone(),
            models: ModelLines::new(registry, families.keys().to_vec()),
            reader,
            families,
            runtime,
            view: Mutex::default(),
        })
    }

    /// The lake's files as the ledger names them, as they were a moment ago.
    fn view(&self) -> Result<Arc<View>> {
        let mut known = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, view)) = known.as_ref()
            && read_at.elapsed() < VIEW_AGE
        {
            return Ok(view.clone());
        }
        let view = Arc::new(self.reader.view()?);
        *known = Some((Instant::now(), view.clone()));
        Ok(view)
    }

    /// Does one question's work, in time.
    fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Answer<T> {
        // Made within the runtime: a clock that runs out belongs to one.
        let done = self.runtime.block_on(async { tokio::time::timeout(TIME_MAX, work).await });
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => {
                Err(unavailable("it took longer than 30 s; ask for less time or fewer sensors"))
            }
        }
    }

    fn scan(&self) -> Result<rows::Scan<'_>> {
        Ok(rows::Scan {
            url: &self.url,
            storage: &self.storage,
            reader: &self.reader,
            families: &self.families,
            view: self.view()?,
        })
    }
}

impl Series for LakeSeries {
    fn now_us(&self) -> i64 {
        clock::now_us()
    }

    fn families(&self) -> Answer<Vec<Family>> {
        let mut all = self.families.told();
        all.extend(self.models.families());
        all.extend(events::families(self.families.keys()));
        Ok(all)
    }

    fn labels(&self, wanted: &Wanted, limit: usize) -> Answer<Vec<Labels>> {
        let once = Steps {
            start_us: wanted.to_us,
            step_us: wanted.to_us.saturating_sub(wanted.after_us).max(1),
            count: 1,
            width_us: wanted.to_us.saturating_sub(wanted.after_us).max(1),
        };
        match self.families.find(&wanted.family) {
            Some(Told::OfSensors(numbers)) => {
                self.in_time(async { self.scan()?.labels(numbers, wanted, limit).await })
            }
            _ => {
                let lines = self.lines(wanted, &once, None)?;
                Ok(lines.into_iter().take(limit).map(|line| line.labels).collect())
            }
        }
    }

    fn lines(&self, wanted: &Wanted, steps: &Steps, fold: Option<Fold>) -> Answer<Vec<Line>> {
        let is_of_windows = self.families.find(&wanted.family).is_some();
        if !is_of_windows && !events::can_fold(&wanted.family, fold) {
            let what =
                format!("{} has no such function over time: ask for it as it is", wanted.family);
            return Err(ConsoleError::Invalid(what));
        }
        match self.families.find(&wanted.family) {
            Some(Told::OfSensors(numbers) | Told::OfLake(numbers)) => {
                self.in_time(async { self.scan()?.lines(numbers, wanted, steps, fold).await })
            }
            None if events::has(&wanted.family) => self.in_time(async {
                let (scan, keys) = (self.scan()?, self.families.keys());
                let calm = match self.families.find(families::WINDOWS) {
                    Some(Told::OfSensors(numbers)) if events::is_of_one_sensor(keys, wanted) => {
                        scan.labels(numbers, wanted, 1).await?
                    }
                    _ => Vec::new(),
                };
                events::lines(&scan, wanted, steps, calm).await
            }),
            None => self.models.lines(wanted, steps).map_err(|error| told(&error)),
        }
    }
}

/// More than may be looked at: the question's fault, not the lake's.
#[derive(Debug, thiserror::Error)]
#[error("more than {CELLS_MAX} numbers; ask for less time, a larger step or fewer sensors")]
struct TooMuch;

fn told(error: &anyhow::Error) -> ConsoleError {
    match error.downcast_ref::<TooMuch>() {
        Some(too_much) => ConsoleError::Invalid(too_much.to_string()),
        None => {
            let error = format!("{error:#}");
            tracing::warn!(error, "a question about the lake has no answer");
            ConsoleError::Unavailable(format!("the lake cannot be read: {error}"))
        }
    }
}

fn unavailable(what: &str) -> ConsoleError {
    ConsoleError::Unavailable(what.to_owned())
}

#[cfg(test)]
mod tests;
