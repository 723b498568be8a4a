//! `_tidegauge/staging/<lane>/<writer>.json`, format 1.

use serde::{Deserialize, Serialize};

use super::Opened;
use crate::error::LakeError;
use crate::intent::Intent;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentV1 {
    format: u32,
    epoch: u64,
    files: Vec<String>,
    made_at_us: i64,
}

pub(crate) fn encode(intent: &Intent) -> Vec<u8> {
    let Intent { epoch, files, made_at_us } = intent.clone();
    super::seal(&IntentV1 { format: FORMAT, epoch, files, made_at_us })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Intent>, LakeError> {
    let Opened { value, intact } = super::open::<IntentV1>(path, bytes, FORMAT)?;
    let IntentV1 { epoch, files, made_at_us, .. } = value;
    Ok(Opened { value: Intent { epoch, files, made_at_us }, intact })
}
