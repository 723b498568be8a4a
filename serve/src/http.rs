//! The HTTP server beside the lanes: metrics and probes.
//!
//! *Why a thread of its own*: the lanes are plain loops on their threads and share nothing with
//! this but atomics. A scrape that takes long, or never ends, costs them nothing.
//!
//! *Limits*: connections at a time, bytes and number of headers, time for a request's header and
//! for a whole connection. Bodies are not read.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{Health, Metrics, ServeError};

/// The type that Prometheus expects of its text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long to wait after a connection could not be accepted, as when files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. It ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What a client may use up.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// At a time; more wait in the system's queue.
    connections: usize,
    /// Bytes of one request's header.
    header_bytes: usize,
    headers: usize,
    /// From the end of one request, or the connection's start, to the end of the next header.
    header_time: Duration,
    /// One connection's life, in which it may ask many times.
    connection_time: Duration,
    /// What a response under way has left once the connection or the server is to end.
    grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            header_bytes: 16 << 10,
            headers: 64,
            header_time: Duration::from_secs(30),
            connection_time: Duration::from_secs(600),
            grace: Duration::from_secs(5),
        }
    }
}

impl Server {
    /// Listens on `listen` (port 0: one that is free) and answers on a thread of its own.
    ///
    /// # Errors
    /// [`ServeError::Bind`] with the address when it can't be listened on.
    pub fn start(
        listen: SocketAddr,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Result<Self, ServeError> {
        Self::start_limited(listen, metrics, health, Limits::default())
    }

    fn start_limited(
        listen: SocketAddr,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        limits: Limits,
    ) -> Result<Self, ServeError> {
        let bind = |source| ServeError::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        listener.set_nonblocking(true).map_err(ServeError::Start)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ServeError::Start)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(ServeError::Start)?
        };
        let (stop, stopped) = watch::channel(false);
        let router = router(Shown { metrics, health });
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || runtime.block_on(listen_until(listener, router, limits, stopped)))
            .map_err(ServeError::Start)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens, with the port that the system gave.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets responses under way end for up to 5 seconds, then returns.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP server's thread had panicked");
        }
    }
}

#[derive(Debug, Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/metrics", get(exposition))
        .route("/health/live", get(|State(shown): State<Shown>| probe(shown.health.liveness())))
        .route("/health/ready", get(|State(shown): State<Shown>| probe(shown.health.readiness())))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .method_not_allowed_fallback(|| async {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n")
        })
        .with_state(shown)
}

async fn exposition(State(shown): State<Shown>) -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION)], shown.metrics.text()).into_response()
}

fn probe(state: Result<(), String>) -> std::future::Ready<Response> {
    std::future::ready(match state {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    })
}

async fn listen_until(
    listener: tokio::net::TcpListener,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    while !*stopped.borrow() {
        let (socket, slot) = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            _ = stopped.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(answer(socket, slot, router.clone(), limits, stopped.clone()));
    }
    drop(listener);
    // Each connection ends within its grace.
    while connections.join_next().await.is_some() {}
}

/// The next connection, once one of the slots is free for it.
async fn accept(
    listener: &tokio::net::TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return (socket, slot),
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one connection's requests until it ends, is too old or the server stops.
async fn answer(
    socket: TcpStream,
    _slot: OwnedSemaphorePermit,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end_of_time(limits.connection_time, &mut stopped) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.grace, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // A client's mistake or its disappearance: nobody here has to act.
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn end_of_time(time: Duration, stopped: &mut watch::Receiver<bool>) {
    // A dropped server is a stopped one, so the error of a closed channel ends the wait too.
    let _ = timeout(time, stopped.wait_for(|stop| *stop)).await;
}

#[cfg(test)]
mod tests;
