//! The HTTP server beside the lanes: metrics, probes, the live page and its data.
//!
//! *Why a thread of its own*: the lanes are plain loops on their threads and share nothing with
//! this but atomics and what the console reads. A scrape that takes long, or never ends, costs them
//! nothing. Questions that read the lake run on a few threads that may wait, never on the one that
//! serves connections.
//!
//! *Limits*: everything that a client can make grow or wait is bounded: see [`HttpLimits`].

mod accept;
mod api;
mod assets;
mod attempts;
mod body;
mod gate;
mod hosts;
mod keyring;
pub mod keys;
mod login;
mod params;
mod pool;
pub mod probe;
mod refusal;
mod routes;
mod series;
mod sessions;
mod settings;
mod stall;
mod stream;
pub mod tls;
mod watched;

use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::watch;

pub use self::refusal::Refused;
pub use self::settings::{HttpLimits, HttpSettings, TlsFiles};
pub use self::tls::TlsError;
use crate::console::Console;
use crate::series::Series;
use crate::{Health, Metrics, ServeError};

/// Threads that may wait: for questions at work, and a few for what tokio itself does.
const BLOCKING_THREADS: usize = pool::AT_WORK_MAX + 2;

/// A running server. It ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What is shown.
#[derive(Clone)]
pub struct Site {
    /// At `/metrics`.
    pub metrics: Arc<Metrics>,
    /// At `/health/…`.
    pub health: Arc<Health>,
    /// Behind the page and `/api/v1`.
    pub console: Option<Arc<dyn Console>>,
    /// Behind `/prometheus/api/v1`.
    pub series: Option<Arc<dyn Series>>,
}

/// What handlers work with.
#[derive(Clone)]
struct App(Arc<Parts>);

struct Parts {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    pool: pool::Pool,
    hub: stream::Hub,
    gate: gate::Gate,
    certificate: Option<tls::Certificate>,
    limits: HttpLimits,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Server {
    /// Listens and answers on a thread of its own.
    ///
    /// # Errors
    /// [`ServeError::Bind`] with the address when it can't be listened on, [`ServeError::Keys`] and
    /// [`ServeError::Tls`] when a file can't be used.
    pub fn start(settings: HttpSettings, site: Site) -> Result<Self, ServeError> {
        let gate = gate::Gate::open(&settings)?;
        let certificate = settings.tls.clone().map(tls::Certificate::open).transpose()?;
        let bind = |source| ServeError::Bind { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        listener.set_nonblocking(true).map_err(ServeError::Start)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(ServeError::Start)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(ServeError::Start)?
        };
        let (stop, stopped) = watch::channel(false);
        let app = App(Arc::new(Parts {
            metrics: site.metrics,
            health: site.health,
            pool: pool::Pool::new(site.console, site.series),
            hub: stream::Hub::new(settings.limits.streams, stopped.clone()),
            gate,
            certificate,
            limits: settings.limits,
        }));
        let last = app.clone();
        let serve = async move {
            let router = routes::router(app.clone());
            tokio::spawn(stream::feed(app.clone()));
            accept::listen_until(listener, app, router, stopped).await;
        };
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(serve);
                // A question that is still at work ends by itself; nobody waits for its answer.
                runtime.shutdown_background();
                // What answers may have runtimes of its own, which must not end within one.
                drop(last);
            })
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

#[cfg(test)]
mod tests;
