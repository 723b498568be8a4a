//! The sections `[[alerts]]`: who is told of anomaly events, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tidegauge_flow::KeySchema;
use tidegauge_score::train::Selector;
use toml::Value;

use super::models::alias;
use super::reader::Reader;
use super::train::sensors;
use super::{Source, SourceKind};

/// Each has a thread and metrics of its own.
const ALERTS_MAX: usize = 32;
const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

/// Who is told of events.
#[derive(Debug, Clone)]
pub struct Alert {
    pub name: String,
    pub receiver: Receiver,
    /// Events of less are not told; those whose severity is not known are.
    pub min_severity: Option<f64>,
    /// Sensors whose events are told; `None`: all.
    pub sensors: Option<Selector>,
    /// Where it begins in a lane that it has not seen.
    pub from: Begin,
    /// A message that was not taken is dead when it is so old.
    pub give_up_after: Duration,
    /// The longest wait between two attempts.
    pub retry_max: Duration,
}

/// Where an alert begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With what is committed from now on.
    Now,
    /// With the oldest event that the lake has.
    Earliest,
}

#[derive(Debug, Clone)]
pub enum Receiver {
    Kafka(Topic),
    Webhook(Webhook),
}

/// A topic that events are written to.
#[derive(Debug, Clone)]
pub struct Topic {
    pub brokers: String,
    pub topic: String,
    pub kafka: BTreeMap<String, String>,
}

/// A URL that events are posted to.
#[derive(Clone)]
pub struct Webhook {
    pub url: Secret,
    pub secret: Secret,
    /// Certificates that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    pub timeout: Duration,
}

/// Where a value is that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    File(PathBuf),
    Environment(String),
    Plain(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
            Self::Plain(_) => f.write_str("Plain(..)"),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url).field("secret", &self.secret).finish()
    }
}

impl Secret {
    /// The value, without blanks around it.
    ///
    /// # Errors
    /// Says where it was looked for, never what was found.
    pub fn read(&self) -> Result<String, String> {
        let value = match self {
            Self::Plain(value) => value.clone(),
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
            Self::Environment(name) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name} is not set, or is no text")
            })?,
        };
        match value.trim() {
            "" => Err(format!("{self:?} is empty")),
            value => Ok(value.to_owned()),
        }
    }
}

/// The alerts, in their order. `has_events`: there is something to tell.
pub(super) fn alerts(
    reader: &mut Reader,
    source: &Source,
    has_events: bool,
    key: Option<&KeySchema>,
) -> Vec<Alert> {
    let tables = reader.tables("alerts").unwrap_or_default();
    if !tables.is_empty() && !has_events {
        reader.mistake("alerts", "tell of events, and there is no section [events]");
    }
    if tables.len() > ALERTS_MAX {
        reader.mistake("alerts", format!("are {}, allowed are {ALERTS_MAX}", tables.len()));
    }
    let (mut alerts, mut names) = (Vec::new(), BTreeSet::new());
    for (number, mut table) in tables.into_iter().enumerate() {
        let place = |name: &str| format!("alerts[{number}].{name}");
        let chosen = match table.remove("where") {
            None => None,
            Some(value) => match chosen(value, key) {
                Ok(selector) => Some(selector),
                Err(what) => {
                    reader.mistake(&place("where"), what);
                    None
                }
            },
        };
        let mut inner = Reader::new(table, BTreeMap::new());
        let alert = one(&mut inner, source, chosen);
        inner.finish().into_iter().for_each(|m| reader.mistake(&place(&m.key), m.what));
        if !names.insert(alert.name.clone()) {
            reader.mistake(&place("name"), format!("is {:?}, as another alert is", alert.name));
        }
        alerts.push(alert);
    }
    alerts
}

fn chosen(value: Value, key: Option<&KeySchema>) -> Result<Selector, String> {
    sensors(Some(value), key).map(Selector::new)
}

fn one(reader: &mut Reader, source: &Source, sensors: Option<Selector>) -> Alert {
    if reader.text("name").is_none() {
        reader.mistake("name", "is missing: what the alert is called");
    }
    let name = alias(reader, "name", "alert");
    let min_severity = reader.number("min_severity", 0.0..=1000.0);
    let from = reader.one_of("from", &[("now", Begin::Now), ("earliest", Begin::Earliest)]);
    let give_up_after = reader.duration("give_up_after", "1d", SECOND..=365 * DAY);
    let retry_max = reader.duration("retry_max", "5m", SECOND / 10..=DAY);
    let receiver = match reader.text("kind").as_deref() {
        Some("kafka") => Receiver::Kafka(topic(reader, source)),
        Some("webhook") => Receiver::Webhook(webhook(reader)),
        other => {
            let is = other.map_or("is missing".to_owned(), |other| format!("is {other:?}"));
            reader.mistake("kind", format!("{is}, allowed are kafka, webhook"));
            Receiver::Kafka(topic(reader, source))
        }
    };
    Alert { name, receiver, min_severity, sensors, from, give_up_after, retry_max }
}

fn topic(reader: &mut Reader, source: &Source) -> Topic {
    let ours = source.kind == SourceKind::Kafka;
    let brokers = reader.text("brokers");
    let mut kafka = match &brokers {
        // Others have settings of their own.
        Some(_) => BTreeMap::new(),
        None => source.kafka.clone(),
    };
    // What only consumers have.
    for name in ["session.timeout.ms", "max.poll.interval.ms", "auto.offset.reset"] {
        kafka.remove(name);
    }
    kafka.retain(|name, _| !name.starts_with("fetch.") && !name.starts_with("queued."));
    kafka.extend(reader.free_table("kafka"));
    let brokers = brokers.or_else(|| ours.then(|| source.brokers.clone()));
    let topic = reader.required("topic", "the topic that events are written to");
    if ours && topic == source.topic && !topic.is_empty() {
        reader.mistake("topic", format!("is {topic:?}, which is the source's own"));
    }
    let brokers = brokers.unwrap_or_else(|| reader.required("brokers", "host:port of the brokers"));
    Topic { brokers, topic, kafka }
}

fn webhook(reader: &mut Reader) -> Webhook {
    let url = secret(reader, "url", "where events are posted to");
    if let Secret::Plain(url) = &url
        && !url.is_empty()
        && !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
    {
        reader.mistake("url", "is not valid, allowed is a URL with http: or https:");
    }
    let secret = secret(reader, "secret", "what messages are signed with");
    if let Secret::Plain(_) = &secret
        && reader.text("secret").is_some()
    {
        let what = "does not belong into this file: name secret_file or secret_env";
        reader.mistake("secret", what);
    }
    Webhook {
        url,
        secret,
        ca: reader.text("ca").map(PathBuf::from),
        timeout: reader.duration("timeout", "10s", SECOND / 10..=600 * SECOND),
    }
}

/// A value that is in the file, in another file (`_file`), or in the environment (`_env`).
fn secret(reader: &mut Reader, key: &str, why: &str) -> Secret {
    let plain = reader.text(key).map(Secret::Plain);
    let file = reader.text(&format!("{key}_file")).map(|path| Secret::File(path.into()));
    let environment = reader.text(&format!("{key}_env")).map(Secret::Environment);
    let mut given = [plain, file, environment].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(secret), None) => secret,
        (None, _) => {
            reader.mistake(key, format!("is missing: {why}, as {key}_file or {key}_env"));
            Secret::Plain(String::new())
        }
        (Some(secret), Some(_)) => {
            reader.mistake(key, format!("is given twice, with {key}_file or {key}_env"));
            secret
        }
    }
}

#[cfg(test)]
mod tests;
