//! Bytes in: Kafka, files and the simulator; decoding into readings; rejects.
//!
//! **Invariant:** decoding is pure: no clock, no I/O. `rdkafka` appears in this crate only. A message
//! becomes exactly one reading or exactly one reject, and either way the position moves past it.

pub mod message;
pub mod reject;

pub use message::Message;
pub use reject::{Reason, Reject, Rejects};
