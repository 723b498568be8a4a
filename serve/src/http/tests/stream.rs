//! Event streams: what they tell, how many there may be, and that slow ones go.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::client::{eventually, read_until, rest};
use super::{Fixture, HttpLimits, start};
use crate::console::{Anomaly, KeyValue};

fn open(fixture: &Fixture) -> TcpStream {
    let mut stream = fixture.connect();
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    stream
}

#[test]
fn a_stream_tells_how_it_stands_and_what_is_new() {
    let fixture = start(HttpLimits::default());
    let mut stream = open(&fixture);
    let begin = read_until(&mut stream, "event: overview\ndata: {\"now_us\":1,");
    assert!(begin.contains("content-type: text/event-stream\r\n"), "{begin}");
    let news = Anomaly {
        key: vec![KeyValue::Int(1), KeyValue::Text("line\nbreak".to_owned())],
        window_start_us: 0,
        window_end_us: 5,
        score: Some(1.5),
        threshold: Some(1.0),
        severity: None,
        reason: Vec::new(),
        status: "ok".to_owned(),
        model_set: None,
        alarm: false,
        revision: 0,
    };
    fixture.console.news.lock().expect("nobody panicked").push(news);
    read_until(&mut stream, "event: anomalies\ndata: [{\"key\":[1,\"line\\nbreak\"],");
}

#[test]
fn streams_have_places_of_their_own_and_one_asker() {
    let fixture = start(HttpLimits { streams: 2, ..HttpLimits::default() });
    let (mut first, mut second) = (open(&fixture), open(&fixture));
    read_until(&mut first, "event: overview");
    read_until(&mut second, "event: overview");
    let third = fixture.request("GET /api/v1/stream", &[], "");
    assert_eq!(third.status, 503, "{third:?}");
    assert_eq!(fixture.refused("streams"), 1);
    let asked = fixture.console.asked().len();
    read_until(&mut first, "event: overview");
    read_until(&mut second, "event: overview");
    assert!(fixture.console.asked().len() <= asked + 3, "both are told by one question");
    drop(first);
    eventually("the place is free again", || {
        let mut stream = open(&fixture);
        read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn a_stream_ends_in_order_when_it_is_old_or_the_server_stops() {
    let limits = HttpLimits { connection_time: Duration::from_secs(2), ..HttpLimits::default() };
    let fixture = start(limits);
    let text = rest(&mut open(&fixture));
    assert!(text.contains("event: overview") && text.ends_with("0\r\n\r\n"), "{text}");
    let fixture = start(HttpLimits::default());
    let mut stream = open(&fixture);
    read_until(&mut stream, "event: overview");
    fixture.server.stop();
    assert!(rest(&mut stream).ends_with("0\r\n\r\n"));
}
