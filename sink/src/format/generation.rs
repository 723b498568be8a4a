//! `_tidegauge/generations/<number>.json`, format 1.

use serde::{Deserialize, Serialize};

use super::Opened;
use crate::digest::Digest;
use crate::error::LakeError;
use crate::generation::{Column, Generation, LaneMode};

/// A lake keeps its generation's file for life, so this number moves only with these fields.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerationV1 {
    format: u32,
    number: u64,
    query: String,
    query_sha256: String,
    columns: Vec<ColumnV1>,
    key: Vec<ColumnV1>,
    lanes: LanesV1,
    time: String,
    values: Vec<String>,
    counted_once: bool,
    created_at_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnV1 {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LanesV1 {
    PerPartition,
    Topic,
}

pub(crate) fn encode(generation: &Generation) -> Vec<u8> {
    let columns = |columns: &[Column]| {
        let column = |c: &Column| ColumnV1 { name: c.name.clone(), kind: c.kind.clone() };
        columns.iter().map(column).collect()
    };
    super::seal(&GenerationV1 {
        format: FORMAT,
        number: generation.number,
        query: generation.query.clone(),
        query_sha256: generation.query_sha256.to_string(),
        columns: columns(&generation.columns),
        key: columns(&generation.key),
        lanes: match generation.lanes {
            LaneMode::PerPartition => LanesV1::PerPartition,
            LaneMode::Topic => LanesV1::Topic,
        },
        time: generation.time.clone(),
        values: generation.values.clone(),
        counted_once: generation.counted_once,
        created_at_us: generation.created_at_us,
    })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Generation>, LakeError> {
    let Opened { value, intact } = super::open::<GenerationV1>(path, bytes, FORMAT)?;
    let columns = |columns: Vec<ColumnV1>| {
        columns.into_iter().map(|c| Column { name: c.name, kind: c.kind }).collect()
    };
    let query_sha256 = Digest::of(value.query.as_bytes());
    let generation = Generation {
        number: value.number,
        columns: columns(value.columns),
        key: columns(value.key),
        lanes: match value.lanes {
            LanesV1::PerPartition => LaneMode::PerPartition,
            LanesV1::Topic => LaneMode::Topic,
        },
        time: value.time,
        values: value.values,
        counted_once: value.counted_once,
        created_at_us: value.created_at_us,
        query: value.query,
        query_sha256,
    };
    let intact = intact && value.query_sha256 == query_sha256.to_string();
    Ok(Opened { value: generation, intact })
}
