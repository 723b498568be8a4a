//! Context features: what a row looks like beside the sensor's recent rows.
//!
//! A feature is a column of the query or one of [`FUNCTIONS`] of a column, written as in
//! `rolling_mean(mean, 12)`. That text is the feature's name in models, so a model of other context
//! features is refused like one of other columns.
//!
//! # What they see
//! Rows, not time: the rows of a sensor before and after a gap are neighbours. Rows count whose
//! columns are finite; others leave no trace. A row that comes again (a revision) takes the place
//! of what it replaces, and is looked at beside the rows up to it; rows after it keep what they had.
//! What cannot be told exactly any more is not told: such a row has invalid features.

mod expression;
mod history;
mod saved;
mod stats;

pub(crate) use expression::{Expression, canonical, look_back, parse};
pub use expression::{FUNCTIONS, expand};
pub(crate) use history::{Fit, Histories, Needs};
pub use saved::Remembered;

#[cfg(test)]
mod tests;
