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
pub struct Objects(BTreeMap<String, Object>);

struct Object {
    bytes: Arc<[u8]>,
    /// Whether it survives a loss of power.
    durable: bool,
}

impl Objects {
    /// The newest object of a folder.
    pub fn last_in(&self, folder: &str) -> Option<(&str, &[u8])> {
        let mut below = self.0.range(folder.to_owned()..);
        let mut last = None;
        for (path, object) in below.by_ref().take_while(|(path, _)| path.starts_with(folder)) {
            last = Some((path.as_str(), &*object.bytes));
        }
        last
    }

    /// The power goes: what was not synced is there or not.
    pub fn lose_power(&mut self, random: &mut ChaCha8Rng) -> usize {
        let before = self.0.len();
        self.0.retain(|_, object| object.durable || random.random());
        self.0.values_mut().for_each(|object| object.durable = true);
        before - self.0.len()
    }

    fn write(&mut self, path: &str, bytes: &[u8], durable: bool) {
        self.0.insert(path.to_owned(), Object { bytes: bytes.into(), durable });
        if durable {
            self.sync(path);
        }
    }

    /// Syncing a folder syncs all names in it.
    fn sync(&mut self, path: &str) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let below = self.0.range_mut(folder.to_owned()..);
        below.take_while(|(path, _)| path.starts_with(folder)).for_each(|(_, o)| o.durable = true);
    }
}

/// The store of one process; number 0 is whoever looks after the lake, and has no trouble.
pub struct SimStore {
    pub world: Arc<World>,
    pub process: u64,
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
        state.note(format_args!("{}: {action} {path} {fate:?}", self.process));
        if fate == Fate::DiesBefore {
            state.dead.insert(self.process);
        }
        match fate {
            Fate::Fails | Fate::DiesBefore => Err(failed(action, path)),
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
            _ => Err(failed(action, path)),
        }
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
        let process = self.process;
        self.world.state().note(format_args!("{process}: {path} = {size} bytes {digest:016x}"));
    }
}

impl Store for SimStore {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.begin(Call::Read, "read", path)?;
        let state = self.world.state();
        let object = state.objects.0.get(path);
        object.map(|o| o.bytes.to_vec()).ok_or_else(|| not_found(path))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.begin(Call::Read, "look at", path)?;
        Ok(self.world.state().objects.0.get(path).map(|object| object.bytes.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.begin(Call::Read, "list", prefix)?;
        let state = self.world.state();
        let below = state.objects.0.range(prefix.to_owned()..);
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
            } else if state.objects.0.contains_key(path) {
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
            match state.objects.0.remove(from) {
                Some(object) => {
                    state.objects.0.insert(to.to_owned(), object);
                    Ok(())
                }
                None if state.objects.0.contains_key(to) => Ok(()),
                None => Err(not_found(from)),
            }
        };
        self.end(fate, "publish", from, answer)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let fate = self.begin(Call::Write, "delete", path)?;
        self.world.state().objects.0.remove(path);
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

fn failed(action: &'static str, path: &str) -> StoreError {
    let source = io::Error::other("simulated");
    StoreError::Failed { action, path: path.to_owned(), source }
}

fn not_found(path: &str) -> StoreError {
    StoreError::NotFound { path: path.to_owned() }
}
