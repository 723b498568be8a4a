//! Sensors that have windows in two lanes of one topic: each lane saw only a part of their readings.

use std::collections::{BTreeMap, HashMap};

use arrow::util::display::array_value_to_string;
use tidegauge_flow::Store;
use tidegauge_flow::time::rfc3339;

use super::chain::Ledger;
use super::named::Named;
use super::repair::Repair;
use super::report::Report;
use super::scan::{Identity, Scanner, numbers};
use crate::generation::{Generation, LaneMode};
use crate::record::Table;

/// Sensors that are named; the others are counted.
const NAMED_MAX: usize = 20;
/// Sensors that are watched: 40 bytes each. Beyond, new ones are not looked at.
const WATCHED_MAX: usize = 20_000_000;

/// The lane that each sensor was first met in.
pub(super) struct Sensors {
    /// `None` where lanes may share sensors.
    lanes: Option<Vec<String>>,
    /// The inputs of each lane.
    inputs: HashMap<String, Vec<String>>,
    first: HashMap<u64, (u32, i64)>,
    /// Sensors met in further lanes: the lane, the first end there, and a file to read the name from.
    split: BTreeMap<u64, BTreeMap<u32, (i64, usize)>>,
}

impl Sensors {
    pub fn new(generation: Option<&Generation>, ledger: &Ledger) -> Self {
        let partitioned = generation.is_some_and(|g| g.lanes == LaneMode::PerPartition);
        let mut inputs: HashMap<String, Vec<String>> = HashMap::new();
        for lane in &ledger.lanes {
            let last = lane.newest.iter().flat_map(|(record, _)| record.positions.keys());
            let names = last.map(|partition| partition.input.to_string());
            inputs.insert(lane.lane.clone(), names.collect());
        }
        let lanes = partitioned.then(Vec::new);
        Self { lanes, inputs, first: HashMap::new(), split: BTreeMap::new() }
    }

    /// Takes in the sensors of one file.
    pub fn add(&mut self, found: HashMap<(u64, u32), i64>, names: &[String], file: usize) {
        let Some(lanes) = &mut self.lanes else {
            return;
        };
        let number = |name: &String| {
            let known = lanes.iter().position(|lane| lane == name);
            known.unwrap_or_else(|| {
                lanes.push(name.clone());
                lanes.len() - 1
            }) as u32
        };
        let numbers: Vec<u32> = names.iter().map(number).collect();
        for ((sensor, lane), end) in found {
            let lane = numbers[lane as usize];
            let room = self.first.len() < WATCHED_MAX;
            match self.first.get_mut(&sensor) {
                None if room => {
                    self.first.insert(sensor, (lane, end));
                }
                None => {}
                Some((known, first)) if *known == lane => *first = end.min(*first),
                Some(_) => {
                    let further = self.split.entry(sensor).or_default();
                    let since = further.entry(lane).or_insert((end, file));
                    since.0 = end.min(since.0);
                }
            }
        }
    }

    /// Tells them. It is no problem of the lake: each reading counts once. But no window of such a
    /// sensor is whole.
    pub fn tell(
        &self,
        report: &mut Report,
        store: &dyn Store,
        identity: &Identity,
        named: &[Named<'_>],
    ) {
        let Some(lanes) = &self.lanes else {
            return;
        };
        for (sensor, further) in &self.split {
            let Some((home, first)) = self.first.get(sensor) else {
                continue;
            };
            let home = &lanes[*home as usize];
            for (lane, (since, file)) in further {
                let lane = &lanes[*lane as usize];
                if !self.share(home, lane) {
                    continue;
                }
                report.split_sensors += 1;
                if report.split_sensors > NAMED_MAX as u64 {
                    continue;
                }
                let one = &named[*file];
                let name = name_of(store, identity, one, *sensor).unwrap_or_default();
                let at = |us: i64| rfc3339(us.saturating_mul(1000));
                // By time: which lane's file was read first is chance.
                let mut both = [(*first, home), (*since, lane)];
                both.sort_unstable();
                let [(from, one_lane), (then, other)] = both;
                let what = format!(
                    "sensor {name} is in lane {one_lane} since {} and in lane {other} since {}: \
                     neither sees all of its readings",
                    at(from),
                    at(then)
                );
                report.note(&one.file.path, what, Repair::KeyEvents);
            }
        }
    }

    /// Whether two lanes read the same topic.
    fn share(&self, a: &str, b: &str) -> bool {
        let (Some(a), Some(b)) = (self.inputs.get(a), self.inputs.get(b)) else {
            return false;
        };
        a.iter().any(|input| b.contains(input))
    }
}

/// The key of the sensor with this number, read from a file that has it.
fn name_of(store: &dyn Store, identity: &Identity, one: &Named<'_>, sensor: u64) -> Option<String> {
    let scanner = Scanner { store, identity, pass: (0, 1) };
    for batch in scanner.batches(one.file).ok()? {
        let columns = identity.columns(Table::Predictions, &batch).ok()?;
        let key = &columns[..columns.len().saturating_sub(2)];
        if let Some(row) = numbers(key).iter().position(|number| *number == sensor) {
            let texts = key.iter().filter_map(|column| array_value_to_string(column, row).ok());
            return Some(texts.collect::<Vec<_>>().join("/"));
        }
    }
    None
}
