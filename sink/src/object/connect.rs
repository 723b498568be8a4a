//! From a URL and settings to a client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ObjectStore, RetryConfig};
use thiserror::Error;

use super::retry::Patience;

const SCHEMES: [&str; 6] = ["s3", "s3a", "az", "abfs", "abfss", "gs"];

/// Whether a URL names a bucket and not a directory.
pub fn is_object_url(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// Checks the URL of a bucket without connecting to it.
///
/// # Errors
/// When it cannot be meant.
pub fn check_object_url(url: &str) -> Result<(), BadStorage> {
    Place::parse(url).map(|_| ())
}

/// How to reach a bucket.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// Settings of `object_store` by name (`endpoint`, `region`, `access_key_id`, `allow_http`, …).
    pub options: BTreeMap<String, String>,
    /// Bounds of a request.
    pub patience: Patience,
}

impl fmt::Debug for Storage {
    /// Without values: some of them are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.options.keys().collect();
        let mut fields = f.debug_struct("Storage");
        fields.field("options", &names).field("patience", &self.patience).finish()
    }
}

/// A URL or a setting that cannot be meant.
#[derive(Debug, Error)]
#[error("{url}: {what}")]
pub struct BadStorage {
    url: String,
    what: String,
}

impl BadStorage {
    pub(super) fn new(url: &str, what: impl Into<String>) -> Self {
        Self { url: url.to_owned(), what: what.into() }
    }
}

/// A URL, taken apart.
#[derive(Debug)]
pub(super) struct Place {
    scheme: &'static str,
    /// The bucket or container; for `abfs` perhaps `container@account.dfs.core.windows.net`.
    bucket: String,
    /// Empty, or ending in `/`.
    pub prefix: String,
}

impl Place {
    pub fn parse(url: &str) -> Result<Self, BadStorage> {
        let refuse = |what: &str| BadStorage::new(url, what);
        let parts = url.split_once("://");
        let known = |given: &str| SCHEMES.into_iter().find(|scheme| *scheme == given);
        let Some((scheme, rest)) = parts.and_then(|(scheme, rest)| Some((known(scheme)?, rest)))
        else {
            return Err(refuse("is no URL of a bucket: s3://, az://, abfs[s]:// or gs://"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty() {
            return Err(refuse("names no bucket"));
        }
        if bucket.contains(':') || (bucket.contains('@') && !scheme.starts_with("abfs")) {
            // Not shown: it may hold a password.
            let what = "credentials do not belong into the URL: use variables or [lake.storage]";
            return Err(BadStorage::new(scheme, what));
        }
        if rest.contains(['?', '#', '%', '\\']) || prefix.split('/').any(|p| p == "." || p == "..")
        {
            return Err(refuse("has characters that a lake's URL may not have: ? # % \\ . .."));
        }
        if !prefix.is_empty() && prefix.split('/').any(str::is_empty) {
            return Err(refuse("has an empty part between two slashes"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { scheme, bucket: bucket.to_owned(), prefix })
    }

    /// `s3://bucket`.
    pub fn root(&self) -> String {
        format!("{}://{}", self.scheme, self.bucket)
    }

    /// The URL without a slash at its end.
    pub fn url(&self) -> String {
        format!("{}/{}", self.root(), self.prefix).trim_end_matches('/').to_owned()
    }

    /// A client that makes each request once.
    pub fn client(
        &self,
        storage: &Storage,
        connector: impl HttpConnector,
    ) -> Result<Arc<dyn ObjectStore>, BadStorage> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        self.build(storage, once, Some(connector))
    }

    /// A client as `object_store` makes it.
    pub fn plain_client(&self, storage: &Storage) -> Result<Arc<dyn ObjectStore>, BadStorage> {
        self.build(storage, RetryConfig::default(), None::<object_store::client::ReqwestConnector>)
    }

    fn build(
        &self,
        storage: &Storage,
        retry: RetryConfig,
        connector: Option<impl HttpConnector>,
    ) -> Result<Arc<dyn ObjectStore>, BadStorage> {
        // The bounds of a try are ours; the client's own come later than ours, in case.
        let mut options = vec![("timeout".to_owned(), seconds(storage.patience.request * 20))];
        options.extend(storage.options.iter().map(|(k, v)| (k.to_ascii_lowercase(), v.clone())));
        let unusable = |e: object_store::Error| BadStorage::new(&self.url(), e.to_string());
        macro_rules! build {
            ($builder:ty) => {{
                let mut builder = <$builder>::from_env().with_url(self.root()).with_retry(retry);
                for (name, value) in options {
                    let key = name.parse().map_err(|_| self.unknown(&name))?;
                    builder = builder.with_config(key, value);
                }
                if let Some(connector) = connector {
                    builder = builder.with_http_connector(connector);
                }
                Arc::new(builder.build().map_err(unusable)?)
            }};
        }
        Ok(match self.scheme {
            "s3" | "s3a" => build!(AmazonS3Builder),
            "gs" => build!(GoogleCloudStorageBuilder),
            _ => build!(MicrosoftAzureBuilder),
        })
    }

    fn unknown(&self, name: &str) -> BadStorage {
        let what =
            format!("[lake.storage] has {name:?}, which is no setting of {} stores", self.scheme);
        BadStorage::new(&self.url(), what)
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs().max(1))
}
