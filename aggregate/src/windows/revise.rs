//! Closed windows that are held for late readings, and the revisions that come of these.
//!
//! A revision is a further row of the whole window. It comes when the watermark passes the next end
//! of a window, so late readings of one sensor and window that come close to each other make one
//! revision, wherever batches were cut. A window that is held for long enough takes no more.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use tidegauge_flow::{SensorId, Sensors};

use super::Windows;
use super::closing::Emission;
use super::merge::Merge;
use crate::error::AggregateError;

/// A closed window that has had late readings.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The revision of the newest row, of sensors that have had late readings.
    revisions: HashMap<SensorId, u32>,
    /// Readings since the newest row.
    pending: BTreeMap<SensorId, u64>,
}

impl Held {
    /// As a checkpoint saved it: sensor, revision of its newest row, readings since.
    pub(crate) fn restore(saved: impl Iterator<Item = (SensorId, Option<u32>, u64)>) -> Self {
        let mut held = Self::default();
        for (sensor, revision, pending) in saved {
            held.revisions.extend(revision.map(|revision| (sensor, revision)));
            if pending > 0 {
                held.pending.insert(sensor, pending);
            }
        }
        held
    }

    /// What [`Held::restore`] takes, in the order of sensors.
    pub(crate) fn saved(&self) -> Vec<(SensorId, Option<u32>, u64)> {
        let mut sensors: Vec<SensorId> =
            self.revisions.keys().chain(self.pending.keys()).copied().collect();
        sensors.sort_unstable();
        sensors.dedup();
        let of = |sensor| {
            let pending = self.pending.get(&sensor).copied().unwrap_or(0);
            (sensor, self.revisions.get(&sensor).copied(), pending)
        };
        sensors.into_iter().map(of).collect()
    }

    /// Readings that no row holds.
    pub(super) fn pending(&self) -> u64 {
        self.pending.values().sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.revisions.capacity() * 9 * 8 / 7 + self.pending.len() * 24
    }

    /// Numbers the rows of these groups; returns how many readings the rows before held.
    fn number(
        &mut self,
        pending: &BTreeMap<SensorId, u64>,
        sensors: &[SensorId],
        counts: &[u64],
    ) -> (Vec<u32>, u64) {
        let mut superseded = 0;
        let mut revisions = Vec::with_capacity(sensors.len());
        for (sensor, count) in sensors.iter().zip(counts) {
            let before = count - pending.get(sensor).copied().unwrap_or(0);
            superseded += before;
            let revision = match self.revisions.get(sensor) {
                Some(revision) => revision + 1,
                // The sensor's first row of this window may be one that came late.
                None => u32::from(before > 0),
            };
            self.revisions.insert(*sensor, revision);
            revisions.push(revision);
        }
        (revisions, superseded)
    }
}

impl Windows {
    /// Takes note of readings that were added to a pane of which windows are closed.
    pub(super) fn note_revisions(
        &mut self,
        pane: i64,
        sensors: impl Iterator<Item = SensorId> + Clone,
    ) {
        let (Some(lateness), Some(passed)) = (self.settings.allowed_lateness_ns, self.passed_end())
        else {
            return;
        };
        let spec = *self.query.window();
        let ends = (spec.first_end(pane)..=spec.last_end(pane).min(passed))
            .step_by(usize::try_from(spec.slide_ns).unwrap_or(usize::MAX));
        let given_up = self.given_up_before.unwrap_or(i64::MIN);
        let held = |end: &i64| end.saturating_add(lateness) >= passed && *end >= given_up;
        for end in ends.filter(held) {
            let held = self.held.entry(end).or_default();
            for sensor in sensors.clone() {
                *held.pending.entry(sensor).or_insert(0) += 1;
            }
        }
    }

    /// True when a window's end has been passed since revisions were last looked at.
    pub(super) fn revisions_are_due(&self, watermark: i64) -> bool {
        let spec = self.query.window();
        let passed = self.closed_before.is_some_and(|c| spec.first_end(c) < watermark);
        (passed || self.revisions_due) && self.held.values().any(|held| !held.pending.is_empty())
    }

    /// Evaluates the windows of all sensors that have had late readings since their last rows.
    pub(super) fn emit_revisions(&mut self, sensors: &Sensors) -> Result<(), AggregateError> {
        self.revisions_due = false;
        let mut all = std::mem::take(&mut self.held);
        for (&end, held) in all.iter_mut().filter(|(_, held)| !held.pending.is_empty()) {
            let pending = std::mem::take(&mut held.pending);
            let wanted: Vec<SensorId> = pending.keys().copied().collect();
            let mut parts = Vec::new();
            let first = self.query.window().first_pane(end);
            for (_, pane) in self.panes.range_mut(first..=end) {
                parts.extend(pane.select(&wanted)?);
            }
            let mut merge = Merge::new(self.query.clone(), parts);
            while let Some(evaluated) = merge.next()? {
                let (revision, superseded) =
                    held.number(&pending, &evaluated.sensors, &evaluated.counts);
                let mut rows = self.rows(evaluated, end, sensors)?;
                (rows.revision, rows.superseded) = (revision, superseded);
                self.ready.push_back(Emission::Rows(rows));
            }
        }
        self.held = all;
        Ok(())
    }

    /// Gives up what has been held for long enough.
    pub(super) fn expire(&mut self) {
        // For good: a later run that holds windows for longer has nothing of these.
        let given_up = match self.settings.allowed_lateness_ns {
            Some(lateness) => self.passed_end().map(|passed| passed.saturating_sub(lateness)),
            None => self.closed_before,
        };
        self.given_up_before = self.given_up_before.max(given_up);
        // What an earlier run held goes, if this one holds nothing.
        let lateness = self.settings.allowed_lateness_ns;
        let Some(passed) =
            self.passed_end().filter(|_| lateness.is_some() || !self.held.is_empty())
        else {
            return;
        };
        let lateness = lateness.unwrap_or(0);
        let spec = *self.query.window();
        let over = |end: i64| end.saturating_add(lateness) < passed;
        self.held.retain(|&end, held| !over(end) || !held.pending.is_empty());
        let needed = self.held.keys().next().map(|&end| spec.first_pane(end));
        while let Some(entry) = self.panes.first_entry() {
            let pane = *entry.key();
            if !over(spec.last_end(pane)) || needed.is_some_and(|first| pane >= first) {
                break;
            }
            entry.remove();
        }
    }

    /// The newest end of a window that the watermark had passed when windows were last closed. Between
    /// two calls of [`Windows::close`] it is the same however often that is called.
    fn passed_end(&self) -> Option<i64> {
        let spec = self.query.window();
        self.closed_before.map(|closed| spec.first_end(closed) - spec.slide_ns)
    }
}

#[cfg(test)]
mod tests;
