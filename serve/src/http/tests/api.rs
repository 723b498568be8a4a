//! Questions and what is made of them.

use super::{HttpLimits, start};
use std::time::Duration;

#[test]
fn questions_reach_the_console_as_they_were_meant() {
    let fixture = start(HttpLimits::default());
    let cases = [
        (
            "sensors?search=a%20b&only=anomalous&sort=key&offset=5&limit=7",
            "SensorsQuery { search: \"a b\", only_anomalous: true, sort: Key, order: Asc, offset: 5, \
             limit: 7 }",
        ),
        (
            "sensors",
            "SensorsQuery { search: \"\", only_anomalous: false, sort: Severity, order: Desc, \
             offset: 0, limit: 100 }",
        ),
        (
            "anomalies?key=1&key=x&before_us=-5",
            "anomalies Some([Int(1), Text(\"x\")]) Some(-5) 100",
        ),
        ("events?state=open&limit=1000", "events None Some(Open) None 1000"),
        ("commits?lane=sensors-0&before_epoch=9", "commits sensors-0 Some(9) 100"),
        ("late?limit=3", "late 3"),
        ("overview", "overview"),
    ];
    for (path, expected) in cases {
        let answer = fixture.request(&format!("GET /api/v1/{path}"), &[], "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(fixture.console.asked().last().map(String::as_str), Some(expected), "{path}");
    }
    let info = fixture.request("GET /api/v1/info", &[], "");
    assert!(info.body.ends_with(r#""role":"operate","session":false}"#), "{}", info.body);
}

#[test]
fn wrong_questions_are_told_what_is_right() {
    let fixture = start(HttpLimits::default());
    let cases = [
        ("overview?x=1", 400, "\"x\" is not a parameter here"),
        ("sensors?order=up", 400, "allowed: asc, desc"),
        ("sensors?only=all", 400, "allowed: anomalous"),
        ("sensors?limit=1001", 400, "from 1 to 1000"),
        ("sensor", 400, "\"key\" is missing"),
        ("sensor?key=1&points=10001", 400, "from 1 to 10000"),
        ("sensor?key=1&from_us=2&to_us=1", 400, "\"from_us\" is 2, after \"to_us\", 1"),
        ("sensor?key=1", 404, "there is no such sensor"),
        ("commits", 400, "\"lane\" is missing"),
        ("rejects", 503, "the lake does not answer"),
        ("models", 500, "the log of the process says why"),
        ("nothing", 404, "there is nothing here"),
        ("models/alias", 405, "see Allow"),
    ];
    for (path, status, expected) in cases {
        let answer = fixture.request(&format!("GET /api/v1/{path}"), &[], "");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.error().contains(expected), "{path}: {answer:?}");
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
    }
}

#[test]
fn changes_want_json_of_a_known_shape() {
    let fixture = start(HttpLimits { body_bytes: 1000, ..HttpLimits::default() });
    let json = ("content-type", "application/json; charset=utf-8");
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        fixture.request(&format!("POST /api/v1/models/{path}"), headers, body)
    };
    let moved = post("alias", &[json], r#"{"alias": "champion", "version": 7}"#);
    assert_eq!((moved.status, moved.body.as_str()), (200, r#"{"alias":"champion","version":7}"#));
    assert_eq!(post("rollback", &[json], r#"{"alias": "champion"}"#).status, 200);
    assert_eq!(fixture.console.asked(), ["move champion 7", "roll back champion"]);
    let refused = post("alias", &[json], r#"{"alias": "champion", "version": 0}"#);
    assert_eq!((refused.status, refused.error().as_str()), (409, "set 0 does not fit"));

    let body = r#"{"alias": "champion", "version": 7}"#;
    assert_eq!(post("alias", &[], body).status, 415);
    assert_eq!(post("alias", &[("content-type", "text/plain")], body).status, 415);
    assert_eq!(post("alias", &[json, ("origin", "http://evil.example")], body).status, 403);
    assert_eq!(post("alias?x=1", &[json], body).status, 400);
    assert_eq!(post("alias", &[json], "{").status, 400);
    let more = post("alias", &[json], r#"{"alias": "a", "version": 1, "more": 1}"#);
    assert!(more.status == 400 && more.error().contains("unknown field `more`"), "{more:?}");
    assert_eq!(post("alias", &[json], &" ".repeat(1001)).status, 413);
    let chunks = [json, ("transfer-encoding", "chunked")];
    let mut stream = fixture.connect();
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", " ".repeat(1001));
    use std::io::Write;
    let (name, kind) = chunks[0];
    write!(
        stream,
        "POST /api/v1/models/alias HTTP/1.1\r\nHost: localhost\r\n{name}: {kind}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}"
    )
    .expect("the server reads");
    let answer = super::client::Answer::parse(&super::rest(&mut stream));
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(fixture.refused("body_size"), 2);
    assert_eq!(fixture.console.asked().len(), 3, "nothing of that was done");
}

#[test]
fn an_answer_that_does_not_come_in_time_is_not_waited_for() {
    let fixture =
        start(HttpLimits { request_time: Duration::from_millis(100), ..HttpLimits::default() });
    let held = fixture.console.hold_lanes();
    let answer = fixture.request("GET /api/v1/lanes", &[], "");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.error().contains("no answer within 100ms"), "{answer:?}");
    assert_eq!(fixture.refused("request_time"), 1);
    assert_eq!(fixture.request("GET /api/v1/overview", &[], "").status, 200);
    drop(held);
    // A body that does not come either.
    let headers = [("content-type", "application/json"), ("content-length", "10")];
    let answer = fixture.request("POST /api/v1/models/alias", &headers, "");
    assert_eq!(answer.status, 408, "{answer:?}");
    assert_eq!(fixture.refused("body_time"), 1);
}
