//! How far the lake was proven, for the next proof of what is new.
//!
//! *What it is trusted for*: that the files which counted then were right. That they are still there with
//! their size is looked at each time; their bytes are not read again. The mark is sealed by a digest, so
//! an edit shows, and names the records of that moment by their digests, so that other records in their
//! place show. It is no signature: who may write to the lake can make a mark, and a full proof trusts none.

use std::collections::BTreeMap;

use tidegauge_flow::{Store, StoreError};

use super::chain::Ledger;
use super::repair::Repair;
use super::report::Report;
use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::paths::{CompactFile, DataFile, MARK};

/// How far the lake was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Microseconds since 1970.
    pub verified_at_us: i64,
    /// The newest summary then; 0 for none.
    pub summary: u64,
    /// The newest record of each lane then.
    pub lanes: BTreeMap<String, Marked>,
}

/// A record that was the newest of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub epoch: u64,
    pub digest: Digest,
}

impl Mark {
    /// Whether a file that counts did so when the mark was made.
    pub fn covers(&self, path: &str) -> bool {
        if let Some(file) = CompactFile::parse(path) {
            return file.summary <= self.summary;
        }
        let file = DataFile::parse(path);
        file.is_some_and(|f| self.lanes.get(&f.lane).is_some_and(|marked| f.epoch <= marked.epoch))
    }
}

/// The mark of the last proof. One that cannot be trusted is told, and everything is proven again.
pub(super) fn read(store: &dyn Store, report: &mut Report) -> Result<Option<Mark>, LakeError> {
    let bytes = match store.get(MARK) {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        bytes => bytes?,
    };
    match format::mark::decode(MARK, &bytes).and_then(|opened| opened.intact(MARK)) {
        Ok(mark) => Ok(Some(mark)),
        Err(error) => {
            let what = format!("{error}; all of the lake is proven instead");
            report.note(MARK, what, Repair::Nothing);
            Ok(None)
        }
    }
}

/// Remembers how far the lake is proven.
pub(super) fn write(store: &dyn Store, ledger: &Ledger, now_us: i64, report: &mut Report) {
    let mut lanes = BTreeMap::new();
    for lane in &ledger.lanes {
        if let Some((record, digest)) = &lane.newest {
            lanes.insert(lane.lane.clone(), Marked { epoch: record.epoch, digest: *digest });
        }
    }
    let summary = ledger.summary.as_ref().map_or(0, |summary| summary.number);
    let mark = Mark { verified_at_us: now_us, summary, lanes };
    if let Err(error) = store.put(MARK, &format::mark::encode(&mark)) {
        let what = format!("it cannot be written, so the next proof reads as much again: {error}");
        report.note(MARK, what, Repair::TryAgain);
    }
}
