//! Faults: planned from the seed before the first event, then applied to normal values.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Simulation;
use super::signal::Signal;
use crate::error::IngestError;

/// An index into [`super::Simulator::faults`].
pub type FaultId = u32;

/// How a sensor fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// One to a few readings in a row far off the level.
    Spike,
    /// The same value again and again.
    Stuck,
    /// An offset that grows evenly from nothing to the fault's magnitude, then is gone.
    Drift,
    /// No readings.
    Silence,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Spike, Self::Stuck, Self::Drift, Self::Silence];

    /// The word in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Stuck => "stuck",
            Self::Drift => "drift",
            Self::Silence => "silence",
        }
    }
}

/// Which faults to inject, and when. The default injects none.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// How many spikes, in all sensors together.
    pub spikes: u32,
    /// How many stuck sensors.
    pub stuck: u32,
    /// How many drifts.
    pub drifts: u32,
    /// How many silences.
    pub silences: u32,
    /// No fault begins before this time, nanoseconds since the epoch: models train before it.
    pub from_ns: i64,
    /// Every fault has ended by this time, nanoseconds since the epoch.
    pub to_ns: i64,
    /// A spike takes one to so many readings.
    pub spike_readings_max: u32,
    /// How long a value is stuck; three windows or more to be seen.
    pub stuck_ns: i64,
    /// How long a drift grows.
    pub drift_ns: i64,
    /// How long a silence is.
    pub silence_ns: i64,
    /// Between two faults of a sensor, nanoseconds.
    pub rest_ns: i64,
}

const MINUTE_NS: i64 = 60_000_000_000;
/// In standard deviations of the sensor's normal values from its level.
const SPIKE_MAGNITUDE: (f64, f64) = (6.0, 10.0);
/// What a drift reaches at its end, in standard deviations.
const DRIFT_MAGNITUDE: (f64, f64) = (8.0, 12.0);
/// Places that are tried for a fault before the plan is called too full.
const TRIES_MAX: u32 = 1000;
/// Faults of one simulation.
const FAULTS_MAX: u64 = 1_000_000;

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            spikes: 0,
            stuck: 0,
            drifts: 0,
            silences: 0,
            from_ns: i64::MIN,
            to_ns: i64::MAX,
            spike_readings_max: 3,
            stuck_ns: MINUTE_NS,
            drift_ns: 5 * MINUTE_NS,
            silence_ns: 2 * MINUTE_NS,
            rest_ns: MINUTE_NS,
        }
    }
}

impl FaultPlan {
    /// The default durations, and as many faults of each kind between the two times as make
    /// `per_sensor_hour` faults of all kinds per sensor and hour.
    pub fn at_rate(per_sensor_hour: f64, sensors: u64, from_ns: i64, to_ns: i64) -> Self {
        let hours = to_ns.saturating_sub(from_ns).max(0) as f64 / (60 * MINUTE_NS) as f64;
        let each = (per_sensor_hour * hours * sensors as f64 / FaultKind::ALL.len() as f64).round();
        // The conversion saturates, and plan() refuses what is too many.
        let each = each as u32;
        let (spikes, stuck, drifts, silences) = (each, each, each, each);
        Self { spikes, stuck, drifts, silences, from_ns, to_ns, ..Self::default() }
    }

    fn count(&self, kind: FaultKind) -> u32 {
        match kind {
            FaultKind::Spike => self.spikes,
            FaultKind::Stuck => self.stuck,
            FaultKind::Drift => self.drifts,
            FaultKind::Silence => self.silences,
        }
    }

    fn total(&self) -> u64 {
        FaultKind::ALL.iter().map(|k| u64::from(self.count(*k))).sum()
    }

    fn check(&self) -> Result<(), IngestError> {
        let durations = [
            ("stuck_ns", self.stuck_ns),
            ("drift_ns", self.drift_ns),
            ("silence_ns", self.silence_ns),
            ("rest_ns", self.rest_ns),
            ("spike_readings_max", i64::from(self.spike_readings_max)),
        ];
        if let Some((setting, value)) = durations.into_iter().find(|(_, value)| *value <= 0) {
            return Err(setting_error(setting, value, "above 0"));
        }
        if self.total() > FAULTS_MAX {
            return Err(setting_error("faults", self.total(), &format!("at most {FAULTS_MAX}")));
        }
        Ok(())
    }
}

fn setting_error(setting: &'static str, value: impl ToString, rule: &str) -> IngestError {
    IngestError::Setting { setting, value: value.to_string(), rule: rule.to_owned() }
}

/// One fault: every reading of the sensor from the first to the last time, both included, is
/// faulty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// The device's number, from 1.
    pub device: u32,
    /// The sensor's number within the device, from 1.
    pub sensor: u32,
    /// How it fails.
    pub kind: FaultKind,
    /// The time of the first faulty (or missing) reading, nanoseconds since the epoch.
    pub from_ns: i64,
    /// The time of the last one.
    pub to_ns: i64,
    /// How far a spike is from the level, or a drift's offset at its end, in standard deviations of
    /// the normal values; negative is downwards. 0 for the other kinds.
    pub magnitude: f64,
    /// Among all sensors, from 0.
    index: u32,
}

/// Places all faults, by start time. Those of one sensor don't overlap and rest in between.
pub(super) fn plan(settings: &Simulation) -> Result<Vec<Fault>, IngestError> {
    let plan = &settings.faults;
    plan.check()?;
    let to_ns = plan.to_ns.min(settings.end_ns);
    if plan.total() > 0 && to_ns == i64::MAX {
        return Err(setting_error("to_ns", to_ns, "a time: the faults are spread until then"));
    }
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    // Sensors have the streams from 0.
    random.set_stream(u64::MAX);
    let mut taken: HashMap<u32, Vec<(i64, i64)>> = HashMap::new();
    let mut faults = Vec::new();
    for kind in FaultKind::ALL {
        for _ in 0..plan.count(kind) {
            let fault = (0..TRIES_MAX)
                .filter_map(|_| draw(settings, kind, &mut random))
                .find(|f| is_free(taken.get(&f.index), f, plan.rest_ns));
            let fault = fault.ok_or_else(|| {
                setting_error("faults", plan.total(), "fewer, shorter or over a longer time")
            })?;
            taken.entry(fault.index).or_default().push((fault.from_ns, fault.to_ns));
            faults.push(fault);
        }
    }
    faults.sort_by_key(|f| (f.from_ns, f.index));
    Ok(faults)
}

fn is_free(taken: Option<&Vec<(i64, i64)>>, fault: &Fault, rest_ns: i64) -> bool {
    taken.is_none_or(|taken| {
        taken.iter().all(|(from_ns, to_ns)| {
            fault.from_ns > to_ns.saturating_add(rest_ns)
                || *from_ns > fault.to_ns.saturating_add(rest_ns)
        })
    })
}

/// A fault of some sensor at some time; `None` when it would not be over in time.
fn draw(settings: &Simulation, kind: FaultKind, random: &mut ChaCha8Rng) -> Option<Fault> {
    let plan = &settings.faults;
    let index = random.random_range(0..settings.devices * settings.sensors);
    let sign = if random.random() { 1.0 } else { -1.0 };
    let (readings, magnitude) = match kind {
        FaultKind::Spike => {
            let readings = random.random_range(1..=plan.spike_readings_max);
            let size = random.random_range(SPIKE_MAGNITUDE.0..=SPIKE_MAGNITUDE.1);
            (i64::from(readings), sign * size)
        }
        FaultKind::Stuck => (readings_of(settings, plan.stuck_ns), 0.0),
        FaultKind::Drift => {
            let size = random.random_range(DRIFT_MAGNITUDE.0..=DRIFT_MAGNITUDE.1);
            (readings_of(settings, plan.drift_ns), sign * size)
        }
        FaultKind::Silence => (readings_of(settings, plan.silence_ns), 0.0),
    };
    let from_ns = plan.from_ns.max(settings.start_ns);
    let to_ns = plan.to_ns.min(settings.end_ns);
    // The first reading that may be faulty, and the reading at which the fault has to be over.
    let tick = |time_ns: i64| time_ns.saturating_sub(settings.start_ns) / settings.interval_ns;
    let (first, over) = (tick(from_ns).checked_add(1)?, tick(to_ns).checked_sub(readings)?);
    if first >= over {
        return None;
    }
    let tick = random.random_range(first..over);
    let fault = Fault {
        device: index / settings.sensors + 1,
        sensor: index % settings.sensors + 1,
        kind,
        from_ns: settings.reading_ns(index, tick)?,
        to_ns: settings.reading_ns(index, tick + readings - 1)?,
        magnitude,
        index,
    };
    // Times are rounded downwards: that must not bring a fault into the training stretch.
    (fault.from_ns >= from_ns && fault.to_ns <= to_ns).then_some(fault)
}

/// How many readings in a row span at least this time.
fn readings_of(settings: &Simulation, duration_ns: i64) -> i64 {
    let intervals = duration_ns / settings.interval_ns;
    let rest = duration_ns % settings.interval_ns;
    intervals.saturating_add(1 + i64::from(rest > 0))
}

/// One sensor's faults in the order of their times, and where the sensor is among them.
#[derive(Debug, Default)]
pub(super) struct SensorFaults {
    ids: Vec<FaultId>,
    next: usize,
    stuck_at: Option<f64>,
}

/// The faults of each sensor that has any, by the sensor's index.
pub(super) fn by_sensor(faults: &[Fault]) -> HashMap<u32, SensorFaults> {
    let mut of_sensor: HashMap<u32, SensorFaults> = HashMap::new();
    for (id, fault) in faults.iter().enumerate() {
        of_sensor.entry(fault.index).or_default().ids.push(id as FaultId);
    }
    of_sensor
}

impl SensorFaults {
    /// What the sensor says at a time at which it would say `normal`; `None` when it is silent.
    /// Times have to grow from call to call.
    pub(super) fn apply(
        &mut self,
        faults: &[Fault],
        time_ns: i64,
        normal: f64,
        signal: &Signal,
    ) -> Option<(f64, Option<FaultId>)> {
        while let Some(id) = self.ids.get(self.next)
            && faults[*id as usize].to_ns < time_ns
        {
            self.next += 1;
            self.stuck_at = None;
        }
        let Some(id) = self.ids.get(self.next).copied() else {
            return Some((normal, None));
        };
        let fault = &faults[id as usize];
        if time_ns < fault.from_ns {
            return Some((normal, None));
        }
        let offset = fault.magnitude * signal.deviation();
        let value = match fault.kind {
            FaultKind::Spike => signal.level + offset,
            FaultKind::Stuck => *self.stuck_at.get_or_insert(normal),
            FaultKind::Drift => {
                let length_ns = (fault.to_ns - fault.from_ns).max(1);
                normal + offset * (time_ns - fault.from_ns) as f64 / length_ns as f64
            }
            FaultKind::Silence => return None,
        };
        Some((value, Some(id)))
    }
}
