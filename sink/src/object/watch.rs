//! What became of each request, as the client below `object_store` saw it.
//!
//! *Why*: its errors do not tell a request that was never sent from one whose answer was lost, nor
//! how long the server asked us to wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

/// The outcome of the last request of a task.
#[derive(Debug, Clone, Default)]
pub(super) enum Seen {
    /// There was none.
    #[default]
    Nothing,
    /// There was no connection.
    NotSent(String),
    /// It was sent, or part of it, and there is no answer.
    Lost(String),
    Status {
        status: u16,
        after: Option<Duration>,
    },
}

tokio::task_local! {
    static NOTES: Arc<Mutex<Seen>>;
}

/// Runs a future, and tells what became of its last request.
pub(super) async fn noting<T>(future: impl Future<Output = T>) -> (T, Seen) {
    let notes = Arc::new(Mutex::new(Seen::Nothing));
    let answer = NOTES.scope(Arc::clone(&notes), future).await;
    let seen = notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (answer, seen)
}

/// Makes clients that take notes.
pub(super) fn connector() -> impl HttpConnector {
    Connector(ReqwestConnector::default())
}

#[derive(Debug)]
struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(self.0.connect(options)?)))
    }
}

struct Watched(HttpClient);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl HttpService for Watched {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let answer = self.0.execute(request).await;
            let seen = match &answer {
                Ok(response) => Seen::Status {
                    status: response.status().as_u16(),
                    after: response
                        .headers()
                        .get("retry-after")
                        .and_then(|v| seconds(v.to_str().ok()?)),
                },
                Err(error) if error.kind() == HttpErrorKind::Connect => Seen::NotSent(chain(error)),
                Err(error) => Seen::Lost(chain(error)),
            };
            // Requests of others are none of ours.
            let _ = NOTES.try_with(|notes| {
                *notes.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            });
            answer
        })
    }
}

/// The form with a number; a date would need our clock and the server's to agree.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The innermost reason: the outer ones only say that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
