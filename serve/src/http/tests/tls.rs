//! TLS with certificates made here, and their renewal.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Answer, PATIENCE, eventually, request};
use super::{Fixture, start_with};
use crate::http::{HttpSettings, TlsFiles};

/// Writes a new certificate and its key; the certificate is returned.
pub fn renew(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(folder.join("cert.pem"), made.cert.pem()).expect("it can be written");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("it can be written");
    made.cert.der().clone()
}

pub fn secured(folder: &Path) -> HttpSettings {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    HttpSettings { tls: Some(TlsFiles { certificate, key }), ..HttpSettings::on(super::ANYWHERE) }
}

/// An answer, if the server shows a certificate that we trust.
fn ask(fixture: &Fixture, trusted: &CertificateDer<'static>) -> Option<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut socket = TcpStream::connect(fixture.server.local_addr()).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut client = client;
    while client.is_handshaking() {
        client.complete_io(&mut socket).ok()?;
    }
    Some(request(&mut StreamOwned::new(client, socket), "GET /metrics", &[], ""))
}

#[test]
fn tls_is_spoken_with_the_certificate_in_force() {
    let mut first = None;
    let fixture = start_with(|folder| {
        first = Some(renew(folder));
        secured(folder)
    });
    let first = first.expect("a certificate");
    let answer = ask(&fixture, &first).expect("a handshake");
    assert_eq!(answer.status, 200);
    assert!(answer.header("strict-transport-security").is_some(), "{answer:?}");
    let plain = fixture.ask("GET", "/metrics");
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
    eventually("it is counted", || fixture.refused("tls_handshake") >= 1);

    let second = renew(fixture.folder.path());
    assert!(ask(&fixture, &first).is_none(), "the old one is no longer shown");
    assert_eq!(ask(&fixture, &second).expect("a handshake").status, 200);
}

#[test]
fn a_renewal_that_cannot_be_used_leaves_the_old_certificate() {
    let mut first = None;
    let fixture = start_with(|folder| {
        first = Some(renew(folder));
        secured(folder)
    });
    let first = first.expect("a certificate");
    let folder = fixture.folder.path();
    let key = fs::read(folder.join("key.pem")).expect("the key");
    let second = renew(folder);
    // As between the two writes of a renewal.
    fs::write(folder.join("key.pem"), &key).expect("it can be written");
    assert_eq!(ask(&fixture, &first).expect("a handshake").status, 200);
    assert_eq!(ask(&fixture, &first).expect("a handshake").status, 200);
    fs::remove_file(folder.join("cert.pem")).expect("it can be removed");
    assert_eq!(ask(&fixture, &first).expect("a handshake").status, 200);
    assert!(ask(&fixture, &second).is_none());
    let counted = "tidegauge_http_reload_failures_total{file=\"tls\"} 2";
    assert!(fixture.metrics.text().contains(counted), "{}", fixture.metrics.text());
    let third = renew(folder);
    assert_eq!(ask(&fixture, &third).expect("a handshake").status, 200);
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = || crate::http::tls::read(&secured(folder.path()).tls.expect("files"));
    let error = read().expect_err("nothing is there").to_string();
    assert!(error.contains("cert.pem: cannot be read as PEM"), "{error}");
    renew(folder.path());
    read().expect("a certificate and its key");
    fs::write(folder.path().join("key.pem"), "secret").expect("it can be written");
    let error = read().expect_err("no key").to_string();
    assert!(
        error.contains("key.pem: cannot be read as a key") && !error.contains("secret"),
        "{error}"
    );
    fs::write(folder.path().join("cert.pem"), "").expect("it can be written");
    let error = read().expect_err("no certificate").to_string();
    assert!(error.contains("cert.pem: holds no certificate in PEM"), "{error}");
}
