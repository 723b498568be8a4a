//! A backtest against a stream that is told the same models at the same rows.

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit, UInt64Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge_flow::{KeyColumn, KeyType, names};

use super::*;
use crate::follow::Follower;

const MINUTE: i64 = 60_000_000;

fn key_schema() -> Arc<KeySchema> {
    Arc::new(KeySchema::new(vec![KeyColumn { name: "Id".into(), kind: KeyType::Int64 }]))
}

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("Id", DataType::Int64, false),
        Field::new(names::WINDOW_START, time(), false),
        Field::new(names::WINDOW_END, time(), false),
        Field::new("mean", DataType::Float64, true),
    ]))
}

/// Windows of two sensors, mixed: a daily wave with noise, and a step that stays.
fn closed(rows: usize) -> (Vec<WindowRows>, Sensors) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut sensors = Sensors::new(key_schema(), 10);
    for id in [11, 22] {
        sensors.intern(&[tidegauge_flow::KeyPart::Int(id)]);
    }
    let window = |i: usize| {
        let end = i as i64 * 30 * MINUTE;
        let mut value = |id: usize| {
            let wave = (i as f64 / 48.0 * std::f64::consts::TAU).sin();
            let step = if id == 1 && i > rows * 3 / 4 { 6.0 } else { 0.0 };
            wave + step + rng.random_range(-0.3..0.3)
        };
        let bad = i % 97 == 96;
        let values = [Some(value(0)), (!bad).then(|| value(1))];
        let times = |at: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_value(at, 2).with_timezone("UTC"))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![11, 22])),
            times(end - 30 * MINUTE),
            times(end),
            Arc::new(Float64Array::from(values.to_vec())),
        ];
        WindowRows {
            sensor: vec![0, 1],
            n_readings: vec![5, 5],
            revision: vec![0, 0],
            superseded: 0,
            batch: RecordBatch::try_new(schema(), columns).expect("fits"),
        }
    };
    ((0..rows).map(window).collect(), sensors)
}

fn backtest(rows: u64) -> Backtest {
    let features = |text: &str| vec![text.to_string()];
    let settings = OnsetSettings { features: features("onset(mean)"), ..OnsetSettings::default() };
    Backtest {
        schema: schema(),
        key: key_schema(),
        features: features("state(mean)"),
        train: crate::TrainOptions::in_context().into(),
        training: TrainingRows::Rows(rows),
        onset: Some((settings, RefitOptions::default())),
        min_readings: 1,
        left_out: Vec::new(),
    }
}

fn bits(batches: &[RecordBatch], name: &str) -> Vec<Option<u64>> {
    let column = |batch: &RecordBatch| batch.column_by_name(name).expect(name).clone();
    let columns: Vec<ArrayRef> = batches.iter().map(column).collect();
    let values = columns.iter().flat_map(|c| c.as_primitive::<Float64Type>().iter());
    values.map(|value| value.map(f64::to_bits)).collect()
}

const STAMP: Stamp<'_> = Stamp { lane: "test", epoch: 1 };

#[test]
fn fm_56_a_backtest_is_what_a_stream_says_with_the_same_models_at_the_same_rows() {
    let (closed, sensors) = closed(900);
    let backtest = backtest(200);
    let tried = backtest.run(&closed, &sensors, &STAMP, &|_| {}).expect("runs");
    assert_eq!(tried.iter().map(|t| t.key.to_string()).collect::<Vec<_>>(), ["11", "22"]);
    // The stream: one scorer for both sensors, window by window, models as they fall due; saved and
    // taken up by another scorer in the middle.
    let new = || backtest.scorer(200).expect("good settings");
    let mut scorer = new();
    let mut follower =
        Follower::new(&scorer, &RefitOptions::default(), 2, None).expect("good options");
    let mut newest: std::collections::BTreeMap<SensorKey, ModelEntry> = Default::default();
    let champions = tried.iter().map(|t| t.champion.clone().expect("trained")).collect::<Vec<_>>();
    let set = |entries: Vec<ModelEntry>, version| {
        let key = key_schema().as_ref().clone();
        let note = String::new();
        let header = SetHeader { version, base: None, key, note, created_us: 0 };
        Some(Models::new(vec![Arc::new(ModelSet::new(header, entries).expect("good"))]))
    };
    let mut streamed = Vec::new();
    for (i, rows) in closed.iter().enumerate() {
        if i == 200 {
            scorer.replace_models(set(champions.clone(), 1)).expect("fits");
        }
        streamed.push(scorer.score(rows, &sensors, &STAMP).expect("scores"));
        for id in 0..2 {
            let key = sensors.key(id);
            let part = rows.batch.slice(id as usize, 1);
            let base = scorer.base_rows(key.clone(), &part).expect("columns");
            follower.push(&key, base.window_end_us[0], &base.rows, false).expect("columns");
        }
        for (key, fit) in follower.fit(10) {
            newest.insert(key, fit.expect("fits"));
            let all = newest.values().cloned().collect();
            scorer.replace_onset_models(set(all, i as u64 + 2)).expect("fits");
        }
        if i == 500 {
            let saved = scorer.remembered().expect("saves").expect("remembers").encode();
            let mut other = new();
            other.replace_models(set(champions.clone(), 1)).expect("fits");
            let all = newest.values().cloned().collect();
            other.replace_onset_models(set(all, i as u64 + 2)).expect("fits");
            other.restore(&saved.expect("writes"), &sensors).expect("restores");
            scorer = other;
        }
    }
    for (id, tried) in tried.iter().enumerate() {
        let stream: Vec<RecordBatch> = streamed.iter().map(|batch| batch.slice(id, 1)).collect();
        for column in ["score", "novelty"] {
            let (found, expected) = (bits(&stream, column), bits(&tried.predictions, column));
            assert_eq!(found, expected, "{column} of sensor {id}");
            assert!(expected.iter().flatten().count() > 600, "{column} of sensor {id}");
        }
        let alarms = |batches: &[RecordBatch]| -> Vec<Option<bool>> {
            let columns = batches.iter().map(|b| b.column_by_name("alarm").expect("there").clone());
            columns.flat_map(|c| c.as_boolean().iter().collect::<Vec<_>>()).collect()
        };
        assert_eq!(alarms(&stream), alarms(&tried.predictions), "sensor {id}");
        let raised = alarms(&stream).iter().filter(|alarm| **alarm == Some(true)).count();
        assert!(id == 0 || (1..=4).contains(&raised), "sensor {id} raised {raised}");
    }
}

#[test]
fn no_row_is_judged_by_a_model_that_has_seen_it() {
    let (closed, sensors) = closed(500);
    let tried = backtest(200).run(&closed, &sensors, &STAMP, &|_| {}).expect("runs");
    for tried in &tried {
        let score = bits(&tried.predictions, "score");
        assert!(score[..200].iter().all(Option::is_none), "training rows have no score");
        let entry = tried.champion.as_ref().expect("trained");
        assert_eq!(entry.training.as_ref().expect("known").rows, 200);
        let novelty = bits(&tried.predictions, "novelty");
        assert!(novelty[..80].iter().all(Option::is_none), "the first fit is after 0.4 x 200 rows");
        // Bad rows of the second sensor count for nothing, so its fits come later.
        let first = novelty.iter().position(Option::is_some).expect("fitted");
        assert!((80..=81).contains(&first), "{first}");
        let sets =
            tried.predictions.iter().map(|b| b.column_by_name("novelty_set").expect("there"));
        let sets: Vec<Option<u64>> =
            sets.flat_map(|c| c.as_primitive::<UInt64Type>().iter().collect::<Vec<_>>()).collect();
        assert_eq!((sets[first], tried.refits), (Some(1), (5, 0)), "80, 180, 280, 380, 480");
    }
}

#[test]
fn a_sensor_that_cannot_be_trained_says_why_and_the_others_go_on() {
    let (mut closed, sensors) = closed(60);
    for rows in &mut closed[..40] {
        let bad = Float64Array::from(vec![None, Some(1.0)]);
        let mut columns = rows.batch.columns().to_vec();
        columns[3] = Arc::new(bad);
        rows.batch = RecordBatch::try_new(schema(), columns).expect("fits");
    }
    let mut backtest = backtest(40);
    (backtest.onset, backtest.features) = (None, vec!["mean".into()]);
    let tried = backtest.run(&closed, &sensors, &STAMP, &|_| {}).expect("runs");
    let reason = tried[0].champion.as_ref().expect_err("all training rows are bad").to_string();
    assert!(reason.contains("0 of its 40 rows are usable"), "{reason}");
    assert!(tried[1].champion.is_ok());
    let rows: usize = tried.iter().flat_map(|t| &t.predictions).map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 120);
}

#[test]
fn rows_that_something_was_wrong_with_train_no_champion() {
    let (closed, sensors) = closed(200);
    let whole = backtest(100).run(&closed, &sensors, &STAMP, &|_| {}).expect("runs");
    let mut without = backtest(100);
    // Windows 40 to 49 of the first sensor, each of 30 minutes.
    let event = |id, from_us, to_us| Event { key: vec![Some(KeyValue::Int(id))], from_us, to_us };
    without.left_out = vec![event(11, 40 * 30 * MINUTE - 1, 48 * 30 * MINUTE + 1)];
    (without.onset, without.features) = (None, vec!["mean".into()]);
    let tried = without.run(&closed, &sensors, &STAMP, &|_| {}).expect("runs");
    let rows = |tried: &[Tried], of: usize| {
        let entry = tried[of].champion.as_ref().expect("trained");
        let training = entry.training.as_ref().expect("known");
        (training.rows, training.rows_used)
    };
    assert_eq!(rows(&tried, 0), (100, 90));
    // The other one has a bad row of its own among its first hundred.
    assert_eq!(rows(&tried, 1).1, 99);
    assert_eq!(rows(&whole, 0).0, 100);
}
