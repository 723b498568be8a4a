//! Predictions to the lake: the store, Parquet files, the ledger, recovery, and the proof.
//!
//! One commit of a lane is one atomic write of a ledger record that names everything of that epoch:
//! positions, files, checkpoint, model sets, counters. Before the record nothing has happened;
//! after it all of it has, and whoever takes the lane next finishes what the writer could not.
//!
//! *Guarantees*
//! - A file under `predictions/`, `events/`, `late/` or `rejects/` that a [`Lane`] put there is named by a
//!   record.
//! - A record is never written over; of two writers of one lane at most one can commit an epoch.
//! - A damaged record or checkpoint is refused by name, never read as an empty one.
//!
//! *Not here*: clocks (passed in; but for the patience of requests to a bucket), randomness (passed in;
//! but for the names of probes and the jitter of retries), the broker's offsets.
//!
//! **Invariant:** depends on no other stage; whatever it knows about the lake it knows through
//! [`tidegauge_flow::Store`].

mod alerts;
mod columns;
mod digest;
mod error;
mod format;
mod generation;
mod intent;
mod labels;
mod lake;
mod lane;
mod local;
mod object;
mod open;
pub mod parquet;
mod paths;
mod probe;
mod record;
mod summary;
mod upkeep;
mod verify;
mod view;
mod writer;

pub use alerts::{Alerts, Cursor, DeadLetter, Progress};
pub use digest::Digest;
pub use error::LakeError;
pub use generation::{Column, Generation, Identity, LaneMode};
pub use labels::{LABELS_MAX, Label, Labels, Meaning, NOTE_MAX};
pub use lake::{Lake, Reader};
pub use lane::{Committed, Cut, Lane};
pub use local::LocalStore;
pub use object::{
    BadStorage, FileAccess, ObjectStore, Patience, Storage, check_object_url, is_object_url,
};
pub use open::{Batches, OpenFile};
pub use probe::probe;
pub use record::{
    CheckpointRef, ClosedBy, Counters, FileRef, IdleMove, Jump, JumpReason, Kind, Record, Table,
};
pub use summary::{Expired, LaneSummary, Level, LiveFile, Replaced, Summary};
pub use upkeep::{Mode, Outcome, Upkeep};
pub use verify::{Options, Problem, Repair, Report, Scope, verify, verify_with};
pub use view::View;
pub use writer::Writer;

#[cfg(test)]
mod testing;
