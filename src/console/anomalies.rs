//! Anomalous windows, newest first: from memory as far as the index has them, from files before that.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::Result;
use tidegauge_flow::{KeySchema, SensorKey, names};
use tidegauge_serve::console::{Anomalies, Anomaly, Answer, KeyValue};
use tidegauge_sink::{FileRef, Reader, Table};

use super::index::{Columns, anomalies};
use super::look::DataFile;
use super::rows::Bound;
use super::sensor::{numeric, selected};
use super::{LakeConsole, keys, pages, unavailable};

/// Files that are read at a time, and how often: one answer reads at most so many, and says where to go on.
const FILES: usize = 64;
const ROUNDS: usize = 4;
/// Rows of one round: a part of them are revisions.
const ROWS_MAX: usize = 20_000;

/// Where rows are looked for.
struct Search {
    reader: Reader,
    schema: KeySchema,
    key: Option<SensorKey>,
    /// Predictions, those with the newest windows first.
    files: Vec<FileRef>,
}

impl LakeConsole {
    pub(super) fn anomalies_before(
        &self,
        key: Option<&[KeyValue]>,
        before_us: i64,
        limit: usize,
    ) -> Answer<Anomalies> {
        let state = self.follower.index()?;
        let Some(reader) = state.look.reader.clone() else {
            return Ok(Anomalies { rows: Vec::new(), next_before_us: None });
        };
        let schema = reader.generation().key_schema();
        let key = key.map(|key| keys::typed(key, &schema)).transpose()?;
        let (mut rows, after_us) = match &state.index {
            Some(index) => {
                let (found, after_us) = index.anomalies(key.as_ref(), before_us);
                // One more than a page: what ends at the same time stays together.
                let found = found.into_iter().take(ROWS_MAX).cloned();
                (found.collect::<Vec<_>>(), after_us)
            }
            None => (Vec::new(), i64::MAX),
        };
        let files = newest_first(&state.look.files);
        drop(state);
        let search = Search { reader, schema, key, files };
        let mut before_us = before_us.min(after_us.saturating_add(1));
        let mut is_more = true;
        for _ in 0..ROUNDS {
            if rows.len() > limit {
                break;
            }
            let Some(boundary) = self.round(&search, before_us, &mut rows)? else {
                is_more = false;
                break;
            };
            before_us = boundary.saturating_add(1);
        }
        Ok(page(rows, limit, is_more.then_some(before_us)))
    }

    /// Adds the anomalies of the next files that end before a time. Gives the time after which all are found;
    /// `None` when that was all.
    fn round(
        &self,
        search: &Search,
        before_us: i64,
        rows: &mut Vec<Anomaly>,
    ) -> Answer<Option<i64>> {
        let least =
            |file: &&FileRef| file.window_end_us.is_some_and(|(least, _)| least < before_us);
        let files: Vec<&FileRef> = search.files.iter().filter(least).collect();
        // Files that reach past the time count as ending there: all of them are of this round.
        let until = before_us.saturating_sub(1);
        let most =
            |file: &FileRef| file.window_end_us.map_or(i64::MIN, |(_, most)| most.min(until));
        // Files that end at the same time as the last one belong to it: else there might be no getting on.
        let last = files.get(FILES - 1).map(|file| most(file));
        let taken =
            files.iter().take_while(|file| last.is_none_or(|last| most(file) >= last)).count();
        let mut boundary = files.get(taken).map(|file| most(file));
        let mut taken: Vec<FileRef> = files[..taken].iter().map(|file| (*file).clone()).collect();
        taken.reverse();
        let names = numeric(search.reader.generation());
        let mut conditions = vec![
            format!("{} < '{}'", names::WINDOW_END, time(before_us)),
            format!("({} OR {} > 0)", names::IS_ANOMALY, names::REVISION),
        ];
        conditions.extend(boundary.map(|end| format!("{} > '{}'", names::WINDOW_END, time(end))));
        conditions.extend(search.key.as_ref().map(|key| keys::condition(key, &search.schema)));
        let sql = format!(
            "SELECT {} FROM predictions WHERE {} ORDER BY {} DESC, {} DESC NULLS LAST LIMIT {ROWS_MAX}",
            selected(&search.schema, &names),
            conditions.join(" AND "),
            names::WINDOW_END,
            names::SEVERITY
        );
        let bound = Bound { rows: ROWS_MAX, advice: "" };
        let batches = self.rows.select(&self.origin, &search.reader, &taken, &sql, bound)?;
        let found = standing(&batches, &search.schema, &names).map_err(|e| unavailable(&e))?;
        if let (true, Some((oldest, newest))) = (found.rows >= ROWS_MAX, found.ends) {
            // Some that end with the last one may be missing; of more at one moment the most severe are all.
            let found_until = if oldest == newest { oldest.saturating_sub(1) } else { oldest };
            boundary = boundary.max(Some(found_until));
        }
        rows.extend(
            found
                .anomalies
                .into_iter()
                .filter(|row| boundary.is_none_or(|b| row.window_end_us > b)),
        );
        Ok(boundary)
    }
}

/// What rows come to.
struct Standing {
    /// The anomalies that no revision has taken back.
    anomalies: Vec<Anomaly>,
    /// The ends of the oldest and the newest row.
    ends: Option<(i64, i64)>,
    /// How many rows there are.
    rows: usize,
}

fn standing(
    batches: &[arrow::array::RecordBatch],
    schema: &KeySchema,
    features: &[String],
) -> Result<Standing> {
    let key: Vec<String> = schema.columns().iter().map(|c| c.name.clone()).collect();
    let mut newest: BTreeMap<(i64, Vec<KeyValue>), (u32, Option<Anomaly>)> = BTreeMap::new();
    let mut rows = 0;
    for batch in batches {
        let columns = Columns::of(batch, &key)?;
        let mut found: BTreeMap<usize, Anomaly> =
            anomalies(batch, &columns, features)?.into_iter().collect();
        rows += columns.len();
        for row in 0..columns.len() {
            let verdict = columns.verdict(row);
            let place = (verdict.window_end_us, columns.key(row));
            let known = newest.entry(place).or_insert((verdict.revision, None));
            if verdict.revision >= known.0 {
                *known = (verdict.revision, found.remove(&row));
            }
        }
    }
    let ends = newest.keys().next().zip(newest.keys().next_back());
    let ends = ends.map(|((oldest, _), (newest, _))| (*oldest, *newest));
    let anomalies = newest.into_values().filter_map(|(_, anomaly)| anomaly).collect();
    Ok(Standing { anomalies, ends, rows })
}

/// A page of anomalies; of those that end at the same time the most severe first.
fn page(mut rows: Vec<Anomaly>, limit: usize, next_before_us: Option<i64>) -> Anomalies {
    rows.sort_by(newest_then_severe);
    let next = pages::cut(&mut rows, limit, |row| row.window_end_us).or(next_before_us);
    Anomalies { rows, next_before_us: next }
}

fn newest_then_severe(a: &Anomaly, b: &Anomaly) -> Ordering {
    let severity = |anomaly: &Anomaly| anomaly.severity.unwrap_or(f64::NEG_INFINITY);
    (b.window_end_us.cmp(&a.window_end_us))
        .then(severity(b).total_cmp(&severity(a)))
        .then_with(|| a.key.cmp(&b.key))
}

fn newest_first(files: &[DataFile]) -> Vec<FileRef> {
    let of_predictions = files.iter().filter(|file| file.file.table == Table::Predictions);
    let mut files: Vec<FileRef> = of_predictions.map(|file| file.file.clone()).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.window_end_us.map(|(_, most)| most)));
    files
}

/// A time in SQL.
fn time(us: i64) -> String {
    tidegauge_flow::time::rfc3339(us.saturating_mul(1000))
}
