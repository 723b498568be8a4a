//! The sections of the file: which keys there are, their defaults and what is allowed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegauge_flow::{KeyColumn, KeySchema, KeyType, names};
use tidegauge_ingest::decode::time_ns;
use tidegauge_ingest::{EventMapping, Limits, TimeFormat};
use tidegauge_sink::{Patience, Storage, check_object_url, is_object_url};
use toml::Value;

use super::alerts::alerts;
use super::device::check as check_device;
use super::events::events;
use super::http::http;
use super::models::models;
use super::policy::policy;
use super::reader::Reader;
use super::{
    Config, LakeSettings, LaneMode, Late, LimitSettings, OnGap, OnSplitSensor, Source, SourceKind,
    Start, UpkeepSettings, Window,
};

/// The broker's own default of `max.poll.interval.ms`, and librdkafka's.
const POLL_INTERVAL_MS: u64 = 300_000;
/// A lane that goes has at least this for its last commit, and by default at most that.
const DRAIN_LEAST: Duration = Duration::from_millis(100);
const DRAIN_DEFAULT: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(86_400);

/// Reads all sections. `None` only when something is so wrong that no value could stand in for it;
/// the mistakes are in the reader either way.
pub(super) fn read(reader: &mut Reader) -> Option<Config> {
    let source = source(reader);
    let mut event = event(reader);
    let window = window(reader, &source, event.as_mut());
    let models = models(reader, event.as_ref().map(|event| event.key.as_ref()));
    if let (Some(device), Some(event)) = (&models.device, &event) {
        check_device(reader, device, &event.key);
    }
    let key = event.as_ref().map(|event| event.key.as_ref());
    let events = events(reader, models.onset.is_some(), key);
    let alerts = alerts(reader, &source, events.is_some(), key);
    let lake = LakeSettings {
        url: reader.text_or("lake.url", "lake"),
        storage: storage(reader),
        commit_every: reader.duration(
            "lake.commit_every",
            "10s",
            Duration::from_millis(100)..=Duration::from_secs(3600),
        ),
        rejects_max: reader.integer("lake.rejects_max", 100_000, 1..=10_000_000) as usize,
        upkeep: upkeep(reader),
    };
    check_url(reader, "lake.url", &lake.url);
    let limits = LimitSettings { memory: memory(reader), spill: reader.text("limits.spill") };
    let http = http(reader);
    Some(Config {
        source,
        event: Arc::new(event?),
        window,
        models,
        events,
        alerts,
        lake,
        limits,
        http,
    })
}

/// How a lake is kept when nobody has said anything else.
pub fn default_upkeep() -> UpkeepSettings {
    upkeep(&mut Reader::new(toml::Table::new(), std::collections::BTreeMap::new()))
}

fn upkeep(reader: &mut Reader) -> UpkeepSettings {
    const YEARS: Duration = Duration::from_secs(100 * 366 * 86_400);
    let minute = Duration::from_secs(60);
    let mut age = |key: &str| reader.age(key, DAY..=YEARS);
    let (keep_predictions, keep_late) = (age("lake.keep_predictions"), age("lake.keep_late"));
    let (keep_rejects, keep_events) = (age("lake.keep_rejects"), age("lake.keep_events"));
    UpkeepSettings {
        compact: reader.switch("lake.compact", true),
        maintain_every: reader.duration("lake.maintain_every", "10m", minute / 60..=DAY),
        compact_after: reader.duration("lake.compact_after", "1h", minute..=30 * DAY),
        compact_file_max: reader.size("lake.compact_file_max", "64 MiB", 1 << 20..=1 << 30),
        keep_replaced: reader.duration("lake.keep_replaced", "1h", minute..=30 * DAY),
        keep_ledger: reader.duration("lake.keep_ledger", "1d", minute..=YEARS),
        keep_predictions,
        keep_late,
        keep_rejects,
        keep_events,
    }
}

fn source(reader: &mut Reader) -> Source {
    let kind =
        reader.one_of("source.kind", &[("kafka", SourceKind::Kafka), ("files", SourceKind::Files)]);
    let kafka = kind == SourceKind::Kafka;
    let mut needed = |key: &str, why: &str| match kafka {
        true => reader.required(key, why),
        false => reader.text_or(key, ""),
    };
    let brokers = needed("source.brokers", "host:port of the Kafka brokers, comma-separated");
    let topic = needed("source.topic", "the topic to read");
    let paths = reader.texts("source.paths").unwrap_or_default();
    if !kafka && paths.is_empty() {
        reader.mistake("source.paths", "is missing: the files or folders to read");
    }
    let lanes = reader.one_of(
        "source.lanes",
        &[("per-partition", LaneMode::PerPartition), ("topic", LaneMode::Topic)],
    );
    reader.one_of("source.format", &[("json", ())]);
    let extra = reader.free_table("source.kafka");
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    Source {
        kind,
        brokers,
        topic,
        group: reader.text_or("source.group", "tidegauge"),
        instance: reader.text("source.instance"),
        start: start(reader),
        paths,
        threads: reader.integer("source.threads", cores.min(16), 1..=256) as usize,
        connect_timeout: reader.duration(
            "source.connect_timeout",
            "10s",
            Duration::from_millis(100)..=Duration::from_secs(600),
        ),
        retry_for: reader.duration(
            "source.retry_for",
            "5m",
            Duration::from_secs(1)..=Duration::from_secs(24 * 3600),
        ),
        drain_within: drain_within(reader, &extra),
        lanes,
        on_split_sensor: reader.one_of(
            "source.on_split_sensor",
            &[("warn", OnSplitSensor::Warn), ("fail", OnSplitSensor::Fail)],
        ),
        on_gap: reader.one_of("source.on_gap", &[("fail", OnGap::Fail), ("skip", OnGap::Skip)]),
        kafka: extra,
    }
}

/// A lane that goes has to be done before the group gives us up, and that is after `max.poll.interval.ms`.
fn drain_within(reader: &mut Reader, extra: &BTreeMap<String, String>) -> Duration {
    const POLL: &str = "max.poll.interval.ms";
    const SESSION: &str = "session.timeout.ms";
    let set = |name: &str| extra.get(name).and_then(|text| text.parse().ok());
    let (poll, session) = (set(POLL).unwrap_or(POLL_INTERVAL_MS), set(SESSION));
    // An upper bound that leaves room for the answer to the group.
    let most = Duration::from_millis(poll) * 9 / 10;
    if most < DRAIN_LEAST {
        let what = format!(
            "is {poll}, and a lane that goes needs some of it for its last commit; allowed is 1000 or more"
        );
        reader.mistake(&format!("source.kafka.{POLL}"), what);
        return DRAIN_LEAST;
    }
    if let Some(session) = session.filter(|session| *session > poll) {
        let what = format!("is {session}, more than {POLL}, which is {poll}");
        reader.mistake(&format!("source.kafka.{SESSION}"), what);
    }
    let default = format!("{}ms", DRAIN_DEFAULT.min(most / 2).as_millis());
    reader.duration("source.drain_within", &default, DRAIN_LEAST..=most)
}

fn start(reader: &mut Reader) -> Start {
    match reader.text("source.start").as_deref() {
        None | Some("earliest") => Start::Earliest,
        Some("latest") => Start::Latest,
        Some(text) => match time_ns(text) {
            Some(time_ns) => Start::Time(time_ns),
            None => {
                let what =
                    format!("is {text:?}, allowed are earliest, latest or a time (RFC 3339)");
                reader.mistake("source.start", what);
                Start::Earliest
            }
        },
    }
}

fn event(reader: &mut Reader) -> Option<EventMapping> {
    let time = reader.required("event.time", "the field that holds the event time");
    let formats = TimeFormat::ALL.map(|format| (format.as_str(), format));
    let time_format = reader.one_of("event.time_format", &formats);
    let key = key_columns(reader);
    let values = reader.texts("event.values").unwrap_or_default();
    if values.is_empty() {
        reader.mistake("event.values", "is missing: the fields that hold the numbers, as a list");
    }
    let columns = key.iter().map(|k| &k.name).chain([&time]).chain(&values);
    let mut seen = std::collections::HashSet::new();
    for name in columns {
        if !name.is_empty() && !seen.insert(name.clone()) {
            reader.mistake("event", format!("names the field {name:?} twice"));
        }
        if names::RESERVED.contains(&name.as_str()) {
            reader
                .mistake("event", format!("names the field {name:?}, which tidegauge adds itself"));
        }
    }
    let limits = Limits {
        message_bytes_max: reader.size("event.message_bytes_max", "1 MiB", 64..=1 << 30) as usize,
        key_bytes_max: reader.size("event.key_bytes_max", "1 KiB", 1..=1 << 20) as usize,
        ..Limits::default()
    };
    let earliest_ns = match reader.text("event.earliest") {
        None => tidegauge_ingest::mapping::EARLIEST_NS,
        Some(text) => time_ns(&text).unwrap_or_else(|| {
            reader.mistake("event.earliest", format!("is {text:?}, allowed is a time (RFC 3339)"));
            0
        }),
    };
    let early = reader.duration("event.early", "1d", Duration::ZERO..=366 * DAY);
    if key.is_empty() {
        return None;
    }
    let id = reader.text("event.id");
    if id.as_ref().is_some_and(|id| id.is_empty()) {
        reader.mistake("event.id", "is empty: the field that tells an event from its duplicates");
    }
    let mapping = EventMapping::new(time, Arc::new(KeySchema::new(key)), values);
    let early_ns = early.as_nanos() as i64;
    Some(EventMapping { time_format, limits, earliest_ns, early_ns, id, ..mapping })
}

fn key_columns(reader: &mut Reader) -> Vec<KeyColumn> {
    const KEY: &str = "event.key";
    let allowed = "allowed is a list of { name = \"…\", type = \"int64\" or \"string\" }";
    let tables = reader.tables(KEY).unwrap_or_default();
    let mut columns = Vec::new();
    for table in &tables {
        let name = table.get("name").and_then(Value::as_str);
        let kind = match table.get("type").and_then(Value::as_str) {
            Some("int64") => Some(KeyType::Int64),
            Some("string") => Some(KeyType::String),
            _ => None,
        };
        match (name, kind, table.len()) {
            (Some(name), Some(kind), 2) if !name.is_empty() => {
                columns.push(KeyColumn { name: name.to_string(), kind });
            }
            _ => reader.mistake(KEY, format!("has the item {{ {} }}, {allowed}", one_line(table))),
        }
    }
    if tables.is_empty() {
        reader
            .mistake(KEY, format!("is missing or empty: the fields that name a sensor; {allowed}"));
    }
    columns
}

pub(super) fn one_line(table: &toml::Table) -> String {
    table.iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>().join(", ")
}

fn window(reader: &mut Reader, source: &Source, event: Option<&mut EventMapping>) -> Window {
    const LATENESS: &str = "window.allowed_lateness";
    let words = [("keep", Late::Keep), ("drop", Late::Drop), ("revise", Late::Revise)];
    let late = reader.one_of("window.late", &words);
    let allowed_lateness = match late {
        Late::Revise => Some(reader.duration(LATENESS, "1h", Duration::ZERO..=30 * DAY)),
        Late::Keep | Late::Drop => {
            if reader.text(LATENESS).is_some() {
                reader.mistake(LATENESS, "holds closed windows, which only late = \"revise\" does");
            }
            None
        }
    };
    Window {
        query: reader.required("window.query", "the SELECT that makes features of readings"),
        out_of_order: reader.duration("window.out_of_order", "5s", Duration::ZERO..=30 * DAY),
        late,
        allowed_lateness,
        policy: policy(reader, source, event),
        idle_after: reader.duration("window.idle_after", "30s", Duration::from_millis(100)..=DAY),
        open_max: reader.integer("window.open_windows_max", 10_000, 1..=10_000_000) as usize,
        sensors_max: reader.integer("window.sensors_max", 1_000_000, 1..=100_000_000) as u32,
    }
}

fn storage(reader: &mut Reader) -> Storage {
    let options = reader.free_table("lake.storage");
    let range = Duration::from_secs(1)..=Duration::from_secs(600);
    let request = reader.duration("lake.timeout", "30s", range);
    Storage { options, patience: Patience { request, ..Patience::default() } }
}

/// `auto` is a part of what the machine has.
fn memory(reader: &mut Reader) -> Option<u64> {
    const KEY: &str = "limits.memory";
    match reader.text(KEY).as_deref() {
        None | Some("auto") => None,
        Some(_) => Some(reader.size(KEY, "1 GiB", 1 << 20..=1 << 50)),
    }
}

pub(super) fn check_url(reader: &mut Reader, key: &str, url: &str) {
    let path = url.strip_prefix("file:").unwrap_or(url);
    if path.is_empty() {
        reader.mistake(key, "is empty: a path, a file: URL or that of a bucket");
    } else if is_object_url(url) {
        if let Err(error) = check_object_url(url) {
            reader.mistake(key, format!("is not valid: {error}"));
        }
    } else if path.contains("://") {
        let allowed = "a path, or a URL with file:, s3:, az:, abfs:, abfss: or gs:";
        reader.mistake(key, format!("is {url:?}, allowed is {allowed}"));
    }
}
