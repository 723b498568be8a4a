//! The oracle: what must be in the lake, worked out from what was sent with plain maps and rules of its
//! own, and from the facts that only the ledger can know: when the watermark moved because of silence.
//!
//! A move stands in the record of its epoch, but not between which readings. It is possible only where the
//! topic was silent for `idle_after`; where several such places come into question, the watermark is known
//! as an interval until a reading narrows it down (a reading that is late says that the watermark is
//! beyond its windows, another says that it is not).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegauge_sink::{ClosedBy, IdleMove, Record};

use crate::scenario::{Scenario, Sent, Shape, What};

/// What one window of one sensor holds.
#[derive(Debug, Default)]
pub struct Expected {
    /// Values of readings that are surely in it.
    pub sure: Vec<i64>,
    /// Values of readings that were read while it was not certain whether it was open.
    pub maybe: Vec<i64>,
}

/// What one partition must have left behind.
#[derive(Debug, Default)]
pub struct Verdict {
    /// By sensor and end of the window, nanoseconds; closed ones only.
    pub rows: BTreeMap<(i64, i64), Expected>,
    /// Offset and reason.
    pub rejects: BTreeSet<(i64, String)>,
    pub problems: Vec<String>,
}

/// Judges one partition's ledger; `late` are the offsets that the lake holds as late.
pub fn judge(
    scenario: &Scenario,
    number: usize,
    records: &[Record],
    late: &BTreeSet<i64>,
) -> Verdict {
    let out_of_order = scenario.config.window.out_of_order.as_nanos() as i64;
    let mut lane = Lane {
        shape: scenario.planned.shape,
        out_of_order,
        lateness: scenario.config.window.allowed_lateness.map(|l| l.as_nanos() as i64),
        idle_after: scenario.config.window.idle_after,
        sent: &scenario.sent[number],
        late,
        watermark: None,
        newest_end: i64::MIN,
        seen: BTreeSet::new(),
        verdict: Verdict::default(),
    };
    for record in records {
        lane.epoch(record);
    }
    let Lane { watermark, mut verdict, .. } = lane;
    // A window closes when the watermark is past its end, strictly.
    let closed = watermark.map_or(i64::MIN, |(least, _)| least);
    verdict.rows.retain(|(_, end), _| *end < closed);
    verdict
}

struct Lane<'a> {
    shape: Shape,
    out_of_order: i64,
    /// How long closed windows take more readings; `None`: not at all.
    lateness: Option<i64>,
    idle_after: Duration,
    sent: &'a [Sent],
    late: &'a BTreeSet<i64>,
    /// Between which bounds the watermark is; `None` before the first reading.
    watermark: Option<(i64, i64)>,
    /// The end of the newest window that ever held a reading.
    newest_end: i64,
    /// Sensors and events that count already.
    seen: BTreeSet<(i64, u64)>,
    verdict: Verdict,
}

impl Lane<'_> {
    fn epoch(&mut self, record: &Record) {
        let Some(span) = record.positions.values().next() else { return };
        let place = format!("{} epoch {}", record.lane, record.epoch);
        // All messages, and which of them this epoch has read.
        let messages: Vec<&Sent> =
            self.sent.iter().filter(|s| !matches!(s.what, What::Nothing)).collect();
        let from = messages.partition_point(|sent| sent.offset < span.from);
        let to = messages.partition_point(|sent| sent.offset < span.to);
        let drained = record.closed_by == Some(ClosedBy::Drain);
        let mut moves = Moves { all: &record.idle_moves, tried: 0 };
        for index in from..=to {
            let silence = silence(&messages, index);
            let last = index == to;
            // The drain comes after everything else, however short the silence.
            let silent_ns = i64::try_from(silence.as_nanos()).unwrap_or(i64::MAX);
            let bound = if last && drained { i64::MAX } else { silent_ns };
            if silence >= self.idle_after || (last && drained) {
                let later = |from_ns| {
                    self.may_move_later(&messages[index..to], index, &messages, from_ns, drained)
                };
                // What one record calls one move may have come in two silences.
                let here = self.newest_end.saturating_add(1);
                let rest = |m: &IdleMove| m.from_ns < here && here < m.to_ns && later(here);
                let must = |m: &IdleMove| last || !(later(m.from_ns) || rest(m));
                let must: Vec<bool> = record.idle_moves.iter().map(must).collect();
                self.silent(&mut moves, &must, bound, &place);
            }
            if !last {
                self.message(messages[index], &place);
            }
        }
        if moves.tried < record.idle_moves.len() {
            let rest = &record.idle_moves[moves.tried..];
            self.problem(format!("{place}: moves of the watermark out of nothing: {rest:?}"));
        }
        self.settle(record.watermark_ns, &place);
    }

    /// Whether a move from a watermark may come in a later silence of the epoch, before the readings have
    /// raised the watermark beyond it.
    fn may_move_later(
        &self,
        rest: &[&Sent],
        index: usize,
        messages: &[&Sent],
        from_ns: i64,
        drained: bool,
    ) -> bool {
        for (n, sent) in rest.iter().enumerate() {
            if let What::Reading { time_ns, .. } = sent.what
                && time_ns - self.out_of_order > from_ns
            {
                return false;
            }
            let last = n + 1 == rest.len();
            if silence(messages, index + n + 1) >= self.idle_after || (last && drained) {
                return true;
            }
        }
        false
    }

    /// A silence of at most `bound`: moves may come here, and those that can come nowhere else must.
    fn silent(&mut self, moves: &mut Moves<'_>, must: &[bool], bound: i64, place: &str) {
        let Some((mut least, mut most)) = self.watermark else { return };
        let begin = most;
        for (n, IdleMove { from_ns, to_ns }) in moves.all.iter().enumerate() {
            let comes = (least..=most).contains(from_ns) || (*from_ns < least && least < *to_ns);
            if !comes {
                continue;
            }
            // Not beyond what was open then; the rest of it may come later.
            let reach = if must[n] { *to_ns } else { (*to_ns).min(self.newest_end + 1) };
            if reach <= *from_ns {
                continue;
            }
            moves.tried = moves.tried.max(n + 1);
            if reach > self.newest_end + 1 {
                let newest = self.newest_end;
                self.problem(format!(
                    "{place}: silence moves the watermark to {to_ns}, beyond the newest window's end \
                     {newest}"
                ));
            }
            most = most.max(reach);
            if must[n] {
                least = least.max(*to_ns);
                if to_ns.saturating_sub(begin) > bound {
                    self.problem(format!(
                        "{place}: a silence of {bound} ns moves the watermark from {begin} to {to_ns}"
                    ));
                }
            }
        }
        self.watermark = Some((least, most.min(begin.saturating_add(bound)).max(least)));
    }

    fn message(&mut self, sent: &Sent, place: &str) {
        match &sent.what {
            What::Nothing => {}
            What::Poison { reason, .. } => {
                self.verdict.rejects.insert((sent.offset, (*reason).to_owned()));
            }
            What::Reading { time_ns, id, value, event, .. } => {
                self.reading(sent.offset, *time_ns, (*id, *value, *event), place);
            }
        }
    }

    fn reading(&mut self, offset: i64, time: i64, event: (i64, i64, u64), place: &str) {
        let raised = time - self.out_of_order;
        let (mut least, mut most) = self.watermark.unwrap_or((raised, raised));
        (least, most) = (least.max(raised), most.max(raised));
        let ends = self.ends(time);
        let last_end = ends[ends.len() - 1];
        let limit = last_end + self.lateness.unwrap_or(0);
        let is_late = self.late.contains(&offset);
        if is_late {
            if most <= limit {
                self.problem(format!("{place}: offset {offset} is late and was in time"));
            }
            least = least.max(limit + 1);
        } else {
            if least > limit {
                self.problem(format!("{place}: offset {offset} is late and was counted in time"));
            }
            most = most.min(limit);
        }
        self.watermark = Some((least, most.max(least)));
        let (id, value, event) = event;
        let left_out = self.shape.least.is_some_and(|bound| value < bound);
        if is_late || left_out || (self.shape.ids && !self.seen.insert((id, event))) {
            return;
        }
        self.newest_end = self.newest_end.max(last_end);
        for end in ends {
            let row = || (id, end);
            let limit = if end == last_end { limit } else { self.limit(end) };
            if limit >= most {
                self.verdict.rows.entry(row()).or_default().sure.push(value);
            } else if limit >= least {
                self.verdict.rows.entry(row()).or_default().maybe.push(value);
            }
        }
    }

    /// What the record says about the watermark at the epoch's end.
    fn settle(&mut self, watermark: Option<i64>, place: &str) {
        let fits = match (self.watermark, watermark) {
            (None, None) => true,
            (Some((least, most)), Some(found)) => (least..=most).contains(&found),
            _ => false,
        };
        if !fits {
            let bounds = self.watermark;
            self.problem(format!(
                "{place}: the watermark is {watermark:?}, and was to be in {bounds:?}"
            ));
        }
        self.watermark = watermark.map(|found| (found, found)).or(self.watermark);
    }

    /// The watermark beyond which a window that ends there takes no more readings, while later ones that
    /// they belong to do: one that is held is let go when the end of a window is passed that is later by
    /// more than the lateness.
    fn limit(&self, end: i64) -> i64 {
        let Shape { slide, offset, .. } = self.shape;
        let Some(lateness) = self.lateness else { return end };
        let from = end + lateness + 1;
        from + (offset - from).rem_euclid(slide)
    }

    /// The ends of all windows (end - size, end] that hold a time.
    fn ends(&self, time: i64) -> Vec<i64> {
        let Shape { size, slide, offset, .. } = self.shape;
        let first = time + (offset - time).rem_euclid(slide);
        (0..).map(|n| first + n * slide).take_while(|end| end - size < time).collect()
    }

    fn problem(&mut self, what: String) {
        self.verdict.problems.push(what);
    }
}

/// The moves of one epoch and how many of them have found a place.
struct Moves<'a> {
    all: &'a [IdleMove],
    tried: usize,
}

/// How long nothing came before the message of this index.
fn silence(messages: &[&Sent], index: usize) -> Duration {
    match (index.checked_sub(1).and_then(|before| messages.get(before)), messages.get(index)) {
        (_, None) => Duration::MAX,
        (None, Some(first)) => first.at,
        (Some(before), Some(next)) => next.at.saturating_sub(before.at),
    }
}
