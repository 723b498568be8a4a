//! What lies beside the ledger and shows that a record existed: checkpoints and staged files.

use tidegauge_flow::Store;

use super::chain::Ledger;
use super::repair::Repair;
use super::report::Report;
use crate::error::LakeError;
use crate::paths::{self, DataFile, STAGING, STATE};

/// A checkpoint or staged file of a lane's epoch.
pub(super) struct Left {
    path: String,
    lane: String,
    epoch: u64,
}

/// All of them. To be called before the ledger is read.
pub(super) fn list(store: &dyn Store) -> Result<Vec<Left>, LakeError> {
    let mut left = Vec::new();
    for entry in store.list(STATE)? {
        let lane = entry.path.strip_prefix(STATE).and_then(|path| path.split_once('/'));
        if let (Some((lane, _)), Some((epoch, _))) = (lane, paths::checkpoint_of(&entry.path)) {
            left.push(Left { lane: lane.to_owned(), epoch, path: entry.path });
        }
    }
    for entry in store.list(STAGING)? {
        if let Some(file) = DataFile::parse(&entry.path) {
            left.push(Left { lane: file.lane, epoch: file.epoch, path: entry.path });
        }
    }
    Ok(left)
}

/// A writer begins its next epoch only when the record before it is there.
pub(super) fn check(left: &[Left], ledger: &Ledger, report: &mut Report) {
    for Left { path, lane, epoch } in left {
        let known = ledger.lanes.iter().find(|records| records.lane == *lane);
        let newest = known.map_or(0, |records| records.newest_epoch());
        if *epoch > newest.saturating_add(1) {
            let what = format!(
                "it is of epoch {epoch} and the newest record of lane {lane} is {newest}: records were \
                 removed"
            );
            report.problem(path, what, Repair::RestoreLedger);
        } else if *epoch > newest {
            let what = "its epoch has no record: its commit is under way, or was not finished";
            report.note(path, what, Repair::Finish);
        }
    }
}
