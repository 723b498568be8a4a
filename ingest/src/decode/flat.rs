//! The quick path: one pass over a flat JSON object without escapes, as nearly all events are.
//!
//! *Guarantees*: what it accepts is valid JSON, and it finds the same fields as the full parser;
//! what it doesn't (escapes, nested values, any error) it leaves to the full parser, which then
//! judges.

use std::ops::Range;

use super::fields::{Fields, Kind, Roles};
use super::layout::Layout;

/// Puts the mapped fields of the object `text`; `None` when it is not for this path. Then `fields`
/// may hold some, and nothing is known of the layout.
pub(crate) fn scan(
    text: &str,
    roles: &Roles,
    fields: &mut Fields,
    layout: &mut Layout,
) -> Option<()> {
    layout.forget();
    let scanned = object(text, roles, fields, layout);
    if scanned.is_none() {
        layout.forget();
    }
    scanned
}

fn object(text: &str, roles: &Roles, fields: &mut Fields, layout: &mut Layout) -> Option<()> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let mut noted = 0;
    cursor.expect(b'{')?;
    if cursor.next()? != b'}' {
        let mut hint = 0;
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            let (kind, place) = cursor.value()?;
            let slot = roles.find(&cursor.bytes[name], hint);
            noted = layout.note(cursor.bytes, noted, (kind, &place), slot);
            if let Some(slot) = slot {
                fields.put(slot, kind, place);
                hint = slot + 1;
            }
            match cursor.next()? {
                b',' => cursor.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
    }
    cursor.at += 1;
    if cursor.next().is_some() {
        return None;
    }
    layout.end(&cursor.bytes[noted..], fields.duplicate().is_some());
    Some(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next byte that is no white space; it is not consumed.
    fn next(&mut self) -> Option<u8> {
        while let b' ' | b'\n' | b'\t' | b'\r' = *self.bytes.get(self.at)? {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.next()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// What is between the quotes; `None` when there is an escape in it.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.bytes.get(start..)?;
        let length = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
        if rest[length] != b'"' {
            return None;
        }
        self.at = start + length + 1;
        Some(start..start + length)
    }

    fn value(&mut self) -> Option<(Kind, Range<usize>)> {
        let first = self.next()?;
        let start = self.at;
        let kind = match first {
            b'"' => return Some((Kind::Text, self.string()?)),
            b't' => self.word(b"true", Kind::Bool)?,
            b'f' => self.word(b"false", Kind::Bool)?,
            b'n' => self.word(b"null", Kind::Null)?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return None,
        };
        Some((kind, start..self.at))
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Option<Kind> {
        self.bytes[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            kind
        })
    }

    fn number(&mut self) -> Option<Kind> {
        self.at = number_end(self.bytes, self.at)?;
        Some(Kind::Number)
    }
}

/// Where the number ends that begins at `at`, by JSON's grammar: no leading zeros, digits on both sides of a
/// point.
#[inline]
pub(super) fn number_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    if is(at, b"-") {
        at += 1;
    }
    at = if is(at, b"0") { at + 1 } else { digits_end(bytes, at)? };
    if is(at, b".") {
        at = digits_end(bytes, at + 1)?;
    }
    if is(at, b"eE") {
        at += 1;
        at = digits_end(bytes, if is(at, b"+-") { at + 1 } else { at })?;
    }
    Some(at)
}

#[inline]
fn digits_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start..)?;
    let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    (length > 0).then_some(start + length)
}
