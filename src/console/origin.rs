//! Which lake the console shows, and what it may know beside it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tidegauge_flow::Store;
use tidegauge_score::Registry;
use tidegauge_serve::{Health, Metrics};
use tidegauge_sink::{Lake, LakeError, Reader, Storage, is_object_url};

use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline;

/// The process's own pipeline.
pub struct Process {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// See the module's documentation.
pub struct Origin {
    pub url: String,
    pub storage: Storage,
    /// What a pipeline of the lake is told; without it nobody knows which models fit.
    pub config: Option<Config>,
    /// There when a pipeline runs in this process.
    pub process: Option<Process>,
    pub clock: Arc<dyn Clock>,
    registry: Mutex<Option<Arc<Registry>>>,
}

impl Origin {
    /// A lake that is only read.
    pub fn of_lake(url: &str, storage: Storage, clock: Arc<dyn Clock>) -> Self {
        let (url, registry) = (url.to_owned(), Mutex::default());
        Self { url, storage, config: None, process: None, clock, registry }
    }

    /// The lake of a configuration.
    pub fn of_config(config: Config, process: Option<Process>, clock: Arc<dyn Clock>) -> Self {
        let (url, storage) = (config.lake.url.clone(), config.lake.storage.clone());
        Self { url, storage, config: Some(config), process, clock, registry: Mutex::default() }
    }

    /// The lake's storage; `None` when there is no such folder yet.
    pub fn store(&self) -> Result<Option<Arc<dyn Store>>> {
        match pipeline::is_there(&self.url) {
            true => pipeline::existing_store(&self.url, &self.storage).map(Some),
            false => Ok(None),
        }
    }

    /// The lake; `None` when there is none yet.
    pub fn reader(&self) -> Result<Option<Reader>> {
        let Some(store) = self.store()? else { return Ok(None) };
        match Lake::read(store) {
            Ok(reader) => Ok(Some(reader)),
            Err(LakeError::NotALake { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The registry of the lake's models; `None` when there is no lake for it to be in.
    pub fn registry(&self) -> Result<Option<Arc<Registry>>> {
        let mut held = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let own = self.config.as_ref().filter(|config| config.models.url.is_some());
            let registry = match (own, self.store()?) {
                (Some(config), _) => pipeline::registry(config)?,
                (None, Some(store)) => pipeline::registry_of(store),
                (None, None) => return Ok(None),
            };
            *held = Some(Arc::new(registry));
        }
        Ok(held.clone())
    }

    /// The lake's place for people: a name and password, or a signature, are nobody's business.
    pub fn shown_url(&self) -> String {
        if !is_object_url(&self.url) {
            return self.url.clone();
        }
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned()
            }
            None => url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_lakes_place_is_shown_without_secrets() {
        let cases = [
            ("lake", "lake"),
            ("/data/lake@home?", "/data/lake@home?"),
            ("s3://bucket/a/b", "s3://bucket/a/b"),
            ("s3://bucket", "s3://bucket"),
            ("az://name:pass@box/a?sig=abc&se=1", "az://box/a"),
        ];
        for (url, shown) in cases {
            let origin = Origin::of_lake(url, Storage::default(), Arc::new(SystemClock));
            assert_eq!(origin.shown_url(), shown);
        }
    }
}
