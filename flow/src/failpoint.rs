//! Named places where a test may fail or kill the process.

use thiserror::Error;

/// A step of taking a lane, of committing an epoch or of maintaining a lake, named by what is about to happen or has just
/// happened. The order is the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    BeforeOpening,
    AfterOpening,
    BeforeRecovery,
    MidRecovery,
    AfterRecovery,
    BeforeStaging,
    MidStaging,
    AfterStaging,
    AfterCheckpoint,
    BeforeLedger,
    /// The record is written and the answer is lost.
    LedgerAmbiguous,
    AfterLedger,
    MidPublish,
    AfterPublish,
    BeforeOffsets,
    BeforeCompaction,
    /// One file of several is written.
    MidCompaction,
    BeforeSummary,
    /// The summary is written and the answer is lost.
    SummaryAmbiguous,
    AfterSummary,
    MidCompactPublish,
    BeforeDelete,
    MidDelete,
}

impl Place {
    /// The steps of a lane.
    pub const ALL: [Self; 15] = [
        Self::BeforeOpening,
        Self::AfterOpening,
        Self::BeforeRecovery,
        Self::MidRecovery,
        Self::AfterRecovery,
        Self::BeforeStaging,
        Self::MidStaging,
        Self::AfterStaging,
        Self::AfterCheckpoint,
        Self::BeforeLedger,
        Self::LedgerAmbiguous,
        Self::AfterLedger,
        Self::MidPublish,
        Self::AfterPublish,
        Self::BeforeOffsets,
    ];

    /// The steps of maintenance.
    pub const UPKEEP: [Self; 8] = [
        Self::BeforeCompaction,
        Self::MidCompaction,
        Self::BeforeSummary,
        Self::SummaryAmbiguous,
        Self::AfterSummary,
        Self::MidCompactPublish,
        Self::BeforeDelete,
        Self::MidDelete,
    ];
}

/// A failpoint fired: the step did not happen and the process must act as if it had died here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("interrupted by a failpoint at {0:?}")]
pub struct Interrupted(pub Place);

/// Decides at each place whether to go on.
pub trait Failpoint: Send + Sync {
    /// # Errors
    /// When the test wants the caller to stop here.
    fn reach(&self, place: Place) -> Result<(), Interrupted>;
}

/// The failpoint of production: never fires.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFailpoint;

impl Failpoint for NoFailpoint {
    fn reach(&self, _: Place) -> Result<(), Interrupted> {
        Ok(())
    }
}
