//! A client that says exactly what it is told to.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Ends a test that would otherwise wait for ever for an answer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {text:?}"));
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The text of a refusal.
    pub fn error(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("a refusal is JSON: {self:?}"));
        body["error"].as_str().expect("it says what was wrong").to_owned()
    }
}

/// `line` is method and path. `Host` is localhost when none is given.
pub fn request<S: Read + Write>(
    stream: &mut S,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").expect("a text takes what is written");
    }
    if !body.is_empty() {
        write!(text, "Content-Length: {}\r\n", body.len()).expect("a text takes it");
    }
    text.push_str("\r\n");
    text.push_str(body);
    // The server may refuse before all of it is written.
    let _ = stream.write_all(text.as_bytes());
    Answer::parse(&rest(stream))
}

pub fn send(stream: &mut TcpStream, method: &str, path: &str, connection: &str) {
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n"
    )
    .expect("the server reads");
}

/// Everything up to the connection's end, which a server may also bring about by a reset.
pub fn rest(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => panic!("no end of the answer: {error}"),
        }
    }
    String::from_utf8(bytes).expect("answers are text")
}

/// Reads until the text holds what is looked for.
pub fn read_until(stream: &mut impl Read, wanted: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains(wanted) {
        // A stream tells something each second, so no read need ever wait for long.
        assert!(Instant::now() < deadline, "no {wanted:?} in time: {text}");
        let read = stream.read(&mut chunk).expect("more comes");
        assert!(read > 0, "the answer ended before {wanted:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    text
}

/// Waits for a condition.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}
