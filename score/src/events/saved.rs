//! What is remembered of events as a part of a lane's checkpoint.
//!
//! Layout, version 1: `TGEV`, u32 version, u64 number of sensors, then for each: u32 sensor, i64 end of the
//! newest window, u64 windows seen, u32 quiet windows, u32 pending anomalies, for each u64 its number and the
//! anomaly, u8 whether there is an event, its i64 start and end, u64 windows, and its worst anomaly. An
//! anomaly: i64 start and end, f64 score, and as options (u8, then the value) f64 severity, u64 set, u32
//! length and text of the reason. Integers are little-endian. Nothing here looks for damage: a checkpoint's
//! digest is in the ledger.

use std::collections::BTreeMap;

use tidegauge_flow::SensorId;

use super::track::{Anomaly, Event, Track};
use crate::error::ScoreError;

const MAGIC: &[u8; 4] = b"TGEV";
const VERSION: u32 = 1;

pub(super) fn encode(tracks: &BTreeMap<SensorId, Track>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(tracks.len() as u64).to_le_bytes());
    for (sensor, track) in tracks {
        out.extend_from_slice(&sensor.to_le_bytes());
        out.extend_from_slice(&track.last_us.to_le_bytes());
        out.extend_from_slice(&track.seen.to_le_bytes());
        out.extend_from_slice(&track.quiet.to_le_bytes());
        out.extend_from_slice(&(track.pending.len() as u32).to_le_bytes());
        for (at, anomaly) in &track.pending {
            out.extend_from_slice(&at.to_le_bytes());
            put_anomaly(anomaly, &mut out);
        }
        out.push(u8::from(track.event.is_some()));
        if let Some(event) = &track.event {
            out.extend_from_slice(&event.start_us.to_le_bytes());
            out.extend_from_slice(&event.end_us.to_le_bytes());
            out.extend_from_slice(&event.windows.to_le_bytes());
            put_anomaly(&event.peak, &mut out);
        }
    }
    out
}

fn put_anomaly(anomaly: &Anomaly, out: &mut Vec<u8>) {
    out.extend_from_slice(&anomaly.start_us.to_le_bytes());
    out.extend_from_slice(&anomaly.end_us.to_le_bytes());
    out.extend_from_slice(&anomaly.score.to_le_bytes());
    out.push(u8::from(anomaly.severity.is_some()));
    anomaly.severity.iter().for_each(|severity| out.extend_from_slice(&severity.to_le_bytes()));
    out.push(u8::from(anomaly.model_set.is_some()));
    anomaly.model_set.iter().for_each(|set| out.extend_from_slice(&set.to_le_bytes()));
    out.push(u8::from(anomaly.reason.is_some()));
    if let Some(reason) = &anomaly.reason {
        out.extend_from_slice(&(reason.len() as u32).to_le_bytes());
        out.extend_from_slice(reason.as_bytes());
    }
}

/// Reads what [`encode`] has written; sensors are numbered below `sensors`.
///
/// # Errors
/// [`ScoreError::History`] when it is something else.
pub(super) fn decode(
    bytes: &[u8],
    sensors: usize,
) -> Result<BTreeMap<SensorId, Track>, ScoreError> {
    let refuse = |what: &str| ScoreError::History(format!("events: {what}"));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| refuse("it is none"))?;
    let mut rest = Rest(rest);
    let version = u32::from_le_bytes(rest.take()?);
    if version != VERSION {
        let what = format!("it has version {version}, this program reads {VERSION}");
        return Err(refuse(&what));
    }
    let count = u64::from_le_bytes(rest.take()?);
    let mut tracks = BTreeMap::new();
    for _ in 0..count {
        let sensor = u32::from_le_bytes(rest.take()?);
        if sensor as usize >= sensors {
            return Err(refuse("it has a sensor that the lane lacks"));
        }
        tracks.insert(sensor, rest.track()?);
    }
    match rest.0 {
        [] => Ok(tracks),
        _ => Err(refuse("something follows it")),
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], ScoreError> {
        let cut_off = || ScoreError::History("events: it is cut off".into());
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ScoreError> {
        let bytes = self.bytes(N)?;
        Ok(std::array::from_fn(|at| bytes[at]))
    }

    fn is_there(&mut self) -> Result<bool, ScoreError> {
        Ok(self.take::<1>()? != [0])
    }

    fn track(&mut self) -> Result<Track, ScoreError> {
        let last_us = i64::from_le_bytes(self.take()?);
        let seen = u64::from_le_bytes(self.take()?);
        let quiet = u32::from_le_bytes(self.take()?);
        let count = u32::from_le_bytes(self.take()?);
        let mut pending = Vec::new();
        for _ in 0..count {
            pending.push((u64::from_le_bytes(self.take()?), self.anomaly()?));
        }
        let event = match self.is_there()? {
            true => Some(Box::new(self.event()?)),
            false => None,
        };
        Ok(Track { last_us, seen, pending, event, quiet })
    }

    fn event(&mut self) -> Result<Event, ScoreError> {
        Ok(Event {
            start_us: i64::from_le_bytes(self.take()?),
            end_us: i64::from_le_bytes(self.take()?),
            windows: u64::from_le_bytes(self.take()?),
            peak: self.anomaly()?,
        })
    }

    fn anomaly(&mut self) -> Result<Anomaly, ScoreError> {
        let start_us = i64::from_le_bytes(self.take()?);
        let end_us = i64::from_le_bytes(self.take()?);
        let score = f64::from_le_bytes(self.take()?);
        let severity = match self.is_there()? {
            true => Some(f64::from_le_bytes(self.take()?)),
            false => None,
        };
        let model_set = match self.is_there()? {
            true => Some(u64::from_le_bytes(self.take()?)),
            false => None,
        };
        let reason = match self.is_there()? {
            true => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                let text = std::str::from_utf8(self.bytes(length)?);
                let damaged = |_| ScoreError::History("events: a reason is no text".into());
                Some(text.map_err(damaged)?.into())
            }
            false => None,
        };
        Ok(Anomaly { start_us, end_us, score, severity, reason, model_set })
    }
}
