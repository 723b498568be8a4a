//! One epoch: staging, checkpoint, record, publishing.

use tidegauge_flow::Place;

use super::cut::{Committed, Cut};
use super::ledger::{self, Written};
use super::split::Part;
use super::{Lane, State};
use crate::digest::Digest;
use crate::error::LakeError;
use crate::format::FILE_FORMAT;
use crate::intent::Intent;
use crate::parquet;
use crate::paths::{self, DataFile};
use crate::record::{CheckpointRef, FileRef, Kind, Record};

impl Lane {
    /// Commits an epoch: when it returns `Ok`, all of the cut is in the lake and published.
    ///
    /// # Errors [`LakeError::Refused`] when the cut contradicts the ledger or itself; nothing was
    /// written and the lane goes on. Any other error leaves the lane unusable: take it again, and
    /// the ledger says whether the epoch has happened. [`LakeError::Fenced`]: it has not, and
    /// another writer has the lane.
    pub fn commit(&mut self, cut: Cut, now_us: i64) -> Result<Committed, LakeError> {
        if self.state == State::Broken {
            return Err(LakeError::Broken { lane: self.name().to_owned() });
        }
        let positions = self.join_spans(&cut)?;
        let inputs = self.join_inputs(&cut)?;
        let parts = self.parts(&cut, now_us)?;
        let record = Record {
            epoch: self.next_epoch(),
            kind: Kind::Epoch,
            previous: Some(self.digest),
            recovered: self.opened,
            inputs,
            jumps: cut.jumps,
            positions,
            watermark_ns: cut.watermark_ns.or(self.newest.watermark_ns),
            idle_moves: cut.idle_moves,
            closed_by: cut.closed_by,
            files: Vec::new(),
            checkpoint: None,
            model_sets: cut.model_sets,
            counters: cut.counters,
            committed_at_us: now_us,
            generation: self.newest.generation,
            lane: self.newest.lane.clone(),
            writer: self.newest.writer,
        };
        // Whatever stops us from here on leaves us unsure of what is in the lake.
        self.state = State::Broken;
        let committed = self.carry_out(record, parts, cut.checkpoint)?;
        self.state = State::Live;
        Ok(committed)
    }

    fn carry_out(
        &mut self,
        mut record: Record,
        parts: Vec<Part>,
        checkpoint: Option<Vec<u8>>,
    ) -> Result<Committed, LakeError> {
        self.failpoint.reach(Place::BeforeStaging)?;
        record.files = self.stage(&record, parts)?;
        self.failpoint.reach(Place::AfterStaging)?;
        if let Some(state) = checkpoint {
            record.checkpoint = Some(self.save(&record, &state)?);
        }
        self.failpoint.reach(Place::AfterCheckpoint)?;
        self.failpoint.reach(Place::BeforeLedger)?;
        let digest = match ledger::put(self.store.as_ref(), &record, &mut self.seen)? {
            Written::Ours(digest) => digest,
            Written::Theirs { by, counts } => return Err(self.fenced(&record, by, counts)),
        };
        self.failpoint.reach(Place::LedgerAmbiguous)?;
        self.failpoint.reach(Place::AfterLedger)?;
        if self.store.renames() {
            for file in &record.files {
                self.store.publish(&paths::staging_path(&record.lane, &file.path), &file.path)?;
                self.failpoint.reach(Place::MidPublish)?;
            }
        }
        self.failpoint.reach(Place::AfterPublish)?;
        let committed = Committed {
            epoch: record.epoch,
            files: record.files.len() as u64,
            rows: record.files.iter().map(|file| file.rows).sum(),
            bytes: record.files.iter().map(|file| file.bytes).sum(),
        };
        self.advance(record, digest);
        self.failpoint.reach(Place::BeforeOffsets)?;
        Ok(committed)
    }

    fn stage(&self, record: &Record, parts: Vec<Part>) -> Result<Vec<FileRef>, LakeError> {
        let metadata = [
            ("tidegauge.format", FILE_FORMAT.to_string()),
            ("tidegauge.generation", record.generation.to_string()),
            ("tidegauge.lane", record.lane.clone()),
            ("tidegauge.epoch", record.epoch.to_string()),
            ("tidegauge.writer", record.writer.to_string()),
        ];
        let name = |n| DataFile {
            generation: record.generation,
            lane: record.lane.clone(),
            epoch: record.epoch,
            writer: record.writer,
            n,
        };
        let path = |(n, part): (u32, &Part)| name(n).published(part.table, &part.date);
        let paths: Vec<String> = (0..).zip(&parts).map(path).collect();
        if !self.store.renames() && !paths.is_empty() {
            let made_at_us = record.committed_at_us;
            let intent = Intent { epoch: record.epoch, files: paths.clone(), made_at_us };
            intent.put(self.store.as_ref(), &record.lane, record.writer)?;
            self.failpoint.reach(Place::MidStaging)?;
        }
        let mut files = Vec::with_capacity(parts.len());
        for (part, path) in parts.into_iter().zip(paths) {
            let rows = part.rows();
            let bytes = parquet::encode(part.schema, &part.batches, &metadata)
                .map_err(|source| LakeError::Parquet { path: path.clone(), source })?;
            self.store.put(&self.before_the_record(&record.lane, &path), &bytes)?;
            files.push(FileRef {
                table: part.table,
                path,
                rows,
                bytes: bytes.len() as u64,
                sha256: Digest::of(&bytes),
                window_end_us: part.window_end_us,
            });
            self.failpoint.reach(Place::MidStaging)?;
        }
        Ok(files)
    }

    /// Where a data file lies until its record is written.
    fn before_the_record(&self, lane: &str, path: &str) -> String {
        if self.store.renames() { paths::staging_path(lane, path) } else { path.to_owned() }
    }

    fn save(&self, record: &Record, state: &[u8]) -> Result<CheckpointRef, LakeError> {
        let path = paths::checkpoint_path(&record.lane, record.epoch, record.writer);
        self.store.put(&path, state)?;
        Ok(CheckpointRef {
            epoch: record.epoch,
            path,
            bytes: state.len() as u64,
            sha256: Digest::of(state),
            positions: record.next_positions(),
        })
    }

    /// Another writer has our epoch, so no record will ever name what we wrote for it. Who comes
    /// next may have looked for leftovers before we wrote them; what we cannot remove now stays
    /// until then.
    fn fenced(&self, record: &Record, by: String, counts: bool) -> LakeError {
        if counts {
            // Whoever has the lane now has finished it.
            return LakeError::Fenced { lane: record.lane.clone(), epoch: record.epoch, by };
        }
        let staged = record.files.iter().map(|f| self.before_the_record(&record.lane, &f.path));
        let checkpoint = record.checkpoint.iter().map(|checkpoint| checkpoint.path.clone());
        for path in staged.chain(checkpoint) {
            if let Err(error) = self.store.delete(&path) {
                tracing::warn!(file = path, %error, "cannot remove a file of a lost epoch");
            }
        }
        LakeError::Fenced { lane: record.lane.clone(), epoch: record.epoch, by }
    }

    /// Makes `record` the newest one, and the checkpoint before it the spare.
    fn advance(&mut self, record: Record, digest: Digest) {
        let replaced = self.newest.checkpoint.take().map(|checkpoint| checkpoint.path);
        if replaced.is_some()
            && let Some(old) = std::mem::replace(&mut self.spare, replaced)
            && let Err(error) = self.store.delete(&old)
        {
            // The next one to take the lane removes it.
            tracing::warn!(file = old, %error, "cannot remove an old checkpoint");
        }
        self.positions = record.next_positions();
        (self.newest, self.digest) = (record, digest);
    }
}
