//! Connections: taken, bounded, answered, ended.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::App;
use super::refusal::Refused;
use super::stall::Stalling;
use crate::metrics::HttpMetrics;

/// How long to wait after a connection could not be accepted, as when files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whom a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub IpAddr);

/// Takes connections until the server is stopped, then waits for those under way.
pub(super) async fn listen_until(
    listener: TcpListener,
    app: App,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(app.limits.connections));
    let peers = Peers::default();
    let mut connections = JoinSet::new();
    while !*stopped.borrow() {
        let (socket, peer, slot) = tokio::select! {
            accepted = accept(&listener, &slots, &app.metrics.http) => accepted,
            _ = stopped.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        let Some(place) = peers.enter(peer.ip(), app.limits.connections_per_peer) else {
            app.metrics.http.refused(Refused::PeerConnections);
            continue;
        };
        let held = Held { _slot: slot, _place: place };
        let (app, router, stopped) = (app.clone(), router.clone(), stopped.clone());
        connections.spawn(answer(socket, Peer(peer.ip()), held, app, router, stopped));
    }
    drop(listener);
    // Each connection ends within its grace.
    while connections.join_next().await.is_some() {}
}

/// What a connection gives back at its end.
struct Held {
    _slot: OwnedSemaphorePermit,
    _place: Place,
}

/// The next connection, once one of the slots is free for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    metrics: &HttpMetrics,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    if slots.available_permits() == 0 {
        metrics.refused(Refused::Connections);
    }
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, slot),
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
    peer: Peer,
    _held: Held,
    app: App,
    router: Router,
    stopped: watch::Receiver<bool>,
) {
    app.metrics.http.connections.inc();
    match &app.certificate {
        None => converse(socket, peer, &app, router, stopped).await,
        Some(certificate) => {
            let config = certificate.current(&app.metrics.http);
            let shaken = TlsAcceptor::from(config).accept(socket);
            match timeout(app.limits.handshake_time, shaken).await {
                Ok(Ok(stream)) => converse(stream, peer, &app, router, stopped).await,
                // A scanner, a client without TLS, or one that trusts us not.
                Ok(Err(_)) | Err(_) => app.metrics.http.refused(Refused::Handshake),
            }
        }
    }
    app.metrics.http.connections.dec();
}

async fn converse(
    io: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    app: &App,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let limits = app.limits;
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(Stalling::new(io, limits.write_time)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end_of_time(limits.connection_time, &mut stopped) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.grace, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        if let Some(reason) = reason(&error) {
            app.metrics.http.refused(reason);
        }
        // A client's mistake or its disappearance: nobody here has to act.
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// Which limit it was; `None`: the client went.
fn reason(error: &hyper::Error) -> Option<Refused> {
    if error.is_parse_too_large() {
        Some(Refused::HeaderSize)
    } else if error.is_parse() {
        Some(Refused::Malformed)
    } else if error.is_timeout() {
        Some(Refused::HeaderTime)
    } else {
        let cause = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
        (cause.kind() == std::io::ErrorKind::TimedOut).then_some(Refused::SlowReader)
    }
}

async fn end_of_time(time: Duration, stopped: &mut watch::Receiver<bool>) {
    // A dropped server is a stopped one, so the error of a closed channel ends the wait too.
    let _ = timeout(time, stopped.wait_for(|stop| *stop)).await;
}

/// How many connections each address holds. No more addresses are kept than there are connections.
#[derive(Debug, Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place in the count.
#[derive(Debug)]
struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// `None` when the address holds `most` already.
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let address = counted_as(address);
        self.with(|counts| {
            let count = counts.entry(address).or_default();
            (*count < most).then(|| *count += 1)
        })?;
        Some(Place { peers: self.clone(), address })
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<IpAddr, usize>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.peers.with(|counts| {
            if let Some(count) = counts.get_mut(&self.address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&self.address);
                }
            }
        });
    }
}

/// Who has one IPv6 address mostly has 2^64 of them: the network counts.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        address => address,
    }
}
