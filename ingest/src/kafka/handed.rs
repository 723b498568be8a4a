//! How far each held partition was handed out: our own positions, which messages are checked against.
//!
//! *Why our own*: around a cooperative rebalance librdkafka stops the partitions that stay, on a thread of
//! its own, and goes on later from the position that it noted then. It notes what a batch holds after
//! it has filled it (`rd_kafka_q_serve_rkmessages`, 2.12), so a stop in between is followed by the same
//! batch again. After each rebalance the consumer therefore sets what it keeps back to these positions,
//! and what comes from below them is dropped here.

use crate::source::Begin;

#[cfg(test)]
mod tests;

/// The next offset of each held partition.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// By partition, ascending.
    marks: Vec<Mark>,
    /// Where the last message's partition was found: neighbours mostly share it.
    recent: usize,
}

#[derive(Debug)]
struct Mark {
    partition: i32,
    next: i64,
    /// Whether anything came since the partition was begun.
    moved: bool,
    /// Nothing is handed out until the partition is begun again.
    held: bool,
}

impl Handed {
    /// A partition is read from this offset on.
    pub(crate) fn begin(&mut self, partition: i32, offset: i64) {
        self.put(Mark { partition, next: offset, moved: false, held: false });
    }

    /// A partition is ours, and nothing of it is handed out before it is begun (again).
    pub(crate) fn hold(&mut self, partition: i32) {
        self.put(Mark { partition, next: 0, moved: false, held: true });
    }

    /// librdkafka reported an error in place of a message, and stands behind it now: nothing of the
    /// partition is handed out, and no position of it is told, before it is begun again.
    pub(crate) fn halt(&mut self, partition: i32) {
        if self.find(partition).is_ok() {
            self.hold(partition);
        }
    }

    fn put(&mut self, mark: Mark) {
        match self.find(mark.partition) {
            Ok(at) => self.marks[at] = mark,
            Err(at) => self.marks.insert(at, mark),
        }
    }

    /// These partitions are read no more.
    pub(crate) fn end(&mut self, partitions: &[i32]) {
        self.marks.retain(|mark| !partitions.contains(&mark.partition));
    }

    /// No partition is read any more.
    pub(crate) fn clear(&mut self) {
        self.marks.clear();
    }

    /// Whether a message is new and of a held partition; if so, it counts as handed out.
    pub(crate) fn admit(&mut self, partition: i32, offset: i64) -> bool {
        if self.marks.get(self.recent).is_none_or(|mark| mark.partition != partition) {
            let Ok(at) = self.find(partition) else { return false };
            self.recent = at;
        }
        let mark = &mut self.marks[self.recent];
        if offset < mark.next || mark.held {
            return false;
        }
        (mark.next, mark.moved) = (offset + 1, true);
        true
    }

    /// Where each held partition goes on.
    pub(crate) fn begins(&self) -> impl Iterator<Item = (i32, Begin)> {
        self.marks.iter().map(|mark| match mark.held {
            true => (mark.partition, Begin::Later),
            false => (mark.partition, Begin::At(mark.next)),
        })
    }

    /// Whether the partition is read.
    pub(crate) fn reads(&self, partition: i32) -> bool {
        self.find(partition).is_ok_and(|at| !self.marks[at].held)
    }

    /// The next offset of each partition that something came of. What nothing came of needs no setting
    /// back: librdkafka has no position of its own there, and begins where it was told.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (i32, i64)> {
        self.marks.iter().filter(|mark| mark.moved).map(|mark| (mark.partition, mark.next))
    }

    fn find(&self, partition: i32) -> Result<usize, usize> {
        self.marks.binary_search_by_key(&partition, |mark| mark.partition)
    }
}
