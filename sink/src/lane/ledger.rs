//! Writing one ledger record so that it is known whether it is there.

use tidegauge_flow::{Store, StoreError};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::lake::put_settled;
use crate::paths;
use crate::record::Record;

/// Who wrote the epoch.
pub(super) enum Written {
    Ours(Digest),
    Theirs { by: String },
}

/// Puts the record if its epoch is not there yet.
///
/// When the record is there, it is ours if its bytes are: they hold our writer's id.
pub(super) fn put(store: &dyn Store, record: &Record) -> Result<Written, LakeError> {
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
    Ok(Written::Theirs { by: other.writer.to_string() })
}
