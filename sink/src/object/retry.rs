//! One request, tried until its outcome is clear, within bounds.

use std::future::Future;
use std::time::Duration;

use object_store::Error;
use tokio::time::{Instant, sleep, timeout};

use super::message::code;
use super::watch::{self, Seen};

/// The first pause between tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A server that sends or takes less than this per second is as good as silent.
const SLOWEST: usize = 256 * 1024;

/// How long a request may take, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one try, and 1 s more for each 256 KiB that it carries.
    pub request: Duration,
    /// Tries at most.
    pub tries: u32,
    /// After this long no further try begins.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (request, total) = (Duration::from_secs(30), Duration::from_secs(60));
        Self { request, tries: 10, total }
    }
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    NotFound,
    /// A conditional write found the object there.
    Exists,
    /// A conditional write met an object or another request.
    Conflict {
        code: String,
    },
    /// The server will not do it for us, however often we ask: status and its own word for it.
    Refused {
        status: u16,
        code: String,
    },
    /// It cannot be reached, or is overloaded, and we have asked often enough.
    Away {
        tries: u32,
        what: String,
    },
    /// Nothing was sent: our own settings or the path.
    Unusable {
        what: String,
    },
}

impl Failure {
    pub fn lost(what: &str) -> Self {
        Self::Away { tries: 1, what: what.to_owned() }
    }
}

/// How a request ended, and whether a try before the last may have been carried out.
pub(super) struct Ended<T> {
    pub answer: Result<T, Failure>,
    /// Also true when the last try itself may have been carried out and failed for us.
    pub unsure: bool,
}

/// One try's failure: the end of it, or worth another try.
enum Verdict {
    Final(Failure),
    /// `carried_out`: it may have been, only the answer is missing.
    Again {
        what: String,
        carried_out: bool,
        after: Option<Duration>,
    },
}

/// Tries a request until it succeeds, is refused, or `patience` ends. `bytes`: what a try carries.
pub(super) async fn retry<T, F>(
    patience: Patience,
    bytes: usize,
    mut attempt: impl FnMut() -> F,
) -> Ended<T>
where
    F: Future<Output = object_store::Result<T>>,
{
    let began = Instant::now();
    let limit = patience.request + Duration::from_secs((bytes / SLOWEST) as u64);
    let mut unsure = false;
    for tries in 1.. {
        let (answer, seen) = watch::noting(timeout(limit, attempt())).await;
        let verdict = match answer {
            Ok(Ok(value)) => return Ended { answer: Ok(value), unsure },
            Ok(Err(error)) => judge(&error, seen),
            Err(_) => {
                let what = format!("there was no answer within {limit:?}");
                Verdict::Again { what, carried_out: true, after: None }
            }
        };
        let (what, after) = match verdict {
            Verdict::Final(failure) => return Ended { answer: Err(failure), unsure },
            Verdict::Again { what, carried_out, after } => {
                unsure |= carried_out;
                (what, after)
            }
        };
        if tries >= patience.tries || began.elapsed() >= patience.total {
            return Ended { answer: Err(Failure::Away { tries, what }), unsure };
        }
        let pause = pause(tries).max(after.unwrap_or_default().min(PAUSE_MAX));
        tracing::warn!(tries, ?pause, what, "the lake's server did not do it: trying again");
        sleep(pause).await;
    }
    unreachable!("the loop above returns")
}

/// Twice as long each time, and never the same for two clients that failed together.
fn pause(tries: u32) -> Duration {
    let longest = PAUSE.saturating_mul(1 << tries.min(16).saturating_sub(1)).min(PAUSE_MAX);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

fn judge(error: &Error, seen: Seen) -> Verdict {
    let text = error.to_string();
    let again = |what: String, carried_out, after| Verdict::Again { what, carried_out, after };
    match (error, seen) {
        (_, Seen::Nothing) => Verdict::Final(Failure::Unusable { what: text }),
        (_, Seen::NotSent(what)) => again(what, false, None),
        (_, Seen::Lost(what)) => again(what, true, None),
        // Deletions go in bulk, and their answer is good while one of them is not.
        (Error::NotFound { .. }, _) | (_, Seen::Status { status: 404, .. }) => {
            Verdict::Final(Failure::NotFound)
        }
        (_, Seen::Status { status: 409, .. }) => {
            Verdict::Final(Failure::Conflict { code: code(&text) })
        }
        (_, Seen::Status { status: 304 | 412, .. }) => Verdict::Final(Failure::Exists),
        (_, Seen::Status { status: status @ (408 | 429 | 500 | 502..=504), after }) => {
            let code = code(&text);
            // Too many requests: none of them was looked at.
            again(format!("the server answered {status} {code}"), status != 429, after)
        }
        (_, Seen::Status { status: 400, after }) if text.contains("<Code>RequestTimeout<") => {
            again("the server waited too long for our bytes".to_owned(), true, after)
        }
        // An error after a good answer: the rest of it got lost.
        (_, Seen::Status { status: 200..=299, .. }) => again(text, true, None),
        (_, Seen::Status { status, .. }) => {
            Verdict::Final(Failure::Refused { status, code: code(&text) })
        }
    }
}
