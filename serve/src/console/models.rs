//! The registry: sets and the aliases that name them.

use serde::Serialize;

/// Aliases and sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSets {
    /// By name.
    pub aliases: Vec<AliasRow>,
    /// Newest first, at most 500.
    pub sets: Vec<SetRow>,
}

/// What an alias means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AliasRow {
    /// Its name.
    pub name: String,
    /// What the configuration uses it for: `champion`, `onset`, `challenger`, `fallback`, or nothing.
    pub role: Option<&'static str>,
    /// The set that it means.
    pub version: u64,
    /// When it was moved there.
    pub moved_us: i64,
    /// What it meant before, where a roll-back would lead.
    pub before: Option<u64>,
}

/// A set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetRow {
    /// Its version.
    pub version: u64,
    /// The set that it widens.
    pub base: Option<u64>,
    /// When it was published.
    pub created_us: i64,
    /// What its maker said of it.
    pub note: String,
    /// How many models it has.
    pub models: usize,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
}

/// An alias that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AliasMove {
    /// The alias.
    pub alias: String,
    /// What it means now.
    pub version: u64,
}
