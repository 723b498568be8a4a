//! A lake in a directory. Durability is ours to do: a file counts only when it and its name are
//! synced.
//!
//! An object is written beside its final place under a temporary name, synced, and only then given
//! its name, by a hard link (if absent) or a rename; so no name ever crosses a file system and no
//! reader sees half an object. After that the folder is synced, and every new folder in its parent.

//!
//! After a failed sync nobody knows what the disk still holds, and a second one may say that all is
//! well. A file is then written anew from its first byte; when it was a folder's, nothing is written
//! any more until another process starts.

mod disk;
#[cfg(test)]
pub(crate) mod powerless;

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tidegauge_flow::{Entry, Store, StoreError};

use disk::{Disk, Found, RealDisk, advice};

/// Names that start so are half-written and belong to nobody's listing.
const TEMPORARY: &str = ".tmp-";
/// Folders below the root that a listing descends.
const DEPTH_MAX: usize = 16;

/// A [`Store`] in a directory.
#[derive(Debug)]
pub struct LocalStore {
    disk: Box<dyn Disk>,
    root: PathBuf,
    /// A folder could not be synced.
    distrusted: AtomicBool,
    /// Folders whose own names are known to be synced. A lake has few: lanes and dates.
    synced: Mutex<HashSet<PathBuf>>,
}

impl LocalStore {
    /// A directory that is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_on(Box::new(RealDisk), root.into())
    }

    /// A directory that is made if it is not there, its parents too.
    ///
    /// # Errors
    /// When it cannot be made, or is not a directory.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::create_on(Box::new(RealDisk), root.into())
    }

    fn open_on(disk: Box<dyn Disk>, root: PathBuf) -> Result<Self, StoreError> {
        let path = root.display().to_string();
        match disk.found(&root) {
            Ok(found) if found.is_folder => {
                let (distrusted, synced) = (AtomicBool::new(false), Mutex::default());
                Ok(Self { disk, root, distrusted, synced })
            }
            Ok(_) => Err(failed("open", path, ErrorKind::NotADirectory.into())),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(StoreError::NotFound { path }),
            Err(source) => Err(failed("open", path, source)),
        }
    }

    fn create_on(disk: Box<dyn Disk>, root: PathBuf) -> Result<Self, StoreError> {
        let made = make_folders(disk.as_ref(), &root);
        made.map_err(|e| failed("create", root.display().to_string(), advice(e, &root)))?;
        Self::open_on(disk, root)
    }

    /// Removes temporary files that a crash left behind: those last written before `before`, which
    /// must be longer ago than any write takes. Returns how many.
    ///
    /// # Errors
    /// When a folder cannot be read or a file not removed.
    pub fn sweep(&self, before: SystemTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        let root = self.root.display().to_string();
        let walked = walk(self.disk.as_ref(), &self.root, DEPTH_MAX, &mut |path, found| {
            if is_temporary(path) && found.modified < before {
                self.disk.remove_file(path)?;
                removed += 1;
            }
            Ok(())
        });
        walked.map(|()| removed).map_err(|e| failed("sweep", root, e))
    }

    /// The file of an object; refuses paths that would leave the root or hide from a listing.
    fn file(&self, path: &str) -> Result<PathBuf, StoreError> {
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..")
                && !part.contains(['\\', '\0'])
                && !part.starts_with(TEMPORARY)
        };
        if path.split('/').all(plain) && path.split('/').count() <= DEPTH_MAX {
            return Ok(self.root.join(path));
        }
        let why = "an object's path has plain parts between single slashes";
        let source = io::Error::new(ErrorKind::InvalidInput, why);
        Err(failed("use", format!("{path:?}"), source))
    }

    /// Writes and syncs a temporary file beside `target`.
    fn temporary(&self, target: &Path, bytes: &[u8]) -> io::Result<Temporary<'_>> {
        let folder = parent(target);
        self.folder(folder)?;
        // The name is random because processes on several machines may share the directory.
        let path = folder.join(format!("{TEMPORARY}{:016x}", rand::random::<u64>()));
        let mut file = match self.disk.create_new(&path) {
            // Someone removed the folder since we made it.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.known().clear();
                self.folder(folder)?;
                self.disk.create_new(&path)?
            }
            made => made?,
        };
        let temporary = Temporary { disk: self.disk.as_ref(), path };
        file.write_all(bytes)?;
        file.sync()?;
        Ok(temporary)
    }

    /// Gives a file another name, on another file system if need be (a table's folder may be a link
    /// or a mount): then as a synced copy, so that its readers still see it whole.
    fn relocate(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.folder(parent(target))?;
        match self.disk.rename(source, target) {
            Err(e) if e.kind() == ErrorKind::CrossesDevices => {
                self.temporary(target, &self.disk.read(source)?)?.rename(target)?;
                self.sync_folder(parent(target))?;
                self.disk.remove_file(source)
            }
            // Someone removed the folder since we made it.
            Err(e) if e.kind() == ErrorKind::NotFound && self.is_file(source) => {
                self.known().clear();
                self.folder(parent(target))?;
                self.disk.rename(source, target)
            }
            renamed => renamed,
        }
    }

    /// Makes a folder below the root; its name and its parents' are synced afterwards. A folder
    /// that another process made a moment ago may not be synced yet, so the first use of each syncs
    /// it.
    fn folder(&self, folder: &Path) -> io::Result<()> {
        if self.distrusted.load(Ordering::Acquire) {
            let what = "a sync has failed before, so the disk is not trusted; start again";
            return Err(io::Error::other(what));
        }
        if folder == self.root || self.known().contains(folder) {
            return Ok(());
        }
        let above = parent(folder);
        self.folder(above)?;
        match self.disk.make_folder(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => self.sync_folder(above)?,
        }
        self.known().insert(folder.to_owned());
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let synced = self.disk.sync_folder(folder);
        if synced.is_err() {
            self.distrusted.store(true, Ordering::Release);
        }
        synced
    }

    fn is_file(&self, path: &Path) -> bool {
        self.disk.found(path).is_ok_and(|found| found.is_file)
    }

    /// An error of the disk at `path`, with what to do about it.
    fn failed(&self, action: &'static str, path: &str, source: io::Error) -> StoreError {
        failed(action, path, advice(source, &self.root))
    }

    fn missing_or(&self, action: &'static str, path: &str, error: io::Error) -> StoreError {
        if is_absent(&error) {
            return StoreError::NotFound { path: path.to_owned() };
        }
        self.failed(action, path, error)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        // A set of names is never half-changed.
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for LocalStore {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let file = self.file(path)?;
        self.disk.read(&file).map_err(|e| self.missing_or("read", path, e))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        match self.disk.found(&self.file(path)?) {
            Ok(found) => Ok(found.is_file.then_some(found.size)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(self.failed("look at", path, e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let folder = match prefix.strip_suffix('/') {
            Some(folder) => self.file(folder)?,
            None if prefix.is_empty() => self.root.clone(),
            None => {
                let why = io::Error::new(ErrorKind::InvalidInput, "a folder ends in '/'");
                return Err(failed("list", prefix, why));
            }
        };
        let mut entries = Vec::new();
        let walked = walk(self.disk.as_ref(), &folder, DEPTH_MAX, &mut |path, found| {
            let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if let Some(path) = below.filter(|_| !is_temporary(path)) {
                entries.push(Entry { path: path.to_owned(), size: found.size });
            }
            Ok(())
        });
        walked.map_err(|e| self.failed("list", prefix, e))?;
        entries.sort();
        Ok(entries)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.file(path)?;
        let written = self.temporary(&target, bytes).and_then(|temporary| {
            temporary.rename(&target)?;
            self.sync_folder(parent(&target))
        });
        written.map_err(|e| self.failed("write", path, e))
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.file(path)?;
        let temporary =
            self.temporary(&target, bytes).map_err(|e| self.failed("write", path, e))?;
        let linked = match self.disk.hard_link(&temporary.path, &target) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Err(StoreError::Exists { path: path.to_owned() })
            }
            // A file server may have made the link and lost the answer.
            Err(source) if self.disk.found(&target).is_ok() => {
                return Err(StoreError::Ambiguous { path: path.to_owned(), source });
            }
            Err(e) => return Err(self.failed("link", path, e)),
        };
        drop(temporary);
        // The name is there, whoever made it; until it is synced it may vanish with the power.
        self.sync_folder(parent(&target))
            .map_err(|source| StoreError::Ambiguous { path: path.to_owned(), source })?;
        linked
    }

    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (source, target) = (self.file(from)?, self.file(to)?);
        let moved = match self.relocate(&source, &target) {
            Err(e) if is_absent(&e) && self.is_file(&target) => false,
            Err(e) => return Err(self.missing_or("publish", from, e)),
            Ok(()) => true,
        };
        // The new name first: with neither of them on the disk the file would be lost.
        self.sync_folder(parent(&target)).map_err(|e| self.failed("publish", to, e))?;
        if moved {
            self.sync_folder(parent(&source)).map_err(|e| self.failed("publish", from, e))?;
        }
        Ok(())
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let file = self.file(path)?;
        match self.disk.remove_file(&file) {
            Err(e) if is_absent(&e) => Ok(()),
            Err(e) => Err(self.failed("delete", path, e)),
            Ok(()) => self.sync_folder(parent(&file)).map_err(|e| self.failed("delete", path, e)),
        }
    }

    fn url(&self) -> String {
        self.root.display().to_string()
    }
}

/// A file without its final name yet; gone when dropped.
struct Temporary<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
}

impl Temporary<'_> {
    fn rename(self, target: &Path) -> io::Result<()> {
        self.disk.rename(&self.path, target)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; otherwise `sweep` gets what stays.
        let _ = self.disk.remove_file(&self.path);
    }
}

/// Calls `see` for each file below `folder`. Links are not followed: they could lead in a circle.
fn walk(
    disk: &dyn Disk,
    folder: &Path,
    depth: usize,
    see: &mut dyn FnMut(&Path, &Found) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match disk.entries(folder) {
        Err(e) if is_absent(&e) => return Ok(()),
        entries => entries?,
    };
    for (path, found) in entries {
        if found.is_folder && depth > 0 {
            walk(disk, &path, depth - 1, see)?;
        } else if found.is_file {
            see(&path, &found)?;
        }
    }
    Ok(())
}

/// Makes the folder of a lake and those above it, and syncs all their names: one that is there may
/// have been made by a process that died before it had synced it.
fn make_folders(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let above = parent(folder);
    match disk.make_folder(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound && above != folder => {
            make_folders(disk, above)?;
            match disk.make_folder(folder) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
                _ => return disk.sync_folder(above),
            }
        }
        Err(e) if !is_present(disk, folder) => return Err(e),
        _ => {}
    }
    let mut folder = folder;
    while parent(folder) != folder {
        folder = parent(folder);
        match disk.sync_folder(folder) {
            // What we may not write was not made by us.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) => {}
            synced => synced?,
        }
    }
    Ok(())
}

fn is_present(disk: &dyn Disk, folder: &Path) -> bool {
    disk.found(folder).is_ok_and(|found| found.is_folder)
}

/// The folder of a file; of a bare name it is the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => path,
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY))
}

/// A file in place of a folder hides what is looked for as well as nothing at all.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failed(action: &'static str, path: impl Into<String>, source: io::Error) -> StoreError {
    StoreError::Failed { action, path: path.into(), source }
}

#[cfg(test)]
mod tests;
