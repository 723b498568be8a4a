//! Writing one ledger record so that it is known whether it is there.

use tidegauge_flow::{Store, StoreError};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::lake::put_settled;
use crate::paths;
use crate::record::Record;
use crate::summary::LaneSummary;
use crate::view;

/// Who wrote the epoch.
pub(super) enum Written {
    Ours(Digest),
    /// Another writer has the lane. `counts`: our record is in the chain nevertheless.
    Theirs {
        by: String,
        counts: bool,
    },
}

/// The newest summary that a writer has looked at; it holds none of the writer's next epochs.
pub(super) type Seen = Option<u64>;

/// Puts the record if its epoch was never written.
///
/// *Why a look at the summaries afterwards*: records that a summary holds may be deleted, and then an
/// epoch that another writer committed long ago is absent again. A writer that was stopped for so long
/// could write it a second time. The summary was there before the deletion, so a look after the put
/// always sees it.
pub(super) fn put(
    store: &dyn Store,
    record: &Record,
    seen: &mut Seen,
) -> Result<Written, LakeError> {
    let digest = match put_once(store, record)? {
        Written::Ours(digest) => digest,
        theirs => return Ok(theirs),
    };
    let newest = view::newest_number(store)?;
    if newest == *seen {
        return Ok(Written::Ours(digest));
    }
    if let Some((summary, _)) = view::newest_summary(store)? {
        if let Some(lane) = summary.lanes.get(&record.lane).filter(|lane| lane.to >= record.epoch)
            && (lane.to, lane.digest) != (record.epoch, digest)
        {
            return overtaken(store, record, digest, lane);
        }
        *seen = Some(summary.number);
    }
    Ok(Written::Ours(digest))
}

/// Others have gone on past our epoch. If they followed our record, it counts, whoever has the lane now;
/// otherwise it is a stray in the place of a record that was deleted, and goes. Records are deleted
/// oldest first: while a follower is there, so is what it followed.
fn overtaken(
    store: &dyn Store,
    record: &Record,
    digest: Digest,
    lane: &LaneSummary,
) -> Result<Written, LakeError> {
    let by = lane.writer.to_string();
    let next = paths::record_path(&record.lane, record.epoch.saturating_add(1));
    let followed = match store.get(&next) {
        Ok(bytes) => format::record::decode(&next, &bytes)?.intact(&next)?.previous == Some(digest),
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if !followed {
        store.delete(&paths::record_path(&record.lane, record.epoch))?;
    }
    Ok(Written::Theirs { by, counts: followed })
}

/// Puts the record if it is absent. When it is there, it is ours if its bytes are: they hold our
/// writer's id.
fn put_once(store: &dyn Store, record: &Record) -> Result<Written, LakeError> {
    let path = paths::record_path(&record.lane, record.epoch);
    let bytes = format::record::encode(record);
    match put_settled(store, &path, &bytes) {
        Ok(()) => return Ok(Written::Ours(Digest::of(&bytes))),
        Err(StoreError::Exists { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    let found = store.get(&path)?;
    if found == bytes {
        return Ok(Written::Ours(Digest::of(&bytes)));
    }
    let other = format::record::decode(&path, &found)?.intact(&path)?;
    Ok(Written::Theirs { by: other.writer.to_string(), counts: false })
}
