//! Compaction: the files of a group are read, checked, merged, and written where no reader sees them yet.

use std::collections::BTreeSet;

use bytes::Bytes;
use tidegauge_flow::{Place, names};

use super::plan::Group;
use super::{Run, merge};
use crate::digest::Digest;
use crate::error::LakeError;
use crate::format::FILE_FORMAT;
use crate::lake::{Found, content_problem, locate};
use crate::parquet;
use crate::paths::{self, CompactFile};
use crate::record::{FileRef, Table};
use crate::summary::{Level, LiveFile, Replaced};

/// What late readings and rejects are sorted by after the key columns, as far as they have it.
const ORIGIN: [&str; 3] = ["input", "partition", "offset"];

impl Run<'_> {
    /// Writes the files of all groups and puts them into the next summary in the place of the others.
    pub(super) fn compact(&mut self, progress: &dyn Fn(u64, u64)) -> Result<(), LakeError> {
        let groups = self.groups();
        if groups.is_empty() {
            return Ok(());
        }
        self.failpoint.reach(Place::BeforeCompaction)?;
        let total: u64 = groups.iter().map(|group| group.inputs.len() as u64).sum();
        let (mut done, mut gone, mut made) = (0, BTreeSet::new(), Vec::new());
        for group in &groups {
            let inputs: Vec<LiveFile> =
                group.inputs.iter().map(|&n| self.next.files[n].clone()).collect();
            match self.merge(group, &inputs) {
                Ok(file) => {
                    gone.extend(group.inputs.iter().copied());
                    made.push(file);
                    self.failpoint.reach(Place::MidCompaction)?;
                }
                // What is damaged stays as it is; the rest of the lake goes on.
                Err(LakeError::Damaged { path, what }) => {
                    tracing::error!(file = path, what, "left alone: run tidegauge verify");
                    self.outcome.damaged.push(path);
                }
                Err(error) => return Err(error),
            }
            done += inputs.len() as u64;
            progress(done, total);
        }
        let files = std::mem::take(&mut self.next.files);
        for (n, live) in files.into_iter().enumerate() {
            if gone.contains(&n) {
                self.outcome.replaced += 1;
                self.outcome.replaced_bytes += live.file.bytes;
                self.next.replaced.push(Replaced { file: live.file, at_us: self.now_us });
            } else {
                self.next.files.push(live);
            }
        }
        self.next.files.extend(made);
        Ok(())
    }

    fn merge(&mut self, group: &Group, inputs: &[LiveFile]) -> Result<LiveFile, LakeError> {
        let mut packed = Vec::with_capacity(inputs.len());
        for live in inputs {
            let sorted = live.level > Level::Commit;
            packed.push(merge::Input { bytes: self.source(&live.file)?, sorted });
        }
        let name = CompactFile {
            generation: self.generation.number,
            summary: self.next.number,
            writer: self.next.writer,
            k: self.made,
        };
        let path = name.published(group.table, &group.date);
        let order = self.order(group.table);
        let order: Vec<&str> = order.iter().map(String::as_str).collect();
        let metadata = [
            ("tidegauge.format", FILE_FORMAT.to_string()),
            ("tidegauge.generation", name.generation.to_string()),
            ("tidegauge.summary", name.summary.to_string()),
            ("tidegauge.writer", name.writer.to_string()),
            ("tidegauge.sorted_by", order.join(",")),
        ];
        let merged = merge::merge(packed, &order, &metadata)
            .map_err(|source| LakeError::damaged(&inputs[0].file.path, source.to_string()))?;
        let rows: u64 = inputs.iter().map(|live| live.file.rows).sum();
        if merged.rows != rows {
            let what = format!("{} rows came out of {rows}", merged.rows);
            return Err(LakeError::damaged(&path, what));
        }
        self.store.put(&self.place_of(&path), &merged.bytes)?;
        self.made += 1;
        self.outcome.made += 1;
        self.outcome.made_bytes += merged.bytes.len() as u64;
        self.outcome.rows += rows;
        let ends = inputs.iter().filter_map(|live| live.file.window_end_us);
        Ok(LiveFile {
            file: FileRef {
                table: group.table,
                path,
                rows,
                bytes: merged.bytes.len() as u64,
                sha256: Digest::of(&merged.bytes),
                window_end_us: ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            },
            at_us: inputs.iter().map(|live| live.at_us).max().unwrap_or(self.now_us),
            level: group.level,
        })
    }

    /// The bytes of a file that counts, after it has its final name.
    pub(super) fn source(&self, file: &FileRef) -> Result<Bytes, LakeError> {
        let (bytes, found) = locate(self.store, &file.path).map_err(|error| match error {
            tidegauge_flow::StoreError::NotFound { path } => {
                LakeError::damaged(&path, "it is missing")
            }
            other => other.into(),
        })?;
        if let Some(what) = content_problem(&bytes, file.bytes, &file.sha256) {
            return Err(LakeError::damaged(&file.path, what));
        }
        if found == Found::Staged
            && let Some(staged) = paths::staged(&file.path)
        {
            // Its writer died; were it published later, it would lie beside what replaces it.
            self.store.publish(&staged, &file.path)?;
        }
        let bytes = Bytes::from(bytes);
        let rows = parquet::rows(bytes.clone())
            .map_err(|source| LakeError::damaged(&file.path, source.to_string()))?;
        if rows != file.rows {
            let what = format!("it has {rows} rows and its record says {}", file.rows);
            return Err(LakeError::damaged(&file.path, what));
        }
        Ok(bytes)
    }

    /// The columns that a table's compacted files are sorted by.
    fn order(&self, table: Table) -> Vec<String> {
        let key = self.generation.key.iter().map(|column| column.name.clone());
        let rest: &[&str] = match table {
            Table::Predictions => &[names::WINDOW_END, names::REVISION],
            Table::Late | Table::Rejects => &ORIGIN,
            // As a sensor's events come: an event opens before it closes.
            Table::Events => &[names::EVENT_START, names::EPOCH, names::EVENT_WINDOWS],
        };
        key.chain(rest.iter().map(|&name| name.to_owned())).collect()
    }
}
