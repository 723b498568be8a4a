//! What stands in for sensors without a model of their own: their group's model, else limits that the
//! configuration gives.
//!
//! *Guarantees*: a sensor that neither has anything for gets no verdict. Models are built once for each
//! group and shared by its sensors.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tidegauge_flow::{KeyColumn, KeySchema, KeyValue, SensorId, SensorKey, Sensors};

use super::view::{Ready, View};
use crate::error::ScoreError;
use crate::group::Group;
use crate::limits::{Limit, LimitsModel, LimitsParams};
use crate::registry::Models;

/// What may stand in; the group's model comes before limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FallbackSettings {
    /// The key columns that sensors of a group share; empty: there are no groups.
    pub group: Vec<String>,
    /// Limits of features. Of several for the same feature, the first that is for a sensor counts.
    pub limits: Vec<FallbackLimit>,
}

/// The limits of one feature, for some sensors or all.
#[derive(Debug, Clone, PartialEq)]
pub struct FallbackLimit {
    /// One of those that models see.
    pub feature: String,
    /// Its range.
    pub limit: Limit,
    /// What key columns must be; empty: anything.
    pub only: Vec<(String, KeyValue)>,
}

/// The models and limits in force.
#[derive(Debug)]
pub(super) struct Fallback {
    /// The groups' models, looked up here by group and not by sensor.
    view: View,
    group: Option<Group>,
    rules: Vec<Rule>,
    /// What was built so far.
    ready: Vec<Ready>,
    /// Where the model of a group is; `None`: it has none.
    of_groups: HashMap<SensorKey, Option<usize>>,
    /// Where the model of limits is, by the rule of each feature.
    of_rules: HashMap<Vec<Option<usize>>, usize>,
    /// By [`SensorId`]; grows as sensors are seen.
    places: Vec<Place>,
    missing: usize,
    standing_in: usize,
}

/// A limit with its names resolved.
#[derive(Debug)]
struct Rule {
    feature: usize,
    limit: Limit,
    only: Vec<(usize, KeyValue)>,
}

/// Where what judges a sensor is.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    #[default]
    Unseen,
    Nowhere,
    At(usize),
}

impl Fallback {
    /// Without models. `view` sees what the champion sees; `key` is the sensors'.
    pub fn new(
        settings: &FallbackSettings,
        view: View,
        key: &KeySchema,
    ) -> Result<Self, ScoreError> {
        let group = match settings.group.is_empty() {
            true => None,
            false => Some(Group::new(key, &settings.group)?),
        };
        let names = view.features.names();
        let rules = settings.limits.iter().map(|limit| Rule::new(limit, names, key));
        let rules = rules.collect::<Result<_, _>>()?;
        Ok(Self {
            view,
            group,
            rules,
            ready: Vec::new(),
            of_groups: HashMap::new(),
            of_rules: HashMap::new(),
            places: Vec::new(),
            missing: 0,
            standing_in: 0,
        })
    }

    /// Puts other models of groups in force.
    ///
    /// # Errors
    /// When a model doesn't fit or can't be built; the models in force stay so.
    pub fn replace(&mut self, models: Option<Models>) -> Result<(), ScoreError> {
        self.view.replace_unseen(models, self.group.as_ref().map(Group::schema))?;
        self.ready.clear();
        self.of_groups.clear();
        self.of_rules.clear();
        self.forget_sensors();
        Ok(())
    }

    /// Which sensors need someone to stand in is asked anew.
    pub fn forget_sensors(&mut self) {
        self.places.clear();
        (self.missing, self.standing_in) = (0, 0);
    }

    /// Versions of the sets in force, newest first.
    pub fn versions(&self) -> &[u64] {
        self.view.versions()
    }

    /// Sensors that were asked for and that nothing stands in for.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Sensors that were asked for and that something stands in for.
    pub fn standing_in(&self) -> usize {
        self.standing_in
    }

    /// What stands in for a sensor.
    pub fn find(&mut self, sensor: SensorId, sensors: &Sensors) -> Option<&Ready> {
        let index = sensor as usize;
        if index >= self.places.len() {
            // Room for every sensor of the lane, not beyond: the directory is bounded.
            self.places.resize_with(sensors.len().max(index + 1), Place::default);
        }
        if let Place::Unseen = self.places[index] {
            let key = sensors.key(sensor);
            let found = self.of_group(&key).or_else(|| self.of_limits(&key));
            self.missing += usize::from(found.is_none());
            self.standing_in += usize::from(found.is_some());
            self.places[index] = found.map_or(Place::Nowhere, Place::At);
        }
        match self.places[index] {
            Place::At(place) => Some(&self.ready[place]),
            Place::Nowhere | Place::Unseen => None,
        }
    }

    fn of_group(&mut self, sensor: &SensorKey) -> Option<usize> {
        let (group, models) = (self.group.as_ref()?.of(sensor), self.view.models()?);
        match self.of_groups.entry(group) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let found = models.find(new.key());
                let ready = found.and_then(|(entry, version)| Ready::of(entry, version));
                let place = ready.map(|ready| {
                    self.ready.push(ready);
                    self.ready.len() - 1
                });
                *new.insert(place)
            }
        }
    }

    fn of_limits(&mut self, sensor: &SensorKey) -> Option<usize> {
        let mut chosen: Vec<Option<usize>> = vec![None; self.view.features.width()];
        for (number, rule) in self.rules.iter().enumerate().filter(|(_, r)| r.is_for(sensor)) {
            chosen[rule.feature].get_or_insert(number);
        }
        let limit = |rule: &Option<usize>| rule.map_or(Limit::default(), |r| self.rules[r].limit);
        // No rule is for the sensor when these are no limits.
        let params = LimitsParams::new(chosen.iter().map(limit).collect()).ok()?;
        Some(*self.of_rules.entry(chosen).or_insert_with(|| {
            self.ready.push(Ready::without_set(Arc::new(LimitsModel::new(&params)), 0.0));
            self.ready.len() - 1
        }))
    }
}

impl Rule {
    fn new(
        limit: &FallbackLimit,
        features: &[String],
        key: &KeySchema,
    ) -> Result<Self, ScoreError> {
        let FallbackLimit { feature, limit, only } = limit;
        let refuse = |name, value: String, expected| ScoreError::Option { name, value, expected };
        let place = features.iter().position(|name| name == feature).ok_or_else(|| {
            let what = "of a limit is not among those that models see".to_string();
            ScoreError::Feature { name: feature.clone(), what, found: features.to_vec() }
        })?;
        if LimitsParams::new(vec![*limit]).is_err() {
            let expected = "it must have a low or a high end, finite, and low below high";
            return Err(refuse("fallback.limits", format!("{limit:?}"), expected));
        }
        let column = |(name, value): &(String, KeyValue)| {
            let is_it = |c: &KeyColumn| c.name == *name && c.kind == value.kind();
            let found = key.columns().iter().position(is_it);
            let expected = "it must be a key column with a value of its type";
            let column = found
                .ok_or_else(|| refuse("fallback.limits", format!("{name} = {value}"), expected))?;
            Ok((column, value.clone()))
        };
        let only = only.iter().map(column).collect::<Result<_, ScoreError>>()?;
        Ok(Self { feature: place, limit: *limit, only })
    }

    fn is_for(&self, sensor: &SensorKey) -> bool {
        self.only.iter().all(|(column, value)| sensor.0[*column] == *value)
    }
}
