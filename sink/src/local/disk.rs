//! The few calls of the operating system that a [`super::LocalStore`] is made of.
//!
//! *Why a trait*: what survives a loss of power depends on their order and on the syncs between
//! them, and only a disk of the tests' own can lose power thousands of times.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What lies under a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub is_file: bool,
    pub is_folder: bool,
    /// Bytes.
    pub size: u64,
    pub modified: SystemTime,
}

/// Files and folders as POSIX has them. The errors are those of [`std::fs`].
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file that must not be there.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// What is at `path`, links followed.
    fn found(&self, path: &Path) -> io::Result<Found>;
    /// The entries of a folder, links not followed.
    fn entries(&self, folder: &Path) -> io::Result<Vec<(PathBuf, Found)>>;
    /// Gives a file a second name, which must not be there.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub(super) trait OpenFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes its content durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(super) struct RealDisk;

impl From<fs::Metadata> for Found {
    fn from(found: fs::Metadata) -> Self {
        let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let (is_file, is_folder) = (found.is_file(), found.is_dir());
        Self { is_file, is_folder, size: found.len(), modified }
    }
}

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn found(&self, path: &Path) -> io::Result<Found> {
        Ok(fs::metadata(path)?.into())
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata() {
                // Removed or renamed since the folder was read.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                found => entries.push((entry.path(), found?.into())),
            }
        }
        Ok(entries)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl OpenFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The error with what to do about it, where there is something to do. `root` is where the lake is.
pub(super) fn advice(error: io::Error, root: &Path) -> io::Error {
    let root = root.display();
    let (emfile, enfile, eio) = (24, 23, 5);
    let what = match (error.kind(), error.raw_os_error()) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            format!("make room on the disk of {root} and start again; what is committed is safe")
        }
        (ErrorKind::ReadOnlyFilesystem, _) => {
            format!("{root} is mounted read-only; mount it for writing and start again")
        }
        (ErrorKind::PermissionDenied, _) => {
            format!("this user may not write to {root}; change its owner or its mode")
        }
        (_, Some(code)) if code == emfile || code == enfile => {
            "raise the limit of open files (ulimit -n, LimitNOFILE=) and start again".to_owned()
        }
        (_, Some(code)) if code == eio => format!(
            "the disk of {root} fails; look at the kernel's log, mount it anew, then start again and \
             run tidegauge verify"
        ),
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}: {what}"))
}
