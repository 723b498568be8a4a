//! Whether sensors still are what their models were trained on: the lake's windows of late, beside the models
//! that an alias means.
//!
//! *Memory*: files are read one by one, and rows are held of as many sensors at a time as fit into
//! [`HELD_MAX`] bytes, by the number of rows that the ledger promises; for the next sensors the files are read
//! again. It is more only when one sensor alone has more.

mod thread;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{TimestampMicrosecondType, UInt32Type};
use tidegauge_aggregate::Query;
use tidegauge_flow::{SensorKey, names};
use tidegauge_score::train::SensorRows;
use tidegauge_score::{Drifted, Models, Registry, Scorer, Unknown, drift};
use tidegauge_sink::{FileRef, Reader, Table};

pub use self::thread::{DriftWatch, counts};
use crate::commands::history::Range;
use crate::config::Config;
use crate::pipeline::{self, Newest};
use crate::sensor_rows::{Keys, Numbers};

/// Bytes of rows and their features that are held at a time.
const HELD_MAX: u64 = 64 << 20;

/// Which windows are looked at.
#[derive(Debug, Clone, Copy)]
pub enum Period {
    /// The last so long up to the newest window of the lake.
    Last(Duration),
    Between(Range),
}

/// What came of each sensor, those that changed most first.
#[derive(Debug)]
pub struct Survey {
    pub sensors: Vec<(SensorKey, Result<Drifted, Unknown>)>,
    /// What models see, in their order.
    pub features: Vec<String>,
    pub range: Range,
}

/// What is compared with what.
pub struct Surveyor<'a> {
    pub config: &'a Config,
    pub query: &'a Query,
    pub registry: &'a Registry,
    pub reader: &'a Reader,
}

impl Surveyor<'_> {
    /// Compares every sensor that has a window in the period, or a model.
    ///
    /// # Errors
    /// When the alias means nothing, its models don't fit the query, or the lake can't be read.
    pub fn survey(&self, period: Period) -> Result<Survey> {
        let alias = &self.config.models.alias;
        let models = self.registry.resolve(alias)?;
        let models = models.with_context(|| {
            format!("the alias {alias} means no models yet: run tidegauge train")
        })?;
        let newest = Newest { champion: Some(models.clone()), ..Newest::default() };
        let scorer = pipeline::scorer(self.config, self.query, newest)?;
        let view = self.reader.view()?;
        let files: Vec<&FileRef> =
            view.files().filter(|file| file.table == Table::Predictions).collect();
        let range = period.range(&files);
        let files: Vec<&FileRef> = files.into_iter().filter(|file| meets(file, range)).collect();
        let mut sensors = BTreeMap::new();
        let parts = parts(&files, &scorer);
        for part in 0..parts {
            for rows in self.read(&files, &scorer, range, (part, parts))? {
                let came = compare(&scorer, &models, &rows)?;
                sensors.insert(rows.key, came);
            }
        }
        for (entry, _) in models.effective() {
            let none = || Err(Unknown::TooFew { windows: 0 });
            sensors.entry(entry.key.clone()).or_insert_with(none);
        }
        let mut sensors: Vec<_> = sensors.into_iter().collect();
        sensors.sort_by(|(_, a), (_, b)| gravity(b).total_cmp(&gravity(a)));
        Ok(Survey { sensors, features: scorer.features().to_vec(), range })
    }

    /// The rows of one part of the sensors: of each window its newest one.
    fn read(
        &self,
        files: &[&FileRef],
        scorer: &Scorer,
        range: Range,
        part: (u64, u64),
    ) -> Result<Vec<SensorRows>> {
        let keys = self.config.event.key.columns().iter().map(|key| key.name.as_str());
        let mut wanted: Vec<&str> = keys.chain([names::WINDOW_END, names::REVISION]).collect();
        let first = wanted.len();
        wanted.extend(scorer.columns().iter().map(String::as_str));
        let mut held = BTreeMap::new();
        for file in files {
            let place = || format!("cannot read {}", file.path);
            for batch in self.reader.rows_of(file, &wanted).with_context(place)? {
                hold(&batch, &wanted, first, range, part, &mut held).with_context(place)?;
            }
        }
        Ok(held.into_iter().map(|(key, held): (_, Held)| held.newest(key)).collect())
    }
}

impl Period {
    fn range(self, files: &[&FileRef]) -> Range {
        match self {
            Self::Between(range) => range,
            Self::Last(last) => {
                let newest = files.iter().filter_map(|file| Some(file.window_end_us?.1)).max();
                let last = i64::try_from(last.as_micros()).unwrap_or(i64::MAX);
                Range { from: newest.map(|newest| newest.saturating_sub(last)), to: newest }
            }
        }
    }
}

/// Whether a file may hold windows of a range.
fn meets(file: &FileRef, range: Range) -> bool {
    file.window_end_us.is_none_or(|(least, greatest)| {
        range.from.is_none_or(|from| greatest > from) && range.to.is_none_or(|to| least <= to)
    })
}

/// Into how many parts sensors go, so that the rows of one fit into memory.
fn parts(files: &[&FileRef], scorer: &Scorer) -> u64 {
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    // Twice: rows in the order of files, and in that of time; then features, and the complete ones of them.
    let numbers = 2 * (scorer.columns().len() + 2 + scorer.features().len());
    (rows.saturating_mul(numbers as u64 * 8)).div_ceil(HELD_MAX).max(1)
}

/// Windows of one sensor as they come, parallel to each other.
#[derive(Debug, Default)]
struct Held {
    ends_us: Vec<i64>,
    revisions: Vec<u32>,
    values: Vec<f64>,
}

fn hold(
    batch: &RecordBatch,
    wanted: &[&str],
    first: usize,
    range: Range,
    (part, parts): (u64, u64),
    held: &mut BTreeMap<SensorKey, Held>,
) -> Result<()> {
    let column = |name: &&str| {
        batch.column_by_name(name).with_context(|| format!("it has no column {name}"))
    };
    let columns = wanted.iter().map(column).collect::<Result<Vec<_>>>()?;
    let ends = columns[first - 2].as_primitive::<TimestampMicrosecondType>();
    let revisions = columns[first - 1].as_primitive::<UInt32Type>();
    let keys = Keys::of(columns[..first - 2].iter().copied())?;
    let values = columns[first..].iter().map(|column| Numbers::of(column));
    let values = values.collect::<Result<Vec<Numbers>>>()?;
    for row in (0..batch.num_rows()).filter(|row| range.holds(ends.value(*row))) {
        let key = keys.sensor(row);
        if parts > 1 && number(&key) % parts != part {
            continue;
        }
        let of = held.entry(key).or_default();
        of.ends_us.push(ends.value(row));
        of.revisions.push(revisions.value(row));
        of.values.extend(values.iter().map(|column| column.value(row)));
    }
    Ok(())
}

/// The same in each round over the files.
fn number(key: &SensorKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Held {
    /// In the order of time, of each window its newest row.
    fn newest(self, key: SensorKey) -> SensorRows {
        let width = self.values.len() / self.ends_us.len().max(1);
        let mut order: Vec<usize> = (0..self.ends_us.len()).collect();
        order.sort_by_key(|row| (self.ends_us[*row], std::cmp::Reverse(self.revisions[*row])));
        order.dedup_by_key(|row| self.ends_us[*row]);
        let row = |row: &usize| &self.values[row * width..(row + 1) * width];
        let rows = order.iter().flat_map(row).copied().collect();
        let window_end_us = order.iter().map(|row| self.ends_us[*row]).collect();
        SensorRows { key, window_end_us, rows }
    }
}

fn compare(
    scorer: &Scorer,
    models: &Models,
    rows: &SensorRows,
) -> Result<Result<Drifted, Unknown>> {
    let Some((entry, _)) = models.find(&rows.key) else { return Ok(Err(Unknown::NoModel)) };
    Ok(drift::compare(entry, &scorer.features_of(rows, true), &scorer.spans())?)
}

/// What the gravest verdict and, among equals, the largest index come to; those of whom nothing is known come
/// last.
fn gravity(came: &Result<Drifted, Unknown>) -> f64 {
    const BEYOND_ANY: f64 = 1e6;
    came.as_ref().map_or(-1.0, |drifted| {
        let most = drifted.most();
        f64::from(most.verdict as u8) * BEYOND_ANY + most.psi
    })
}

#[cfg(test)]
mod tests;
