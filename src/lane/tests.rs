//! A lane on a real lake, fed by hand.

mod challenger;
mod late;
mod onset;
mod retrain;
mod swap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tidegauge_aggregate::Closing;
use tidegauge_flow::{KeyValue, Partition, SensorKey};
use tidegauge_ingest::Message;
use tidegauge_score::{ModelEntry, ModelParams, SvmParams, SvmParts};
use tidegauge_sink::{Mode, Storage};

use super::{IdleClock, Lane};
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::pipeline::{self, Pipeline, Surroundings};

const S: fn(u64) -> Duration = Duration::from_secs;

struct Bench {
    folder: TempDir,
    pipeline: Arc<Pipeline>,
}

/// What the lake says of one window: readings, sum, model set.
type Rows = BTreeMap<(i64, String), (i64, f64, Option<i64>)>;

impl Bench {
    fn new(extra: &[&str]) -> Self {
        Self::at(extra, Arc::new(SystemClock))
    }

    fn at(extra: &[&str], clock: Arc<dyn Clock>) -> Self {
        Self::within(tempfile::tempdir().expect("a folder"), extra, clock)
    }

    /// Another process on the same lake.
    fn again(self) -> Self {
        Self::within(self.folder, &[], Arc::new(SystemClock))
    }

    fn within(folder: TempDir, extra: &[&str], clock: Arc<dyn Clock>) -> Self {
        let text = r#"
            [source]
            brokers = "127.0.0.1:1"
            topic = "t"
            [event]
            time = "TS"
            key = [{ name = "Id", type = "int64" }]
            values = ["Value"]
            [window]
            query = '''SELECT "Id", sum("Value") AS s FROM readings
                       GROUP BY "Id", tumble("TS", INTERVAL '5 seconds')'''
            out_of_order = "2s"
        "#;
        let mut sets = vec![format!("lake.url={}", folder.path().join("lake").display())];
        sets.extend(extra.iter().map(ToString::to_string));
        let config = config::parse("test", text, std::iter::empty(), &sets).expect("valid");
        let around = Surroundings { clock, ..Surroundings::real(&config).expect("a folder") };
        let pipeline = Arc::new(Pipeline::within(config, around).expect("opens"));
        Self { folder, pipeline }
    }

    fn lane(&self) -> Lane {
        Lane::open(&self.pipeline, "t-0", Closing::ByWatermark).expect("opens")
    }

    fn url(&self) -> String {
        self.folder.path().join("lake").display().to_string()
    }

    fn rows(&self) -> Rows {
        let sql = "SELECT \"Id\", CAST(window_end AS VARCHAR) AS e, CAST(n_readings AS BIGINT) AS n, s, \
                   CAST(model_set AS BIGINT) AS m FROM predictions";
        let batches = self.select(sql);
        let json = |b: &arrow::array::RecordBatch| {
            let mut writer = datafusion::arrow::json::LineDelimitedWriter::new(Vec::new());
            writer.write(b).and_then(|()| writer.finish()).expect("JSON");
            String::from_utf8(writer.into_inner()).expect("UTF-8")
        };
        let text: String = batches.iter().map(json).collect();
        let mut rows = Rows::new();
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let key = (row["Id"].as_i64().expect("int"), row["e"].as_str().expect("text").into());
            let n = row["n"].as_i64().expect("int");
            let value = (n, row["s"].as_f64().expect("a sum"), row["m"].as_i64());
            assert!(rows.insert(key, value).is_none(), "a window came out twice");
        }
        rows
    }

    fn count(&self, table: &str) -> usize {
        let batches = self.select(&format!("SELECT * FROM {table}"));
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
    }

    fn select(&self, sql: &str) -> Vec<arrow::array::RecordBatch> {
        crate::commands::query::select(
            &self.url(),
            &Storage::default(),
            &self.pipeline.registry,
            sql,
        )
        .expect("selects")
    }

    fn prove(&self) {
        let store = pipeline::existing_store(&self.url(), &Storage::default()).expect("there");
        let report = tidegauge_sink::verify(&*store, &|_, _| {}).expect("verifies");
        assert!(report.is_clean(), "{:?}", report.problems);
    }

    /// Models of three features for sensors 1 and 2.
    fn champion_of_three(&self) {
        let svm = SvmParams::new(SvmParts {
            mean: vec![100.0, 100.0, 0.0],
            scale: vec![5.0; 3],
            vectors: vec![0.0; 3],
            alpha: vec![1.0],
            gamma: 0.1,
            rho: 0.5,
            ..SvmParts::default()
        });
        let svm = ModelParams::OneClassSvm(svm.expect("valid"));
        let features = ["s", "rolling_mean(s, 4)", "rolling_std(s, 4)"].map(String::from).to_vec();
        let entry = |id: i64| ModelEntry {
            key: SensorKey([KeyValue::Int(id)].into()),
            features: features.clone(),
            model: svm.clone(),
            threshold: 0.0,
            calibration: None,
            training: None,
            source: "made for a test".into(),
        };
        let registry = &self.pipeline.registry;
        let key = &self.pipeline.config.event.key;
        let entries = vec![entry(1), entry(2)];
        let version = registry.publish(key, entries, None, "test", 1).expect("publishes");
        registry.move_alias("champion", version, 1).expect("moves");
    }

    /// Publishes a model with this threshold for sensor 1 and makes it the champion.
    fn champion(&self, threshold: f64) -> u64 {
        let svm = SvmParams::new(SvmParts {
            mean: vec![0.0],
            scale: vec![1.0],
            vectors: vec![0.0],
            alpha: vec![1.0],
            gamma: 0.1,
            rho: 0.5,
            ..SvmParts::default()
        });
        let entry = ModelEntry {
            key: SensorKey([KeyValue::Int(1)].into()),
            features: vec!["s".into()],
            model: ModelParams::OneClassSvm(svm.expect("valid")),
            threshold,
            calibration: None,
            training: None,
            source: "made for a test".into(),
        };
        let registry = &self.pipeline.registry;
        let key = &self.pipeline.config.event.key;
        let version = registry.publish(key, vec![entry], None, "test", 1).expect("publishes");
        registry.move_alias("champion", version, 1).expect("moves");
        version
    }
}

/// (seconds, id, value) as JSON, at offsets from 0.
fn messages(readings: &[(i64, i64, i64)]) -> Vec<String> {
    let text = |(t, id, value): &(i64, i64, i64)| {
        let time = tidegauge_flow::time::rfc3339((1_600_000_000 + t) * 1_000_000_000);
        format!(r#"{{"TS":"{time}","Id":{id},"Value":{value}}}"#)
    };
    readings.iter().map(text).collect()
}

fn feed(lane: &mut Lane, texts: &[String], from: usize, to: usize) {
    let input = lane.input(&Partition::new("t", 0), 0);
    let message = |(i, text): (usize, &String)| -> (i64, Vec<u8>) {
        ((from + i) as i64, text.clone().into_bytes())
    };
    let owned: Vec<_> = texts[from..to].iter().enumerate().map(message).collect();
    let messages = owned.iter().map(|(offset, payload)| {
        let offset = *offset;
        (Message { offset, timestamp_ms: None, payload: Some(payload) }, offset + 1)
    });
    lane.feed(input, messages, i64::MAX / 2).expect("feeds");
}

fn random_readings(seed: u64) -> Vec<(i64, i64, i64)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut now = 0;
    let mut reading = || {
        now += random.random_range(-4..6);
        (now.max(0), random.random_range(1..5), random.random_range(0..100))
    };
    (0..400).map(|_| reading()).collect()
}

/// The lake of an undisturbed lane over a seed's readings, and that of one with other batches and
/// commits that dies now and then: what it has not committed is gone, and is read again.
fn replayed(seed: u64, settings: &[&str]) -> (Bench, Bench) {
    let texts = messages(&random_readings(seed));
    let calm = Bench::new(settings);
    let mut lane = calm.lane();
    feed(&mut lane, &texts, 0, texts.len());
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");

    let stormy = Bench::new(settings);
    let mut random = ChaCha8Rng::seed_from_u64(seed + 1000);
    let mut lane = stormy.lane();
    let mut at = 0;
    while at < texts.len() {
        let to = (at + random.random_range(1..60)).min(texts.len());
        feed(&mut lane, &texts, at, to);
        at = to;
        match random.random_range(0..4) {
            0 => drop(lane.commit(1).expect("commits")),
            1 => {
                lane = stormy.lane();
                at = lane.position_of(&Partition::new("t", 0)).unwrap_or(0) as usize;
            }
            _ => {}
        }
    }
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    (calm, stormy)
}

#[test]
fn fm_22_replays_with_other_batches_and_commits_give_the_lake_of_an_undisturbed_run() {
    for seed in 0..12 {
        let (calm, stormy) = replayed(seed, &[]);
        assert_eq!(stormy.rows(), calm.rows(), "seed {seed}");
        assert_eq!(stormy.count("late"), calm.count("late"), "seed {seed}");
        stormy.prove();
    }
}

#[test]
fn fm_16_a_window_that_is_open_for_longer_than_anything_is_kept_survives() {
    const HOUR_US: i64 = 3_600_000_000;
    let query = r#"window.query=SELECT "Id", sum("Value") AS s FROM readings GROUP BY "Id", tumble("TS", INTERVAL '30 days')"#;
    let bench = Bench::new(&[query, "lake.keep_ledger=1h", "lake.keep_replaced=1h"]);
    let texts = messages(&(0..40).map(|hour| (hour * 3600, 1, 1)).collect::<Vec<_>>());
    let upkeep = crate::maintenance::upkeep(&bench.pipeline.config.lake.upkeep, Duration::ZERO);
    let mut deleted = 0;
    let began_us = bench.pipeline.clock.now_us();
    for (at, now_us) in (0..texts.len()).zip((1..).map(|hour| began_us + hour * HOUR_US)) {
        let mut lane = bench.lane();
        feed(&mut lane, &texts, at, at + 1);
        lane.commit(now_us).expect("commits");
        drop(lane);
        let writer = bench.pipeline.new_writer();
        let done = bench.pipeline.lake().maintain(&upkeep, Mode::Act, writer, now_us, &|_, _| ());
        deleted += done.expect("maintains").deleted_records;
    }
    assert!(deleted > 30, "only {deleted} records are gone");
    let mut lane = bench.lane();
    lane.drain().expect("drains");
    lane.commit(began_us + 41 * HOUR_US).expect("commits");
    let sums: Vec<f64> = bench.rows().into_values().map(|(_, sum, _)| sum).collect();
    assert_eq!(sums, [40.0]);
    bench.prove();
}

#[test]
fn fm_33_messages_below_the_position_are_dropped() {
    let bench = Bench::new(&[]);
    let texts = messages(&[(1, 1, 1), (2, 1, 2), (3, 1, 4)]);
    let mut lane = bench.lane();
    feed(&mut lane, &texts, 0, 2);
    feed(&mut lane, &texts, 0, 3);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let rows: Vec<_> = bench.rows().into_values().collect();
    assert_eq!(rows, [(3, 7.0, None)]);
    bench.prove();
}

#[test]
fn fm_32_a_new_lane_keeps_its_beginning_across_a_crash_before_its_first_message() {
    let bench = Bench::new(&[]);
    let partition = Partition::new("t", 0);
    let mut lane = bench.lane();
    // Where `latest` was when the lane was new.
    lane.input(&partition, 100);
    lane.commit(1).expect("commits");
    drop(lane);
    assert_eq!(bench.lane().position_of(&partition), Some(100));
    bench.prove();
}

#[test]
fn fm_12_late_readings_are_counted_and_kept_or_dropped_as_configured() {
    // The watermark after the third reading is at 18 s: the fourth and fifth are late.
    let texts = messages(&[(1, 1, 1), (4, 2, 1), (20, 1, 1), (2, 1, 1), (9, 2, 1), (19, 1, 1)]);
    for (late, kept) in [("keep", 2), ("drop", 0)] {
        let bench = Bench::new(&[&format!("window.late={late}")]);
        let mut lane = bench.lane();
        feed(&mut lane, &texts, 0, texts.len());
        lane.commit(1).expect("commits");
        assert_eq!(bench.count("late"), kept, "{late}");
        assert_eq!(lane.ledger().newest().counters.late, 2, "{late}");
        bench.prove();
    }
}

#[test]
fn fm_47_models_that_cannot_be_read_do_not_replace_good_ones() {
    let bench = Bench::new(&[]);
    let good = bench.champion(0.0);
    let mut lane = bench.lane();
    let texts = messages(&[(1, 1, 1), (8, 1, 1)]);
    feed(&mut lane, &texts, 0, 1);
    let torn = bench.champion(-10.0);
    let path = format!("{}/_tidegauge/models/sets/{torn:020}.parquet", bench.url());
    let bytes = std::fs::read(&path).expect("published");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writable");
    lane.commit(1).expect("commits");
    feed(&mut lane, &texts, 1, 2);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let sets: Vec<_> = lane.ledger().newest().model_sets.clone();
    assert_eq!(sets, [good]);
}

#[test]
fn fm_05_busy_or_behind_is_not_idle() {
    let (mut idle, start) = (IdleClock::default(), Instant::now());
    idle.evidence(start, false);
    idle.evidence(start + S(60), false);
    assert_eq!(idle.take_move(S(30)), None, "behind");
    idle.evidence(start + S(61), true);
    idle.evidence(start + S(70), true);
    idle.busy(start + S(80));
    // Older than the message: of the time before it.
    idle.evidence(start + S(79), true);
    idle.evidence(start + S(105), true);
    idle.evidence(start + S(115), true);
    assert_eq!(idle.take_move(S(30)), None, "a message came in between");
}

#[test]
fn fm_04_silence_moves_the_watermark_by_what_has_passed_and_no_second_twice() {
    let (mut idle, start) = (IdleClock::default(), Instant::now());
    idle.evidence(start, true);
    assert_eq!(idle.take_move(S(30)), None);
    idle.evidence(start + S(31), true);
    assert_eq!(idle.take_move(S(30)), Some(S(31)));
    assert_eq!(idle.take_move(S(30)), None, "no new evidence: an unreachable broker is none");
    idle.evidence(start + S(40), true);
    assert_eq!(idle.take_move(S(30)), Some(S(9)));
}
