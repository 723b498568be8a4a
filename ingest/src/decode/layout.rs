//! The quickest path: an object that is written as the one before, but for its texts and numbers.
//!
//! *How*: producers write their events with one line of code, so names, order and white space are the same
//! each time. Of an object that the flat path has read it is kept what stood between the values; the next
//! one is then compared with that, instead of being parsed, and its fields need no look-up.
//!
//! *Guarantees*: what it accepts, [`super::flat`] would read the same: the bytes between the values are those
//! of an object that it has read, texts are free of escapes and control characters, numbers follow JSON's
//! grammar. Anything else is left to it.

use std::ops::Range;

use super::fields::{Fields, Kind};
use super::flat::number_end;

/// Bytes that are compared at once; longer stretches take a little longer.
const CHUNK: usize = size_of::<u128>();

/// Values of an object that are worth it: events have fewer, and what is kept has to have a bound.
const VALUES_MAX: usize = 64;
/// Bytes between them, likewise.
const LITERALS_MAX: usize = 4096;

/// What stood between the values of an object. Empty: nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    values: Vec<Value>,
    /// What stands before the values and after the last, one behind another.
    literals: Vec<u8>,
    /// What stands after the last value, to the end.
    tail: Range<usize>,
    /// The object that is being read can't be kept.
    unfit: bool,
}

#[derive(Debug)]
struct Value {
    kind: Kind,
    /// The mapped field, if it is one.
    slot: Option<usize>,
    before: Literal,
}

/// Bytes that stand before a value.
#[derive(Debug)]
struct Literal {
    place: Range<usize>,
    /// The first bytes, and which bits of them count.
    chunk: u128,
    mask: u128,
}

impl Layout {
    /// Puts the fields of `text` if it is written like this.
    #[inline]
    pub(crate) fn read(&self, text: &str, fields: &mut Fields) -> bool {
        !self.values.is_empty() && self.follow(text, fields).is_some()
    }

    fn follow(&self, text: &str, fields: &mut Fields) -> Option<()> {
        let (bytes, mut at) = (text.as_bytes(), 0);
        for value in &self.values {
            let start = at + self.length_at(&value.before, bytes, at)?;
            at = match value.kind {
                Kind::Text => start + text_length(&bytes[start..])?,
                _ => number_end(bytes, start)?,
            };
            if let Some(slot) = value.slot {
                fields.put(slot, value.kind, start..at);
            }
        }
        // Mostly one byte: quicker than a call that compares any number.
        bytes[at..].iter().eq(&self.literals[self.tail.clone()]).then_some(())
    }

    /// The literal's length if it stands there.
    #[inline]
    fn length_at(&self, literal: &Literal, bytes: &[u8], at: usize) -> Option<usize> {
        let length = literal.place.len();
        let is_there = match chunk_at(bytes, at) {
            Some(chunk) if length <= CHUNK => chunk & literal.mask == literal.chunk,
            _ => bytes[at..].starts_with(&self.literals[literal.place.clone()]),
        };
        is_there.then_some(length)
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&mut self) {
        self.values.clear();
        self.literals.clear();
        self.unfit = false;
    }

    /// The next value of the object that is being read: its place, and from where on nothing is noted
    /// yet. Returns where the next stretch begins.
    pub(crate) fn note(
        &mut self,
        bytes: &[u8],
        from: usize,
        (kind, place): (Kind, &Range<usize>),
        slot: Option<usize>,
    ) -> usize {
        let literal = &bytes[from..place.start];
        let at = self.literals.len();
        self.unfit |= !matches!(kind, Kind::Text | Kind::Number)
            || self.values.len() == VALUES_MAX
            || at + literal.len() > LITERALS_MAX;
        if self.unfit {
            return place.end;
        }
        self.literals.extend_from_slice(literal);
        let mut chunk = [0; CHUNK];
        let short = literal.len().min(CHUNK);
        chunk[..short].copy_from_slice(&literal[..short]);
        let mask = if short == CHUNK { u128::MAX } else { (1 << (8 * short)) - 1 };
        let before =
            Literal { place: at..self.literals.len(), chunk: u128::from_le_bytes(chunk), mask };
        self.values.push(Value { kind, slot, before });
        place.end
    }

    /// The object ends, with these bytes after its last value. An object with other values than texts and
    /// numbers, with a field twice or of unusual size is not kept.
    pub(crate) fn end(&mut self, tail: &[u8], is_duplicate: bool) {
        let at = self.literals.len();
        if is_duplicate || self.unfit || at + tail.len() > LITERALS_MAX {
            self.forget();
            return;
        }
        self.literals.extend_from_slice(tail);
        self.tail = at..self.literals.len();
    }
}

/// The bytes from `at` on, the first one lowest, zeros after the last. A literal has no zeros, so it is not found
/// beyond the end. `None` when the whole text is shorter than a chunk.
#[inline]
fn chunk_at(bytes: &[u8], at: usize) -> Option<u128> {
    if let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        return Some(u128::from_le_bytes(*chunk));
    }
    let behind = at + CHUNK - bytes.len();
    let last = u128::from_le_bytes(*bytes.last_chunk()?);
    Some(last.checked_shr(8 * behind as u32).unwrap_or(0))
}

/// How far it is to the next quote; `None` when an escape or a control character comes first, or no quote.
#[inline]
fn text_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk::<8>() {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            return (bytes[at] == b'"').then_some(at);
        }
        at += 8;
    }
    let more = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (bytes[at + more] == b'"').then_some(at + more)
}

/// Of eight bytes, the high bit of the first that is a quote, a backslash or a control character; bits above
/// it mean nothing.
///
/// Source: "Determine if a word has a byte less than n", Sean Eron Anderson, Bit Twiddling Hacks.
#[inline]
fn ends(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests;
