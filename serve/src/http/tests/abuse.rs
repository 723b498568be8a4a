//! A server under attack: malformed and oversized requests, and connections that never come to an end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::client::{PATIENCE, eventually, rest};
use super::{HttpLimits, start};

/// Requests of each attacker.
const EACH: usize = 2500;
const ATTACKERS: u8 = 4;

/// A connection from another of this machine's own addresses.
pub fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let connected = runtime.expect("a runtime").block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
        socket.connect(to).await.expect("the server listens").into_std()
    });
    let stream = connected.expect("a plain socket");
    stream.set_nonblocking(false).expect("it can block");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// One bad request of each kind, in turns.
fn bad(number: usize) -> Vec<u8> {
    let head = "POST /api/v1/models/alias HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\n";
    match number % 8 {
        0 => b"\x16\x03\x01\x02\x00\x01\x00 not http\r\n\r\n".to_vec(),
        1 => vec![0; 4096],
        2 => format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40 << 10)).into_bytes(),
        3 => format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500)).into_bytes(),
        4 => format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(40 << 10)).into_bytes(),
        5 => format!("{head}Content-Length: 99999999999\r\n\r\n").into_bytes(),
        6 => format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
            .into_bytes(),
        _ => format!("{head}Connection: close\r\nContent-Length: 4\r\n\r\n{{{{{{{{").into_bytes(),
    }
}

/// Sends bad requests, one connection each; how many were refused with a status.
fn attack(address: SocketAddr) -> usize {
    let mut told = 0;
    for number in 0..EACH {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        // It may close before all is written, and reset what it has not read.
        let _ = stream.write_all(&bad(number));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = [0; 12];
        if stream.read_exact(&mut answer).is_ok() {
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "request {number} was not refused");
            told += 1;
        }
    }
    told
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn ten_thousand_bad_requests_cost_no_memory_and_no_answer_to_others() {
    let fixture = start(HttpLimits::default());
    let address = fixture.server.local_addr();
    // What the first ones take stays for the next.
    attack(address);
    let before = resident_kib();
    let attackers: Vec<_> =
        (0..ATTACKERS).map(|_| thread::spawn(move || attack(address))).collect();
    let mut answered = 0;
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        let mut stream = connect_from([127, 0, 0, 2], address);
        let answer = super::client::request(&mut stream, "GET /api/v1/overview", &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answered += 1;
    }
    let told: usize = attackers.into_iter().map(|a| a.join().expect("it attacked")).sum();
    assert!(answered > 0);
    assert!(told > EACH, "most are told that they are wrong: {told}");
    let grown = resident_kib().saturating_sub(before);
    // Other tests run in this process too.
    assert!(grown < 64 << 10, "{grown} KiB more than before");
    eventually("all connections are gone", || fixture.metrics.http.connections.get() == 0);
    assert!(fixture.refused("malformed") > 1000 && fixture.refused("header_size") > 1000);
}

#[test]
fn one_address_cannot_hold_all_connections() {
    let limits = HttpLimits {
        connections: 16,
        connections_per_peer: 8,
        header_time: Duration::from_secs(60),
        ..HttpLimits::default()
    };
    let fixture = start(limits);
    let address = fixture.server.local_addr();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = fixture.connect();
        // Never an end of the header.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX");
        slow.push(stream);
    }
    eventually("those over the limit are closed", || fixture.refused("peer_connections") == 92);
    let mut other = connect_from([127, 0, 0, 2], address);
    let answer = super::client::request(&mut other, "GET /health/live", &[], "");
    assert_eq!(answer.status, 200);
    drop(slow);
    eventually("the first gets in again", || {
        let mut stream = fixture.connect();
        super::send(&mut stream, "GET", "/health/live", "close");
        rest(&mut stream).starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn headers_that_drip_are_cut_off() {
    let limits = HttpLimits { header_time: Duration::from_millis(200), ..HttpLimits::default() };
    let fixture = start(limits);
    let mut slow = fixture.connect();
    slow.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout can be set");
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").expect("it reads");
    let mut end = [0; 64];
    // Each byte comes in time, the header does not.
    eventually("the connection is ended", || {
        let _ = slow.write_all(b"X");
        match slow.read(&mut end) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    });
    eventually("it is counted", || fixture.refused("header_time") == 1);
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let limits = HttpLimits { write_time: Duration::from_millis(200), ..HttpLimits::default() };
    let fixture = start(limits);
    let mut lazy = fixture.connect();
    lazy.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // More answers than the system's buffers take, none of them read.
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    while lazy.write_all(request).is_ok() {}
    eventually("it is counted", || fixture.refused("slow_reader") == 1);
    assert!(fixture.ask("GET", "/health/live").starts_with("HTTP/1.1 200 "));
}
