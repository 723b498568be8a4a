//! The part of Prometheus' query language that is answered: a selector, `…_over_time` and `topk` of it.
//!
//! ```text
//! expression = selector | fold "(" selector "[" duration "]" ")" | rank "(" count "," expression ")"
//! selector   = name [ "{" matchers "}" ] | "{" matchers "}"
//! ```
//! Everything else is refused by name: a lake is not a time-series database, and a wrong number would be
//! worse than none.

use super::{Fold, Matcher, NAME};

/// Bytes of a question.
const QUERY_BYTES_MAX: usize = 4_096;
/// Matchers of a selector.
const MATCHERS_MAX: usize = 32;
/// Series that `topk` may be asked for.
const TOP_MAX: usize = super::SERIES_MAX;

const MICROS: i64 = 1_000_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub selector: Selector,
    /// A function over so much time, microseconds.
    pub over: Option<(Fold, i64)>,
    /// How many at each point, and from which end.
    pub top: Option<(Rank, usize)>,
}

/// A family and what its labels must be like.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub family: String,
    pub matchers: Vec<Matcher>,
}

/// From which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Top,
    Bottom,
}

const FOLDS: [(&str, Fold); 6] = [
    ("last_over_time", Fold::Last),
    ("max_over_time", Fold::Max),
    ("min_over_time", Fold::Min),
    ("avg_over_time", Fold::Mean),
    ("sum_over_time", Fold::Sum),
    ("count_over_time", Fold::Count),
];

const SPOKEN: &str = "answered are a selector such as tidegauge_sensor_score{Device=\"1\"}, \
                      (last|max|min|avg|sum|count)_over_time of it, and topk or bottomk of these";

/// Reads a whole question.
pub(super) fn expression(text: &str) -> Result<Expression, String> {
    let mut at = At::new(text)?;
    let expression = at.expression(0)?;
    at.end()?;
    Ok(expression)
}

/// Reads a selector that stands alone, as in `match[]`.
pub(super) fn selector(text: &str) -> Result<Selector, String> {
    let mut at = At::new(text)?;
    let selector = at.selector()?;
    at.end()?;
    Ok(selector)
}

/// A duration such as `5m` or `1h30m`, microseconds.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration such as 30s, 5m or 1h30m");
    let (mut rest, mut total) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit());
        let unit_end = unit.map_or(rest.len(), |length| digits + length);
        let unit_us = match &rest[digits..unit_end] {
            "ms" => 1_000,
            "s" => MICROS,
            "m" => 60 * MICROS,
            "h" => 3_600 * MICROS,
            "d" => 86_400 * MICROS,
            "w" => 604_800 * MICROS,
            "y" => 31_536_000 * MICROS,
            _ => return Err(wrong()),
        };
        let part = count.checked_mul(unit_us).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[unit_end..];
    }
    if total > 0 { Ok(total) } else { Err(wrong()) }
}

struct At<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> At<'a> {
    fn new(text: &'a str) -> Result<Self, String> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(format!("the query has more than {QUERY_BYTES_MAX} bytes"));
        }
        Ok(Self { whole: text, rest: text })
    }

    fn wrong(&self, what: &str) -> String {
        let place = self.whole.len() - self.rest.len();
        format!("{what} at byte {place} of {:?}; {SPOKEN}", self.whole)
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip();
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("cannot go on")) }
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(&format!("{token:?} is missing"))) }
    }

    /// A name of a metric, a function or a label.
    fn name(&mut self) -> &'a str {
        self.skip();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn expression(&mut self, depth: u32) -> Result<Expression, String> {
        let before = self.rest;
        let name = self.name();
        if !self.take("(") {
            self.rest = before;
            return Ok(Expression { selector: self.selector()?, over: None, top: None });
        }
        let rank = match name {
            "topk" => Some(Rank::Top),
            "bottomk" => Some(Rank::Bottom),
            _ => None,
        };
        if let (Some(rank), 0) = (rank, depth) {
            let count = self.count()?;
            self.expect(",")?;
            let inner = self.expression(depth + 1)?;
            self.expect(")")?;
            return Ok(Expression { top: Some((rank, count)), ..inner });
        }
        let fold = FOLDS.iter().find(|(word, _)| *word == name).map(|(_, fold)| *fold);
        let Some(fold) = fold else {
            self.rest = before;
            return Err(self.wrong(&format!("{name:?} is not answered here")));
        };
        let selector = self.selector()?;
        self.expect("[")?;
        self.skip();
        let end = self.rest.find(']').ok_or_else(|| self.wrong("\"]\" is missing"))?;
        let over_us = duration(self.rest[..end].trim())?;
        self.rest = &self.rest[end + 1..];
        self.expect(")")?;
        Ok(Expression { selector, over: Some((fold, over_us)), top: None })
    }

    fn count(&mut self) -> Result<usize, String> {
        self.skip();
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let count = self.rest[..end].parse().ok().filter(|count| (1..=TOP_MAX).contains(count));
        let count = count.ok_or_else(|| self.wrong(&format!("no count from 1 to {TOP_MAX}")))?;
        self.rest = &self.rest[end..];
        Ok(count)
    }

    fn selector(&mut self) -> Result<Selector, String> {
        let name = self.name();
        let mut family = (!name.is_empty()).then(|| name.to_owned());
        let mut matchers = Vec::new();
        if self.take("{") {
            while !self.take("}") {
                let matcher = self.matcher()?;
                match matcher.only() {
                    Some(value) if matcher.label == NAME && family.is_none() => {
                        family = Some(value.to_owned());
                    }
                    _ => matchers.push(matcher),
                }
                if matchers.len() > MATCHERS_MAX {
                    return Err(self.wrong(&format!("more than {MATCHERS_MAX} matchers")));
                }
                if !self.take(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        let family = family.ok_or_else(|| self.wrong("no metric is named"))?;
        Ok(Selector { family, matchers })
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = self.name();
        if label.is_empty() {
            return Err(self.wrong("a label is missing"));
        }
        for operator in ["=~", "!~", "!=", "="] {
            if self.take(operator) {
                let value = self.text()?;
                return match operator {
                    "=~" => Matcher::matches(label, &value),
                    "!~" => Matcher::matches_not(label, &value),
                    "!=" => Ok(Matcher::is_not(label, &value)),
                    _ => Ok(Matcher::is(label, &value)),
                };
            }
        }
        Err(self.wrong("one of = != =~ !~ is missing"))
    }

    /// A text in quotes, with backslashes before what would end it.
    fn text(&mut self) -> Result<String, String> {
        self.skip();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| self.wrong("a text in quotes is missing"))?;
        let (mut text, mut chars) = (String::new(), self.rest.char_indices().skip(1));
        while let Some((place, c)) = chars.next() {
            if c == quote {
                self.rest = &self.rest[place + 1..];
                return Ok(text);
            }
            if c != '\\' || quote == '`' {
                text.push(c);
                continue;
            }
            text.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(c @ ('\\' | '"' | '\'' | '`')) => c,
                _ => return Err(self.wrong("an unknown escape in a text")),
            });
        }
        Err(self.wrong("a text is not closed"))
    }
}
