//! Window rows of the past, by sensor: from files of readings, or from the lake.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use tidegauge_aggregate::{Closing, WindowSettings, Windows};
use tidegauge_flow::{Readings, SensorKey, Sensors, names};
use tidegauge_ingest::{Decoder, Files};
use tidegauge_score::train::SensorRows;

use crate::clock;
use crate::config::Config;
use crate::pipeline;
use crate::sensor_rows::{Keys, Numbers};
use crate::sql::{REVISED, newest, quoted};

/// Records read at once.
const BATCH_MAX: usize = 8_192;

/// Window ends (from, to], microseconds since the epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// What `--from` and `--to` say.
///
/// # Errors
/// When one of them is no time.
pub fn range(from: Option<&str>, to: Option<&str>) -> Result<Range> {
    let micros = |flag, text: Option<&str>| {
        text.map(|text| super::time(flag, text).map(|ns| ns.div_euclid(1000))).transpose()
    };
    Ok(Range { from: micros("--from", from)?, to: micros("--to", to)? })
}

impl Range {
    pub fn holds(self, end_us: i64) -> bool {
        self.from.is_none_or(|from| end_us > from) && self.to.is_none_or(|to| end_us <= to)
    }

    /// The same in SQL, for readers to leave out whole files.
    pub fn condition(self) -> String {
        let time = |us: i64| tidegauge_flow::time::rfc3339(us.saturating_mul(1000));
        let bound = |sign: &str, us: Option<i64>| {
            us.map(|us| format!("{} {sign} '{}'", names::WINDOW_END, time(us)))
        };
        let bounds = [bound(">", self.from), bound("<=", self.to)];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        if bounds.is_empty() { "true".into() } else { bounds.join(" AND ") }
    }

    pub fn text(self) -> String {
        let show = |us: i64| tidegauge_flow::time::rfc3339(us.saturating_mul(1000));
        match (self.from, self.to) {
            (None, None) => String::new(),
            (from, to) => format!(
                " from {} to {}",
                from.map_or("the beginning".into(), show),
                to.map_or("now".into(), show)
            ),
        }
    }
}

/// The columns of the lake's window rows, by sensor.
pub fn from_lake(config: &Config, wanted: &[String], range: Range) -> Result<Vec<SensorRows>> {
    let keys: Vec<_> = config.event.key.columns().iter().map(|k| quoted(&k.name)).collect();
    let columns = keys.iter().cloned().chain([names::WINDOW_END.to_string()]);
    let columns = columns.chain(wanted.iter().map(|f| quoted(f))).collect::<Vec<_>>().join(", ");
    let registry = pipeline::registry(config)?;
    let select =
        |sql: &str| super::query::select(&config.lake.url, &config.lake.storage, &registry, sql);
    let revised = select(REVISED)?;
    let sql = match revised.iter().all(|batch| batch.num_rows() == 0) {
        true => format!("SELECT {columns} FROM predictions WHERE {}", range.condition()),
        false => format!("SELECT {columns} FROM {}", newest(&keys, &range.condition())),
    };
    let batches = select(&sql)?;
    let mut rows = RowsBySensor::new(keys.len(), range);
    for batch in &batches {
        rows.add(batch, keys.len() + 1)?;
    }
    Ok(rows.finish())
}

/// The columns of the windows of files of readings, by sensor.
pub fn from_files(
    config: &Config,
    inputs: &[String],
    wanted: &[String],
    range: Range,
) -> Result<Vec<SensorRows>> {
    let query = pipeline::plan(config)?;
    let mut sensors = Sensors::new(config.event.key.clone(), config.window.sensors_max);
    let settings = WindowSettings { closing: Closing::AtEnd, ..WindowSettings::default() };
    let mut windows = Windows::new(query.clone(), settings, 1);
    let mut files = Files::open(inputs, &config.event)?;
    let mut readings = Readings::new(config.event.values.len());
    let mut rows = RowsBySensor::new(config.event.key.columns().len(), range);
    let mut rejected = 0u64;
    while let Some(batch) = files.next_batch(BATCH_MAX)? {
        let mut decoder = Decoder::new(config.event.clone(), batch.format.clone());
        readings.clear();
        for (message, _) in batch.messages() {
            let decoded = decoder.decode(&message, clock::now_ns(), &mut sensors, &mut readings);
            rejected += u64::from(decoded.is_err());
        }
        rejected += windows.push(0, &readings, &sensors)?.refused.len() as u64;
        while let Some(closed) = windows.close(&sensors)? {
            rows.add_closed(&closed.batch, wanted)?;
        }
    }
    if rejected > 0 {
        eprintln!("note: {rejected} records cannot be read and are left out");
    }
    windows.drain();
    while let Some(closed) = windows.close(&sensors)? {
        rows.add_closed(&closed.batch, wanted)?;
    }
    Ok(rows.finish())
}

struct RowsBySensor {
    keys: usize,
    range: Range,
    sensors: BTreeMap<SensorKey, SensorRows>,
}

impl RowsBySensor {
    fn new(keys: usize, range: Range) -> Self {
        Self { keys, range, sensors: BTreeMap::new() }
    }

    /// Adds closed windows: key columns first, the others by name.
    fn add_closed(&mut self, batch: &RecordBatch, features: &[String]) -> Result<()> {
        let schema = batch.schema();
        let mut columns = (0..self.keys).collect::<Vec<_>>();
        columns.push(schema.index_of(names::WINDOW_END)?);
        for feature in features {
            columns.push(schema.index_of(feature)?);
        }
        self.add(&batch.project(&columns)?, self.keys + 1)
    }

    /// Adds rows of key columns, `window_end` and, from column `first`, features.
    fn add(&mut self, batch: &RecordBatch, first: usize) -> Result<()> {
        let ends = batch.column(self.keys).as_primitive_opt::<TimestampMicrosecondType>();
        let ends = ends.context("window_end is no timestamp in microseconds")?;
        let features = batch.columns()[first..].iter().map(Numbers::of);
        let features: Vec<Numbers> = features.collect::<Result<_>>()?;
        let keys = Keys::of(batch.columns()[..self.keys].iter())?;
        for row in (0..batch.num_rows()).filter(|&row| self.range.holds(ends.value(row))) {
            let key = keys.sensor(row);
            let rows = self.sensors.entry(key.clone()).or_insert_with(|| SensorRows {
                key,
                window_end_us: Vec::new(),
                rows: Vec::new(),
            });
            rows.window_end_us.push(ends.value(row));
            // A null is no number: training counts the row and leaves it out.
            rows.rows.extend(features.iter().map(|feature| feature.value(row)));
        }
        Ok(())
    }

    fn finish(self) -> Vec<SensorRows> {
        self.sensors.into_values().collect()
    }
}
