//! The saved state of a lane's windows, keys included.
//!
//! Layout, version 2: `TGCP`, u32 version, u32 header length, header (JSON), then one Arrow IPC stream
//! per section, each preceded by its u64 length; all integers little-endian. The sections: the sensors'
//! keys; if the header says so the sensors' newest times; per open or held pane its groups, if it has
//! some, and its runs; the ids of events, for panes that have some; what is known of late readings, for
//! closed windows that had some. Groups and runs have the columns `sensor`, `readings`, then the
//! aggregates' states, and runs are ordered by sensor.

mod frozen;
mod header;
mod read;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type, UInt64Type};
use tidegauge_flow::{SensorId, Sensors};

pub use self::frozen::Frozen;
use self::frozen::Section;
use self::header::{Header, PaneHeader, PartitionHeader, RunHeader};
use self::read::Reading;
use crate::error::AggregateError;
use crate::policy::{EventTime, Scope};
use crate::query::Query;
use crate::spill::Spill;
use crate::watermark::Watermark;
use crate::windows::run::{Place, Run};
use crate::windows::{Held, WindowSettings, Windows, ids::Ids, pane::Pane, part};

const MAGIC: &[u8; 4] = b"TGCP";
const VERSION: u32 = 2;

impl Windows {
    /// Saves the windows and the sensors' keys. The windows go on unchanged.
    ///
    /// # Panics
    /// When closed rows have not been fetched with [`Windows::close`]: they would be lost.
    ///
    /// # Errors
    /// When an accumulator can't give its state, or a spilled pane can't be read.
    pub fn checkpoint(&mut self, sensors: &Sensors) -> Result<Vec<u8>, AggregateError> {
        self.cut(sensors)?.encode()
    }

    /// The first half of [`Windows::checkpoint`]: takes what there is to save, which is all that the
    /// lane has to wait for. The rest may be done on another thread.
    ///
    /// # Panics
    /// When closed rows have not been fetched with [`Windows::close`]: they would be lost.
    ///
    /// # Errors
    /// When an accumulator can't give its state.
    pub fn cut(&mut self, sensors: &Sensors) -> Result<Frozen, AggregateError> {
        assert!(!self.has_unfetched_rows(), "fetch closed rows before a checkpoint");
        let mut sections = vec![Section::Batch(sensors.to_batch()?)];
        let sensor_clocks = !self.time.sensors().is_empty();
        if sensor_clocks {
            sections.push(Section::Batch(clocks_batch(self.time.sensors())?));
        }
        let state_columns = self.query.state_columns().to_vec();
        let mut panes = Vec::with_capacity(self.panes.len());
        for (&end, pane) in &mut self.panes {
            let groups = pane.part()?;
            let header = PaneHeader {
                end,
                state_columns: state_columns.clone(),
                groups: groups.is_some(),
                runs: pane.runs().iter().map(RunHeader::of).collect(),
            };
            sections.extend(groups.map(Section::Batch));
            sections.extend(pane.runs().iter().map(|run| match run.place() {
                Place::Memory(part) => Section::Batch(part.clone()),
                Place::Spilled(file) => Section::Spilled(file.clone()),
            }));
            panes.push(header);
        }
        let mut ids = Vec::new();
        for (&end, pane) in self.panes.iter().filter(|(_, pane)| !pane.ids.is_empty()) {
            sections.push(Section::Batch(pane.ids.batch()?));
            ids.push(end);
        }
        for held in self.held.values() {
            sections.push(Section::Batch(held_batch(held)?));
        }
        let header = Header {
            plan: self.query.hash().to_string(),
            datafusion: datafusion::DATAFUSION_VERSION.to_string(),
            partitions: self.time.partitions().iter().map(PartitionHeader::of).collect(),
            watermark: self.time.get(),
            closed_before: self.closed_before,
            given_up_before: self.given_up_before,
            sensor_clocks,
            panes,
            ids,
            held: self.held.keys().copied().collect(),
        };
        Ok(Frozen::new(header, sections))
    }

    /// The windows and sensors that [`Windows::checkpoint`] saved. `settings` may differ from those
    /// of then; they hold from here on. With a place to `spill`, what was set aside stays in files.
    ///
    /// # Errors
    /// [`AggregateError::Checkpoint`] names what does not fit: the bytes, the format's version, the
    /// query or DataFusion's version. Nothing is half-read.
    pub fn restore(
        bytes: &[u8],
        query: Arc<Query>,
        settings: WindowSettings,
        sensors_max: u32,
        spill: Option<&Arc<dyn Spill>>,
    ) -> Result<(Self, Sensors), AggregateError> {
        let mut reading = Reading::new(bytes)?;
        let Some(header) = reading.take_header() else { return Err(refuse("it has no header")) };
        check(&header, &query)?;
        let key = query.readings().key.clone();
        let sensors = Sensors::from_batch(key, sensors_max, &reading.section()?)
            .map_err(|error| refuse(&error.to_string()))?;
        let clocks = match header.sensor_clocks {
            true => clocks_from(&reading.section()?)?,
            false => Vec::new(),
        };
        let mut windows = Self::at(query, settings, time_of(&header, &settings, clocks));
        spill.into_iter().for_each(|spill| windows.set_spill(spill));
        windows.closed_before = header.closed_before;
        windows.given_up_before = header.given_up_before;
        for saved in &header.panes {
            let pane = pane_from(saved, &mut reading, sensors.len(), spill)?;
            windows.panes.insert(saved.end, pane);
        }
        for end in &header.ids {
            let pane = windows.panes.get_mut(end);
            let pane = pane.ok_or_else(|| refuse("it has the ids of a window that is not open"))?;
            let ids = Ids::from_batch(&reading.section()?);
            pane.ids = ids.ok_or_else(|| refuse("a window's ids are none"))?;
        }
        for &end in &header.held {
            windows.held.insert(end, held_from(&reading.section()?, sensors.len())?);
        }
        reading.end()?;
        Ok((windows, sensors))
    }
}

fn check(header: &Header, query: &Query) -> Result<(), AggregateError> {
    if header.plan != query.hash() {
        return Err(refuse("it was taken under another query or key"));
    }
    if header.datafusion != datafusion::DATAFUSION_VERSION {
        let (then, now) = (&header.datafusion, datafusion::DATAFUSION_VERSION);
        return Err(refuse(&format!("it was taken by DataFusion {then}, this is {now}")));
    }
    if header.panes.iter().any(|pane| pane.state_columns != query.state_columns()) {
        return Err(refuse("its aggregates have other states than this query's"));
    }
    Ok(())
}

fn time_of(header: &Header, settings: &WindowSettings, clocks: Vec<i64>) -> EventTime {
    let partitions = header.partitions.iter().map(|p| (p.number, p.newest));
    let watermark = Watermark::restore(partitions, header.watermark, settings.out_of_order_ns);
    // The policy may have been changed since: clocks that nobody asks for are not kept.
    let clocks = match settings.policy.scope {
        Scope::Sensor => clocks,
        Scope::Stream => Vec::new(),
    };
    EventTime::restore(settings.policy, settings.out_of_order_ns, watermark, clocks)
}

fn pane_from(
    saved: &PaneHeader,
    reading: &mut Reading<'_>,
    sensors: usize,
    spill: Option<&Arc<dyn Spill>>,
) -> Result<Pane, AggregateError> {
    let columns = saved.state_columns.iter().sum();
    let mut pane = Pane::default();
    if saved.groups {
        let part = reading.section()?;
        if let Some(problem) = part::problem(&part, columns, sensors) {
            return Err(refuse(&problem));
        }
        pane = Pane::restore(&part, &saved.state_columns);
    }
    for run in &saved.runs {
        pane.add_run(match spill.filter(|_| run.spilled) {
            Some(spill) => {
                let file = reading.spill(&**spill)?;
                Run::spilled(file, run.groups, run.readings)
            }
            None => {
                let part = reading.section()?;
                if let Some(problem) = part::problem(&part, columns, sensors) {
                    return Err(refuse(&problem));
                }
                Run::new(part)
            }
        });
    }
    Ok(pane)
}

fn clocks_batch(newest: &[i64]) -> Result<RecordBatch, AggregateError> {
    let times: Int64Array = newest.iter().map(|&t| (t > i64::MIN).then_some(t)).collect();
    one_batch(vec![("newest", Arc::new(times))])
}

fn clocks_from(batch: &RecordBatch) -> Result<Vec<i64>, AggregateError> {
    let times = batch.columns().first().and_then(|c| c.as_primitive_opt::<Int64Type>());
    let times = times.ok_or_else(|| refuse("the sensors' newest times are none"))?;
    Ok(times.iter().map(|time| time.unwrap_or(i64::MIN)).collect())
}

fn held_batch(held: &Held) -> Result<RecordBatch, AggregateError> {
    let saved = held.saved();
    let sensors: UInt32Array = saved.iter().map(|s| Some(s.0)).collect();
    let revisions: UInt32Array = saved.iter().map(|s| s.1).collect();
    let pending: UInt64Array = saved.iter().map(|s| Some(s.2)).collect();
    one_batch(vec![
        ("sensor", Arc::new(sensors)),
        ("revision", Arc::new(revisions)),
        ("pending", Arc::new(pending)),
    ])
}

fn held_from(batch: &RecordBatch, sensors: usize) -> Result<Held, AggregateError> {
    let columns = || {
        let [ids, revisions, pending] = batch.columns() else { return None };
        let ids = ids.as_primitive_opt::<UInt32Type>()?;
        let fits = ids.values().iter().all(|&id: &SensorId| (id as usize) < sensors);
        let revisions = revisions.as_primitive_opt::<UInt32Type>()?;
        fits.then_some((ids, revisions, pending.as_primitive_opt::<UInt64Type>()?))
    };
    let (ids, revisions, pending) =
        columns().ok_or_else(|| refuse("what it says of late readings is not of this form"))?;
    let saved = ids.values().iter().zip(revisions.iter()).zip(pending.values());
    Ok(Held::restore(saved.map(|((&id, revision), &pending)| (id, revision, pending))))
}

fn one_batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, AggregateError> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let field = |(name, column): &(&str, ArrayRef)| -> Field {
        let kind: DataType = column.data_type().clone();
        Field::new(*name, kind, true)
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

fn refuse(why: &str) -> AggregateError {
    AggregateError::Checkpoint(why.to_string())
}

#[cfg(test)]
mod tests;
