//! What tells one content of a file from the next without reading it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system writes times in steps: a file that changed within one may change again unnoticed.
const STEP: Duration = Duration::from_secs(1);

/// A file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed_ns: i128,
    modified_ns: i128,
}

impl Identity {
    /// The file that a path leads to now, links followed.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let ns = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
        })
    }

    /// Whether it could have changed again without looking different.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i128;
        // A change in the future says nothing either.
        now - self.changed_ns < STEP.as_nanos() as i128
    }
}
