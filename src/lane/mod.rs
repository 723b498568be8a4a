//! A lane: the plain loop's state. Messages in, committed epochs out.
//!
//! ```text
//! feed: decode -> push -> close -> score        commit: cut -> ledger -> (next epoch)
//! ```
//!
//! *Guarantees*: everything between two commits is in memory only, and belongs to exactly one epoch:
//! positions, rows, late readings, rejects, counters and the windows' state are cut together. After an
//! error the lane is not usable; whoever opens it next starts from the ledger.

mod epoch;
mod idle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context, Result};
use tidegauge_aggregate::{Closing, WindowSettings, Windows};
use tidegauge_flow::{Partition, Readings, Sensors, Span};
use tidegauge_ingest::{Decoder, Format, Message};
use tidegauge_score::{Scorer, Stamp, Status};
use tidegauge_serve::LaneMetrics;
use tidegauge_sink::{ClosedBy, Committed, Lane as Ledger};

use self::epoch::Epoch;
pub use self::epoch::late_schema;
pub use self::idle::IdleClock;
use crate::config::Late;
use crate::pipeline::{LABELS, Pipeline};

/// One lane that this process holds.
pub struct Lane {
    pipeline: Arc<Pipeline>,
    ledger: Ledger,
    inputs: Vec<Input>,
    decoder: Decoder,
    sensors: Sensors,
    windows: Windows,
    scorer: Scorer,
    /// Scratch space of `feed`.
    readings: Readings,
    epoch: Epoch,
    metrics: LaneMetrics,
    pub idle: IdleClock,
}

/// One ordered input of the lane and how far it has been read.
struct Input {
    partition: Partition,
    /// Where the running epoch began.
    from: i64,
    next: i64,
}

impl Lane {
    /// Takes the lane in the ledger and continues from its newest record.
    ///
    /// # Errors
    /// When the ledger, checkpoint or models can't be read or don't fit this pipeline.
    pub fn open(pipeline: &Arc<Pipeline>, name: &str, closing: Closing) -> Result<Self> {
        let ledger = pipeline.take_lane(name)?;
        let restored = restore(pipeline, &ledger, closing).with_context(|| {
            format!("lane {name} cannot continue from epoch {}", ledger.next_epoch() - 1)
        })?;
        let (windows, sensors) = restored;
        let inputs = ledger.positions().iter().map(|(partition, next)| Input {
            partition: partition.clone(),
            from: *next,
            next: *next,
        });
        let inputs = inputs.collect();
        let metrics = pipeline.metrics.lane(name, &LABELS);
        let event = pipeline.config.event.clone();
        Ok(Self {
            readings: Readings::new(event.values.len()),
            decoder: Decoder::new(event, Format::Json),
            scorer: pipeline.scorer()?,
            pipeline: pipeline.clone(),
            epoch: Epoch::default(),
            idle: IdleClock::default(),
            ledger,
            inputs,
            sensors,
            windows,
            metrics,
        })
    }

    pub fn name(&self) -> &str {
        self.ledger.name()
    }

    /// The index of an input for [`Lane::feed`]; one that the ledger does not know begins at `start`.
    pub fn input(&mut self, partition: &Partition, start: i64) -> usize {
        if let Some(index) = self.inputs.iter().position(|i| i.partition == *partition) {
            return index;
        }
        self.inputs.push(Input { partition: partition.clone(), from: start, next: start });
        self.inputs.len() - 1
    }

    /// The next offset of an input that the ledger knows.
    pub fn position_of(&self, partition: &Partition) -> Option<i64> {
        self.inputs.iter().find(|i| i.partition == *partition).map(|i| i.next)
    }

    /// The next offset of an input.
    pub fn next(&self, input: usize) -> i64 {
        self.inputs[input].next
    }

    /// What the messages that follow look like; JSON objects until told otherwise.
    pub fn set_format(&mut self, format: Format) {
        self.decoder = Decoder::new(self.pipeline.config.event.clone(), format);
    }

    /// Reads messages of one input, each with the offset after it, and scores the windows that close.
    ///
    /// `now_ns` is the arrival of messages that carry no timestamp, and no message arrives later.
    ///
    /// # Errors
    /// When the query or a model fails on the data, or a limit is reached.
    pub fn feed<'m>(
        &mut self,
        input: usize,
        messages: impl Iterator<Item = (Message<'m>, i64)>,
        now_ns: i64,
    ) -> Result<()> {
        let Input { partition, next, .. } = &mut self.inputs[input];
        self.readings.clear();
        let (mut count, mut bytes) = (0u64, 0u64);
        for (message, after) in messages {
            // Left over from before a seek or a rebalance: counted already.
            if message.offset < *next {
                continue;
            }
            *next = after;
            count += 1;
            bytes += message.payload.map_or(0, <[u8]>::len) as u64;
            let decoded =
                self.decoder.decode(&message, now_ns, &mut self.sensors, &mut self.readings);
            if let Err(reject) = decoded {
                self.epoch.rejects.push(partition, &message, &reject);
                self.metrics.rejects.at(reject.reason as usize).inc();
            }
        }
        if count == 0 {
            return Ok(());
        }
        let readable = self.readings.len() as u64;
        self.epoch.read(count, readable);
        self.metrics.messages.inc_by(count);
        self.metrics.bytes.inc_by(bytes);
        self.metrics.readings.inc_by(readable);
        self.push(input)?;
        self.score()
    }

    /// Notes that the input was read up to `next` without a message there (the end of a transaction,
    /// a compacted stretch).
    pub fn skip_to(&mut self, input: usize, next: i64) {
        let input = &mut self.inputs[input];
        input.next = input.next.max(next);
    }

    /// Moves the watermark on because the input is silent, and scores what closes.
    pub fn move_on(&mut self, passed_ns: i64) -> Result<()> {
        if let Some(moved) = self.windows.idle(passed_ns) {
            self.epoch.moved(moved);
        }
        self.score()
    }

    /// Closes all windows.
    pub fn drain(&mut self) -> Result<()> {
        if let Some(moved) = self.windows.drain() {
            self.epoch.moved(moved);
            self.epoch.closed_by = Some(ClosedBy::Drain);
        }
        self.score()
    }

    /// True when the running epoch holds so much that it should not grow further.
    pub fn wants_commit(&self) -> bool {
        self.epoch.rejects.len() >= self.pipeline.config.lake.rejects_max
            || self.epoch.late_rows() >= epoch::LATE_MAX
            || self.epoch.rejects.bytes() >= epoch::REJECT_BYTES_MAX
            || self.epoch.rows() >= epoch::ROWS_MAX
    }

    /// Commits the running epoch, if it has anything, and begins the next with the newest models.
    ///
    /// # Errors
    /// When the epoch can't be committed; the lane is then not usable.
    pub fn commit(&mut self, now_us: i64) -> Result<Option<Committed>> {
        let moved = self.inputs.iter().any(|i| i.next > i.from);
        let begun = self.inputs.len() > self.ledger.positions().len();
        if !moved && !begun && self.epoch.is_empty() {
            self.reload_models();
            return Ok(None);
        }
        let started = std::time::Instant::now();
        let spans =
            self.inputs.iter().map(|i| (i.partition.clone(), Span { from: i.from, to: i.next }));
        let spans = spans.collect();
        let checkpoint = self.windows.checkpoint(&self.sensors)?;
        let epoch = std::mem::take(&mut self.epoch);
        let anomalies = epoch.anomalies;
        let cut = epoch.cut(epoch::State {
            spans,
            checkpoint,
            watermark_ns: self.windows.watermark_ns(),
            model_sets: self.scorer.model_sets().to_vec(),
            open: self.windows.open_readings(),
        })?;
        let committed = self.ledger.commit(cut, now_us)?;
        self.inputs.iter_mut().for_each(|i| i.from = i.next);
        self.pipeline.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.commits.inc();
        for file in &self.ledger.newest().files {
            self.metrics.files.at(file.table as usize).inc();
            self.metrics.file_rows.at(file.table as usize).inc_by(file.rows);
        }
        self.pipeline.add(&self.ledger.newest().counters, anomalies);
        self.reload_models();
        Ok(Some(committed))
    }

    /// Brings the gauges up to date. `silent`: the input has been idle for so long that nothing is due.
    pub fn report(&self, now_ns: i64, lag: Option<i64>, silent: bool) {
        let level = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.open_windows.set(level(self.windows.open_windows()));
        self.metrics.open_groups.set(level(self.windows.open_groups()));
        self.metrics.sensors.set(level(self.sensors.len()));
        self.metrics.models_missing.set(level(self.scorer.missing()));
        self.metrics.models_loaded.set(level(self.scorer.loaded()));
        if silent && self.windows.open_windows() == 0 {
            // Nothing waits for the watermark: a silent sensor is no delay.
            self.metrics.watermark_delay.set(0.0);
        } else if let Some(watermark) = self.windows.watermark_ns() {
            self.metrics.watermark_delay.set(now_ns.saturating_sub(watermark) as f64 / 1e9);
        }
        if let Some(lag) = lag {
            self.metrics.lag.set(lag);
        }
    }

    /// Takes the lane's series out of the metrics: another process has it now.
    pub fn remove_metrics(&self) {
        self.metrics.remove();
    }

    fn push(&mut self, input: usize) -> Result<()> {
        // All inputs of a lane of files are one ordered stream: they share a watermark.
        let pushed = self.windows.push(0, &self.readings, &self.sensors).with_context(|| {
            let (partition, offsets) = (&self.inputs[input].partition, &self.readings.offset);
            let (first, last) = (offsets.first(), offsets.last());
            format!(
                "windows fail on the readings of {partition} from offset {} to {}: where a value \
                 cannot be computed, guard the query with TRY_CAST or NULLIF",
                first.unwrap_or(&0),
                last.unwrap_or(&0)
            )
        })?;
        let late = pushed.late.len() as u64;
        self.epoch.pushed(&pushed);
        self.metrics.late.inc_by(late);
        self.metrics.filtered.inc_by(pushed.filtered);
        self.metrics.duplicates.inc_by(pushed.duplicate);
        if !pushed.late.is_empty() && self.pipeline.config.window.late == Late::Keep {
            let partition = &self.inputs[input].partition;
            let schema = &self.pipeline.late_schema;
            let columns = self.readings.columns(&self.sensors, Some(&pushed.late));
            let offsets = self.readings.offsets(Some(&pushed.late));
            self.epoch.late.push(epoch::late_batch(schema, columns, offsets, partition)?);
        }
        Ok(())
    }

    fn score(&mut self) -> Result<()> {
        let Some(rows) = self.windows.close(&self.sensors)? else { return Ok(()) };
        let stamp = Stamp { lane: self.ledger.name(), epoch: self.ledger.next_epoch() };
        let before = self.scorer.tally();
        let batch = self.scorer.score(&rows, &self.sensors, &stamp)?;
        let tally = self.scorer.tally();
        self.metrics.rows.inc_by(rows.len() as u64);
        for (index, status) in Status::ALL.iter().enumerate() {
            self.metrics.scored.at(index).inc_by(tally.of(*status) - before.of(*status));
        }
        self.metrics.anomalies.inc_by(tally.anomalies - before.anomalies);
        self.pipeline.observe(&batch);
        self.epoch.scored(batch, &rows, tally.anomalies - before.anomalies);
        Ok(())
    }

    /// Takes the models that the alias means now, if it has moved. Models that can't be read or don't
    /// fit never take the place of good ones.
    fn reload_models(&mut self) {
        let newer = self.pipeline.newer_models(self.scorer.model_sets());
        let replaced = newer.and_then(|models| match models {
            Some(models) => Ok(self.scorer.replace_models(Some(models)).map(|()| true)?),
            None => Ok(false),
        });
        match replaced {
            Ok(true) => {
                let sets = self.scorer.model_sets();
                tracing::info!(lane = self.ledger.name(), ?sets, "models replaced");
            }
            Ok(false) => {}
            Err(error) => {
                let alias = &self.pipeline.config.models.alias;
                tracing::error!(
                    lane = self.ledger.name(), alias, %error, "models kept: the new ones cannot be used"
                );
            }
        }
    }
}

fn restore(pipeline: &Pipeline, ledger: &Ledger, closing: Closing) -> Result<(Windows, Sensors)> {
    let window = &pipeline.config.window;
    let settings = WindowSettings {
        out_of_order_ns: window.out_of_order.as_nanos() as i64,
        open_max: window.open_max,
        closing,
    };
    let (query, key) = (pipeline.query.clone(), pipeline.config.event.key.clone());
    match ledger.checkpoint()? {
        Some(bytes) => Ok(Windows::restore(&bytes, query, settings, window.sensors_max)?),
        None => Ok((Windows::new(query, settings, 1), Sensors::new(key, window.sensors_max))),
    }
}
