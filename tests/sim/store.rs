//! The lake's storage in memory, as each process sees it: it fails, loses answers, is slow, and kills.
//!
//! *What it may do* is what `tidegauge_flow::Store` leaves open: a write that was answered with `Ok` stays;
//! one that was not may be there or not, and may be gone again after a loss of power.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tidegauge_flow::{Entry, Failpoint, Interrupted, Place, Store, StoreError};

use crate::runner;
use crate::world::World;

/// What is stored.
#[derive(Default)]
pub struct Objects {
    all: BTreeMap<String, Object>,
    /// Every record that was ever in the ledger, also those that maintenance has deleted: the oracle wants
    /// them all.
    records: BTreeMap<String, Arc<[u8]>>,
}

const LEDGER: &str = "_tidegauge/ledger/";
const PROBES: &str = "_tidegauge/probes/";
const SUMMARIES: &str = "_tidegauge/summaries/";

struct Object {
    bytes: Arc<[u8]>,
    /// Whether it survives a loss of power.
    durable: bool,
}

impl Objects {
    /// The newest object of a folder.
    pub fn last_in(&self, folder: &str) -> Option<(&str, &[u8])> {
        let below = self.all.range(folder.to_owned()..);
        let below = below.take_while(|(path, _)| path.starts_with(folder));
        below.last().map(|(path, object)| (path.as_str(), &*object.bytes))
    }

    /// The power goes: what was not synced is there or not.
    pub fn lose_power(&mut self, random: &mut ChaCha8Rng) -> usize {
        let before = self.all.len();
        let records = &mut self.records;
        self.all.retain(|path, object| {
            let stays = object.durable || random.random();
            // A stray in the place of a deleted record is not that record.
            if !stays && records.get(path).is_some_and(|record| *record == object.bytes) {
                records.remove(path);
            }
            stays
        });
        self.all.values_mut().for_each(|object| object.durable = true);
        before - self.all.len()
    }

    fn write(&mut self, path: &str, bytes: &[u8], durable: bool) {
        let bytes: Arc<[u8]> = bytes.into();
        if path.starts_with(LEDGER) {
            self.records.entry(path.to_owned()).or_insert_with(|| bytes.clone());
        }
        self.all.insert(path.to_owned(), Object { bytes, durable });
        if durable {
            self.sync(path);
        }
    }

    /// Syncing a folder syncs all names in it.
    fn sync(&mut self, path: &str) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let below = self.all.range_mut(folder.to_owned()..);
        below.take_while(|(path, _)| path.starts_with(folder)).for_each(|(_, o)| o.durable = true);
    }
}

/// The store of one process; number 0 is whoever looks after the lake, and has no trouble.
pub struct SimStore {
    pub world: Arc<World>,
    pub process: u64,
}

/// The lake as if nobody had ever maintained it: all records, no summaries.
pub struct Archive(pub SimStore);

impl Store for Archive {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        match path.starts_with(LEDGER) {
            true => {
                let state = self.0.world.state();
                let record = state.objects.records.get(path);
                record.map(|bytes| bytes.to_vec()).ok_or_else(|| not_found(path))
            }
            false => self.0.get(path),
        }
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.0.size(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        if prefix.starts_with(SUMMARIES) {
            return Ok(Vec::new());
        }
        if !prefix.starts_with(LEDGER) {
            return self.0.list(prefix);
        }
        let state = self.0.world.state();
        let below = state.objects.records.range(prefix.to_owned()..);
        let below = below.take_while(|(path, _)| path.starts_with(prefix));
        Ok(below.map(|(p, b)| Entry { path: p.clone(), size: b.len() as u64 }).collect())
    }

    fn put(&self, path: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(failed("write", path))
    }

    fn put_if_absent(&self, path: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(failed("write", path))
    }

    fn publish(&self, from: &str, _: &str) -> Result<(), StoreError> {
        Err(failed("publish", from))
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        Err(failed("delete", path))
    }

    fn url(&self) -> String {
        self.0.url()
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Fails,
    /// It took place, and says that it failed.
    FailsLate,
    /// Nobody knows whether it took place; here it did.
    LostAnswer,
    /// As before; here it did not.
    LostRequest,
    DiesBefore,
    DiesAfter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    WriteNew,
}

impl SimStore {
    /// Decides about a call. Before it, the others may go on for a while.
    fn begin(&self, call: Call, action: &'static str, path: &str) -> Result<Fate, StoreError> {
        if self.process == 0 {
            return Ok(Fate::Done);
        }
        self.alive(action, path)?;
        runner::others_go_on(&self.world, self.process);
        self.alive(action, path)?;
        let mut state = self.world.state();
        let rate = state.faults.store;
        let fate = match state.chance(rate) {
            false => Fate::Done,
            true => match (call, state.below(10)) {
                (Call::Read, 0..7) | (_, 0..3) => Fate::Fails,
                (Call::Read, _) | (_, 3) => Fate::DiesBefore,
                (_, 4) => Fate::DiesAfter,
                (Call::Write, _) => Fate::FailsLate,
                (Call::WriteNew, 5..8) => Fate::LostAnswer,
                (Call::WriteNew, _) => Fate::LostRequest,
            },
        };
        state.note(format_args!("{}: {action} {} {fate:?}", self.process, shown(path)));
        if fate == Fate::DiesBefore {
            state.dead.insert(self.process);
        }
        match fate {
            Fate::Fails | Fate::DiesBefore => {
                drop(state);
                Err(self.failed(action, path))
            }
            fate => Ok(fate),
        }
    }

    /// What the caller hears of a call that took place.
    fn end<T>(
        &self,
        fate: Fate,
        action: &'static str,
        path: &str,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if fate == Fate::DiesAfter {
            self.world.state().dead.insert(self.process);
        }
        if self.process != 0 {
            runner::others_go_on(&self.world, self.process);
            self.alive(action, path)?;
        }
        match fate {
            Fate::Done => answer,
            Fate::LostAnswer | Fate::LostRequest => {
                let source = io::Error::new(io::ErrorKind::TimedOut, "simulated");
                Err(StoreError::Ambiguous { path: path.to_owned(), source })
            }
            _ => Err(self.failed(action, path)),
        }
    }

    /// Trouble of a kind that may pass, or of one that does not.
    fn failed(&self, action: &'static str, path: &str) -> StoreError {
        let kinds = [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionReset, io::ErrorKind::Other];
        let kind = kinds[self.world.state().below(kinds.len())];
        let source = io::Error::new(kind, "simulated");
        StoreError::Failed { action, path: path.to_owned(), source }
    }

    fn alive(&self, action: &'static str, path: &str) -> Result<(), StoreError> {
        match self.world.state().dead.contains(&self.process) {
            true => Err(failed(action, path)),
            false => Ok(()),
        }
    }

    /// Makes the content a part of what happened, so that two runs that write other bytes differ.
    fn note_bytes(&self, path: &str, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let (digest, size) = (hasher.finish(), bytes.len());
        let (process, path) = (self.process, shown(path));
        self.world.state().note(format_args!("{process}: {path} = {size} bytes {digest:016x}"));
    }
}

impl Store for SimStore {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.begin(Call::Read, "read", path)?;
        let state = self.world.state();
        let object = state.objects.all.get(path);
        object.map(|o| o.bytes.to_vec()).ok_or_else(|| not_found(path))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.begin(Call::Read, "look at", path)?;
        Ok(self.world.state().objects.all.get(path).map(|object| object.bytes.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.begin(Call::Read, "list", prefix)?;
        let state = self.world.state();
        let below = state.objects.all.range(prefix.to_owned()..);
        let below = below.take_while(|(path, _)| path.starts_with(prefix));
        let entry = |(path, object): (&String, &Object)| Entry {
            path: path.clone(),
            size: object.bytes.len() as u64,
        };
        Ok(below.map(entry).collect())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let fate = self.begin(Call::Write, "write", path)?;
        self.note_bytes(path, bytes);
        self.world.state().objects.write(path, bytes, fate == Fate::Done);
        self.end(fate, "write", path, Ok(()))
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let fate = self.begin(Call::WriteNew, "write", path)?;
        self.note_bytes(path, bytes);
        let answer = {
            let mut state = self.world.state();
            if fate == Fate::LostRequest {
                Ok(())
            } else if state.objects.all.contains_key(path) {
                // Whoever finds a name makes sure that it stays.
                state.objects.sync(path);
                Err(StoreError::Exists { path: path.to_owned() })
            } else {
                state.objects.write(path, bytes, fate == Fate::Done);
                Ok(())
            }
        };
        self.end(fate, "write", path, answer)
    }

    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let fate = self.begin(Call::Write, "publish", from)?;
        let answer = {
            let mut state = self.world.state();
            match state.objects.all.remove(from) {
                Some(object) => {
                    state.objects.all.insert(to.to_owned(), object);
                    Ok(())
                }
                None if state.objects.all.contains_key(to) => Ok(()),
                None => Err(not_found(from)),
            }
        };
        self.end(fate, "publish", from, answer)
    }

    fn renames(&self) -> bool {
        self.world.state().renames
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let fate = self.begin(Call::Write, "delete", path)?;
        self.world.state().objects.all.remove(path);
        self.end(fate, "delete", path, Ok(()))
    }

    fn url(&self) -> String {
        "sim".into()
    }
}

/// The failpoint of one process: there it dies, or the step fails and it lives.
pub struct SimFailpoint {
    pub world: Arc<World>,
    pub process: u64,
}

impl Failpoint for SimFailpoint {
    fn reach(&self, place: Place) -> Result<(), Interrupted> {
        runner::others_go_on(&self.world, self.process);
        let mut state = self.world.state();
        if state.dead.contains(&self.process) {
            return Err(Interrupted(place));
        }
        let rate = state.faults.failpoint;
        if !state.chance(rate) {
            return Ok(());
        }
        let dies = state.chance(7_000);
        state.note(format_args!("{}: failpoint {place:?}, dies: {dies}", self.process));
        if dies {
            state.dead.insert(self.process);
        }
        Err(Interrupted(place))
    }
}

/// A path as the trace shows it. The name of a probe is the one thing that chance of the machine's own
/// decides; nothing depends on it.
fn shown(path: &str) -> &str {
    if path.starts_with(PROBES) { PROBES } else { path }
}

/// A dead process hears of nothing; this ends its code.
fn failed(action: &'static str, path: &str) -> StoreError {
    let source = io::Error::other("simulated");
    StoreError::Failed { action, path: path.to_owned(), source }
}

fn not_found(path: &str) -> StoreError {
    StoreError::NotFound { path: path.to_owned() }
}
