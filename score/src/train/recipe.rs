//! How the models of different sensors come about: rules, the first that holds of a sensor counts.

use std::borrow::Cow;

use tidegauge_flow::{KeyValue, SensorKey};

use super::{Report, SensorRows, SkipReason, TrainOptions, run, train_sensor};
use crate::drift;
use crate::entry::{ModelEntry, TrainingSummary};
use crate::error::ScoreError;
use crate::limits::LimitsParams;
use crate::model::ModelParams;

/// The score from which on limits are passed.
const AT_LIMIT: f64 = 0.0;

/// How the model of a sensor comes about.
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// It is fitted to the sensor's rows.
    Fit(TrainOptions),
    /// It is written down; rows only tell how often they pass it.
    Limits(LimitsParams),
}

/// Sensors whose key columns have certain values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// For each column that matters, its place in the key and the patterns of which one must fit.
    columns: Vec<(usize, Vec<String>)>,
}

/// A recipe for each sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipes {
    rules: Vec<(Selector, Recipe)>,
    otherwise: Recipe,
}

impl Selector {
    /// Sensors whose key fits in all of these columns: each with its place in the key and patterns of
    /// values as text, of which one must fit. A `*` stands for any characters, also for none.
    pub fn new(columns: Vec<(usize, Vec<String>)>) -> Self {
        Self { columns }
    }

    /// Whether a sensor is one of them.
    pub fn holds(&self, key: &SensorKey) -> bool {
        self.columns.iter().all(|(place, patterns)| {
            key.0.get(*place).is_some_and(|value| {
                let value: Cow<'_, str> = match value {
                    KeyValue::Int(value) => value.to_string().into(),
                    KeyValue::Str(value) => Cow::Borrowed(value.as_ref()),
                };
                patterns.iter().any(|pattern| fits(pattern, &value))
            })
        })
    }
}

impl Recipes {
    /// The first rule that holds for a sensor says how, else the last recipe does.
    pub fn new(rules: Vec<(Selector, Recipe)>, otherwise: TrainOptions) -> Self {
        Self { rules, otherwise: Recipe::Fit(otherwise) }
    }

    /// How the model of a sensor comes about.
    pub fn of(&self, key: &SensorKey) -> &Recipe {
        let rule = self.rules.iter().find(|(selector, _)| selector.holds(key));
        rule.map_or(&self.otherwise, |(_, recipe)| recipe)
    }

    /// # Errors
    /// [`ScoreError::Option`] for an option outside its range, or limits of other than so many features.
    pub fn check(&self, features: usize) -> Result<(), ScoreError> {
        let all = self.rules.iter().map(|(_, recipe)| recipe).chain([&self.otherwise]);
        for recipe in all {
            match recipe {
                Recipe::Fit(options) => options.check()?,
                Recipe::Limits(limits) if limits.limits().len() != features => {
                    let value = format!("of {} features", limits.limits().len());
                    let expected = "there must be one, which may be empty, for each feature";
                    return Err(ScoreError::Option { name: "limits", value, expected });
                }
                Recipe::Limits(_) => {}
            }
        }
        Ok(())
    }
}

impl From<TrainOptions> for Recipes {
    fn from(options: TrainOptions) -> Self {
        Self::new(Vec::new(), options)
    }
}

/// As [`super::train`], each sensor by its own recipe.
///
/// # Errors
/// As [`super::train`].
pub fn train_by(
    features: &[String],
    samples: &[SensorRows],
    recipes: &Recipes,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report, ScoreError> {
    recipes.check(features.len())?;
    run(features, samples, progress, &|rows| match recipes.of(&rows.key) {
        Recipe::Fit(options) => train_sensor(features, rows, options),
        Recipe::Limits(limits) => by_limits(features, rows, limits),
    })
}

/// The limits as the sensor's model, with the share of its rows that pass them.
fn by_limits(
    features: &[String],
    rows: &SensorRows,
    limits: &LimitsParams,
) -> Result<ModelEntry, SkipReason> {
    let (times, values, width) = (rows.window_end_us.len(), rows.rows.len(), features.len());
    if times * width != values {
        return Err(SkipReason::Shape { times, values, width });
    }
    let not_fitted = |e: &dyn std::fmt::Display| SkipReason::NotFitted(e.to_string());
    let model = ModelParams::StaticLimits(limits.clone());
    let each = rows.window_end_us.iter().zip(rows.rows.chunks_exact(width));
    let finite: Vec<(i64, &[f64])> = each
        .filter(|(_, row)| row.iter().all(|value| value.is_finite()))
        .map(|(end_us, row)| (*end_us, row))
        .collect();
    let flat: Vec<f64> = finite.iter().flat_map(|(_, row)| *row).copied().collect();
    let mut scores = vec![0.0; finite.len()];
    model.build().map_err(|e| not_fitted(&e))?.scores(&flat, &mut scores);
    let like = drift::distribution(&model, &flat).map_err(|e| not_fitted(&e))?;
    let beyond = scores.iter().filter(|score| **score >= AT_LIMIT).count();
    let ends = || finite.iter().map(|(end_us, _)| *end_us);
    let training = ends().min().zip(ends().max()).map(|(from_us, to_us)| TrainingSummary {
        from_us,
        to_us,
        rows: times as u64,
        rows_used: finite.len() as u64,
        false_alarm_rate: Some(beyond as f64 / finite.len() as f64),
        distribution: like,
    });
    let entry = ModelEntry {
        key: rows.key.clone(),
        features: features.to_vec(),
        model,
        threshold: AT_LIMIT,
        calibration: None,
        training,
        source: "limits of the configuration".into(),
    };
    entry.check().map_err(|e| not_fitted(&e))?;
    Ok(entry)
}

/// Whether a text has the form of a pattern in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
