//! The group's coordinator: members with names that stay, shares of the partitions, and the two ways to
//! change them.
//!
//! Eager: all members give up all they have, then each gets its share. Cooperative: who has too much
//! gives that up, and it goes to its next owner once it is free.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After this long without a sign of life a member is out.
pub const SESSION: Duration = Duration::from_secs(10);

/// The group.
pub struct Group {
    cooperative: bool,
    partitions: usize,
    members: BTreeMap<String, Member>,
    /// Who reads a partition; nobody may before the last one has let go, or is out.
    owners: BTreeMap<i32, String>,
    /// Grows with each rebalance.
    generation: u64,
    /// Whose each partition shall be; `None` while members are joining.
    target: Option<BTreeMap<i32, String>>,
}

struct Member {
    /// Which of those that came under this name.
    incarnation: u64,
    seen: Duration,
    /// The generation that it has joined, and the one whose share it was told.
    joined: u64,
    told: u64,
}

/// What the group wants of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Another one came under its name.
    Fenced,
    Revoke {
        partitions: Vec<i32>,
        lost: bool,
    },
    Assign(Vec<i32>),
}

impl Group {
    pub fn new(cooperative: bool, partitions: usize) -> Self {
        Self {
            cooperative,
            partitions,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            generation: 0,
            target: None,
        }
    }

    /// A member comes, or comes again: then it takes over what its name has, and the one before is out.
    pub fn join(&mut self, name: &str, incarnation: u64, now: Duration) {
        match self.members.get_mut(name) {
            Some(member) => {
                (member.incarnation, member.seen, member.told) = (incarnation, now, 0);
            }
            None => {
                let member = Member { incarnation, seen: now, joined: 0, told: 0 };
                self.members.insert(name.to_owned(), member);
                self.rebalance();
            }
        }
    }

    /// A member says goodbye.
    pub fn leave(&mut self, name: &str, incarnation: u64) {
        if self.members.get(name).is_some_and(|m| m.incarnation == incarnation) {
            self.remove(name);
        }
    }

    /// A sign of life.
    pub fn heartbeat(&mut self, name: &str, incarnation: u64, now: Duration) {
        if let Some(member) = self.members.get_mut(name).filter(|m| m.incarnation == incarnation) {
            member.seen = now;
        }
    }

    /// Time passes: silent members are out, new partitions are found. Says what changed.
    pub fn advance(&mut self, now: Duration, partitions: usize) -> Vec<String> {
        let mut what = Vec::new();
        let silent = |m: &Member| m.seen + SESSION < now;
        let out: Vec<_> =
            self.members.iter().filter(|(_, m)| silent(m)).map(|(name, _)| name.clone()).collect();
        for name in out {
            self.remove(&name);
            what.push(format!("{name} is out"));
        }
        if partitions != self.partitions {
            what.push(format!("{partitions} partitions"));
            self.partitions = partitions;
            self.rebalance();
        }
        what
    }

    /// What the group wants of a member that holds these partitions; `None` when nothing, or when it
    /// waits for others.
    pub fn ask(
        &mut self,
        name: &str,
        incarnation: u64,
        held: &BTreeSet<i32>,
        now: Duration,
    ) -> Option<Asked> {
        let all = || held.iter().copied().collect::<Vec<_>>();
        match self.members.get_mut(name) {
            None if !held.is_empty() => {
                return Some(Asked::Revoke { partitions: all(), lost: true });
            }
            None => {
                self.join(name, incarnation, now);
            }
            Some(member) if member.incarnation != incarnation => return Some(Asked::Fenced),
            Some(member) => member.seen = now,
        }
        let generation = self.generation;
        if self.target.is_none() {
            if !self.cooperative && !held.is_empty() {
                return Some(Asked::Revoke { partitions: all(), lost: false });
            }
            if let Some(member) = self.members.get_mut(name) {
                member.joined = generation;
            }
            // What the one before it under this name had, it does not have.
            self.owners.retain(|p, owner| owner != name || held.contains(p));
            if self.members.values().all(|m| m.joined == generation) {
                self.target = Some(self.shares());
            }
        }
        let target = self.target.as_ref()?;
        let ours = |p: &i32| target.get(p).is_some_and(|owner| owner == name);
        let gone: Vec<i32> = held.iter().copied().filter(|p| !ours(p)).collect();
        if !gone.is_empty() {
            return Some(Asked::Revoke { partitions: gone, lost: false });
        }
        let free = |p: &i32| self.owners.get(p).is_none_or(|owner| owner == name);
        let new: Vec<i32> =
            target.keys().copied().filter(|p| ours(p) && free(p) && !held.contains(p)).collect();
        let member = self.members.get_mut(name)?;
        if new.is_empty() && member.told == generation {
            return None;
        }
        Some(Asked::Assign(new))
    }

    /// Whether a process has all partitions, and nothing is about to change.
    pub fn is_all_of(&self, incarnation: u64) -> bool {
        let of =
            |name: &String| self.members.get(name).is_some_and(|m| m.incarnation == incarnation);
        let all = self.owners.len() == self.partitions && self.owners.values().all(of);
        all && self.target.is_some()
    }

    /// The member has taken these partitions.
    pub fn taken(&mut self, name: &str, incarnation: u64, partitions: &[i32]) {
        let generation = self.generation;
        let Some(member) = self.members.get_mut(name).filter(|m| m.incarnation == incarnation)
        else {
            return;
        };
        member.told = generation;
        self.owners.extend(partitions.iter().map(|p| (*p, name.to_owned())));
    }

    /// The member has let these partitions go.
    pub fn released(&mut self, name: &str, incarnation: u64, partitions: &[i32]) {
        if self.members.get(name).is_some_and(|m| m.incarnation == incarnation) {
            self.owners.retain(|p, owner| owner != name || !partitions.contains(p));
        }
    }

    fn remove(&mut self, name: &str) {
        self.members.remove(name);
        self.owners.retain(|_, owner| owner != name);
        self.rebalance();
    }

    fn rebalance(&mut self) {
        self.generation += 1;
        self.target = None;
    }

    /// The shares of a new generation. Cooperative ones change as little as may be, the others as much.
    fn shares(&self) -> BTreeMap<i32, String> {
        let names: Vec<&String> = self.members.keys().collect();
        let most = self.partitions.div_ceil(names.len().max(1));
        let mut load: BTreeMap<&str, usize> = BTreeMap::new();
        let mut target = BTreeMap::new();
        for partition in 0..self.partitions as i32 {
            let keeps = self.owners.get(&partition).filter(|owner| {
                let room = load.get(owner.as_str()).copied().unwrap_or(0) < most;
                self.cooperative && room && self.members.contains_key(*owner)
            });
            if let Some(owner) = keeps {
                *load.entry(owner).or_default() += 1;
                target.insert(partition, owner.clone());
            }
        }
        let mut turn = self.generation as usize;
        for partition in 0..self.partitions as i32 {
            if names.is_empty() || target.contains_key(&partition) {
                continue;
            }
            let room = |name: &str| load.get(name).copied().unwrap_or(0) < most;
            while !room(names[turn % names.len()]) {
                turn += 1;
            }
            let name = names[turn % names.len()];
            turn += 1;
            *load.entry(name).or_default() += 1;
            target.insert(partition, name.clone());
        }
        target
    }
}
