//! `_tidegauge/verified/mark.json`, format 1: how far the lake was proven.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Opened;
use super::parts::digest_in;
use crate::error::LakeError;
use crate::verify::{Mark, Marked};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkV1 {
    format: u32,
    verified_at_us: i64,
    summary: u64,
    lanes: Vec<MarkedV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkedV1 {
    lane: String,
    epoch: u64,
    digest: String,
}

pub(crate) fn encode(mark: &Mark) -> Vec<u8> {
    let lane = |(lane, marked): (&String, &Marked)| MarkedV1 {
        lane: lane.clone(),
        epoch: marked.epoch,
        digest: marked.digest.to_string(),
    };
    super::seal(&MarkV1 {
        format: FORMAT,
        verified_at_us: mark.verified_at_us,
        summary: mark.summary,
        lanes: mark.lanes.iter().map(lane).collect(),
    })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Mark>, LakeError> {
    let Opened { value, intact } = super::open::<MarkV1>(path, bytes, FORMAT)?;
    let mut lanes = BTreeMap::new();
    for MarkedV1 { lane, epoch, digest } in value.lanes {
        let digest = digest_in(&digest).map_err(|what| LakeError::damaged(path, what))?;
        lanes.insert(lane, Marked { epoch, digest });
    }
    let (verified_at_us, summary) = (value.verified_at_us, value.summary);
    Ok(Opened { value: Mark { verified_at_us, summary, lanes }, intact })
}
