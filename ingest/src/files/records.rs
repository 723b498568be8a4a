//! Cuts a stream of bytes into records, without copying more than a record's beginning.

use std::io::{self, Read};
use std::ops::Range;

use crate::decode::RecordEnd;

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Every line feed.
    Lines,
    /// A line feed outside of quotes.
    Csv,
}

/// One record: where it is in the buffer, and where it was in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) place: Range<usize>,
    pub(super) offset: i64,
    /// The offset after its line end.
    pub(super) next: i64,
}

/// The records of one stream. The buffer holds whole records that were cut, then a beginning.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    cut: Cut,
    bytes_max: usize,
    chunk: usize,
    buffer: Vec<u8>,
    /// The first byte of the buffer that belongs to no record yet, and its offset in the stream.
    start: usize,
    offset: i64,
    /// Up to where the record that begins at `start` was searched for its end.
    searched: usize,
    state: RecordEnd,
    ended: bool,
    records: Vec<Record>,
}

impl<R: Read> Records<R> {
    /// Reads `chunk` bytes at once from `input`, which stands at `offset`.
    pub(super) fn new(input: R, offset: i64, cut: Cut, bytes_max: usize, chunk: usize) -> Self {
        let (buffer, records) = (Vec::new(), Vec::new());
        let state = RecordEnd::default();
        let (start, searched, ended) = (0, 0, false);
        Self {
            input,
            cut,
            bytes_max,
            chunk,
            buffer,
            start,
            offset,
            searched,
            state,
            ended,
            records,
        }
    }

    /// Replaces the batch by the next one, of at most `max` records; `false` at the stream's end.
    pub(super) fn advance(&mut self, max: usize) -> io::Result<bool> {
        self.records.clear();
        loop {
            while self.records.len() < max
                && let Some(end) = self.find_end()
            {
                self.take(end, end + 1);
            }
            if !self.records.is_empty() {
                return Ok(true);
            }
            if self.ended {
                let end = self.buffer.len();
                self.take(end, end);
                return Ok(!self.records.is_empty());
            }
            if self.buffer.len() - self.start > self.kept_max() {
                self.skip_too_large()?;
                return Ok(true);
            }
            self.fill()?;
        }
    }

    /// The bytes that the records of the batch are in, and these.
    pub(super) fn batch(&self) -> (&[u8], &[Record]) {
        (&self.buffer, &self.records)
    }

    /// The offset up to which all is in batches.
    pub(super) fn position(&self) -> i64 {
        self.offset
    }

    /// A record within the limit may have a carriage return behind it; with more it is too large.
    fn kept_max(&self) -> usize {
        self.bytes_max.saturating_add(1)
    }

    fn find_end(&mut self) -> Option<usize> {
        let piece = &self.buffer[self.searched..];
        let found = match self.cut {
            Cut::Lines => piece.iter().position(|b| *b == b'\n'),
            Cut::Csv => self.state.find(piece),
        };
        let end = found.map(|n| self.searched + n);
        self.searched = end.map_or(self.buffer.len(), |n| n + 1);
        end
    }

    /// Makes a record of the bytes up to `end`, unless they are blank, and moves on to `next`.
    fn take(&mut self, end: usize, next: usize) {
        let (start, offset) = (self.start, self.offset);
        self.offset += (next - start) as i64;
        self.start = next;
        let line = &self.buffer[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Over the limit it is a record whatever is in it, so that chunks make no difference.
        if line.len() <= self.bytes_max && line.trim_ascii().is_empty() {
            return;
        }
        let end = start + line.len().min(self.bytes_max.saturating_add(1));
        self.records.push(Record { place: start..end, offset, next: self.offset });
    }

    /// Reads one more chunk behind what the buffer has of the record.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let read = (&mut self.input).take(self.chunk as u64).read_to_end(&mut self.buffer)?;
        self.ended = read == 0;
        Ok(())
    }

    /// Makes a record of the beginning of one that is too large, and skips the rest of it.
    fn skip_too_large(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        let kept = self.bytes_max + 1;
        let offset = self.offset;
        let mut skipped = self.buffer.len() - kept;
        loop {
            self.buffer.truncate(kept);
            self.searched = kept;
            self.start = kept;
            let read = (&mut self.input).take(self.chunk as u64).read_to_end(&mut self.buffer)?;
            self.ended = read == 0;
            if let Some(end) = self.find_end() {
                self.start = end + 1;
                break;
            }
            if self.ended {
                break;
            }
            skipped += read;
        }
        self.offset = offset + (self.start + skipped) as i64;
        self.records.push(Record { place: 0..kept, offset, next: self.offset });
        Ok(())
    }
}
