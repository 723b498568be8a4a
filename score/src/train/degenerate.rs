//! Models that tell nothing: they call most of what is normal an anomaly.
//!
//! *Why it is looked at*: a solver that stops early, rows that the solver has no scale for, or a stretch that
//! is not like the one before give models that are well formed and flag everything. Such a model in
//! force is worse than the one before it, or than none.
//!
//! *Not the number of support vectors, and not whether kernel sums are equal*: a switch that is on half
//! of the time has equal sums at both of its values, and a good model.

use super::SkipReason;
use super::samples::Samples;
use crate::entry::ModelEntry;

/// # Errors
/// [`SkipReason::Degenerate`] when a model flags more than a share of the windows that were held out, or
/// of those that it was trained on.
pub(super) fn refuse(
    entry: &ModelEntry,
    samples: &Samples,
    flagged_max: f64,
) -> Result<(), SkipReason> {
    let held_out =
        entry.training.as_ref().and_then(|training| training.false_alarm_rate).unwrap_or(0.0);
    let known = flagged(entry, samples).map_err(SkipReason::NotFitted)?;
    for (share, of) in [(held_out, "held-out windows"), (known, "own training windows")] {
        if share > flagged_max {
            let (share, most) = (share * 100.0, flagged_max * 100.0);
            return Err(SkipReason::Degenerate(format!(
                "it flags {share:.1} % of its {of}, more than {most} % (flagged_max); train on a longer \
                 or calmer stretch, or set another threshold"
            )));
        }
    }
    Ok(())
}

/// The share of the training rows that the model flags.
fn flagged(entry: &ModelEntry, samples: &Samples) -> Result<f64, String> {
    let width = samples.width();
    let mut scores = vec![0.0; samples.values.len() / width];
    entry.model.build()?.scores(&samples.values, &mut scores);
    let flagged = scores.iter().filter(|score| **score >= entry.threshold).count();
    Ok(flagged as f64 / scores.len() as f64)
}
