//! Reads settings out of TOML, environment and flags, and collects every mistake on the way.
//!
//! *Why not serde*: it stops at the first mistake, and its messages name types, not what is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use toml::{Table, Value};

use super::units;

/// One wrong setting: its key, its value, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub key: String,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Settings by dotted key, with the mistakes found so far.
pub struct Reader {
    root: Table,
    overrides: BTreeMap<String, String>,
    known: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// `overrides` are texts by dotted key (`source.brokers`) that win over the file.
    pub fn new(root: Table, overrides: BTreeMap<String, String>) -> Self {
        Self { root, overrides, known: BTreeSet::new(), mistakes: Vec::new() }
    }

    pub fn mistake(&mut self, key: &str, what: impl Into<String>) {
        self.mistakes.push(Mistake { key: key.to_string(), what: what.into() });
    }

    /// A text that must be there.
    pub fn required(&mut self, key: &str, why: &str) -> String {
        self.text(key).unwrap_or_else(|| {
            if !self.mistakes.iter().any(|m| m.key == key) {
                self.mistake(key, format!("is missing: {why}"));
            }
            String::new()
        })
    }

    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            other => self.wrong(key, &other, "a text in quotes"),
        }
    }

    /// A text or a whole number, as a text.
    pub fn plain(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            Value::Integer(number) => Some(number.to_string()),
            other => self.wrong(key, &other, "a text in quotes or a whole number"),
        }
    }

    /// Whether the file has a section, or a setting of it is given elsewhere.
    pub fn has_section(&self, section: &str) -> bool {
        let inner = format!("{section}.");
        self.root.get(section).is_some_and(Value::is_table)
            || self.overrides.keys().any(|key| key.starts_with(&inner))
    }

    pub fn text_or(&mut self, key: &str, default: &str) -> String {
        self.text(key).unwrap_or_else(|| default.to_string())
    }

    /// One of the given words; the first is the default.
    pub fn one_of<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else { return words[0].1 };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                self.mistake(key, format!("is {text:?}, allowed are {}", allowed.join(", ")));
                words[0].1
            }
        }
    }

    pub fn duration(
        &mut self,
        key: &str,
        default: &str,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let text = self.text_or(key, default);
        let allowed =
            format!("from {} to {}", units::show(*range.start()), units::show(*range.end()));
        match units::duration(&text) {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) => {
                self.mistake(key, format!("is {text:?}, allowed is {allowed}"));
                Duration::ZERO
            }
            None => {
                let example = "a number with ms, s, m, h or d";
                self.mistake(
                    key,
                    format!("is {text:?}, allowed is a duration ({example}) {allowed}"),
                );
                Duration::ZERO
            }
        }
    }

    /// A duration, or `forever`, which is the default.
    pub fn age(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Option<Duration> {
        if self.text_or(key, "forever") == "forever" {
            return None;
        }
        Some(self.duration(key, "forever", range))
    }

    pub fn switch(&mut self, key: &str, default: bool) -> bool {
        let value = match self.value(key) {
            None => return default,
            Some(Value::Boolean(value)) => Some(value),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        value.unwrap_or_else(|| {
            let shown = self.shown(key);
            self.mistake(key, format!("is {shown}, allowed are true and false"));
            default
        })
    }

    pub fn size(&mut self, key: &str, default: &str, range: std::ops::RangeInclusive<u64>) -> u64 {
        let text = self.text_or(key, default);
        match units::size(&text) {
            Some(bytes) if range.contains(&bytes) => bytes,
            _ => {
                let (low, high) = (range.start(), range.end());
                let what = format!(
                    "is {text:?}, allowed is a size (\"64 MiB\") from {low} to {high} bytes"
                );
                self.mistake(key, what);
                *range.start()
            }
        }
    }

    pub fn integer(
        &mut self,
        key: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let value = match self.value(key) {
            None => return default,
            Some(Value::Integer(value)) => Some(value),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        match value.and_then(|v| u64::try_from(v).ok()).filter(|v| range.contains(v)) {
            Some(value) => value,
            None => {
                let shown = self.shown(key);
                let (low, high) = (range.start(), range.end());
                self.mistake(
                    key,
                    format!("is {shown}, allowed is a whole number from {low} to {high}"),
                );
                default
            }
        }
    }

    pub fn number(&mut self, key: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let value = match self.value(key) {
            None => return None,
            Some(Value::Float(value)) => Some(value),
            Some(Value::Integer(value)) => Some(value as f64),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let value = value.filter(|v| range.contains(v));
        if value.is_none() {
            let shown = self.shown(key);
            let (low, high) = (range.start(), range.end());
            self.mistake(key, format!("is {shown}, allowed is a number from {low} to {high}"));
        }
        value
    }

    /// A list of texts; a single text counts as a list of one.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        match self.value(key)? {
            Value::String(text) if self.overrides.contains_key(key) => Some(list(&text)),
            Value::String(text) => Some(vec![text]),
            Value::Array(items) if items.iter().all(Value::is_str) => {
                Some(items.iter().filter_map(|i| i.as_str().map(String::from)).collect())
            }
            other => self.wrong(key, &other, "a list of texts"),
        }
    }

    /// A list of tables.
    pub fn tables(&mut self, key: &str) -> Option<Vec<Table>> {
        match self.value(key)? {
            Value::Array(items) if items.iter().all(Value::is_table) => {
                Some(items.into_iter().filter_map(|i| i.try_into().ok()).collect())
            }
            other => self.wrong(key, &other, "a list of tables"),
        }
    }

    /// A table of free keys with plain values, as texts.
    pub fn free_table(&mut self, key: &str) -> BTreeMap<String, String> {
        let mut free = BTreeMap::new();
        if let Some(Value::Table(table)) = self.value(key) {
            for (name, value) in table {
                let text = match value {
                    Value::String(text) => text,
                    Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
                    _ => {
                        self.mistake(&format!("{key}.{name}"), "must be a text, number or boolean");
                        continue;
                    }
                };
                free.insert(name, text);
            }
        }
        let prefix = format!("{key}.");
        for (name, text) in &self.overrides {
            if let Some(name) = name.strip_prefix(&prefix) {
                free.insert(name.to_string(), text.clone());
            }
        }
        free
    }

    /// The keys that were asked for.
    #[cfg(test)]
    pub fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// Every mistake, those of unknown keys included.
    pub fn finish(mut self) -> Vec<Mistake> {
        let mut unknown = Vec::new();
        collect_unknown("", &self.root, &self.known, &mut unknown);
        let free = |name: &str| self.known.iter().any(|k| name.starts_with(&format!("{k}.")));
        let names = self.overrides.keys().filter(|n| !self.known.contains(*n) && !free(n));
        unknown.extend(names.cloned());
        for key in unknown {
            let near = self.nearest(&key);
            let hint = near.map(|n| format!(": did you mean {n}?")).unwrap_or_default();
            self.mistake(&key, format!("is not a setting{hint}"));
        }
        self.mistakes.sort_by(|a, b| a.key.cmp(&b.key));
        self.mistakes
    }

    fn value(&mut self, key: &str) -> Option<Value> {
        self.known.insert(key.to_string());
        if let Some(text) = self.overrides.get(key) {
            return Some(Value::String(text.clone()));
        }
        let mut parts = key.split('.');
        let mut value = self.root.get(parts.next()?)?;
        for part in parts {
            value = value.as_table()?.get(part)?;
        }
        Some(value.clone())
    }

    fn shown(&mut self, key: &str) -> String {
        self.value(key).map_or_else(String::new, |v| v.to_string())
    }

    fn wrong<T>(&mut self, key: &str, value: &Value, allowed: &str) -> Option<T> {
        self.mistake(key, format!("is {value}, allowed is {allowed}"));
        None
    }

    /// The known key that differs least, if it differs little.
    fn nearest(&self, key: &str) -> Option<String> {
        let distance = |other: &String| (edits(key, other), other.clone());
        self.known.iter().map(distance).min().filter(|(d, _)| *d <= 3).map(|(_, name)| name)
    }
}

/// The texts between commas, but for commas in parentheses.
fn list(text: &str) -> Vec<String> {
    let mut depth = 0;
    let parts = text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth <= 0
    });
    parts.map(|part| part.trim().to_string()).collect()
}

fn collect_unknown(prefix: &str, table: &Table, known: &BTreeSet<String>, out: &mut Vec<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if known.contains(&key) {
            continue;
        }
        let inner = format!("{key}.");
        match value {
            Value::Table(table) if known.iter().any(|k| k.starts_with(&inner)) => {
                collect_unknown(&key, table, known, out);
            }
            _ => out.push(key),
        }
    }
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
