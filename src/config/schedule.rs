//! When something is to be done again and again: `"every hour"`, `"90m"`, a cron expression. All in UTC,
//! so no change of summer time makes an hour twice or none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::units;

/// The shortest interval: a training that takes longer is not begun twice, but never rests either.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(366 * 86_400);

/// Words for what people mean most often, as cron expressions. A week begins on Monday.
const WORDS: [(&str, &str); 4] =
    [("minute", "* * * * *"), ("hour", "0 * * * *"), ("day", "0 0 * * *"), ("week", "0 0 * * 1")];

/// Points in time, as many as one looks for.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    times: Times,
}

#[derive(Debug, Clone)]
enum Times {
    /// The multiples of so many microseconds since 1970.
    Every(i64),
    Cron(Box<Cron>),
}

impl Schedule {
    /// # Errors
    /// What is allowed instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = "allowed is \"every hour\" (minute, day, week), a duration from 1s to 366d (\"6h\"), or a cron \
                       expression of five fields in UTC (\"30 2 * * 1-5\")";
        let plain = text.trim();
        let what = plain.strip_prefix("every ").unwrap_or(plain).trim();
        if let Some((_, cron)) = WORDS.iter().find(|(word, _)| *word == what) {
            return Self::cron(text, cron);
        }
        if plain.split_whitespace().count() == 5 {
            return Self::cron(text, plain).map_err(|why| format!("{why}; {allowed}"));
        }
        match units::duration(what) {
            Some(every) if (LEAST..=MOST).contains(&every) => {
                let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
                Ok(Self { text: text.into(), times: Times::Every(every) })
            }
            _ => Err(allowed.into()),
        }
    }

    /// As it is configured.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The last time at or before this one, microseconds since 1970; `None` when there is none.
    pub fn last(&self, at_us: i64) -> Option<i64> {
        match &self.times {
            Times::Every(every) => Some(at_us.div_euclid(*every) * every),
            Times::Cron(cron) => {
                let at = DateTime::<Utc>::from_timestamp_micros(at_us)?;
                let last = cron.find_previous_occurrence(&at, true).ok()?;
                Some(last.timestamp_micros())
            }
        }
    }

    /// The first time after this one, microseconds since 1970; `None` when there is none.
    pub fn next(&self, after_us: i64) -> Option<i64> {
        match &self.times {
            Times::Every(every) => (after_us.div_euclid(*every) + 1).checked_mul(*every),
            Times::Cron(cron) => {
                let after = DateTime::<Utc>::from_timestamp_micros(after_us)?;
                let next = cron.find_next_occurrence(&after, false).ok()?;
                Some(next.timestamp_micros())
            }
        }
    }

    fn cron(text: &str, cron: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
        let cron =
            parser.build().parse(cron).map_err(|e| format!("it is no such expression ({e})"))?;
        let schedule = Self { text: text.into(), times: Times::Cron(Box::new(cron)) };
        schedule.next(0).ok_or("that time never comes")?;
        Ok(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
    }

    #[test]
    fn words_durations_and_cron_expressions_say_when_in_utc() {
        // A Wednesday.
        let at = "2026-01-14T10:20:30.5Z";
        let cases = [
            ("every minute", "2026-01-14T10:20:00Z", "2026-01-14T10:21:00Z"),
            ("every hour", "2026-01-14T10:00:00Z", "2026-01-14T11:00:00Z"),
            ("hour", "2026-01-14T10:00:00Z", "2026-01-14T11:00:00Z"),
            ("every day", "2026-01-14T00:00:00Z", "2026-01-15T00:00:00Z"),
            ("every week", "2026-01-12T00:00:00Z", "2026-01-19T00:00:00Z"),
            ("1h", "2026-01-14T10:00:00Z", "2026-01-14T11:00:00Z"),
            ("every 15m", "2026-01-14T10:15:00Z", "2026-01-14T10:30:00Z"),
            ("30 2 * * 1-5", "2026-01-14T02:30:00Z", "2026-01-15T02:30:00Z"),
            ("0 6 1 * *", "2026-01-01T06:00:00Z", "2026-02-01T06:00:00Z"),
            ("*/20 * * * *", "2026-01-14T10:20:00Z", "2026-01-14T10:40:00Z"),
            ("0 12 * * SUN", "2026-01-11T12:00:00Z", "2026-01-18T12:00:00Z"),
            ("0 12 * * 0", "2026-01-11T12:00:00Z", "2026-01-18T12:00:00Z"),
        ];
        for (text, last, next) in cases {
            let schedule = Schedule::parse(text).expect(text);
            assert_eq!(schedule.last(us(at)), Some(us(last)), "{text}");
            assert_eq!(schedule.next(us(at)), Some(us(next)), "{text}");
            assert_eq!(schedule.last(us(last)), Some(us(last)), "{text}: at the very time");
            assert_eq!(
                schedule.last(us(last) - 1).and_then(|us| schedule.next(us)),
                Some(us(last))
            );
        }
        let before = Schedule::parse("1h").expect("valid").last(-1);
        assert_eq!(before, Some(-3_600_000_000), "clocks before 1970 round down too");
    }

    #[test]
    fn what_is_no_schedule_says_what_is() {
        let bad = [
            "",
            "0s",
            "500ms",
            "400d",
            "every",
            "hourly please",
            "* * * *",
            "61 * * * *",
            "* * * * * *",
            "0 0 30 2 *",
            "a b c d e",
        ];
        for text in bad {
            let error = Schedule::parse(text).expect_err(text);
            assert!(error.contains("a cron expression of five fields"), "{text}: {error}");
        }
    }
}
