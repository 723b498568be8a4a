//! `_tidegauge/alerts/<alert>/…`: cursors and dead letters, format 1 each.

use serde::{Deserialize, Serialize};

use super::Opened;
use super::parts::writer_in;
use crate::alerts::{Cursor, DeadLetter, Progress};
use crate::error::LakeError;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorV1 {
    format: u32,
    alert: String,
    lane: String,
    number: u64,
    writer: String,
    epoch: u64,
    row: u64,
    sequence: u64,
    moved_at_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLetterV1 {
    format: u32,
    alert: String,
    lane: String,
    sequence: u64,
    id: String,
    message: String,
    why: String,
    attempts: u64,
    died_at_us: i64,
}

pub(crate) fn encode(cursor: &Cursor) -> Vec<u8> {
    let Progress { epoch, row, sequence } = cursor.at;
    super::seal(&CursorV1 {
        format: FORMAT,
        alert: cursor.alert.clone(),
        lane: cursor.lane.clone(),
        number: cursor.number,
        writer: cursor.writer.to_string(),
        epoch,
        row,
        sequence,
        moved_at_us: cursor.moved_at_us,
    })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Cursor>, LakeError> {
    let Opened { value, intact } = super::open::<CursorV1>(path, bytes, FORMAT)?;
    let CursorV1 { alert, lane, number, writer, epoch, row, sequence, moved_at_us, .. } = value;
    let writer = writer_in(&writer).map_err(|what| LakeError::damaged(path, what))?;
    let at = Progress { epoch, row, sequence };
    Ok(Opened { value: Cursor { alert, lane, number, writer, at, moved_at_us }, intact })
}

pub(crate) fn encode_letter(letter: &DeadLetter) -> Vec<u8> {
    let DeadLetter { alert, lane, sequence, id, message, why, attempts, died_at_us } =
        letter.clone();
    let format = FORMAT;
    super::seal(&DeadLetterV1 {
        format,
        alert,
        lane,
        sequence,
        id,
        message,
        why,
        attempts,
        died_at_us,
    })
}

pub(crate) fn decode_letter(path: &str, bytes: &[u8]) -> Result<Opened<DeadLetter>, LakeError> {
    let Opened { value, intact } = super::open::<DeadLetterV1>(path, bytes, FORMAT)?;
    let DeadLetterV1 { alert, lane, sequence, id, message, why, attempts, died_at_us, .. } = value;
    let letter = DeadLetter { alert, lane, sequence, id, message, why, attempts, died_at_us };
    Ok(Opened { value: letter, intact })
}
