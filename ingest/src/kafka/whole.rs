//! All partitions of a topic for one member of the group: for events that are not keyed by sensor.
//!
//! *How*: the group shares out the topic as usual, and whoever is given partition 0 is the owner. The owner
//! reads all partitions by a client of its own, which is in no group; the others stand by. The member's own
//! client never reads: it holds what the group gives it, and hears of rebalances.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::batch::MessageBatch;
use super::consumer::{Consumer, Release};
use super::error::KafkaError;
use super::settings::KafkaSettings;
use crate::source::{Begin, LaneOwner, Leave, Origins, OwnerError, Revoked, Source};

/// The partition that makes its member the owner.
const TOKEN: i32 = 0;
/// How often the owner counts the partitions: a topic may grow.
const RECOUNT: Duration = Duration::from_secs(5);

/// A member that reads all partitions, or none.
pub struct WholeTopic {
    member: Consumer,
    reader: Consumer,
    share: Share,
}

/// What the member reads.
#[derive(Default)]
struct Share {
    /// Empty unless it is the owner.
    partitions: Vec<i32>,
    counted: Option<Instant>,
}

/// Stands between the group and the owner of lanes: the group speaks of shares, the lanes hear of all
/// partitions or of none.
struct Gate<'a, O> {
    owner: &'a mut O,
    reader: &'a mut Consumer,
    share: &'a mut Share,
}

impl WholeTopic {
    /// Joins the group; see [`Consumer::start`].
    ///
    /// # Errors
    /// As [`Consumer::start`].
    pub fn start(settings: &KafkaSettings, thread: usize) -> Result<Self, KafkaError> {
        let member = Consumer::start(settings, thread)?;
        let reader = Consumer::alone(settings)?;
        Ok(Self { member, reader, share: Share::default() })
    }

    /// The owner takes partitions in that the topic did not have before.
    fn grow<O: LaneOwner>(&mut self, owner: &mut O) -> Result<(), KafkaError> {
        let Self { reader, share, .. } = self;
        let due = share.counted.is_some_and(|at| at.elapsed() >= RECOUNT);
        if share.partitions.is_empty() || !due {
            return Ok(());
        }
        share.counted = Some(Instant::now());
        // A broker that is away is trouble of others already.
        let Ok(count) = reader.origins().partitions() else { return Ok(()) };
        let known = i32::try_from(share.partitions.len()).unwrap_or(i32::MAX);
        if count <= known {
            return Ok(());
        }
        let new: Vec<i32> = (known..count).collect();
        let begins = owner.assigned(&new, reader.origins()).map_err(KafkaError::Owner)?;
        let next: Vec<(i32, Begin)> = new.iter().copied().zip(begins).collect();
        reader.add(&next)?;
        share.partitions.extend(new);
        Ok(())
    }
}

impl<O: LaneOwner> LaneOwner for Gate<'_, O> {
    fn assigned(&mut self, given: &[i32], origins: &dyn Origins) -> Result<Vec<Begin>, OwnerError> {
        if given.contains(&TOKEN) && self.share.partitions.is_empty() {
            let all: Vec<i32> = (0..self.reader.origins().partitions()?).collect();
            let begins = self.owner.assigned(&all, origins)?;
            let next: Vec<(i32, Begin)> = all.iter().copied().zip(begins).collect();
            self.reader.add(&next)?;
            *self.share = Share { partitions: all, counted: Some(Instant::now()) };
        }
        Ok(vec![Begin::Later; given.len()])
    }

    fn revoked(&mut self, gone: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        if !gone.contains(&TOKEN) {
            return Ok(Vec::new());
        }
        let Share { partitions, .. } = std::mem::take(self.share);
        let told = self.owner.revoked(&partitions, how);
        self.reader.let_all_go()?;
        told
    }
}

/// The reader is in no group: nobody asks.
struct Nobody;

impl LaneOwner for Nobody {
    fn assigned(&mut self, _: &[i32], _: &dyn Origins) -> Result<Vec<Begin>, OwnerError> {
        Err("a client without a group was given partitions".into())
    }

    fn revoked(&mut self, _: &[i32], _: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        Ok(Vec::new())
    }
}

impl Source for WholeTopic {
    type Batch<'a> = MessageBatch<'a>;

    fn poll<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        max: usize,
        timeout: Duration,
    ) -> Result<Option<MessageBatch<'_>>, KafkaError> {
        let Self { member, reader, share } = self;
        let mut gate = Gate { owner: &mut *owner, reader, share };
        // It reads nothing: all it is given waits for ever.
        drop(member.poll(&mut gate, 1, Duration::ZERO)?);
        self.grow(owner)?;
        self.reader.poll(&mut Nobody, max, timeout)
    }

    fn positions(&self) -> BTreeMap<i32, i64> {
        self.reader.positions()
    }

    fn is_assigned(&self) -> bool {
        self.member.is_assigned()
    }

    fn take_errors(&self) -> Vec<(String, u64)> {
        let mut errors = self.member.take_errors();
        errors.extend(self.reader.take_errors());
        errors
    }

    fn commit_offsets(&self, next: &[(i32, i64)]) {
        self.member.commit_offsets(next);
    }

    fn origins(&self) -> &dyn Origins {
        self.reader.origins()
    }

    fn seek(&mut self, next: &[(i32, i64)]) -> Result<(), KafkaError> {
        self.reader.seek(next)
    }

    fn pause(&self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.reader.pause(partitions)
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.reader.resume(partitions)
    }

    fn close<O: LaneOwner>(self, owner: &mut O, leave: Leave) -> Release {
        let Self { member, mut reader, mut share } = self;
        member.close(&mut Gate { owner, reader: &mut reader, share: &mut share }, leave)
    }
}
