//! The HTTP port of a real run: keys on the command line, and a stream that goes on under attack.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::{MEAN, PATIENCE, Project, data, eventually, kafka};

/// Requests of each attacker; together with the slow ones more than 10,000.
const EACH: usize = 2500;
const ATTACKERS: usize = 4;
/// Connections that never end their header, more than one address may hold.
const SLOW: usize = 200;
/// Readings of the file, published once for each round.
const READINGS: i64 = 3000;
const ROUNDS_MAX: i64 = 10;

#[test]
fn a_port_that_others_reach_needs_keys() {
    let project = Project::new("127.0.0.1:1");
    let run = ["run", "-c", "tidegauge.toml", "--set", "http.listen=0.0.0.0:0"];
    let said = project.fails(64, &run);
    assert!(said.contains("http.keys: is missing, and others reach 0.0.0.0:0"), "{said}");
    let said = project.fails(1, &[&run[..], &["--set", "http.keys=none.toml"]].concat());
    assert!(!said.contains("http.keys: is missing"), "{said}");
}

#[test]
fn keys_are_made_listed_and_removed_and_check_looks_at_them() {
    let project = Project::new("127.0.0.1:1");
    let add = |role: &str, name: &str| {
        project.ok(&["keys", "add", "keys.toml", "--role", role, "--name", name]).trim().to_owned()
    };
    let (first, second) = (add("view", "grafana"), add("operate", "anna"));
    assert!(first.starts_with("tgk_") && second.starts_with("tgk_") && first != second);
    let listed = project.ok(&["keys", "list", "keys.toml"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].ends_with("grafana") && lines[0].contains("  view "), "{listed}");
    assert!(!listed.contains("tgk_"), "{listed}");
    let check = ["check", "-c", "tidegauge.toml", "--set", "http.listen=0.0.0.0:1"];
    let check = [&check[..], &["--set", "http.keys=keys.toml"]].concat();
    // The broker is not there, which is not what this looks at.
    let said = project.fails(1, &check);
    assert!(said.contains("http           ok: http://0.0.0.0:1, 2 keys"), "{said}");
    let id = lines[0].split_whitespace().next().expect("an id");
    project.ok(&["keys", "remove", "keys.toml", "--id", id]);
    project.fails(64, &["keys", "remove", "keys.toml"]);
    project.fails(64, &["keys", "add", "keys.toml", "--role", "view", "--name", "a b"]);
    project.fails(64, &["keys", "add", "keys.toml", "--role", "admin", "--name", "a"]);
    project.ok(&["keys", "remove", "keys.toml", "--name", "anna", "--role", "operate"]);
    assert!(project.fails(1, &check).contains("keys.toml has no key"));
    std::fs::create_dir(project.path("keys")).expect("a folder");
    assert!(project.ok(&["keys", "init", "keys"]).contains("made keys/view"));
    assert!(project.ok(&["keys", "init", "keys"]).contains("kept keys/view"));
}

/// What an attacker sends, in turns.
fn bad(number: usize) -> Vec<u8> {
    let head = "POST /api/v1/models/alias HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\n";
    match number % 8 {
        0 => b"\x16\x03\x01\x02\x00\x01\x00 not http\r\n\r\n".to_vec(),
        1 => vec![0; 8192],
        2 => format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(60 << 10)).into_bytes(),
        3 => format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500)).into_bytes(),
        4 => format!("{head}Content-Length: 99999999999\r\n\r\n{{").into_bytes(),
        5 => b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
        6 => b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        _ => b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\
               Content-Type: application/x-www-form-urlencoded\r\n\r\nkey=wrong"
            .to_vec(),
    }
}

fn attack(address: SocketAddr) {
    for number in 0..EACH {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = stream.write_all(&bad(number));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = [0; 12];
        if stream.read_exact(&mut answer).is_ok() {
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "request {number} was let in");
        }
    }
}

/// An answer to someone else, from another address of this machine.
fn ask(address: SocketAddr, path: &str, key: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
        socket.connect(address).await?.into_std()
    });
    let mut stream = stream.ok()?;
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let key = format!("Authorization: Bearer {key}\r\nConnection: close");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(answer)
}

fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn ten_thousand_bad_requests_and_slow_ones_leave_the_stream_untouched() {
    let Some(brokers) = kafka() else { return };
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let http = format!("[http]\nlisten = \"{address}\"\nkeys = \"keys/keys.toml\"\n");
    // One thread: with two, lanes may go from one to the other, and their counters begin anew.
    let project = Project::new(&brokers).with("source", "threads = 1\n", MEAN);
    let project = project.with("end", &http, MEAN);
    std::fs::create_dir(project.path("keys")).expect("a folder");
    project.ok(&["keys", "init", "keys"]);
    let key = std::fs::read_to_string(project.path("keys/view")).expect("a key");
    let key = key.trim().to_owned();
    project.publish(&data("seedlike/readings.csv"));
    let running = project.start_run(&[]);
    let read = |wanted: i64| {
        eventually("readings in the metrics", || {
            let metrics = ask(address, "/metrics", &key)?;
            let read = sum(&metrics, "tidegauge_ingest_readings_total");
            (read >= wanted as f64).then_some(metrics)
        })
    };
    read(READINGS);
    let url = format!("http://{address}");
    let ready = ["health", "--ready", "--url", &url, "--key-file", "keys/view"];
    eventually("readiness", || project.output(&ready).status.success().then_some(()));
    assert!(project.fails(1, &["health", "--ready", "--url", &url]).starts_with("401 "));

    let before = resident_kib(running.pid());
    let slow: Vec<TcpStream> = (0..SLOW)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(address).ok()?;
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX");
            Some(stream)
        })
        .collect();
    let attackers: Vec<_> =
        (0..ATTACKERS).map(|_| thread::spawn(move || attack(address))).collect();
    let mut rounds = 1;
    while attackers.iter().any(|attacker| !attacker.is_finished()) && rounds < ROUNDS_MAX {
        rounds += 1;
        publish_again(&project);
        read(rounds * READINGS);
    }
    assert!(rounds > 1, "the attack was over before anything was published");
    for attacker in attackers {
        attacker.join().expect("nothing was let in");
    }
    drop(slow);
    let metrics = read(rounds * READINGS);
    let refused = sum(&metrics, "tidegauge_http_refused_total");
    assert!(refused > 5000.0, "only {refused} were refused:\n{metrics}");
    let grown = resident_kib(running.pid()).saturating_sub(before);
    assert!(grown < 128 << 10, "{grown} KiB more than before the attack");
    println!("{refused} refused, {grown} KiB more than before the attack");
    let lives = || project.output(&["health", "--url", &url]).status.success();
    eventually("an answer to the attackers' own address", || lives().then_some(()));
    assert!(running.sigterm().success(), "a signal ends it in order");
    project.run_to_end();
    let said = project.ok(&["verify", "lake"]);
    let messages = project.number("SELECT sum(messages) FROM commits");
    assert_eq!(messages, rounds * READINGS, "{said}");
}

fn publish_again(project: &Project) {
    let file = data("seedlike/readings.csv");
    let status = Command::new(env!("CARGO_BIN_EXE_tidegauge"))
        .args(["simulate", "--brokers", &project.brokers, "--topic", &project.topic, "--replay"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("the binary starts").success());
}
