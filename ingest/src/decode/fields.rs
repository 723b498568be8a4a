//! The mapped fields of one message: where they stand in it, and what they are read as.
//!
//! *Why places and not texts*: the same buffers serve every message, so they can't borrow from one.

use std::ops::Range;
use std::sync::Arc;

use tidegauge_flow::{KeyPart, KeyType};
use twox_hash::XxHash3_128;

use super::time::{self, Moment, Recent};
use crate::mapping::{EventMapping, TimeFormat};
use crate::reject::{Reason, Reject};

/// Which mapped field serves as what. Each field is here once, however many roles it has.
#[derive(Debug)]
pub(crate) struct Roles {
    names: Vec<Arc<str>>,
    time: usize,
    key: Vec<(usize, KeyType)>,
    values: Vec<usize>,
    id: Option<usize>,
}

/// What a message has for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Absent,
    Null,
    /// A number by JSON's grammar.
    Number,
    /// A string, escapes resolved.
    Text,
    Bool,
    /// An object or array.
    Nested,
    /// A cell of a table: its type is what the mapping expects.
    Cell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    kind: Kind,
    source: Source,
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Payload,
    /// The text had escapes; what they stand for is in `Fields::unescaped`.
    Unescaped,
}

const ABSENT: Slot = Slot { kind: Kind::Absent, source: Source::Payload, start: 0, end: 0 };

/// The mapped fields of the message at hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    slots: Vec<Slot>,
    unescaped: String,
    duplicate: Option<usize>,
}

impl Roles {
    pub(crate) fn new(mapping: &EventMapping) -> Self {
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut slot = |name: &str| {
            names.iter().position(|n| **n == *name).unwrap_or_else(|| {
                names.push(name.into());
                names.len() - 1
            })
        };
        let time = slot(&mapping.time);
        let key = mapping.key.columns().iter().map(|c| (slot(&c.name), c.kind)).collect();
        let values = mapping.values.iter().map(|v| slot(v)).collect();
        let id = mapping.id.as_deref().map(slot);
        Self { names, time, key, values, id }
    }

    /// The distinct mapped fields, in the order time, key, values, id.
    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(crate) fn time(&self) -> usize {
        self.time
    }

    pub(crate) fn key(&self) -> &[(usize, KeyType)] {
        &self.key
    }

    pub(crate) fn values(&self) -> &[usize] {
        &self.values
    }

    pub(crate) fn id(&self) -> Option<usize> {
        self.id
    }

    /// The field with this name. Events name their fields in the same order again and again, so the
    /// search begins at `hint`, the field after the last one found.
    pub(crate) fn find(&self, name: &[u8], hint: usize) -> Option<usize> {
        let hint = hint.min(self.names.len());
        (hint..self.names.len()).chain(0..hint).find(|&i| self.names[i].as_bytes() == name)
    }

    pub(crate) fn reject(&self, reason: Reason, slot: usize) -> Reject {
        Reject::field(reason, &self.names[slot])
    }
}

impl Fields {
    pub(crate) fn new(roles: &Roles) -> Self {
        let slots = vec![ABSENT; roles.names.len()];
        Self { slots, unescaped: String::new(), duplicate: None }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(ABSENT);
        self.unescaped.clear();
        self.duplicate = None;
    }

    /// The field that was put a second time first.
    pub(crate) fn duplicate(&self) -> Option<usize> {
        self.duplicate
    }

    /// Notes that a field's text is these bytes of the payload.
    pub(crate) fn put(&mut self, slot: usize, kind: Kind, place: Range<usize>) {
        let (start, end) = (place.start, place.end);
        self.set(slot, Slot { kind, source: Source::Payload, start, end });
    }

    /// Keeps a field's text that is in the payload in another form only.
    pub(crate) fn put_unescaped(&mut self, slot: usize, kind: Kind, text: &str) {
        let start = self.unescaped.len();
        self.unescaped.push_str(text);
        let end = self.unescaped.len();
        self.set(slot, Slot { kind, source: Source::Unescaped, start, end });
    }

    /// What the message, whose text is `payload`, has for a field.
    pub(crate) fn get<'a>(&'a self, payload: &'a str, slot: usize) -> (Kind, &'a str) {
        let Slot { kind, source, start, end } = self.slots[slot];
        let text = match source {
            Source::Payload => payload,
            Source::Unescaped => &self.unescaped,
        };
        (kind, &text[start..end])
    }

    fn set(&mut self, slot: usize, found: Slot) {
        if self.slots[slot].kind != Kind::Absent {
            self.duplicate.get_or_insert(slot);
        }
        self.slots[slot] = found;
    }
}

/// Reads a time field.
pub(crate) fn time(
    (kind, text): (Kind, &str),
    format: TimeFormat,
    recent: &mut Recent,
) -> Result<Moment, Reason> {
    let moment = match (format.nanos_exponent(), kind) {
        (_, Kind::Absent) => return Err(Reason::MissingField),
        (_, Kind::Null) => return Err(Reason::NullField),
        (None, Kind::Text | Kind::Cell) => time::parse_near(text, recent),
        (Some(exponent), Kind::Number | Kind::Cell) => time::parse_epoch(text, exponent),
        _ => return Err(Reason::WrongType),
    };
    moment.ok_or(Reason::BadTime)
}

/// Reads a key field.
#[inline]
pub(crate) fn key<'a>(
    (kind, text): (Kind, &'a str),
    key_type: KeyType,
    bytes_max: usize,
) -> Result<KeyPart<'a>, Reason> {
    match (key_type, kind) {
        (_, Kind::Absent) => Err(Reason::MissingField),
        (_, Kind::Null) => Err(Reason::NullField),
        (KeyType::Int64, Kind::Number | Kind::Cell) => {
            text.parse().map(KeyPart::Int).map_err(|_| Reason::WrongType)
        }
        (KeyType::String, Kind::Text | Kind::Cell) if text.len() > bytes_max => {
            Err(Reason::KeyTooLong)
        }
        (KeyType::String, Kind::Text | Kind::Cell) => Ok(KeyPart::Str(text)),
        _ => Err(Reason::WrongType),
    }
}

/// Reads an event's id: a digest of its text, so that what is remembered of an event has one size.
/// Whether an id is written as a text or as a whole number makes no difference.
pub(crate) fn id((kind, text): (Kind, &str)) -> Result<u128, Reason> {
    let whole = || text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match kind {
        Kind::Absent => Err(Reason::MissingField),
        Kind::Null => Err(Reason::NullField),
        Kind::Number if !whole() => Err(Reason::WrongType),
        Kind::Text | Kind::Cell | Kind::Number => Ok(XxHash3_128::oneshot(text.as_bytes())),
        Kind::Bool | Kind::Nested => Err(Reason::WrongType),
    }
}

/// Reads a value field; `None` is a null.
#[inline]
pub(crate) fn value((kind, text): (Kind, &str)) -> Result<Option<f64>, Reason> {
    match kind {
        Kind::Absent => Err(Reason::MissingField),
        Kind::Null => Ok(None),
        // The parser rounds to the nearest double; of words it takes those for NaN and infinity.
        Kind::Number | Kind::Cell => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            Ok(_) => Err(Reason::NotFinite),
            Err(_) => Err(Reason::WrongType),
        },
        Kind::Text | Kind::Bool | Kind::Nested => Err(Reason::WrongType),
    }
}

#[cfg(test)]
mod tests;
