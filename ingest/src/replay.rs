//! Files as messages to publish: payload, Kafka key and event time.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tidegauge_flow::{KeyPart, KeyType};

use crate::decode::{Decoder, Format, Kind, Roles};
use crate::error::IngestError;
use crate::files::Files;
use crate::mapping::{EventMapping, TimeFormat};
use crate::message::Message;
use crate::reject::Reject;

/// Records of files, one by one, as they would have been published.
///
/// A line of JSON stays as it is, byte for byte, also when it can't be read. A CSV record becomes a
/// JSON object of the mapped fields: numbers as they stand in the file, texts as strings, empty
/// cells as null; one that can't be read is a reject, because it has no JSON.
#[derive(Debug)]
pub struct Replay {
    files: Files,
    mapping: Arc<EventMapping>,
    decoder: Option<(usize, Decoder)>,
}

/// One message to publish, borrowed from the replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replayed<'a> {
    /// The key's values joined by `_`; `None` when the record can't be read.
    pub key: Option<&'a str>,
    /// The message.
    pub payload: &'a [u8],
    /// Event time, nanoseconds since the epoch; `None` when the record can't be read.
    pub time_ns: Option<i64>,
}

impl Replay {
    /// A replay of these files, opened for the same mapping.
    pub fn new(files: Files, mapping: Arc<EventMapping>) -> Self {
        Self { files, mapping, decoder: None }
    }

    /// Calls `publish` with each of the next records, at most `max`, and gives their number; 0 at
    /// the end. `arrival_ns` is now: events too far in its future can't be read.
    ///
    /// # Errors
    /// As [`Files::next_batch`].
    pub fn next_batch(
        &mut self,
        max: usize,
        arrival_ns: i64,
        mut publish: impl FnMut(Result<Replayed<'_>, Reject>),
    ) -> Result<usize, IngestError> {
        let Some(batch) = self.files.next_batch(max)? else {
            return Ok(0);
        };
        let (_, decoder) = match self.decoder.take() {
            Some(known) if known.0 == batch.file => self.decoder.insert(known),
            _ => {
                let decoder = Decoder::new(self.mapping.clone(), batch.format.clone());
                self.decoder.insert((batch.file, decoder))
            }
        };
        let (mut key, mut json) = (String::new(), String::new());
        for (message, _) in batch.messages() {
            key.clear();
            let time_ns = decoder.read(&message, arrival_ns, |decoded| {
                join_key(decoded.key, &mut key);
                Ok(decoded.time_ns)
            });
            let (payload, time_ns) = match (batch.format, time_ns) {
                (Format::Json, time_ns) => (message.payload.unwrap_or_default(), time_ns.ok()),
                (Format::Csv(_), Ok(time_ns)) => {
                    json.clear();
                    to_json(decoder, &message, &self.mapping, &mut json);
                    (json.as_bytes(), Some(time_ns))
                }
                (Format::Csv(_), Err(reject)) => {
                    publish(Err(reject));
                    continue;
                }
            };
            let key = time_ns.is_some().then_some(key.as_str());
            publish(Ok(Replayed { key, payload, time_ns }));
        }
        Ok(batch.len())
    }
}

/// When to publish what, so that the replay keeps the pace of the events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The event time that is published at once, nanoseconds since the epoch.
    pub first_ns: i64,
    /// How many times faster than the events; infinity is as fast as possible.
    pub speed: f64,
}

impl Pace {
    /// The time between the replay's start and the publishing of an event.
    ///
    /// # Panics
    /// When the speed is not above 0.
    pub fn due(&self, event_ns: i64) -> Duration {
        assert!(self.speed > 0.0, "a replay's speed is above 0");
        let after_ns = event_ns.saturating_sub(self.first_ns).max(0);
        let seconds = after_ns as f64 / 1e9 / self.speed;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

fn join_key(key: &[KeyPart<'_>], out: &mut String) {
    for (i, part) in key.iter().enumerate() {
        let joint = if i == 0 { "" } else { "_" };
        let written = match part {
            KeyPart::Int(value) => write!(out, "{joint}{value}"),
            KeyPart::Str(value) => write!(out, "{joint}{value}"),
        };
        // Writing to a string has no way to fail.
        debug_assert!(written.is_ok());
    }
}

/// The CSV record that `decoder` has read, as a JSON object.
fn to_json(decoder: &mut Decoder, message: &Message<'_>, mapping: &EventMapping, out: &mut String) {
    // The message was read with success, so it is found again.
    let Ok(text) = decoder.scan(message) else {
        return;
    };
    let (roles, fields) = decoder.fields();
    for (slot, name) in roles.names().iter().enumerate() {
        out.push(if slot == 0 { '{' } else { ',' });
        out.push_str(&quoted(name));
        out.push(':');
        cell_to_json(fields.get(text, slot), json_type(roles, slot, mapping), out);
    }
    out.push('}');
}

/// What a field is in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonType {
    String,
    Number,
}

fn json_type(roles: &Roles, slot: usize, mapping: &EventMapping) -> JsonType {
    let is_text_time = slot == roles.time() && mapping.time_format == TimeFormat::Text;
    if is_text_time || roles.key().contains(&(slot, KeyType::String)) {
        JsonType::String
    } else {
        JsonType::Number
    }
}

fn cell_to_json((kind, cell): (Kind, &str), json_type: JsonType, out: &mut String) {
    match (kind, json_type) {
        (Kind::Null, _) => out.push_str("null"),
        (_, JsonType::String) => out.push_str(&quoted(cell)),
        (_, JsonType::Number) => number_to_json(cell, out),
    }
}

/// Writes a number that a cell may have (`+5`, `007`, `.5`, `5.`) as JSON has it, digit for digit.
fn number_to_json(cell: &str, out: &mut String) {
    let unsigned = cell.trim_start_matches(['+', '-']);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => unsigned.split_at(at),
        None => (unsigned, ""),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('0');
    out.push_str(if cell.starts_with('-') { "-" } else { "" });
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !part.is_empty() {
        out.push('.');
        out.push_str(part);
    }
    out.push_str(exponent);
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
