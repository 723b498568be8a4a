//! The section `[events]`: when anomalous windows are an event.

use std::time::Duration;

use tidegauge_flow::{KeySchema, names};
use tidegauge_score::events::{By, OF_MOST};
use tidegauge_score::{EventSettings, Quiet, Rules};

use super::reader::Reader;
use super::units;

const DAY: Duration = Duration::from_secs(86_400);
/// The longest that an event waits for its sensor.
const SILENCE_MOST: Duration = Duration::from_secs(3660 * 86_400);

/// There when the file has the section, or a setting of it is given elsewhere. `has_onset`: the onset view is
/// there; `key` is there when it could be read.
pub(super) fn events(
    reader: &mut Reader,
    has_onset: bool,
    key: Option<&KeySchema>,
) -> Option<EventSettings> {
    let is_there = reader.has_section("events");
    let by = reader.one_of("events.by", &[("state", By::State), ("onset", By::Onset)]);
    // An alarm of the onset view is told once, when something begins.
    let (open, of) = match by {
        By::State => (2, 3),
        By::Onset => (1, 1),
    };
    let open = reader.integer("events.open", open, 1..=u64::from(OF_MOST)) as u32;
    let of = reader.integer("events.of", of.max(open.into()), 1..=u64::from(OF_MOST)) as u32;
    let close = close(reader);
    let silence = reader.duration("events.silence", "1h", Duration::from_secs(1)..=SILENCE_MOST);
    if !is_there {
        return None;
    }
    if open > of {
        reader
            .mistake("events.open", format!("is {open} of {of} windows, allowed is at most {of}"));
    }
    if by == By::Onset && !has_onset {
        reader.mistake("events.by", "is \"onset\", and [models.onset] has no features");
    }
    for column in key.iter().flat_map(|key| key.columns()) {
        if names::OF_EVENTS.contains(&column.name.as_str()) {
            let what = format!(
                "cannot be made of a key column {:?}, which events have themselves",
                column.name
            );
            reader.mistake("events", what);
        }
    }
    let silence_us = i64::try_from(silence.as_micros()).unwrap_or(i64::MAX);
    Some(EventSettings { rules: Rules { open, of, close, silence_us }, by })
}

/// A number of windows, or a duration.
fn close(reader: &mut Reader) -> Quiet {
    const KEY: &str = "events.close";
    let allowed = "a number of windows from 1 to 1000, or a duration from 1ms to 1d";
    let Some(text) = reader.plain(KEY) else { return Quiet::Windows(3) };
    if let Ok(windows) = text.parse::<u32>()
        && (1..=OF_MOST).contains(&windows)
    {
        return Quiet::Windows(windows);
    }
    match units::duration(&text).filter(|quiet| !quiet.is_zero() && *quiet <= DAY) {
        Some(quiet) => Quiet::For(i64::try_from(quiet.as_micros()).unwrap_or(i64::MAX)),
        None => {
            reader.mistake(KEY, format!("is {text:?}, allowed is {allowed}"));
            Quiet::Windows(1)
        }
    }
}
