//! A lake in a bucket: S3, Azure Blob, Google Cloud Storage, through the crate `object_store`.
//!
//! *No rename there*: files are written once under their final names and the ledger alone says which
//! count ([`Store::renames`]).
//! *One request per object*, also for the largest: an upload in parts could expire or be left half
//! done, and a file of one epoch is far below what one request may carry (5 GiB).
//! *Retries are ours*: what `object_store` repeats silently could turn our own success into "it
//! exists". So its own are off, each request is one try, and [`retry`] knows whether an earlier try
//! may have been carried out.
//! *Synchronous*: requests run on a runtime of the store's own, so every thread may wait for them, those of
//! another runtime too.

mod connect;
mod message;
mod retry;
mod watch;

use std::future::Future;
use std::io;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore as Client, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tidegauge_flow::{Entry, Store, StoreError};
use tokio::runtime::{Builder, Runtime};

pub use connect::{BadStorage, Storage, check_object_url, is_object_url};
pub use retry::Patience;
use retry::{Ended, Failure, retry};

/// A [`Store`] in a bucket, under a prefix.
#[derive(Debug)]
pub struct ObjectStore {
    client: Arc<dyn Client>,
    /// Empty, or ending in `/`.
    prefix: String,
    url: String,
    storage: Storage,
    /// `None` only while the store is dropped.
    runtime: Option<Runtime>,
}

/// What DataFusion needs to read files of a lake by itself.
#[derive(Debug, Clone)]
pub struct FileAccess {
    /// The bucket as a URL, `s3://bucket`.
    pub root: String,
    /// A client for it, which retries as `object_store` does.
    pub client: Arc<dyn Client>,
}

impl ObjectStore {
    /// The store at `url`: `s3://bucket/prefix`, `az://container/prefix`, `abfs[s]://…` or
    /// `gs://bucket/prefix`. Credentials and endpoints come from the usual variables
    /// (`AWS_…`, `AZURE_…`, `GOOGLE_…`), and from `storage`, which wins. Nothing is asked of the
    /// server yet.
    ///
    /// # Errors
    /// When the URL or a setting is not valid; its value is not shown.
    pub fn connect(url: &str, storage: &Storage) -> Result<Self, BadStorage> {
        let place = connect::Place::parse(url)?;
        let client = place.client(storage, watch::connector())?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tidegauge-store")
            .enable_all()
            .build()
            .map_err(|e| BadStorage::new(url, format!("no thread for its requests: {e}")))?;
        Ok(Self {
            client,
            prefix: place.prefix.clone(),
            url: place.url(),
            storage: storage.clone(),
            runtime: Some(runtime),
        })
    }

    /// Another client for the same place.
    ///
    /// # Errors
    /// As [`ObjectStore::connect`].
    pub fn file_access(url: &str, storage: &Storage) -> Result<FileAccess, BadStorage> {
        let place = connect::Place::parse(url)?;
        Ok(FileAccess { root: place.root(), client: place.plain_client(storage)? })
    }

    fn path(&self, path: &str) -> Result<Path, StoreError> {
        let whole = format!("{}{path}", self.prefix);
        let parsed = Path::parse(&whole).map_err(io::Error::other);
        match parsed {
            // What is not as we spelled it would be listed under another name.
            Ok(parsed) if parsed.as_ref() == whole && !path.is_empty() => Ok(parsed),
            Ok(_) => Err(self.failed("use", path, io::ErrorKind::InvalidInput.into())),
            Err(source) => Err(self.failed("use", path, source)),
        }
    }

    /// Tries until it is clear, on the store's own thread. `bytes` is what a try carries.
    fn ask<T, F>(
        &self,
        bytes: usize,
        mut attempt: impl FnMut(Arc<dyn Client>) -> F + Send + 'static,
    ) -> Ended<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send,
    {
        let patience = self.storage.patience;
        let client = Arc::clone(&self.client);
        let (tell, told) = mpsc::sync_channel(1);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                let ended = retry(patience, bytes, move || attempt(Arc::clone(&client))).await;
                // The caller waits for nothing else, so it is there.
                let _ = tell.send(ended);
            });
        }
        let gone = |_| Ended { answer: Err(Failure::lost("its thread has ended")), unsure: true };
        told.recv().unwrap_or_else(gone)
    }

    /// What a call that is no conditional write says of its failure.
    fn explain(&self, action: &'static str, path: &str, failure: Failure) -> StoreError {
        match failure {
            Failure::NotFound if !path.is_empty() => StoreError::NotFound { path: path.to_owned() },
            failure => self.failed(action, path, message::explain(&failure, &self.url)),
        }
    }

    fn failed(&self, action: &'static str, path: &str, source: io::Error) -> StoreError {
        StoreError::Failed { action, path: format!("{}/{path}", self.url), source }
    }

    /// Whether a refusal of a conditional write is because the object is there. Some servers answer
    /// alike when another request for the same name is under way.
    fn is_there(&self, path: &Path) -> Result<bool, Failure> {
        let path = path.clone();
        let ended = self.ask(0, move |client| {
            let path = path.clone();
            async move { client.head(&path).await }
        });
        match ended.answer {
            Ok(_) => Ok(true),
            Err(Failure::NotFound) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn create(&self, path: &Path, bytes: &Bytes) -> Ended<()> {
        let (path, bytes) = (path.clone(), bytes.clone());
        self.ask(bytes.len(), move |client| {
            let (path, payload) = (path.clone(), PutPayload::from_bytes(bytes.clone()));
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            async move { client.put_opts(&path, payload, options).await.map(|_| ()) }
        })
    }
}

impl Store for ObjectStore {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let at = self.path(path)?;
        let ended = self.ask(0, move |client| {
            let at = at.clone();
            async move { client.get(&at).await?.bytes().await }
        });
        ended.answer.map(Vec::from).map_err(|failure| self.explain("read", path, failure))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let at = self.path(path)?;
        let ended = self.ask(0, move |client| {
            let at = at.clone();
            async move { client.head(&at).await }
        });
        match ended.answer {
            Ok(found) => Ok(Some(found.size)),
            Err(Failure::NotFound) => Ok(None),
            Err(failure) => Err(self.explain("look at", path, failure)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let folder = match prefix.strip_suffix('/') {
            Some(folder) => self.path(folder)?,
            None if prefix.is_empty() => Path::parse(&self.prefix)
                .map_err(|e| self.failed("use", "", io::Error::other(e)))?,
            None => return Err(self.failed("list", prefix, io::ErrorKind::InvalidInput.into())),
        };
        let ended = self.ask(0, move |client| {
            let folder = folder.clone();
            async move { client.list(Some(&folder)).try_collect::<Vec<_>>().await }
        });
        let found = ended.answer.map_err(|failure| match failure {
            // A folder without objects is an empty list, so it is the bucket.
            Failure::NotFound => self.failed("list", prefix, message::no_bucket()),
            failure => self.explain("list", prefix, failure),
        })?;
        let entry = |object: object_store::ObjectMeta| {
            let path = object.location.as_ref().strip_prefix(&self.prefix)?.to_owned();
            Some(Entry { path, size: object.size })
        };
        let mut entries: Vec<Entry> = found.into_iter().filter_map(entry).collect();
        entries.sort();
        Ok(entries)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (at, bytes) = (self.path(path)?, Bytes::copy_from_slice(bytes));
        let ended = self.ask(bytes.len(), move |client| {
            let (at, payload) = (at.clone(), PutPayload::from_bytes(bytes.clone()));
            async move { client.put(&at, payload).await.map(|_| ()) }
        });
        ended.answer.map_err(|failure| match failure {
            Failure::NotFound => self.failed("write", path, message::no_bucket()),
            failure => self.explain("write", path, failure),
        })
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (at, bytes) = (self.path(path)?, Bytes::copy_from_slice(bytes));
        let exists = || StoreError::Exists { path: path.to_owned() };
        let ambiguous = |why: &str| StoreError::Ambiguous {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::TimedOut, why),
        };
        let mut ended = self.create(&at, &bytes);
        for _ in 1..self.storage.patience.tries {
            match ended.answer {
                Err(Failure::Conflict { .. }) => match self.is_there(&at) {
                    Ok(false) => {
                        let again = self.create(&at, &bytes);
                        ended = Ended { unsure: ended.unsure || again.unsure, ..again };
                    }
                    Ok(true) => ended.answer = Err(Failure::Exists),
                    Err(_) => break,
                },
                _ => break,
            }
        }
        match ended.answer {
            Ok(()) => Ok(()),
            // An earlier try may have been carried out and its answer lost: the object may be ours.
            Err(Failure::Exists) if ended.unsure => Err(ambiguous("an answer was lost")),
            Err(Failure::Exists) => Err(exists()),
            Err(Failure::NotFound) => Err(self.failed("write", path, message::no_bucket())),
            Err(failure) if ended.unsure || matches!(failure, Failure::Conflict { .. }) => {
                Err(StoreError::Ambiguous {
                    path: path.to_owned(),
                    source: message::explain(&failure, &self.url),
                })
            }
            Err(failure) => Err(self.explain("write", path, failure)),
        }
    }

    /// # Errors
    /// Always: there are no renames here, see [`Store::renames`].
    fn publish(&self, from: &str, _: &str) -> Result<(), StoreError> {
        Err(self.failed("rename", from, io::ErrorKind::Unsupported.into()))
    }

    fn renames(&self) -> bool {
        false
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let at = self.path(path)?;
        let ended = self.ask(0, move |client| {
            let at = at.clone();
            async move { client.delete(&at).await }
        });
        match ended.answer {
            Ok(()) | Err(Failure::NotFound) => Ok(()),
            Err(failure) => Err(self.explain("delete", path, failure)),
        }
    }

    fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        // Waiting for its thread is not allowed on a thread of another runtime, and nothing is left to
        // wait for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests;
