//! Taking a lane: an epoch of its own, then recovery.

use std::sync::Arc;

use tidegauge_flow::{Place, Span};

use super::ledger::{self, Written};
use super::{Lane, State, recover};
use crate::digest::Digest;
use crate::error::LakeError;
use crate::lake::{Lake, newest_record};
use crate::paths;
use crate::record::{Counters, Kind, Record};
use crate::writer::Writer;

/// Races lost in a row, after which something is wrong with who is assigned what.
const TRIES: u32 = 16;

impl Lake {
    /// Takes a lane for `writer`, who must be new: writes an opening record, after which any
    /// earlier writer's commit fails, then finishes or removes what earlier writers left behind.
    ///
    /// # Errors [`LakeError::Contended`] when other writers are always quicker;
    /// [`LakeError::Damaged`] when the newest record cannot be trusted.
    pub fn take(&self, lane: &str, writer: Writer, now_us: i64) -> Result<Lane, LakeError> {
        paths::check_lane(lane)?;
        let store = self.reader.store.as_ref();
        for _ in 0..TRIES {
            let newest = self.newest(lane)?;
            let opening = self.opening(lane, writer, newest.as_ref(), now_us)?;
            self.failpoint.reach(Place::BeforeOpening)?;
            let mut seen = None;
            let Written::Ours(digest) = ledger::put(store, &opening, &mut seen)? else {
                continue;
            };
            self.failpoint.reach(Place::AfterOpening)?;
            self.failpoint.reach(Place::BeforeRecovery)?;
            let before = newest.as_ref().map(|(record, _)| record);
            let spare = recover::recover(store, self.failpoint.as_ref(), before, &opening)?;
            self.failpoint.reach(Place::AfterRecovery)?;
            return Ok(self.lane(opening, digest, spare, seen));
        }
        Err(LakeError::Contended { lane: lane.to_owned(), tries: TRIES })
    }

    fn newest(&self, lane: &str) -> Result<Option<(Record, Digest)>, LakeError> {
        let store = self.reader.store.as_ref();
        let Some(newest) = newest_record(store, lane)? else {
            return Ok(None);
        };
        let generation = self.reader.generation().number;
        if newest.0.generation != generation {
            let what =
                format!("it has generation {} and the lake {generation}", newest.0.generation);
            return Err(LakeError::damaged(&paths::record_path(lane, newest.0.epoch), what));
        }
        Ok(Some(newest))
    }

    /// The record after `newest` that says that `writer` has the lane. What is a level is carried
    /// over; what is a count is zero.
    fn opening(
        &self,
        lane: &str,
        writer: Writer,
        newest: Option<&(Record, Digest)>,
        now_us: i64,
    ) -> Result<Record, LakeError> {
        let before = newest.map(|(record, _)| record);
        let epoch = match before {
            None => 1,
            // One number is left for the first commit.
            Some(record) if record.epoch < u64::MAX - 1 => record.epoch + 1,
            Some(record) => {
                let what = format!("there is no epoch after {}", record.epoch);
                return Err(LakeError::refused(lane, what));
            }
        };
        let at = |span: &Span| Span { from: span.to, to: span.to };
        let spans = before.map(|r| r.positions.iter().map(|(p, s)| (p.clone(), at(s))).collect());
        let open = before.map_or(0, |record| record.counters.open);
        Ok(Record {
            generation: self.reader.generation().number,
            lane: lane.to_owned(),
            epoch,
            kind: Kind::Open,
            writer,
            previous: newest.map(|(_, digest)| *digest),
            recovered: before.map_or(1, |record| record.recovered),
            inputs: before.map(|record| record.inputs.clone()).unwrap_or_default(),
            jumps: Vec::new(),
            positions: spans.unwrap_or_default(),
            watermark_ns: before.and_then(|record| record.watermark_ns),
            idle_moves: Vec::new(),
            closed_by: None,
            files: Vec::new(),
            checkpoint: before.and_then(|record| record.checkpoint.clone()),
            model_sets: Vec::new(),
            counters: Counters { open, ..Counters::default() },
            committed_at_us: now_us,
        })
    }

    fn lane(
        &self,
        opening: Record,
        digest: Digest,
        spare: Option<String>,
        seen: ledger::Seen,
    ) -> Lane {
        Lane {
            store: Arc::clone(&self.reader.store),
            failpoint: Arc::clone(&self.failpoint),
            generation: self.reader.generation().clone(),
            positions: opening.next_positions(),
            opened: opening.epoch,
            newest: opening,
            digest,
            spare,
            seen,
            state: State::Live,
        }
    }
}
