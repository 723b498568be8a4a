//! The saved state of a lane's windows, keys included.
//!
//! Layout, version 2: `TGCP`, u32 version, u32 header length, header (JSON), then one Arrow IPC stream
//! per section, each preceded by its u64 length: first the sensors, then one per open pane, then the ids of
//! events, for panes that have some. All integers little-endian. A pane's stream has the columns `sensor`, `readings`, then the aggregates' states.

mod header;

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{Field, Schema, UInt32Type, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use tidegauge_flow::Sensors;

use self::header::{Header, HeaderV1, PaneHeader, PartitionHeader};
use crate::error::AggregateError;
use crate::query::Query;
use crate::watermark::Watermark;
use crate::windows::{WindowSettings, Windows, ids::Ids, pane::Pane};

const MAGIC: &[u8; 4] = b"TGCP";
const VERSION: u32 = 2;

impl Windows {
    /// Saves the windows and the sensors' keys. The windows go on unchanged.
    ///
    /// # Panics
    /// When closed rows have not been fetched with [`Windows::close`]: they would be lost.
    ///
    /// # Errors
    /// When an accumulator can't give its state.
    pub fn checkpoint(&mut self, sensors: &Sensors) -> Result<Vec<u8>, AggregateError> {
        assert!(!self.has_unfetched_rows(), "fetch closed rows before a checkpoint");
        let mut sections = vec![sensors.to_batch()?];
        let mut panes = Vec::new();
        for (&end, pane) in self.panes_mut() {
            let state_columns = pane.freeze()?.iter().map(Vec::len).collect();
            sections.push(pane_batch(pane)?);
            panes.push(PaneHeader { end, state_columns });
        }
        let mut ids = Vec::new();
        for (&end, pane) in self.panes_mut().iter().filter(|(_, pane)| !pane.ids.is_empty()) {
            sections.push(pane.ids.batch()?);
            ids.push(end);
        }
        let header = Header {
            plan: self.query.hash().to_string(),
            datafusion: datafusion::DATAFUSION_VERSION.to_string(),
            partitions: self.watermark.partitions().iter().map(PartitionHeader::of).collect(),
            watermark: self.watermark.get(),
            closed_before: self.closed_before_ns(),
            panes,
            ids,
        };
        write(&header, &sections)
    }

    /// The windows and sensors that [`Windows::checkpoint`] saved. `settings` may differ from those
    /// of then; they hold from here on.
    ///
    /// # Errors
    /// [`AggregateError::Checkpoint`] names what does not fit: the bytes, the format's version, the
    /// query or DataFusion's version. Nothing is half-read.
    pub fn restore(
        bytes: &[u8],
        query: Arc<Query>,
        settings: WindowSettings,
        sensors_max: u32,
    ) -> Result<(Self, Sensors), AggregateError> {
        let (header, sections) = read(bytes)?;
        check(&header, &query)?;
        let mut sections = sections.into_iter();
        let key = query.readings().key.clone();
        let keys = sections.next().ok_or_else(|| refuse("it holds no sensors"))?;
        let sensors = Sensors::from_batch(key, sensors_max, &keys)
            .map_err(|error| refuse(&error.to_string()))?;
        let mut windows = Self::new(query, settings, 0);
        let partitions = header.partitions.iter().map(|p| (p.number, p.newest));
        windows.watermark =
            Watermark::restore(partitions, header.watermark, settings.out_of_order_ns);
        windows.set_closed_before(header.closed_before);
        for (pane, batch) in header.panes.iter().zip(sections.by_ref()) {
            let restored = pane_from(&batch, &pane.state_columns, sensors.len())?;
            windows.panes_mut().insert(pane.end, restored);
        }
        for (end, batch) in header.ids.iter().zip(sections) {
            let pane = windows.panes_mut().get_mut(end);
            let pane = pane.ok_or_else(|| refuse("it has the ids of a window that is not open"))?;
            pane.ids = Ids::from_batch(&batch).ok_or_else(|| refuse("a window's ids are none"))?;
        }
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
    Ok(())
}

fn pane_batch(pane: &mut Pane) -> Result<RecordBatch, AggregateError> {
    let sensors: ArrayRef = Arc::new(UInt32Array::from(pane.sensors().to_vec()));
    let counts: ArrayRef = Arc::new(UInt64Array::from(pane.counts().to_vec()));
    let mut columns = vec![("sensor".to_string(), sensors), ("readings".to_string(), counts)];
    for (index, column) in pane.freeze()?.iter().flatten().enumerate() {
        columns.push((format!("state_{index}"), column.clone()));
    }
    let fields = columns.iter().map(|(name, c)| Field::new(name, c.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.into_iter().map(|(_, c)| c).collect())?)
}

fn pane_from(
    batch: &RecordBatch,
    state_columns: &[usize],
    sensors: usize,
) -> Result<Pane, AggregateError> {
    if batch.num_columns() != 2 + state_columns.iter().sum::<usize>() {
        return Err(refuse("a window has another number of columns than its header says"));
    }
    let ids = batch.column(0).as_primitive_opt::<UInt32Type>();
    let counts = batch.column(1).as_primitive_opt::<UInt64Type>();
    let (Some(ids), Some(counts)) = (ids, counts) else {
        return Err(refuse("a window's sensors or counts have another type"));
    };
    if ids.values().iter().any(|&id| id as usize >= sensors) {
        return Err(refuse("a window names a sensor that it does not hold"));
    }
    let mut columns = batch.columns()[2..].iter().cloned();
    let state = state_columns.iter().map(|&n| columns.by_ref().take(n).collect()).collect();
    Ok(Pane::restore(ids.values().to_vec(), counts.values().to_vec(), state))
}

fn write(header: &Header, sections: &[RecordBatch]) -> Result<Vec<u8>, AggregateError> {
    let header = serde_json::to_vec(header).map_err(|e| refuse(&e.to_string()))?;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    for section in sections {
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &section.schema())?;
        writer.write(section)?;
        writer.finish()?;
        drop(writer);
        bytes.extend_from_slice(&(stream.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&stream);
    }
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Result<(Header, Vec<RecordBatch>), AggregateError> {
    let mut rest = bytes;
    if take(&mut rest, 4)? != MAGIC {
        return Err(refuse("it does not begin as a checkpoint does"));
    }
    let version = u32_of(take(&mut rest, 4)?);
    if !(1..=VERSION).contains(&version) {
        return Err(refuse(&format!("its format is version {version}, this reads 1 to {VERSION}")));
    }
    let length = u32_of(take(&mut rest, 4)?) as usize;
    let json = take(&mut rest, length)?;
    let header = match version {
        1 => serde_json::from_slice::<HeaderV1>(json).map(Header::from),
        _ => serde_json::from_slice(json),
    };
    let header: Header = header.map_err(|error| refuse(&format!("its header: {error}")))?;
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let mut length = [0; 8];
        length.copy_from_slice(take(&mut rest, 8)?);
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        sections.push(section(take(&mut rest, length)?)?);
    }
    if sections.len() != header.panes.len() + header.ids.len() + 1 {
        return Err(refuse(&format!("it holds {} sections, not all of them", sections.len())));
    }
    Ok((header, sections))
}

fn section(bytes: &[u8]) -> Result<RecordBatch, AggregateError> {
    let broken = |error: arrow::error::ArrowError| refuse(&format!("a section: {error}"));
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
    reader.next().ok_or_else(|| refuse("a section is empty"))?.map_err(broken)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], AggregateError> {
    let (taken, left) = rest.split_at_checked(length).ok_or_else(|| refuse("it is cut off"))?;
    *rest = left;
    Ok(taken)
}

fn u32_of(bytes: &[u8]) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(bytes);
    u32::from_le_bytes(array)
}

fn refuse(why: &str) -> AggregateError {
    AggregateError::Checkpoint(why.to_string())
}

#[cfg(test)]
mod tests;
