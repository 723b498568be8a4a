//! The onset view's models of many sensors, fitted anew beside the stream as window rows become known.
//!
//! *Bounded*: models that fall due together wait in line and are fitted so many at a time, on threads of
//! their own; lanes wait for none of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rayon::prelude::*;
use tidegauge_flow::{SensorId, SensorKey};

use crate::context::{Expression, Fit, Histories, Needs};
use crate::entry::ModelEntry;
use crate::error::ScoreError;
use crate::refit::{RefitOptions, Refitter};
use crate::registry::Models;
use crate::scorer::{OnsetSettings, Scorer};
use crate::train::SkipReason;

/// The pasts of many sensors.
#[derive(Debug)]
pub struct Follower {
    columns: Vec<String>,
    names: Vec<String>,
    expressions: Vec<Expression>,
    settings: OnsetSettings,
    options: RefitOptions,
    histories: Histories,
    ids: BTreeMap<SensorKey, SensorId>,
    refitters: Vec<Refitter>,
    /// Those whose fit is due, in the order in which it fell due.
    due: VecDeque<SensorId>,
    /// Whether a sensor is in that line.
    waits: Vec<bool>,
    pool: rayon::ThreadPool,
    /// The models that were fitted in earlier lives, until their sensor is seen.
    last: BTreeMap<SensorKey, Arc<ModelEntry>>,
}

/// A fit and what came of it.
pub type Fitted = (SensorKey, Result<ModelEntry, SkipReason>);

impl Follower {
    /// Follows no sensor yet. The scorer says which columns there are and what its onset view sees;
    /// `last` are the models that were published before, for sensors to take up where they were.
    ///
    /// # Errors
    /// [`ScoreError::Option`] for an option outside its range, when the scorer has no onset view, or when
    /// there are no threads to be had.
    pub fn new(
        scorer: &Scorer,
        options: &RefitOptions,
        threads: usize,
        last: Option<Models>,
    ) -> Result<Self, ScoreError> {
        let Some((settings, expressions)) = scorer.onset_settings() else {
            let expected = "following needs the onset view";
            return Err(ScoreError::Option { name: "onset", value: "not set".into(), expected });
        };
        options.check(settings.rows)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1));
        let pool = pool.thread_name(|n| format!("fit-{n}")).build().map_err(|error| {
            let value = format!("{threads} ({error})");
            ScoreError::Option { name: "threads", value, expected: "fitting needs a thread" }
        })?;
        let columns = scorer.columns().to_vec();
        let mut needs = Needs::default();
        needs.add(expressions, columns.len());
        Ok(Self {
            columns,
            names: scorer.onset_features().to_vec(),
            expressions: expressions.to_vec(),
            settings: settings.clone(),
            options: options.clone(),
            histories: Histories::new(needs),
            ids: BTreeMap::new(),
            refitters: Vec::new(),
            due: VecDeque::new(),
            waits: Vec::new(),
            pool,
            last: last.map_or_else(BTreeMap::new, |models| by_sensor(&models)),
        })
    }

    /// The columns that [`Follower::push`] takes, in their order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Takes a row of a sensor; a sensor's rows come in the order of time. A revision changes what later
    /// features look back at, and nothing else.
    ///
    /// # Errors
    /// [`ScoreError::Rows`] when the row has another number of columns.
    pub fn push(
        &mut self,
        key: &SensorKey,
        end_us: i64,
        row: &[f64],
        is_revision: bool,
    ) -> Result<(), ScoreError> {
        if row.len() != self.columns.len() {
            let what = format!("{} values for {} columns", row.len(), self.columns.len());
            return Err(ScoreError::Rows(what));
        }
        if !row.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        let id = self.id_of(key)?;
        let at = self.histories.push(id, end_us, row);
        if is_revision {
            return Ok(());
        }
        let mut features = vec![0.0; self.names.len()];
        let of = &self.expressions;
        let fit = self.histories.features(id, at, end_us, row, of, &mut features);
        let (refitter, waits) = (&mut self.refitters[id as usize], self.waits[id as usize]);
        if fit != Fit::Invalid && refitter.push(end_us, &features) && !waits {
            self.due.push_back(id);
            self.waits[id as usize] = true;
        }
        Ok(())
    }

    /// How many sensors wait for a fit.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// How many sensors are followed.
    pub fn sensors(&self) -> usize {
        self.refitters.len()
    }

    /// Bytes held, about.
    pub fn memory_bytes(&self) -> usize {
        let refitters = self.refitters.iter().map(Refitter::memory_bytes).sum::<usize>();
        self.histories.memory_bytes() + refitters
    }

    /// Fits those that have waited longest, at most so many, in parallel on its own threads.
    pub fn fit(&mut self, most: usize) -> Vec<Fitted> {
        let mut chosen: Vec<SensorId> = self.due.drain(..most.min(self.due.len())).collect();
        chosen.sort_unstable();
        chosen.iter().for_each(|id| self.waits[*id as usize] = false);
        let is_chosen = |id: usize| chosen.binary_search(&(id as SensorId)).is_ok();
        let chosen = self.refitters.iter_mut().enumerate().filter(|(id, _)| is_chosen(*id));
        let chosen: Vec<&mut Refitter> = chosen.map(|(_, refitter)| refitter).collect();
        self.pool.install(|| chosen.into_par_iter().map(|r| (r.key().clone(), r.fit())).collect())
    }

    fn id_of(&mut self, key: &SensorKey) -> Result<SensorId, ScoreError> {
        if let Some(id) = self.ids.get(key) {
            return Ok(*id);
        }
        let id = self.refitters.len() as SensorId;
        let (names, settings) = (&self.names, &self.settings);
        let mut refitter = Refitter::new(key.clone(), names, settings, &self.options)?;
        if let Some(entry) = self.last.remove(key) {
            refitter.resume(&entry);
        }
        self.refitters.push(refitter);
        self.waits.push(false);
        self.ids.insert(key.clone(), id);
        Ok(id)
    }
}

fn by_sensor(models: &Models) -> BTreeMap<SensorKey, Arc<ModelEntry>> {
    models.effective().map(|(entry, _)| (entry.key.clone(), Arc::clone(entry))).collect()
}

#[cfg(test)]
mod tests;
