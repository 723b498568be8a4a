//! What to do about a finding.

use std::fmt;

/// The kinds of findings, by what a person does about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// A data file is gone or damaged.
    RestoreFile,
    /// A record, summary or generation is gone or damaged.
    RestoreLedger,
    /// The checkpoint in force is gone or damaged.
    RestoreCheckpoint,
    /// A file that nothing names.
    DeleteOrphan,
    /// The input gives one sensor to two lanes.
    KeyEvents,
    /// The ledger contradicts itself or its files.
    Report,
    /// A newer version wrote it.
    Upgrade,
    /// The store did not answer.
    TryAgain,
    /// A commit or a maintenance run has not been finished.
    Finish,
    /// Nothing needs to be done.
    Nothing,
}

impl Repair {
    /// A word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RestoreFile => "restore_file",
            Self::RestoreLedger => "restore_ledger",
            Self::RestoreCheckpoint => "restore_checkpoint",
            Self::DeleteOrphan => "delete_orphan",
            Self::KeyEvents => "key_events",
            Self::Report => "report",
            Self::Upgrade => "upgrade",
            Self::TryAgain => "try_again",
            Self::Finish => "finish",
            Self::Nothing => "nothing",
        }
    }

    /// A sentence for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::RestoreFile => {
                "restore the file from a backup; without one its rows are lost here, and reading the \
                 record's offsets into a new lake makes them again"
            }
            Self::RestoreLedger => {
                "stop the pipeline and restore _tidegauge/ledger and _tidegauge/summaries from a backup; \
                 without one read the input into a new lake"
            }
            Self::RestoreCheckpoint => {
                "restore the file from a backup; without it the lane cannot go on, and its input has to be \
                 read into a new lake"
            }
            Self::DeleteOrphan => {
                "no reader of tidegauge sees it, but other tools do: move it out of the lake"
            }
            Self::KeyEvents => {
                "key the events by sensor where they are produced, or read the topic into a new lake with \
                 [source] lanes = \"topic\""
            }
            Self::Report => {
                "do not edit the lake; keep a copy and report this, and read the input into a new lake"
            }
            Self::Upgrade => "use the version of tidegauge that wrote it, or a newer one",
            Self::TryAgain => "see that the store can be read, and verify again",
            Self::Finish => "run the pipeline, or tidegauge compact: it finishes what was begun",
            Self::Nothing => "nothing needs to be done",
        }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice())
    }
}
