//! What the server listens on, and what a client may use up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Connections at a time when nobody has said anything else.
pub const CONNECTIONS_DEFAULT: usize = 256;

/// `[http]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where it listens; port 0 is one that is free.
    pub listen: SocketAddr,
    /// The file of hashed keys; `None`: everyone who reaches the address may do everything.
    pub keys: Option<PathBuf>,
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Names, besides the address, that a request's `Host` may have. Lower case, without ports.
    pub allowed_hosts: Vec<String>,
    /// What a client may use up.
    pub limits: HttpLimits,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What a client may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// At a time; more wait in the system's queue.
    pub connections: usize,
    /// Of these, from one address; more are closed at once.
    pub connections_per_peer: usize,
    /// Of these, that wait for events.
    pub streams: usize,
    /// Bytes of one request's header.
    pub header_bytes: usize,
    /// Header lines of one request.
    pub headers: usize,
    /// Bytes of one request's body.
    pub body_bytes: usize,
    /// From the connection's start to the end of TLS's handshake.
    pub handshake_time: Duration,
    /// From the end of one request, or the connection's start, to the end of the next header.
    pub header_time: Duration,
    /// From the end of the header to the start of the answer, the body's arrival included.
    pub request_time: Duration,
    /// How long a client may take no byte of an answer.
    pub write_time: Duration,
    /// One connection's life, in which it may ask many times.
    pub connection_time: Duration,
    /// What a response under way has left once the connection or the server is to end.
    pub grace: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_DEFAULT,
            connections_per_peer: CONNECTIONS_DEFAULT / 2,
            streams: CONNECTIONS_DEFAULT / 4,
            header_bytes: 16 << 10,
            headers: 64,
            body_bytes: 1 << 20,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            connection_time: Duration::from_secs(600),
            grace: Duration::from_secs(5),
        }
    }
}

impl HttpLimits {
    /// With so many connections, half of them for one address and a quarter for streams.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        let part = |of: usize| (connections / of).max(1);
        Self { connections, connections_per_peer: part(2), streams: part(4), ..self }
    }
}

impl HttpSettings {
    /// Plain HTTP without keys on an address, which is for loopback only.
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            keys: None,
            tls: None,
            allowed_hosts: Vec::new(),
            limits: HttpLimits::default(),
        }
    }

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.listen.ip())
    }
}

/// `127.0.0.0/8` and `::1`, also written as an IPv6 address.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
