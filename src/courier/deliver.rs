//! The next messages of a lane: sent, taken down, given up.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use tidegauge_sink::{DeadLetter, Progress};

use super::message::{Letterhead, Message, message};
use super::retry::Retry;
use super::{Answer, Courier, Told, Turn, backlog};

impl Courier {
    /// Sends the next messages and moves the cursor behind them; `None` when that went well.
    pub(super) fn send(
        &mut self,
        lane: &str,
        told: &mut Told,
        batch: usize,
    ) -> Result<Option<Turn>> {
        let (mut messages, mut at, mut rows) = (Vec::new(), told.at, 0);
        let mut oldest_us = i64::MAX;
        let lake = self.lake.clone();
        let now_us = self.pipeline.clock.now_us();
        for row in &told.rows {
            let wanted = self.is_wanted(row);
            // What may be given up goes by itself.
            let aged = |us| self.is_too_old(us, now_us);
            let apart = !messages.is_empty() && aged(oldest_us) != aged(row.committed_at_us);
            if wanted && (messages.len() == batch || apart) {
                break;
            }
            at = backlog::after(at, row, wanted);
            rows += 1;
            if wanted {
                let (alert, key) = (&self.alert.name, &self.pipeline.config.event.key);
                let head = Letterhead { alert, lake: &lake, lane, key };
                messages.push(message(head, row, at.sequence));
                oldest_us = oldest_us.min(row.committed_at_us);
            }
        }
        if !messages.is_empty() {
            told.retry.attempts += 1;
            let now = SystemTime::UNIX_EPOCH + Duration::from_micros(now_us.max(0).unsigned_abs());
            let answer = self.receiver.send(&messages, now);
            let patience = self.patience_is_over(&answer, &mut told.retry);
            let attempts = told.retry.attempts;
            match answer {
                Answer::Taken => self.metrics.sent.inc_by(messages.len() as u64),
                Answer::Refused { why } => self.bury(lane, at, &messages, attempts, &why)?,
                Answer::Later { why, .. } if patience && self.is_too_old(oldest_us, now_us) => {
                    self.bury(lane, at, &messages, attempts, &why)?;
                }
                Answer::Later { after, why } => {
                    self.metrics.retried.inc();
                    let alert = &self.alert.name;
                    tracing::warn!(alert, lane, attempts, why, "not delivered; it is tried again");
                    return Ok(Some(Turn::Failed(after)));
                }
            }
            told.retry.moved_on();
        }
        told.at = at;
        told.rows.drain(..rows);
        if messages.is_empty() || self.advance(told)? {
            return Ok(None);
        }
        tracing::info!(alert = self.alert.name, lane, "another process tells the lane's events");
        Ok(Some(Turn::Lost))
    }

    /// Takes an answer down. Says whether the receiver has taken nothing, or not this message, for as long as
    /// between two attempts: a start without network, or a moment of refusals, gives nothing up.
    fn patience_is_over(&mut self, answer: &Answer, retry: &mut Retry) -> bool {
        let Answer::Later { .. } = answer else {
            self.down_since = None;
            retry.went_well();
            return false;
        };
        let now = Instant::now();
        let down = now.duration_since(*self.down_since.get_or_insert(now));
        retry.refused(now).max(down) >= self.alert.retry_max
    }

    /// Keeps messages that nobody takes; the last of them has the number that `at` says.
    fn bury(
        &self,
        lane: &str,
        at: Progress,
        messages: &[Message],
        attempts: u64,
        why: &str,
    ) -> Result<()> {
        let first = at.sequence - messages.len() as u64;
        for (sequence, message) in (first + 1..).zip(messages) {
            self.alerts.bury(&DeadLetter {
                alert: self.alert.name.clone(),
                lane: lane.to_owned(),
                sequence,
                id: message.id.clone(),
                message: message.body.clone(),
                why: why.to_owned(),
                attempts,
                died_at_us: self.pipeline.clock.now_us(),
            })?;
            self.metrics.dead.inc();
        }
        let (alert, count) = (&self.alert.name, messages.len());
        tracing::error!(alert, lane, count, why, "given up: see tidegauge alerts dead");
        Ok(())
    }

    fn is_too_old(&self, oldest_us: i64, now_us: i64) -> bool {
        let age = Duration::from_micros(now_us.saturating_sub(oldest_us).max(0).unsigned_abs());
        age > self.alert.give_up_after
    }
}
