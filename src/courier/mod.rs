//! Anomaly events to those who asked for them: a thread for each alert, beside the lanes.
//!
//! ```text
//! commit -> outbox -> read the rows after the cursor -> send -> acknowledged -> move the cursor (synced)
//! ```
//!
//! *Guarantees*
//! - What is sent is committed. A lane's events go in order, the next message when the one before is
//!   acknowledged or dead.
//! - A message whose acknowledgement is in the cursor is never sent again; any other is, also after a crash.
//!   Between acknowledgement and cursor lies one write: only who dies there sends a message twice, with the
//!   same id.
//! - Who has the lane tells its events. When two believe so, the cursor knows one of them, and the other one
//!   stops at its next move.
//! - A receiver that does not answer holds up nothing but its own alert; memory is bounded by
//!   [`backlog::ROWS_MAX`] rows for each lane that has something to tell.

pub mod backlog;
mod deliver;
pub mod message;
pub mod outbox;
mod receiver;
mod retry;
mod webhook;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_serve::AlertMetrics;
use tidegauge_sink::{Alerts, Cursor, Progress};

use self::backlog::EventRow;
pub use self::outbox::{Holding, Outbox};
pub use self::receiver::{Answer, Receiver};
use self::retry::Retry;
use crate::background::{Background, End, Work};
use crate::config::{self, Alert};
use crate::pipeline::Pipeline;

/// How often lanes are asked for what they have committed.
const LOOK: Duration = Duration::from_millis(500);
/// How long a lane whose cursor cannot be taken is left alone.
const TAKE_AGAIN: Duration = Duration::from_secs(10);
/// How long the end of the process waits for what was committed last.
const PATIENCE: Duration = Duration::from_secs(15);
/// Messages of a lane before it is another one's turn.
const TURN_MAX: usize = 1_000;
/// Lanes whose messages a receiver does not take now, before the others wait for the next round.
const REFUSED_MAX: u32 = 2;

/// Starts a thread for each alert.
///
/// # Errors
/// When a receiver's settings or secrets can't be used, or a thread can't be started.
pub fn start(pipeline: &Arc<Pipeline>) -> Result<Vec<Background>> {
    let one = |alert: &Alert| Background::start(Courier::new(pipeline, alert)?);
    pipeline.config.alerts.iter().map(one).collect()
}

/// Where an alert begins in a lane that was just taken at `epoch`, unless it has begun there before. What this
/// process commits is then told, whatever happens to it.
///
/// # Errors
/// When the lake can't be written.
pub fn begin(pipeline: &Pipeline, lane: &str, epoch: u64) -> Result<()> {
    for alert in &pipeline.config.alerts {
        let from = match alert.from {
            config::Begin::Now => epoch + 1,
            config::Begin::Earliest => 0,
        };
        let cursor = Cursor {
            alert: alert.name.clone(),
            lane: lane.to_owned(),
            number: 1,
            writer: pipeline.new_writer(),
            at: Progress { epoch: from, row: 0, sequence: 0 },
            moved_at_us: pipeline.clock.now_us(),
        };
        let begun = pipeline.alerts().begin(&cursor);
        begun.with_context(|| format!("alert {} cannot begin in lane {lane}", alert.name))?;
    }
    Ok(())
}

/// One alert's thread.
pub struct Courier {
    pipeline: Arc<Pipeline>,
    alert: Alert,
    alerts: Alerts,
    receiver: Receiver,
    metrics: AlertMetrics,
    lake: String,
    lanes: BTreeMap<Arc<str>, Told>,
    /// Lanes that were ever in there.
    taken: BTreeSet<Arc<str>>,
    /// When a cursor could not be taken.
    not_taken: Option<Instant>,
    /// The lane that was tried last: the next round begins after it.
    last: Option<Arc<str>>,
    /// Since when the receiver has taken nothing.
    down_since: Option<Instant>,
}

/// How far a lane is told.
struct Told {
    cursor: Cursor,
    /// Where it stands: ahead of the cursor by rows that nobody asked for, or when the lake could not take
    /// down what was acknowledged.
    at: Progress,
    /// What comes next.
    rows: VecDeque<EventRow>,
    /// The outbox' count when there was nothing more to tell.
    seen: Option<u64>,
    retry: Retry,
}

/// How a turn has ended.
enum Turn {
    /// There is nothing more to tell.
    Idle,
    /// There is more.
    More,
    /// The receiver does not take it now.
    Failed(Option<Duration>),
    /// Another process tells this lane's events.
    Lost,
}

impl Work for Courier {
    fn name(&self) -> &'static str {
        "courier"
    }

    fn first(&self) -> Duration {
        Duration::ZERO
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn round(&mut self, end: &End) -> Duration {
        if self.not_taken.is_none_or(|at| at.elapsed() >= TAKE_AGAIN) {
            self.take_lanes(&self.pipeline.outbox().held());
        }
        let wait = self.turns(end);
        self.tell_waiting();
        wait
    }

    /// What was committed last, as long as it is taken at once.
    fn last(&mut self) {
        self.take_lanes(&self.pipeline.outbox().all());
        let never = End::default();
        while self.turns(&never).is_zero() {}
        self.tell_waiting();
    }
}

impl Courier {
    /// # Errors
    /// When the receiver's settings or secrets can't be used.
    pub fn new(pipeline: &Arc<Pipeline>, alert: &Alert) -> Result<Self> {
        let receiver =
            Receiver::new(&alert.receiver).with_context(|| format!("alert {}", alert.name))?;
        Ok(Self {
            alerts: pipeline.alerts(),
            metrics: pipeline.metrics.alert(&alert.name),
            lake: pipeline.store().url(),
            pipeline: pipeline.clone(),
            alert: alert.clone(),
            receiver,
            lanes: BTreeMap::new(),
            taken: BTreeSet::new(),
            not_taken: None,
            last: None,
            down_since: None,
        })
    }

    /// Takes the cursors of lanes that are new here.
    fn take_lanes(&mut self, lanes: &[Arc<str>]) {
        let held = self.pipeline.outbox().held();
        for lane in lanes {
            // One that was here and went is another process's.
            let gone = self.taken.contains(lane) && !held.contains(lane);
            if gone || self.lanes.contains_key(lane) {
                continue;
            }
            let (writer, now_us) = (self.pipeline.new_writer(), self.pipeline.clock.now_us());
            match self.alerts.take(&self.alert.name, lane, writer, now_us) {
                Ok(Some(cursor)) => {
                    let at = cursor.at;
                    let rows = VecDeque::new();
                    let told = Told { cursor, at, rows, seen: None, retry: Retry::default() };
                    self.lanes.insert(lane.clone(), told);
                    self.taken.insert(lane.clone());
                }
                Ok(None) => {}
                Err(error) => {
                    let (alert, lane) = (&self.alert.name, &**lane);
                    tracing::warn!(alert, lane, %error, "events of the lane wait");
                    self.not_taken = Some(Instant::now());
                }
            }
        }
    }

    /// A turn for each lane whose time it is; says how long to wait before the next round. A lane whose message is
    /// not taken waits by itself: another one's may be.
    fn turns(&mut self, end: &End) -> Duration {
        let held = self.pipeline.outbox().held();
        let (mut more, mut refused) = (false, 0);
        for lane in self.in_turn() {
            if end.has_come() || refused >= REFUSED_MAX {
                break;
            }
            let turn = match self.turn(&lane, held.contains(&lane), end) {
                Ok(turn) => turn,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(alert = self.alert.name, lane = &*lane, error, "events wait");
                    self.leave_alone(&lane, None);
                    continue;
                }
            };
            match turn {
                Turn::More => more = true,
                // What a lane that went has left is told, and then it is another one's.
                Turn::Idle if held.contains(&lane) => {}
                Turn::Idle | Turn::Lost => drop(self.lanes.remove(&lane)),
                Turn::Failed(after) => {
                    self.leave_alone(&lane, after);
                    refused += 1;
                }
            }
        }
        if more { Duration::ZERO } else { LOOK }
    }

    /// The lanes whose time it is, from the one after the last that was tried.
    fn in_turn(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let due = self.lanes.iter().filter(|(_, told)| told.retry.is_due(now));
        let mut lanes: Vec<Arc<str>> = due.map(|(lane, _)| lane.clone()).collect();
        let next = lanes.partition_point(|lane| self.last.as_ref().is_some_and(|l| lane <= l));
        lanes.rotate_left(next);
        lanes
    }

    fn leave_alone(&mut self, lane: &Arc<str>, after: Option<Duration>) {
        let (pipeline, most) = (&self.pipeline, self.alert.retry_max);
        if let Some(told) = self.lanes.get_mut(lane) {
            let ours = |failures| pipeline.jitter(retry::doubled(failures, most));
            told.retry.failed(Instant::now(), |n| after.map_or_else(|| ours(n), retry::asked));
        }
    }

    fn turn(&mut self, lane: &Arc<str>, held: bool, end: &End) -> Result<Turn> {
        let Some(mut told) = self.lanes.remove(lane) else { return Ok(Turn::Lost) };
        self.last = Some(lane.clone());
        let turn = self.tell(lane, &mut told, held, end);
        if matches!(turn, Ok(Turn::Idle | Turn::More)) {
            told.retry.went_well();
        }
        self.lanes.insert(lane.clone(), told);
        turn
    }

    fn tell(&mut self, lane: &str, told: &mut Told, held: bool, end: &End) -> Result<Turn> {
        // What was acknowledged and is not in the lake yet.
        if told.at.sequence > told.cursor.at.sequence && !self.advance(told)? {
            return Ok(Turn::Lost);
        }
        if (told.retry.has_failed() || !held) && !self.alerts.is_newest(&told.cursor)? {
            return Ok(Turn::Lost);
        }
        let mut left = TURN_MAX;
        while left > 0 && !end.has_come() {
            if told.rows.is_empty() {
                let changes = self.pipeline.outbox().changes(lane);
                if told.seen == Some(changes) && told.at == told.cursor.at {
                    return Ok(Turn::Idle);
                }
                let (reader, key) =
                    (self.pipeline.lake().reader(), &self.pipeline.config.event.key);
                let found = backlog::next(reader, self.pipeline.outbox(), key, lane, told.at)?;
                told.rows = found.into();
                if told.rows.is_empty() {
                    told.seen = Some(changes);
                    return Ok(match told.at != told.cursor.at && !self.advance(told)? {
                        true => Turn::Lost,
                        false => Turn::Idle,
                    });
                }
            }
            let batch = self.receiver.batch_max();
            match self.send(lane, told, batch)? {
                None => left = left.saturating_sub(batch),
                Some(turn) => return Ok(turn),
            }
        }
        Ok(Turn::More)
    }

    /// Writes down how far the lane is told; says whether it is still ours to tell.
    fn advance(&self, told: &mut Told) -> Result<bool> {
        Ok(self.alerts.advance(&mut told.cursor, told.at, self.pipeline.clock.now_us())?)
    }

    fn is_wanted(&self, row: &EventRow) -> bool {
        let least = self.alert.min_severity;
        let severe = least.zip(row.peak_severity).is_none_or(|(least, severity)| severity >= least);
        severe && self.alert.sensors.as_ref().is_none_or(|sensors| sensors.holds(&row.sensor))
    }

    fn tell_waiting(&self) {
        let rows = || self.lanes.values().flat_map(|told| &told.rows).filter(|r| self.is_wanted(r));
        let oldest = rows().map(|row| row.committed_at_us).min();
        let now_us = self.pipeline.clock.now_us();
        let age = oldest.map_or(0.0, |us| now_us.saturating_sub(us).max(0) as f64 / 1e6);
        self.metrics.waiting.set(i64::try_from(rows().count()).unwrap_or(i64::MAX));
        self.metrics.oldest.set(age);
    }
}
