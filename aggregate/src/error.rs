//! What can go wrong: in planning (the user's query) and while running (a bug or a foreign checkpoint).

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use thiserror::Error;

/// A query that can't be run, with the place in its text where that is known.
#[derive(Debug, Error)]
pub enum PlanError {
    /// DataFusion could not parse or resolve it.
    #[error("the query is not valid: {0}")]
    Invalid(String),
    /// Valid SQL that windows can't run.
    #[error("{what}{place} is not supported: {advice}")]
    Unsupported {
        what: String,
        /// ` at line 1, column 8`, or empty.
        place: String,
        advice: &'static str,
    },
    /// A window call with arguments that make no window.
    #[error("the window call {call} is not valid: {why}")]
    Window { call: String, why: String },
    /// A column name that tidegauge gives itself.
    #[error("{name:?} is a column that tidegauge adds: give the expression another name with AS")]
    Reserved { name: String },
}

impl From<DataFusionError> for PlanError {
    fn from(error: DataFusionError) -> Self {
        Self::Invalid(error.strip_backtrace())
    }
}

/// Running windows failed.
#[derive(Debug, Error)]
pub enum AggregateError {
    /// An expression or aggregate of the query failed on the data.
    #[error("the query failed on the data: {0}")]
    Query(#[from] DataFusionError),
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// More windows than the limit are open or held at once.
    #[error(
        "{open} windows are open, the limit is {limit}: lower out_of_order or allowed_lateness, or \
         raise open_windows_max"
    )]
    TooManyWindows { open: usize, limit: usize },
    /// A pane could not be put into a file to make room.
    #[error("cannot spill windows to {place}: {source}")]
    Spilling { place: String, source: std::io::Error },
    /// What was put into a file can't be read.
    #[error("cannot read spilled windows: {0}")]
    Spilled(std::io::Error),
    /// A checkpoint that this query, version or build can't continue.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(String),
}
