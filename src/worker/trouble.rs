//! Trouble that may pass: what it is, when to try again, and when to give up.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_flow::StoreError;
use tidegauge_ingest::kafka::KafkaError;
use tidegauge_serve::Dropped;
use tidegauge_sink::LakeError;

use crate::config::units;
use crate::lane::OtherTopic;

/// The first wait before another try; doubled with each.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest.
const WAIT_MOST: Duration = Duration::from_secs(15);

/// What an error means for its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It may pass: the lane is opened again.
    Passes(Dropped),
    /// A person must act.
    Final,
}

/// What to make of an error.
pub(super) fn weigh(error: &anyhow::Error) -> Weight {
    error.chain().map(weigh_one).find(|w| *w != Weight::Final).unwrap_or(Weight::Final)
}

fn weigh_one(error: &(dyn std::error::Error + 'static)) -> Weight {
    let failed = Weight::Passes(Dropped::Failed);
    if let Some(error) = error.downcast_ref::<LakeError>() {
        return match error {
            LakeError::Fenced { .. } | LakeError::Contended { .. } | LakeError::Broken { .. } => {
                Weight::Passes(Dropped::Fenced)
            }
            LakeError::Store(error) if passes(error) => failed,
            _ => Weight::Final,
        };
    }
    if let Some(error) = error.downcast_ref::<KafkaError>() {
        return match error {
            KafkaError::Transient { .. }
            | KafkaError::Unreachable { .. }
            | KafkaError::UnknownTopic { .. } => failed,
            _ => Weight::Final,
        };
    }
    if error.downcast_ref::<OtherTopic>().is_some() {
        return failed;
    }
    if error.downcast_ref::<StoreError>().is_some_and(passes) {
        return failed;
    }
    if error.downcast_ref::<io::Error>().is_some_and(|e| may_pass(e.kind())) {
        return failed;
    }
    Weight::Final
}

fn passes(error: &StoreError) -> bool {
    match error {
        StoreError::Ambiguous { .. } => true,
        StoreError::Failed { source, .. } => may_pass(source.kind()),
        StoreError::NotFound { .. } | StoreError::Exists { .. } => false,
    }
}

/// What a network or a busy machine gets over by itself. A full disk, a missing right or a broken medium
/// is not among them: to try on would only hide it.
fn may_pass(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        kind,
        Kind::Interrupted
            | Kind::TimedOut
            | Kind::WouldBlock
            | Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::ResourceBusy
            | Kind::StaleNetworkFileHandle
    )
}

/// Trouble that has not passed yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    since: Instant,
    tries: u32,
    /// When to try again.
    pub at: Instant,
}

impl Trouble {
    pub fn new(now: Instant) -> Self {
        Self { since: now, tries: 0, at: now }
    }

    /// Whether nothing was heard of it for so long that another is not the same.
    pub fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) > 2 * WAIT_MOST
    }

    /// It is still there: notes when to try again, later each time.
    ///
    /// # Errors
    /// The error itself, when it has lasted longer than `bound`.
    pub fn again(
        &mut self,
        now: Instant,
        bound: Duration,
        error: anyhow::Error,
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> Result<()> {
        if now.saturating_duration_since(self.since) > bound {
            let bound = units::show(bound);
            let tried = format!("tried for longer than source.retry_for ({bound})");
            return Err(error).context(tried);
        }
        let wait = WAIT_FIRST.saturating_mul(1 << self.tries.min(16)).min(WAIT_MOST);
        self.tries += 1;
        self.at = now + jitter(wait);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn store(kind: io::ErrorKind) -> anyhow::Error {
        let (action, path) = ("write", "x".to_string());
        LakeError::from(StoreError::Failed { action, path, source: kind.into() }).into()
    }

    #[test]
    fn fm_29_only_what_passes_by_itself_is_tried_again() {
        let fenced = LakeError::Fenced { lane: "t-0".into(), epoch: 3, by: "x".into() };
        let transient = KafkaError::Transient { action: "a".into(), reason: "b".into() };
        let (fenced, transient) = (anyhow::Error::from(fenced), anyhow::Error::from(transient));
        let lost = KafkaError::Fatal { code: "a".into(), reason: "b".into() };
        let cases = [
            (store(io::ErrorKind::TimedOut), Weight::Passes(Dropped::Failed)),
            (store(io::ErrorKind::StorageFull), Weight::Final),
            (store(io::ErrorKind::PermissionDenied), Weight::Final),
            (store(io::ErrorKind::ReadOnlyFilesystem), Weight::Final),
            (fenced.context("cannot take lane t-0"), Weight::Passes(Dropped::Fenced)),
            (transient, Weight::Passes(Dropped::Failed)),
            (lost.into(), Weight::Final),
            (anyhow!("the query fails"), Weight::Final),
        ];
        for (error, weight) in cases {
            assert_eq!(weigh(&error), weight, "{error:#}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let start = Instant::now();
        let mut trouble = Trouble::new(start);
        let (mut now, mut waits) = (start, Vec::new());
        let bound = Duration::from_secs(60);
        while trouble.again(now, bound, anyhow!("x"), |d| d).is_ok() {
            waits.push(trouble.at - now);
            now = trouble.at;
        }
        assert!(waits.windows(2).all(|w| w[0] <= w[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= WAIT_MOST), "{waits:?}");
        assert!(now - start <= bound + WAIT_MOST, "{:?}", now - start);
    }
}
