//! What a member asks of whoever keeps the lanes.

use super::observer::Origins;

/// What an owner of lanes may fail with.
pub type OwnerError = Box<dyn std::error::Error + Send + Sync>;

/// Who keeps the lanes and their positions. Called on the polling thread, between two batches.
pub trait LaneOwner {
    /// These partitions are ours now: where to read each from, in the same order. For one without a
    /// ledger that is [`Origins::offset`].
    ///
    /// # Errors
    /// The poll ends with them, nothing is read yet, and the next poll asks again for the same partitions.
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &Origins<'_>,
    ) -> Result<Vec<i64>, OwnerError>;

    /// These partitions go: commit what is in hand unless they are lost, and let go of them. Returns the
    /// next offsets to tell the broker, for lag tools.
    ///
    /// # Errors
    /// The partitions are given up all the same, then the poll ends with them.
    fn revoked(&mut self, partitions: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError>;
}

/// How partitions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The group waits for us: nobody reads them yet.
    Orderly,
    /// The group has given us up: someone else may read them already.
    Lost,
}
