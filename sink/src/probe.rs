//! Whether a store keeps the one promise that everything else is built upon.

use std::io;

use tidegauge_flow::{Store, StoreError};

/// Where the objects of probes lie, for as long as a probe takes.
const PROBES: &str = "_tidegauge/probes/";

/// Writes an object that is not there, twice: the second time must be refused. The object is removed
/// afterwards.
///
/// *Why*: some servers, and some settings of others, ignore the condition of a conditional write;
/// two writers of one lane would then write over each other's records without a word.
///
/// # Errors
/// When the second write is not refused, or the store fails.
pub fn probe(store: &dyn Store) -> Result<(), StoreError> {
    let path = format!("{PROBES}{:016x}", rand::random::<u64>());
    let first = settled(store, &path, b"first");
    let second = first.and_then(|_| settled(store, &path, b"second"));
    let removed = store.delete(&path);
    match second? {
        true => {
            let what = "the server lets a conditional write (If-None-Match: *) replace what is there, so \
                        two processes could destroy each other's records; use a server that honours it";
            let source = io::Error::new(io::ErrorKind::Unsupported, what);
            Err(StoreError::Failed { action: "trust", path: store.url(), source })
        }
        false => removed,
    }
}

/// Whether the write took place, as far as the store says.
fn settled(store: &dyn Store, path: &str, bytes: &[u8]) -> Result<bool, StoreError> {
    match crate::lake::put_settled(store, path, bytes) {
        Ok(()) => Ok(true),
        Err(StoreError::Exists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
