//! A member of the simulated group: what a worker reads from, and its evidence of the partitions' ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use tidegauge_ingest::kafka::KafkaError;
use tidegauge_ingest::{
    Batch, Begin, End, Ends, LaneOwner, Leave, Message, Origins, Revoked, Source,
};

use crate::group::Asked;
use crate::scenario::{Sent, TOPIC, What};
use crate::world::{World, instant};

/// One worker's membership.
pub struct SimSource {
    world: Arc<World>,
    process: u64,
    name: String,
    incarnation: u64,
    /// Held partitions, and what was handed out of each; nothing is, before the first seek.
    held: BTreeMap<i32, Option<i64>>,
    brokers: Brokers,
    paused: RefCell<BTreeSet<i32>>,
    assigned: bool,
}

impl SimSource {
    /// Joins the group under a name.
    pub fn join(world: Arc<World>, process: u64, name: String, incarnation: u64) -> Self {
        let now = world.state().now;
        world.state().group.join(&name, incarnation, now);
        let (held, paused) = (BTreeMap::new(), RefCell::default());
        let brokers = Brokers { world: world.clone() };
        Self { world, process, name, incarnation, held, brokers, paused, assigned: false }
    }

    fn serve<O: LaneOwner>(&mut self, owner: &mut O) -> Result<(), KafkaError> {
        loop {
            let held: BTreeSet<i32> = self.held.keys().copied().collect();
            let asked = {
                let mut state = self.world.state();
                if state.dead.contains(&self.process) {
                    return Err(fatal("simulated: the process is dead"));
                }
                let now = state.now;
                let asked = state.group.ask(&self.name, self.incarnation, &held, now);
                if let Some(asked) = &asked {
                    state.note(format_args!("{}: {} {asked:?}", self.process, self.name));
                }
                asked
            };
            match asked {
                None => return Ok(()),
                Some(Asked::Fenced) => return Err(fatal("another member took our name")),
                Some(Asked::Revoke { partitions, lost }) => {
                    let how = if lost { Revoked::Lost } else { Revoked::Orderly };
                    self.release(owner, &partitions, how)?;
                }
                Some(Asked::Assign(partitions)) => self.take(owner, &partitions)?,
            }
        }
    }

    fn take<O: LaneOwner>(&mut self, owner: &mut O, given: &[i32]) -> Result<(), KafkaError> {
        let begins = match given {
            [] => Vec::new(),
            _ => owner.assigned(given, &self.brokers).map_err(KafkaError::Owner)?,
        };
        for (partition, begin) in given.iter().zip(begins) {
            match begin {
                Begin::At(offset) => self.read_from(*partition, offset),
                Begin::Later => drop(self.held.insert(*partition, None)),
            }
        }
        self.world.state().group.taken(&self.name, self.incarnation, given);
        self.assigned = true;
        Ok(())
    }

    fn read_from(&mut self, partition: i32, offset: i64) {
        let (mut state, process) = (self.world.state(), self.process);
        let now = state.now;
        state.note(format_args!("{process}: reads {partition} from {offset}"));
        let end = state.topic.end(partition, now);
        if offset > end {
            state.problem(format!("{partition} is to be read from {offset}, its end is {end}"));
        }
        drop(state);
        self.held.insert(partition, Some(offset));
    }

    /// Whether a call of the source fails now.
    fn trouble(&self, action: &str) -> Result<(), KafkaError> {
        let mut state = self.world.state();
        let rate = state.faults.source;
        match state.chance(rate) {
            true => Err(transient(action)),
            false => Ok(()),
        }
    }

    fn release<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        gone: &[i32],
        how: Revoked,
    ) -> Result<(), KafkaError> {
        let told = owner.revoked(gone, how);
        self.held.retain(|partition, _| !gone.contains(partition));
        self.paused.borrow_mut().retain(|partition| !gone.contains(partition));
        self.assigned &= !self.held.is_empty();
        self.world.state().group.released(&self.name, self.incarnation, gone);
        let told = told.map_err(KafkaError::Owner)?;
        if how == Revoked::Orderly {
            self.commit_offsets(&told);
        }
        Ok(())
    }

    /// What comes next may have been deleted meanwhile.
    fn check_range(&mut self) -> Result<(), KafkaError> {
        let state = self.world.state();
        for (partition, next) in &mut self.held {
            if let Some(offset) = next.take_if(|next| *next < state.topic.low(*partition)) {
                let (partition, reason) = (*partition, "simulated".into());
                return Err(KafkaError::OutOfRange {
                    topic: TOPIC.into(),
                    partition,
                    offset,
                    reason,
                });
            }
        }
        Ok(())
    }

    fn fetch(&mut self, max: usize) -> Option<Messages> {
        let mut state = self.world.state();
        let now = state.now;
        let mut partitions: Vec<i32> = self.held.keys().copied().collect();
        partitions.shuffle(&mut state.random);
        let mut runs = Vec::new();
        for partition in partitions {
            if self.paused.borrow().contains(&partition) || state.chance(1_000) {
                continue;
            }
            let Some(next) = self.held[&partition] else { continue };
            // Left over from before a seek: below what was asked for.
            let low = state.topic.low(partition);
            let from = if state.chance(200) { (next - 3).max(low) } else { next };
            let some = state.below(12) + 1;
            let read = state.topic.read(partition, from, some.min(max), now).to_vec();
            if let Some(last) = read.last() {
                self.held.insert(partition, Some(next.max(last.offset + 1)));
                runs.push((partition, read));
            }
        }
        if state.chance(50) {
            // Left over from a partition that is not ours (any more).
            let other = state.below(8) as i32;
            if !self.held.contains_key(&other) && (other as usize) < state.topic.partitions(now) {
                runs.push((other, state.topic.read(other, 0, 3, now).to_vec()));
            }
        }
        let messages = |run: &[Sent]| run.iter().any(|sent| !matches!(sent.what, What::Nothing));
        runs.retain(|(_, run)| messages(run));
        for (partition, run) in &runs {
            let (first, last) = (run[0].offset, run[run.len() - 1].offset);
            state.note(format_args!("{}: {partition} gives {first}..={last}", self.process));
        }
        (!runs.is_empty()).then_some(Messages(runs))
    }
}

impl Source for SimSource {
    type Batch<'a> = Messages;

    fn poll<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        max: usize,
        _: Duration,
    ) -> Result<Option<Messages>, KafkaError> {
        self.serve(owner)?;
        self.trouble("poll")?;
        self.check_range()?;
        Ok(self.fetch(max))
    }

    fn positions(&self) -> BTreeMap<i32, i64> {
        let state = self.world.state();
        let position = |(p, next): (&i32, &Option<i64>)| {
            next.map(|next| (*p, state.topic.position(*p, next, state.now)))
        };
        self.held.iter().filter_map(position).collect()
    }

    fn is_assigned(&self) -> bool {
        self.assigned
    }

    fn take_errors(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn commit_offsets(&self, next: &[(i32, i64)]) {
        let mut state = self.world.state();
        if state.dead.contains(&self.process) {
            return;
        }
        for (partition, offset) in next {
            let folder = format!("_tidegauge/ledger/t-{partition}/");
            let newest = state.objects.last_in(&folder).map(|(_, bytes)| ledger_position(bytes));
            if newest.is_none_or(|position| position < *offset) {
                let what = format!(
                    "partition {partition}: the broker is told {offset}, the ledger has {newest:?}"
                );
                state.problem(what);
            }
        }
    }

    fn origins(&self) -> &dyn Origins {
        &self.brokers
    }

    fn seek(&mut self, next: &[(i32, i64)]) -> Result<(), KafkaError> {
        for (partition, offset) in next {
            if !self.held.contains_key(partition) {
                continue;
            }
            self.paused.borrow_mut().remove(partition);
            self.held.insert(*partition, None);
            self.trouble("seek")?;
            self.read_from(*partition, *offset);
        }
        Ok(())
    }

    fn pause(&self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.trouble("pause")?;
        self.paused.borrow_mut().extend(partitions);
        Ok(())
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.trouble("resume")?;
        self.paused.borrow_mut().retain(|partition| !partitions.contains(partition));
        Ok(())
    }

    fn close<O: LaneOwner>(mut self, owner: &mut O, leave: Leave) -> Result<(), KafkaError> {
        let all: Vec<i32> = self.held.keys().copied().collect();
        let released = self.release(owner, &all, Revoked::Orderly);
        if leave == Leave::Yes {
            self.world.state().group.leave(&self.name, self.incarnation);
        }
        released
    }
}

/// Where the only partition of a record stands, read without the code that wrote it.
pub fn ledger_position(record: &[u8]) -> i64 {
    let record: serde_json::Value = serde_json::from_slice(record).expect("a record is JSON");
    record["body"]["positions"][0]["to"].as_i64().unwrap_or(0)
}

fn fatal(reason: &str) -> KafkaError {
    KafkaError::Fatal { code: "simulated".into(), reason: reason.into() }
}

fn transient(action: &str) -> KafkaError {
    KafkaError::Transient { action: action.into(), reason: "simulated".into() }
}

/// What the brokers say of the topic; `start` is "earliest".
struct Brokers {
    world: Arc<World>,
}

impl Brokers {
    fn answer(&self) -> Result<(), KafkaError> {
        let mut state = self.world.state();
        let rate = state.faults.source;
        match state.chance(rate) {
            true => Err(transient("ask the brokers")),
            false => Ok(()),
        }
    }
}

impl Origins for Brokers {
    fn offset(&self, partition: i32) -> Result<i64, KafkaError> {
        self.answer()?;
        Ok(self.world.state().topic.low(partition))
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.answer()?;
        let state = self.world.state();
        Ok((state.topic.low(partition), state.topic.end(partition, state.now)))
    }

    fn identity(&self) -> Result<Option<Arc<str>>, KafkaError> {
        self.answer()?;
        Ok(self.world.state().topic.identity.clone())
    }
}

/// What one poll gave.
pub struct Messages(Vec<(i32, Vec<Sent>)>);

impl Batch for Messages {
    fn len(&self) -> usize {
        self.0.iter().map(|(_, run)| run.len()).sum()
    }

    fn runs(&self) -> impl Iterator<Item = (i32, impl Iterator<Item = Message<'_>> + Clone)> {
        self.0.iter().map(|(partition, run)| (*partition, run.iter().filter_map(message)))
    }
}

fn message(sent: &Sent) -> Option<Message<'_>> {
    let payload = match &sent.what {
        What::Reading { payload, .. } => Some(&**payload),
        What::Poison { payload, .. } => payload.as_deref(),
        What::Nothing => return None,
    };
    Some(Message { offset: sent.offset, timestamp_ms: sent.timestamp_ms, payload })
}

/// What one process knows of the partitions' ends: as old as its last question.
pub struct SimEnds {
    pub world: Arc<World>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    watched: BTreeMap<i32, usize>,
    ends: BTreeMap<i32, End>,
    sequence: u64,
}

impl SimEnds {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, known: Mutex::default() }
    }

    /// Asks for the ends of what is watched. The question was sent `ago`, the answer is of now.
    pub fn refresh(&self, ago: Duration) {
        let state = self.world.state();
        let mut known = self.known();
        known.sequence += 1;
        let sequence = known.sequence;
        let watched: Vec<i32> = known.watched.keys().copied().collect();
        for partition in watched {
            let end = state.topic.end(partition, state.now);
            let fetched_at = instant(state.now.saturating_sub(ago));
            known.ends.insert(
                partition,
                End { low: state.topic.low(partition), end, pending: false, fetched_at, sequence },
            );
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends for SimEnds {
    fn watch(&self, partitions: &[i32]) {
        let mut known = self.known();
        partitions.iter().for_each(|p| *known.watched.entry(*p).or_default() += 1);
    }

    fn forget(&self, partitions: &[i32]) {
        let mut known = self.known();
        for partition in partitions {
            let left = known.watched.get(partition).map_or(0, |n| n - 1);
            match left {
                0 => {
                    known.watched.remove(partition);
                    known.ends.remove(partition);
                }
                left => drop(known.watched.insert(*partition, left)),
            }
        }
    }

    fn get(&self, partition: i32) -> Option<End> {
        self.known().ends.get(&partition).copied()
    }

    fn partitions(&self) -> usize {
        let state = self.world.state();
        state.topic.partitions(state.now)
    }

    fn identity(&self) -> Option<(Arc<str>, Instant)> {
        let state = self.world.state();
        Some((state.topic.identity.clone()?, instant(state.now)))
    }

    fn identity_since(&self, _: Instant) -> Option<Arc<str>> {
        self.identity().map(|(identity, _)| identity)
    }
}
