//! Maintenance of the lake: beside the workers of a run, or asked for.
//!
//! Any process may do it at any time; when two do it at once, one wins. It runs on a thread of its own,
//! takes no lock that a lane needs, and a process that ends in the middle of it harms nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tidegauge_serve::UpkeepMetrics;
use tidegauge_sink::{LakeError, Mode, Outcome, Table, Upkeep};

use crate::background::{End, Work};
use crate::config::UpkeepSettings;
use crate::pipeline::Pipeline;

/// Maintains the lake once per interval.
pub struct Maintenance(pub Arc<Pipeline>);

impl Maintenance {
    fn interval(&self) -> Duration {
        jittered(self.0.config.lake.upkeep.maintain_every)
    }
}

impl Work for Maintenance {
    fn name(&self) -> &'static str {
        "maintenance"
    }

    fn first(&self) -> Duration {
        self.interval()
    }

    /// Who ends in the middle of it harms nothing.
    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn round(&mut self, _: &End) -> Duration {
        maintain(&self.0);
        self.interval()
    }
}

/// Maintains the lake at the end of a run that ends by itself, when it is time: such runs may always be
/// too short for the thread.
pub fn catch_up(pipeline: &Pipeline) {
    let every = micros(pipeline.config.lake.upkeep.maintain_every);
    let reader = pipeline.lake().reader();
    let last = match reader.view() {
        Ok(view) => view.summary.map(|summary| summary.made_at_us),
        Err(error) => {
            tracing::warn!(%error, "the lake is not maintained");
            return;
        }
    };
    let last = last.unwrap_or(reader.generation().created_at_us);
    if last.saturating_add(every) <= pipeline.clock.now_us() {
        maintain(pipeline);
    }
}

/// One run of maintenance; what goes wrong is told, and the next run tries again.
fn maintain(pipeline: &Pipeline) {
    let config = &pipeline.config;
    let upkeep = upkeep(&config.lake.upkeep, config.window.allowed_lateness.unwrap_or_default());
    let (writer, now_us) = (pipeline.new_writer(), pipeline.clock.now_us());
    let done = pipeline.lake().maintain(&upkeep, Mode::Act, writer, now_us, &|_, _| ());
    count(&pipeline.metrics.upkeep, &done);
    match done {
        Ok(done) => {
            for path in &done.damaged {
                tracing::error!(file = path, "damaged and left alone: run tidegauge verify");
            }
            tracing::info!(replaced = done.replaced, made = done.made, "maintained the lake");
        }
        Err(error @ LakeError::Damaged { .. }) => {
            tracing::error!(%error, "the lake cannot be maintained: run tidegauge verify");
        }
        Err(error) => tracing::warn!(%error, "maintenance of the lake failed; it is tried again"),
    }
}

fn count(metrics: &UpkeepMetrics, done: &Result<Outcome, LakeError>) {
    let result = match done {
        Err(_) => "failed",
        Ok(done) if done.lost => "lost",
        Ok(done) if done.summary.is_none() => "nothing",
        Ok(_) => "done",
    };
    metrics.run(result);
    if let Ok(done) = done {
        metrics.compacted_files.inc_by(done.replaced);
        metrics.compactions.inc_by(done.made);
        metrics.deleted_files.inc_by(done.deleted_files);
        metrics.deleted_records.inc_by(done.deleted_records);
        metrics.expired_rows.inc_by(done.expired_rows);
        metrics.damaged_files.set(i64::try_from(done.damaged.len()).unwrap_or(i64::MAX));
    }
}

/// How a lake is kept, in the lake's own words.
pub fn upkeep(settings: &UpkeepSettings, allowed_lateness: Duration) -> Upkeep {
    let ages = [
        (Table::Predictions, settings.keep_predictions),
        (Table::Late, settings.keep_late),
        (Table::Rejects, settings.keep_rejects),
        (Table::Events, settings.keep_events),
    ];
    let ages = ages.into_iter().filter_map(|(table, age)| Some((table, micros(age?))));
    Upkeep {
        compact: settings.compact,
        allowed_lateness_us: micros(allowed_lateness),
        compact_after_us: micros(settings.compact_after),
        file_max_bytes: settings.compact_file_max,
        keep_replaced_us: micros(settings.keep_replaced),
        keep_ledger_us: micros(settings.keep_ledger),
        keep_us: ages.collect::<BTreeMap<_, _>>(),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Half to one and a half times the interval, so that processes started together do not meet for ever.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(rand::rng().random_range(0.5..1.5))
}
