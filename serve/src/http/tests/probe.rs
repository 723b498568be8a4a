//! The client of health checks against the server.

use super::tls::{renew, secured};
use super::{HttpLimits, start, start_with, start_with_keys};
use crate::http::probe::{Asked, ask};

#[test]
fn a_probe_says_yes_or_why_not() {
    let fixture = start(HttpLimits::default());
    let url = format!("http://{}", fixture.server.local_addr());
    let live = Asked { url: &url, path: "/health/live", key: None, ca: None, name: None };
    let ready = Asked { path: "/health/ready", ..live };
    assert_eq!(ask(&live).expect("it lives"), "ok");
    assert_eq!(ask(&ready).expect_err("not yet").to_string(), "503 Service Unavailable starting");
    fixture.health.ready();
    assert_eq!(ask(&ready).expect("it is ready"), "ok");
    fixture.server.stop();
    let error = ask(&live).expect_err("nobody is there").to_string();
    assert!(error.contains("does not answer"), "{error}");
    for url in ["localhost:1", "ftp://localhost", "nonsense", "https://localhost:1"] {
        let error = ask(&Asked { url, ..live }).expect_err(url).to_string();
        assert!(!error.is_empty(), "{url}");
    }
}

#[test]
fn a_probe_may_bring_a_key_and_trusts_what_it_is_told_to() {
    let (fixture, keys) = start_with_keys();
    fixture.health.ready();
    let url = format!("http://{}", fixture.server.local_addr());
    let ready = Asked { url: &url, path: "/health/ready", key: None, ca: None, name: None };
    assert!(ask(&ready).expect_err("no key").to_string().starts_with("401 "));
    let key = keys[0].1.text();
    assert_eq!(ask(&Asked { key: Some(&key), ..ready }).expect("a key"), "ok");

    let fixture = start_with(|folder| {
        renew(folder);
        secured(folder)
    });
    let url = format!("https://{}", fixture.server.local_addr());
    let ca = fixture.folder.path().join("cert.pem");
    let live = Asked { url: &url, path: "/health/live", ca: Some(&ca), ..ready };
    let error = ask(&live).expect_err("the certificate has another name").to_string();
    assert!(error.contains("does not answer"), "{error}");
    assert_eq!(ask(&Asked { name: Some("localhost"), ..live }).expect("its name"), "ok");
    let error = ask(&Asked { ca: None, ..live }).expect_err("nobody is trusted").to_string();
    assert!(error.contains("needs --ca FILE"), "{error}");
}
