//! `_tidegauge/summaries/<number>.json`, format 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegauge_flow::Partition;

use super::Opened;
use super::parts::{
    CheckpointV1, CountersV2, FileV1, InputV2, JumpV2, PositionV1, TableV1, checkpoint_in,
    checkpoint_out, counters_in, counters_out, digest_in, file_in, file_out, inputs_in, inputs_out,
    jump_in, jump_out, positions_in, positions_out, table_in, table_out, writer_in,
};
use crate::error::LakeError;
use crate::summary::{Expired, LaneSummary, Level, LiveFile, Replaced, Summary};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SummaryV1 {
    format: u32,
    generation: u64,
    number: u64,
    writer: String,
    previous: Option<String>,
    made_at_us: i64,
    lanes: Vec<LaneV1>,
    files: Vec<LiveV1>,
    replaced: Vec<ReplacedV1>,
    expired: Vec<ExpiredV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneV1 {
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
    counters: CountersV2,
    late_kept: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveV1 {
    file: FileV1,
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
struct ReplacedV1 {
    file: FileV1,
    at_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiredV1 {
    table: TableV1,
    lane: Option<String>,
    rows: u64,
    n_readings: u64,
}

pub(crate) fn encode(summary: &Summary) -> Vec<u8> {
    let expired = |e: &Expired| ExpiredV1 {
        table: table_out(e.table),
        lane: e.lane.clone(),
        rows: e.rows,
        n_readings: e.n_readings,
    };
    let replaced = |r: &Replaced| ReplacedV1 { file: file_out(&r.file), at_us: r.at_us };
    super::seal(&SummaryV1 {
        format: FORMAT,
        generation: summary.generation,
        number: summary.number,
        writer: summary.writer.to_string(),
        previous: summary.previous.map(|digest| digest.to_string()),
        made_at_us: summary.made_at_us,
        lanes: summary.lanes.iter().map(|(name, lane)| lane_out(name, lane)).collect(),
        files: summary.files.iter().map(live_out).collect(),
        replaced: summary.replaced.iter().map(replaced).collect(),
        expired: summary.expired.iter().map(expired).collect(),
    })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Summary>, LakeError> {
    let Opened { value, intact } = super::open::<SummaryV1>(path, bytes, FORMAT)?;
    let value = convert(value).map_err(|what| LakeError::damaged(path, what))?;
    Ok(Opened { value, intact })
}

fn convert(wire: SummaryV1) -> Result<Summary, String> {
    let mut lanes = BTreeMap::new();
    for lane in wire.lanes {
        let name = lane.lane.clone();
        if lanes.insert(name.clone(), lane_in(lane)?).is_some() {
            return Err(format!("lane {name} is there twice"));
        }
    }
    let replaced =
        |r: ReplacedV1| Ok::<_, String>(Replaced { file: file_in(r.file)?, at_us: r.at_us });
    let expired = |e: ExpiredV1| Expired {
        table: table_in(&e.table),
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
        files: wire.files.into_iter().map(live_in).collect::<Result<_, _>>()?,
        replaced: wire.replaced.into_iter().map(replaced).collect::<Result<_, _>>()?,
        expired: wire.expired.into_iter().map(expired).collect(),
    })
}

fn lane_out(name: &str, lane: &LaneSummary) -> LaneV1 {
    LaneV1 {
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
        counters: counters_out(&lane.counters),
        late_kept: lane.late_kept,
    }
}

fn lane_in(wire: LaneV1) -> Result<LaneSummary, String> {
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
        counters: counters_in(&wire.counters),
        late_kept: wire.late_kept,
    })
}

fn live_out(live: &LiveFile) -> LiveV1 {
    LiveV1 {
        file: file_out(&live.file),
        at_us: live.at_us,
        level: match live.level {
            Level::Commit => LevelV1::Commit,
            Level::Hour => LevelV1::Hour,
            Level::Day => LevelV1::Day,
        },
    }
}

fn live_in(wire: LiveV1) -> Result<LiveFile, String> {
    Ok(LiveFile {
        file: file_in(wire.file)?,
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
