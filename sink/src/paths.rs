//! Where things lie in a lake. Names are written here and parsed here, nowhere else.
//!
//! A data file's name is parsed from the right: a lane's name may hold `-`, what follows it may
//! not.

use std::fmt;

use tidegauge_flow::time::civil_from_days;

use crate::error::LakeError;
use crate::record::Table;
use crate::writer::Writer;

pub(crate) const GENERATIONS: &str = "_tidegauge/generations/";
pub(crate) const LEDGER: &str = "_tidegauge/ledger/";
pub(crate) const STAGING: &str = "_tidegauge/staging/";
pub(crate) const STATE: &str = "_tidegauge/state/";
pub(crate) const SUMMARIES: &str = "_tidegauge/summaries/";
/// Where compacted files lie until they are published. No lane has a name that begins with a dot.
pub(crate) const COMPACTED: &str = "_tidegauge/staging/.compacted/";
pub(crate) const ALERTS: &str = "_tidegauge/alerts/";
pub(crate) const LABELS: &str = "_tidegauge/labels/";
pub(crate) const MARK: &str = "_tidegauge/verified/mark.json";

/// Longer lane names would not leave room for the rest of a file name (255 bytes on most systems).
const LANE_MAX: usize = 150;

/// The name of a data file: who wrote it, for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub generation: u64,
    pub lane: String,
    pub epoch: u64,
    pub writer: Writer,
    /// Counts the files of one epoch, over all tables.
    pub n: u32,
}

impl DataFile {
    /// Reads the last part of `path`; `None` when it is not such a name.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = base_name(path).strip_suffix(".parquet")?.rsplitn(4, '-');
        let n = number(parts.next()?, 1)?.try_into().ok()?;
        let writer = Writer::parse(parts.next()?)?;
        let epoch = number(parts.next()?, 20)?;
        let (generation, lane) = parts.next()?.split_once('-')?;
        let generation = number(generation.strip_prefix('g')?, 1)?;
        let file = Self { generation, lane: lane.to_owned(), epoch, writer, n };
        // What we would not write ourselves (a leading zero) is not ours.
        (file.to_string() == base_name(path)).then_some(file)
    }

    /// Where the file is once its record is written.
    pub fn published(&self, table: Table, date: &str) -> String {
        format!("{}date={date}/{self}", table.folder())
    }
}

impl fmt::Display for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, lane, epoch, writer, n } = self;
        write!(f, "g{generation}-{lane}-{epoch:020}-{writer}-{n}.parquet")
    }
}

/// The name of a compacted file: which summary was to name it, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompactFile {
    pub generation: u64,
    /// The number of the summary.
    pub summary: u64,
    pub writer: Writer,
    /// Counts the files of one run.
    pub k: u32,
}

impl CompactFile {
    /// Reads the last part of `path`; `None` when it is not such a name.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = base_name(path).strip_suffix(".parquet")?.split('-');
        let generation = number(parts.next()?.strip_prefix('c')?, 1)?;
        let summary = number(parts.next()?, 20)?;
        let writer = Writer::parse(parts.next()?)?;
        let k = number(parts.next()?, 1)?.try_into().ok()?;
        let file = Self { generation, summary, writer, k };
        (file.to_string() == base_name(path)).then_some(file)
    }

    pub fn published(&self, table: Table, date: &str) -> String {
        format!("{}date={date}/{self}", table.folder())
    }
}

impl fmt::Display for CompactFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, summary, writer, k } = self;
        write!(f, "c{generation}-{summary:020}-{writer}-{k}.parquet")
    }
}

/// Where a data file lies until it is published; `None` for a name that is not ours.
pub(crate) fn staged(path: &str) -> Option<String> {
    match DataFile::parse(path) {
        Some(file) => Some(staging_path(&file.lane, path)),
        None => CompactFile::parse(path).map(|file| format!("{COMPACTED}{file}")),
    }
}

/// Refuses a lane name that cannot be part of a path or of a file name.
pub(crate) fn check_lane(lane: &str) -> Result<(), LakeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if lane.is_empty() || lane.len() > LANE_MAX || lane.starts_with('.') || !lane.chars().all(plain)
    {
        let what = format!(
            "a lane's name has 1 to {LANE_MAX} letters, digits, '.', '_', '-' and no leading '.'"
        );
        return Err(LakeError::refused(&format!("{lane:?}"), what));
    }
    Ok(())
}

pub(crate) fn generation_path(number: u64) -> String {
    format!("{GENERATIONS}{number:020}.json")
}

pub(crate) fn ledger_folder(lane: &str) -> String {
    format!("{LEDGER}{lane}/")
}

pub(crate) fn record_path(lane: &str, epoch: u64) -> String {
    format!("{LEDGER}{lane}/{epoch:020}.json")
}

/// The epoch of a record, or the number of a generation, from its path.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    number(base_name(path).strip_suffix(".json")?, 20)
}

pub(crate) fn summary_path(number: u64) -> String {
    format!("{SUMMARIES}{number:020}.json")
}

pub(crate) fn state_folder(lane: &str) -> String {
    format!("{STATE}{lane}/")
}

pub(crate) fn checkpoint_path(lane: &str, epoch: u64, writer: Writer) -> String {
    format!("{}{epoch:020}-{writer}", state_folder(lane))
}

/// The epoch and writer of a checkpoint, from its path.
pub(crate) fn checkpoint_of(path: &str) -> Option<(u64, Writer)> {
    let (epoch, writer) = base_name(path).split_once('-')?;
    Some((number(epoch, 20)?, Writer::parse(writer)?))
}

/// Where an alert's cursors lie.
pub(crate) fn cursors_folder(alert: &str) -> String {
    format!("{ALERTS}{alert}/cursors/")
}

pub(crate) fn cursor_folder(alert: &str, lane: &str) -> String {
    format!("{}{lane}/", cursors_folder(alert))
}

pub(crate) fn cursor_path(alert: &str, lane: &str, number: u64) -> String {
    format!("{}{number:020}.json", cursor_folder(alert, lane))
}

/// Where an alert's dead letters lie.
pub(crate) fn letters_folder(alert: &str) -> String {
    format!("{ALERTS}{alert}/dead/")
}

pub(crate) fn letter_path(alert: &str, lane: &str, sequence: u64) -> String {
    format!("{}{lane}/{sequence:020}.json", letters_folder(alert))
}

pub(crate) fn staging_folder(lane: &str) -> String {
    format!("{STAGING}{lane}/")
}

/// The staged name of a published file.
pub(crate) fn staging_path(lane: &str, published: &str) -> String {
    format!("{}{}", staging_folder(lane), base_name(published))
}

/// Where a writer says what it is about to write, on stores that cannot rename.
pub(crate) fn intent_path(lane: &str, writer: Writer) -> String {
    format!("{}{writer}.json", staging_folder(lane))
}

/// The writer of an intent, from its path.
pub(crate) fn intent_of(path: &str) -> Option<Writer> {
    Writer::parse(base_name(path).strip_suffix(".json")?)
}

/// The UTC day of a time in microseconds since 1970.
pub(crate) fn day_of(time_us: i64) -> i64 {
    time_us.div_euclid(86_400_000_000)
}

/// `2026-01-31`, for any day that a time in microseconds can have.
pub(crate) fn date_of_day(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The `2026-01-31` of `table/date=2026-01-31/file`.
pub(crate) fn date_of(path: &str) -> Option<&str> {
    path.split('/').find_map(|part| part.strip_prefix("date="))
}

pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Digits only, at least `digits` of them: `parse` alone would take a `+`.
fn number(text: &str, digits: usize) -> Option<u64> {
    let plain = text.len() >= digits && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
