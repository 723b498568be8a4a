//! `_tidegauge/summaries/<number>.json`, format 2; a summary that knows of no anomaly events is written in
//! format 1, which differs in nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegauge_flow::Partition;

use super::events::{Parts, WithEvents, WithoutEvents};
use super::parts::{
    CheckpointV1, FileOf, InputV2, JumpV2, PositionV1, checkpoint_in, checkpoint_out, digest_in,
    file_in, file_out, inputs_in, inputs_out, jump_in, jump_out, positions_in, positions_out,
    writer_in,
};
use super::{Frame, Opened};
use crate::error::LakeError;
use crate::record::Table;
use crate::summary::{Expired, LaneSummary, Level, LiveFile, Replaced, Summary};

/// The newest that is read and written.
const FORMAT: u32 = 2;
/// That of summaries without anomaly events.
const WITHOUT_EVENTS: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SummaryOf<T, C> {
    format: u32,
    generation: u64,
    number: u64,
    writer: String,
    previous: Option<String>,
    made_at_us: i64,
    lanes: Vec<LaneOf<C>>,
    files: Vec<LiveOf<T>>,
    replaced: Vec<ReplacedOf<T>>,
    expired: Vec<ExpiredOf<T>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneOf<C> {
    lane: String,
    since: u64,
    to: u64,
    digest: String,
    writer: String,
    opened: u64,
    committed_at_us: i64,
    first: Vec<PositionV1>,
    positions: Vec<PositionV1>,
    jumps: Vec<JumpV2>,
    inputs: Vec<InputV2>,
    watermark_ns: Option<i64>,
    checkpoint: Option<CheckpointV1>,
    counters: C,
    late_kept: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveOf<T> {
    file: FileOf<T>,
    at_us: i64,
    level: LevelV1,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LevelV1 {
    Commit,
    Hour,
    Day,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplacedOf<T> {
    file: FileOf<T>,
    at_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiredOf<T> {
    table: T,
    lane: Option<String>,
    rows: u64,
    n_readings: u64,
}

pub(crate) fn encode(summary: &Summary) -> Vec<u8> {
    match knows_events(summary) {
        true => super::seal(&wire::<WithEvents>(summary, FORMAT)),
        false => super::seal(&wire::<WithoutEvents>(summary, WITHOUT_EVENTS)),
    }
}

fn knows_events(summary: &Summary) -> bool {
    let is = |file: &crate::record::FileRef| file.table == Table::Events;
    summary.lanes.values().any(|lane| lane.counters.events > 0)
        || summary.files.iter().any(|live| is(&live.file))
        || summary.replaced.iter().any(|replaced| is(&replaced.file))
        || summary.expired.iter().any(|expired| expired.table == Table::Events)
}

fn wire<P: Parts>(summary: &Summary, format: u32) -> SummaryOf<P::Table, P::Counters> {
    let expired = |e: &Expired| ExpiredOf {
        table: P::table_out(e.table),
        lane: e.lane.clone(),
        rows: e.rows,
        n_readings: e.n_readings,
    };
    let replaced = |r: &Replaced| ReplacedOf { file: file_out::<P>(&r.file), at_us: r.at_us };
    SummaryOf {
        format,
        generation: summary.generation,
        number: summary.number,
        writer: summary.writer.to_string(),
        previous: summary.previous.map(|digest| digest.to_string()),
        made_at_us: summary.made_at_us,
        lanes: summary.lanes.iter().map(|(name, lane)| lane_out::<P>(name, lane)).collect(),
        files: summary.files.iter().map(live_out::<P>).collect(),
        replaced: summary.replaced.iter().map(replaced).collect(),
        expired: summary.expired.iter().map(expired).collect(),
    }
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Summary>, LakeError> {
    let frame = Frame::read(path, bytes)?;
    let (summary, intact) = match frame.format {
        1 => {
            let Opened { value, intact } = frame.open()?;
            (convert::<WithoutEvents>(value), intact)
        }
        2 => {
            let Opened { value, intact } = frame.open()?;
            (convert::<WithEvents>(value), intact)
        }
        _ => return Err(frame.unknown(FORMAT)),
    };
    let value = summary.map_err(|what| LakeError::damaged(path, what))?;
    Ok(Opened { value, intact })
}

fn convert<P: Parts>(wire: SummaryOf<P::Table, P::Counters>) -> Result<Summary, String> {
    let mut lanes = BTreeMap::new();
    for lane in wire.lanes {
        let name = lane.lane.clone();
        if lanes.insert(name.clone(), lane_in::<P>(lane)?).is_some() {
            return Err(format!("lane {name} is there twice"));
        }
    }
    let replaced = |r: ReplacedOf<P::Table>| {
        Ok::<_, String>(Replaced { file: file_in::<P>(r.file)?, at_us: r.at_us })
    };
    let expired = |e: ExpiredOf<P::Table>| Expired {
        table: P::table_in(&e.table),
        lane: e.lane,
        rows: e.rows,
        n_readings: e.n_readings,
    };
    Ok(Summary {
        generation: wire.generation,
        number: wire.number,
        writer: writer_in(&wire.writer)?,
        previous: wire.previous.as_deref().map(digest_in).transpose()?,
        made_at_us: wire.made_at_us,
        lanes,
        files: wire.files.into_iter().map(live_in::<P>).collect::<Result<_, _>>()?,
        replaced: wire.replaced.into_iter().map(replaced).collect::<Result<_, _>>()?,
        expired: wire.expired.into_iter().map(expired).collect(),
    })
}

fn lane_out<P: Parts>(name: &str, lane: &LaneSummary) -> LaneOf<P::Counters> {
    LaneOf {
        lane: name.to_owned(),
        since: 1,
        to: lane.to,
        digest: lane.digest.to_string(),
        writer: lane.writer.to_string(),
        opened: lane.opened,
        committed_at_us: lane.committed_at_us,
        first: positions_out(&lane.first),
        positions: positions_out(&lane.positions),
        jumps: lane.jumps.iter().map(jump_out).collect(),
        inputs: inputs_out(&lane.inputs),
        watermark_ns: lane.watermark_ns,
        checkpoint: lane.checkpoint.as_ref().map(checkpoint_out),
        counters: P::counters_out(&lane.counters),
        late_kept: lane.late_kept,
    }
}

fn lane_in<P: Parts>(wire: LaneOf<P::Counters>) -> Result<LaneSummary, String> {
    if wire.since != 1 {
        return Err(format!("lane {} is summarised since epoch {}", wire.lane, wire.since));
    }
    let positions = |positions: Vec<PositionV1>| -> Result<BTreeMap<Partition, i64>, String> {
        positions_in(positions).map_err(|p| format!("{p} has two positions"))
    };
    Ok(LaneSummary {
        to: wire.to,
        digest: digest_in(&wire.digest)?,
        writer: writer_in(&wire.writer)?,
        opened: wire.opened,
        committed_at_us: wire.committed_at_us,
        first: positions(wire.first)?,
        positions: positions(wire.positions)?,
        jumps: wire.jumps.into_iter().map(jump_in).collect(),
        inputs: inputs_in(wire.inputs)?,
        watermark_ns: wire.watermark_ns,
        checkpoint: wire.checkpoint.map(checkpoint_in).transpose()?,
        counters: P::counters_in(&wire.counters),
        late_kept: wire.late_kept,
    })
}

fn live_out<P: Parts>(live: &LiveFile) -> LiveOf<P::Table> {
    LiveOf {
        file: file_out::<P>(&live.file),
        at_us: live.at_us,
        level: match live.level {
            Level::Commit => LevelV1::Commit,
            Level::Hour => LevelV1::Hour,
            Level::Day => LevelV1::Day,
        },
    }
}

fn live_in<P: Parts>(wire: LiveOf<P::Table>) -> Result<LiveFile, String> {
    Ok(LiveFile {
        file: file_in::<P>(wire.file)?,
        at_us: wire.at_us,
        level: match wire.level {
            LevelV1::Commit => Level::Commit,
            LevelV1::Hour => Level::Hour,
            LevelV1::Day => Level::Day,
        },
    })
}

#[cfg(test)]
mod tests;
