//! What `[http]` may say, and what it may not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tidegauge_serve::HttpSettings;

use super::http;
use crate::config::load;
use crate::config::reader::Reader;

fn read(text: &str, overrides: &[(&str, &str)]) -> (Option<HttpSettings>, Vec<String>) {
    let table = text.parse().expect("TOML");
    let own = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    let mut reader = Reader::new(table, overrides.iter().map(own).collect::<BTreeMap<_, _>>());
    let settings = http(&mut reader);
    (settings, reader.finish().iter().map(ToString::to_string).collect())
}

#[test]
fn loopback_needs_nothing_else_and_other_addresses_need_keys() {
    for listen in ["127.0.0.1:8787", "[::1]:1", "127.3.2.1:0", "[::ffff:127.0.0.1]:1"] {
        let (settings, mistakes) = read(&format!("[http]\nlisten = \"{listen}\""), &[]);
        assert!(settings.is_some() && mistakes.is_empty(), "{listen}: {mistakes:?}");
    }
    for listen in ["0.0.0.0:8787", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1"] {
        let text = format!("[http]\nlisten = \"{listen}\"");
        let (_, mistakes) = read(&text, &[]);
        let [mistake] = mistakes.as_slice() else { panic!("{listen}: {mistakes:?}") };
        assert!(mistake.starts_with("http.keys: is missing, and others reach"), "{mistake}");
        assert!(mistake.contains("tidegauge keys add"), "{mistake}");
        let (settings, mistakes) = read(&text, &[("http.keys", "keys.toml")]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(settings.and_then(|s| s.keys), Some(PathBuf::from("keys.toml")));
    }
}

#[test]
fn every_setting_is_read_from_the_environment_too() {
    let env = [
        ("TIDEGAUGE_HTTP_LISTEN", "127.0.0.1:1"),
        ("TIDEGAUGE_HTTP_KEYS", "k"),
        ("TIDEGAUGE_HTTP_TLS_CERTIFICATE", "c"),
        ("TIDEGAUGE_HTTP_TLS_KEY", "p"),
        ("TIDEGAUGE_HTTP_ALLOWED_HOSTS", "Gauge.Plant, other"),
        ("TIDEGAUGE_HTTP_BODY_MAX", "2 KiB"),
        ("TIDEGAUGE_HTTP_CONNECTIONS_MAX", "100"),
        ("TIDEGAUGE_HTTP_REQUEST_TIMEOUT", "3s"),
    ];
    let env = env.map(|(name, value)| (name.to_string(), value.to_string()));
    let config = load::parse("test.toml", crate::config::tests::GOOD, env.into_iter(), &[]);
    let http = config.expect("valid").http.expect("it listens");
    assert_eq!((http.listen.port(), http.keys), (1, Some(PathBuf::from("k"))));
    let tls = http.tls.expect("both files");
    assert_eq!((tls.certificate, tls.key), (PathBuf::from("c"), PathBuf::from("p")));
    assert_eq!(http.allowed_hosts, ["gauge.plant", "other"]);
    let limits = http.limits;
    assert_eq!((limits.body_bytes, limits.request_time), (2048, Duration::from_secs(3)));
    assert_eq!((limits.connections, limits.connections_per_peer, limits.streams), (100, 50, 25));
}

#[test]
fn mistakes_say_what_is_allowed() {
    let cases = [
        ("tls_certificate = \"c\"", "http.tls_key: is missing"),
        ("tls_key = \"c\"", "http.tls_certificate: is missing"),
        ("keys = \"\"", "http.keys: is empty"),
        (
            "allowed_hosts = [\"http://a\"]",
            "http.allowed_hosts: has \"http://a\", allowed are names",
        ),
        ("allowed_hosts = [\"a:1\"]", "http.allowed_hosts: has \"a:1\""),
        ("body_max = \"1 B\"", "http.body_max: is \"1 B\", allowed is a size"),
        ("connections_max = 1", "http.connections_max: is 1, allowed is a whole number from 4"),
        ("request_timeout = \"1h\"", "http.request_timeout: is \"1h\", allowed is from"),
        ("request_timout = \"1s\"", "http.request_timout: is not a setting: did you mean"),
    ];
    for (line, expected) in cases {
        let (_, mistakes) = read(&format!("[http]\nlisten = \"127.0.0.1:1\"\n{line}"), &[]);
        let said = mistakes.join("\n");
        assert!(mistakes.len() == 1 && said.contains(expected), "{said} is not {expected}");
    }
}
