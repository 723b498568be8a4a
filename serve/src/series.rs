//! The lake as series over time, for those who speak Prometheus' HTTP API: a stock Grafana above all.
//!
//! *Why beside the metrics*: a metric has a series per label, for ever and in memory, so no metric of ours
//! has a label per sensor. The lake has every sensor's windows. This reads them there, when somebody asks.
//!
//! *Limits*: the length of a question and its regular expressions, points of an answer's series, series of
//! an answer, numbers that are looked at for it. Beyond them a question is refused, never answered in part;
//! lists of names that are cut short say so.

mod answer;
mod evaluate;
mod labels;
mod parse;
mod scalar;

use regex::{Regex, RegexBuilder};

use crate::console::Answer;

pub use answer::{Reply, answer};

/// Series that an answer may have.
pub const SERIES_MAX: usize = 1_000;
/// Numbers that may be looked at for one answer.
pub const CELLS_MAX: usize = 500_000;
/// Points that a series may have, as in Prometheus.
pub const POINTS_MAX: i64 = 11_000;
/// Bytes that a regular expression may need once it is compiled.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The label that holds a family's name.
pub const NAME: &str = "__name__";

/// What a lake can tell over time. Methods may take their time and may be called from several threads at
/// once.
pub trait Series: Send + Sync + 'static {
    /// The clock, microseconds since 1970 in UTC: what a question without a time means.
    fn now_us(&self) -> i64;

    /// What there is to ask for.
    fn families(&self) -> Answer<Vec<Family>>;

    /// The labels of the series of a family that have a point in the wanted time, at most `limit` of them.
    /// Without [`NAME`].
    fn labels(&self, wanted: &Wanted, limit: usize) -> Answer<Vec<Labels>>;

    /// The series of a family, at most [`CELLS_MAX`] points in all: more is `Invalid`. Without [`NAME`].
    fn lines(&self, wanted: &Wanted, steps: &Steps, fold: Option<Fold>) -> Answer<Vec<Line>>;
}

/// A metric's name, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// What it says, in a line.
    pub help: String,
    /// The labels that its series have.
    pub labels: Vec<String>,
}

/// Label names and values, by name.
pub type Labels = std::collections::BTreeMap<String, String>;

/// Which series.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The family.
    pub family: String,
    /// What their labels must be like.
    pub matchers: Vec<Matcher>,
    /// Windows that end after this, microseconds since 1970 in UTC.
    pub after_us: i64,
    /// Windows that end at this or before.
    pub to_us: i64,
}

/// The points of time of an answer. Each stands for the windows that end in `width_us` up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first, microseconds since 1970 in UTC.
    pub start_us: i64,
    /// From one to the next.
    pub step_us: i64,
    /// How many there are.
    pub count: i64,
    /// At most `step_us` when there are several.
    pub width_us: i64,
}

/// How the windows of one point become a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// The one that ends last.
    Last,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The mean.
    Mean,
    /// The sum.
    Sum,
    /// How many there are.
    Count,
}

/// A series.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its labels.
    pub labels: Labels,
    /// Time, microseconds since 1970 in UTC, and number, by rising time.
    pub points: Vec<(i64, f64)>,
}

/// What a label must be like. A label that is not there is an empty text.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label.
    pub label: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Is(String),
    IsNot(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Matcher {
    /// A label that is this text.
    pub fn is(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), test: Test::Is(value.to_owned()) }
    }

    /// A label that is anything but this text.
    pub fn is_not(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), test: Test::IsNot(value.to_owned()) }
    }

    /// A label that an expression matches from its beginning to its end.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn matches(label: &str, pattern: &str) -> Result<Self, String> {
        Ok(Self { label: label.to_owned(), test: Test::Matches(regex(pattern)?) })
    }

    /// A label that an expression does not match.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn matches_not(label: &str, pattern: &str) -> Result<Self, String> {
        Ok(Self { label: label.to_owned(), test: Test::MatchesNot(regex(pattern)?) })
    }

    /// Whether a value will do.
    pub fn holds(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(text) => text == value,
            Test::IsNot(text) => text != value,
            Test::Matches(regex) => regex.is_match(value),
            Test::MatchesNot(regex) => !regex.is_match(value),
        }
    }

    /// The only value that will do, where the matcher says it.
    pub fn only(&self) -> Option<&str> {
        match &self.test {
            Test::Is(text) => Some(text),
            _ => None,
        }
    }
}

impl Wanted {
    /// Whether the value of a label will do.
    pub fn holds(&self, label: &str, value: &str) -> bool {
        self.matchers.iter().filter(|matcher| matcher.label == label).all(|m| m.holds(value))
    }

    /// Whether all labels will do, also those that are not there.
    pub fn holds_all(&self, labels: &Labels) -> bool {
        let value = |label: &str| labels.get(label).map_or("", String::as_str);
        self.matchers.iter().all(|matcher| matcher.holds(value(&matcher.label)))
    }
}

impl Steps {
    /// The time of a step.
    pub fn at(&self, step: i64) -> i64 {
        self.start_us.saturating_add(step.saturating_mul(self.step_us))
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    // By itself first: parentheses that do not fit together must not end the ones around it.
    let built = compile(pattern).and_then(|_| compile(&format!("^(?s:{pattern})$")));
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the regular expression {pattern:?} is too large; write a shorter one")
        }
        _ => format!("the regular expression {pattern:?} is not valid"),
    })
}

#[cfg(test)]
pub(crate) mod tests;
