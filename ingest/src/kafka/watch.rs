//! What a client tells on the side: errors, which are counted; logs; whether a broker is in reach.
//!
//! *Why not librdkafka's own levels*: while a broker is away it says so for every try of every connection.
//! Here that is one line when the last broker goes and one when the first is back; the rest is for
//! whoever debugs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as NativeError;
use rdkafka::types::RDKafkaErrorCode;

use super::error::is_refusal;

#[cfg(test)]
mod tests;

/// Logs that call for nobody: broken connections, which also come as errors when they matter; failed
/// offset commits, which only lag tools miss; a producer's first request while the brokers start,
/// which is repeated until messages are reported as undelivered.
const QUIET: [&str; 3] = ["FAIL", "COMMITFAIL", "GETPID"];

/// The errors of one client since they were last taken.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Whose: a word for the log.
    client: &'static str,
    errors: Mutex<Errors>,
    /// No broker is in reach, and that has been said.
    away: AtomicBool,
    /// How many callbacks have run: tells an event that was served from an empty queue.
    served: AtomicU64,
}

#[derive(Debug, Default)]
struct Errors {
    /// By code name: a closed set of librdkafka's.
    counts: BTreeMap<String, u64>,
    refusal: Option<String>,
    last: Option<String>,
}

impl Watch {
    pub(crate) fn of(client: &'static str) -> Self {
        let (errors, away, served) = Default::default();
        Self { client, errors, away, served }
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, code: RDKafkaErrorCode) {
        self.count_as(&format!("{code:?}"));
    }

    pub(crate) fn count_as(&self, name: &str) {
        *lock(&self.errors).counts.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn take_counts(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut lock(&self.errors).counts).into_iter().collect()
    }

    /// The broker's words when it refused us.
    pub(crate) fn refusal(&self) -> Option<String> {
        lock(&self.errors).refusal.clone()
    }

    pub(crate) fn last(&self) -> Option<String> {
        lock(&self.errors).last.clone()
    }

    /// A broker has answered. librdkafka doesn't say when one is back, so whoever hears from one does.
    pub(crate) fn answered(&self) {
        // Read first: this runs with every batch.
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::warn!(client = self.client, "kafka: a broker answers again");
        }
    }

    fn lost(&self, reason: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            let last = self.last().unwrap_or_default();
            tracing::warn!(client = self.client, last, "kafka: no broker in reach: {reason}");
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.mark_served();
        if QUIET.contains(&facility) {
            tracing::debug!(client = self.client, facility, "kafka: {message}");
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, "kafka: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "kafka: {message}"),
        }
    }

    fn error(&self, error: NativeError, reason: &str) {
        self.mark_served();
        let code = error.rdkafka_error_code();
        match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost(reason),
            Some(code) if is_broken_connection(code) => {
                tracing::debug!(client = self.client, "kafka: {reason}");
            }
            _ => tracing::warn!(client = self.client, "kafka: {reason}"),
        }
        let Some(code) = code else { return };
        self.count(code);
        let mut errors = lock(&self.errors);
        // "All brokers down" follows every other trouble and explains nothing.
        if code != RDKafkaErrorCode::AllBrokersDown || errors.last.is_none() {
            errors.last = Some(reason.to_owned());
        }
        if is_refusal(code) {
            errors.refusal = Some(reason.to_owned());
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        self.mark_served();
    }
}

impl ConsumerContext for Watch {}

/// One connection's trouble, which librdkafka mends by trying again.
fn is_broken_connection(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut)
}

/// Plain data stays whole when a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
