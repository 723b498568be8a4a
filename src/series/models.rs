//! What models are like, sensor by sensor: too many for metrics, and in the registry anyway.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use tidegauge_score::{ModelEntry, Models, Registry};
use tidegauge_serve::series::{CELLS_MAX, Family, Labels, Line, Steps, Wanted};

use super::TooMuch;
use super::families::KeyLabel;

const FALSE_ALARMS: &str = "tidegauge_model_false_alarm_rate";
const AGE: &str = "tidegauge_model_age_seconds";
const ROWS: &str = "tidegauge_model_trained_rows";

const FAMILIES: [(&str, &str); 3] = [
    (FALSE_ALARMS, "Share of held-out normal windows that the sensor's model flags."),
    (AGE, "Time from the last window that the sensor's model was trained on."),
    (ROWS, "Windows that the sensor's model was trained on."),
];

/// The registry, and what the aliases last meant.
pub(super) struct ModelLines {
    registry: Registry,
    keys: Vec<KeyLabel>,
    known: Mutex<BTreeMap<String, Models>>,
}

impl ModelLines {
    pub fn new(registry: Registry, keys: Vec<KeyLabel>) -> Self {
        Self { registry, keys, known: Mutex::default() }
    }

    pub fn families(&self) -> Vec<Family> {
        let labels = self.keys.iter().map(|key| key.label.clone());
        let labels: Vec<String> = labels.chain(["alias".into(), "kind".into()]).collect();
        let family = |(name, help): (&str, &str)| Family {
            name: name.into(),
            help: help.into(),
            labels: labels.clone(),
        };
        FAMILIES.map(family).into()
    }

    /// A line per model that an alias leads to. What it says holds now, and at each point of time after the
    /// last window that it was trained on.
    pub fn lines(&self, wanted: &Wanted, steps: &Steps) -> Result<Vec<Line>> {
        let (mut lines, mut cells) = (Vec::new(), 0);
        for (alias, models) in self.models()? {
            for (entry, _) in models.effective() {
                let labels = self.labels(&alias, entry);
                if !wanted.holds_all(&labels) {
                    continue;
                }
                let points: Vec<(i64, f64)> = (0..steps.count)
                    .filter_map(|step| {
                        let time_us = steps.at(step);
                        Some((time_us, number(&wanted.family, entry, time_us)?))
                    })
                    .collect();
                cells += points.len();
                if cells > CELLS_MAX {
                    return Err(TooMuch.into());
                }
                if !points.is_empty() {
                    lines.push(Line { labels, points });
                }
            }
        }
        Ok(lines)
    }

    fn labels(&self, alias: &str, entry: &ModelEntry) -> Labels {
        let keys = self.keys.iter().zip(entry.key.0.iter());
        let mut labels: Labels =
            keys.map(|(key, value)| (key.label.clone(), value.to_string())).collect();
        labels.insert("alias".into(), alias.into());
        labels.insert("kind".into(), entry.model.kind().to_string());
        labels
    }

    /// What each alias means now; a set is read again only when the alias has moved. One that cannot be read
    /// is told by `models list`, and holds up no other.
    fn models(&self) -> Result<BTreeMap<String, Models>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for alias in self.registry.aliases()? {
            let before = known.remove(&alias.name).filter(|m| m.version() == alias.version);
            let models = before.map_or_else(|| self.registry.models(alias.version), Ok);
            if let Ok(models) = models {
                now.insert(alias.name, models);
            }
        }
        *known = now.clone();
        Ok(now)
    }
}

fn number(family: &str, entry: &ModelEntry, time_us: i64) -> Option<f64> {
    let training = entry.training.as_ref()?;
    let age_us = time_us.saturating_sub(training.to_us);
    match family {
        FALSE_ALARMS => training.false_alarm_rate,
        ROWS => Some(training.rows_used as f64),
        _ => (age_us >= 0).then_some(age_us as f64 / 1e6),
    }
}
