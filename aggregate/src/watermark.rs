//! How far event time has come: per partition, monotone, saved with the lane.
//!
//! A partition's watermark is its largest event time less the allowed disorder; the lane's is the
//! smallest over its partitions, and never goes back. Silence moves it only on evidence that the
//! caller has (see [`IdleMove`]): this module has no clock.

use serde::{Deserialize, Serialize};

/// The watermark of a lane was moved on because all of its input was idle: a fact of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleMove {
    pub from_ns: i64,
    pub to_ns: i64,
}

/// State of one lane's event time. All times in nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watermark {
    out_of_order_ns: i64,
    /// Largest event time seen, per partition; `None` before the first reading.
    newest: Vec<Option<i64>>,
    lane: Option<i64>,
}

impl Watermark {
    pub(crate) fn new(partitions: usize, out_of_order_ns: i64) -> Self {
        assert!(partitions > 0, "a lane has at least one partition");
        Self { out_of_order_ns, newest: vec![None; partitions], lane: None }
    }

    /// The lane's watermark; `None` until every partition has had a reading.
    pub(crate) fn get(&self) -> Option<i64> {
        self.lane
    }

    pub(crate) fn partitions(&self) -> usize {
        self.newest.len()
    }

    /// Takes note of a reading's time and returns the lane's watermark.
    #[inline]
    pub(crate) fn observe(&mut self, partition: usize, time_ns: i64) -> Option<i64> {
        let newest = &mut self.newest[partition];
        if newest.is_none_or(|n| time_ns > n) {
            *newest = Some(time_ns);
            self.settle();
        }
        self.lane
    }

    /// Moves the lane's watermark to `to`, if that is forward. Returns the move.
    pub(crate) fn raise(&mut self, to: i64) -> Option<IdleMove> {
        let from = self.lane.or_else(|| self.newest.iter().flatten().min().copied())?;
        if to <= from {
            return None;
        }
        self.lane = Some(to);
        Some(IdleMove { from_ns: from, to_ns: to })
    }

    /// A restored lane may be run with another allowance for disorder: it holds from here on.
    pub(crate) fn set_out_of_order(&mut self, out_of_order_ns: i64) {
        self.out_of_order_ns = out_of_order_ns;
    }

    fn settle(&mut self) {
        let mut lowest = i64::MAX;
        for newest in &self.newest {
            match newest {
                None => return,
                Some(n) => lowest = lowest.min(*n),
            }
        }
        let candidate = lowest.saturating_sub(self.out_of_order_ns);
        self.lane = Some(self.lane.map_or(candidate, |lane| lane.max(candidate)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fm_02_the_watermark_never_goes_back(events in prop::collection::vec((0usize..3, -50i64..50), 1..200)) {
            let mut watermark = Watermark::new(3, 10);
            let mut newest = [None::<i64>; 3];
            let mut last = None;
            for (partition, time) in events {
                let now = watermark.observe(partition, time);
                newest[partition] = newest[partition].max(Some(time));
                let lowest = newest.iter().copied().collect::<Option<Vec<_>>>();
                prop_assert_eq!(now, lowest.map(|n| n.into_iter().min().expect("three") - 10));
                prop_assert!(now >= last);
                last = now;
            }
        }
    }

    #[test]
    fn a_move_by_silence_holds_until_readings_pass_it() {
        let mut watermark = Watermark::new(1, 5);
        assert_eq!(watermark.raise(100), None, "nothing was ever seen");
        assert_eq!(watermark.observe(0, 10), Some(5));
        assert_eq!(watermark.raise(20), Some(IdleMove { from_ns: 5, to_ns: 20 }));
        assert_eq!(watermark.raise(20), None);
        assert_eq!(watermark.observe(0, 12), Some(20));
        assert_eq!(watermark.observe(0, 26), Some(21));
    }
}
