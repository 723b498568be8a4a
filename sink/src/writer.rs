//! Who holds a lane: a random id of one process's hold on it.

use std::fmt;

use rand::RngCore;

/// A writer's id, shown as 16 hex digits. It is in every record and file name, so that two
/// processes that believe to hold one lane never write to the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer(u64);

impl Writer {
    /// A new id. Each hold on a lane needs its own.
    pub fn random(rng: &mut dyn RngCore) -> Self {
        Self(rng.next_u64())
    }

    /// Reads what [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(digits) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
