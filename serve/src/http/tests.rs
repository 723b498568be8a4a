//! Requests over real connections.

mod abuse;
mod access;
mod api;
mod client;
mod console;
mod page;
mod probe;
mod series;
mod stream;
mod tls;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::client::{Answer, PATIENCE, rest, send};
use self::console::Fake;
use super::keys::{self, Role, Secret};
use super::{HttpLimits, HttpSettings, Server, Site};
use crate::{Health, LaneLabels, Metrics, ServeError};

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Fixture {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    console: Arc<Fake>,
    server: Server,
    folder: tempfile::TempDir,
}

fn start(limits: HttpLimits) -> Fixture {
    start_with(|_| HttpSettings { limits, ..HttpSettings::on(ANYWHERE) })
}

/// With settings that may name files of a folder.
fn start_with(settings: impl FnOnce(&Path) -> HttpSettings) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let metrics = Arc::new(Metrics::new().expect("the names are distinct"));
    let health = Arc::new(Health::new());
    let console = Arc::new(Fake::default());
    let site = Site {
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        console: Some(console.clone()),
        series: Some(Arc::new(crate::series::tests::Made)),
    };
    let server = Server::start(settings, site).expect("a free port");
    Fixture { metrics, health, console, server, folder }
}

/// A server with a key of each role.
fn start_with_keys() -> (Fixture, [(Role, Secret); 3]) {
    let keys = Role::ALL.map(|role| (role, Secret::random().expect("random")));
    let fixture = start_with(|folder| {
        let path = folder.join("keys.toml");
        for (role, secret) in &keys {
            keys::add(&path, *role, role.as_str(), secret, "").expect("a key is added");
        }
        HttpSettings { keys: Some(path), ..HttpSettings::on(ANYWHERE) }
    });
    (fixture, keys)
}

impl Fixture {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addr()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// The whole answer to one request on a connection of its own.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = self.connect();
        send(&mut stream, method, path, "close");
        rest(&mut stream)
    }

    /// With headers, and a body.
    fn request(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        client::request(&mut self.connect(), line, headers, body)
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// How often a limit or guard has refused.
    fn refused(&self, reason: &str) -> u64 {
        let wanted = format!("tidegauge_http_refused_total{{reason=\"{reason}\"}} ");
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
        line.expect("every reason is there from the start").parse().expect("a number")
    }
}

#[test]
fn metrics_are_served_in_the_text_format() {
    let fixture = start(HttpLimits::default());
    let labels = LaneLabels {
        reasons: &["empty"],
        statuses: &["ok"],
        tables: &["late"],
        late: &["window_closed"],
    };
    let lane = fixture.metrics.lane("sensors-0", &labels);
    lane.messages.inc_by(12);
    let answer = fixture.ask("GET", "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains(r#"tidegauge_ingest_messages_total{lane="sensors-0"} 12"#), "{answer}");
    lane.remove();
    assert!(!fixture.ask("GET", "/metrics").contains("sensors-0"));
}

#[test]
fn probes_follow_the_health_and_say_why() {
    let fixture = start(HttpLimits::default());
    assert!(fixture.ask("GET", "/health/live").starts_with("HTTP/1.1 200 "));
    let starting = fixture.ask("GET", "/health/ready");
    assert!(starting.starts_with("HTTP/1.1 503 "), "{starting}");
    assert!(starting.ends_with("\r\n\r\nstarting\n"), "{starting}");
    fixture.health.ready();
    assert!(fixture.ask("GET", "/health/ready").starts_with("HTTP/1.1 200 "));
    fixture.health.dead("lane sensors-0 stopped");
    let dead = fixture.ask("GET", "/health/live");
    assert!(dead.starts_with("HTTP/1.1 503 "), "{dead}");
    assert!(dead.ends_with("\r\n\r\nlane sensors-0 stopped\n"), "{dead}");
}

#[test]
fn other_methods_and_paths_are_refused() {
    let fixture = start(HttpLimits::default());
    for (method, path, status) in [
        ("POST", "/metrics", "405"),
        ("DELETE", "/health/ready", "405"),
        ("GET", "/metrics/more", "404"),
        ("POST", "/nowhere", "404"),
    ] {
        let answer = fixture.ask(method, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
    }
}

#[test]
fn nonsense_and_oversized_headers_are_refused_and_the_server_goes_on() {
    let fixture = start(HttpLimits::default());
    let mut nonsense = fixture.connect();
    nonsense.write_all(b"\x16\x03\x01 not http at all\r\n\r\n").expect("the server reads");
    assert!(rest(&mut nonsense).starts_with("HTTP/1.1 400 "));
    let mut oversized = fixture.connect();
    // The server may close before all of it is written.
    let _ = write!(oversized, "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = rest(&mut oversized);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(fixture.ask("GET", "/health/live").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_client_that_never_finishes_its_header_is_cut_off() {
    let fixture =
        start(HttpLimits { header_time: Duration::from_millis(50), ..HttpLimits::default() });
    let mut slow = fixture.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").expect("the server reads");
    let answer = rest(&mut slow);
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[test]
fn a_connection_over_the_limit_waits_for_a_slot() {
    let fixture = start(HttpLimits { connections: 1, ..HttpLimits::default() });
    let mut first = fixture.connect();
    send(&mut first, "GET", "/health/live", "keep-alive");
    let mut start = [0; 12];
    first.read_exact(&mut start).expect("the first is answered");
    let mut second = fixture.connect();
    send(&mut second, "GET", "/health/live", "close");
    second.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout can be set");
    let waiting = second.read(&mut start).expect_err("no answer while the slot is taken");
    assert!(
        matches!(waiting.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        "{waiting}"
    );
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    assert!(rest(&mut second).starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_old_connection_is_ended() {
    let fixture =
        start(HttpLimits { connection_time: Duration::from_millis(50), ..HttpLimits::default() });
    let mut idle = fixture.connect();
    assert_eq!(rest(&mut idle), "");
}

#[test]
fn a_taken_port_is_named_in_the_error() {
    let fixture = start(HttpLimits::default());
    let taken = fixture.server.local_addr();
    let (metrics, health) = (Arc::clone(&fixture.metrics), Arc::clone(&fixture.health));
    let again = Server::start(
        HttpSettings::on(taken),
        Site { metrics, health, console: None, series: None },
    );
    let error = again.expect_err("the port is taken");
    assert!(matches!(error, ServeError::Bind { address, .. } if address == taken));
    assert!(error.to_string().starts_with(&format!("cannot listen on {taken}: ")), "{error}");
}

#[test]
fn a_stopped_server_frees_its_port_and_ends_idle_connections() {
    let fixture = start(HttpLimits::default());
    let address = fixture.server.local_addr();
    let mut idle = fixture.connect();
    send(&mut idle, "GET", "/health/live", "keep-alive");
    let mut begin = [0; 12];
    idle.read_exact(&mut begin).expect("it is answered");
    fixture.server.stop();
    rest(&mut idle);
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}
