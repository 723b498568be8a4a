//! A checkpoint's bytes, section by section.

use std::io::{self, Cursor, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;

use super::header::{Header, HeaderV1};
use super::{MAGIC, VERSION, refuse};
use crate::error::AggregateError;
use crate::spill::{Spill, SpillFile};

/// What is left to be read.
pub(super) struct Reading<'a> {
    header: Option<Header>,
    rest: &'a [u8],
}

impl<'a> Reading<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, AggregateError> {
        let mut rest = bytes;
        if take(&mut rest, 4)? != MAGIC {
            return Err(refuse("it does not begin as a checkpoint does"));
        }
        let version = u32_of(take(&mut rest, 4)?);
        if !(1..=VERSION).contains(&version) {
            let what = format!("its format is version {version}, this reads 1 to {VERSION}");
            return Err(refuse(&what));
        }
        let length = u32_of(take(&mut rest, 4)?) as usize;
        let json = take(&mut rest, length)?;
        let header = match version {
            1 => serde_json::from_slice::<HeaderV1>(json).map(Header::from),
            _ => serde_json::from_slice(json),
        };
        let header = header.map_err(|error| refuse(&format!("its header: {error}")))?;
        Ok(Self { header: Some(header), rest })
    }

    pub(super) fn take_header(&mut self) -> Option<Header> {
        self.header.take()
    }

    /// The next section.
    pub(super) fn section(&mut self) -> Result<RecordBatch, AggregateError> {
        let broken = |error: ArrowError| refuse(&format!("a section: {error}"));
        let reader = StreamReader::try_new(Cursor::new(self.bytes()?), None).map_err(broken)?;
        let schema = reader.schema();
        let mut batches = reader.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        match batches.len() {
            0 => Err(refuse("a section is empty")),
            1 => Ok(batches.remove(0)),
            _ => Ok(concat_batches(&schema, &batches)?),
        }
    }

    /// The next section, into a file as it is.
    pub(super) fn spill(
        &mut self,
        spill: &dyn Spill,
    ) -> Result<Arc<dyn SpillFile>, AggregateError> {
        let bytes = self.bytes()?;
        let write = || -> io::Result<Arc<dyn SpillFile>> {
            let mut file = spill.create()?;
            file.write_all(bytes)?;
            file.finish()
        };
        write().map_err(|source| AggregateError::Spilling { place: spill.place(), source })
    }

    /// # Errors
    /// When there is more than the header says.
    pub(super) fn end(&self) -> Result<(), AggregateError> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(refuse(&format!("it goes on for {more} bytes after its end"))),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], AggregateError> {
        let mut length = [0; 8];
        length.copy_from_slice(take(&mut self.rest, 8)?);
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        take(&mut self.rest, length)
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], AggregateError> {
    let (taken, left) = rest.split_at_checked(length).ok_or_else(|| refuse("it is cut off"))?;
    *rest = left;
    Ok(taken)
}

pub(super) fn u32_of(bytes: &[u8]) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(bytes);
    u32::from_le_bytes(array)
}
