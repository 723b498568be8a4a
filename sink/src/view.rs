//! A lake as its readers see it: the newest summary, and each lane's records after it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tidegauge_flow::{Store, StoreError};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::lake::{find_record, read_record};
use crate::paths::{self, LEDGER, SUMMARIES};
use crate::record::{FileRef, Record};
use crate::summary::Summary;

/// How often a look is repeated that maintenance has overtaken. It deletes what it has summarised for
/// longer than `keep_ledger`, so twice in a row is already strange.
const TRIES: u32 = 4;

/// Records of one lane that one call of [`advance`] adds: it ends also when a lane commits all the time.
const ADVANCE_MAX: usize = 10_000;

/// The newest summary, and each lane's records after it, oldest first.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// `None` in a lake that nobody has maintained yet.
    pub summary: Option<Summary>,
    /// The records that the summary does not hold, with the digests of their files.
    pub lanes: BTreeMap<String, Vec<(Record, Digest)>>,
    /// The digest of the summary's file.
    pub(crate) digest: Option<Digest>,
}

impl View {
    /// The files that count.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        let summarised = self.summary.iter().flat_map(|s| s.files.iter().map(|live| &live.file));
        let later = self.lanes.values().flatten().flat_map(|(record, _)| &record.files);
        summarised.chain(later)
    }

    /// The newest epoch of a lane that the summary holds; 0 when it holds none.
    pub(crate) fn to(&self, lane: &str) -> u64 {
        summarised_to(self.summary.as_ref(), lane)
    }
}

/// The newest epoch of a lane that a summary holds; 0 when it holds none.
pub(crate) fn summarised_to(summary: Option<&Summary>, lane: &str) -> u64 {
    summary.and_then(|s| s.lanes.get(lane)).map_or(0, |lane| lane.to)
}

/// Reads the lake.
///
/// # Errors
/// [`LakeError::Damaged`] when a record is not as it was written, or one after the summary is gone.
pub(crate) fn read(store: &dyn Store) -> Result<View, LakeError> {
    let mut tries = 1;
    loop {
        match look(store) {
            // Maintenance may have summarised and deleted them since we read the summary.
            Err(LakeError::Damaged { .. }) if tries < TRIES => tries += 1,
            looked => return looked,
        }
    }
}

/// Reads the lake, but not again what an older look has read: what is written does not change.
///
/// # Errors
/// As [`read`].
pub(crate) fn renew(store: &dyn Store, old: View) -> Result<View, LakeError> {
    match look_again(store, old) {
        Err(LakeError::Damaged { .. }) => read(store),
        looked => looked,
    }
}

/// Adds the records that have been written since to the lanes that a view knows.
///
/// # Errors
/// [`LakeError::Damaged`] when a record does not follow the one before it.
pub(crate) fn advance(store: &dyn Store, view: &mut View) -> Result<usize, LakeError> {
    let mut added = 0;
    let View { summary, lanes, .. } = view;
    for (lane, records) in lanes {
        let summarised = summary.as_ref().and_then(|s| s.lanes.get(lane));
        for _ in 0..ADVANCE_MAX {
            let last = records.last().map(|(record, digest)| (record.epoch, *digest));
            let last = last.or(summarised.map(|lane| (lane.to, lane.digest)));
            let (epoch, previous) = last.map_or((1, None), |(e, d)| (e + 1, Some(d)));
            let Some((record, digest)) = find_record(store, lane, epoch)? else { break };
            if record.previous != previous {
                let what = "it does not follow the record before it that was read earlier";
                return Err(LakeError::damaged(&paths::record_path(lane, epoch), what));
            }
            records.push((record, digest));
            added += 1;
        }
    }
    Ok(added)
}

fn look(store: &dyn Store) -> Result<View, LakeError> {
    look_again(store, View::default())
}

fn look_again(store: &dyn Store, old: View) -> Result<View, LakeError> {
    let known = old.summary.as_ref().map(|summary| summary.number);
    let (summary, digest) = match known {
        Some(_) if newest_number(store)? == known => (old.summary, old.digest),
        _ => {
            let newest = newest_summary(store)?;
            newest.map_or((None, None), |(s, digest)| (Some(s), Some(digest)))
        }
    };
    let mut view = View { summary, digest, lanes: BTreeMap::new() };
    let mut read = old.lanes;
    for (lane, epochs) in ledger(store)? {
        let to = view.to(&lane);
        let later = joined(&lane, &epochs, to)?.filter(|epoch| *epoch > to);
        let known = read.remove(&lane).unwrap_or_default();
        let mut known: BTreeMap<u64, (Record, Digest)> =
            known.into_iter().map(|known| (known.0.epoch, known)).collect();
        let records = later.map(|epoch| match known.remove(&epoch) {
            Some(known) => Ok(known),
            None => read_record(store, &lane, epoch),
        });
        view.lanes.insert(lane.clone(), records.collect::<Result<_, _>>()?);
    }
    Ok(view)
}

/// The epochs of all lanes that have a record, sorted.
pub(crate) fn ledger(store: &dyn Store) -> Result<BTreeMap<String, Vec<u64>>, LakeError> {
    let mut lanes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in store.list(LEDGER)? {
        let below = entry.path.strip_prefix(LEDGER).and_then(|path| path.split_once('/'));
        if let (Some((lane, _)), Some(epoch)) = (below, paths::number_of(&entry.path)) {
            lanes.entry(lane.to_owned()).or_default().push(epoch);
        }
    }
    lanes.values_mut().for_each(|epochs| epochs.sort_unstable());
    Ok(lanes)
}

/// The epochs of one lane that are kept.
///
/// # Errors
/// As [`joined`].
pub(crate) fn kept(store: &dyn Store, lane: &str) -> Result<RangeInclusive<u64>, LakeError> {
    let summary = newest_summary(store)?.map(|(summary, _)| summary);
    let mut epochs = numbers(store, &paths::ledger_folder(lane))?;
    epochs.sort_unstable();
    joined(lane, &epochs, summarised_to(summary.as_ref(), lane))
}

/// The epochs without a gap up to the newest, of a lane that is summarised up to `to`. What lies before
/// a gap was deleted, or was left by a writer that had been overtaken.
///
/// # Errors
/// [`LakeError::Damaged`] names a record that is missing and not summarised.
pub(crate) fn joined(
    lane: &str,
    epochs: &[u64],
    to: u64,
) -> Result<RangeInclusive<u64>, LakeError> {
    let Some(&newest) = epochs.last() else {
        return Ok(RangeInclusive::new(1, 0));
    };
    let without_gap = epochs.iter().rev().zip((1..=newest).rev()).take_while(|(a, b)| *a == b);
    let first = without_gap.last().map_or(newest, |(epoch, _)| *epoch);
    if first > to.saturating_add(1) {
        let path = paths::record_path(lane, first - 1);
        return Err(LakeError::damaged(&path, "it is missing and a later record is there"));
    }
    Ok(first..=newest)
}

/// The newest summary and the digest of its file.
pub(crate) fn newest_summary(store: &dyn Store) -> Result<Option<(Summary, Digest)>, LakeError> {
    for _ in 0..TRIES {
        let Some(number) = newest_number(store)? else {
            return Ok(None);
        };
        match read_summary(store, number) {
            // Deleted between the two looks: then there are newer ones.
            Err(LakeError::Store(StoreError::NotFound { .. })) => {}
            found => return found.map(Some),
        }
    }
    Err(LakeError::damaged(SUMMARIES, "summaries vanish while they are read"))
}

/// The number of the newest summary.
pub(crate) fn newest_number(store: &dyn Store) -> Result<Option<u64>, LakeError> {
    Ok(numbers(store, SUMMARIES)?.into_iter().max())
}

/// The numbers of the summaries that are kept, sorted.
pub(crate) fn summary_numbers(store: &dyn Store) -> Result<Vec<u64>, LakeError> {
    let mut found = numbers(store, SUMMARIES)?;
    found.sort_unstable();
    Ok(found)
}

fn numbers(store: &dyn Store, folder: &str) -> Result<Vec<u64>, LakeError> {
    let entries = store.list(folder)?;
    Ok(entries.iter().filter_map(|entry| paths::number_of(&entry.path)).collect())
}

/// A summary and the digest of its file.
pub(crate) fn read_summary(store: &dyn Store, number: u64) -> Result<(Summary, Digest), LakeError> {
    let path = paths::summary_path(number);
    let bytes = store.get(&path)?;
    let summary = format::summary::decode(&path, &bytes)?.intact(&path)?;
    if summary.number != number {
        let what = format!("it says that it is summary {}", summary.number);
        return Err(LakeError::damaged(&path, what));
    }
    Ok((summary, Digest::of(&bytes)))
}
