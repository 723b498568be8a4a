//! What the process says of its surroundings: room on the lake's disk, and how often it had to complain.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::{counters, gauge};

/// Lines of the log of these levels since the process started, whatever is shown of them.
static COMPLAINTS: Complaints =
    Complaints { warnings: AtomicU64::new(0), errors: AtomicU64::new(0) };

struct Complaints {
    warnings: AtomicU64,
    errors: AtomicU64,
}

/// Counts a warning of the log.
pub fn warned() {
    COMPLAINTS.warnings.fetch_add(1, Ordering::Relaxed);
}

/// Counts an error of the log.
pub fn complained() {
    COMPLAINTS.errors.fetch_add(1, Ordering::Relaxed);
}

/// The lake's disk and the log.
#[derive(Debug)]
pub struct MachineMetrics {
    registry: Registry,
    disk: Mutex<Option<Disk>>,
    warnings: IntCounter,
    errors: IntCounter,
}

#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    free: IntGauge,
    size: IntGauge,
}

impl MachineMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let lines: IntCounterVec = counters(
            registry,
            "tidegauge_log_lines_total",
            "Warnings and errors that were logged.",
            &["level"],
        )?;
        Ok(Self {
            registry: registry.clone(),
            disk: Mutex::default(),
            warnings: lines.with_label_values(&["warn"]),
            errors: lines.with_label_values(&["error"]),
        })
    }

    /// Shows the room on the disk of a folder from now on. Where the system does not tell, there are no such
    /// series: no number is better than a wrong one.
    pub fn watch_disk(&self, folder: PathBuf) {
        if room(&folder).is_none() {
            return;
        }
        let free = "tidegauge_sink_disk_free_bytes";
        let size = "tidegauge_sink_disk_size_bytes";
        let free = gauge(&self.registry, free, "Room on the lake's disk that this user may fill.");
        let size = gauge(&self.registry, size, "Size of the lake's disk.");
        // They are there already when a folder was watched before.
        if let (Ok(free), Ok(size)) = (free, size) {
            *self.disk.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Disk { folder, free, size });
        }
    }

    /// Reads the numbers anew.
    pub(super) fn refresh(&self) {
        let catch_up = |counter: &IntCounter, now: &AtomicU64| {
            counter.inc_by(now.load(Ordering::Relaxed).saturating_sub(counter.get()));
        };
        catch_up(&self.warnings, &COMPLAINTS.warnings);
        catch_up(&self.errors, &COMPLAINTS.errors);
        if let Some(disk) = self.disk.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && let Some((free, size)) = room(&disk.folder)
        {
            disk.free.set(free);
            disk.size.set(size);
        }
    }
}

/// Bytes that are free for this user, and all bytes.
fn room(folder: &PathBuf) -> Option<(i64, i64)> {
    let system = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(system.f_frsize)).ok();
    Some((bytes(system.f_bavail)?, bytes(system.f_blocks)?))
}
