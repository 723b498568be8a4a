//! The quick path: one pass over a flat JSON object without escapes, as nearly all events are.
//!
//! *Guarantees*: what it accepts is valid JSON, and it finds the same fields as the full parser;
//! what it doesn't (escapes, nested values, any error) it leaves to the full parser, which then
//! judges.

use std::ops::Range;

use super::fields::{Fields, Kind, Roles};

/// Puts the mapped fields of the object `text`; `None` when it is not for this path. Then `fields`
/// may hold some.
pub(crate) fn scan(text: &str, roles: &Roles, fields: &mut Fields) -> Option<()> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    cursor.expect(b'{')?;
    if cursor.next()? != b'}' {
        let mut hint = 0;
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            let (kind, place) = cursor.value()?;
            if let Some(slot) = roles.find(&cursor.bytes[name], hint) {
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
    cursor.next().is_none().then_some(())
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

    /// A number by JSON's grammar: no leading zeros, digits on both sides of a point.
    fn number(&mut self) -> Option<Kind> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(Kind::Number)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
