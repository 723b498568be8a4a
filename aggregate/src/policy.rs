//! The time policy: which time a reading counts for, or why it does not.
//!
//! Three rules, in this order. *Early*: an event more than so much after its arrival. *Late*: an event
//! more than so much before its arrival. *Out of order*: an event behind the watermark. Each adjusts
//! the time to its bound or drops the reading; an event exactly on a bound keeps its time. Adjusting
//! changes the window that a reading counts in, never the reading.
//!
//! *Guarantees*: pure, and decided reading by reading: the verdict is a function of the readings before
//! this one and of their arrivals, not of batches or clocks.
//!
//! Source of the rules: Azure Stream Analytics, "Understand time handling" and "Time skew policies".

use tidegauge_flow::SensorId;

use crate::watermark::{IdleMove, PartitionClock, Watermark};

/// Which clock gives a reading its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeBy {
    /// The event's own. The rules apply.
    #[default]
    Event,
    /// The arrival of its message. No rule applies.
    Arrival,
}

/// What a rule does with a reading that breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Adjust,
    Drop,
}

/// A rule with its tolerance in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub tolerance_ns: i64,
    pub action: Action,
}

/// Whose watermark judges what is out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// That of the reading's partition.
    #[default]
    Stream,
    /// The sensor's own: sensors may be apart as far as `late` allows. The lane's watermark is then its
    /// newest arrival less the tolerance of `late`, because older times no longer come.
    Sensor,
}

/// The rules of one pipeline; by default there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimePolicy {
    pub time: TimeBy,
    pub early: Option<Rule>,
    /// Must be there for [`Scope::Sensor`].
    pub late: Option<Rule>,
    /// The tolerance is that of the watermark.
    pub out_of_order: Option<Action>,
    pub scope: Scope,
}

impl TimePolicy {
    /// True when it needs to know when readings arrived.
    pub fn needs_arrivals(&self) -> bool {
        self.time == TimeBy::Arrival || self.early.is_some() || self.late.is_some()
    }
}

/// Why a reading is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LateReason {
    /// Every window it belongs to was closed.
    WindowClosed,
    /// It arrived too long after its time.
    Arrival,
    /// It was behind the watermark.
    OutOfOrder,
}

impl LateReason {
    pub const ALL: [Self; 3] = [Self::WindowClosed, Self::Arrival, Self::OutOfOrder];

    /// The word in files and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WindowClosed => "window_closed",
            Self::Arrival => "arrival",
            Self::OutOfOrder => "out_of_order",
        }
    }
}

/// What the rules say of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts for this time, nanoseconds.
    Counts(i64),
    /// Dropped: more than the tolerance after its arrival.
    Early,
    /// Dropped, for this reason.
    Late(LateReason),
}

/// The event time of one lane: the rules, and how far time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventTime {
    policy: TimePolicy,
    out_of_order_ns: i64,
    watermark: Watermark,
    /// Largest time seen of each sensor, by number; `i64::MIN` for none. Empty unless sensors have
    /// watermarks of their own.
    sensors: Vec<i64>,
}

impl EventTime {
    pub(crate) fn new(policy: TimePolicy, out_of_order_ns: i64, partitions: usize) -> Self {
        let watermark = Watermark::new(0..partitions as i32, 0);
        Self::restore(policy, out_of_order_ns, watermark, Vec::new())
    }

    /// As a checkpoint saved it. Policy and allowance may be others than then.
    pub(crate) fn restore(
        policy: TimePolicy,
        out_of_order_ns: i64,
        mut watermark: Watermark,
        sensors: Vec<i64>,
    ) -> Self {
        assert!(
            policy.scope == Scope::Stream || policy.late.is_some(),
            "watermarks per sensor need a bound on lateness"
        );
        // With watermarks per sensor the lane's follows arrivals, which have their own allowance.
        watermark.set_out_of_order(match policy.scope {
            Scope::Stream => out_of_order_ns,
            Scope::Sensor => 0,
        });
        Self { policy, out_of_order_ns, watermark, sensors }
    }

    /// Judges a reading and takes note of it. `arrival_ns` is read only if the policy needs it.
    #[inline]
    pub(crate) fn observe(
        &mut self,
        partition: usize,
        sensor: SensorId,
        event_ns: i64,
        arrival_ns: i64,
    ) -> Verdict {
        let verdict = self.judge(partition, sensor, event_ns, arrival_ns);
        match (self.policy.scope, verdict) {
            (Scope::Stream, Verdict::Counts(time)) => {
                self.watermark.observe(partition, time);
            }
            (Scope::Stream, _) => {}
            (Scope::Sensor, _) => {
                if let Verdict::Counts(time) = verdict {
                    let index = sensor as usize;
                    if self.sensors.len() <= index {
                        self.sensors.resize(index + 1, i64::MIN);
                    }
                    self.sensors[index] = self.sensors[index].max(time);
                }
                let tolerance = self.policy.late.map_or(0, |late| late.tolerance_ns);
                self.watermark.observe(partition, arrival_ns.saturating_sub(tolerance));
            }
        }
        verdict
    }

    /// Whether a time lies before one that its partition has had; with watermarks per sensor, its sensor.
    #[inline]
    pub(crate) fn is_behind(&self, partition: usize, sensor: SensorId, event_ns: i64) -> bool {
        let newest = match self.policy.scope {
            Scope::Stream => self.watermark.newest(partition),
            Scope::Sensor => self.sensors.get(sensor as usize).copied(),
        };
        newest.is_some_and(|newest| event_ns < newest)
    }

    /// The lane's watermark: by it windows close.
    #[inline]
    pub(crate) fn get(&self) -> Option<i64> {
        self.watermark.get()
    }

    pub(crate) fn partition(&mut self, number: i32) -> usize {
        self.watermark.partition(number)
    }

    pub(crate) fn partitions(&self) -> &[PartitionClock] {
        self.watermark.partitions()
    }

    /// Largest time seen of each sensor; empty unless sensors have watermarks of their own.
    pub(crate) fn sensors(&self) -> &[i64] {
        &self.sensors
    }

    pub(crate) fn set_idle(&mut self, partition: usize, idle: bool) -> Option<IdleMove> {
        self.watermark.set_idle(partition, idle)
    }

    pub(crate) fn raise(&mut self, to: i64) -> Option<IdleMove> {
        self.watermark.raise(to)
    }

    #[inline]
    fn judge(&self, partition: usize, sensor: SensorId, event_ns: i64, arrival_ns: i64) -> Verdict {
        let policy = &self.policy;
        if policy.time == TimeBy::Arrival {
            return Verdict::Counts(arrival_ns);
        }
        let mut time = event_ns;
        if let Some(early) = policy.early {
            let bound = arrival_ns.saturating_add(early.tolerance_ns);
            match early.action {
                Action::Drop if time > bound => return Verdict::Early,
                _ => time = time.min(bound),
            }
        }
        if let Some(late) = policy.late {
            let bound = arrival_ns.saturating_sub(late.tolerance_ns);
            match late.action {
                Action::Drop if time < bound => return Verdict::Late(LateReason::Arrival),
                _ => time = time.max(bound),
            }
        }
        if let Some(action) = policy.out_of_order {
            let bound = self.own(partition, sensor).max(self.get()).unwrap_or(i64::MIN);
            match action {
                Action::Drop if time < bound => return Verdict::Late(LateReason::OutOfOrder),
                _ => time = time.max(bound),
            }
        }
        Verdict::Counts(time)
    }

    /// The watermark that judges a reading's order.
    fn own(&self, partition: usize, sensor: SensorId) -> Option<i64> {
        match self.policy.scope {
            Scope::Stream => self.watermark.of(partition),
            Scope::Sensor => {
                let newest = *self.sensors.get(sensor as usize)?;
                (newest > i64::MIN).then(|| newest.saturating_sub(self.out_of_order_ns))
            }
        }
    }
}

#[cfg(test)]
mod tests;
