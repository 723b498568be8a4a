//! A part of a pane that takes no more readings, ordered by sensor: in memory, or spilled to a file.

use std::io::{self, BufReader};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use tidegauge_flow::SensorId;

use super::merge::Batches;
use super::part;
use crate::error::AggregateError;
use crate::spill::{Spill, SpillFile};

/// Rows of one batch of a file: bounds what reading it needs.
const CHUNK: usize = 16_384;

#[derive(Clone)]
pub(crate) struct Run {
    groups: usize,
    readings: u64,
    place: Place,
}

#[derive(Clone)]
pub(crate) enum Place {
    Memory(RecordBatch),
    Spilled(Arc<dyn SpillFile>),
}

impl Run {
    pub(crate) fn new(sorted: RecordBatch) -> Self {
        let readings = part::readings(&sorted).iter().sum();
        Self { groups: sorted.num_rows(), readings, place: Place::Memory(sorted) }
    }

    pub(crate) fn spilled(file: Arc<dyn SpillFile>, groups: usize, readings: u64) -> Self {
        Self { groups, readings, place: Place::Spilled(file) }
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(crate) fn readings(&self) -> u64 {
        self.readings
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.place {
            Place::Memory(part) => part.columns().iter().map(part::column_bytes).sum(),
            Place::Spilled(_) => 0,
        }
    }

    pub(crate) fn spilled_bytes(&self) -> usize {
        match &self.place {
            Place::Memory(_) => 0,
            Place::Spilled(file) => usize::try_from(file.bytes()).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn batches(&self) -> Result<Batches, AggregateError> {
        match &self.place {
            Place::Memory(part) => Ok(Box::new(std::iter::once(Ok(part.clone())))),
            Place::Spilled(file) => {
                let reader = file.read().map_err(AggregateError::Spilled)?;
                Ok(Box::new(read(BufReader::new(reader))?.map(|batch| Ok(batch?))))
            }
        }
    }

    /// The rows of these sensors, in order.
    pub(crate) fn select(&self, wanted: &[SensorId]) -> Result<Vec<RecordBatch>, AggregateError> {
        let mut selected = Vec::new();
        for batch in self.batches()? {
            selected.extend(part::select(&batch?, wanted)?);
        }
        Ok(selected)
    }

    /// The same run in a file.
    pub(crate) fn spill(&self, spill: &dyn Spill) -> Result<Self, AggregateError> {
        let Place::Memory(part) = &self.place else { return Ok(self.clone()) };
        let failed = |source: io::Error| AggregateError::Spilling { place: spill.place(), source };
        let file = spill.create().map_err(failed)?;
        let file = write(part, file).map_err(|error| match error {
            ArrowError::IoError(_, source) => failed(source),
            other => AggregateError::Arrow(other),
        })?;
        let file = file.finish().map_err(failed)?;
        Ok(Self { place: Place::Spilled(file), ..self.clone() })
    }
}

/// Writes a part as an Arrow IPC stream of bounded batches.
pub(crate) fn write<W: io::Write>(part: &RecordBatch, out: W) -> Result<W, ArrowError> {
    let mut writer = StreamWriter::try_new(out, &part.schema())?;
    let mut at = 0;
    while at < part.num_rows() {
        let rows = CHUNK.min(part.num_rows() - at);
        writer.write(&part.slice(at, rows))?;
        at += rows;
    }
    writer.finish()?;
    writer.into_inner()
}

pub(crate) fn read<R: io::Read>(from: R) -> Result<StreamReader<R>, ArrowError> {
    StreamReader::try_new(from, None)
}

#[cfg(test)]
mod tests;
