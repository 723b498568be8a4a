//! The index against a naive one that keeps every row.

use std::collections::BTreeMap;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge_flow::{KeyColumn, KeyType};
use tidegauge_serve::console::{KeyValue, Order, SensorRow, SensorSort, SensorsQuery};

use super::*;

#[derive(Debug, Clone)]
struct Row {
    key: (String, i64),
    end_us: i64,
    revision: u32,
    score: Option<f64>,
    severity: Option<f64>,
    is_anomaly: Option<bool>,
    status: &'static str,
}

const THRESHOLD: f64 = 3.0;

fn key() -> Vec<String> {
    vec!["Plant".into(), "Id".into()]
}

fn schema() -> Arc<KeySchema> {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let columns = vec![column("Plant", KeyType::String), column("Id", KeyType::Int64)];
    Arc::new(KeySchema::new(columns))
}

fn batch(rows: &[Row]) -> RecordBatch {
    fn column<T, A: FromIterator<T> + arrow::array::Array + 'static>(
        rows: &[Row],
        get: impl FnMut(&Row) -> T,
    ) -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<A>())
    }
    let times = |shift: i64| -> ArrayRef {
        let times: TimestampMicrosecondArray =
            rows.iter().map(|r| Some(r.end_us - shift)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let text = |_: &Row| Some("mean; other");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Plant", column::<_, StringArray>(rows, |r| Some(r.key.0.clone()))),
        ("Id", column::<_, Int64Array>(rows, |r| Some(r.key.1))),
        ("window_start", times(5)),
        ("window_end", times(0)),
        ("mean", column::<_, Float64Array>(rows, |r| r.score.map(|score| score * 2.0))),
        ("revision", column::<_, UInt32Array>(rows, |r| Some(r.revision))),
        ("score", column::<_, Float64Array>(rows, |r| r.score)),
        ("threshold", column::<_, Float64Array>(rows, |r| r.score.map(|_| THRESHOLD))),
        ("severity", column::<_, Float64Array>(rows, |r| r.severity)),
        ("is_anomaly", column::<_, BooleanArray>(rows, |r| r.is_anomaly)),
        ("status", column::<_, StringArray>(rows, |r| Some(r.status))),
        ("reason", column::<_, StringArray>(rows, text)),
        ("model_set", column::<_, UInt64Array>(rows, |r| r.score.map(|_| 7u64))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn random_rows(random: &mut ChaCha8Rng) -> Vec<Row> {
    let sensors: Vec<(String, i64)> = (0..random.random_range(1..30))
        .map(|_| (["North", "south"][random.random_range(0..2)].into(), random.random_range(0..40)))
        .collect();
    let mut rows: BTreeMap<((String, i64), i64, u32), Row> = BTreeMap::new();
    for _ in 0..random.random_range(1..400) {
        let key = sensors[random.random_range(0..sensors.len())].clone();
        // Two days, so that some are too old.
        let end_us = random.random_range(0..96) * 30 * 60_000_000;
        let revision = if random.random_bool(0.8) { 0 } else { random.random_range(1..4) };
        let score = random.random_bool(0.8).then(|| f64::from(random.random_range(0..8)));
        let is_anomaly = score.map(|score| score >= THRESHOLD);
        let severity = score.filter(|_| random.random_bool(0.7)).map(|score| score / 2.0);
        let status = if score.is_some() { "ok" } else { "no_model" };
        let row = Row { key: key.clone(), end_us, revision, score, severity, is_anomaly, status };
        rows.insert((key, end_us, revision), row);
    }
    rows.into_values().collect()
}

/// Of each window what is true of it.
fn truth(rows: &[Row]) -> BTreeMap<((String, i64), i64), Row> {
    let mut truth: BTreeMap<_, Row> = BTreeMap::new();
    for row in rows {
        let place = truth.entry((row.key.clone(), row.end_us)).or_insert_with(|| row.clone());
        if row.revision >= place.revision {
            *place = row.clone();
        }
    }
    truth
}

/// The rows in an order of their own, some of them twice, in several batches.
fn fed(rows: &[Row], random: &mut ChaCha8Rng) -> Index {
    let mut order: Vec<Row> = rows.to_vec();
    order.extend(rows.iter().filter(|_| random.random_bool(0.5)).cloned());
    order.shuffle(random);
    let ends = || rows.iter().map(|row| row.end_us);
    let (newest, oldest) = (ends().max(), ends().min().unwrap_or(0));
    let mut index = Index::new(schema());
    index.move_on(newest, oldest, i64::MIN);
    for part in order.chunks(37) {
        let batch = batch(part);
        index.add(&Columns::of(&batch, &key()).expect("columns"));
        let features = ["mean".to_owned()];
        index.add_anomalies(&batch, &key(), &features, News::Known).expect("columns");
    }
    index.move_on(newest, oldest, i64::MIN);
    index.settle();
    index
}

/// What should be listed, by key.
fn expected(rows: &[Row]) -> Vec<SensorRow> {
    let newest = rows.iter().map(|row| row.end_us).max().unwrap_or(0);
    let mut sensors: BTreeMap<(String, i64), SensorRow> = BTreeMap::new();
    for row in truth(rows).into_values().filter(|row| row.end_us > newest - HORIZON_US) {
        let before = sensors.get(&row.key).map_or(0, |sensor| sensor.anomalies);
        let is_late = row.end_us > newest - HOUR_US && row.is_anomaly == Some(true);
        let shown = SensorRow {
            key: vec![KeyValue::Text(row.key.0.clone()), KeyValue::Int(row.key.1)],
            window_end_us: row.end_us,
            score: row.score,
            threshold: row.score.map(|_| THRESHOLD),
            severity: row.severity,
            is_anomaly: row.is_anomaly,
            status: row.status.into(),
            anomalies: before + u32::from(is_late),
        };
        // Windows come by rising time.
        sensors.insert(row.key, shown);
    }
    sensors.into_values().collect()
}

fn naive(mut rows: Vec<SensorRow>, query: &SensorsQuery) -> (usize, Vec<SensorRow>) {
    rows.retain(|row| {
        let [KeyValue::Text(plant), KeyValue::Int(id)] = &row.key[..] else { panic!("a key") };
        let text = format!("{plant}/{id}").to_lowercase();
        text.contains(&query.search.to_lowercase())
            && (!query.only_anomalous || row.is_anomaly == Some(true))
    });
    let margin = |row: &SensorRow| Some(row.score? - row.threshold?);
    let class = |row: &SensorRow| -> (u8, f64) {
        let (class, number) = match query.sort {
            SensorSort::Severity if row.severity.is_some() => (0, row.severity),
            SensorSort::Severity => (1, margin(row)),
            SensorSort::Score => (0, row.score),
            SensorSort::WindowEnd => (0, Some(row.window_end_us as f64)),
            SensorSort::Anomalies => (0, Some(f64::from(row.anomalies))),
            SensorSort::Key => return (0, 0.0),
        };
        number.map_or((2, 0.0), |number| (class, number))
    };
    // Stable: those that are equal stay in the order of their keys.
    if query.sort == SensorSort::Key && query.order == Order::Desc {
        rows.reverse();
    }
    rows.sort_by(|a, b| {
        let ((class_a, a), (class_b, b)) = (class(a), class(b));
        let numbers = if query.order == Order::Asc { a.total_cmp(&b) } else { b.total_cmp(&a) };
        class_a.cmp(&class_b).then(numbers)
    });
    let matching = rows.len();
    (matching, rows.into_iter().skip(query.offset).take(query.limit).collect())
}

#[test]
fn pages_are_those_of_a_naive_list_whatever_comes_first_or_twice() {
    let sorts = [
        SensorSort::Severity,
        SensorSort::Score,
        SensorSort::WindowEnd,
        SensorSort::Anomalies,
        SensorSort::Key,
    ];
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rows = random_rows(&mut random);
        let (index, all) = (fed(&rows, &mut random), expected(&rows));
        for sort in sorts {
            let query = SensorsQuery {
                search: ["", "OUT", "th/1", "none"][random.random_range(0..4)].into(),
                only_anomalous: random.random_bool(0.3),
                sort,
                order: [Order::Asc, Order::Desc][random.random_range(0..2)],
                offset: random.random_range(0..10),
                limit: random.random_range(1..12),
            };
            let (matching, page) = naive(all.clone(), &query);
            let found = index.list(&query);
            assert_eq!(found.rows, page, "seed {seed}, {query:?}");
            assert_eq!((found.total, found.matching), (all.len(), matching), "seed {seed}");
        }
        let sums = index.sums();
        let count = |is: fn(&SensorRow) -> bool| all.iter().filter(|row| is(row)).count();
        assert_eq!(sums.anomalous, count(|row| row.is_anomaly == Some(true)), "seed {seed}");
        assert_eq!(sums.no_model, count(|row| row.status == "no_model"), "seed {seed}");
        let late: u64 = all.iter().map(|row| u64::from(row.anomalies)).sum();
        assert_eq!(sums.anomalies_last_hour, late, "seed {seed}");
    }
}

#[test]
fn anomalies_in_memory_are_those_that_no_revision_took_back() {
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rows = random_rows(&mut random);
        let index = fed(&rows, &mut random);
        let newest = rows.iter().map(|row| row.end_us).max().unwrap_or(0);
        let before = newest - random.random_range(0..4) * HOUR_US;
        let (found, after) = index.anomalies(None, before);
        let mut found: Vec<_> =
            found.iter().map(|a| (a.window_end_us, a.key.clone(), a.revision, a.score)).collect();
        found.sort_by_key(|a| (a.0, a.1.clone()));
        let mut wanted: Vec<_> = truth(&rows)
            .into_values()
            .filter(|r| r.is_anomaly == Some(true) && r.end_us < before && r.end_us > after)
            .map(|r| {
                let key = vec![KeyValue::Text(r.key.0), KeyValue::Int(r.key.1)];
                (r.end_us, key, r.revision, r.score)
            })
            .collect();
        wanted.sort_by_key(|a| (a.0, a.1.clone()));
        assert_eq!(found, wanted, "seed {seed}");
    }
}

#[test]
fn a_reason_has_the_values_of_the_querys_columns_only() {
    let row = Row {
        key: ("a".into(), 1),
        end_us: 50,
        revision: 0,
        score: Some(4.0),
        severity: None,
        is_anomaly: Some(true),
        status: "ok",
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let index = fed(&[row], &mut random);
    let (found, _) = index.anomalies(None, i64::MAX);
    let reason: Vec<_> = found[0].reason.iter().map(|r| (r.feature.as_str(), r.value)).collect();
    assert_eq!(reason, [("mean", Some(8.0)), ("other", None)]);
    assert_eq!((found[0].window_start_us, found[0].model_set), (45, Some(7)));
}

#[test]
fn more_sensors_than_there_is_room_for_are_noticed() {
    let row = |id: i64| Row {
        key: ("a".into(), id),
        end_us: 50,
        revision: 0,
        score: None,
        severity: None,
        is_anomaly: None,
        status: "no_model",
    };
    let mut index = Index::bounded(schema(), 2);
    index.move_on(Some(50), 0, i64::MIN);
    let (two, third) = (batch(&[row(1), row(2)]), batch(&[row(3)]));
    index.add(&Columns::of(&two, &key()).expect("columns"));
    assert!(!index.is_full());
    index.add(&Columns::of(&third, &key()).expect("columns"));
    index.settle();
    assert!(index.is_full());
    assert_eq!(index.sums().sensors, 2);
}

#[test]
fn followers_see_each_fresh_anomaly_once_and_strangers_begin_now() {
    let row = |end_us: i64| Row {
        key: ("a".into(), 1),
        end_us,
        revision: 0,
        score: Some(5.0),
        severity: None,
        is_anomaly: Some(true),
        status: "ok",
    };
    let mut index = Index::new(schema());
    index.move_on(Some(100), 0, i64::MIN);
    let add = |index: &mut Index, ends: &[i64], news| {
        let rows: Vec<_> = ends.iter().map(|end| row(*end)).collect();
        let batch = batch(&rows);
        index.add_anomalies(&batch, &key(), &[], news).expect("columns");
    };
    add(&mut index, &[1], News::Known);
    let (none, cursor) = index.since(0, 10);
    assert!(none.is_empty());
    add(&mut index, &[2, 3, 4], News::Fresh);
    let ends = |found: &[Anomaly]| found.iter().map(|a| a.window_end_us).collect::<Vec<_>>();
    let (found, next) = index.since(cursor, 2);
    assert_eq!(ends(&found), [2, 3]);
    let (found, next) = index.since(next, 2);
    assert_eq!(ends(&found), [4]);
    assert!(index.since(next, 2).0.is_empty());
    // Of another process, or before it was started anew.
    assert!(index.since(next + 100, 2).0.is_empty());
    let many: Vec<i64> = (0..RING_MAX as i64 + 5).collect();
    add(&mut index, &many, News::Fresh);
    let (found, _) = index.since(next, usize::MAX);
    assert_eq!((found.len(), found[0].window_end_us), (RING_MAX, 5));
}
