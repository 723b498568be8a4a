//! Names that are ours, and sites that are not.

use axum::body::Body;
use axum::extract::Request;

use super::{Hosts, same_origin};
use crate::http::HttpSettings;

fn asked(headers: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method("POST").uri("/api/v1/models/alias");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

#[test]
fn only_names_of_ours_are_answered() {
    let cases = [
        ("127.0.0.1:8787", "127.0.0.1:8787", true),
        ("127.0.0.1:8787", "127.0.0.1", true),
        ("127.0.0.1:8787", "127.0.0.2:1", true),
        ("127.0.0.1:8787", "[::1]:8787", true),
        ("127.0.0.1:8787", "localhost:8787", true),
        ("127.0.0.1:8787", "LOCALHOST.", true),
        ("127.0.0.1:8787", "gauge.plant:8787", true),
        ("127.0.0.1:8787", "Gauge.Plant", true),
        ("127.0.0.1:8787", "evil.example", false),
        ("127.0.0.1:8787", "localhost.evil.example", false),
        ("127.0.0.1:8787", "127.0.0.1.evil.example", false),
        ("127.0.0.1:8787", "evil@127.0.0.1", false),
        ("127.0.0.1:8787", "10.0.0.1", false),
        ("127.0.0.1:8787", "", false),
        ("10.0.0.1:8787", "10.0.0.1:8787", true),
        ("10.0.0.1:8787", "10.0.0.2", false),
        ("10.0.0.1:8787", "localhost", false),
        ("0.0.0.0:8787", "10.1.2.3", true),
        ("0.0.0.0:8787", "[2001:db8::1]", true),
        ("0.0.0.0:8787", "localhost", true),
        ("0.0.0.0:8787", "gauge.plant", true),
        ("0.0.0.0:8787", "evil.example", false),
        ("[::]:8787", "10.1.2.3", true),
    ];
    for (listen, host, ours) in cases {
        let listen = listen.parse().expect("an address");
        let allowed_hosts = vec!["gauge.plant".to_owned()];
        let hosts = Hosts::new(&HttpSettings { allowed_hosts, ..HttpSettings::on(listen) });
        let answer = hosts.check(&asked(&[("host", host)]));
        assert_eq!(answer.is_ok(), ours, "{host} on {listen}: {answer:?}");
    }
    let hosts = Hosts::new(&HttpSettings::on("127.0.0.1:1".parse().expect("an address")));
    assert!(hosts.check(&asked(&[])).is_err(), "no name is none of ours");
    let two = asked(&[("host", "localhost"), ("host", "localhost")]);
    assert!(hosts.check(&two).is_err());
}

#[test]
fn changes_come_from_our_own_page_or_from_no_page() {
    let cases: [(&[(&str, &str)], bool); 12] = [
        (&[], true),
        (&[("origin", "http://a.b:1")], true),
        (&[("origin", "http://A.B:1"), ("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("origin", "null")], false),
        (&[("origin", "http://a.b")], false),
        (&[("origin", "http://a.b:2")], false),
        (&[("origin", "http://evil.a.b:1")], false),
        (&[("origin", "ftp://a.b:1")], false),
        (&[("origin", "http://a.b:1"), ("sec-fetch-site", "cross-site")], false),
    ];
    for (headers, fine) in cases {
        let all: Vec<_> = [("host", "a.b:1")].into_iter().chain(headers.iter().copied()).collect();
        assert_eq!(same_origin(&asked(&all)).is_ok(), fine, "{headers:?}");
    }
    let usual = asked(&[("host", "a.b"), ("origin", "https://a.b")]);
    assert!(same_origin(&usual).is_ok(), "the scheme's own port need not be said");
}
