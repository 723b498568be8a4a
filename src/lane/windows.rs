//! A lane and its windows: readings in, closed windows scored, room made when memory is short.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tidegauge_aggregate::{Closing, Refusal, WindowSettings, Windows};
use tidegauge_flow::{Sensors, WindowRows};
use tidegauge_ingest::{Message, Reason, Reject};
use tidegauge_score::{EventTally, Events, Scorer, Stamp, Status};
use tidegauge_sink::Lane as Ledger;

use super::{Lane, epoch, state};
use crate::config::{LaneMode, Late, SourceKind};
use crate::pipeline::{InForce, Pipeline, Trial};

impl Lane {
    /// Puts windows into files when lanes hold more than they should, or would with so many bytes more,
    /// before any is paused for it.
    ///
    /// # Errors
    /// When a file can't be written; the lane is then not usable.
    pub fn make_room(&mut self, more: usize) -> Result<()> {
        let excess = self.pipeline.memory.excess(more as u64);
        if excess > 0 {
            let excess = usize::try_from(excess).unwrap_or(usize::MAX);
            let freed = self.windows.spill(excess)?;
            self.metrics.spilled_bytes.inc_by(freed as u64);
            self.weigh();
        }
        Ok(())
    }

    /// Makes room for what so many messages may add, and takes it until the lane is weighed again.
    pub(super) fn reserve(&mut self, messages: usize) -> Result<()> {
        let growth = self.windows.growth_bytes(messages) + self.sensors.growth_bytes(messages);
        self.make_room(growth)?;
        self.share.reserve(growth as u64);
        Ok(())
    }

    /// Adds the readings to the windows; `messages` are those that they were read from, among others.
    /// Returns how many are rejects after all.
    pub(super) fn push<'m>(
        &mut self,
        input: usize,
        messages: impl Iterator<Item = Message<'m>>,
    ) -> Result<u64> {
        let clock = self.inputs[input].clock;
        let pushed =
            self.windows.push(clock, &self.readings, &self.sensors).with_context(|| {
                let (partition, offsets) = (&self.inputs[input].partition, &self.readings.offset);
                let (first, last) = (offsets.first(), offsets.last());
                format!(
                    "windows fail on the readings of {partition} from offset {} to {}",
                    first.unwrap_or(&0),
                    last.unwrap_or(&0)
                )
            })?;
        self.epoch.pushed(&pushed);
        for (_, reason) in &pushed.late {
            self.metrics.late.at(*reason as usize).inc();
        }
        self.metrics.filtered.inc_by(pushed.filtered);
        self.metrics.duplicates.inc_by(pushed.duplicate);
        self.metrics.adjusted.inc_by(pushed.adjusted);
        self.metrics.out_of_order.inc_by(pushed.out_of_order);
        let partition = &self.inputs[input].partition;
        if !pushed.late.is_empty() && self.pipeline.config.window.late != Late::Drop {
            let schema = &self.pipeline.late_schema;
            let rows: Vec<u32> = pushed.late.iter().map(|(row, _)| *row).collect();
            let columns = self.readings.columns(&self.sensors, Some(&rows));
            let offsets = self.readings.offsets(Some(&rows));
            let late = epoch::late_batch(schema, columns, offsets, partition, &pushed.late)?;
            self.epoch.keep_late(late);
        }
        if !pushed.refused.is_empty() {
            self.refuse(input, &pushed.refused, messages);
        }
        Ok(pushed.refused.len() as u64)
    }

    /// What windows have not taken becomes rejects, with the bytes that it was read from.
    fn refuse<'m>(
        &mut self,
        input: usize,
        refused: &[(u32, Refusal)],
        messages: impl Iterator<Item = Message<'m>>,
    ) {
        let partition = &self.inputs[input].partition;
        let offset = |row: &u32| self.readings.offset[*row as usize];
        let by_offset: BTreeMap<i64, &Refusal> =
            refused.iter().map(|(row, refusal)| (offset(row), refusal)).collect();
        for message in messages {
            let Some(refusal) = by_offset.get(&message.offset) else { continue };
            let reason = match refusal {
                Refusal::Early => Reason::TooEarly,
                Refusal::Query(why) => {
                    tracing::debug!(%partition, offset = message.offset, why, "the query fails");
                    Reason::Query
                }
            };
            self.epoch.rejects.push(partition, &message, &Reject::new(reason));
            self.metrics.rejects.at(reason as usize).inc();
        }
    }

    pub(super) fn score(&mut self) -> Result<()> {
        while let Some(rows) = self.windows.close(&self.sensors)? {
            self.score_rows(&rows)?;
        }
        self.tell_incomplete();
        self.pass_events();
        Ok(())
    }

    /// Lets a trial judge all rows at once.
    pub(super) fn try_rows(&mut self, trial: &Trial) -> Result<()> {
        let mut closed = Vec::new();
        while let Some(rows) = self.windows.close(&self.sensors)? {
            closed.push(rows);
        }
        self.tell_incomplete();
        let stamp = Stamp { lane: &self.name, epoch: self.running };
        let judged = trial(&closed, &self.sensors, &stamp)?;
        closed.iter().for_each(|rows| self.epoch.closed(rows));
        for (sensor, batch) in judged.predictions {
            if let Some(events) = &mut self.events {
                events.observe(&vec![sensor; batch.num_rows()], &batch)?;
            }
            self.epoch.keep_predictions(batch);
        }
        self.epoch.tried_sets = judged.model_sets;
        self.pass_events();
        Ok(())
    }

    /// Counts windows of which a feature could not be computed, and says so.
    fn tell_incomplete(&mut self) {
        if let Some((rows, why)) = self.windows.take_incomplete() {
            self.metrics.incomplete.inc_by(rows);
            tracing::warn!(
                lane = &*self.name,
                rows,
                why,
                "features that cannot be computed are null: guard the query with NULLIF"
            );
        }
    }

    fn score_rows(&mut self, rows: &WindowRows) -> Result<()> {
        let stamp = Stamp { lane: &self.name, epoch: self.running };
        let before = self.scorer.tally();
        let batch = self.scorer.score(rows, &self.sensors, &stamp)?;
        let tally = self.scorer.tally();
        self.metrics.rows.inc_by(rows.len() as u64);
        for (index, status) in Status::ALL.iter().enumerate() {
            self.metrics.scored.at(index).inc_by(tally.of(*status) - before.of(*status));
        }
        self.metrics.anomalies.inc_by(tally.anomalies - before.anomalies);
        self.metrics.alarms.inc_by(tally.alarms - before.alarms);
        self.metrics.challenged.inc_by(tally.challenged - before.challenged);
        self.metrics.agreed.inc_by(tally.agreed - before.agreed);
        self.pipeline.observe(&batch);
        if let Some(events) = &mut self.events {
            events.observe(&rows.sensor, &batch)?;
        }
        self.epoch.scored(batch, rows, tally.anomalies - before.anomalies);
        Ok(())
    }

    /// Ends events whose sensors have been silent for long enough; to be called when all windows that the
    /// watermark has passed are scored.
    fn pass_events(&mut self) {
        let Some(events) = &mut self.events else { return };
        events.pass(self.windows.watermark_ns());
        let EventTally { opened, closed, .. } = events.tally();
        self.metrics.events_opened.inc_by(opened - self.told.opened);
        self.metrics.events_closed.inc_by(closed - self.told.closed);
        self.told = events.tally();
    }
}

/// A lane's state as the ledger has it.
pub(super) struct Restored {
    pub windows: Windows,
    pub sensors: Sensors,
    pub scorer: Scorer,
    pub events: Option<Events>,
}

/// Reads the state that the ledger names.
///
/// # Errors
/// When it is damaged or of another query, or there are no models that can be used.
pub(super) fn restore(pipeline: &Pipeline, ledger: &Ledger, closing: Closing) -> Result<Restored> {
    let window = &pipeline.config.window;
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let settings = WindowSettings {
        out_of_order_ns: nanos(window.out_of_order),
        open_max: window.open_max,
        closing,
        ..WindowSettings::default()
    };
    let settings = match closing {
        Closing::ByWatermark => WindowSettings {
            policy: window.policy,
            allowed_lateness_ns: window.allowed_lateness.map(nanos),
            ..settings
        },
        // Of input that is known to end nothing is late, and its files say nothing of arrivals.
        Closing::AtEnd => settings,
    };
    let spill = &pipeline.spill;
    let (query, key) = (pipeline.query.clone(), pipeline.config.event.key.clone());
    match ledger.checkpoint()? {
        Some(bytes) => {
            let state::Parts { windows, announced, remembered, events: of_events } =
                state::split(&bytes)?;
            let (windows, sensors) =
                Windows::restore(windows, query, settings, window.sensors_max, Some(spill))?;
            let announced = match closing {
                Closing::ByWatermark => pipeline.announced_models(&announced),
                Closing::AtEnd => InForce::default(),
            };
            let mut scorer = pipeline.scorer_as_announced(announced)?;
            if let Some(remembered) = remembered {
                scorer.restore(remembered, &sensors)?;
            }
            let mut events = pipeline.events();
            if let (Some(events), Some(bytes)) = (&mut events, of_events) {
                events.restore(bytes, &sensors)?;
            }
            Ok(Restored { windows, sensors, scorer, events })
        }
        None => {
            // Those of a whole topic are added as they are found.
            let partitions = match pipeline.config.source.lanes {
                LaneMode::Topic if pipeline.config.source.kind == SourceKind::Kafka => 0,
                _ => 1,
            };
            let mut windows = Windows::new(query, settings, partitions);
            windows.set_spill(spill);
            let sensors = Sensors::new(key, window.sensors_max);
            let scorer = pipeline.scorer()?;
            Ok(Restored { windows, sensors, scorer, events: pipeline.events() })
        }
    }
}
