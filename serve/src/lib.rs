//! What the outside sees of a running process: metrics, probes, and the HTTP server that shows
//! them.
//!
//! **Invariant:** nothing here decides anything about the data. The binary counts and says how it
//! is; this crate keeps the numbers and answers requests, on one thread of its own, so that a slow
//! or hostile client never holds up a lane. `axum` and `hyper` appear in this crate only.

pub mod console;
pub mod health;
pub mod http;
pub mod metrics;
pub mod series;

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

pub use health::Health;
pub use http::{HttpLimits, HttpSettings, Server, Site, TlsFiles};
pub use metrics::{
    AlertMetrics, DriftCounts, Dropped, LaneLabels, LaneMetrics, Metrics, ModelsSeen, RefitMetrics,
    UpkeepMetrics, View,
};

/// Why the server or its metrics could not be set up.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is taken, forbidden or not of this machine.
    #[error(
        "cannot listen on {address}: {source}; stop what uses it or choose another [http] listen"
    )]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file of keys can't be used.
    #[error("the keys can't be used: {0}")]
    Keys(#[from] http::keys::KeysError),
    /// The certificate or its key can't be used.
    #[error("TLS can't be used: {0}")]
    Tls(#[from] http::TlsError),
    /// The system refused a thread or the runtime's own resources.
    #[error("cannot start the HTTP server: {0}")]
    Start(io::Error),
    /// Two metrics of one name, or a name that Prometheus does not allow: a mistake of ours.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
