//! Drift beside a run: a thread of its own that compares once per interval and sets the metrics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tidegauge_serve::DriftCounts;

use super::{Period, Survey, Surveyor};
use crate::pipeline::Pipeline;

/// Sensors of one check that are named in the log.
const NAMED_MAX: usize = 10;

/// The thread; told to end when this is dropped. It only reads, so nobody waits for it.
pub struct DriftThread {
    _ends: Sender<()>,
}

impl DriftThread {
    /// Compares once per interval from now on; `None` when none is configured.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(pipeline: &Arc<Pipeline>) -> Result<Option<Self>> {
        let drift = &pipeline.config.models.drift;
        let (Some(every), last) = (drift.every, drift.last) else { return Ok(None) };
        let (ends, ended) = bounded::<()>(0);
        let pipeline = pipeline.clone();
        let body = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pipeline.jitter(every)) {
                check(&pipeline, last);
            }
        };
        let spawned = std::thread::Builder::new().name("drift".into()).spawn(body);
        spawned.context("cannot start the thread that looks for drift")?;
        Ok(Some(Self { _ends: ends }))
    }
}

/// One check; what goes wrong is told, and the next one tries again.
fn check(pipeline: &Pipeline, last: Duration) {
    let surveyor = Surveyor {
        config: &pipeline.config,
        query: &pipeline.query,
        registry: &pipeline.registry,
        reader: pipeline.lake().reader(),
    };
    let metrics = &pipeline.metrics.drift;
    match surveyor.survey(Period::Last(last)) {
        Ok(survey) => {
            metrics.checked(&counts(&survey), pipeline.clock.now_us());
            tell(&survey);
        }
        Err(error) => {
            metrics.failures.inc();
            let error = format!("{error:#}");
            tracing::warn!(error, "drift is not known; it is tried again");
        }
    }
}

/// How many sensors have which verdict.
pub fn counts(survey: &Survey) -> DriftCounts {
    use tidegauge_score::Verdict;
    let mut counts = DriftCounts::default();
    for (_, came) in &survey.sensors {
        let count = match came.as_ref().map(|drifted| drifted.most().verdict) {
            Ok(Verdict::Stable) => &mut counts.stable,
            Ok(Verdict::Watch) => &mut counts.watch,
            Ok(Verdict::Drift) => &mut counts.drift,
            Err(_) => &mut counts.unknown,
        };
        *count += 1;
    }
    counts
}

fn tell(survey: &Survey) {
    let drifted = survey.sensors.iter().filter_map(|(sensor, came)| {
        let most = came.as_ref().ok()?.most();
        (most.verdict == tidegauge_score::Verdict::Drift).then_some((sensor, most.psi))
    });
    for (sensor, psi) in drifted.take(NAMED_MAX) {
        tracing::info!(%sensor, psi, "drift: tidegauge drift tells more");
    }
}
