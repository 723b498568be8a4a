//! Names that move from one set to another.

use serde::{Deserialize, Serialize};

use super::{ATTEMPTS, Registry};
use crate::error::ScoreError;

/// The version of the record's format.
const FORMAT: u32 = 1;

/// One move of an alias: from then on it means `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRecord {
    /// The alias.
    pub name: String,
    /// The version of the set that it means.
    pub version: u64,
    /// When it was moved, microseconds since 1970 in UTC.
    pub moved_us: i64,
    /// Which move of this alias it is, from 1.
    pub number: u64,
}

/// The record as it stands in the file. Version 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u32,
    alias: String,
    set: u64,
    moved_us: i64,
}

impl Registry {
    /// What an alias means now; `None` when it has never been moved.
    ///
    /// # Errors
    /// When the name cannot be an alias or the newest record cannot be read.
    pub fn alias(&self, name: &str) -> Result<Option<AliasRecord>, ScoreError> {
        check_name(name)?;
        let newest = self.moves(name)?.last().copied();
        newest.map(|number| self.record(name, number)).transpose()
    }

    /// Every alias as it is now, by name.
    ///
    /// # Errors
    /// As [`Registry::alias`].
    pub fn aliases(&self) -> Result<Vec<AliasRecord>, ScoreError> {
        let folder = format!("{}aliases/", self.prefix);
        let listing = self.store.list(&folder)?;
        let name = |path: &str| Some(path.strip_prefix(&folder)?.split_once('/')?.0.to_string());
        let mut names: Vec<String> = listing.iter().filter_map(|e| name(&e.path)).collect();
        names.dedup();
        let newest = names.iter().filter(|name| check_name(name).is_ok()).map(|n| self.alias(n));
        newest.filter_map(Result::transpose).collect()
    }

    /// All moves of an alias, oldest first.
    ///
    /// # Errors
    /// As [`Registry::alias`].
    pub fn history(&self, name: &str) -> Result<Vec<AliasRecord>, ScoreError> {
        check_name(name)?;
        self.moves(name)?.into_iter().map(|number| self.record(name, number)).collect()
    }

    /// The last move to another version than the alias means now; `None` when there is none.
    ///
    /// # Errors
    /// As [`Registry::alias`].
    pub fn before(&self, name: &str) -> Result<Option<AliasRecord>, ScoreError> {
        check_name(name)?;
        let mut now = None;
        for number in self.moves(name)?.into_iter().rev() {
            let record = self.record(name, number)?;
            match now {
                None => now = Some(record.version),
                Some(version) if version != record.version => return Ok(Some(record)),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// Makes an alias mean a version, after reading that version and all that it widens.
    ///
    /// # Errors
    /// When the name cannot be an alias, the version cannot be used, or the store fails; the alias
    /// then means what it meant.
    pub fn move_alias(
        &self,
        name: &str,
        version: u64,
        now_us: i64,
    ) -> Result<AliasRecord, ScoreError> {
        check_name(name)?;
        self.models(version)?;
        let first = self.moves(name)?.last().map_or(1, |newest| newest + 1);
        for number in first..first + u64::from(ATTEMPTS) {
            let moved = AliasRecord { name: name.into(), version, moved_us: now_us, number };
            if self.claim_move(&moved)? {
                return Ok(moved);
            }
        }
        let what = format!("moving the alias {name}");
        Err(ScoreError::Contention { what, attempts: ATTEMPTS })
    }

    /// Writes a move; false when this move of the alias has been made already.
    pub(super) fn claim_move(&self, moved: &AliasRecord) -> Result<bool, ScoreError> {
        check_name(&moved.name)?;
        let alias = moved.name.clone();
        let wire = Wire { format: FORMAT, alias, set: moved.version, moved_us: moved.moved_us };
        let bytes = serde_json::to_vec(&wire).expect("a record of texts and numbers is JSON");
        self.claim(&self.alias_path(&moved.name, moved.number), &bytes)
    }

    pub(super) fn remove_move(&self, moved: &AliasRecord) -> Result<(), ScoreError> {
        Ok(self.store.delete(&self.alias_path(&moved.name, moved.number))?)
    }

    pub(super) fn moves(&self, name: &str) -> Result<Vec<u64>, ScoreError> {
        self.numbers(&format!("aliases/{name}/"), ".json")
    }

    pub(super) fn record(&self, name: &str, number: u64) -> Result<AliasRecord, ScoreError> {
        let path = self.alias_path(name, number);
        let bytes = self.store.get(&path)?;
        let refuse = |what: String| {
            let what = format!("{path} is no record of a move: {what}");
            ScoreError::Alias { alias: name.to_string(), what }
        };
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        if wire.format != FORMAT || wire.alias != name {
            return Err(refuse(format!("format {}, alias {:?}", wire.format, wire.alias)));
        }
        let (version, moved_us) = (wire.set, wire.moved_us);
        Ok(AliasRecord { name: name.to_string(), version, moved_us, number })
    }

    fn alias_path(&self, name: &str, number: u64) -> String {
        format!("{}aliases/{name}/{number:020}.json", self.prefix)
    }
}

fn check_name(name: &str) -> Result<(), ScoreError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let what = "a name has 1 to 64 letters, digits, - or _".to_string();
    Err(ScoreError::Alias { alias: name.to_string(), what })
}
