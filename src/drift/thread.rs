//! Drift beside a run: once per interval it is compared, and the metrics are set.

use std::sync::Arc;
use std::time::Duration;

use tidegauge_serve::DriftCounts;

use super::{Period, Survey, Surveyor};
use crate::background::{End, Work};
use crate::pipeline::Pipeline;

/// Sensors of one check that are named in the log.
const NAMED_MAX: usize = 10;

/// Compares once per interval.
pub struct DriftWatch {
    pipeline: Arc<Pipeline>,
    every: Duration,
    last: Duration,
}

impl DriftWatch {
    /// `None` when no interval is configured.
    pub fn new(pipeline: &Arc<Pipeline>) -> Option<Self> {
        let drift = &pipeline.config.models.drift;
        let (every, last) = (drift.every?, drift.last);
        Some(Self { pipeline: pipeline.clone(), every, last })
    }
}

impl Work for DriftWatch {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn first(&self) -> Duration {
        self.pipeline.jitter(self.every)
    }

    /// It only reads: nobody has to wait long for it.
    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn round(&mut self, _end: &End) -> Duration {
        check(&self.pipeline, self.last);
        self.pipeline.jitter(self.every)
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
