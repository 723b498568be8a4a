//! What a writer is about to write under final names, on stores that cannot rename.
//!
//! *Why*: there, files lie under their final names before their record, and the dates in these
//! names are those of the rows. Without a list, whoever takes the lane after a crash would have to
//! look through the whole lake for them.

use tidegauge_flow::{Store, StoreError};

use crate::error::LakeError;
use crate::format;
use crate::paths;
use crate::writer::Writer;

/// How long an intent is kept, in microseconds. While its writer may still be alive, files may
/// appear that were looked for in vain a moment ago; each taking of the lane looks again.
const KEPT_US: i64 = 3_600_000_000;

/// The files of one epoch of one writer. The next epoch of the same writer replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub epoch: u64,
    /// Final paths.
    pub files: Vec<String>,
    /// Microseconds since 1970.
    pub made_at_us: i64,
}

impl Intent {
    /// Writes it. To be called before the first of the files is written.
    pub fn put(&self, store: &dyn Store, lane: &str, writer: Writer) -> Result<(), LakeError> {
        store.put(&paths::intent_path(lane, writer), &format::intent::encode(self))?;
        Ok(())
    }

    /// Reads one; `None` when it is gone meanwhile.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when it is not as it was written.
    pub fn get(store: &dyn Store, path: &str) -> Result<Option<Self>, LakeError> {
        match store.get(path) {
            Ok(bytes) => Ok(Some(format::intent::decode(path, &bytes)?.intact(path)?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether its writer must be gone.
    pub fn is_old(&self, now_us: i64) -> bool {
        now_us.saturating_sub(self.made_at_us) > KEPT_US
    }
}
