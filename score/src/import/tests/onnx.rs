//! ONNX files that are brought.

use super::*;
use crate::export::{export_onnx, tests as exported};
use crate::onnx::tests::{DOUBLE, FLOAT, Small, runtime_is_here};
use crate::set::{ModelSet, SetHeader};
use crate::svm::{SvmParts, SvmScore};

/// What a folder with one file gives, for sensors 1/4.
fn import(file: Vec<u8>, features: &[&str]) -> Result<ModelEntry, String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("model_1_4.onnx"), file).expect("writes");
    let features: Vec<String> = features.iter().map(|name| name.to_string()).collect();
    let (entries, refused) = import_files(&[folder.path().into()], &sensors(), &features);
    match (entries.into_iter().next(), refused.into_iter().next()) {
        (Some(entry), None) => Ok(entry),
        (None, Some((_, reason))) => Err(reason),
        both => panic!("a file is a model or refused: {both:?}"),
    }
}

/// 1,000 rows near the model of `exported::parts` and far from it.
fn rows() -> Vec<f64> {
    (0..1_000)
        .flat_map(|i| {
            let turn = f64::from(i) * 0.7;
            let far = f64::from(i).powi(2) * 1e-5;
            [82.4 + far * turn.sin(), far * turn.cos()]
        })
        .collect()
}

#[test]
fn our_own_export_comes_back_with_its_scores_features_and_threshold() {
    for (score, threshold) in [
        (SvmScore::Decision, 0.0),
        (SvmScore::Relative, 0.4),
        (SvmScore::Distance { unit: 1.5 }, 1.25),
    ] {
        let svm = SvmParams::new(SvmParts { score, ..exported::parts() }).expect("valid");
        let original = exported::entry(SvmParts { score, ..exported::parts() }, threshold);
        let entry = import(export_onnx(&original).expect("exports"), &["x0", "x1"]).expect("reads");
        assert_eq!(entry.source, "ONNX of tidegauge, model_1_4.onnx");
        assert_eq!(entry.features, original.features);
        assert_eq!(entry.threshold, svm.as_decision(threshold));
        let header = SetHeader {
            version: 1,
            base: None,
            key: sensors(),
            note: String::new(),
            created_us: 0,
        };
        let set = ModelSet::new(header, vec![entry]).expect("a set");
        let read = ModelSet::from_bytes("1", set.to_bytes().expect("writes")).expect("reads");
        assert_eq!(read, set);
        if !runtime_is_here() {
            continue;
        }
        let decision = SvmParts { score: SvmScore::Decision, ..exported::parts() };
        let decision = ModelParams::OneClassSvm(SvmParams::new(decision).expect("valid"));
        let entry = read.entries().next().expect("one").clone();
        let of = |model: &ModelParams| {
            let mut scores = vec![0.0; 1_000];
            model.build().expect("builds").scores(&rows(), &mut scores);
            scores
        };
        let (ours, theirs, native) = (of(&decision), of(&entry.model), of(&original.model));
        let mut flagged = 0;
        for row in 0..1_000 {
            assert!((ours[row] - theirs[row]).abs() <= 1e-9, "{} {}", ours[row], theirs[row]);
            let anomaly = native[row] >= original.threshold;
            flagged += usize::from(anomaly);
            assert_eq!(theirs[row] >= entry.threshold, anomaly, "row {row} by {score:?}");
        }
        assert!((100..900).contains(&flagged), "{flagged} of 1,000 by {score:?}");
    }
}

#[test]
fn files_of_others_are_decisions_of_the_output_that_can_be_one() {
    let named = |output| Small { output, ..Small::linear(FLOAT, &[1.0, 2.0]) }.bytes();
    for output in ["scores", "variable"] {
        let entry = import(named(output), &["mean", "sd"]).expect("reads");
        assert_eq!(entry.threshold.to_bits(), 0.0f64.to_bits());
        assert_eq!(entry.source, "ONNX of by hand, model_1_4.onnx");
        let ModelParams::Onnx(onnx) = &entry.model else { panic!("another kind") };
        assert_eq!((onnx.output(), onnx.meaning()), (output, crate::onnx::Meaning::Decision));
    }
    let check = |file: Vec<u8>, features: &[&str], says: &str| {
        let error = import(file, features).expect_err(says);
        assert!(error.contains(says), "{error} does not say {says}");
    };
    check(named("scores"), &["mean"], "it takes 2 features, the query gives 1");
    let whole = Small { element: 7, ..Small::linear(DOUBLE, &[1.0]) }.bytes();
    check(whole, &["mean"], "is other [?, 1]: rows are float or double");
    let wide = Small { output_shape: vec![0, 3], ..Small::linear(DOUBLE, &[1.0]) }.bytes();
    check(wide, &["mean"], "its outputs are [\"sum\"]: expected one of the name \"scores\"");
    let ours = export_onnx(&exported::entry(exported::parts(), 0.0)).expect("exports");
    check(ours.clone(), &["x1", "x0"], "fitted on the features [\"x0\", \"x1\"]");
    check(ours[..ours.len() - 1].to_vec(), &["x0", "x1"], "only a part of one");
    check(vec![8], &["mean"], "only a part of one");
    check(vec![8, 7], &["mean"], "no ONNX model");
}
