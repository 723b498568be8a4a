//! Which group a sensor has in a pane: groups are numbered in order of first sight.
//!
//! *Why two forms*: a table by the sensor's number answers fastest, but a pane with a few of a million
//! sensors must not pay for all of them.

use hashbrown::HashMap;
use tidegauge_flow::SensorId;

/// No group yet.
const NONE: u32 = u32::MAX;
/// Slots per group from which on a table is given up for a map.
const SPARSE: usize = 8;
/// Slots per group below which a map is given up for a table.
const DENSE: usize = 4;
/// A table of so few slots is never given up.
pub(crate) const TABLE_MIN: usize = 1024;

/// Sensors and their groups.
#[derive(Debug)]
pub(crate) struct Groups {
    sensors: Vec<SensorId>,
    index: Index,
}

#[derive(Debug)]
enum Index {
    /// By sensor: its group, or [`NONE`].
    Table(Vec<u32>),
    Map(HashMap<SensorId, u32>),
}

impl Default for Groups {
    fn default() -> Self {
        Self { sensors: Vec::new(), index: Index::Table(Vec::new()) }
    }
}

impl Groups {
    /// Groups in this order.
    pub(crate) fn of(sensors: Vec<SensorId>) -> Self {
        let mut groups = Self::default();
        for sensor in sensors {
            groups.get_or_add(sensor);
        }
        groups
    }

    /// Room for so many groups more.
    pub(crate) fn reserve(&mut self, groups: usize) {
        self.sensors.reserve(groups);
        if let Index::Table(table) = &mut self.index {
            table.reserve(groups);
        }
    }

    /// Group to sensor.
    pub(crate) fn sensors(&self) -> &[SensorId] {
        &self.sensors
    }

    pub(crate) fn into_sensors(self) -> Vec<SensorId> {
        self.sensors
    }

    pub(crate) fn len(&self) -> usize {
        self.sensors.len()
    }

    /// The sensor's group and whether it is new.
    #[inline]
    pub(crate) fn get_or_add(&mut self, sensor: SensorId) -> (usize, bool) {
        let known = match &self.index {
            Index::Table(table) => table.get(sensor as usize).copied().filter(|&g| g != NONE),
            Index::Map(map) => map.get(&sensor).copied(),
        };
        match known {
            Some(group) => (group as usize, false),
            None => (self.add(sensor), true),
        }
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        let index = match &self.index {
            Index::Table(table) => 4 * table.capacity(),
            // Entry, control byte, and the table is at most 7/8 full.
            Index::Map(map) => map.capacity() * 9 * 8 / 7,
        };
        4 * self.sensors.capacity() + index
    }

    fn add(&mut self, sensor: SensorId) -> usize {
        let group = self.sensors.len();
        self.sensors.push(sensor);
        let slots = sensor as usize + 1;
        match &mut self.index {
            Index::Table(table) if slots <= table.len() => table[slots - 1] = group as u32,
            Index::Table(_) if slots > TABLE_MIN.max(SPARSE * (group + 1)) => {
                let entries = self.sensors.iter().zip(0..);
                self.index = Index::Map(entries.map(|(&sensor, group)| (sensor, group)).collect());
            }
            Index::Table(table) => {
                table.resize(slots, NONE);
                table[slots - 1] = group as u32;
            }
            Index::Map(map) => {
                map.insert(sensor, group as u32);
                self.tabulate();
            }
        }
        group
    }

    /// Makes a table of the map if its groups have become dense. Looked at when the number of groups
    /// reaches a power of two, so that the search for the largest sensor costs nothing.
    fn tabulate(&mut self) {
        if !self.sensors.len().is_power_of_two() {
            return;
        }
        let slots = self.sensors.iter().max().map_or(0, |&sensor| sensor as usize + 1);
        if slots <= DENSE * self.sensors.len() {
            let mut table = vec![NONE; slots];
            for (&sensor, group) in self.sensors.iter().zip(0..) {
                table[sensor as usize] = group;
            }
            self.index = Index::Table(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn groups_are_numbered_by_first_sight_in_either_form(
            near in prop::collection::vec(0u32..500, 0..200),
            far in prop::collection::vec(0u32..1_000_000, 0..50),
            more in prop::collection::vec(0u32..3_000, 0..2_000),
        ) {
            let mut groups = Groups::default();
            let mut naive: Vec<SensorId> = Vec::new();
            for sensor in near.into_iter().chain(far).chain(more) {
                let known = naive.iter().position(|&s| s == sensor);
                let expected = known.unwrap_or(naive.len());
                if known.is_none() {
                    naive.push(sensor);
                }
                prop_assert_eq!(groups.get_or_add(sensor), (expected, known.is_none()));
            }
            prop_assert_eq!(groups.sensors(), &naive);
        }
    }

    #[test]
    fn fm_19_a_few_of_a_million_sensors_cost_a_few_sensors() {
        let mut groups = Groups::default();
        for i in 0..100 {
            groups.get_or_add(i * 10_000);
        }
        assert!(groups.memory_bytes() < 8_192, "{} bytes", groups.memory_bytes());
        for i in 0..1_000_000 {
            groups.get_or_add(i);
        }
        assert!(matches!(groups.index, Index::Table(_)), "dense again");
    }
}
