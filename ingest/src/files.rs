//! Bounded input: CSV and JSON-lines files, and folders of them.
//!
//! A file is a partition of its own (its path as given, number 0). An offset is the byte at which a
//! record begins; the next offset is the byte after its line end. Blank lines are no records.
//!
//! *Guarantees*: files come in the order given, those of a folder sorted by path; memory is bounded
//! by the largest permitted record plus one chunk. A record over the limit is consumed as one
//! message that decodes to `too_large`; of its bytes the first `message_bytes_max` + 1 are kept.

mod records;
mod walk;

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegauge_flow::{Partition, Span};

use crate::decode::{CsvHeader, Format};
use crate::error::IngestError;
use crate::mapping::EventMapping;
use crate::message::Message;
use records::{Cut, Record, Records};

/// Bytes that are read from a file at once.
const CHUNK: usize = 256 << 10;

/// How a file is cut into records and how these are written, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Csv,
    JsonLines,
}

/// One file, looked at but not held open.
#[derive(Debug)]
struct Source {
    partition: Partition,
    path: PathBuf,
    format: Format,
    /// Where the records begin: after a CSV file's header.
    first: i64,
    /// Where to begin reading.
    next: i64,
    bytes: u64,
}

/// The files of one input, read one after the other. See the module's documentation.
#[derive(Debug)]
pub struct Files {
    sources: Vec<Source>,
    ignored: usize,
    record_bytes_max: usize,
    /// The file at hand, and its records while it is open.
    current: usize,
    open: Option<Records<File>>,
}

/// Records of one file that follow each other; never empty.
#[derive(Debug)]
pub struct FileBatch<'a> {
    /// The file's number among all of the input: callers keep one decoder per file.
    pub file: usize,
    /// The file as a partition.
    pub partition: &'a Partition,
    /// How its records are written.
    pub format: &'a Format,
    /// The bytes of the file that the batch covers, blank lines and line ends included.
    pub span: Span,
    bytes: &'a [u8],
    records: &'a [Record],
}

impl Files {
    /// Looks at all files and reads the headers of those that are CSV.
    ///
    /// In a folder, other extensions than `.csv`, `.jsonl`, `.ndjson` and `.json`, and names that
    /// begin with a dot, are ignored and counted.
    ///
    /// # Errors
    /// [`IngestError::Unreadable`], or [`IngestError::Unsuitable`]: a named file with another
    /// extension, a file that is there twice, a CSV file without the mapped columns, nothing to read.
    pub fn open<P: AsRef<Path>>(paths: &[P], mapping: &EventMapping) -> Result<Self, IngestError> {
        let found = walk::walk(paths)?;
        let sources = found
            .files
            .into_iter()
            .map(|(path, kind)| Source::look(path, kind, mapping))
            .collect::<Result<Vec<Source>, IngestError>>()?;
        let record_bytes_max = mapping.limits.message_bytes_max;
        Ok(Self { sources, ignored: found.ignored, record_bytes_max, current: 0, open: None })
    }

    /// Files in folders that were not taken.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The files in the order in which they are read.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = &Partition> {
        self.sources.iter().map(|s| &s.partition)
    }

    /// The size of all files when they were opened, in bytes.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|s| s.bytes).sum()
    }

    /// Begins the reading of a file at a position that an earlier run has reached. To be called
    /// before the first [`Files::next_batch`], once for each file that has a position.
    ///
    /// # Errors
    /// [`IngestError::WrongPosition`] when the file is not among these, is shorter, or has no record
    /// that begins there: it has changed.
    ///
    /// # Panics
    /// When the reading has begun.
    pub fn seek(&mut self, partition: &Partition, byte: i64) -> Result<(), IngestError> {
        assert!(self.current == 0 && self.open.is_none(), "seek before the first batch");
        let wrong = |what: &str| IngestError::WrongPosition {
            path: partition.input.to_string(),
            byte,
            what: what.to_owned(),
        };
        let index = self.sources.iter().position(|s| s.partition == *partition);
        let index = index.ok_or_else(|| wrong("it is not among the inputs"))?;
        let source = &mut self.sources[index];
        if byte < 0 || byte.unsigned_abs() > source.bytes {
            return Err(wrong(&format!("it has {} bytes, so it has changed", source.bytes)));
        }
        if byte > source.first && byte.unsigned_abs() < source.bytes {
            let before = walk::byte_at(&source.path, byte.unsigned_abs() - 1)
                .map_err(IngestError::unreadable(&partition.input))?;
            if before != Some(b'\n') {
                return Err(wrong("no record begins there, so it has changed"));
            }
        }
        source.next = byte.max(source.first);
        Ok(())
    }

    /// The next records, at most `max` of one file; `None` when all files are read.
    ///
    /// # Errors
    /// [`IngestError::Unreadable`] when the operating system fails.
    ///
    /// # Panics
    /// When `max` is 0.
    pub fn next_batch(&mut self, max: usize) -> Result<Option<FileBatch<'_>>, IngestError> {
        assert!(max > 0, "a batch holds at least one record");
        while self.current < self.sources.len() {
            let source = &mut self.sources[self.current];
            let records = match &mut self.open {
                Some(records) => records,
                closed => closed.insert(source.open(self.record_bytes_max)?),
            };
            let more =
                records.advance(max).map_err(IngestError::unreadable(&source.partition.input))?;
            if more {
                break;
            }
            self.open = None;
            self.current += 1;
        }
        let (Some(source), Some(open)) = (self.sources.get_mut(self.current), &self.open) else {
            return Ok(None);
        };
        let span = Span { from: source.next, to: open.position() };
        source.next = span.to;
        let (partition, format) = (&source.partition, &source.format);
        let (bytes, records) = open.batch();
        Ok(Some(FileBatch { file: self.current, partition, format, span, bytes, records }))
    }
}

impl FileBatch<'_> {
    /// How many records these are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Never: a batch holds at least one record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Each record, and the offset after it.
    pub fn messages(&self) -> impl Iterator<Item = (Message<'_>, i64)> + Clone {
        self.records.iter().map(|record| {
            let payload = Some(&self.bytes[record.place.clone()]);
            (Message { offset: record.offset, timestamp_ms: None, payload }, record.next)
        })
    }
}

impl Source {
    fn look(path: PathBuf, kind: FileKind, mapping: &EventMapping) -> Result<Self, IngestError> {
        let not_text = || {
            IngestError::unsuitable(
                &path.to_string_lossy(),
                "has a name that is not UTF-8, rename it",
            )
        };
        let name = path.to_str().ok_or_else(not_text)?.to_owned();
        let unreadable = || IngestError::unreadable(&name);
        let file = File::open(&path).map_err(unreadable())?;
        let bytes = file.metadata().map_err(unreadable())?.len();
        let (format, first) = match kind {
            FileKind::JsonLines => (Format::Json, 0),
            FileKind::Csv => header(&name, file, mapping)?,
        };
        let partition = Partition::new(name, 0);
        Ok(Self { partition, path, format, first, next: first, bytes })
    }

    fn open(&self, record_bytes_max: usize) -> Result<Records<File>, IngestError> {
        let unreadable = || IngestError::unreadable(&self.partition.input);
        let mut file = File::open(&self.path).map_err(unreadable())?;
        file.seek(SeekFrom::Start(self.next.unsigned_abs())).map_err(unreadable())?;
        let cut = match self.format {
            Format::Json => Cut::Lines,
            Format::Csv(_) => Cut::Csv,
        };
        Ok(Records::new(file, self.next, cut, record_bytes_max, CHUNK))
    }
}

/// A CSV file's columns, and the byte after them.
fn header(name: &str, file: File, mapping: &EventMapping) -> Result<(Format, i64), IngestError> {
    let mut records = Records::new(file, 0, Cut::Csv, mapping.limits.message_bytes_max, CHUNK);
    if !records.advance(1).map_err(IngestError::unreadable(name))? {
        return Err(IngestError::unsuitable(name, "is empty, a CSV file needs a header"));
    }
    let (bytes, found) = records.batch();
    let header = CsvHeader::parse(&bytes[found[0].place.clone()], mapping)
        .map_err(|what| IngestError::unsuitable(name, what))?;
    Ok((Format::Csv(Arc::new(header)), found[0].next))
}

#[cfg(test)]
mod tests;
