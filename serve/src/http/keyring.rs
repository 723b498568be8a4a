//! The keys in force. The file is looked at with every request, so that a key that was removed is
//! refused from the next one on.
//!
//! *Fails closed*: while the file can't be read, no key is known.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::keys::{KeyEntry, KeyFile, KeyHash, KeysError, PREFIX, Role};
use super::watched::Identity;
use crate::metrics::{HttpMetrics, Reloaded};

/// A key that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub name: String,
    pub role: Role,
    pub hash: KeyHash,
}

#[derive(Debug)]
pub(super) struct Keyring {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the file as it was read; `None`: it must be read.
    read: Option<Identity>,
    keys: Vec<KeyEntry>,
    /// Why there are none, as it was logged.
    trouble: Option<String>,
}

impl Keyring {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Self, KeysError> {
        let read = Identity::of(&path).ok();
        let keys = KeyFile::read(&path)?.keys;
        if keys.is_empty() {
            let path = path.display();
            let what = format!(
                "{path} has no key, so nobody could ask: `tidegauge keys add {path} --role view --name NAME`"
            );
            return Err(KeysError::Wrong(what));
        }
        let state = State { read: fresh_is_none(read), keys, trouble: None };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// The key that a text is, if it is one. Every key is compared, in constant time.
    pub(super) fn find(&self, text: &str, metrics: &HttpMetrics) -> Option<Known> {
        if !text.starts_with(PREFIX) {
            return None;
        }
        self.knows(KeyHash::of(text), metrics)
    }

    /// The key of a hash, if it is still there.
    pub(super) fn knows(&self, hash: KeyHash, metrics: &HttpMetrics) -> Option<Known> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut state, metrics);
        let found = state
            .keys
            .iter()
            .fold(None, |found, key| if key.hash == hash { Some(key) } else { found });
        found.map(|key| Known { name: key.name.clone(), role: key.role, hash })
    }

    fn refresh(&self, state: &mut State, metrics: &HttpMetrics) {
        let now = Identity::of(&self.path);
        if let (Ok(now), Some(read)) = (&now, &state.read)
            && now == read
        {
            return;
        }
        match KeyFile::read(&self.path) {
            Ok(file) => {
                if state.trouble.take().is_some() || state.keys != file.keys {
                    let keys = file.keys.len();
                    tracing::info!(path = %self.path.display(), keys, "the keys were read anew");
                }
                *state = State { read: fresh_is_none(now.ok()), keys: file.keys, trouble: None };
            }
            Err(error) => {
                let error = error.to_string();
                if state.trouble.as_ref() != Some(&error) {
                    metrics.reload_failed(Reloaded::Keys);
                    tracing::error!(
                        error,
                        "the keys can't be read: nobody is let in until they can"
                    );
                }
                *state = State { read: None, keys: Vec::new(), trouble: Some(error) };
            }
        }
    }
}

/// A file that has just changed is read again: it may change without looking different.
fn fresh_is_none(identity: Option<Identity>) -> Option<Identity> {
    identity.filter(|identity| !identity.is_fresh(SystemTime::now()))
}
