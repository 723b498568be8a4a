//! TLS: the certificate in force, read anew when its files change.
//!
//! *Why at each handshake*: certificates are renewed by other programs, in their own time, and a restart
//! for it would stop the lanes. What can't be read, or does not belong together (a renewal is two
//! files), leaves the old one in force.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::settings::TlsFiles;
use super::watched::Identity;
use crate::metrics::{HttpMetrics, Reloaded};

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read, or holds something else.
    #[error("{path}: {what}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The two don't go together.
    #[error("{certificate} and {key} cannot be used together: {source}")]
    Pair {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// The certificate in force.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// Of the files that were read last, whether they could be used or not.
    seen: Option<[Option<Identity>; 2]>,
    /// Why they could not be used, as it was logged.
    trouble: Option<String>,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = settled(look(&files));
        let config = Arc::new(read(&files)?);
        Ok(Self { files, state: Mutex::new(State { config, seen, trouble: None }) })
    }

    /// What a handshake uses now.
    pub(super) fn current(&self, metrics: &HttpMetrics) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = look(&self.files);
        if state.seen != Some(now) {
            self.refresh(&mut state, metrics);
            state.seen = settled(now);
        }
        Arc::clone(&state.config)
    }

    fn refresh(&self, state: &mut State, metrics: &HttpMetrics) {
        match read(&self.files) {
            Ok(config) => {
                state.config = Arc::new(config);
                state.trouble = None;
                tracing::debug!(path = %self.files.certificate.display(), "the certificate was read");
            }
            Err(error) => {
                let error = error.to_string();
                if state.trouble.as_ref() != Some(&error) {
                    metrics.reload_failed(Reloaded::Tls);
                    tracing::error!(
                        error,
                        "the certificate can't be renewed: the old one stays in use"
                    );
                    state.trouble = Some(error);
                }
            }
        }
    }
}

/// Reads and checks a certificate and its key.
///
/// # Errors
/// [`TlsError`] with the file that is wrong.
pub fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let file = |path: &dyn std::fmt::Display, what: String| TlsError::File {
        path: path.to_string(),
        what,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| file(&certificate, format!("cannot be read as PEM: {error}")))?;
    if chain.is_empty() {
        return Err(file(&certificate, "holds no certificate in PEM".to_owned()));
    }
    // The error names what is missing, never what is there.
    let private = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| file(&key, format!("cannot be read as a key in PEM: {error}")))?;
    let pair = |source| TlsError::Pair {
        certificate: certificate.to_string(),
        key: key.to_string(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn look(files: &TlsFiles) -> [Option<Identity>; 2] {
    [&files.certificate, &files.key].map(|path| Identity::of(path).ok())
}

/// Files that have just changed are read again: they may change without looking different.
fn settled(seen: [Option<Identity>; 2]) -> Option<[Option<Identity>; 2]> {
    let now = SystemTime::now();
    let fresh = seen.iter().flatten().any(|identity| identity.is_fresh(now));
    (!fresh).then_some(seen)
}
