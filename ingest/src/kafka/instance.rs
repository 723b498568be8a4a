//! The name of this process in its group, the same after a restart.
//!
//! *Why a lock file*: a restarted process must get its old name back at once, so that the group doesn't
//! rebalance; two processes of one host must never share one, or the broker fences the older. The
//! lowest slot whose lock is free gives both, and the lock goes with the process however it ends.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::settings::is_instance_name;

#[cfg(test)]
mod tests;

/// Most processes of one host on one lake.
const SLOTS_MAX: u32 = 1024;
/// The longest part of a host's name that is kept.
const HOST_MAX: usize = 100;

/// Why there is no name.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// The name in the configuration can't be used.
    #[error(
        "instance {0:?} can't be used: it must be 1 to 240 letters, digits, dots, dashes or underscores"
    )]
    Name(String),
    /// The state directory can't be used.
    #[error(
        "cannot {action} {path}: {source}; set XDG_STATE_HOME to a directory that can be written, or \
         [source] instance to a name of this process's own"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// All slots are taken.
    #[error("all {SLOTS_MAX} slots in {0} are taken; set [source] instance")]
    Full(PathBuf),
}

/// The name, held as long as this value lives.
#[derive(Debug)]
pub struct Instance {
    name: String,
    /// Locked until it is closed.
    _lock: Option<File>,
}

impl Instance {
    /// The name that the user gave; that nobody else has it is the user's care.
    ///
    /// # Errors
    /// [`InstanceError::Name`].
    pub fn configured(name: &str) -> Result<Self, InstanceError> {
        if !is_instance_name(name) {
            return Err(InstanceError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), _lock: None })
    }

    /// `<host>-<hash of the lake>-<slot>`: the lowest slot that no process holds.
    ///
    /// # Errors
    /// [`InstanceError::Io`] and [`InstanceError::Full`].
    pub fn claim(state: &Path, host: &str, lake: &str) -> Result<Self, InstanceError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| InstanceError::Io { action, path, source }
        };
        std::fs::create_dir_all(state).map_err(failed("create", state))?;
        let base = format!("{}-{:016x}", plain(host), hash(lake));
        for slot in 0..SLOTS_MAX {
            let name = format!("{base}-{slot}");
            let path = state.join(format!("{name}.lock"));
            let lock = File::options().create(true).append(true).open(&path);
            let lock = lock.map_err(failed("open", &path))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { name, _lock: Some(lock) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
            }
        }
        Err(InstanceError::Full(state.to_owned()))
    }

    /// What `group.instance.id` begins with.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The machine's directory for our state, from the environment that is passed in:
/// `$XDG_STATE_HOME/tidegauge`, else `$HOME/.local/state/tidegauge`, else `/var/lib/tidegauge`.
pub fn state_directory(env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    // The XDG specification: a path that is empty or relative counts as not set.
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map_or_else(|| PathBuf::from("/var/lib/tidegauge"), |base| base.join("tidegauge"))
}

/// This machine's name as the kernel has it; `localhost` when it doesn't say.
pub fn host_name() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

/// A host's name in the letters that an instance may have.
fn plain(host: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    host.chars().take(HOST_MAX).map(legal).collect()
}

/// FNV-1a, 64 bits: the same in every version, unlike the standard library's hasher.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
