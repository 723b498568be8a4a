//! A lake: opened by a pipeline that belongs to it, or only read.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidegauge_flow::{Failpoint, Store, StoreError};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::generation::{Generation, Identity};
use crate::open::OpenFile;
use crate::parquet;
use crate::paths::{self, GENERATIONS, LEDGER};
use crate::probe::probe;
use crate::record::{FileRef, Record, Table};
use crate::view::{self, View};

/// A lake that a pipeline may write to.
#[derive(Clone)]
pub struct Lake {
    pub(crate) reader: Reader,
    pub(crate) failpoint: Arc<dyn Failpoint>,
}

/// A lake as its readers see it: what the ledger names.
#[derive(Clone)]
pub struct Reader {
    pub(crate) store: Arc<dyn Store>,
    generation: Generation,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lake").field(&self.reader).finish()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.store.url()).field(&self.generation).finish()
    }
}

impl Lake {
    /// Opens the lake of this pipeline. A place without a lake becomes one.
    ///
    /// # Errors
    /// [`LakeError::OtherPipeline`] when the lake was made for another query, key or lanes.
    pub fn open(
        store: Arc<dyn Store>,
        failpoint: Arc<dyn Failpoint>,
        identity: &Identity,
        now_us: i64,
    ) -> Result<Self, LakeError> {
        let first = Generation::new(1, identity, now_us);
        let found = match newest_generation(store.as_ref())? {
            Some(found) => lasting(store.as_ref(), found)?,
            None => found_lake(store.as_ref(), first)?,
        };
        let reader = Reader { store, generation: found };
        reader.fits(identity)?;
        Ok(Self { reader, failpoint })
    }

    /// Opens a lake that is there, whatever pipeline it belongs to.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] when there is none.
    pub fn read(store: Arc<dyn Store>) -> Result<Reader, LakeError> {
        match newest_generation(store.as_ref())? {
            Some(generation) => Ok(Reader { store, generation }),
            None => Err(LakeError::NotALake { url: store.url() }),
        }
    }

    /// A lake that is there, for maintenance: whatever pipeline it belongs to.
    ///
    /// # Errors
    /// As [`Lake::read`].
    pub fn attach(store: Arc<dyn Store>, failpoint: Arc<dyn Failpoint>) -> Result<Self, LakeError> {
        Ok(Self { reader: Self::read(store)?, failpoint })
    }

    /// The same lake for reading.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl Reader {
    /// What the lake belongs to.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The names of the lanes that have a ledger, sorted.
    ///
    /// # Errors
    /// When the store fails.
    pub fn lanes(&self) -> Result<Vec<String>, LakeError> {
        Ok(view::ledger(self.store.as_ref())?.into_keys().collect())
    }

    /// The records of a lane that are still kept, oldest first; empty for a lane that nobody has
    /// taken. [`Reader::view`] has the sums of those that are not.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when a record is not as it was written, or one is missing.
    pub fn records(&self, lane: &str) -> Result<Vec<Record>, LakeError> {
        paths::check_lane(lane)?;
        let kept = view::kept(self.store.as_ref(), lane)?;
        let read = |epoch| read_record(self.store.as_ref(), lane, epoch).map(|(record, _)| record);
        kept.map(read).collect()
    }

    /// The lake as the newest summary and the records after it tell it.
    ///
    /// # Errors
    /// As [`Reader::records`], for records after the summary.
    pub fn view(&self) -> Result<View, LakeError> {
        view::read(self.store.as_ref())
    }

    /// A record that is still kept; `None` when it is not there, or not any more.
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub fn record(&self, lane: &str, epoch: u64) -> Result<Option<Record>, LakeError> {
        paths::check_lane(lane)?;
        let found = find_record(self.store.as_ref(), lane, epoch)?;
        Ok(found.map(|(record, _)| record))
    }

    /// The same as [`Reader::view`], of which only that is read which `old` has not got.
    ///
    /// # Errors
    /// As [`Reader::view`].
    pub fn renew(&self, old: View) -> Result<View, LakeError> {
        view::renew(self.store.as_ref(), old)
    }

    /// Adds to a view what its lanes have committed since, by one look per lane and new record: no listing.
    /// New lanes and summaries are not seen. Tells how many records there were.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when a record does not follow the one before it.
    pub fn advance(&self, view: &mut View) -> Result<usize, LakeError> {
        view::advance(self.store.as_ref(), view)
    }

    /// The files of a table that count, over all lanes.
    ///
    /// # Errors
    /// As [`Reader::view`].
    pub fn files(&self, table: Table) -> Result<Vec<FileRef>, LakeError> {
        Ok(self.view()?.files().filter(|file| file.table == table).cloned().collect())
    }

    /// The bytes of a file that a record names, also when its writer died before publishing it.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when they are not those that were written.
    pub fn fetch(&self, file: &FileRef) -> Result<Vec<u8>, LakeError> {
        let (bytes, _) = locate(self.store.as_ref(), &file.path)?;
        match content_problem(&bytes, file.bytes, &file.sha256) {
            None => Ok(bytes),
            Some(what) => Err(LakeError::damaged(&file.path, what)),
        }
    }

    /// The named columns of a file that a record names, in the file's order.
    ///
    /// # Errors
    /// As [`Reader::fetch`], and [`LakeError::Damaged`] when they are no rows.
    pub fn rows_of(&self, file: &FileRef, columns: &[&str]) -> Result<Vec<RecordBatch>, LakeError> {
        let rows = parquet::read_columns(self.fetch(file)?, columns);
        rows.map_err(|error| LakeError::damaged(&file.path, error.to_string()))
    }

    /// A file that a record names, to be read in parts. Its bytes are held until it is dropped.
    ///
    /// # Errors
    /// As [`Reader::fetch`].
    pub fn open(&self, file: &FileRef) -> Result<OpenFile, LakeError> {
        Ok(OpenFile::new(file.path.clone(), self.fetch(file)?))
    }

    /// Checks that the lake was made for this pipeline.
    ///
    /// # Errors
    /// [`LakeError::OtherPipeline`] names what differs.
    pub fn fits(&self, identity: &Identity) -> Result<(), LakeError> {
        let differences = self.generation.differences(&Generation::new(1, identity, 0));
        if differences.is_empty() {
            return Ok(());
        }
        let (url, differences) = (self.store.url(), differences.join("; "));
        Err(LakeError::OtherPipeline { url, differences })
    }

    /// Where a committed file's bytes are now: its final path or, before it is published, in
    /// staging.
    ///
    /// # Errors
    /// [`LakeError::Store`] when it is in neither place.
    pub fn place(&self, file: &FileRef) -> Result<String, LakeError> {
        if !self.store.renames() {
            // It never had another name, and asking for each file would take a query's time.
            return Ok(file.path.clone());
        }
        let staged = paths::staged(&file.path).unwrap_or_else(|| file.path.clone());
        // Published last, so that a move between the looks does not hide it.
        for path in [&file.path, &staged, &file.path] {
            if self.store.size(path)?.is_some() {
                return Ok(path.clone());
            }
        }
        Err(StoreError::NotFound { path: file.path.clone() }.into())
    }
}

/// Whether a file that a record names has its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Published,
    Staged,
}

/// A committed file's bytes, from its final place or, before it is published, from staging.
pub(crate) fn locate(store: &dyn Store, path: &str) -> Result<(Vec<u8>, Found), StoreError> {
    let missing = match store.get(path) {
        Err(StoreError::NotFound { path }) => StoreError::NotFound { path },
        published => return published.map(|bytes| (bytes, Found::Published)),
    };
    let Some(staged) = paths::staged(path) else {
        return Err(missing);
    };
    match store.get(&staged) {
        // It may have been published between the two looks.
        Err(StoreError::NotFound { .. }) => store.get(path).map(|bytes| (bytes, Found::Published)),
        staged => staged.map(|bytes| (bytes, Found::Staged)),
    }
}

/// Why these are not the bytes that a record speaks of.
pub(crate) fn content_problem(bytes: &[u8], size: u64, sha256: &Digest) -> Option<String> {
    if bytes.len() as u64 != size {
        return Some(format!("it has {} bytes and its record says {size}", bytes.len()));
    }
    let found = Digest::of(bytes);
    (found != *sha256).then(|| format!("its sha256 is {found} and its record says {sha256}"))
}

/// Answers in a row that leave it open whether an object was written, after which we give up.
const TRIES: u32 = 3;

/// Puts an object if it is absent. After an ambiguous answer the write is repeated, which also
/// makes it durable, until the answer is clear; then `Exists` may speak of the very object that we
/// wrote.
pub(crate) fn put_settled(store: &dyn Store, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut answer = store.put_if_absent(path, bytes);
    for _ in 1..TRIES {
        if !matches!(answer, Err(StoreError::Ambiguous { .. })) {
            break;
        }
        answer = store.put_if_absent(path, bytes);
    }
    answer
}

/// The number of a lane's newest record; 0 when it has none.
pub(crate) fn newest_epoch(store: &dyn Store, lane: &str) -> Result<u64, LakeError> {
    let entries = store.list(&paths::ledger_folder(lane))?;
    Ok(entries.iter().filter_map(|entry| paths::number_of(&entry.path)).max().unwrap_or(0))
}

/// A lane's newest record and the digest of its file; `None` when it has none.
pub(crate) fn newest_record(
    store: &dyn Store,
    lane: &str,
) -> Result<Option<(Record, Digest)>, LakeError> {
    let mut epoch = newest_epoch(store, lane)?;
    while epoch > 0 {
        let read = read_record(store, lane, epoch);
        let before = epoch;
        if matches!(read, Err(LakeError::Damaged { .. })) {
            epoch = newest_epoch(store, lane)?;
        }
        // Unless it was summarised and deleted since we looked: then there are newer ones.
        if epoch <= before {
            return read.map(Some);
        }
    }
    Ok(None)
}

/// A record and the digest of its file.
pub(crate) fn read_record(
    store: &dyn Store,
    lane: &str,
    epoch: u64,
) -> Result<(Record, Digest), LakeError> {
    find_record(store, lane, epoch)?.ok_or_else(|| {
        let path = paths::record_path(lane, epoch);
        LakeError::damaged(&path, "it is missing and a later record is there")
    })
}

/// A record and the digest of its file; `None` when there is no such file.
pub(crate) fn find_record(
    store: &dyn Store,
    lane: &str,
    epoch: u64,
) -> Result<Option<(Record, Digest)>, LakeError> {
    let path = paths::record_path(lane, epoch);
    let bytes = match store.get(&path) {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        bytes => bytes?,
    };
    let record = format::record::decode(&path, &bytes)?.intact(&path)?;
    if record.lane != lane || record.epoch != epoch {
        let what = format!("it is the record of lane {} epoch {}", record.lane, record.epoch);
        return Err(LakeError::damaged(&path, what));
    }
    Ok(Some((record, Digest::of(&bytes))))
}

pub(crate) fn newest_generation(store: &dyn Store) -> Result<Option<Generation>, LakeError> {
    let entries = store.list(GENERATIONS)?;
    let Some(number) = entries.iter().filter_map(|entry| paths::number_of(&entry.path)).max()
    else {
        return Ok(None);
    };
    let path = paths::generation_path(number);
    let generation = format::generation::decode(&path, &store.get(&path)?)?.intact(&path)?;
    if generation.number != number {
        let what = format!("it says that it is generation {}", generation.number);
        return Err(LakeError::damaged(&path, what));
    }
    Ok(Some(generation))
}

/// A generation that was found, and is durable: who made it may have died before its name was
/// synced. Putting it once more syncs the name and changes nothing.
fn lasting(store: &dyn Store, found: Generation) -> Result<Generation, LakeError> {
    if !store.renames() {
        return Ok(found);
    }
    let path = paths::generation_path(found.number);
    match put_settled(store, &path, &format::generation::encode(&found)) {
        Ok(()) | Err(StoreError::Exists { .. }) => Ok(found),
        Err(error) => Err(error.into()),
    }
}

/// Makes the first generation; when another process is quicker, its one counts. Records without a
/// generation are of a query that nobody knows any more: nothing may be built upon them.
fn found_lake(store: &dyn Store, first: Generation) -> Result<Generation, LakeError> {
    let path = paths::generation_path(first.number);
    if !store.list(LEDGER)?.is_empty() {
        // Another process may have made both meanwhile, the generation first.
        let what = "it is missing and there is a ledger; restore it or use another [lake] url";
        return newest_generation(store)?.ok_or_else(|| LakeError::damaged(&path, what));
    }
    if !store.renames() {
        // A local disk is known; a server has to be tried.
        probe(store)?;
    }
    match put_settled(store, &path, &format::generation::encode(&first)) {
        Ok(()) => return Ok(first),
        Err(StoreError::Exists { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    newest_generation(store)?.ok_or(LakeError::NotALake { url: store.url() })
}

#[cfg(test)]
mod tests;
