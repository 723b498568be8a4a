//! One alias's models in force, and the features that they see.

use std::sync::Arc;

use tidegauge_flow::{KeySchema, SensorId, Sensors};

use super::columns::Columns;
use super::features::Features;
use crate::calibration::Lookup;
use crate::context::canonical;
use crate::entry::ModelEntry;
use crate::error::ScoreError;
use crate::model::Model;
use crate::registry::Models;
use crate::set::{ModelSet, describe};
use crate::svm::prefetch;

/// Rows between two steps of a prefetch: about what a line takes from memory.
const AHEAD: usize = 2;

/// The models of one alias.
#[derive(Debug)]
pub(super) struct View {
    pub features: Features,
    models: Option<Models>,
    /// Sets that came or went and may name sensors whose slot is filled.
    changed: Vec<Arc<ModelSet>>,
    /// By [`SensorId`]; grows as sensors are seen.
    slots: Vec<Slot>,
    missing: usize,
    /// Which models are in force, counted: slots of others are looked up anew.
    generation: u64,
}

/// What is known of one sensor's model.
#[derive(Debug, Clone, Default)]
enum Slot {
    #[default]
    Unseen,
    Missing,
    Ready(Box<Ready>),
}

/// A model that is ready to score.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub model: Arc<dyn Model>,
    pub threshold: f64,
    /// `None`: the model has no calibration.
    pub severities: Option<Lookup>,
    /// Of the set that holds the model; `None`: none does.
    pub version: Option<u64>,
    generation: u64,
}

/// The generation of slots that are looked up anew; views count theirs from 1.
const STALE: u64 = 0;

/// Changed sets that are kept for the next row; after more of them all sensors are looked up anew.
const CHANGED_MAX: usize = 128;

impl Ready {
    /// A model of a set. `None` when it cannot be built, which was tried when the set was put in force.
    pub fn of(entry: &ModelEntry, version: u64) -> Option<Self> {
        let severities = entry.calibration.as_ref().map(Lookup::new);
        let (model, threshold) = (entry.build().ok()?, entry.threshold);
        Some(Self { model, threshold, severities, version: Some(version), generation: STALE })
    }

    /// A model that is in no set.
    pub fn without_set(model: Arc<dyn Model>, threshold: f64) -> Self {
        Self { model, threshold, severities: None, version: None, generation: STALE }
    }
}

impl Slot {
    fn forget_missing(&mut self) {
        if matches!(self, Self::Missing) {
            *self = Self::Unseen;
        }
    }
}

impl View {
    /// A view without models.
    pub fn new(columns: &mut Columns, wanted: &[String]) -> Result<Self, ScoreError> {
        let features = Features::choose(columns, wanted)?;
        let (changed, slots) = (Vec::new(), Vec::new());
        Ok(Self { features, models: None, changed, slots, missing: 0, generation: 1 })
    }

    /// Puts other models in force. Sensors are looked up anew, of a chain that grew only those that its
    /// new sets name, so that it takes as long as what is new is large; those whose model is in the same
    /// set as before keep it as it is.
    ///
    /// # Errors
    /// When a model doesn't fit or can't be built; the models in force stay so.
    pub fn replace(
        &mut self,
        models: Option<Models>,
        key: Option<&KeySchema>,
    ) -> Result<(), ScoreError> {
        if let Some(models) = &models {
            self.check(models, key)?;
        }
        let both = models.as_ref().zip(self.models.as_ref());
        match both.and_then(|(newer, older)| newer.apart_from(older)) {
            Some(apart) if self.changed.len() + apart.len() <= CHANGED_MAX => {
                self.changed.extend(apart);
            }
            _ => self.look_up_all(),
        }
        self.models = models;
        Ok(())
    }

    /// Versions of the sets in force, newest first.
    pub fn versions(&self) -> &[u64] {
        self.models.as_ref().map_or(&[], Models::versions)
    }

    /// Models in force.
    pub fn loaded(&self) -> usize {
        self.models.as_ref().map_or(0, Models::count)
    }

    /// Sensors that were seen and have no model.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// What is in force.
    pub fn models(&self) -> Option<&Models> {
        self.models.as_ref()
    }

    /// The model of a sensor that was looked up.
    pub fn ready(&self, sensor: SensorId) -> Option<&Ready> {
        match &self.slots[sensor as usize] {
            Slot::Ready(ready) => Some(ready),
            Slot::Unseen | Slot::Missing => None,
        }
    }

    /// Makes sure that [`View::ready`] says what is true of a sensor now. For each run of rows: what is
    /// known already costs two comparisons.
    #[inline]
    pub fn look_up(&mut self, sensor: SensorId, sensors: &Sensors) {
        if !self.changed.is_empty() {
            self.look_up_changed(sensors);
        }
        if (sensor as usize) >= self.slots.len() || !self.is_current(sensor) {
            self.look_up_anew(sensor, sensors);
        }
    }

    #[cold]
    fn look_up_anew(&mut self, sensor: SensorId, sensors: &Sensors) {
        let index = sensor as usize;
        if index >= self.slots.len() {
            // Room for every sensor of the lane, not beyond: the directory is bounded.
            self.slots.resize_with(sensors.len().max(index + 1), Slot::default);
        }
        let found = self.models.as_ref().and_then(|models| models.find(&sensors.key(sensor)));
        let generation = self.generation;
        match (found, &mut self.slots[index]) {
            (Some((_, version)), Slot::Ready(ready)) if ready.version == Some(version) => {
                ready.generation = generation;
            }
            (Some((entry, version)), slot) if let Some(ready) = Ready::of(entry, version) => {
                *slot = Slot::Ready(Box::new(Ready { generation, ..ready }));
            }
            (_, slot) => {
                *slot = Slot::Missing;
                self.missing += 1;
            }
        }
    }

    /// Brings the models of the rows to come nearer, step by step: each step reads what the one
    /// before asked for.
    #[inline]
    pub fn prefetch(&self, coming: &[SensorId]) {
        let ready = |ahead: usize| match self.slots.get(*coming.get(ahead)? as usize)? {
            Slot::Ready(ready) => Some(ready),
            Slot::Unseen | Slot::Missing => None,
        };
        if let Some(ready) = ready(2 * AHEAD) {
            prefetch::value(&**ready);
        }
        if let Some(ready) = ready(AHEAD) {
            prefetch::value(&*ready.model);
        }
        if let Some(ready) = ready(0) {
            ready.model.prefetch();
        }
    }

    /// Whether what is known of a sensor's model still holds.
    #[inline]
    pub fn is_current(&self, sensor: SensorId) -> bool {
        match &self.slots[sensor as usize] {
            Slot::Unseen => false,
            Slot::Missing => true,
            Slot::Ready(ready) => ready.generation == self.generation,
        }
    }

    /// The same for models that are looked up elsewhere: sets that came or went aren't held for the next row.
    ///
    /// # Errors
    /// As [`View::replace`].
    pub fn replace_unseen(
        &mut self,
        models: Option<Models>,
        key: Option<&KeySchema>,
    ) -> Result<(), ScoreError> {
        self.replace(models, key)?;
        self.changed.clear();
        Ok(())
    }

    fn look_up_all(&mut self) {
        self.changed.clear();
        self.slots.iter_mut().for_each(Slot::forget_missing);
        self.missing = 0;
        self.generation += 1;
    }

    /// The sensors that changed sets name are looked up anew.
    pub fn look_up_changed(&mut self, sensors: &Sensors) {
        let changed = std::mem::take(&mut self.changed);
        for entry in changed.iter().flat_map(|set| set.entries()) {
            let id = sensors.find(&entry.key);
            match id.and_then(|id| self.slots.get_mut(id as usize)) {
                Some(Slot::Ready(ready)) => ready.generation = STALE,
                Some(slot @ Slot::Missing) => {
                    slot.forget_missing();
                    self.missing -= 1;
                }
                Some(Slot::Unseen) | None => {}
            }
        }
    }

    fn check(&self, models: &Models, wanted: Option<&KeySchema>) -> Result<(), ScoreError> {
        for set in models.sets() {
            let key = &set.header.key;
            if wanted != Some(key) {
                let found = wanted.map_or("other columns".into(), describe);
                let (set, expected) = (set.header.version, describe(key));
                return Err(ScoreError::KeyMismatch { set, expected, found });
            }
        }
        let names = self.features.names();
        if models.sets().iter().all(|set| set.is_plain(names)) {
            return Ok(());
        }
        // Older models may have been written with other blanks.
        let same = |(a, b): (&String, &String)| a == b || canonical(a) == *b;
        let misfit = |entry: &ModelEntry| {
            entry.features.len() != names.len() || !entry.features.iter().zip(names).all(same)
        };
        match models.effective().find(|(entry, _)| misfit(entry)) {
            Some((entry, set)) => Err(ScoreError::FeatureMismatch {
                sensor: entry.key.to_string(),
                set,
                expected: entry.features.clone(),
                found: self.features.names().to_vec(),
            }),
            None => {
                let mut unsure = models.effective().filter(|(entry, _)| entry.model.needs_more());
                unsure.try_for_each(|(entry, _)| entry.build().map(|_| ()))
            }
        }
    }
}
