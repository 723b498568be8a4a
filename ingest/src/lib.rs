//! Bytes in: Kafka, files and the simulator; decoding into readings; rejects.
//!
//! **Invariant:** decoding is pure: no clock, no I/O. `rdkafka` appears in this crate only. A message
//! becomes exactly one reading or exactly one reject, and either way the position moves past it.

pub mod decode;
pub mod error;
pub mod files;
pub mod kafka;
pub mod mapping;
pub mod message;
pub mod reject;
pub mod replay;
pub mod simulate;
pub mod source;

pub use decode::{CsvHeader, Decoded, Decoder, Format};
pub use error::IngestError;
pub use files::Files;
pub use mapping::{EventMapping, Limits, TimeFormat};
pub use message::Message;
pub use reject::{Reason, Reject, Rejects};
pub use source::{Batch, Begin, End, Ends, LaneOwner, Leave, Origins, OwnerError, Revoked, Source};
