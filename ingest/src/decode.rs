//! Messages into readings: pure, one reading or one reject each.
//!
//! # The order of checks
//! The first that fails is the reason of the reject.
//! 1. The message: `tombstone`, `too_large`, `empty`, `not_utf8`.
//! 2. Its form. JSON: `too_deep`, `malformed`, `not_an_object`. CSV: `malformed`.
//! 3. `duplicate_field`.
//! 4. The mapped fields one by one, in the order time, key, values, id: `missing_field`, `null_field`,
//!    `wrong_type`, `key_too_long`, `bad_time`, `not_finite`.
//! 5. The time's range: `too_old`, `too_early`.
//! 6. The lane's room: `too_many_sensors`. A rejected message leaves no trace in the directory.

mod csv;
mod fields;
mod flat;
mod json;
mod layout;
mod time;

use std::sync::Arc;

use tidegauge_flow::{KeyPart, Readings, Sensors};

pub use csv::CsvHeader;
pub(crate) use csv::RecordEnd;
pub(crate) use fields::{Fields, Kind, Roles};
use layout::Layout;
use time::{Moment, Recent};

use crate::mapping::EventMapping;
use crate::message::Message;
use crate::reject::{Reason, Reject};

/// An event time's text as nanoseconds since the epoch; `None` when it is none, or one that 64 bits
/// can't hold. What it takes is what the events' time field may hold.
pub fn time_ns(text: &str) -> Option<i64> {
    match time::parse_text(text) {
        Some(Moment::At(ns)) => Some(ns),
        _ => None,
    }
}

/// How messages are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per message.
    Json,
    /// One CSV record per message, without the header.
    Csv(Arc<CsvHeader>),
}

/// One message's content, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoded<'a> {
    /// Event time, nanoseconds since the epoch, UTC.
    pub time_ns: i64,
    /// When its message arrived, nanoseconds since the epoch.
    pub arrival_ns: i64,
    /// The key's values, in the order of the key columns.
    pub key: &'a [KeyPart<'a>],
    /// The values, in the mapping's order; `None` is a null.
    pub values: &'a [Option<f64>],
    /// A digest of the event's id, when the mapping names one.
    pub id: Option<u128>,
}

/// Decodes messages of one format by one mapping; its buffers serve all of them.
#[derive(Debug)]
pub struct Decoder {
    mapping: Arc<EventMapping>,
    format: Format,
    roles: Roles,
    fields: Fields,
    /// How the last JSON object was written.
    layout: Layout,
    /// The minute that was read last.
    recent: Recent,
    values: Vec<Option<f64>>,
}

/// Key columns that need no allocation per message.
const KEY_COLUMNS_INLINE: usize = 8;

impl Decoder {
    /// A decoder of this format; a CSV header must be made for the same mapping.
    pub fn new(mapping: Arc<EventMapping>, format: Format) -> Self {
        let roles = Roles::new(&mapping);
        let fields = Fields::new(&roles);
        let (layout, recent) = Default::default();
        Self { mapping, format, roles, fields, layout, recent, values: Vec::new() }
    }

    /// Appends the message's reading to `out`, its sensor interned.
    ///
    /// `now_ns` is the arrival of a message without a timestamp, and of one that is stamped later. A
    /// timestamp of 0 or below is none.
    ///
    /// # Errors
    /// The reject, when the message can't be read; then `out` and `sensors` are as before.
    ///
    /// # Panics
    /// When `sensors` or `out` were made for another schema.
    pub fn decode(
        &mut self,
        message: &Message<'_>,
        now_ns: i64,
        sensors: &mut Sensors,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        assert_eq!(out.values.len(), self.mapping.values.len(), "readings of another schema");
        self.read(message, now_ns, |decoded| {
            let full = || Reject::new(Reason::TooManySensors);
            out.sensor.push(sensors.intern(decoded.key).ok_or_else(full)?);
            out.time_ns.push(decoded.time_ns);
            out.arrival_ns.push(decoded.arrival_ns);
            out.offset.push(message.offset);
            out.id.extend(decoded.id);
            for (column, value) in out.values.iter_mut().zip(decoded.values) {
                column.push(*value);
            }
            Ok(())
        })
    }

    /// Calls `take` with the message's content, for a caller without a directory of sensors.
    ///
    /// # Errors
    /// The reject, when the message can't be read; and what `take` says.
    pub fn read<T>(
        &mut self,
        message: &Message<'_>,
        now_ns: i64,
        take: impl FnOnce(Decoded<'_>) -> Result<T, Reject>,
    ) -> Result<T, Reject> {
        let text = self.scan(message)?;
        let (roles, fields) = (&self.roles, &self.fields);
        let time = fields.get(text, roles.time());
        let moment = fields::time(time, self.mapping.time_format, &mut self.recent)
            .map_err(|reason| roles.reject(reason, roles.time()))?;
        let mut inline = [KeyPart::Int(0); KEY_COLUMNS_INLINE];
        let mut spilled = Vec::new();
        let key = if roles.key().len() <= KEY_COLUMNS_INLINE {
            &mut inline[..roles.key().len()]
        } else {
            spilled.resize(roles.key().len(), KeyPart::Int(0));
            &mut spilled[..]
        };
        let bytes_max = self.mapping.limits.key_bytes_max;
        for (part, (slot, kind)) in key.iter_mut().zip(roles.key()) {
            *part = fields::key(fields.get(text, *slot), *kind, bytes_max)
                .map_err(|reason| roles.reject(reason, *slot))?;
        }
        self.values.clear();
        for slot in roles.values() {
            let value = fields::value(fields.get(text, *slot))
                .map_err(|reason| roles.reject(reason, *slot))?;
            self.values.push(value);
        }
        let id = match roles.id() {
            None => None,
            Some(slot) => {
                let id = fields::id(fields.get(text, slot));
                Some(id.map_err(|reason| roles.reject(reason, slot))?)
            }
        };
        let arrival_ns = arrival_ns(message, now_ns);
        let time_ns = in_range(moment, &self.mapping, arrival_ns)
            .map_err(|reason| roles.reject(reason, roles.time()))?;
        take(Decoded { time_ns, arrival_ns, key, values: &self.values, id })
    }

    /// Finds the mapped fields; gives the text that [`Decoder::fields`] refer to.
    pub(crate) fn scan<'m>(&mut self, message: &Message<'m>) -> Result<&'m str, Reject> {
        let limits = &self.mapping.limits;
        let text = text(message.payload, limits.message_bytes_max).map_err(Reject::new)?;
        self.fields.clear();
        let fields = &mut self.fields;
        match &self.format {
            Format::Json => {
                json::scan(text, limits.depth_max, &self.roles, fields, &mut self.layout)
            }
            Format::Csv(header) => csv::scan(text, header, fields),
        }
        .map_err(Reject::new)?;
        match self.fields.duplicate() {
            Some(slot) => Err(self.roles.reject(Reason::DuplicateField, slot)),
            None => Ok(text),
        }
    }

    /// The fields that the last [`Decoder::scan`] found.
    pub(crate) fn fields(&self) -> (&Roles, &Fields) {
        (&self.roles, &self.fields)
    }
}

/// The payload as text, without a byte order mark.
fn text(payload: Option<&[u8]>, bytes_max: usize) -> Result<&str, Reason> {
    let payload = payload.ok_or(Reason::Tombstone)?;
    if payload.len() > bytes_max {
        return Err(Reason::TooLarge);
    }
    let payload = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    if payload.iter().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
        return Err(Reason::Empty);
    }
    str::from_utf8(payload).map_err(|_| Reason::NotUtf8)
}

/// A producer's clock may run ahead, or its timestamp be none: nothing arrives later than now, and no
/// message that we read arrived in 1970.
fn arrival_ns(message: &Message<'_>, now_ns: i64) -> i64 {
    match message.timestamp_ms {
        Some(ms) if ms > 0 => ms.saturating_mul(1_000_000).min(now_ns),
        _ => now_ns,
    }
}

fn in_range(moment: Moment, mapping: &EventMapping, arrival_ns: i64) -> Result<i64, Reason> {
    match moment {
        Moment::Before => Err(Reason::TooOld),
        Moment::After => Err(Reason::TooEarly),
        Moment::At(time_ns) if time_ns < mapping.earliest_ns => Err(Reason::TooOld),
        Moment::At(time_ns) if time_ns > arrival_ns.saturating_add(mapping.early_ns) => {
            Err(Reason::TooEarly)
        }
        Moment::At(time_ns) => Ok(time_ns),
    }
}

#[cfg(test)]
mod tests;
