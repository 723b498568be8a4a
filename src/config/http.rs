//! The section `[http]`: where the server listens, who may ask, and how much.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegauge_serve::{HttpLimits, HttpSettings, TlsFiles};

use super::reader::Reader;

/// The settings of the server; `None` when it is not said where it listens.
pub(super) fn http(reader: &mut Reader) -> Option<HttpSettings> {
    const KEYS: &str = "http.keys";
    let listen = reader.text("http.listen");
    let path = |reader: &mut Reader, key: &str| {
        let path = reader.text(key);
        if path.as_deref() == Some("") {
            reader.mistake(key, "is empty: the path of a file");
        }
        path.map(PathBuf::from)
    };
    let keys = path(reader, KEYS);
    let (certificate, key) = (path(reader, "http.tls_certificate"), path(reader, "http.tls_key"));
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.mistake("http.tls_key", "is missing: the key of tls_certificate");
            None
        }
        (None, Some(_)) => {
            reader.mistake("http.tls_certificate", "is missing: the certificate of tls_key");
            None
        }
    };
    let (allowed_hosts, limits) = (allowed_hosts(reader), limits(reader));
    let listen = listen?;
    let Ok(listen) = listen.parse::<SocketAddr>() else {
        reader.mistake("http.listen", format!("is {listen:?}, allowed is address:port"));
        return None;
    };
    let settings = HttpSettings { listen, keys, tls, allowed_hosts, limits };
    if !settings.is_loopback() && settings.keys.is_none() {
        let what = format!(
            "is missing, and others reach {listen}: make keys with `tidegauge keys add FILE --role view \
             --name NAME` and set the path of the file, or listen on 127.0.0.1"
        );
        reader.mistake(KEYS, what);
    }
    Some(settings)
}

fn limits(reader: &mut Reader) -> HttpLimits {
    let usual = HttpLimits::default();
    let connections = usual.connections as u64;
    let connections = reader.integer("http.connections_max", connections, 4..=100_000) as usize;
    let second = Duration::from_secs(1);
    HttpLimits {
        body_bytes: reader.size("http.body_max", "1 MiB", 1 << 10..=1 << 30) as usize,
        request_time: reader.duration("http.request_timeout", "30s", second / 10..=600 * second),
        ..usual.with_connections(connections)
    }
}

/// Names, in lower case as they are compared.
fn allowed_hosts(reader: &mut Reader) -> Vec<String> {
    const KEY: &str = "http.allowed_hosts";
    let names = reader.texts(KEY).unwrap_or_default();
    let good = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        !name.is_empty() && name.len() <= 253 && name.chars().all(fits)
    };
    for name in names.iter().filter(|name| !good(name)) {
        let what = format!("has {name:?}, allowed are names without scheme and port");
        reader.mistake(KEY, what);
    }
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;
