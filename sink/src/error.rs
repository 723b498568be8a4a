//! What can go wrong in a lake, by what the caller does about it.

use ::parquet::errors::ParquetError;
use thiserror::Error;
use tidegauge_flow::{Interrupted, StoreError};

/// What went wrong, by what the caller does about it.
#[derive(Debug, Error)]
pub enum LakeError {
    /// Another writer has taken the lane: let go, or take it again when the partition is still
    /// ours.
    #[error(
        "lane {lane} was taken by writer {by} at epoch {epoch}; take it again if it is still yours"
    )]
    Fenced {
        /// The lane.
        lane: String,
        /// The epoch that the other writer wrote.
        epoch: u64,
        /// The other writer.
        by: String,
    },
    /// Several processes keep taking the lane from each other.
    #[error(
        "lane {lane} was taken by another writer at each of {tries} tries; is it assigned twice?"
    )]
    Contended {
        /// The lane.
        lane: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The lane has failed or was fenced before: drop it and take it again.
    #[error("lane {lane} has failed at an earlier commit; take it again")]
    Broken {
        /// The lane.
        lane: String,
    },
    /// The configuration does not fit the lake.
    #[error(
        "{url} was made by another pipeline: {differences}; use another [lake] url \
         (a new generation in the same lake is not supported yet)"
    )]
    OtherPipeline {
        /// The lake.
        url: String,
        /// What differs, as `name: old -> new`, separated by `; `.
        differences: String,
    },
    /// There is no lake here.
    #[error("{url} is not a lake: there is nothing under _tidegauge/generations")]
    NotALake {
        /// The place.
        url: String,
    },
    /// An object does not hold what was written: a person must act.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The object.
        path: String,
        /// What does not fit.
        what: String,
    },
    /// An object was written by a newer version of tidegauge.
    #[error(
        "{path} has format {found} and this version reads format {known}; use a newer tidegauge"
    )]
    UnknownFormat {
        /// The object.
        path: String,
        /// Its format.
        found: u64,
        /// The newest format that this version reads.
        known: u32,
    },
    /// The caller asked for something that would break a promise of the lake. Nothing was written.
    #[error("refused for lane {lane}: {what}")]
    Refused {
        /// The lane.
        lane: String,
        /// What was asked and what would be right.
        what: String,
    },
    /// A label cannot be made.
    #[error("the label is not made: {what}")]
    Label {
        /// What is wrong with it, or what to do.
        what: String,
    },
    /// Rows could not be encoded, or a file is no Parquet file.
    #[error("{path} cannot be encoded or read as parquet: {source}")]
    Parquet {
        /// The file.
        path: String,
        /// The reason.
        source: ParquetError,
    },
    /// The store failed; worth another try after taking the lane again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A test stopped us here.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl LakeError {
    pub(crate) fn damaged(path: &str, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn refused(lane: &str, what: impl Into<String>) -> Self {
        Self::Refused { lane: lane.to_owned(), what: what.into() }
    }
}
