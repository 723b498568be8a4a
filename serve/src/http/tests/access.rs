//! Who may ask what: every role at every route, keys that come and go, names and sites.

use super::client::{Answer, eventually, read_until};
use super::keys::{self, KeyFile, Role, Secret};
use super::{Fixture, start_with, start_with_keys};
use crate::http::HttpSettings;
use std::fs;
use std::io::Write;

/// What each route needs; `None` is nothing.
const ROUTES: [(&str, Option<Role>); 26] = [
    ("GET /health/live", None),
    ("GET /login", None),
    ("GET /login.css", None),
    ("GET /health/ready", Some(Role::View)),
    ("GET /metrics", Some(Role::View)),
    ("GET /", Some(Role::View)),
    ("GET /api/v1/info", Some(Role::View)),
    ("GET /api/v1/overview", Some(Role::View)),
    ("GET /api/v1/sensors", Some(Role::View)),
    ("GET /api/v1/sensor?key=1", Some(Role::View)),
    ("GET /api/v1/anomalies", Some(Role::View)),
    ("GET /api/v1/events", Some(Role::View)),
    ("GET /api/v1/lanes", Some(Role::View)),
    ("GET /api/v1/commits?lane=a", Some(Role::View)),
    ("GET /api/v1/models", Some(Role::View)),
    ("GET /api/v1/rejects", Some(Role::View)),
    ("GET /api/v1/late", Some(Role::View)),
    ("GET /api/v1/nothing", Some(Role::View)),
    ("GET /nothing", Some(Role::View)),
    ("GET /prometheus/api/v1/query?query=1%2B1", Some(Role::View)),
    ("POST /prometheus/api/v1/query", Some(Role::View)),
    ("POST /api/v1/models/alias", Some(Role::Operate)),
    ("POST /api/v1/models/rollback", Some(Role::Operate)),
    ("POST /api/v1/nothing", Some(Role::Operate)),
    ("DELETE /metrics", Some(Role::Operate)),
    ("OPTIONS /", Some(Role::Operate)),
];

const JSON: (&str, &str) = ("content-type", "application/json");

fn with_key(fixture: &Fixture, line: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    fixture.request(line, &[("authorization", &bearer), JSON], "")
}

#[test]
fn every_role_at_every_route() {
    let (fixture, keys) = start_with_keys();
    for (line, need) in ROUTES {
        let answer = fixture.request(line, &[JSON], "");
        let expected = if need.is_some() { 401 } else { 200 };
        // Not ready yet, but let in.
        let fine = answer.status == expected || line == "GET /health/live" && answer.status == 503;
        assert!(fine, "{line} without a key: {answer:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401, "{line}");
        for (role, secret) in &keys {
            let status = with_key(&fixture, line, &secret.text()).status;
            let may = match need {
                None => true,
                Some(Role::View) => matches!(role, Role::View | Role::Operate),
                Some(_) => *role == Role::Operate,
            };
            assert_eq!(status != 403 && status != 401, may, "{line} as {role:?}: {status}");
        }
        let status = with_key(&fixture, line, &Secret::random().expect("random").text()).status;
        assert_eq!(status == 401, need.is_some(), "{line} with an unknown key");
    }
    assert!(fixture.refused("unauthorized") > 20 && fixture.refused("forbidden") > 20);
}

#[test]
fn a_key_that_is_not_sent_as_one_is_none() {
    let (fixture, keys) = start_with_keys();
    let key = keys[0].1.text();
    let ask = |value: &str| fixture.request("GET /metrics", &[("authorization", value)], "").status;
    assert_eq!(ask(&format!("Bearer {key}")), 200);
    assert_eq!(ask(&format!("bearer  {key} ")), 200);
    for value in [
        key.clone(),
        format!("Basic {key}"),
        format!("Bearer {}", &key[4..]),
        format!("Bearer {}", key.to_uppercase()),
        format!("Bearer {key}0"),
        "Bearer ".to_owned(),
        "Bearer tgk_".to_owned(),
    ] {
        assert_eq!(ask(&value), 401, "{value}");
    }
    let bearer = format!("Bearer {key}");
    let two = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(fixture.request("GET /metrics", &two, "").status, 401);
    assert_eq!(fixture.request(&format!("GET /metrics?key={key}"), &[], "").status, 401);
}

/// The session cookie of a login.
fn login(fixture: &Fixture, key: &str) -> String {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let answer = fixture.request("POST /login", &[form], &format!("key={key}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().expect("name and value").to_owned()
}

#[test]
fn a_removed_key_ends_at_once_with_its_sessions_and_streams() {
    let (fixture, keys) = start_with_keys();
    let (old, second) = (keys[0].1.text(), Secret::random().expect("random"));
    keys::add(&fixture.keys(), Role::View, "view", &second, "").expect("a second key");
    assert_eq!(with_key(&fixture, "GET /metrics", &second.text()).status, 200, "works at once");
    let session = login(&fixture, &old);
    let page = |cookie: &str| fixture.request("GET /", &[("cookie", cookie)], "").status;
    assert_eq!(page(&session), 200);
    let mut stream = fixture.connect();
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nCookie: {session}\r\n\r\n")
        .expect("the server reads");
    read_until(&mut stream, "event: overview");

    let hash = keys[0].1.hash();
    keys::remove(&fixture.keys(), |key| key.hash == hash).expect("it is there");
    assert_eq!(with_key(&fixture, "GET /metrics", &old).status, 401);
    assert_eq!(page(&session), 401);
    assert_eq!(with_key(&fixture, "GET /metrics", &second.text()).status, 200);
    // Ends with the next event: the last chunk.
    read_until(&mut stream, "0\r\n\r\n");
    keys::add(&fixture.keys(), Role::View, "view", &keys[0].1, "").expect("it comes back");
    assert_eq!(page(&session), 401, "and its session does not");
}

#[test]
fn keys_that_cannot_be_read_let_nobody_in_until_they_can() {
    let (fixture, keys) = start_with_keys();
    let key = keys[0].1.text();
    let text = fs::read_to_string(fixture.keys()).expect("the file");
    let failures = |fixture: &Fixture| {
        let text = fixture.metrics.text();
        text.contains("tidegauge_http_reload_failures_total{file=\"keys\"} 2")
    };
    fs::write(fixture.keys(), "nonsense").expect("it can be written");
    assert_eq!(with_key(&fixture, "GET /metrics", &key).status, 401);
    assert_eq!(with_key(&fixture, "GET /metrics", &key).status, 401);
    fs::remove_file(fixture.keys()).expect("it can be removed");
    assert_eq!(with_key(&fixture, "GET /metrics", &key).status, 401);
    assert!(failures(&fixture), "{}", fixture.metrics.text());
    fs::write(fixture.keys(), text).expect("it can be written");
    assert_eq!(with_key(&fixture, "GET /metrics", &key).status, 200);
}

#[test]
fn a_browser_is_given_a_form_and_logs_in_and_out() {
    let (fixture, keys) = start_with_keys();
    let answer = fixture.request("GET /", &[("accept", "text/html,*/*")], "");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some());
    assert!(answer.body.contains("<form method=\"post\" action=\"/login\">"), "{}", answer.body);
    let session = login(&fixture, &keys[2].1.text());
    let info = fixture.request("GET /api/v1/info", &[("cookie", &session)], "");
    assert!(info.body.contains(r#""role":"operate","session":true"#), "{info:?}");
    let cookie = ("cookie", session.as_str());
    let body = r#"{"alias":"champion"}"#;
    let change = |headers: &[(&str, &str)]| {
        fixture.request("POST /api/v1/models/rollback", headers, body).status
    };
    assert_eq!(change(&[cookie, JSON]), 200);
    assert_eq!(change(&[cookie, JSON, ("sec-fetch-site", "cross-site")]), 403);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let foreign = ("origin", "http://evil.example");
    assert_eq!(fixture.request("POST /logout", &[cookie, form, foreign], "").status, 403);
    assert_eq!(fixture.request("GET /", &[cookie], "").status, 200);
    let mut stream = fixture.connect();
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nCookie: {session}\r\n\r\n")
        .expect("the server reads");
    read_until(&mut stream, "event: overview");
    let out = fixture.request("POST /logout", &[cookie, form], "");
    assert_eq!((out.status, out.header("location")), (303, Some("/login")));
    assert!(out.header("set-cookie").is_some_and(|c| c.contains("Max-Age=0")), "{out:?}");
    assert_eq!(fixture.request("GET /", &[cookie], "").status, 401);
    // With the next event.
    read_until(&mut stream, "0\r\n\r\n");
}

#[test]
fn failed_logins_have_to_wait_and_others_need_not() {
    let (fixture, keys) = start_with_keys();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let attempt = |key: &str| fixture.request("POST /login", &[form], &format!("key={key}"));
    for _ in 0..super::super::attempts::FREE {
        let answer = attempt("tgk_wrong");
        assert_eq!(answer.status, 401);
        assert!(answer.body.contains("This key is not known."), "{}", answer.body);
    }
    let answer = attempt("tgk_wrong");
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(fixture.refused("logins"), 1);
    let elsewhere = super::abuse::connect_from([127, 0, 0, 2], fixture.server.local_addr());
    let body = format!("key={}", keys[0].1.text());
    let answer = super::client::request(&mut &elsewhere, "POST /login", &[form], &body);
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(with_key(&fixture, "GET /metrics", &keys[0].1.text()).status, 200);
}

#[test]
fn names_that_are_not_ours_are_misdirected() {
    let (fixture, keys) = start_with_keys();
    let bearer = format!("Bearer {}", keys[2].1.text());
    let ask = |host: &str| {
        fixture.request("GET /metrics", &[("host", host), ("authorization", &bearer)], "").status
    };
    assert_eq!(ask("127.0.0.1:8787"), 200);
    assert_eq!(ask("evil.example"), 421);
    assert_eq!(fixture.refused("host"), 1);
    let live = fixture.request("GET /health/live", &[("host", "evil.example")], "");
    assert_eq!(live.status, 200, "a probe may ask by any name");
}

#[test]
fn a_server_without_usable_keys_does_not_start() {
    let site = start_with(|_| HttpSettings::on(super::ANYWHERE));
    let path = site.folder.path().join("none.toml");
    let settings = HttpSettings { keys: Some(path.clone()), ..HttpSettings::on(super::ANYWHERE) };
    let start = || {
        let (metrics, health) = (site.metrics.clone(), site.health.clone());
        super::Server::start(
            settings.clone(),
            super::Site { metrics, health, console: None, series: None },
        )
    };
    let error = start().expect_err("there is no file").to_string();
    assert!(error.contains("none.toml: No such file"), "{error}");
    let secret = Secret::random().expect("random");
    keys::add(&path, Role::View, "a", &secret, "").expect("a key");
    keys::remove(&path, |_| true).expect("a key");
    assert!(KeyFile::read(&path).expect("a file").keys.is_empty());
    let error = start().expect_err("there is no key").to_string();
    assert!(error.contains("has no key, so nobody could ask"), "{error}");
    keys::add(&path, Role::View, "a", &secret, "").expect("a key");
    start().expect("now it starts").stop();
    eventually("the first goes on", || site.request("GET /metrics", &[], "").status == 200);
}
