//! How far event time has come: per partition, monotone, saved with the lane.
//!
//! A partition's watermark is its largest event time less the allowed disorder; the lane's is the
//! smallest over its partitions, and never goes back. A partition that is silent on evidence is left
//! out until it speaks again. Silence of all moves the lane on only on evidence that the caller has
//! (see [`IdleMove`]): this module has no clock.

/// The watermark of a lane was moved on because input was idle: a fact of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleMove {
    pub from_ns: i64,
    pub to_ns: i64,
}

/// One ordered input of a lane. All times in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionClock {
    /// The partition's number, by which it is known again after a restart.
    pub number: i32,
    /// Largest event time seen; `None` before the first reading.
    pub newest: Option<i64>,
    /// Proven silent: it holds nobody back. Evidence does not outlive the process.
    idle: bool,
}

/// State of one lane's event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watermark {
    out_of_order_ns: i64,
    partitions: Vec<PartitionClock>,
    lane: Option<i64>,
    /// Largest time of the partition that holds the lane back; `i64::MIN` while one has no reading.
    lowest: i64,
}

impl Watermark {
    /// Event time of a lane whose partitions have these numbers.
    pub(crate) fn new(numbers: impl IntoIterator<Item = i32>, out_of_order_ns: i64) -> Self {
        let mut new =
            Self { out_of_order_ns, partitions: Vec::new(), lane: None, lowest: i64::MIN };
        for number in numbers {
            new.partition(number);
        }
        new
    }

    /// As a checkpoint saved it: (number, newest) of each partition, and the lane's watermark.
    pub(crate) fn restore(
        partitions: impl IntoIterator<Item = (i32, Option<i64>)>,
        lane: Option<i64>,
        out_of_order_ns: i64,
    ) -> Self {
        let clock = |(number, newest)| PartitionClock { number, newest, idle: false };
        let partitions: Vec<_> = partitions.into_iter().map(clock).collect();
        let mut restored = Self { out_of_order_ns, partitions, lane, lowest: i64::MIN };
        restored.lowest = restored.holding_back().unwrap_or(i64::MIN);
        restored
    }

    /// The lane's watermark; `None` until every partition has had a reading or is silent.
    pub(crate) fn get(&self) -> Option<i64> {
        self.lane
    }

    pub(crate) fn partitions(&self) -> &[PartitionClock] {
        &self.partitions
    }

    /// The index of the partition with this number. A new one holds the lane where it is until it
    /// has a reading or is proven silent.
    pub(crate) fn partition(&mut self, number: i32) -> usize {
        if let Some(index) = self.partitions.iter().position(|p| p.number == number) {
            return index;
        }
        self.partitions.push(PartitionClock { number, newest: None, idle: false });
        self.lowest = i64::MIN;
        self.partitions.len() - 1
    }

    /// The largest time of the partition.
    #[inline]
    pub(crate) fn newest(&self, partition: usize) -> Option<i64> {
        self.partitions[partition].newest
    }

    /// The partition's own watermark.
    #[inline]
    pub(crate) fn of(&self, partition: usize) -> Option<i64> {
        self.partitions[partition].newest.map(|n| n.saturating_sub(self.out_of_order_ns))
    }

    /// How far partitions may be out of order, from here on.
    pub(crate) fn set_out_of_order(&mut self, out_of_order_ns: i64) {
        self.out_of_order_ns = out_of_order_ns;
    }

    /// Takes note of a reading's time and returns the lane's watermark.
    #[inline]
    pub(crate) fn observe(&mut self, partition: usize, time_ns: i64) -> Option<i64> {
        let clock = &mut self.partitions[partition];
        let before = clock.newest;
        let woken = std::mem::take(&mut clock.idle);
        if before.is_none_or(|newest| time_ns > newest) {
            clock.newest = Some(time_ns);
            // Only the partition that holds the lane back can let it go on.
            if woken || before.is_none_or(|newest| newest <= self.lowest) {
                self.settle();
            }
        } else if woken {
            self.settle();
        }
        self.lane
    }

    /// Notes on fresh evidence that a partition is silent, or that it no longer is. Returns the move
    /// of the lane that comes of it.
    pub(crate) fn set_idle(&mut self, partition: usize, idle: bool) -> Option<IdleMove> {
        let before = self.lane;
        if std::mem::replace(&mut self.partitions[partition].idle, idle) != idle {
            self.settle();
        }
        match (before, self.lane) {
            (Some(from_ns), Some(to_ns)) if to_ns > from_ns => Some(IdleMove { from_ns, to_ns }),
            _ => None,
        }
    }

    /// Moves the lane's watermark to `to`, if that is forward. Returns the move.
    pub(crate) fn raise(&mut self, to: i64) -> Option<IdleMove> {
        let from = self.lane.or_else(|| self.partitions.iter().filter_map(|p| p.newest).min())?;
        if to <= from {
            return None;
        }
        self.lane = Some(to);
        Some(IdleMove { from_ns: from, to_ns: to })
    }

    fn settle(&mut self) {
        let lowest = self.holding_back();
        self.lowest = lowest.unwrap_or(i64::MIN);
        if let Some(lowest) = lowest {
            let candidate = lowest.saturating_sub(self.out_of_order_ns);
            self.lane = Some(self.lane.map_or(candidate, |lane| lane.max(candidate)));
        }
    }

    /// The smallest newest time of those that are not silent. When all are, nobody holds anybody
    /// back: the largest, whatever the order in which they fell silent.
    fn holding_back(&self) -> Option<i64> {
        let awake = self.partitions.iter().filter(|p| !p.idle).map(|p| p.newest);
        match awake.min() {
            Some(lowest) => lowest,
            None => self.partitions.iter().filter_map(|p| p.newest).max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fm_02_the_watermark_never_goes_back(events in prop::collection::vec((0usize..3, -50i64..50), 1..200)) {
            let mut watermark = Watermark::new(0..3, 10);
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
        let mut watermark = Watermark::new(0..1, 5);
        assert_eq!(watermark.raise(100), None, "nothing was ever seen");
        assert_eq!(watermark.observe(0, 10), Some(5));
        assert_eq!(watermark.raise(20), Some(IdleMove { from_ns: 5, to_ns: 20 }));
        assert_eq!(watermark.raise(20), None);
        assert_eq!(watermark.observe(0, 12), Some(20));
        assert_eq!(watermark.observe(0, 26), Some(21));
    }

    /// One step of a lane's life: a reading, evidence of silence or of its end, a new partition.
    #[derive(Debug, Clone)]
    enum Step {
        Reading(usize, i64),
        Idle(usize, bool),
        Appears,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0usize..4, -50i64..50).prop_map(|(p, t)| Step::Reading(p, t)),
            2 => (0usize..4, any::<bool>()).prop_map(|(p, idle)| Step::Idle(p, idle)),
            1 => Just(Step::Appears),
        ]
    }

    proptest! {
        #[test]
        fn fm_02_04_37_silent_and_new_partitions_against_a_naive_lane(
            steps in prop::collection::vec(step(), 1..200),
            restart_at in 0usize..200,
        ) {
            let mut watermark = Watermark::new([0], 10);
            let mut naive: Vec<(Option<i64>, bool)> = vec![(None, false)];
            let mut lane = None;
            for (index, step) in steps.into_iter().enumerate() {
                if index == restart_at {
                    let saved: Vec<_> =
                        watermark.partitions().iter().map(|p| (p.number, p.newest)).collect();
                    watermark = Watermark::restore(saved, watermark.get(), 10);
                    naive.iter_mut().for_each(|(_, idle)| *idle = false);
                }
                match step {
                    Step::Reading(p, time) => {
                        let p = p % naive.len();
                        naive[p] = (naive[p].0.max(Some(time)), false);
                        watermark.observe(p, time);
                    }
                    Step::Idle(p, idle) => {
                        let p = p % naive.len();
                        naive[p].1 = idle;
                        let before = watermark.get();
                        let moved = watermark.set_idle(p, idle);
                        let told = moved.map_or(before, |m| Some(m.to_ns));
                        prop_assert!(before.is_none() || told == watermark.get());
                    }
                    Step::Appears => {
                        let number = naive.len() as i32;
                        prop_assert_eq!(watermark.partition(number), naive.len());
                        prop_assert_eq!(watermark.partition(number), naive.len(), "it is known now");
                        naive.push((None, false));
                    }
                }
                let awake: Vec<_> = naive.iter().filter(|(_, idle)| !idle).collect();
                let holds = match awake.is_empty() {
                    true => naive.iter().filter_map(|(newest, _)| *newest).max(),
                    false => awake.iter().map(|(newest, _)| *newest).min().flatten(),
                };
                lane = lane.max(holds.map(|newest| newest - 10));
                prop_assert_eq!(watermark.get(), lane);
            }
        }
    }

    #[test]
    fn fm_04_a_silent_partition_holds_nobody_back_and_comes_back_without_turning_time() {
        let mut watermark = Watermark::new([0, 1], 0);
        watermark.observe(0, 100);
        assert_eq!(watermark.get(), None, "the second partition has said nothing");
        assert_eq!(watermark.set_idle(1, true), None);
        assert_eq!(watermark.get(), Some(100));
        assert_eq!(watermark.observe(0, 200), Some(200));
        assert_eq!(watermark.observe(1, 50), Some(200), "monotone");
        assert_eq!(watermark.observe(0, 300), Some(200), "held back again");
        assert_eq!(
            watermark.set_idle(1, true),
            Some(IdleMove { from_ns: 200, to_ns: 300 }),
            "the move is a fact"
        );
    }
}
