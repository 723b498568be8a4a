//! One sensor's page: its windows in a range, its anomalies, its model.

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Float64Type;
use tidegauge_flow::{KeySchema, SensorKey, names};
use tidegauge_serve::console::{Anomaly, Answer, ConsoleError, EventRow, KeyValue, Sensor};
use tidegauge_sink::{FileRef, Generation, Reader, Table};

use super::index::{Columns, anomalies, number, numbers};
use super::look::{DataFile, features};
use super::points::{Window, history, step};
use super::rows::Bound;
use super::{LakeConsole, keys, lake, models, unavailable};
use crate::commands::history::Range;
use crate::sql::quoted;

/// What is shown when no range is asked for.
const USUAL_US: i64 = 6 * 3_600_000_000;
/// Windows of one answer, revisions included.
const WINDOWS: Bound = Bound { rows: 200_000, advice: "ask for a shorter range" };
/// Anomalies of one answer.
const ANOMALIES_MAX: usize = 200;

/// What is asked of the lake.
struct Asked {
    reader: Reader,
    schema: KeySchema,
    key: SensorKey,
    range: (i64, i64),
    files: Vec<FileRef>,
    is_known: bool,
    has_onset: bool,
    events: Vec<EventRow>,
}

impl LakeConsole {
    pub(super) fn one_sensor(
        &self,
        key: &[KeyValue],
        range: (Option<i64>, Option<i64>),
        points: usize,
    ) -> Answer<Sensor> {
        let asked = self.asked(key, range)?;
        let (from_us, to_us) = asked.range;
        let names = numeric(asked.reader.generation());
        let sql = statement(&asked, &names);
        let batches = self.rows.select(&self.origin, &asked.reader, &asked.files, &sql, WINDOWS)?;
        let (windows, mut found) = rows(&batches, &asked, &names).map_err(|e| unavailable(&e))?;
        if windows.is_empty() && !asked.is_known {
            let what =
                "has no windows there; name a range with from_us and to_us, or look up the key";
            return Err(ConsoleError::NotFound(format!("the sensor {} {what}", asked.key)));
        }
        found.truncate(ANOMALIES_MAX);
        let step_us = step(from_us, to_us, windows.len(), points);
        Ok(Sensor {
            key: keys::shown(&asked.key),
            from_us,
            to_us,
            step_us,
            windows: windows.len() as u64,
            history: history(&windows, &names, from_us, step_us, asked.has_onset),
            anomalies: found,
            events: asked.events,
            model: models::of_sensor(&self.origin, &self.sets, &asked.key, &asked.schema)?,
        })
    }

    fn asked(&self, key: &[KeyValue], (from, to): (Option<i64>, Option<i64>)) -> Answer<Asked> {
        let state = self.follower.index()?;
        let reader = lake(&state)?.clone();
        let schema = reader.generation().key_schema();
        let key = keys::typed(key, &schema)?;
        let index = state.index.as_ref();
        let newest = index.and_then(|index| index.newest_of(&key));
        let to_us = to.or(newest).or(index.and_then(|index| index.newest_us())).unwrap_or(0);
        let from_us = from.unwrap_or_else(|| to_us.saturating_sub(USUAL_US));
        if from_us > to_us {
            let what = format!("from_us is {from_us}, which is after to_us, {to_us}");
            return Err(ConsoleError::Invalid(what));
        }
        let files = touching(&state.look.files, (from_us, to_us));
        let is_known = newest.is_some();
        let has_onset = super::info(&self.origin, Some(reader.generation())).onset;
        let range = (from_us, to_us);
        let events = state.events.touching(&keys::shown(&key), range);
        Ok(Asked { reader, schema, key, range, files, is_known, has_onset, events })
    }
}

/// Predictions that may hold windows that end in (from, to], the newest last.
pub(super) fn touching(files: &[DataFile], (from_us, to_us): (i64, i64)) -> Vec<FileRef> {
    let meets = |file: &&DataFile| {
        let ends = file.file.window_end_us;
        file.file.table == Table::Predictions
            && ends.is_some_and(|(least, most)| most > from_us && least <= to_us)
    };
    let mut files: Vec<FileRef> = files.iter().filter(meets).map(|f| f.file.clone()).collect();
    files.sort_by_key(|file| file.window_end_us.map(|(_, most)| most));
    files
}

/// The features that a chart can show.
pub(super) fn numeric(generation: &Generation) -> Vec<String> {
    let is_numeric = |name: &String| {
        let column = generation.columns.iter().find(|column| column.name == *name);
        let kind = column.map(|column| column.kind.to_lowercase()).unwrap_or_default();
        ["int", "uint", "float"].iter().any(|number| kind.starts_with(number))
    };
    features(generation).into_iter().filter(is_numeric).collect()
}

/// Columns of SQL that [`anomalies`] and [`Columns`] read, whatever the types of the features.
pub(super) fn selected(schema: &KeySchema, features: &[String]) -> String {
    let keys = schema.columns().iter().map(|column| quoted(&column.name));
    let ours = [
        names::WINDOW_START,
        names::WINDOW_END,
        names::REVISION,
        names::SCORE,
        names::THRESHOLD,
        names::SEVERITY,
        names::IS_ANOMALY,
        names::STATUS,
        names::REASON,
        names::MODEL_SET,
        names::NOVELTY,
        names::ALARM,
    ];
    let ours = ours.into_iter().map(str::to_owned);
    let features = features.iter().map(|name| {
        let name = quoted(name);
        format!("CAST({name} AS DOUBLE) AS {name}")
    });
    keys.chain(ours).chain(features).collect::<Vec<_>>().join(", ")
}

fn statement(asked: &Asked, features: &[String]) -> String {
    let (from, to) = asked.range;
    let range = Range { from: Some(from), to: Some(to) };
    format!(
        "SELECT {} FROM predictions WHERE {} AND {}",
        selected(&asked.schema, features),
        keys::condition(&asked.key, &asked.schema),
        range.condition()
    )
}

/// Of each window its newest row, by rising time; and the anomalies among them, newest first.
fn rows(
    batches: &[RecordBatch],
    asked: &Asked,
    features: &[String],
) -> Result<(Vec<Window>, Vec<Anomaly>)> {
    let key: Vec<String> = asked.schema.columns().iter().map(|c| c.name.clone()).collect();
    let (mut windows, mut found) = (Vec::new(), Vec::new());
    for batch in batches {
        let columns = Columns::of(batch, &key)?;
        let values = features.iter().map(|name| numbers::<Float64Type>(batch, name));
        let values = values.collect::<Result<Vec<_>>>()?;
        let novelty = numbers::<Float64Type>(batch, names::NOVELTY)?;
        let alarm = batch.column_by_name(names::ALARM).and_then(|column| column.as_boolean_opt());
        let alarm: &BooleanArray = alarm.context("alarm is no column of booleans")?;
        for row in 0..columns.len() {
            let verdict = columns.verdict(row);
            let window = Window {
                end_us: verdict.window_end_us,
                features: values.iter().map(|column| number(column, row)).collect(),
                score: verdict.score,
                threshold: verdict.threshold,
                severity: verdict.severity,
                is_anomaly: verdict.is_anomaly,
                novelty: number(&novelty, row),
                alarm: (!alarm.is_null(row)).then(|| alarm.value(row)),
            };
            windows.push((verdict.revision, window));
        }
        found.extend(anomalies(batch, &columns, features)?.into_iter().map(|(_, one)| one));
    }
    windows.sort_by_key(|(revision, window)| (window.end_us, std::cmp::Reverse(*revision)));
    windows.dedup_by_key(|(_, window)| window.end_us);
    let newest: std::collections::HashMap<i64, u32> =
        windows.iter().map(|(revision, window)| (window.end_us, *revision)).collect();
    found.retain(|anomaly| newest.get(&anomaly.window_end_us) == Some(&anomaly.revision));
    found.sort_by_key(|anomaly| std::cmp::Reverse(anomaly.window_end_us));
    found.dedup_by_key(|anomaly| anomaly.window_end_us);
    Ok((windows.into_iter().map(|(_, window)| window).collect(), found))
}
