//! Readings in, window rows out: the query planned on DataFusion, windows, watermark, checkpoint.
//!
//! **Invariant:** synchronous and pure: no I/O, no clock, no tokio at run time. The same readings in the
//! same order give the same rows, whatever the batches and however often a checkpoint was taken.

mod checkpoint;
mod error;
mod policy;
mod query;
mod spill;
mod watermark;
mod windows;

pub use checkpoint::Frozen;
pub use error::{AggregateError, PlanError};
pub use policy::{Action, LateReason, Rule, Scope, TimeBy, TimePolicy};
pub use query::{Query, WindowSpec};
pub use spill::{InMemory, Spill, SpillFile, SpillWriter};
pub use watermark::IdleMove;
pub use windows::{Closing, Pushed, Refusal, WindowSettings, Windows};
