//! A challenger's columns, and what stands in for sensors without a model of their own.

use tidegauge_flow::{KeyColumn, KeyType, KeyValue, SensorKey};

use super::*;
use crate::limits::Limit;
use crate::set::SetHeader;

fn set(version: u64, entries: Vec<ModelEntry>) -> Models {
    let header = header(version, None);
    Models::new(vec![Arc::new(ModelSet::new(header, entries).expect("good"))])
}

/// Models of devices.
fn of_devices(version: u64, levels: &[(i64, f64)]) -> Models {
    let key = KeySchema::new(vec![KeyColumn { name: "Device".into(), kind: KeyType::Int64 }]);
    let header = SetHeader { key, ..header(version, None) };
    let key = |device: i64| SensorKey(Box::new([KeyValue::Int(device)]));
    let entries = levels.iter().map(|(device, level)| entry(key(*device), *level)).collect();
    Models::new(vec![Arc::new(ModelSet::new(header, entries).expect("good"))])
}

fn limit(only: &[(&str, KeyValue)], low: Option<f64>, high: Option<f64>) -> FallbackLimit {
    let only = only.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    FallbackLimit { feature: "mean".into(), limit: Limit { low, high }, only }
}

fn tag(tag: &str) -> (&'static str, KeyValue) {
    ("Tag", KeyValue::Str(tag.into()))
}

/// Some rows of each sensor, all with many readings.
fn means(of: &[(SensorId, f64)]) -> WindowRows {
    let ids: Vec<SensorId> = of.iter().map(|(id, _)| *id).collect();
    let values: Vec<Option<f64>> = of.iter().map(|(_, value)| Some(*value)).collect();
    rows(&ids, &vec![9; of.len()], vec![("mean", floats(&values))])
}

fn texts(out: &RecordBatch, name: &str) -> Vec<Option<String>> {
    out[name].as_string::<i32>().iter().map(|text| text.map(String::from)).collect()
}

fn statuses(out: &RecordBatch) -> Vec<String> {
    texts(out, "status").into_iter().flatten().collect()
}

fn sets(out: &RecordBatch, name: &str) -> Vec<Option<u64>> {
    out[name].as_primitive::<UInt64Type>().iter().collect()
}

fn flags(out: &RecordBatch, name: &str) -> Vec<Option<bool>> {
    out[name].as_boolean().iter().collect()
}

#[test]
fn fm_45_a_challenger_judges_beside_the_champion_and_is_null_where_it_has_no_verdict() {
    let values = [Some(10.0), Some(20.0), None, Some(10.0), Some(10.0), Some(10.0)];
    let rows = rows(&[0, 0, 0, 0, 1, 2], &[9, 9, 9, 1, 9, 9], vec![("mean", floats(&values))]);
    let champion = set(4, vec![entry(key(1, "a"), 10.0), entry(key(1, "b"), 10.0)]);
    let challenger = set(6, vec![entry(key(1, "a"), 20.0), entry(key(1, "c"), 10.0)]);
    let alone = scorer(&rows, &[], Some(champion.clone()));
    let mut scorer = alone.with_challenger(Some(challenger.clone())).expect("fits");
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(flags(&out, "is_anomaly"), [no, yes, None, None, no, None]);
    assert_eq!(flags(&out, "challenger_is_anomaly"), [yes, no, None, None, None, no]);
    assert_eq!(sets(&out, "challenger_set"), [Some(6), Some(6), None, None, None, Some(6)]);
    let scores = out["challenger_score"].as_primitive::<Float64Type>();
    let nulls: Vec<bool> = (0..6).map(|row| scores.is_null(row)).collect();
    assert_eq!(nulls, [false, false, true, true, true, false]);
    // The challenger of sensor 0 says of 20 what the champion says of 10.
    let own = out["score"].as_primitive::<Float64Type>();
    assert_eq!(scores.value(1).to_bits(), own.value(0).to_bits());
    let tally = scorer.tally();
    assert_eq!((tally.challenged, tally.agreed, tally.anomalies), (2, 0, 1));
    assert_eq!((scorer.challenger_sets(), scorer.model_sets()), (&[6][..], &[4][..]));
    scorer.replace_challenger_models(Some(champion)).expect("fits");
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(flags(&out, "challenger_is_anomaly"), flags(&out, "is_anomaly"));
    let tally = scorer.tally();
    assert_eq!((tally.challenged, tally.agreed), (5, 3));
}

#[test]
fn the_champions_columns_are_the_same_with_and_without_what_stands_beside_it() {
    let rows = means(&[(0, 10.0), (1, 12.0), (2, 30.0), (0, 13.0)]);
    let champion = set(4, vec![entry(key(1, "a"), 10.0), entry(key(1, "c"), 10.0)]);
    let mut alone = scorer(&rows, &[], Some(champion.clone()));
    let plain = alone.score(&rows, &sensors(), &STAMP).expect("scores");
    let settings = OnsetSettings { features: names(&["mean"]), ..OnsetSettings::default() };
    let all = scorer(&rows, &[], Some(champion.clone())).with_onset(&settings, None);
    let mut all = all.and_then(|s| s.with_challenger(Some(champion))).expect("fits");
    let wide = all.score(&rows, &sensors(), &STAMP).expect("scores");
    let narrow: Vec<usize> = (0..plain.num_columns()).collect();
    assert_eq!(wide.project(&narrow).expect("has them"), plain);
    let more: Vec<_> = wide.schema().fields()[plain.num_columns()..]
        .iter()
        .map(|field| format!("{}:{}", field.name(), field.data_type()))
        .collect();
    let expected = [
        "novelty:Float64",
        "alarm:Boolean",
        "novelty_set:UInt64",
        "challenger_score:Float64",
        "challenger_is_anomaly:Boolean",
        "challenger_set:UInt64",
    ];
    assert_eq!(more, expected);
    let views = Views { onset: true, challenger: true };
    assert_eq!(wide.schema(), prediction_schema(&rows.batch.schema(), views));
}

#[test]
fn fm_49_the_groups_model_stands_in_first_then_limits_then_nobody() {
    let rows = means(&[(0, 10.0), (1, 10.0), (1, 30.0), (2, 10.0)]);
    let own = set(4, vec![entry(key(1, "a"), 10.0)]);
    let group = FallbackSettings { group: names(&["Device"]), ..FallbackSettings::default() };
    let limits = FallbackSettings {
        limits: vec![limit(&[tag("b")], None, Some(20.0))],
        ..FallbackSettings::default()
    };
    let both = FallbackSettings { limits: limits.limits.clone(), ..group.clone() };
    let check = |settings: &FallbackSettings,
                 models,
                 statuses_are: [&str; 4],
                 sets_are: [Option<u64>; 4],
                 flags_are: [Option<bool>; 4]| {
        let scorer = scorer(&rows, &[], Some(own.clone())).with_fallback(settings, models);
        let mut scorer = scorer.expect("fits");
        let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
        assert_eq!(statuses(&out), statuses_are, "{settings:?}");
        assert_eq!(sets(&out, "model_set"), sets_are, "{settings:?}");
        assert_eq!(flags(&out, "is_anomaly"), flags_are, "{settings:?}");
        let reasons = texts(&out, "reason");
        let anomalous: Vec<bool> = flags_are.iter().map(|flag| *flag == Some(true)).collect();
        assert_eq!(reasons.iter().map(Option::is_some).collect::<Vec<_>>(), anomalous);
        let standing_in: std::collections::BTreeSet<_> = (0..4)
            .filter(|row| statuses_are[*row] == "fallback")
            .map(|row| rows.sensor[row])
            .collect();
        assert_eq!(scorer.on_fallback(), standing_in.len());
        assert_eq!(scorer.missing(), 2 - standing_in.len());
    };
    let (yes, no) = (Some(true), Some(false));
    let of_device = || Some(of_devices(7, &[(1, 30.0), (2, 10.0)]));
    let in_group = ["ok", "fallback", "fallback", "fallback"];
    let all = [Some(4), Some(7), Some(7), Some(7)];
    check(&group, of_device(), in_group, all, [no, yes, no, yes]);
    check(&both, of_device(), in_group, all, [no, yes, no, yes]);
    // The group has no model: its limits are next.
    let other = Some(of_devices(7, &[(2, 10.0)]));
    let by_limits = ["ok", "fallback", "fallback", "no_model"];
    let none = [Some(4), None, None, None];
    check(&both, other.clone(), by_limits, none, [no, no, yes, None]);
    check(&limits, None, by_limits, none, [no, no, yes, None]);
    check(&group, other, ["ok", "no_model", "no_model", "no_model"], none, [no, None, None, None]);
    check(&group, None, ["ok", "no_model", "no_model", "no_model"], none, [no, None, None, None]);
}

#[test]
fn of_several_limits_of_a_feature_the_first_that_is_for_the_sensor_counts() {
    let rows = means(&[(0, 5.0), (1, 5.0), (2, 5.0), (2, 0.0), (2, 1.0)]);
    let settings = FallbackSettings {
        group: Vec::new(),
        limits: vec![
            limit(&[("Device", KeyValue::Int(9))], None, Some(0.0)),
            limit(&[tag("a"), ("Device", KeyValue::Int(1))], None, Some(4.0)),
            limit(&[tag("b")], Some(6.0), None),
            limit(&[], Some(0.0), Some(10.0)),
            limit(&[], None, Some(0.0)),
        ],
    };
    let mut scorer = scorer(&rows, &[], None).with_fallback(&settings, None).expect("fits");
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let scores: Vec<_> = out["score"].as_primitive::<Float64Type>().iter().flatten().collect();
    assert_eq!(scores, [1.0, 1.0, -1.0, 0.0, -0.2]);
    let thresholds = out["threshold"].as_primitive::<Float64Type>();
    assert!(thresholds.iter().all(|threshold| threshold == Some(0.0)));
    assert_eq!(out["severity"].null_count(), 5, "limits are not calibrated");
    assert_eq!(texts(&out, "reason")[0].as_deref(), Some("mean"));
    assert_eq!((scorer.on_fallback(), scorer.missing()), (3, 0));
    assert!(scorer.fallback_sets().is_empty());
}

#[test]
fn fm_45_rows_that_cannot_be_scored_say_why_also_where_something_stands_in() {
    let values = floats(&[None, Some(10.0), Some(10.0)]);
    let rows = rows(&[1, 1, 1], &[9, 1, 9], vec![("mean", values)]);
    let settings = FallbackSettings { group: names(&["Device"]), ..FallbackSettings::default() };
    let models = Some(of_devices(7, &[(1, 10.0)]));
    let mut scorer = scorer(&rows, &[], None).with_fallback(&settings, models).expect("fits");
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(statuses(&out), ["invalid_features", "too_few_readings", "fallback"]);
    assert_eq!(flags(&out, "is_anomaly"), [None, None, Some(false)]);
    assert_eq!(scorer.tally().of(Status::Fallback), 1);
}

#[test]
fn who_stands_in_is_asked_anew_when_models_are_replaced() {
    let rows = means(&[(0, 10.0), (1, 10.0)]);
    let settings = FallbackSettings { group: names(&["Device"]), ..FallbackSettings::default() };
    let own = |tags: &[&str]| set(4, tags.iter().map(|tag| entry(key(1, tag), 10.0)).collect());
    let challenger = Some(own(&["a", "b"]));
    let scorer = scorer(&rows, &[], Some(own(&["a"]))).with_fallback(&settings, None);
    let mut scorer = scorer.and_then(|s| s.with_challenger(challenger)).expect("fits");
    let judged = |scorer: &mut Scorer| {
        let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
        (statuses(&out), sets(&out, "model_set")[1], scorer.on_fallback(), scorer.missing())
    };
    let is = |status: &str| vec!["ok".to_string(), status.to_string()];
    assert_eq!(judged(&mut scorer), (is("no_model"), None, 0, 1));
    scorer.replace_fallback_models(Some(of_devices(7, &[(1, 10.0)]))).expect("fits");
    assert_eq!(judged(&mut scorer), (is("fallback"), Some(7), 1, 0));
    scorer.replace_fallback_models(Some(of_devices(8, &[(1, 10.0)]))).expect("fits");
    assert_eq!(judged(&mut scorer), (is("fallback"), Some(8), 1, 0));
    // Agreement is with the sensor's own champion: sensor 0's.
    assert_eq!((scorer.tally().challenged, scorer.tally().agreed), (3, 3));
    scorer.replace_models(Some(own(&["a", "b"]))).expect("fits");
    assert_eq!(judged(&mut scorer), (is("ok"), Some(4), 0, 0));
    scorer.replace_models(Some(own(&["a"]))).expect("fits");
    assert_eq!(judged(&mut scorer), (is("fallback"), Some(8), 1, 0));
}

#[test]
fn models_of_groups_that_went_are_held_by_nobody() {
    let rows = means(&[(0, 10.0)]);
    let settings = FallbackSettings { group: names(&["Device"]), ..FallbackSettings::default() };
    let base = of_devices(7, &[(1, 10.0)]).sets()[0].clone();
    let top = of_devices(8, &[(1, 20.0)]).sets()[0].clone();
    let models = Some(Models::new(vec![base.clone()]));
    let mut scorer = scorer(&rows, &[], None).with_fallback(&settings, models).expect("fits");
    let grown = Models::new(vec![top.clone(), base.clone()]);
    scorer.replace_fallback_models(Some(grown)).expect("fits");
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(sets(&out, "model_set"), [Some(8)]);
    assert!(Arc::strong_count(&top) > 1, "it is in force");
    scorer.replace_fallback_models(Some(Models::new(vec![base]))).expect("fits");
    assert_eq!(Arc::strong_count(&top), 1, "a set that went is still held");
}

#[test]
fn models_that_do_not_fit_beside_the_champion_are_refused_and_those_in_force_stay() {
    let rows = means(&[(0, 10.0), (1, 10.0)]);
    let settings = FallbackSettings { group: names(&["Device"]), ..FallbackSettings::default() };
    let champion = || set(4, vec![entry(key(1, "a"), 10.0)]);
    let scorer = scorer(&rows, &[], None).with_challenger(Some(champion()));
    let models = Some(of_devices(7, &[(1, 10.0)]));
    let mut scorer = scorer.and_then(|s| s.with_fallback(&settings, models)).expect("fits");
    let error = scorer.replace_challenger_models(Some(of_devices(8, &[(1, 0.0)])));
    let error = error.expect_err("groups are no sensors").to_string();
    assert!(error.contains("model set 8 names sensors by (Device int64)"), "{error}");
    let error = scorer.replace_fallback_models(Some(champion())).expect_err("no groups");
    assert!(error.to_string().contains("here they are named by (Device int64)"), "{error}");
    let mut other = entry(key(1, "a"), 10.0);
    other.features = names(&["median"]);
    let error = scorer.replace_challenger_models(Some(set(9, vec![other])));
    assert!(matches!(error, Err(ScoreError::FeatureMismatch { set: 9, .. })), "{error:?}");
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(sets(&out, "model_set"), [Some(7), Some(7)]);
    assert_eq!(sets(&out, "challenger_set"), [Some(4), None]);
}

#[test]
fn settings_of_what_stands_in_that_name_nothing_are_refused() {
    let rows = means(&[(0, 10.0)]);
    let unknown = FallbackLimit { feature: "median".into(), ..limit(&[], None, Some(1.0)) };
    let settings = |limit| FallbackSettings { group: Vec::new(), limits: vec![limit] };
    let cases = [
        (
            FallbackSettings { group: names(&["Tga"]), ..Default::default() },
            "some of the key columns",
        ),
        (settings(unknown), "feature \"median\" of a limit is not among those that models see"),
        (settings(limit(&[], None, None)), "it must have a low or a high end"),
        (settings(limit(&[], Some(2.0), Some(1.0))), "low below high"),
        (settings(limit(&[("Tga", KeyValue::Int(1))], None, Some(1.0))), "Tga = 1"),
        (settings(limit(&[("Tag", KeyValue::Int(1))], None, Some(1.0))), "a value of its type"),
    ];
    for (settings, says) in cases {
        let refused = scorer(&rows, &[], None).with_fallback(&settings, None);
        let error = refused.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}
