//! One CSV record per message: cells by the position that the header gives them.
//!
//! Comma-separated, quoted with `"`, a quote inside of quotes doubled (RFC 4180). A quote that does
//! not begin a cell is an ordinary character. Records end at a line feed, with or without a
//! carriage return before it. The same rules cut files into records, see [`RecordEnd`].

use std::borrow::Cow;
use std::ops::Range;

use super::fields::{Fields, Kind, Roles};
use crate::mapping::EventMapping;
use crate::reject::Reason;

/// The columns of a CSV input: which of them are mapped fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvHeader {
    slots: Vec<Option<usize>>,
}

impl CsvHeader {
    /// Finds the mapped fields among the names of the columns.
    ///
    /// # Errors
    /// What is wrong with the columns: a mapped field is missing or there twice.
    pub fn new<S: AsRef<str>>(columns: &[S], mapping: &EventMapping) -> Result<Self, String> {
        let roles = Roles::new(mapping);
        let find = |column: &S| roles.find(column.as_ref().as_bytes(), 0);
        let slots: Vec<Option<usize>> = columns.iter().map(find).collect();
        for (slot, name) in roles.names().iter().enumerate() {
            let count = slots.iter().filter(|s| **s == Some(slot)).count();
            if count != 1 {
                let there: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
                return Err(format!(
                    "has {count} columns named {name:?}, there must be one; its columns are {}",
                    there.join(", "),
                ));
            }
        }
        Ok(Self { slots })
    }

    /// As [`CsvHeader::new`], from the first record of a file.
    ///
    /// # Errors
    /// As there; also when the record is not UTF-8 or no CSV.
    pub fn parse(record: &[u8], mapping: &EventMapping) -> Result<Self, String> {
        let record = record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record);
        let text = str::from_utf8(record).map_err(|_| "has a header that is not UTF-8")?;
        let mut columns: Vec<Cow<'_, str>> = Vec::new();
        let cell = |place: Range<usize>, quotes| columns.push(unquote(&text[place], quotes));
        cells(text, cell).ok_or("has a header with a quote that does not close")?;
        Self::new(&columns, mapping)
    }
}

/// Puts the mapped cells of one record; an empty cell is a null.
pub(crate) fn scan(text: &str, header: &CsvHeader, fields: &mut Fields) -> Result<(), Reason> {
    let text = trim_line_end(text);
    let mut column = 0;
    let cell = |place: Range<usize>, quotes: Quotes| {
        if let Some(Some(slot)) = header.slots.get(column) {
            match (place.is_empty(), quotes) {
                (true, _) => fields.put(*slot, Kind::Null, place),
                (false, Quotes::Single) => fields.put(*slot, Kind::Cell, place),
                (false, Quotes::Doubled) => {
                    fields.put_unescaped(*slot, Kind::Cell, &unquote(&text[place], quotes));
                }
            }
        }
        column += 1;
    };
    cells(text, cell).ok_or(Reason::Malformed)?;
    if column == header.slots.len() { Ok(()) } else { Err(Reason::Malformed) }
}

/// Whether a cell's text has quotes that stand for half as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Single,
    Doubled,
}

fn unquote(cell: &str, quotes: Quotes) -> Cow<'_, str> {
    match quotes {
        Quotes::Single => Cow::Borrowed(cell),
        Quotes::Doubled => Cow::Owned(cell.replace("\"\"", "\"")),
    }
}

fn trim_line_end(text: &str) -> &str {
    let Some(text) = text.strip_suffix('\n') else {
        return text;
    };
    text.strip_suffix('\r').unwrap_or(text)
}

/// Calls `cell` with the place of each cell's text, without its quotes. `None` when a quoted cell
/// does not close or goes on after it has, or when a line ends outside of quotes.
fn cells(text: &str, mut cell: impl FnMut(Range<usize>, Quotes)) -> Option<()> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let (place, quotes, end) = if bytes.get(at) == Some(&b'"') {
            quoted(bytes, at + 1)?
        } else {
            let stop = |b: &u8| matches!(b, b',' | b'\n' | b'\r');
            let end = bytes[at..].iter().position(stop).map_or(bytes.len(), |n| at + n);
            (at..end, Quotes::Single, end)
        };
        cell(place, quotes);
        match bytes.get(end) {
            None => return Some(()),
            Some(b',') => at = end + 1,
            Some(_) => return None,
        }
    }
}

/// The quoted cell whose text begins at `start`, and the byte after its closing quote.
fn quoted(bytes: &[u8], start: usize) -> Option<(Range<usize>, Quotes, usize)> {
    let (mut at, mut quotes) = (start, Quotes::Single);
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == b'"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some((start..at, quotes, at + 1));
        }
        quotes = Quotes::Doubled;
        at += 2;
    }
}

/// Finds where a record ends, in a text that comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RecordEnd {
    /// At the beginning of a cell: only here a quote opens one.
    #[default]
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside of quotes: it closed the cell unless another one follows.
    QuoteSeen,
}

impl RecordEnd {
    /// The index of the line feed that ends the record in the next piece of it.
    pub(crate) fn find(&mut self, piece: &[u8]) -> Option<usize> {
        for (i, byte) in piece.iter().enumerate() {
            *self = match (*self, byte) {
                (Self::Quoted, b'"') => Self::QuoteSeen,
                (Self::Quoted, _) | (Self::CellStart | Self::QuoteSeen, b'"') => Self::Quoted,
                (_, b'\n') => {
                    *self = Self::CellStart;
                    return Some(i);
                }
                (_, b',') => Self::CellStart,
                _ => Self::Plain,
            };
        }
        None
    }
}
