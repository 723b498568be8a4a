//! For tests: the S3 and the Azure server that `deploy/stores/stores` starts.

// A skipped test has to say so.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use crate::{ObjectStore, Patience, Storage};

/// Enough for a busy machine, and little enough to wait for.
pub(crate) const PATIENCE: Patience =
    Patience { request: Duration::from_millis(1500), tries: 12, total: Duration::from_secs(60) };

/// A real server, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub name: &'static str,
    scheme: &'static str,
    /// What follows the address in an endpoint.
    account: &'static str,
    /// `127.0.0.1:19200`.
    pub address: String,
    options: &'static [(&'static str, &'static str)],
}

/// The servers that are there; each that is not says that its tests are skipped.
///
/// # Panics
/// In CI, where nothing may be skipped.
pub(crate) fn servers() -> Vec<Server> {
    let s3 = Server {
        name: "TIDEGAUGE_TEST_S3",
        scheme: "s3",
        account: "",
        address: String::new(),
        options: &[("access_key_id", "test"), ("secret_access_key", "test")],
    };
    let azure = Server {
        name: "TIDEGAUGE_TEST_AZURE",
        scheme: "az",
        account: "/devstoreaccount1",
        address: String::new(),
        // The account and key of every emulator.
        options: &[
            ("account_name", "devstoreaccount1"),
            (
                "account_key",
                "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
            ),
        ],
    };
    [s3, azure].into_iter().filter_map(Server::there).collect()
}

impl Server {
    fn there(mut self) -> Option<Self> {
        let Ok(endpoint) = std::env::var(self.name) else {
            assert!(std::env::var_os("CI").is_none(), "{} must be set in CI", self.name);
            println!("skipped: {} is not set", self.name);
            return None;
        };
        self.address = endpoint.strip_prefix("http://").expect("an http URL").to_owned();
        Some(self)
    }

    /// The settings of a store at `address`: the server's own, or that of a proxy before it.
    pub fn storage(&self, address: &str) -> Storage {
        let mut storage = Storage { patience: PATIENCE, ..Storage::default() };
        let endpoint = format!("http://{address}{}", self.account);
        let ours = [("endpoint", endpoint.as_str()), ("allow_http", "true")];
        for (name, value) in self.options.iter().copied().chain(ours) {
            storage.options.insert(name.to_owned(), value.to_owned());
        }
        storage
    }

    /// A place that nothing else uses.
    pub fn fresh_url(&self) -> String {
        format!("{}://tidegauge/sink/{:016x}", self.scheme, rand::random::<u64>())
    }

    /// A store at `url`.
    pub fn store(&self, url: &str) -> Arc<ObjectStore> {
        self.store_with(url, &self.storage(&self.address))
    }

    pub fn store_with(&self, url: &str, storage: &Storage) -> Arc<ObjectStore> {
        Arc::new(ObjectStore::connect(url, storage).expect("the settings are valid"))
    }
}
