//! Simulated sensors with faults that are known from the seed: the ground truth of demos and tests.
//!
//! *Guarantees*: the same settings give the same events. Each sensor draws from a stream of its
//! own, so its normal values depend neither on the other sensors nor on the faults.
//!
//! *The model*: every sensor sends at a fixed interval, the sensors spread evenly over it. A
//! reading's event time is when it was taken; it is sent up to `jitter_ns` later, so no event is
//! further behind the largest time sent before it than that.

mod faults;
mod json;
mod signal;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::IngestError;
use faults::SensorFaults;
pub use faults::{Fault, FaultId, FaultKind, FaultPlan};
pub use json::{EventNames, key_text, to_json};
pub use signal::{Range, Shape};
use signal::{Signal, round_to};

/// Sensors of one simulation: their number times a few hundred bytes is its memory.
const SENSORS_MAX: u32 = 10_000_000;
/// Event times are written with seven fraction digits, as the reference simulator does.
const TICK_NS: i64 = 100;

/// What to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Devices, numbered from 1.
    pub devices: u32,
    /// Sensors of each device, numbered from 1.
    pub sensors: u32,
    /// The normal range of the first, second, … sensor of a device; used in turns.
    pub ranges: Vec<Range>,
    /// Time between two readings of a sensor, nanoseconds.
    pub interval_ns: i64,
    /// A reading is sent up to this later than it was taken, nanoseconds.
    pub jitter_ns: i64,
    /// How values lie in their range.
    pub shape: Shape,
    /// Decimals that values are rounded to, at most 12.
    pub decimals: u8,
    /// The time of the first reading, nanoseconds since the epoch.
    pub start_ns: i64,
    /// No reading is taken at or after this time, nanoseconds since the epoch.
    pub end_ns: i64,
    /// The faults to inject.
    pub faults: FaultPlan,
    /// What everything random comes from.
    pub seed: u64,
}

impl Simulation {
    /// The reference simulator's three devices with five sensors each, one reading a second,
    /// without faults and without end.
    pub fn reference(start_ns: i64, seed: u64) -> Self {
        Self {
            devices: 3,
            sensors: 5,
            ranges: Range::REFERENCE.to_vec(),
            interval_ns: 1_000_000_000,
            jitter_ns: 0,
            shape: Shape::Uniform,
            decimals: 2,
            start_ns,
            end_ns: i64::MAX,
            faults: FaultPlan::default(),
            seed,
        }
    }

    /// All sensors of all devices.
    pub fn sensor_count(&self) -> u64 {
        u64::from(self.devices) * u64::from(self.sensors)
    }

    fn check(&self) -> Result<(), IngestError> {
        let refuse = |setting, value: String, rule: &str| {
            Err(IngestError::Setting { setting, value, rule: rule.to_owned() })
        };
        if !(1..=u64::from(SENSORS_MAX)).contains(&self.sensor_count()) {
            let rule = format!("1 to {SENSORS_MAX}");
            return refuse("devices times sensors", self.sensor_count().to_string(), &rule);
        }
        if self.ranges.is_empty() {
            return refuse("ranges", "empty".to_owned(), "at least one");
        }
        if let Some(range) = self.ranges.iter().find(|r| !r.is_valid()) {
            let value = format!("{} to {}", range.min, range.max);
            return refuse("a range", value, "two finite numbers, the smaller one first");
        }
        if self.interval_ns < TICK_NS {
            return refuse("interval_ns", self.interval_ns.to_string(), "at least 100");
        }
        if self.jitter_ns < 0 {
            return refuse("jitter_ns", self.jitter_ns.to_string(), "at least 0");
        }
        if self.decimals > 12 {
            return refuse("decimals", self.decimals.to_string(), "at most 12");
        }
        self.shape.check()
    }

    /// When the sensor with this index, from 0, takes the reading `tick`; `None` after all time.
    fn reading_ns(&self, sensor: u32, tick: i64) -> Option<i64> {
        let share = i128::from(self.interval_ns) * i128::from(sensor);
        let phase = (share / i128::from(self.sensor_count())) as i64;
        let since_start = self.interval_ns.checked_mul(tick)?.checked_add(phase)?;
        let time_ns = self.start_ns.checked_add(since_start)?;
        // Downwards, so that the order of times stays that of the sensors.
        Some(time_ns - time_ns.rem_euclid(TICK_NS))
    }
}

/// One reading of one simulated sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// When it was taken, nanoseconds since the epoch, a multiple of 100.
    pub time_ns: i64,
    /// When it is sent, nanoseconds since the epoch; `time_ns` or up to `jitter_ns` later.
    pub due_ns: i64,
    /// The device's number, from 1.
    pub device: u32,
    /// The sensor's number within the device, from 1.
    pub sensor: u32,
    /// The value, rounded.
    pub value: f64,
    /// The fault that made the value what it is.
    pub fault: Option<FaultId>,
}

/// The events of a [`Simulation`] in the order in which they are sent.
#[derive(Debug)]
pub struct Simulator {
    settings: Simulation,
    sensors: Vec<SensorState>,
    faults: Vec<Fault>,
    /// The next reading to be taken.
    tick: i64,
    sensor: u32,
    /// Taken but not sent; bounded by what the sensors take in `jitter_ns`.
    delayed: BinaryHeap<Reverse<Delayed>>,
}

#[derive(Debug)]
struct SensorState {
    random: ChaCha8Rng,
    signal: Signal,
    faults: SensorFaults,
}

/// Ordered by due time, then as taken.
#[derive(Debug)]
struct Delayed {
    order: (i64, i64, u32),
    event: Event,
}

impl Simulator {
    /// Plans the faults and makes the sensors ready.
    ///
    /// # Errors
    /// [`IngestError::Setting`] when a setting is out of its range or the faults don't fit in.
    pub fn new(settings: Simulation) -> Result<Self, IngestError> {
        settings.check()?;
        let faults = faults::plan(&settings)?;
        let mut of_sensor = faults::by_sensor(&faults);
        let count = settings.devices * settings.sensors;
        let sensors = (0..count)
            .map(|index| {
                let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
                random.set_stream(u64::from(index));
                let range =
                    settings.ranges[(index % settings.sensors) as usize % settings.ranges.len()];
                let signal = Signal::new(settings.shape, range, &mut random);
                let faults = of_sensor.remove(&index).unwrap_or_default();
                SensorState { random, signal, faults }
            })
            .collect();
        let delayed = BinaryHeap::new();
        Ok(Self { settings, sensors, faults, tick: 0, sensor: 0, delayed })
    }

    /// The ground truth, by start time; a [`FaultId`] is an index into it.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// When the next reading is taken, unless the simulation is at its end.
    fn next_reading_ns(&self) -> Option<i64> {
        let time_ns = self.settings.reading_ns(self.sensor, self.tick)?;
        (time_ns < self.settings.end_ns).then_some(time_ns)
    }

    /// Takes the next reading; `None` when its sensor is silent.
    fn take(&mut self, time_ns: i64) -> Option<Event> {
        let index = self.sensor;
        let settings = &self.settings;
        self.sensor += 1;
        if self.sensor as usize == self.sensors.len() {
            self.sensor = 0;
            self.tick += 1;
        }
        let state = &mut self.sensors[index as usize];
        // Drawn whether they are used or not: a fault changes no later value.
        let normal = state.signal.draw(time_ns - settings.start_ns, &mut state.random);
        let delay_ns = match settings.jitter_ns {
            0 => 0,
            jitter_ns => state.random.random_range(0..=jitter_ns),
        };
        let (value, fault) = state.faults.apply(&self.faults, time_ns, normal, &state.signal)?;
        Some(Event {
            time_ns,
            due_ns: time_ns.saturating_add(delay_ns),
            device: index / settings.sensors + 1,
            sensor: index % settings.sensors + 1,
            value: round_to(value, settings.decimals),
            fault,
        })
    }
}

impl Iterator for Simulator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let Some(time_ns) = self.next_reading_ns() else {
                return self.delayed.pop().map(|Reverse(delayed)| delayed.event);
            };
            // Whatever is taken from now on is sent at `time_ns` or later.
            if self.delayed.peek().is_some_and(|Reverse(first)| first.event.due_ns < time_ns) {
                return self.delayed.pop().map(|Reverse(delayed)| delayed.event);
            }
            let sensor = self.sensor;
            let Some(event) = self.take(time_ns) else {
                continue;
            };
            if self.settings.jitter_ns == 0 {
                return Some(event);
            }
            let order = (event.due_ns, event.time_ns, sensor);
            self.delayed.push(Reverse(Delayed { order, event }));
        }
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

#[cfg(test)]
mod tests;
