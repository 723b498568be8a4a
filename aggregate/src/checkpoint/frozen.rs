//! A checkpoint before it is bytes: it owns all that it saves, so the lane goes on meanwhile.

use std::io::{self, Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;

use super::header::Header;
use super::{MAGIC, VERSION, refuse};
use crate::error::AggregateError;
use crate::spill::SpillFile;
use crate::windows::part;

/// The windows of a lane as they were at a cut. See [`crate::Windows::cut`].
pub struct Frozen {
    header: Header,
    sections: Vec<Section>,
}

pub(super) enum Section {
    Batch(RecordBatch),
    /// It is an Arrow IPC stream as it is.
    Spilled(Arc<dyn SpillFile>),
}

impl Frozen {
    pub(super) fn new(header: Header, sections: Vec<Section>) -> Self {
        Self { header, sections }
    }

    /// The checkpoint's bytes.
    ///
    /// # Errors
    /// When a spilled pane can't be read.
    pub fn encode(&self) -> Result<Vec<u8>, AggregateError> {
        let mut bytes = Vec::with_capacity(self.bytes_about());
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the checkpoint's bytes, with no more than one section of them in memory.
    ///
    /// # Errors
    /// When a spilled pane can't be read, or `out` fails.
    pub fn write_to(&self, out: &mut impl Write) -> Result<(), AggregateError> {
        let header = serde_json::to_vec(&self.header).map_err(|e| refuse(&e.to_string()))?;
        let mut scratch = Vec::new();
        scratch.extend_from_slice(MAGIC);
        scratch.extend_from_slice(&VERSION.to_le_bytes());
        scratch.extend_from_slice(&(header.len() as u32).to_le_bytes());
        scratch.extend_from_slice(&header);
        out.write_all(&scratch).map_err(AggregateError::Spilled)?;
        for section in &self.sections {
            match section {
                Section::Batch(batch) => {
                    scratch.clear();
                    let mut writer = StreamWriter::try_new(&mut scratch, &batch.schema())?;
                    writer.write(batch)?;
                    writer.finish()?;
                    drop(writer);
                    put(out, scratch.len() as u64, &mut scratch.as_slice())
                }
                Section::Spilled(file) => {
                    file.read().and_then(|mut reader| put(out, file.bytes(), &mut reader))
                }
            }
            .map_err(AggregateError::Spilled)?;
        }
        Ok(())
    }

    /// Roughly how many bytes it will be.
    pub fn bytes_about(&self) -> usize {
        let section = |section: &Section| match section {
            Section::Batch(batch) => batch.columns().iter().map(part::column_bytes).sum(),
            Section::Spilled(file) => usize::try_from(file.bytes()).unwrap_or(0),
        };
        4096 + self.sections.iter().map(section).sum::<usize>() * 9 / 8
    }
}

fn put(out: &mut impl Write, length: u64, from: &mut impl Read) -> io::Result<()> {
    out.write_all(&length.to_le_bytes())?;
    let copied = io::copy(from, out)?;
    if copied != length {
        return Err(io::Error::other(format!("{copied} bytes instead of {length}")));
    }
    Ok(())
}
