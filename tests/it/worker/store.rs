//! A store that fails when told.

use std::io;
use std::sync::{Arc, Mutex};

use tidegauge_flow::{Entry, Store, StoreError};

/// Writes of paths that contain a word fail, as long as that is wanted.
pub struct Wobbly {
    inner: Arc<dyn Store>,
    fault: Mutex<Option<(String, io::ErrorKind)>>,
}

impl Wobbly {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, fault: Mutex::default() }
    }

    /// From now on, writes of paths that contain `word` fail.
    pub fn break_writes(&self, word: &str, kind: io::ErrorKind) {
        *self.fault.lock().expect("unharmed") = Some((word.to_string(), kind));
    }

    pub fn heal(&self) {
        *self.fault.lock().expect("unharmed") = None;
    }

    fn check(&self, action: &'static str, path: &str) -> Result<(), StoreError> {
        match &*self.fault.lock().expect("unharmed") {
            Some((word, kind)) if path.contains(word.as_str()) => {
                let source = io::Error::new(*kind, "injected");
                Err(StoreError::Failed { action, path: path.to_string(), source })
            }
            _ => Ok(()),
        }
    }
}

impl Store for Wobbly {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.get(path)
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.inner.size(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(prefix)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check("write", path)?;
        self.inner.put(path, bytes)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check("write", path)?;
        self.inner.put_if_absent(path, bytes)
    }

    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.check("publish", to)?;
        self.inner.publish(from, to)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.inner.delete(path)
    }

    fn url(&self) -> String {
        self.inner.url()
    }
}
