//! A lake in a directory. Durability is ours to do: a file counts only when it and its name are
//! synced.
//!
//! An object is written beside its final place under a temporary name, synced, and only then given
//! its name, by a hard link (if absent) or a rename; so no name ever crosses a file system and no
//! reader sees half an object. After that the folder is synced, and every new folder in its parent.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tidegauge_flow::{Entry, Store, StoreError};

/// Names that start so are half-written and belong to nobody's listing.
const TEMPORARY: &str = ".tmp-";
/// Folders below the root that a listing descends.
const DEPTH_MAX: usize = 16;

/// A [`Store`] in a directory.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    /// Folders whose own names are known to be synced. A lake has few: lanes and dates.
    synced: Mutex<HashSet<PathBuf>>,
}

impl LocalStore {
    /// A directory that is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let path = root.display().to_string();
        match fs::metadata(&root) {
            Ok(found) if found.is_dir() => Ok(Self { root, synced: Mutex::default() }),
            Ok(_) => Err(failed("open", path, ErrorKind::NotADirectory.into())),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(StoreError::NotFound { path }),
            Err(source) => Err(failed("open", path, source)),
        }
    }

    /// A directory that is made if it is not there, its parents too.
    ///
    /// # Errors
    /// When it cannot be made, or is not a directory.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        make_folders(&root).map_err(|e| failed("create", root.display().to_string(), e))?;
        Self::open(root)
    }

    /// Removes temporary files that a crash left behind: those last written before `before`, which
    /// must be longer ago than any write takes. Returns how many.
    ///
    /// # Errors
    /// When a folder cannot be read or a file not removed.
    pub fn sweep(&self, before: SystemTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        let root = self.root.display().to_string();
        let walked = walk(&self.root, DEPTH_MAX, &mut |path, found| {
            if is_temporary(path) && found.modified()? < before {
                fs::remove_file(path)?;
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
    fn temporary(&self, target: &Path, bytes: &[u8]) -> io::Result<Temporary> {
        let folder = parent(target);
        self.folder(folder)?;
        let (temporary, mut file) = match Temporary::new(folder) {
            // Someone removed the folder since we made it.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.known().clear();
                self.folder(folder)?;
                Temporary::new(folder)?
            }
            made => made?,
        };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Gives a file another name, on another file system if need be (a table's folder may be a link
    /// or a mount): then as a synced copy, so that its readers still see it whole.
    fn relocate(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.folder(parent(target))?;
        match fs::rename(source, target) {
            Err(e) if e.kind() == ErrorKind::CrossesDevices => {
                self.temporary(target, &fs::read(source)?)?.rename(target)?;
                sync_folder(parent(target))?;
                fs::remove_file(source)
            }
            // Someone removed the folder since we made it.
            Err(e) if e.kind() == ErrorKind::NotFound && source.is_file() => {
                self.known().clear();
                self.folder(parent(target))?;
                fs::rename(source, target)
            }
            renamed => renamed,
        }
    }

    /// Makes a folder below the root; its name and its parents' are synced afterwards. A folder
    /// that another process made a moment ago may not be synced yet, so the first use of each syncs
    /// it.
    fn folder(&self, folder: &Path) -> io::Result<()> {
        if folder == self.root || self.known().contains(folder) {
            return Ok(());
        }
        let above = parent(folder);
        self.folder(above)?;
        match fs::create_dir(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => sync_folder(above)?,
        }
        self.known().insert(folder.to_owned());
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        // A set of names is never half-changed.
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for LocalStore {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let file = self.file(path)?;
        fs::read(file).map_err(|e| missing_or("read", path, e))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        match fs::metadata(self.file(path)?) {
            Ok(found) => Ok(found.is_file().then_some(found.len())),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(failed("look at", path, e)),
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
        let walked = walk(&folder, DEPTH_MAX, &mut |path, found| {
            let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if let Some(path) = below.filter(|_| !is_temporary(path)) {
                entries.push(Entry { path: path.to_owned(), size: found.len() });
            }
            Ok(())
        });
        walked.map_err(|e| failed("list", prefix, e))?;
        entries.sort();
        Ok(entries)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.file(path)?;
        let written = self.temporary(&target, bytes).and_then(|temporary| {
            temporary.rename(&target)?;
            sync_folder(parent(&target))
        });
        written.map_err(|e| failed("write", path, e))
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.file(path)?;
        let temporary = self.temporary(&target, bytes).map_err(|e| failed("write", path, e))?;
        let linked = match fs::hard_link(&temporary.0, &target) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Err(StoreError::Exists { path: path.to_owned() })
            }
            // A file server may have made the link and lost the answer.
            Err(source) if target.exists() => {
                return Err(StoreError::Ambiguous { path: path.to_owned(), source });
            }
            Err(e) => return Err(failed("link", path, e)),
        };
        drop(temporary);
        // The name is there, whoever made it; until it is synced it may vanish with the power.
        sync_folder(parent(&target))
            .map_err(|source| StoreError::Ambiguous { path: path.to_owned(), source })?;
        linked
    }

    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (source, target) = (self.file(from)?, self.file(to)?);
        match self.relocate(&source, &target) {
            Err(e) if is_absent(&e) && target.is_file() => {}
            Err(e) => return Err(missing_or("publish", from, e)),
            Ok(()) => sync_folder(parent(&source)).map_err(|e| failed("publish", from, e))?,
        }
        sync_folder(parent(&target)).map_err(|e| failed("publish", to, e))
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let file = self.file(path)?;
        match fs::remove_file(&file) {
            Err(e) if is_absent(&e) => Ok(()),
            Err(e) => Err(failed("delete", path, e)),
            Ok(()) => sync_folder(parent(&file)).map_err(|e| failed("delete", path, e)),
        }
    }

    fn url(&self) -> String {
        self.root.display().to_string()
    }
}

/// A file without its final name yet; gone when dropped.
struct Temporary(PathBuf);

impl Temporary {
    /// The name is random because processes on several machines may share the directory.
    fn new(folder: &Path) -> io::Result<(Self, File)> {
        let path = folder.join(format!("{TEMPORARY}{:016x}", rand::random::<u64>()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((Self(path), file))
    }

    fn rename(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; otherwise `sweep` gets what stays.
        let _ = fs::remove_file(&self.0);
    }
}

/// Calls `see` for each file below `folder`. Links are not followed: they could lead in a circle.
fn walk(
    folder: &Path,
    depth: usize,
    see: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if is_absent(&e) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let found = match entry.metadata() {
            // Removed or renamed since the folder was read.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, see)?;
        } else if found.is_file() {
            see(&entry.path(), &found)?;
        }
    }
    Ok(())
}

fn make_folders(folder: &Path) -> io::Result<()> {
    let above = parent(folder);
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(above),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound && above != folder => {
            make_folders(above)?;
            match fs::create_dir(folder) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
                _ => sync_folder(above),
            }
        }
        Err(e) => Err(e),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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

fn missing_or(action: &'static str, path: &str, error: io::Error) -> StoreError {
    if is_absent(&error) {
        return StoreError::NotFound { path: path.to_owned() };
    }
    failed(action, path, error)
}

fn failed(action: &'static str, path: impl Into<String>, source: io::Error) -> StoreError {
    StoreError::Failed { action, path: path.into(), source }
}

#[cfg(test)]
mod tests;
