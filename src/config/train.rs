//! The section `[models.train]`: how models are trained, which sensors otherwise, and when by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegauge_flow::KeySchema;
use tidegauge_score::Kind;
use tidegauge_score::train::{ROWS_MOST, Threshold, TrainOptions};
use toml::{Table, Value};

use super::models::alias;
use super::reader::Reader;
use super::schedule::Schedule;

/// The longest stretch that training may look back on.
const LAST_MOST: Duration = Duration::from_secs(100 * 366 * 86_400);
const LAST_LEAST: Duration = Duration::from_secs(1);

/// How models are trained, as far as it is said.
#[derive(Debug, Clone, Default)]
pub struct TrainSettings {
    pub kind: Kind,
    pub nu: Option<f64>,
    pub gamma: Option<f64>,
    pub rows_min: Option<usize>,
    pub rows_max: Option<usize>,
    pub unit_min: Option<f64>,
    pub threshold: Option<Threshold>,
    pub flagged_max: Option<f64>,
}

/// How the models of some sensors come about.
#[derive(Debug, Clone)]
pub struct TrainRule {
    /// Columns of the key by their place, with patterns of which one must fit.
    pub sensors: Vec<(usize, Vec<String>)>,
    pub how: RuleKind,
}

#[derive(Debug, Clone)]
pub enum RuleKind {
    /// They are trained, with settings that may differ from those of the others.
    Train(TrainSettings),
    /// They are these limits.
    Limits(Vec<FeatureLimit>),
}

/// The range of a feature, whose name is not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureLimit {
    pub feature: String,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// When models are trained again by themselves.
#[derive(Debug, Clone)]
pub struct Retrain {
    pub schedule: Schedule,
    /// The alias that moves to the new models.
    pub alias: String,
    /// How long after the end of its range a training begins; `None`: until windows of the range are
    /// committed, as far as settings tell.
    pub delay: Option<Duration>,
    pub threads: usize,
    /// Whether `run` trains.
    pub fit: bool,
}

impl TrainSettings {
    /// The options for models that see other rows than their own, or that don't.
    pub fn options(&self, in_context: bool) -> TrainOptions {
        let default = match (in_context, self.kind) {
            (true, Kind::OneClassSvm) => TrainOptions::in_context(),
            (false, _) | (true, Kind::Gaussian) => TrainOptions::default(),
        };
        TrainOptions {
            kind: self.kind,
            nu: self.nu.unwrap_or(default.nu),
            gamma: self.gamma.or(default.gamma),
            rows_min: self.rows_min.unwrap_or(default.rows_min),
            rows_max: self.rows_max.unwrap_or(default.rows_max),
            unit_min: self.unit_min.unwrap_or(default.unit_min),
            threshold: self.threshold.unwrap_or(default.threshold),
            flagged_max: self.flagged_max.unwrap_or(default.flagged_max),
            ..default
        }
    }
}

/// The settings under a prefix, which is empty or ends in a dot; what is not said is as in `base`.
pub(super) fn train(reader: &mut Reader, prefix: &str, base: &TrainSettings) -> TrainSettings {
    let key = |name: &str| format!("{prefix}{name}");
    let kinds = [("one_class_svm", Kind::OneClassSvm), ("gaussian", Kind::Gaussian)];
    let kind = match reader.text(&key("kind")) {
        Some(_) => reader.one_of(&key("kind"), &kinds),
        None => base.kind,
    };
    // Scores of two kinds cannot be compared.
    let base_threshold = base.threshold.filter(|_| kind == base.kind);
    let mut rows = |name: &str| {
        // 0 is outside the range, so it can only be the default.
        let rows = reader.integer(&key(name), 0, 10..=ROWS_MOST as u64) as usize;
        (rows > 0).then_some(rows)
    };
    let (rows_min, rows_max) = (rows("rows_min"), rows("rows_max"));
    TrainSettings {
        kind,
        nu: reader.number(&key("nu"), 1e-6..=0.5).or(base.nu),
        gamma: reader.number(&key("gamma"), 1e-6..=1e6).or(base.gamma),
        rows_min: rows_min.or(base.rows_min),
        rows_max: rows_max.or(base.rows_max),
        unit_min: reader.number(&key("unit_min"), 1e-6..=1e6).or(base.unit_min),
        threshold: threshold(reader, prefix).or(base_threshold),
        flagged_max: reader.number(&key("flagged_max"), 1e-3..=1.0).or(base.flagged_max),
    }
}

fn threshold(reader: &mut Reader, prefix: &str) -> Option<Threshold> {
    let (rate, score) = (format!("{prefix}false_alarm_rate"), format!("{prefix}threshold"));
    let rate = reader.number(&rate, 1e-6..=0.5).map(Threshold::FalseAlarmRate);
    match (rate, reader.number(&score, 1e-6..=1e6).map(Threshold::Score)) {
        (Some(_), Some(_)) => {
            reader.mistake(&score, "stands beside false_alarm_rate: give one of them");
            rate
        }
        (rate, threshold) => rate.or(threshold),
    }
}

/// How long before its end the range of a training begins; `None`: where the one before ended, or
/// everything.
pub(super) fn last(reader: &mut Reader) -> Option<Duration> {
    reader.text("models.train.last")?;
    Some(reader.duration("models.train.last", "7d", LAST_LEAST..=LAST_MOST))
}

/// There when it is said when. `taken` are keys of aliases that have models of another kind.
pub(super) fn retrain(
    reader: &mut Reader,
    champion: &str,
    taken: &[(&str, Option<&str>)],
) -> Option<Retrain> {
    const EVERY: &str = "models.train.every";
    const DELAY: &str = "models.train.delay";
    const ALIAS: &str = "models.train.alias";
    let text = reader.text(EVERY);
    let said = [reader.text(ALIAS).map(|_| ALIAS), reader.text(DELAY).map(|_| DELAY)];
    let alias = alias(reader, ALIAS, champion);
    if let Some((key, _)) = taken.iter().find(|(_, taken)| *taken == Some(alias.as_str())) {
        reader.mistake(ALIAS, format!("is {alias:?}, as {key} is"));
    }
    let delay = said[1]
        .map(|_| reader.duration(DELAY, "0s", Duration::ZERO..=Duration::from_secs(7 * 86_400)));
    let threads = reader.integer("models.train.threads", 1, 1..=256) as usize;
    let fit = reader.switch("models.train.fit", true);
    let Some(text) = text else {
        for key in said.into_iter().flatten() {
            reader.mistake(key, "is about trainings that come by themselves: set every too");
        }
        return None;
    };
    match Schedule::parse(&text) {
        Ok(schedule) => Some(Retrain { schedule, alias, delay, threads, fit }),
        Err(allowed) => {
            reader.mistake(EVERY, format!("is {text:?}, {allowed}"));
            None
        }
    }
}

/// The rules, in their order.
pub(super) fn rules(
    reader: &mut Reader,
    base: &TrainSettings,
    key: Option<&KeySchema>,
) -> Vec<TrainRule> {
    let tables = reader.tables("models.train.rules").unwrap_or_default();
    let mut rules = Vec::new();
    for (number, mut table) in tables.into_iter().enumerate() {
        let place = |name: &str| format!("models.train.rules[{number}].{name}");
        let sensors = match sensors(table.remove("where"), key) {
            Ok(sensors) => sensors,
            Err(what) => {
                reader.mistake(&place("where"), what);
                Vec::new()
            }
        };
        let mut inner = Reader::new(table, BTreeMap::new());
        let how = how(&mut inner, base);
        inner.finish().into_iter().for_each(|m| reader.mistake(&place(&m.key), m.what));
        rules.push(TrainRule { sensors, how });
    }
    rules
}

/// Which sensors a rule is for.
pub(super) fn sensors(
    value: Option<Value>,
    key: Option<&KeySchema>,
) -> Result<Vec<(usize, Vec<String>)>, String> {
    let example =
        "it names key columns with a value or a list of values, such as { Device = \"p*\" }";
    let Some(Value::Table(columns)) = value else {
        return Err(format!("is missing or no table: {example}"));
    };
    let pattern = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    let mut sensors = Vec::new();
    for (name, value) in &columns {
        let one = std::slice::from_ref(value);
        let values = value.as_array().map_or(one, Vec::as_slice);
        let patterns: Option<Vec<String>> = values.iter().map(pattern).collect();
        let Some(patterns) = patterns.filter(|patterns| !patterns.is_empty()) else {
            return Err(format!(
                "has {name} = {value}, allowed are texts, whole numbers and lists of them"
            ));
        };
        // Without a key there is a mistake elsewhere.
        let Some(key) = key else { continue };
        let names = || key.columns().iter().map(|column| column.name.as_str());
        let Some(place) = names().position(|column| column == name) else {
            let names: Vec<_> = names().collect();
            return Err(format!("names {name:?}, key columns are {}", names.join(", ")));
        };
        sensors.push((place, patterns));
    }
    match columns.is_empty() {
        true => Err(format!("names no column: {example}")),
        false => Ok(sensors),
    }
}

fn how(reader: &mut Reader, base: &TrainSettings) -> RuleKind {
    if reader.text("kind").as_deref() != Some("static_limits") {
        let settings = train(reader, "", base);
        if reader.tables("limits").is_some() {
            reader.mistake("limits", "are for kind = \"static_limits\"");
        }
        return RuleKind::Train(settings);
    }
    let Some(tables) = reader.tables("limits").filter(|tables| !tables.is_empty()) else {
        reader.mistake("limits", "is missing: [{ feature = \"mean\", min = 1, max = 2 }]");
        return RuleKind::Limits(Vec::new());
    };
    RuleKind::Limits(tables.into_iter().map(|table| limit(reader, table)).collect())
}

fn limit(reader: &mut Reader, table: Table) -> FeatureLimit {
    let mut inner = Reader::new(table, BTreeMap::new());
    let feature = inner.required("feature", "the name of a feature that models see");
    let (min, max) =
        (inner.number("min", f64::MIN..=f64::MAX), inner.number("max", f64::MIN..=f64::MAX));
    let mistakes = inner.finish();
    if mistakes.is_empty() && (min.is_none() && max.is_none()) {
        reader.mistake("limits", format!("have neither min nor max of {feature:?}"));
    }
    if let (Some(min), Some(max)) = (min, max)
        && min >= max
    {
        reader.mistake("limits", format!("of {feature:?} from {min} to {max} are no range"));
    }
    mistakes.into_iter().for_each(|m| reader.mistake(&format!("limits.{}", m.key), m.what));
    FeatureLimit { feature, min, max }
}

#[cfg(test)]
mod tests;
