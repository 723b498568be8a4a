//! Where in the input a lane stands.

use std::fmt;
use std::sync::Arc;

/// One ordered input: a partition of a topic, or a file (`number` 0).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's name, or the file's path as the user gave it.
    pub input: Arc<str>,
    pub number: i32,
}

impl Partition {
    pub fn new(input: impl Into<Arc<str>>, number: i32) -> Self {
        Self { input: input.into(), number }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.input, self.number)
    }
}

/// The half-open interval [from, to) of offsets that an epoch consumed. Offsets inside may be missing
/// (transactions, compaction, bytes of a file between two records).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub to: i64,
}

/// The next offset to read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub partition: Partition,
    pub next: i64,
}
