//! Server-sent events: how it stands each second, and anomalies as they are committed.
//!
//! *Why one asker*: however many browsers look, the console is asked once a second, and not at all when
//! nobody looks. *Bounds*: places for streams are counted apart from other connections; each stream has
//! a short queue, and one that is not read falls out of it and is ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::App;
use super::gate::Caller;
use super::params::Params;
use super::refusal::{Refusal, Refused};

/// How often it is told how everything stands.
const EVERY: Duration = Duration::from_secs(1);
/// Events that a stream may be behind.
const QUEUE: usize = 16;
/// Anomalies that one event tells at most.
const ANOMALIES_MAX: usize = 200;

/// Where streams get their events.
#[derive(Debug)]
pub(super) struct Hub {
    events: broadcast::Sender<Bytes>,
    places: Arc<Semaphore>,
    come: Notify,
    stopped: watch::Receiver<bool>,
}

impl Hub {
    pub(super) fn new(streams: usize, stopped: watch::Receiver<bool>) -> Self {
        Self {
            events: broadcast::channel(QUEUE).0,
            places: Arc::new(Semaphore::new(streams)),
            come: Notify::new(),
            stopped,
        }
    }
}

/// Asks the console for as long as somebody looks, until the server stops.
pub(super) async fn feed(app: App) {
    let mut stopped = app.hub.stopped.clone();
    let ask = async {
        let mut cursor = 0;
        loop {
            while app.hub.events.receiver_count() == 0 {
                // What is committed while nobody looks is found by asking, not told later.
                cursor = 0;
                app.hub.come.notified().await;
            }
            round(&app, &mut cursor).await;
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = ask => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

async fn round(app: &App, cursor: &mut u64) {
    let tell = |event| {
        // Nobody may be there any more.
        let _ = app.hub.events.send(event);
    };
    match app.pool.ask(|console| console.overview()).await {
        Ok(overview) => tell(event("overview", &overview)),
        Err(refusal) => {
            tracing::debug!(error = refusal.error, "no overview for event streams");
            // Keeps the connection, and shows that the server lives.
            tell(Bytes::from_static(b"event: waiting\ndata: {}\n\n"));
        }
    }
    let since = *cursor;
    let news = app.pool.ask(move |console| console.anomalies_since(since, ANOMALIES_MAX)).await;
    match news {
        Ok((anomalies, next)) => {
            *cursor = next;
            if !anomalies.is_empty() {
                tell(event("anomalies", &anomalies));
            }
        }
        Err(refusal) => tracing::debug!(error = refusal.error, "no anomalies for event streams"),
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    // JSON has no line breaks outside texts, and escapes them there.
    let data = serde_json::to_string(data).expect("the console's answers are JSON");
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// One browser's stream.
struct Stream {
    app: App,
    caller: Caller,
    events: broadcast::Receiver<Bytes>,
    stopped: watch::Receiver<bool>,
    /// Ends in order before its connection is ended for its age; the browser comes again.
    until: Instant,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn open(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Refusal> {
    Params::read(uri.query(), &[])?;
    // Without a console there is nothing to wait for.
    app.pool.ask(|console| console.info()).await?;
    let Ok(place) = Arc::clone(&app.hub.places).try_acquire_owned() else {
        let error = "too many event streams are open: close some of them";
        return Err(Refusal::later(error).because(Refused::Streams));
    };
    let events = app.hub.events.subscribe();
    app.hub.come.notify_one();
    let until = Instant::now() + app.limits.connection_time / 10 * 9;
    let stopped = app.hub.stopped.clone();
    let state = Stream { app, caller, events, stopped, until, _place: place };
    let hello = Bytes::from_static(b"retry: 2000\n\n");
    let body = stream::unfold((Some(hello), state), |(hello, mut state)| async move {
        let event = match hello {
            Some(hello) => hello,
            None => state.next().await?,
        };
        Some((Ok::<_, Infallible>(event), (None, state)))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response())
}

impl Stream {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        let event = tokio::select! {
            event = self.events.recv() => event,
            _ = self.stopped.wait_for(|stop| *stop) => return None,
            () = sleep_until(self.until) => return None,
        };
        match event {
            // A key that was removed ends what it began.
            Ok(event) => {
                self.app.gate.still_knows(&self.caller, &self.app.metrics.http).then_some(event)
            }
            Err(RecvError::Closed) => None,
            Err(RecvError::Lagged(_)) => {
                self.app.metrics.http.refused(Refused::SlowStream);
                None
            }
        }
    }
}
