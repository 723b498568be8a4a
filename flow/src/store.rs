//! The lake's storage as the stages see it: whole, named, durable objects.
//!
//! *Why a trait*: the same commit runs on a directory, on an object store and, in tests, on a store
//! that fails, delays or forgets. *Why synchronous*: the callers are plain loops; a shell that needs
//! an async client blocks on it inside its own implementation.

use std::io;

use thiserror::Error;

/// Objects under `/`-separated paths relative to the store's root, without a leading slash.
///
/// # Guarantees
/// An object is seen whole or not at all. When a writing call returns `Ok`, the object survives a loss
/// of power. Every call may be repeated.
pub trait Store: Send + Sync {
    /// The object's bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none.
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError>;

    /// The object's size in bytes; `None` when there is none.
    fn size(&self, path: &str) -> Result<Option<u64>, StoreError>;

    /// Every object whose path starts with the folder `prefix` (which ends in `/` or is empty), at any
    /// depth, sorted by path. Half-written objects are not among them.
    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Writes an object, in place of one that may be there.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Writes an object that is not there yet.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it is there; [`StoreError::Ambiguous`] when it is not known whether
    /// the write took place.
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Moves an object to its final path. Repeating it is no error: it is done when `from` is gone and
    /// `to` is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when neither is there.
    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Whether [`Store::publish`] is a move that readers see whole. Where it is not (object stores),
    /// files are written once under their final names, and the ledger alone says which count.
    fn renames(&self) -> bool {
        true
    }

    /// Removes an object; one that is not there is no error.
    fn delete(&self, path: &str) -> Result<(), StoreError>;

    /// The store's place as the user knows it, for messages.
    fn url(&self) -> String;
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// What can go wrong in a store, by what the caller does about it.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("{path} does not exist")]
    NotFound { path: String },
    #[error("{path} already exists")]
    Exists { path: String },
    #[error("it is not known whether {path} was written: {source}")]
    Ambiguous { path: String, source: io::Error },
    #[error("cannot {action} {path}: {source}")]
    Failed { action: &'static str, path: String, source: io::Error },
}
