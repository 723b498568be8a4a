//! Statuses, verdicts and refusals, row by row.

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, TimeUnit, UInt32Type, UInt64Type};
use tidegauge_flow::KeyPart;

use super::*;
use crate::calibration::Calibration;
use crate::entry::ModelEntry;
use crate::model::ModelParams;
use crate::set::ModelSet;
use crate::set::tests::{entry, header, key, key_schema};
use crate::svm::{SvmParams, SvmParts};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Sensors 0, 1, 2 = 1/a, 1/b, 1/c.
fn sensors() -> Sensors {
    let mut sensors = Sensors::new(Arc::new(key_schema()), 100);
    for tag in ["a", "b", "c"] {
        sensors.intern(&[KeyPart::Int(1), KeyPart::Str(tag)]).expect("there is room");
    }
    sensors
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Rows with the given feature columns.
fn rows(ids: &[SensorId], n_readings: &[u64], features: Vec<(&str, ArrayRef)>) -> WindowRows {
    let times = |at: i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_value(at, ids.len());
        Arc::new(times.with_timezone("UTC"))
    };
    let mut columns = sensors().columns(ids);
    columns.extend([times(0), times(5)]);
    let mut fields = key_schema().fields();
    fields.extend(["window_start", "window_end"].map(|name| Field::new(name, time(), false)));
    for (name, column) in features {
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("fits");
    WindowRows {
        sensor: ids.to_vec(),
        n_readings: n_readings.to_vec(),
        revision: vec![0; ids.len()],
        superseded: 0,
        batch,
    }
}

fn floats(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn models(entries: Vec<ModelEntry>) -> Models {
    Models::new(vec![Arc::new(ModelSet::new(header(4, None), entries).expect("good"))])
}

fn scorer(rows: &WindowRows, features: &[&str], models: Option<Models>) -> Scorer {
    Scorer::new(&rows.batch.schema(), 2, &names(features), models, 2).expect("models fit")
}

mod beside;
mod kinds;
mod swaps;

const STAMP: Stamp<'_> = Stamp { lane: "sensors-0", epoch: 8 };

#[test]
fn fm_45_rows_that_cannot_be_scored_say_why_and_are_no_anomalies() {
    let bad = [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)];
    let mut values = bad.to_vec();
    values.extend([Some(10.0), Some(99.0), Some(10.0), None, Some(99.0)]);
    let rows = rows(
        &[0, 0, 0, 0, 0, 0, 0, 0, 2],
        &[9, 9, 9, 9, 9, 9, 1, 1, 9],
        vec![("mean", floats(&values))],
    );
    let mut scorer = scorer(&rows, &[], Some(models(vec![entry(key(1, "a"), 10.0)])));
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let text = |name: &str| out[name].as_string::<i32>().iter().map(|s| s.map(String::from));
    let status: Vec<_> = text("status").flatten().collect();
    assert_eq!(status[..4], ["invalid_features"; 4]);
    assert_eq!(status[4..], ["ok", "ok", "too_few_readings", "too_few_readings", "no_model"]);
    let anomaly: Vec<_> = out["is_anomaly"].as_boolean().iter().collect();
    let expected = [None, None, None, None, Some(false), Some(true), None, None, None];
    assert_eq!(anomaly, expected);
    for name in ["score", "threshold"] {
        let nulls: Vec<bool> = (0..9).map(|i| out[name].is_null(i)).collect();
        assert_eq!(nulls, anomaly.iter().map(Option::is_none).collect::<Vec<_>>(), "{name}");
    }
    let sets: Vec<_> = out["model_set"].as_primitive::<UInt64Type>().iter().collect();
    assert_eq!(sets, [vec![Some(4); 8], vec![None]].concat());
    let reasons: Vec<_> = text("reason").collect();
    assert_eq!(reasons[5].as_deref(), Some("mean"));
    assert_eq!(reasons.iter().flatten().count(), 1);
    assert_eq!(out["severity"].null_count(), 9, "not calibrated");
    let tally = scorer.tally();
    assert_eq!((tally.rows, tally.anomalies), ([2, 0, 1, 2, 4, 0], 1));
    assert_eq!((scorer.missing(), scorer.model_sets()), (1, &[4][..]));
}

#[test]
fn predictions_have_the_promised_columns_in_the_promised_order() {
    let rows = rows(&[1], &[3], vec![("mean", floats(&[Some(1.0)])), ("n", floats(&[None]))]);
    let mut scorer = scorer(&rows, &["mean"], None);
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let found: Vec<String> =
        out.schema().fields().iter().map(|f| format!("{}:{}", f.name(), f.data_type())).collect();
    let expected = [
        "Device:Int64",
        "Tag:Utf8",
        "window_start:Timestamp(µs, \"UTC\")",
        "window_end:Timestamp(µs, \"UTC\")",
        "mean:Float64",
        "n:Float64",
        "score:Float64",
        "threshold:Float64",
        "is_anomaly:Boolean",
        "severity:Float64",
        "status:Utf8",
        "reason:Utf8",
        "model_set:UInt64",
        "revision:UInt32",
        "n_readings:UInt64",
        "lane:Utf8",
        "epoch:UInt64",
    ];
    assert_eq!(found, expected);
    assert_eq!(out["revision"].as_primitive::<UInt32Type>().value(0), 0);
    assert_eq!(out["n_readings"].as_primitive::<UInt64Type>().value(0), 3);
    assert_eq!(out["lane"].as_string::<i32>().value(0), "sensors-0");
    assert_eq!(out["epoch"].as_primitive::<UInt64Type>().value(0), 8);
    assert_eq!(
        scorer.prediction_schema(),
        &prediction_schema(&rows.batch.schema(), Views::default())
    );
    assert!(scorer.model_sets().is_empty());
}

#[test]
fn fm_44_features_of_another_number_order_or_name_are_refused_with_both_lists() {
    let two = rows(&[0], &[9], vec![("mean", floats(&[None])), ("sd", floats(&[None]))]);
    let schema = two.batch.schema();
    let check = |features: &[&str], says: &str| {
        let mut of_two = entry(key(1, "a"), 0.0);
        of_two.features = names(&["mean", "sd"]);
        of_two.model = ModelParams::OneClassSvm(wide_svm(2));
        let models = Some(models(vec![of_two]));
        let error = Scorer::new(&schema, 2, &names(features), models, 0).err();
        let error = error.map_or("fits".to_string(), |e| e.to_string());
        assert!(error.contains(says), "{features:?}: {error}");
    };
    check(&[], "fits");
    check(&["mean", "sd"], "fits");
    check(&["sd", "mean"], r#"sensor 1/a in set 4 has the features ["mean", "sd"]"#);
    check(&["sd", "mean"], r#"the query gives ["sd", "mean"]"#);
    check(&["mean"], r#"the query gives ["mean"]"#);
    check(&["median"], r#"feature "median" is not in the query"#);
    check(&["Tag"], r#"feature "Tag" is not in the query"#);
    check(&["sd", "sd"], "is named twice");
}

#[test]
fn fm_49_models_of_other_keys_are_refused_and_models_without_sensors_are_harmless() {
    let good = rows(&[0], &[9], vec![("mean", floats(&[Some(0.0)]))]);
    let unseen = Some(models(vec![entry(key(7, "never"), 0.0)]));
    let mut scorer = scorer(&good, &[], unseen.clone());
    let out = scorer.score(&good, &sensors(), &STAMP).expect("scores");
    assert_eq!(out["status"].as_string::<i32>().value(0), "no_model");
    let mut fields: Vec<Field> =
        good.batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields[0] = Field::new("Machine", DataType::Int64, false);
    let error = Scorer::new(&Schema::new(fields), 2, &[], unseen, 0).expect_err("other keys");
    let says = "(Device int64, Tag string), here they are named by (Machine int64, Tag string)";
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn a_refused_replacement_leaves_the_models_in_force() {
    let rows = rows(&[0, 1], &[9, 9], vec![("mean", floats(&[Some(10.0), Some(20.0)]))]);
    let mut scorer = scorer(&rows, &[], Some(models(vec![entry(key(1, "a"), 10.0)])));
    scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(scorer.missing(), 1);
    let mut other = entry(key(1, "a"), 10.0);
    other.features = names(&["median"]);
    assert!(scorer.replace_models(Some(models(vec![other]))).is_err());
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(out["status"].as_string::<i32>().value(0), "ok");
    let both = vec![entry(key(1, "a"), 10.0), entry(key(1, "b"), 20.0)];
    scorer.replace_models(Some(models(both))).expect("fits");
    assert_eq!(scorer.missing(), 0);
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(out["status"].as_string::<i32>().value(1), "ok");
}

#[test]
fn a_decision_of_exactly_zero_is_an_anomaly_with_a_positive_zero() {
    let svm = SvmParams::new(SvmParts {
        mean: vec![5.0],
        scale: vec![1.0],
        vectors: vec![0.0],
        alpha: vec![0.025],
        gamma: 0.01,
        rho: 0.025,
        ..SvmParts::default()
    })
    .expect("the numbers are a model");
    let mut entry = entry(key(1, "a"), 0.0);
    entry.model = ModelParams::OneClassSvm(svm);
    let rows = rows(&[0], &[9], vec![("mean", floats(&[Some(5.0)]))]);
    let mut scorer = scorer(&rows, &[], Some(models(vec![entry])));
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let score = out["score"].as_primitive::<Float64Type>().value(0);
    assert_eq!(score.to_bits(), 0.0f64.to_bits());
    assert!(out["is_anomaly"].as_boolean().value(0));
}

#[test]
fn numbers_of_every_type_are_features_and_texts_are_not() {
    let decimals = Decimal128Array::from(vec![150]).with_precision_and_scale(10, 1);
    let features: Vec<(&str, ArrayRef)> = vec![
        ("count", Arc::new(Int64Array::from(vec![7]))),
        ("word", Arc::new(StringArray::from(vec!["x"]))),
        ("small", Arc::new(Float32Array::from(vec![0.5]))),
        ("money", Arc::new(decimals.expect("fits"))),
    ];
    let rows = rows(&[0], &[9], features);
    let mut wide = entry(key(1, "a"), 0.0);
    wide.features = names(&["count", "small", "money"]);
    wide.model = ModelParams::OneClassSvm(wide_svm(3));
    let model = wide.model.build().expect("builds");
    let mut scorer = scorer(&rows, &[], Some(models(vec![wide])));
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let mut expected = [0.0];
    model.scores(&[7.0, 0.5, 15.0], &mut expected);
    assert_eq!(out["score"].as_primitive::<Float64Type>().value(0), expected[0]);
    let schema = rows.batch.schema();
    let error = Scorer::new(&schema, 2, &names(&["word"]), None, 0).expect_err("a text");
    assert!(error.to_string().contains("is no number"), "{error}");
}

#[test]
fn reasons_name_the_features_that_are_off_even_where_the_score_saturates() {
    let features = ["a", "b", "c"];
    for (row, says) in [
        ([0.0, 1e4, 0.0], "b"),
        ([0.0, 2e4, 1e4], "b; c"),
        ([1e4, 1e4, 1e4], "a; b; c"),
        ([4.0, 0.0, -9.0], "c; a"),
    ] {
        let mut wide = entry(key(1, "a"), 0.0);
        wide.features = names(&features);
        wide.model = ModelParams::OneClassSvm(wide_svm(3));
        wide.calibration = Calibration::from_scores(vec![-1.0, -0.9, -0.8]);
        let columns = features.into_iter().zip(row.map(|v| floats(&[Some(v)]))).collect();
        let rows = rows(&[0], &[9], columns);
        let mut scorer = scorer(&rows, &[], Some(models(vec![wide])));
        let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
        assert_eq!(out["reason"].as_string::<i32>().value(0), says, "{row:?}");
        assert_eq!(out["severity"].as_primitive::<Float64Type>().value(0), 4f64.log10());
    }
}

#[test]
fn a_feature_whose_name_would_tear_a_reason_apart_is_refused() {
    let rows = rows(&[0], &[9], vec![("a; b", floats(&[Some(0.0)])), ("a;b", floats(&[None]))]);
    let error = Scorer::new(&rows.batch.schema(), 2, &[], None, 1).expect_err("a torn name");
    assert!(error.to_string().contains(r#""a; b" holds "; ""#), "{error}");
    Scorer::new(&rows.batch.schema(), 2, &names(&["a;b"]), None, 1).expect("a name like others");
}

#[test]
fn rows_with_other_columns_than_promised_are_refused() {
    let promised = rows(&[0], &[9], vec![("mean", floats(&[Some(0.0)]))]);
    let mut scorer = scorer(&promised, &[], None);
    let other = rows(&[0], &[9], vec![("median", floats(&[Some(0.0)]))]);
    assert!(matches!(scorer.score(&other, &sensors(), &STAMP), Err(ScoreError::Rows(_))));
    let mut short = promised.clone();
    short.n_readings.clear();
    assert!(matches!(scorer.score(&short, &sensors(), &STAMP), Err(ScoreError::Rows(_))));
    let none = rows(&[], &[], vec![("mean", floats(&[]))]);
    assert_eq!(scorer.score(&none, &sensors(), &STAMP).expect("scores").num_rows(), 0);
}

/// Normal around 0 in every feature, none more important than another.
fn wide_svm(width: usize) -> SvmParams {
    SvmParams::new(SvmParts {
        mean: vec![0.0; width],
        scale: vec![1.0; width],
        vectors: vec![0.0; width],
        alpha: vec![1.0],
        gamma: 0.1,
        rho: 0.9,
        ..SvmParts::default()
    })
    .expect("the numbers are a model")
}
