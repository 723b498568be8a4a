//! Verdicts of consecutive rows of one sensor.

use super::features::Rows;
use super::onset::OnsetSettings;
use super::output::{Output, Status, Verdict};
use super::view::Ready;
use crate::context::Fit;
use crate::model::Model;

/// Most features that a reason names.
const MAX_REASONS: usize = 3;

/// A feature is named in a reason when it is at least this much to blame as the first one.
const REASON_SHARE: f64 = 0.1;

/// Stands between the features of a reason. Names hold commas, as in `rolling_mean(x, 10)`, and never this.
pub(super) const BETWEEN: &str = "; ";

/// Scores the rows by a model, whose verdicts have this status; without one there are none.
pub(super) fn champion(
    judge: Option<(&Ready, Status)>,
    names: &[String],
    rows: &Rows<'_>,
    n_readings: &[u64],
    min_readings: u64,
    output: &mut Output,
) {
    let Some((ready, status)) = judge else {
        n_readings.iter().for_each(|_| output.refuse(Status::NoModel, None));
        return;
    };
    let scores = scores(ready, rows, n_readings.len(), output.take_scratch());
    for (i, score) in scores.iter().copied().enumerate() {
        if let Some(why) = refusal(rows.fit(i), score, n_readings[i] >= min_readings) {
            output.refuse(why, ready.version);
            continue;
        }
        let (threshold, model_set) = (ready.threshold, ready.version);
        let severity = ready.severities.as_ref().map(|lookup| lookup.severity(score));
        let mut verdict = Verdict { score, threshold, severity, reason: None, status, model_set };
        if verdict.is_anomaly() {
            verdict.reason = reason(ready.model.as_ref(), names, rows.row(i));
        }
        output.verdict(verdict);
    }
    output.give_back(scores);
}

/// Scores the rows by the challenger's model, beside the champion.
pub(super) fn challenger(
    ready: Option<&Ready>,
    rows: &Rows<'_>,
    n_readings: &[u64],
    min_readings: u64,
    output: &mut Output,
) {
    let Some(ready) = ready else {
        n_readings.iter().for_each(|_| output.challenge(None));
        return;
    };
    let scores = scores(ready, rows, n_readings.len(), output.take_scratch());
    for (i, score) in scores.iter().copied().enumerate() {
        let refused = refusal(rows.fit(i), score, n_readings[i] >= min_readings);
        let verdict = ready.version.filter(|_| refused.is_none());
        output.challenge(verdict.map(|version| (score, score >= ready.threshold, version)));
    }
    output.give_back(scores);
}

/// Why a row of a sensor that has a model gets no verdict.
#[inline]
fn refusal(fit: Fit, score: f64, is_full: bool) -> Option<Status> {
    match fit {
        _ if !is_full => Some(Status::TooFewReadings),
        Fit::Complete if score.is_finite() => None,
        Fit::Complete | Fit::Invalid => Some(Status::InvalidFeatures),
        Fit::WarmingUp => Some(Status::WarmingUp),
    }
}

/// What the onset view's count says of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    /// Rows of the sensor so far, this one included.
    pub seen: u64,
    /// The row is the window's first one: a revision raises no alarm and ends no rest.
    pub is_new: bool,
    /// The window held as many readings as scoring asks for.
    pub is_full: bool,
}

/// Scores the rows by the onset view's model. `resting` is the sensor's rest.
pub(super) fn onset(
    ready: Option<&Ready>,
    settings: &OnsetSettings,
    names: &[String],
    rows: &Rows<'_>,
    counts: &[Count],
    resting: &mut u32,
    output: &mut Output,
) {
    let mut scratch = output.take_scratch();
    if let Some(ready) = ready {
        scratch = scores(ready, rows, counts.len(), scratch);
    }
    for (i, count) in counts.iter().enumerate() {
        let usable = count.is_full && rows.fit(i) == Fit::Complete;
        let scored = ready.filter(|_| usable && scratch[i].is_finite());
        let novelty = scored.map(|_| settings.novelty(scratch[i], count.seen));
        let alarm = count.is_new.then(|| settings.alarm(novelty, count.seen, resting));
        let reason = || {
            let ready = scored.filter(|_| alarm == Some(true))?;
            reason(ready.model.as_ref(), names, rows.row(i))
        };
        let alarm = novelty.and(alarm);
        output.novelty(novelty, alarm, scored.and_then(|ready| ready.version), reason);
    }
    output.give_back(scratch);
}

/// The score of each row; of a row that is not finite nothing.
#[inline]
fn scores(ready: &Ready, rows: &Rows<'_>, count: usize, mut scores: Vec<f64>) -> Vec<f64> {
    scores.clear();
    scores.resize(count, 0.0);
    if rows.all_finite() {
        ready.model.scores(rows.values, &mut scores);
    } else {
        for (i, score) in scores.iter_mut().enumerate() {
            if rows.fit(i) != Fit::Invalid {
                ready.model.scores(rows.row(i), std::slice::from_mut(score));
            }
        }
    }
    scores
}

/// The features most to blame for an anomaly, most first, as `stddev; mean`; `None` when the model can't
/// tell one from another.
fn reason(model: &dyn Model, names: &[String], row: &[f64]) -> Option<String> {
    let mut blame = vec![0.0; names.len()];
    model.blame(row, &mut blame);
    if blame.iter().all(|blame| *blame == 0.0) {
        return None;
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    // Stable, so that features that are equally to blame stand in the query's order.
    order.sort_by(|a, b| blame[*b].total_cmp(&blame[*a]));
    let least = (blame[order[0]] * REASON_SHARE).max(0.0);
    let named = order.iter().enumerate().filter(|(i, f)| *i == 0 || blame[**f] > least);
    let named: Vec<&str> = named.take(MAX_REASONS).map(|(_, f)| names[*f].as_str()).collect();
    Some(named.join(BETWEEN))
}
