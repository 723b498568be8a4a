//! A client for health checks of containers: one question, one answer, no waiting without end.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use thiserror::Error;

/// For the connection, and then for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read of an answer.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `http://host:port` or `https://host:port`.
    pub url: &'a str,
    /// What follows it.
    pub path: &'static str,
    /// A key, where there are keys.
    pub key: Option<&'a str>,
    /// The certificates that are trusted, in PEM, for `https`.
    pub ca: Option<&'a Path>,
    /// The name in the certificate, when it is not the URL's.
    pub name: Option<&'a str>,
}

/// Why the answer is no yes.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// It can't be asked like this.
    #[error("{0}")]
    Wrong(String),
    /// Nobody answers there.
    #[error("{url} does not answer: {source}")]
    Silent {
        /// Where.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// It said no, and why.
    #[error("{status} {said}")]
    No {
        /// The status of the answer.
        status: String,
        /// What it said.
        said: String,
    },
}

/// Asks; what was said when it was yes.
///
/// # Errors
/// [`ProbeError`] with the reason.
pub fn ask(asked: &Asked<'_>) -> Result<String, ProbeError> {
    let wrong = |what: &str| ProbeError::Wrong(format!("the URL is {:?}, {what}", asked.url));
    let uri: Uri = asked.url.parse().map_err(|_| wrong("use http://host:port"))?;
    let host = uri.host().ok_or_else(|| wrong("use http://host:port"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("use http:// or https://")),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let silent = |source| ProbeError::Silent { url: asked.url.to_owned(), source };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let socket = connect(bare, port).map_err(silent)?;
    let name = asked.name.unwrap_or(bare);
    let text = request(asked, asked.name.unwrap_or(host), port);
    let answer = match (tls, asked.ca) {
        (false, _) => talk(socket, &text).map_err(silent)?,
        (true, Some(ca)) => talk(secured(socket, ca, name)?, &text).map_err(silent)?,
        (true, None) => {
            return Err(wrong("and https needs --ca FILE: the certificate to trust, in PEM"));
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status =
        head.lines().next().and_then(|line| line.split_once(' ')).map(|(_, status)| status);
    let said = body.lines().next().unwrap_or_default().trim().to_owned();
    match status {
        Some(status) if status.starts_with("200") => Ok(said),
        Some(status) => Err(ProbeError::No { status: status.to_owned(), said }),
        None => Err(silent(io::Error::other("what it says is no HTTP"))),
    }
}

fn request(asked: &Asked<'_>, host: &str, port: u16) -> String {
    let key = asked.key.map_or(String::new(), |key| format!("Authorization: Bearer {key}\r\n"));
    format!("GET {} HTTP/1.1\r\nHost: {host}:{port}\r\n{key}Connection: close\r\n\r\n", asked.path)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address of that name");
    for address in (host, port).to_socket_addrs()?.take(4) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => {
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn secured(
    socket: TcpStream,
    ca: &Path,
    name: &str,
) -> Result<StreamOwned<ClientConnection, TcpStream>, ProbeError> {
    let at =
        |error: &dyn std::fmt::Display| ProbeError::Wrong(format!("{}: {error}", ca.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| at(&error))? {
        let certificate = certificate.map_err(|error| at(&error))?;
        roots.add(certificate).map_err(|error| at(&error))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| at(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerName::try_from(name.to_owned())
        .map_err(|_| ProbeError::Wrong(format!("{name:?} is no name that a certificate has")))?;
    let client = ClientConnection::new(Arc::new(config), server).map_err(|error| at(&error))?;
    Ok(StreamOwned::new(client, socket))
}

/// The whole answer, up to a limit.
fn talk(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    // TLS without its goodbye: what counts is there or is missing below.
    read.or_else(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(answer.len()),
        _ => Err(error),
    })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
