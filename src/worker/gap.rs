//! Whether what a lane would read next is still to be had.

use std::fmt;

use tidegauge_ingest::kafka::KafkaError;
use tidegauge_sink::JumpReason;

/// The broker does not have what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// `topic[partition]`.
    pub partition: String,
    /// Where the ledger stands.
    pub from: i64,
    /// Where reading can go on.
    pub to: i64,
    pub why: JumpReason,
}

impl Gap {
    /// Offsets that are known to be lost: of a topic that is gone, nobody can say how many there were.
    pub fn skipped(&self) -> u64 {
        match self.why {
            JumpReason::Retention => (self.to - self.from).unsigned_abs(),
            JumpReason::Recreated => 0,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, from, to, why } = self;
        match why {
            JumpReason::Retention => write!(
                f,
                "{partition}: the lake stands at offset {from} and the broker keeps only what is at \
                 {to} or later: its retention overtook us by {} messages",
                self.skipped()
            ),
            JumpReason::Recreated => write!(
                f,
                "{partition}: the topic was deleted and made anew: the lake stands at offset {from} of \
                 the one before, and the new one begins at {to}"
            ),
        }
    }
}

/// Two identities of a topic: the ledger's and the broker's. Unknown ones tell nothing.
pub(super) fn is_another(known: Option<&str>, found: Option<&str>) -> bool {
    matches!((known, found), (Some(known), Some(found)) if known != found)
}

/// Looks for a gap at a position of the ledger.
///
/// # Errors
/// When the position lies beyond the end of a topic that is the same: a broker that comes back may say
/// so for a while; if it stays so, the broker has lost messages that we read.
pub(super) fn find(
    partition: String,
    position: i64,
    bounds: (i64, i64),
    known: Option<&str>,
    found: Option<&str>,
) -> Result<Option<Gap>, KafkaError> {
    let (low, end) = bounds;
    let gap = |why| Ok(Some(Gap { partition: partition.clone(), from: position, to: low, why }));
    if is_another(known, found) {
        return gap(JumpReason::Recreated);
    }
    if position < low {
        return gap(JumpReason::Retention);
    }
    if position > end {
        if known.is_none() || found.is_none() {
            return gap(JumpReason::Recreated);
        }
        let reason = format!(
            "the lake stands at offset {position} and the broker ends at {end}, though the topic is \
             the same: it has lost messages, or is not yet up to date"
        );
        return Err(KafkaError::Transient { action: format!("read {partition}"), reason });
    }
    Ok(None)
}
