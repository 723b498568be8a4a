//! A lane's hold on its ledger: taken once, then one commit after the other.
//!
//! *Guarantees*: a commit whose record is not written has not happened; one whose record is written
//! has, and is finished by whoever takes the lane next. After a failure the lane refuses to go on,
//! because it no longer knows which of the two it is.

mod commit;
mod cut;
mod ledger;
mod recover;
mod split;
mod take;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegauge_flow::{Failpoint, Partition, Store, StoreError};

pub(crate) use cut::identity_problem;
pub use cut::{Committed, Cut};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::generation::Generation;
use crate::lake::{content_problem, newest_record};
use crate::record::Record;
use crate::writer::Writer;

/// One writer's hold on a lane. Made by [`crate::Lake::take`].
pub struct Lane {
    store: Arc<dyn Store>,
    failpoint: Arc<dyn Failpoint>,
    generation: Generation,
    /// The newest record, which is ours, and the digest of its file.
    newest: Record,
    digest: Digest,
    positions: BTreeMap<Partition, i64>,
    /// The epoch of our opening record.
    opened: u64,
    seen: ledger::Seen,
    /// The checkpoint before the newest one, kept as a spare.
    spare: Option<String>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Live,
    Broken,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("newest", &self.newest).finish_non_exhaustive()
    }
}

impl Lane {
    /// The lane's name.
    pub fn name(&self) -> &str {
        &self.newest.lane
    }

    /// Who holds it.
    pub fn writer(&self) -> Writer {
        self.newest.writer
    }

    /// The epoch that the next commit will have.
    pub fn next_epoch(&self) -> u64 {
        // Refused at 2^64 - 1 when taking: see `take`.
        self.newest.epoch.saturating_add(1)
    }

    /// The next offset to read, for every partition that the lane has ever read.
    pub fn positions(&self) -> &BTreeMap<Partition, i64> {
        &self.positions
    }

    /// The watermark of the newest record, nanoseconds since 1970.
    pub fn watermark_ns(&self) -> Option<i64> {
        self.newest.watermark_ns
    }

    /// The newest record: an opening record until the first commit.
    pub fn newest(&self) -> &Record {
        &self.newest
    }

    /// The state to continue from; `None` when the lane has never saved one.
    ///
    /// # Errors [`LakeError::Damaged`] when the ledger names a checkpoint and it is gone, cut
    /// short, changed, or stands at other positions than the ledger: starting empty instead would
    /// lose readings silently. [`LakeError::Fenced`] when it is gone because another writer has the
    /// lane.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, LakeError> {
        let Some(checkpoint) = &self.newest.checkpoint else {
            return Ok(None);
        };
        let path = &checkpoint.path;
        if checkpoint.positions != self.positions {
            let what = format!("it stands at other positions than lane {}", self.name());
            return Err(LakeError::damaged(path, what));
        }
        let bytes = match self.store.get(path) {
            Err(StoreError::NotFound { .. }) => {
                self.still_ours()?;
                return Err(LakeError::damaged(path, "it is gone and the ledger names it"));
            }
            bytes => bytes?,
        };
        match content_problem(&bytes, checkpoint.bytes, &checkpoint.sha256) {
            None => Ok(Some(bytes)),
            Some(what) => Err(LakeError::damaged(path, what)),
        }
    }

    /// Whoever took the lane after us may have gone on so far that our checkpoint is out of use: then
    /// nothing is damaged.
    fn still_ours(&self) -> Result<(), LakeError> {
        let newest = newest_record(self.store.as_ref(), self.name())?;
        let Some((record, _)) = newest.filter(|(record, _)| record.epoch >= self.next_epoch())
        else {
            return Ok(());
        };
        let epoch = record.epoch;
        let (lane, by) = (record.lane, record.writer.to_string());
        Err(LakeError::Fenced { lane, epoch, by })
    }
}

#[cfg(test)]
mod tests;
