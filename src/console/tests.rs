//! The console over small real lakes, beside what SQL says of them.

mod large;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use tempfile::TempDir;
use tidegauge_aggregate::Closing;
use tidegauge_flow::{KeyValue as FlowValue, Partition, SensorKey};
use tidegauge_ingest::Message;
use tidegauge_score::{ModelEntry, ModelParams, SvmParams, SvmParts};
use tidegauge_serve::console::{Order, SensorSort};
use tidegauge_sink::{Mode, Storage};

use super::*;
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::lane::Lane;
use crate::pipeline::{Pipeline, Surroundings};

const S_US: i64 = 1_000_000;
/// A whole hour.
const START_S: i64 = 1_600_002_000;
const AT_ONCE: Pace = Pace { fresh: Duration::ZERO, listed: Duration::ZERO };

const CONFIG: &str = r#"
    [source]
    brokers = "127.0.0.1:1"
    topic = "t"
    [event]
    time = "TS"
    key = [{ name = "Plant", type = "string" }, { name = "Id", type = "int64" }]
    values = ["Value"]
    [window]
    query = '''SELECT "Plant", "Id", sum("Value") AS s, max("Value") AS top FROM readings
               GROUP BY "Plant", "Id", tumble("TS", INTERVAL '5 seconds')'''
    out_of_order = "2s"
    [models]
    features = ["s"]
"#;

struct Bench {
    folder: TempDir,
    pipeline: Arc<Pipeline>,
    offset: i64,
}

impl Bench {
    fn new(extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = configuration(&folder, extra);
        let around = Surroundings::real(&config).expect("a folder");
        let pipeline = Arc::new(Pipeline::within(config, around).expect("opens"));
        Self { folder, pipeline, offset: 0 }
    }

    fn console(&self) -> LakeConsole {
        let config = self.pipeline.config.clone();
        let origin = Origin::of_config(config, None, Arc::new(SystemClock));
        LakeConsole::at_pace(origin, AT_ONCE).expect("starts")
    }

    fn lane(&self) -> Lane {
        Lane::open(&self.pipeline, "t-0", Closing::ByWatermark).expect("opens")
    }

    /// Feeds (second, plant, id, value) and commits at a time.
    fn feed(&mut self, lane: &mut Lane, readings: &[(i64, &str, i64, i64)], now_us: i64) {
        let text = |(t, plant, id, value): &(i64, &str, i64, i64)| {
            let time = tidegauge_flow::time::rfc3339((START_S + t) * 1_000_000_000);
            format!(r#"{{"TS":"{time}","Plant":"{plant}","Id":{id},"Value":{value}}}"#)
        };
        let texts: Vec<String> = readings.iter().map(text).collect();
        self.feed_texts(lane, &texts, now_us);
    }

    fn feed_texts(&mut self, lane: &mut Lane, texts: &[String], now_us: i64) {
        let input = lane.input(&Partition::new("t", 0), 0);
        let messages = texts.iter().zip(self.offset..).map(|(text, offset)| {
            (Message { offset, timestamp_ms: None, payload: Some(text.as_bytes()) }, offset + 1)
        });
        lane.feed(input, messages, i64::MAX / 2).expect("feeds");
        self.offset += texts.len() as i64;
        lane.commit(now_us).expect("commits");
    }

    fn select(&self, sql: &str) -> Vec<RecordBatch> {
        let url = self.folder.path().join("lake").display().to_string();
        let registry = &self.pipeline.registry;
        crate::commands::query::select(&url, &Storage::default(), registry, sql).expect("selects")
    }

    fn count(&self, what: &str) -> i64 {
        let sql = format!("SELECT CAST(count(*) AS BIGINT) AS n FROM {what}");
        let batches = self.select(&sql);
        numbers_of(&batches)[0]
    }

    fn maintain(&self, now_us: i64) -> u64 {
        let settings = &self.pipeline.config.lake.upkeep;
        let late = self.pipeline.config.window.allowed_lateness.unwrap_or_default();
        let upkeep = crate::maintenance::upkeep(settings, late);
        let writer = self.pipeline.new_writer();
        let done = self.pipeline.lake().maintain(&upkeep, Mode::Act, writer, now_us, &|_, _| ());
        done.expect("maintains").replaced
    }

    /// A set with a model for sensors 1 to 3 of plant a: sums far from 0 are anomalies.
    fn publish(&self) -> u64 {
        let svm = SvmParams::new(SvmParts {
            mean: vec![0.0],
            scale: vec![1.0],
            vectors: vec![0.0],
            alpha: vec![1.0],
            gamma: 0.1,
            rho: 0.5,
            ..SvmParts::default()
        });
        let svm = ModelParams::OneClassSvm(svm.expect("valid"));
        let entry = |id: i64| ModelEntry {
            key: SensorKey([FlowValue::Str("a".into()), FlowValue::Int(id)].into()),
            features: vec!["s".into()],
            model: svm.clone(),
            threshold: 0.0,
            calibration: None,
            training: None,
            source: "made for a test".into(),
        };
        let key = &self.pipeline.config.event.key;
        let entries = (1..=3).map(entry).collect();
        self.pipeline.registry.publish(key, entries, None, "test", 1).expect("publishes")
    }

    fn champion(&self) -> u64 {
        let version = self.publish();
        self.pipeline.registry.move_alias("champion", version, 1).expect("moves");
        version
    }
}

fn configuration(folder: &TempDir, extra: &[&str]) -> Config {
    let mut sets = vec![format!("lake.url={}", folder.path().join("lake").display())];
    sets.extend(extra.iter().map(ToString::to_string));
    config::parse("test", CONFIG, std::iter::empty(), &sets).expect("valid")
}

fn numbers_of(batches: &[RecordBatch]) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let column =
        |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(column).collect()
}

fn everything() -> SensorsQuery {
    SensorsQuery {
        search: String::new(),
        only_anomalous: false,
        sort: SensorSort::Key,
        order: Order::Asc,
        offset: 0,
        limit: 1000,
    }
}

fn key(plant: &str, id: i64) -> Vec<KeyValue> {
    vec![KeyValue::Text(plant.into()), KeyValue::Int(id)]
}

/// 40 windows of five sensors, every tenth of sensor 1 far off; one commit each ten windows.
fn story(bench: &mut Bench, lane: &mut Lane, now_us: i64) {
    for part in 0..4i64 {
        let mut readings = Vec::new();
        for window in part * 10..part * 10 + 10 {
            for id in 1..=4 {
                let value = if id == 1 && window % 10 == 3 { 9 } else { window % 2 };
                readings.push((window * 5 + 2, "a", id, value));
            }
            readings.push((window * 5 + 2, "B", 1, 7));
        }
        bench.feed(lane, &readings, now_us + part);
    }
}

#[test]
fn answers_are_what_sql_says_of_the_lake_and_stay_so_when_it_is_compacted() {
    let mut bench = Bench::new(&[]);
    let set = bench.champion();
    let mut lane = bench.lane();
    let now_us = (START_S + 200) * S_US;
    story(&mut bench, &mut lane, now_us);
    let console = bench.console();
    let check = |bench: &Bench, when: &str| {
        let overview = console.overview().expect("answers");
        assert_eq!(overview.rows as i64, bench.count("predictions"), "{when}");
        assert_eq!(overview.messages, 200, "{when}");
        assert_eq!((overview.sensors, overview.lanes), (5, 1), "{when}");
        assert_eq!(overview.no_model, 2, "{when}");
        let anomalous = bench.count("predictions WHERE is_anomaly");
        assert_eq!(overview.anomalies_last_hour as i64, anomalous, "{when}");
        let list = console.sensors(&everything()).expect("answers");
        let counts: Vec<u32> = list.rows.iter().map(|row| row.anomalies).collect();
        assert_eq!(counts, [0, anomalous as u32, 0, 0, 0], "{when}");
        assert_eq!(list.rows[0].key, key("B", 1), "{when}");
        let found = console.anomalies(None, None, 100).expect("answers");
        assert_eq!(found.rows.len() as i64, anomalous, "{when}");
        assert!(found.rows.iter().all(|row| row.model_set == Some(set)), "{when}");
        let sensor = console.sensor(&key("a", 1), None, None, 1000).expect("answers");
        let rows = bench.count("predictions WHERE \"Plant\" = 'a' AND \"Id\" = 1");
        assert_eq!(sensor.windows as i64, rows, "{when}");
        assert_eq!(sensor.anomalies.len() as i64, anomalous, "{when}");
        assert_eq!(sensor.anomalies, found.rows, "{when}");
        let reason = &sensor.anomalies[0].reason[0];
        assert_eq!((reason.feature.as_str(), reason.value), ("s", Some(9.0)), "{when}");
        assert_eq!(sensor.model.as_ref().map(|model| model.set), Some(set), "{when}");
        assert_eq!(sensor.history.features["s"].len() as i64, rows, "{when}");
        assert_eq!(sensor.step_us, None, "{when}");
        let lanes = console.lanes().expect("answers").lanes;
        assert_eq!((lanes[0].messages, lanes[0].rows as i64), (200, bench.count("predictions")));
        assert_eq!(lanes[0].positions["t[0]"], 200, "{when}");
    };
    assert_eq!(bench.count("predictions WHERE is_anomaly"), 4);
    check(&bench, "before compaction");
    let (_, cursor) = console.anomalies_since(0, 100).expect("answers");
    // Two days on, when the day of the story is closed.
    let replaced = bench.maintain(now_us + 2 * 86_400 * S_US);
    assert!(replaced >= 4, "only {replaced} files were replaced");
    check(&bench, "after compaction");
    let (again, _) = console.anomalies_since(cursor, 100).expect("answers");
    assert!(again.is_empty(), "rows of a compacted file are not new: {again:?}");
    let anew = bench.console();
    let (found, known) = (anew.overview().expect("answers"), console.overview().expect("answers"));
    assert_eq!(
        (found.sensors, found.rows, found.commits),
        (known.sensors, known.rows, known.commits)
    );
}

#[test]
fn revisions_replace_what_was_said_before() {
    let mut bench = Bench::new(&["window.late=revise", "window.allowed_lateness=60s"]);
    bench.champion();
    let mut lane = bench.lane();
    let console = bench.console();
    let now_us = (START_S + 100) * S_US;
    // The first window of both sensors is far off, until a late reading makes up for it.
    let first = [(1, "a", 1, 9), (1, "a", 2, 9), (8, "a", 1, 0), (8, "a", 2, 0), (20, "a", 1, 0)];
    bench.feed(&mut lane, &first, now_us);
    assert_eq!(console.anomalies(None, None, 10).expect("answers").rows.len(), 2);
    bench.feed(&mut lane, &[(2, "a", 1, -9), (30, "a", 1, 0)], now_us + 1);
    assert!(bench.count("predictions WHERE revision > 0") > 0, "nothing is revised");
    for console in [&console, &bench.console()] {
        let found = console.anomalies(None, None, 10).expect("answers").rows;
        assert_eq!(found.iter().map(|a| a.key.clone()).collect::<Vec<_>>(), [key("a", 2)]);
        assert_eq!(console.overview().expect("answers").anomalies_last_hour, 1);
        let sensor = console.sensor(&key("a", 1), None, None, 100).expect("answers");
        let windows = "SELECT DISTINCT window_end FROM predictions WHERE \"Id\" = 1";
        assert_eq!(sensor.windows as i64, bench.count(&format!("({windows})")));
        assert_eq!(
            (sensor.anomalies.len(), sensor.history.score.len()),
            (0, sensor.windows as usize)
        );
        assert_eq!(sensor.history.features["s"][0], Some(0.0));
    }
}

#[test]
fn a_lake_that_is_written_meanwhile_is_followed_commit_by_commit() {
    let mut bench = Bench::new(&[]);
    bench.champion();
    let console = bench.console();
    assert_eq!(console.overview().expect("answers").rows, 0);
    let mut lane = bench.lane();
    let (_, mut cursor) = console.anomalies_since(0, 100).expect("answers");
    let mut heard = Vec::new();
    for round in 0..10i64 {
        let value = if round % 3 == 0 { 9 } else { 0 };
        let readings = [(round * 10, "a", 1, value), (round * 10 + 8, "a", 1, 0)];
        bench.feed(&mut lane, &readings, (START_S + round) * S_US);
        let (found, next) = console.anomalies_since(cursor, 100).expect("answers");
        heard.extend(found.into_iter().map(|anomaly| anomaly.window_end_us));
        cursor = next;
        let overview = console.overview().expect("answers");
        assert_eq!(overview.rows as i64, bench.count("predictions"), "round {round}");
        let epochs = console.commits("t-0", None, 1000).expect("answers").rows;
        assert_eq!(epochs.len() as i64, bench.count("commits"), "round {round}");
    }
    let anomalous = bench.count("predictions WHERE is_anomaly");
    assert!(anomalous > 2, "only {anomalous} anomalies");
    assert_eq!(heard.len() as i64, anomalous, "{heard:?}");
    assert!(heard.is_sorted());
    let page = console.commits("t-0", Some(5), 3).expect("answers");
    let epochs: Vec<u64> = page.rows.iter().map(|row| row.epoch).collect();
    assert_eq!((epochs.as_slice(), page.next_before_epoch), ([4, 3, 2].as_slice(), Some(2)));
    assert!(matches!(console.commits("other", None, 1), Err(ConsoleError::NotFound(_))));
}

#[test]
fn anomalies_go_on_page_by_page_in_memory_and_in_files() {
    let mut bench = Bench::new(&[]);
    bench.champion();
    let mut lane = bench.lane();
    // Two days, so that the first of them is in files only.
    for hour in 0..48i64 {
        let at = hour * 3600;
        let readings: Vec<_> =
            [(0, 1, 9), (5, 2, 8), (5, 3, 9), (10, 1, 0), (15, 1, 9), (30, 1, 0)]
                .map(|(t, id, value)| (at + t, "a", id, value))
                .to_vec();
        bench.feed(&mut lane, &readings, (START_S + at) * S_US);
    }
    let console = bench.console();
    let walk = |of: Option<&[KeyValue]>, limit: usize| {
        let (mut all, mut before) = (Vec::new(), None);
        for _ in 0..1000 {
            let page = console.anomalies(of, before, limit).expect("answers");
            assert!(page.rows.len() <= limit);
            all.extend(page.rows.into_iter().map(|a| (a.window_end_us, a.key)));
            before = page.next_before_us;
            if before.is_none() {
                break;
            }
        }
        assert!(all.is_sorted_by(|a, b| a.0 >= b.0));
        all.sort();
        let found = all.len();
        all.dedup();
        assert_eq!(all.len(), found, "no anomaly is on two pages");
        found as i64
    };
    assert_eq!(walk(None, 7), bench.count("predictions WHERE is_anomaly"));
    let one = key("a", 1);
    assert_eq!(walk(Some(&one), 5), bench.count("predictions WHERE is_anomaly AND \"Id\" = 1"));
    // Its last windows are of the last day, but those of the first day can be asked for.
    let (from, to) = (START_S * S_US, (START_S + 3600) * S_US);
    let sensor = console.sensor(&one, Some(from), Some(to), 2).expect("answers");
    assert_eq!((sensor.windows, sensor.anomalies.len()), (4, 2));
    assert!(sensor.history.window_end_us.len() <= 2 && sensor.step_us == Some(1800 * S_US));
}

#[test]
fn a_place_without_a_lake_is_fine_and_becomes_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = configuration(&folder, &[]);
    let origin = Origin::of_config(config.clone(), None, Arc::new(SystemClock));
    let console = LakeConsole::at_pace(origin, AT_ONCE).expect("starts");
    let info = console.info().expect("answers");
    assert!(info.key.is_empty() && info.query.is_empty() && !info.runs);
    assert_eq!(console.overview().expect("answers").sensors, 0);
    assert!(console.sensors(&everything()).expect("answers").rows.is_empty());
    assert!(console.lanes().expect("answers").lanes.is_empty());
    assert!(console.models().expect("answers").sets.is_empty());
    assert!(console.late(5).expect("answers").rows.is_empty());
    assert!(!folder.path().join("lake").exists(), "looking made a folder");
    let lost = console.sensor(&key("a", 1), None, None, 10);
    assert!(matches!(lost, Err(ConsoleError::NotFound(_))), "{lost:?}");
    let around = Surroundings::real(&config).expect("a folder");
    Pipeline::within(config, around).expect("opens");
    let info = console.info().expect("answers");
    assert_eq!((info.window_us, info.features), (Some(5 * S_US), vec!["s".into(), "top".into()]));
    let kinds: Vec<_> = info.key.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, ["string", "int64"]);
}

#[test]
fn wrong_keys_and_unknown_sensors_are_told_apart() {
    let mut bench = Bench::new(&[]);
    let mut lane = bench.lane();
    bench.feed(&mut lane, &[(1, "7", 1, 1), (20, "7", 1, 1)], START_S * S_US);
    let console = bench.console();
    let ask = |key: &[KeyValue]| console.sensor(key, None, None, 10);
    // A number may stand for a text, and a text for a number.
    let swapped = [KeyValue::Int(7), KeyValue::Text("1".into())];
    assert_eq!(ask(&swapped).expect("answers").key, key("7", 1));
    assert!(matches!(ask(&key("7", 2)), Err(ConsoleError::NotFound(_))));
    let wrong = [KeyValue::Int(7), KeyValue::Text("one".into())];
    assert!(matches!(ask(&wrong), Err(ConsoleError::Invalid(_))));
    assert!(matches!(ask(&wrong[..1]), Err(ConsoleError::Invalid(_))));
}

#[test]
fn a_damaged_file_is_named_and_what_does_not_need_it_is_answered() {
    let mut bench = Bench::new(&[]);
    let mut lane = bench.lane();
    bench.feed(&mut lane, &[(1, "a", 1, 1), (20, "a", 1, 1)], START_S * S_US);
    let console = bench.console();
    let sensors = console.sensors(&everything()).expect("answers");
    assert_eq!(sensors.total, 1);
    let file = console.commits("t-0", None, 1).expect("answers").rows[0].files[0].0.clone();
    let path = bench.folder.path().join("lake").join(&file);
    let mut bytes = std::fs::read(&path).expect("there");
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    std::fs::write(&path, bytes).expect("writable");
    let told = |error: ConsoleError| match error {
        ConsoleError::Unavailable(what) => assert!(what.contains(&file), "{what}"),
        other => panic!("{other:?}"),
    };
    told(console.sensor(&key("a", 1), None, None, 10).expect_err("it is damaged"));
    let anew = bench.console();
    told(anew.sensors(&everything()).expect_err("it is damaged"));
    told(anew.overview().expect_err("it is damaged"));
    assert_eq!(anew.lanes().expect("answers").lanes.len(), 1);
}

#[test]
fn rejects_show_their_bytes_and_late_readings_their_columns() {
    let mut bench = Bench::new(&[]);
    let mut lane = bench.lane();
    let long = format!("<script>{}", "x".repeat(10_000));
    bench.feed_texts(&mut lane, &["not json".into(), long.clone()], 1);
    bench.feed(&mut lane, &[(1, "a", 1, 1), (60, "a", 1, 1), (2, "a", 1, 5)], 2);
    let console = bench.console();
    let found = console.rejects(None, 10).expect("answers");
    assert_eq!(found.reasons.values().sum::<u64>(), 2);
    assert_eq!(found.rows.iter().map(|row| row.offset).collect::<Vec<_>>(), [1, 0]);
    use base64::Engine;
    let bytes = |n: usize| {
        let text = found.rows[n].payload_base64.as_ref().expect("a payload");
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    };
    assert_eq!((bytes(0).len(), found.rows[0].payload_bytes), (4096, long.len() as u64));
    assert_eq!(bytes(1), b"not json");
    assert_eq!(console.rejects(Some(1), 10).expect("answers").rows.len(), 0);
    let late = console.late(10).expect("answers");
    assert_eq!(late.rows.len() as i64, bench.count("late"));
    assert_eq!(late.rows.len(), 1);
    let place = |name: &str| late.columns.iter().position(|c| c == name).expect("a column");
    assert_eq!(late.rows[0][place("Plant")].as_deref(), Some("a"));
    assert_eq!(late.rows[0][place("Value")].as_deref(), Some("5.0"));
    assert!(late.rows[0][place("TS")].as_deref().is_some_and(|t| t.starts_with("2020-09-13T")));
}

#[test]
fn aliases_are_moved_when_the_models_fit_and_a_configuration_says_so() {
    let bench = Bench::new(&[]);
    let (first, second) = (bench.champion(), bench.champion());
    let console = bench.console();
    let champion = || console.models().expect("answers").aliases[0].clone();
    assert_eq!((champion().version, champion().before), (second, Some(first)));
    assert_eq!(champion().role, Some("champion"));
    assert_eq!(console.roll_back("champion").expect("moves").version, first);
    assert_eq!(champion().version, first);
    assert_eq!(console.move_alias("champion", second).expect("moves").version, second);
    let sets: Vec<_> = console.models().expect("answers").sets.iter().map(|s| s.version).collect();
    assert_eq!(sets, [second, first]);
    assert!(matches!(console.move_alias("champion", 99), Err(ConsoleError::NotFound(_))));
    assert!(matches!(console.move_alias("a/b", second), Err(ConsoleError::Invalid(_))));
    assert!(matches!(console.roll_back("nobody"), Err(ConsoleError::NotFound(_))));
    let other = configuration(&bench.folder, &["models.features=[\"top\"]"]);
    let origin = Origin::of_config(other, None, Arc::new(SystemClock));
    let unfit = LakeConsole::at_pace(origin, AT_ONCE).expect("starts");
    let refused = unfit.move_alias("champion", first).expect_err("it does not fit");
    assert!(matches!(&refused, ConsoleError::Refused(what) if what.contains("does not fit")));
    let url = bench.folder.path().join("lake").display().to_string();
    let origin = Origin::of_lake(&url, Storage::default(), Arc::new(SystemClock));
    let plain = LakeConsole::at_pace(origin, AT_ONCE).expect("starts");
    assert!(matches!(plain.move_alias("champion", first), Err(ConsoleError::Refused(_))));
    assert_eq!(champion().version, second);
}

#[test]
fn events_are_closed_when_a_row_says_so_and_counted_while_they_go_on() {
    let events = ["events.open=2", "events.of=3", "events.close=2"];
    let mut bench = Bench::new(&events);
    bench.champion();
    let mut lane = bench.lane();
    let console = bench.console();
    let readings = |from: i64, value: i64| -> Vec<(i64, &str, i64, i64)> {
        (from..from + 6).map(|window| (window * 5 + 2, "a", 1, value)).collect()
    };
    bench.feed(&mut lane, &readings(0, 9), START_S * S_US);
    let open = console.events(None, Some(EventState::Open), None, 10).expect("answers");
    assert_eq!((open.rows.len(), console.overview().expect("answers").open_events), (1, 1));
    bench.feed(&mut lane, &readings(6, 0), START_S * S_US);
    bench.feed(&mut lane, &readings(12, 0), START_S * S_US);
    for console in [&console, &bench.console()] {
        let all = console.events(None, None, None, 10).expect("answers").rows;
        assert_eq!(all.len() as i64, bench.count("(SELECT DISTINCT event_id FROM events)"));
        assert_eq!(
            (all[0].state, all[0].reason.as_slice()),
            (EventState::Closed, ["s".into()].as_slice())
        );
        assert_eq!(all[0].id, open.rows[0].id);
        assert_eq!(console.overview().expect("answers").open_events, 0);
        let sensor = console.sensor(&key("a", 1), None, None, 10).expect("answers");
        assert_eq!(sensor.events, all);
        let others = console.events(Some(&key("a", 2)), None, None, 10).expect("answers");
        assert!(others.rows.is_empty());
    }
}
