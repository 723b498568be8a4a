//! Kinds of models in a scorer: their reasons, and models that can't be built.

use std::process::Command;

use super::*;
use crate::gaussian::GaussianParams;
use crate::limits::{Limit, LimitsParams};
use crate::onnx::tests::{DOUBLE, Small, parts, runtime_is_here};
use crate::onnx::{LIBRARY_VARIABLE, Meaning, OnnxParams};

/// The model of sensor 1/a; anomalies from a score on.
fn of_kind(model: ModelParams, threshold: f64) -> ModelEntry {
    let features = ["a", "b", "c"].iter().take(model.width()).map(|name| name.to_string());
    ModelEntry { features: features.collect(), model, threshold, ..entry(key(1, "a"), 0.0) }
}

fn onnx(small: &Small, means: &[f64]) -> ModelParams {
    let params = OnnxParams::new(parts(Meaning::Scores, means), small.bytes().into());
    ModelParams::Onnx(params.expect("a model"))
}

/// One row of as many features as the model has.
fn row(values: &[f64]) -> WindowRows {
    let columns = ["a", "b", "c"].into_iter().zip(values);
    rows(&[0], &[9], columns.map(|(name, v)| (name, floats(&[Some(*v)]))).collect())
}

/// Status, score and reason of one row.
fn judge(entry: ModelEntry, values: &[f64]) -> (String, Option<f64>, Option<String>) {
    let rows = row(values);
    let mut scorer = scorer(&rows, &[], Some(models(vec![entry])));
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    let text = |name: &str| out[name].as_string::<i32>().iter().next().flatten().map(String::from);
    let score = out["score"].as_primitive::<Float64Type>().iter().next().flatten();
    (text("status").expect("never null"), score, text("reason"))
}

#[test]
fn a_gaussian_model_names_the_features_that_are_far_from_their_means() {
    let params = GaussianParams::new(vec![1.0, 2.0, 3.0], vec![0.5, 1.0, 2.0]).expect("numbers");
    let entry = of_kind(ModelParams::Gaussian(params), 3.0);
    let found = judge(entry.clone(), &[1.0, -4.0, 11.0]);
    assert_eq!(found, ("ok".into(), Some(6.0), Some("b; c".into())));
    assert_eq!(judge(entry, &[1.5, 2.0, 3.0]), ("ok".into(), Some(1.0), None));
}

#[test]
fn an_anomaly_whose_cause_is_not_known_has_no_reason_and_one_at_its_limit_has() {
    let limit = LimitsParams::new(vec![Limit { low: None, high: Some(5.0) }]).expect("a limit");
    let found = judge(of_kind(ModelParams::StaticLimits(limit), 0.0), &[5.0]);
    assert_eq!(found, ("ok".into(), Some(0.0), Some("a".into())));
    if !runtime_is_here() {
        return;
    }
    let linear = Small::linear(DOUBLE, &[1.0, 1.0]);
    let unknown = judge(of_kind(onnx(&linear, &[]), 3.0), &[1.0, 9.0]);
    assert_eq!(unknown, ("ok".into(), Some(10.0), None));
    let known = judge(of_kind(onnx(&linear, &[1.0, 2.0]), 3.0), &[1.0, 9.0]);
    assert_eq!(known, ("ok".into(), Some(10.0), Some("b".into())));
}

#[test]
fn a_row_that_a_model_has_no_score_for_has_invalid_features() {
    if !runtime_is_here() {
        return;
    }
    let root = Small { operator: "Pow", weights: vec![0.5], ..Small::linear(DOUBLE, &[1.0]) };
    assert_eq!(judge(of_kind(onnx(&root, &[]), 3.0), &[4.0]), ("ok".into(), Some(2.0), None));
    let found = judge(of_kind(onnx(&root, &[]), 3.0), &[-4.0]);
    assert_eq!(found, ("invalid_features".into(), None, None));
}

/// In a process of its own: a library stays loaded.
#[test]
fn models_that_cannot_be_built_are_refused_by_sensor_and_those_in_force_stay() {
    const CHILD: &str = "TIDEGAUGE_TEST_WITHOUT_RUNTIME";
    if std::env::var_os(CHILD).is_none() {
        let name = std::thread::current().name().expect("the test's name").to_string();
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", &name, "--nocapture"]);
        child.env(CHILD, "1").env(LIBRARY_VARIABLE, "/nowhere/libonnxruntime.so");
        let output = child.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        return;
    }
    let rows = row(&[9.0]);
    let svm = entry(key(1, "a"), 9.0);
    let svm = ModelEntry { features: names(&["a"]), ..svm };
    let good = Some(models(vec![svm.clone()]));
    let mut scorer = scorer(&rows, &[], good.clone());
    let mut other = of_kind(onnx(&Small::linear(DOUBLE, &[1.0]), &[]), 3.0);
    other.key = key(1, "b");
    let bad = Some(models(vec![svm, other]));
    for error in [
        scorer.replace_models(bad.clone()).expect_err("no library"),
        Scorer::new(&rows.batch.schema(), 2, &[], bad.clone(), 2).expect_err("no library"),
    ] {
        let error = error.to_string();
        let says = "the model of sensor 1/b cannot be used: it needs ONNX Runtime, which cannot be \
                    loaded from /nowhere/libonnxruntime.so:";
        assert!(error.starts_with(says), "{error}");
        assert!(error.contains("install it") && error.contains("ORT_DYLIB_PATH"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let out = scorer.score(&rows, &sensors(), &STAMP).expect("scores");
    assert_eq!(out["status"].as_string::<i32>().value(0), "ok");
    assert_eq!(scorer.loaded(), 1);
}
