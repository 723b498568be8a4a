//! Names of exported files, and a model that the tests of each format share.

use tidegauge_flow::{KeyColumn, KeyType, KeyValue};

use super::*;
use crate::svm::{SvmParts, SvmScore};

/// A model of two features with three support vectors.
pub(crate) fn parts() -> SvmParts {
    SvmParts {
        mean: vec![82.473_147_459_727_37, -1e-9],
        scale: vec![1.346_869_144_230_364_4, 1.0 / 3.0],
        vectors: vec![1.5, -0.5, 0.1, 0.2, -1.6, 0.3],
        alpha: vec![0.7, 0.1, 0.2],
        gamma: 0.25,
        rho: 0.3,
        ..SvmParts::default()
    }
}

pub(crate) fn entry(parts: SvmParts, threshold: f64) -> ModelEntry {
    let features = (0..parts.mean.len()).map(|i| format!("x{i}")).collect();
    ModelEntry {
        key: SensorKey(Box::new([KeyValue::Int(1), KeyValue::Str("pump \"7\"\n".into())])),
        features,
        model: ModelParams::OneClassSvm(SvmParams::new(parts).expect("valid")),
        threshold,
        calibration: None,
        training: None,
        source: "trained here".into(),
    }
}

#[test]
fn names_of_files_are_those_that_the_import_reads_back() {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let (int, text) = (KeyType::Int64, KeyType::String);
    let texts = KeySchema::new(vec![column("Device", text), column("Tag", text)]);
    let mixed = KeySchema::new(vec![column("Device", int), column("Tag", text)]);
    let key = |a: KeyValue, b: &str| SensorKey(Box::new([a, KeyValue::Str(b.into())]));
    let str = |text: &str| KeyValue::Str(text.into());
    let good = [
        (key(KeyValue::Int(-1), "temp"), &mixed, "model_-1_temp"),
        (key(str("pump_7"), "temp"), &texts, "model_pump_7_temp"),
        (key(str("ä b"), "x.pkl"), &texts, "model_ä b_x.pkl"),
    ];
    for (key, schema, name) in good {
        assert_eq!(key_to_name(&key, schema).as_deref(), Ok(name));
        assert_eq!(name_to_key(&format!("{name}.libsvm"), schema), Ok(key));
    }
    let bad = [
        (key(str("pump"), "a_b"), &texts, "would be read as another one"),
        (key(str(""), "a"), &texts, "would be read as another one"),
        (key(str("1"), "a"), &mixed, "would be read as another one"),
        (key(str(".."), "a/../b"), &texts, "a slash or control character"),
        (key(str("a\\b"), "c"), &texts, "a slash or control character"),
        (key(str("a"), "b\n"), &texts, "a slash or control character"),
    ];
    for (key, schema, says) in bad {
        let error = key_to_name(&key, schema).expect_err(says);
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn an_entry_that_does_not_fit_itself_is_refused_by_every_format() {
    let mut entry = entry(parts(), 0.0);
    entry.features.pop();
    for error in [export_libsvm(&entry).expect_err("one name"), export_onnx(&entry).expect_err("")]
    {
        assert!(error.contains("2 features and 1 names"), "{error}");
    }
}

#[test]
fn a_threshold_on_any_scale_is_one_of_the_decision() {
    let rows: Vec<f64> = (-60..60).flat_map(|i| [82.0 + f64::from(i) * 0.1, 0.3]).collect();
    for score in [SvmScore::Decision, SvmScore::Relative, SvmScore::Distance { unit: 1.7 }] {
        for threshold in [0.05, 0.2, 0.25] {
            let svm = SvmParams::new(SvmParts { score, ..parts() }).expect("valid");
            let (mut scores, mut decisions) = (vec![0.0; 120], vec![0.0; 120]);
            crate::model::ModelParams::OneClassSvm(svm.clone())
                .build()
                .expect("builds")
                .scores(&rows, &mut scores);
            crate::svm::PackedSvm::new(&svm).decide(&rows, &mut decisions);
            let border = -svm.as_decision(threshold);
            let flagged = scores.iter().filter(|score| **score >= threshold).count();
            let of_decision = decisions.iter().filter(|f| **f <= border).count();
            assert_eq!(flagged, of_decision, "{score:?} {threshold}");
            assert!(
                (1..120).contains(&flagged) || threshold > 1.0,
                "{score:?} {threshold}: {flagged}"
            );
        }
    }
}
