//! The parameters of a question: each known, each of its type, or the answer says which is not.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::console::KeyValue;

use super::refusal::Refusal;

/// Parameters of one question, all of names that it knows.
#[derive(Debug)]
pub(super) struct Params {
    values: BTreeMap<String, Vec<String>>,
}

/// Columns of a key that a question may name; no pipeline has more.
const KEY_PARTS_MAX: usize = 64;

impl Params {
    /// Reads a query string. Only `key` may be there more than once.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let allowed = match known {
                    [] => "none is".to_owned(),
                    known => format!("allowed are {}", known.join(", ")),
                };
                return Err(Refusal::bad(format!("{name:?} is not a parameter here: {allowed}")));
            }
            let many = values.entry(name.clone().into_owned()).or_default();
            if many.len() >= if name == "key" { KEY_PARTS_MAX } else { 1 } {
                return Err(Refusal::bad(format!("{name:?} is given too often")));
            }
            many.push(value.into_owned());
        }
        Ok(Self { values })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        Some(self.values.get(name)?.first()?.as_str())
    }

    /// A whole number in a range.
    pub(super) fn number<T>(
        &self,
        name: &str,
        allowed: RangeInclusive<T>,
    ) -> Result<Option<T>, Refusal>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| allowed.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (low, high) = (allowed.start(), allowed.end());
                let what =
                    format!("{name:?} is {text:?}, allowed is a whole number from {low} to {high}");
                Err(Refusal::bad(what))
            }
        }
    }

    /// A time in microseconds since 1970.
    pub(super) fn time_us(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.number(name, i64::MIN..=i64::MAX)
    }

    /// How many rows at most.
    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        Ok(self.number("limit", 1..=1000)?.unwrap_or(100))
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                let words = words.join(", ");
                Err(Refusal::bad(format!("{name:?} is {text:?}, allowed: {words}")))
            }
        }
    }

    /// A sensor's key. What is written as a number is one here; the console knows the columns' types.
    pub(super) fn key(&self) -> Option<Vec<KeyValue>> {
        let part = |text: &String| match text.parse::<i64>() {
            // `007` and `+7` are texts.
            Ok(number) if number.to_string() == *text => KeyValue::Int(number),
            _ => KeyValue::Text(text.clone()),
        };
        Some(self.values.get("key")?.iter().map(part).collect())
    }
}

#[cfg(test)]
mod tests;
