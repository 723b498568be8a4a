//! Sets go through their file unchanged, and bad files are refused.

use proptest::prelude::*;
use tidegauge_flow::{KeyColumn, KeyType, KeyValue};

use super::*;
use crate::calibration::Calibration;
use crate::drift;
use crate::entry::TrainingSummary;
use crate::export::protobuf::Message;
use crate::gaussian::GaussianParams;
use crate::model::ModelParams;
use crate::onnx::tests::{DOUBLE, Small};
use crate::onnx::{self, Meaning, OnnxParams};
use crate::svm::{SvmParams, SvmParts};

/// Sensors named by (Device int64, Tag string).
pub(crate) fn key_schema() -> KeySchema {
    KeySchema::new(vec![
        KeyColumn { name: "Device".into(), kind: KeyType::Int64 },
        KeyColumn { name: "Tag".into(), kind: KeyType::String },
    ])
}

pub(crate) fn key(device: i64, tag: &str) -> SensorKey {
    SensorKey(Box::new([KeyValue::Int(device), KeyValue::Str(tag.into())]))
}

/// A model of one feature, normal around `level`.
pub(crate) fn entry(key: SensorKey, level: f64) -> ModelEntry {
    let svm = SvmParams::new(SvmParts {
        mean: vec![level],
        scale: vec![1.0],
        vectors: vec![-1.0, 1.0],
        alpha: vec![0.5, 0.5],
        gamma: 0.1,
        rho: 0.5,
        ..SvmParts::default()
    })
    .expect("the numbers are a model");
    ModelEntry {
        key,
        features: vec!["mean".into()],
        model: ModelParams::OneClassSvm(svm),
        threshold: 0.0,
        calibration: None,
        training: None,
        source: "test".into(),
    }
}

pub(crate) fn header(version: u64, base: Option<u64>) -> SetHeader {
    SetHeader { version, base, key: key_schema(), note: "a note".into(), created_us: 7 }
}

fn rich_set() -> ModelSet {
    let mut trained = entry(key(-3, "ä b"), 1e-300);
    trained.threshold = -0.1 + 0.3;
    trained.calibration = Calibration::from_scores(vec![0.1, 0.2, 0.7]);
    trained.training = Some(TrainingSummary {
        from_us: -5,
        to_us: i64::MAX,
        rows: 300,
        rows_used: 299,
        false_alarm_rate: Some(1.0 / 3.0),
        distribution: drift::distribution(&trained.model, &[1.0, 0.1 + 0.2, 3.0, 3.0, 3.0])
            .expect("builds"),
    });
    let mut gaussian = entry(key(5, "c"), 0.0);
    let params = GaussianParams::new(vec![0.1 + 0.2], vec![1.0 / 3.0]);
    gaussian.model = ModelParams::Gaussian(params.expect("numbers"));
    let entries = vec![entry(key(2, ""), 0.1), trained, entry(key(2, "b"), -0.0), gaussian];
    ModelSet::new(header(3, Some(2)), entries).expect("a good set")
}

#[test]
fn fm_52_a_set_read_back_scores_bit_for_bit_as_before() {
    let set = rich_set();
    let read = ModelSet::from_bytes("3", set.to_bytes().expect("writes")).expect("reads");
    assert_eq!(read.header, set.header);
    for (a, b) in read.entries().zip(set.entries()) {
        assert_eq!(a.hash(), b.hash(), "{}", b.key);
        assert_eq!(a, b);
        let rows: Vec<f64> = (-40..40).map(|i| f64::from(i) * 0.17).collect();
        let (mut before, mut after) = (vec![0.0; 80], vec![0.0; 80]);
        a.model.build().expect("builds").scores(&rows, &mut after);
        b.model.build().expect("builds").scores(&rows, &mut before);
        let bits = |v: &[f64]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&before), bits(&after));
    }
}

#[test]
fn a_set_of_format_2_is_read_and_knows_nothing_of_its_training_rows() {
    let golden = include_bytes!("golden/v2.parquet").to_vec();
    let read = ModelSet::from_bytes("3", golden).expect("reads");
    let set = rich_set();
    assert_eq!(read.header, set.header);
    for (old, new) in read.entries().zip(set.entries()) {
        let mut new = ModelEntry::clone(new);
        let had = new.training.as_mut().and_then(|training| training.distribution.take());
        assert_eq!(had.is_some(), new.training.is_some());
        assert_eq!((old.as_ref(), old.hash()), (&new, new.hash()));
    }
}

#[test]
fn a_set_that_is_not_whole_or_not_ours_is_refused_by_name() {
    let bytes = rich_set().to_bytes().expect("writes");
    let check = |bytes: Vec<u8>, says: &str| {
        let error = ModelSet::from_bytes("00012", bytes).expect_err(says).to_string();
        assert!(error.starts_with("model set 00012 cannot be used"), "{error}");
        assert!(error.contains(says), "{error}");
    };
    check(Vec::new(), "only a part of one");
    check(bytes[..bytes.len() / 2].to_vec(), "only a part of one");
    check(b"PAR1".to_vec(), "no model set");
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    check(changed, "not those that were written");
    check(bytes[1..].to_vec(), "not those that were written");
    let text = r#""format":3"#.as_bytes();
    let at = |bytes: &[u8]| bytes.windows(text.len()).position(|w| w == text);
    let mut newer = bytes.clone();
    while let Some(i) = at(&newer) {
        newer[i..i + text.len()].copy_from_slice(br#""format":4"#);
    }
    let digits = newer.windows(17).rposition(|w| w == b"tidegauge-sha256:").expect("sealed") + 17;
    newer[digits..digits + 64].fill(b'0');
    seal::seal(&mut newer);
    check(newer, "it has format 4, this program reads 1 to 3");
}

#[test]
fn a_set_of_bad_entries_is_not_made() {
    let check = |entries: Vec<ModelEntry>, says: &str| {
        let error = ModelSet::new(header(1, None), entries).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    };
    check(vec![], "it has 0 models");
    check(vec![entry(key(1, "a"), 0.0), entry(key(1, "a"), 1.0)], "1/a");
    check(vec![entry(SensorKey(Box::new([KeyValue::Int(1)])), 0.0)], "(Device int64, Tag string)");
    let mut unnamed = entry(key(1, "a"), 0.0);
    unnamed.features.clear();
    check(vec![unnamed], "1 features and 0 names");
    let mut open = entry(key(1, "a"), 0.0);
    open.threshold = f64::NAN;
    check(vec![open], "threshold is NaN");
}

#[test]
fn a_set_whose_files_are_too_large_together_is_not_made() {
    // As large as a file may be, by what it says of itself; all entries share its bytes.
    let mut file = Small::linear(DOUBLE, &[1.0]).bytes();
    let said = "x".repeat(onnx::MAX_BYTES - file.len() - 5);
    file.extend(Message::default().text(6, &said).finish());
    let params = OnnxParams::new(onnx::tests::parts(Meaning::Scores, &[]), file.into());
    let params = params.expect("a model of 16 MiB");
    assert_eq!(params.file().len(), onnx::MAX_BYTES);
    let large = |id| {
        let model = ModelParams::Onnx(params.clone());
        ModelEntry { model, ..entry(key(id, "a"), 0.0) }
    };
    let error = ModelSet::new(header(1, None), (0..65).map(large).collect()).expect_err("65 x 16");
    let says = "have 1090519040 bytes, 1073741824 are possible: publish them as several sets";
    assert!(error.to_string().contains(says), "{error}");
    assert!(ModelSet::new(header(1, None), (0..64).map(large).collect()).is_ok());
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused_or_harmless(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let set = rich_set();
        let mut bytes = set.to_bytes().expect("writes");
        for (index, flip) in flips {
            let i = index.index(bytes.len());
            bytes[i] ^= flip;
        }
        if let Ok(read) = ModelSet::from_bytes("3", bytes) {
            prop_assert!(read == set, "a wrong number came through");
        }
    }
}
