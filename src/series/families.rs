//! Which series a lake has: what each is of, and the SQL of its number.

use std::collections::BTreeSet;

use tidegauge_flow::names;
use tidegauge_serve::series::{Family, Fold, NAME};
use tidegauge_sink::{Column, Generation};

use crate::sql::quoted;

/// A column of the key, and the label that it has here.
#[derive(Debug, Clone)]
pub(super) struct KeyLabel {
    pub column: Column,
    pub label: String,
}

/// The families of a lake's windows.
#[derive(Debug)]
pub(super) struct Families {
    keys: Vec<KeyLabel>,
    all: Vec<(Family, Told)>,
}

/// What a family is of.
#[derive(Debug)]
pub(super) enum Told {
    /// Each sensor.
    OfSensors(Numbers),
    /// All of them together.
    OfLake(Numbers),
}

/// How the windows of a family become series.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Columns whose values are labels, beside those of a sensor's key.
    pub by: Vec<(&'static str, &'static str)>,
    /// A number of each window, and the label that tells it from the others.
    pub values: Vec<Value>,
    /// What becomes of several windows of one point.
    pub fold: Fold,
    /// The same where one point stands for the moment.
    pub fold_now: Fold,
}

/// A number of a window.
#[derive(Debug)]
pub(super) struct Value {
    pub label: Option<(&'static str, String)>,
    pub sql: String,
}

/// How many windows a sensor has: who has some, is there.
pub(super) const WINDOWS: &str = "tidegauge_sensor_windows";

/// Labels that are ours.
const FEATURE: &str = "feature";
const LE: &str = "le";
const OURS: [&str; 7] = [NAME, FEATURE, LE, "status", "alias", "kind", "state"];

/// Upper bounds of severities; 3 is one normal window in a thousand.
const SEVERITIES: [&str; 8] = ["0.5", "1", "1.5", "2", "3", "4", "5", "6"];

impl Families {
    pub fn of(generation: &Generation) -> Self {
        let keys = key_labels(&generation.key);
        let mut all = of_sensors(&keys);
        let key = |name: &str| keys.iter().any(|key| key.column.name == name);
        let is_feature = |column: &&Column| {
            !key(&column.name)
                && !names::RESERVED.contains(&column.name.as_str())
                && matches!(column.kind.as_str(), "float64" | "int64" | "uint64" | "uint32")
        };
        let features = generation.columns.iter().filter(is_feature).map(|column| Value {
            label: Some((FEATURE, column.name.clone())),
            sql: quoted(&column.name),
        });
        all.push(family(
            &keys,
            "tidegauge_sensor_feature",
            "The query's columns; the mean where a point has several windows.",
            Numbers {
                by: Vec::new(),
                values: features.collect(),
                fold: Fold::Mean,
                fold_now: Fold::Last,
            },
        ));
        all.extend(of_lake());
        Self { keys, all }
    }

    pub fn keys(&self) -> &[KeyLabel] {
        &self.keys
    }

    pub fn told(&self) -> Vec<Family> {
        self.all.iter().map(|(family, _)| family.clone()).collect()
    }

    pub fn find(&self, name: &str) -> Option<&Told> {
        self.all.iter().find(|(family, _)| family.name == name).map(|(_, told)| told)
    }
}

/// The families that have a series per sensor.
fn of_sensors(keys: &[KeyLabel]) -> Vec<(Family, Told)> {
    let is = |condition: &str| {
        format!("CASE WHEN {condition} THEN 1 WHEN NOT ({condition}) THEN 0 ELSE NULL END")
    };
    let gauge = |name: &str, help: &str, sql: &str| {
        family(keys, name, help, Numbers::one(sql, Fold::Max, Fold::Last))
    };
    let count = |name: &str, help: &str, sql: &str| {
        family(keys, name, help, Numbers::one(sql, Fold::Sum, Fold::Sum))
    };
    let disagreed = is("is_anomaly <> challenger_is_anomaly");
    vec![
        gauge("tidegauge_sensor_score", "The highest score: larger is more anomalous.", "score"),
        family(
            keys,
            "tidegauge_sensor_threshold",
            "From this score on a window is an anomaly; the last one's.",
            Numbers::one("threshold", Fold::Last, Fold::Last),
        ),
        gauge(
            "tidegauge_sensor_severity",
            "The highest severity: -log10 of the chance that a normal window scores so high.",
            "severity",
        ),
        gauge(
            "tidegauge_sensor_anomalous",
            "1 when a window was an anomaly, 0 when none was.",
            &is("is_anomaly"),
        ),
        gauge("tidegauge_sensor_novelty", "The highest novelty, of the onset view.", "novelty"),
        gauge(
            "tidegauge_sensor_challenger_score",
            "The highest score that the challenger gave.",
            "challenger_score",
        ),
        count(WINDOWS, "Windows.", "1"),
        count("tidegauge_sensor_readings", "Readings in windows.", "n_readings"),
        count("tidegauge_sensor_anomalies", "Windows that are anomalies.", &is("is_anomaly")),
        count("tidegauge_sensor_alarms", "Alarms of the onset view.", &is("alarm")),
        count(
            "tidegauge_sensor_disagreements",
            "Windows on which champion and challenger disagree.",
            &disagreed,
        ),
    ]
}

/// The families of all sensors together.
fn of_lake() -> Vec<(Family, Told)> {
    let bounds = SEVERITIES.iter().map(|bound| Value {
        label: Some((LE, (*bound).to_owned())),
        sql: format!(
            "CASE WHEN severity IS NULL THEN NULL WHEN severity <= {bound} THEN 1 ELSE 0 END"
        ),
    });
    let any = Value {
        label: Some((LE, "+Inf".to_owned())),
        sql: "CASE WHEN severity IS NULL THEN NULL ELSE 1 END".to_owned(),
    };
    let told = |name: &str, help: &str, labels: &[&str], numbers| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        (Family { name: name.into(), help: help.into(), labels }, Told::OfLake(numbers))
    };
    let sum = |by, values| Numbers { by, values, fold: Fold::Sum, fold_now: Fold::Sum };
    vec![
        told(
            "tidegauge_severity_bucket",
            "Windows with at most this severity, for a heat map; of each point, not summed up over time.",
            &[LE],
            sum(Vec::new(), bounds.chain([any]).collect()),
        ),
        told(
            "tidegauge_windows",
            "Windows by the status of their score.",
            &["status"],
            sum(vec![("status", names::STATUS)], vec![Value { label: None, sql: "1".into() }]),
        ),
        told(
            "tidegauge_anomalies",
            "Windows that are anomalies, of all sensors.",
            &[],
            sum(
                Vec::new(),
                vec![Value { label: None, sql: "CASE WHEN is_anomaly THEN 1 ELSE 0 END".into() }],
            ),
        ),
    ]
}

fn family(keys: &[KeyLabel], name: &str, help: &str, numbers: Numbers) -> (Family, Told) {
    let mut labels: Vec<String> = keys.iter().map(|key| key.label.clone()).collect();
    let of_values: BTreeSet<&str> =
        numbers.values.iter().filter_map(|v| v.label.as_ref().map(|(label, _)| *label)).collect();
    labels.extend(of_values.into_iter().map(str::to_owned));
    (Family { name: name.into(), help: help.into(), labels }, Told::OfSensors(numbers))
}

impl Numbers {
    fn one(sql: &str, fold: Fold, fold_now: Fold) -> Self {
        let values = vec![Value { label: None, sql: sql.to_owned() }];
        Self { by: Vec::new(), values, fold, fold_now }
    }
}

/// The columns' names as labels: Prometheus allows ASCII letters, digits and `_`, and no two may be the same.
fn key_labels(key: &[Column]) -> Vec<KeyLabel> {
    let mut taken: BTreeSet<String> = OURS.iter().map(|label| (*label).to_owned()).collect();
    let mut labels = Vec::new();
    for column in key {
        let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut label: String = column.name.chars().map(allowed).collect();
        if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) {
            label.insert(0, '_');
        }
        while !taken.insert(label.clone()) {
            label.push('_');
        }
        labels.push(KeyLabel { column: column.clone(), label });
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_become_labels_that_prometheus_allows() {
        let cases = ["Device", "Anlage Süd", "Anlage S\u{f6}d", "2nd", "status", "status_", ""];
        let key = cases.map(|name| Column { name: name.into(), kind: "string".into() });
        let labels: Vec<String> = key_labels(&key).into_iter().map(|key| key.label).collect();
        let wanted = ["Device", "Anlage_S_d", "Anlage_S_d_", "_2nd", "status_", "status__", "_"];
        assert_eq!(labels, wanted);
    }
}
