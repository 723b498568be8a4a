//! Files of real scikit-learn versions, by their decisions.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use tidegauge_flow::{KeyColumn, KeyType};

use super::*;
use crate::svm::SvmParams;

mod onnx;

const DATA: &str = "../tests/data";

fn sensors() -> KeySchema {
    let column = |name: &str| KeyColumn { name: name.into(), kind: KeyType::Int64 };
    KeySchema::new(vec![column("Device"), column("Sensor")])
}

fn mean() -> Vec<String> {
    vec!["mean".into()]
}

/// What versions.py wrote with one version of scikit-learn.
#[derive(Deserialize)]
struct Version {
    version: String,
    rows: Vec<f64>,
    decisions: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Decisions {
    rows: Vec<f64>,
    pipeline: Vec<f64>,
    bare: Vec<f64>,
}

fn decisions() -> Decisions {
    let text = fs::read_to_string(format!("{DATA}/sklearn/pickles.json")).expect("golden file");
    serde_json::from_str(&text).expect("golden file")
}

fn read(name: &str) -> Result<sklearn::Imported, String> {
    sklearn::read(&fs::read(format!("{DATA}/sklearn/pickles/{name}")).expect("golden file"))
}

fn check(name: &str, expected: &[f64], rows: &[f64]) {
    let imported = read(name).expect(name);
    agree(name, &imported.svm, expected, rows);
    assert!(imported.version.is_some(), "{name}");
}

/// The decisions are those expected, within 1e-9 of the sum of the weights.
fn agree(name: &str, svm: &SvmParams, expected: &[f64], rows: &[f64]) {
    let mut scores = vec![0.0; expected.len()];
    ModelParams::OneClassSvm(svm.clone()).build().expect("builds").scores(rows, &mut scores);
    for (score, f) in scores.iter().zip(expected) {
        let scale = f.abs().max(svm.mass());
        assert!((score + f).abs() <= 1e-9 * scale, "{name}: {} is not {f}", -score);
    }
}

#[test]
fn every_protocol_and_joblib_give_the_decisions_of_scikit_learn() {
    let golden = decisions();
    for protocol in 0..=5 {
        check(&format!("pipeline_{protocol}.pkl"), &golden.pipeline, &golden.rows);
    }
    check("pipeline.joblib", &golden.pipeline, &golden.rows);
    check("bare_5.pkl", &golden.bare, &golden.rows);
}

#[test]
fn versions_of_eight_years_give_their_own_decisions_by_every_scaler_and_compression() {
    let folder = PathBuf::from(format!("{DATA}/sklearn/versions"));
    for version in ["0.19.2", "0.24.2", "1.0.2", "1.9.1"] {
        let text = fs::read_to_string(folder.join(format!("{version}.json"))).expect(version);
        let golden: Version = serde_json::from_str(&text).expect(version);
        assert_eq!(golden.version, version);
        let names = ["standard.pkl", "robust.pkl", "centre.pkl", "spread.pkl", "bare.pkl"];
        let joblib = ["robust.joblib", "robust.joblib.z", "robust.joblib.gz"];
        for name in names.into_iter().chain(joblib) {
            let file = format!("{version}_{name}");
            let imported = bytes(&folder.join(&file)).and_then(|content| super::read(content, 2));
            let imported = imported.expect(&file);
            let model = name.split('.').next().expect("a name");
            let ModelParams::OneClassSvm(svm) = &imported.model else { panic!("another kind") };
            agree(&file, svm, &golden.decisions[model], &golden.rows);
            assert_eq!(imported.written_by, format!("scikit-learn {version}"), "{file}");
            assert_eq!(imported.threshold.to_bits(), 0.0f64.to_bits(), "{file}");
        }
    }
}

#[test]
fn what_a_file_is_its_content_says_and_not_its_ending() {
    let folder = tempfile::tempdir().expect("a folder");
    let features: Vec<String> = ["mean", "stddev"].map(String::from).into();
    let text = "svm_type one_class\nkernel_type rbf\ngamma 1\nnr_class 2\ntotal_sv 1\nrho 0.5\n\
                SV\n1 1:3 2:4\n";
    let robust = |ending| format!("{DATA}/sklearn/versions/1.0.2_robust.{ending}");
    fs::write(folder.path().join("model_1_1.pkl"), text).expect("writes");
    fs::write(folder.path().join("model_1_2.model"), text).expect("writes");
    fs::copy(robust("pkl"), folder.path().join("model_1_3.libsvm")).expect("copies");
    fs::copy(robust("joblib.gz"), folder.path().join("model_1_4.joblib.z")).expect("copies");
    fs::copy(robust("joblib.z"), folder.path().join("model_1_5")).expect("copies");
    fs::write(folder.path().join("model_1_6.joblib.xz"), b"\xfd7zXZ\0 and so on").expect("writes");
    let (entries, refused) = import_files(&[folder.path().to_path_buf()], &sensors(), &features);
    let found: Vec<_> = entries.iter().map(|e| (e.key.to_string(), e.source.as_str())).collect();
    let expected = [
        ("1/1", "libsvm, model_1_1.pkl"),
        ("1/2", "libsvm, model_1_2.model"),
        ("1/3", "scikit-learn 1.0.2, model_1_3.libsvm"),
        ("1/4", "scikit-learn 1.0.2, model_1_4.joblib.z"),
        ("1/5", "scikit-learn 1.0.2, model_1_5"),
    ];
    assert_eq!(found, expected.map(|(key, source)| (key.to_string(), source)));
    assert!(refused.len() == 1 && refused[0].1.contains("compressed by xz"), "{refused:?}");
}

#[test]
fn a_switch_is_read_however_python_or_numpy_spells_it() {
    let path = format!("{DATA}/sklearn/versions/0.24.2_robust.pkl");
    let good = fs::read(path).expect("golden file");
    let with = |value: &[u8]| {
        let name = b"with_scaling\x94\x88";
        let at = good.windows(name.len()).position(|w| w == name).expect("it is there");
        let end = at + name.len();
        sklearn::read(&[&good[..end - 1], value, &good[end..]].concat())
    };
    let scale = |value: &[u8]| with(value).expect("reads").svm.scale().to_vec();
    let fitted = scale(b"\x88");
    assert!(fitted.iter().all(|scale| *scale != 1.0), "{fitted:?}");
    assert_eq!(scale(b"K\x01"), fitted);
    assert_eq!(scale(b"\x89"), [1.0, 1.0]);
    assert_eq!(scale(b"K\x00"), [1.0, 1.0]);
    let says = with(b"N").expect_err("None is no switch");
    assert!(says.contains("with_scaling is neither true nor false"), "{says}");
}

#[test]
fn what_is_not_a_dense_gaussian_model_is_refused_by_name() {
    let refusal = |name: &str| read(name).expect_err(name);
    assert!(refusal("linear.pkl").contains("\"linear\""), "{}", refusal("linear.pkl"));
    assert!(refusal("sparse.pkl").contains("scipy.sparse"), "{}", refusal("sparse.pkl"));
    assert!(sklearn::read(b"N.").expect_err("nothing").contains("no model"));
}

#[test]
fn fm_49_a_model_of_other_features_is_refused_with_both_lists() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model_1_1.pkl");
    fs::copy(format!("{DATA}/sklearn/pickles/named.pkl"), &path).expect("copies");
    let import = |features: &[&str]| {
        let features: Vec<String> = features.iter().map(|f| f.to_string()).collect();
        import_files(std::slice::from_ref(&path), &sensors(), &features)
    };
    assert_eq!(import(&["mean", "stddev"]).0.len(), 1);
    let cases = [
        (&["stddev", "mean"][..], r#"["mean", "stddev"], the query gives ["stddev", "mean"]"#),
        (&["mean"], r#"["mean", "stddev"], the query gives ["mean"]"#),
    ];
    for (features, says) in cases {
        let (entries, refused) = import(features);
        assert!(entries.is_empty());
        assert!(refused[0].1.contains(says), "{}", refused[0].1);
    }
}

#[test]
fn names_say_sensors_by_the_last_parts_and_bad_files_don_t_stop_the_others() {
    let key = |name: &str| name_to_key(name, &sensors()).map(|key| key.to_string());
    assert_eq!(key("model_1_4"), Ok("1/4".into()));
    assert_eq!(key("model_-1_04.joblib"), Ok("-1/4".into()));
    for bad in ["model_1", "model_1_2_3", "model_a_1", "Model_1_4", "model_1_", "1_4", "model_"] {
        assert!(key(bad).is_err(), "{bad}");
    }
    let column = |name: &str| KeyColumn { name: name.into(), kind: KeyType::String };
    let texts = KeySchema::new(vec![column("Device"), column("Tag")]);
    let key = name_to_key("model_pump_7_temp.pkl", &texts).expect("two texts");
    assert_eq!(key.to_string(), "pump_7/temp");
    let folder = tempfile::tempdir().expect("a folder");
    let good = format!("{DATA}/seedlike/models/model_2_3");
    for name in ["model_2_3", "model_2_3.pkl", "model_9_9"] {
        fs::copy(&good, folder.path().join(name)).expect("copies");
    }
    fs::write(folder.path().join("model_1_1"), b"cposix\nsystem\n.").expect("writes");
    fs::write(folder.path().join("model_1_2"), &fs::read(&good).expect("reads")[..700])
        .expect("writes");
    fs::write(folder.path().join("README.md"), b"hello").expect("writes");
    let paths = [folder.path().to_path_buf(), folder.path().join("absent")];
    let (entries, refused) = import_files(&paths, &sensors(), &mean());
    let keys: Vec<_> = entries.iter().map(|e| e.key.to_string()).collect();
    assert_eq!(keys, ["2/3", "9/9"]);
    let reasons: Vec<&str> = refused.iter().map(|(_, reason)| reason.as_str()).collect();
    let says = ["No such file", "name a sensor", "posix.system", "ends in the middle", "already"];
    for (reason, says) in reasons.iter().zip(says) {
        assert!(reason.contains(says), "{reason} does not say {says}");
    }
    assert_eq!(reasons.len(), says.len());
}

/// Clear normal rows, clear anomalies, ties.
fn count(entries: &[ModelEntry], csv: &str) -> [usize; 3] {
    let mut counts = [0; 3];
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let value: f64 = fields[3].parse().expect("a number");
        let key = name_to_key(&format!("model_{}_{}", fields[1], fields[2]), &sensors());
        let key = key.expect("a sensor");
        let entry = entries.iter().find(|e| e.key == key).expect("a model");
        assert_eq!(entry.threshold.to_bits(), 0.0f64.to_bits());
        let mut score = [0.0];
        entry.model.build().expect("builds").scores(&[value], &mut score);
        let clear = usize::from(score[0] >= entry.threshold);
        counts[if score[0].abs() < 1e-9 { 2 } else { clear }] += 1;
    }
    counts
}

#[test]
fn files_of_2018_give_the_labels_of_plain_arithmetic() {
    let (entries, refused) =
        import_files(&[format!("{DATA}/seedlike/models").into()], &sensors(), &mean());
    assert_eq!((entries.len(), refused.len()), (15, 0), "{refused:?}");
    assert_eq!(entries[3].source, "scikit-learn 0.19.2, model_1_4");
    let csv = fs::read_to_string(format!("{DATA}/seedlike/readings.csv")).expect("golden file");
    let labels = fs::read_to_string(format!("{DATA}/seedlike/labels.csv")).expect("golden file");
    for (line, label) in csv.lines().zip(labels.lines()).skip(1) {
        let found = count(&entries, &format!("header\n{line}"));
        let expected = match label.rsplit(',').next().expect("a label") {
            "0" => [1, 0, 0],
            "1" => [0, 1, 0],
            _ => [0, 0, 1],
        };
        assert_eq!(found, expected, "{line}");
    }
}

/// The folder of the original sensors; absent elsewhere than in CI.
fn originals() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("TIDEGAUGE_SEED_SENSORS") {
        return Some(folder.into());
    }
    assert!(std::env::var_os("CI").is_none(), "CI must set TIDEGAUGE_SEED_SENSORS");
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: TIDEGAUGE_SEED_SENSORS is not set");
    None
}

#[test]
fn the_original_models_give_the_measured_counts_on_the_original_readings() {
    let Some(folder) = originals() else { return };
    let (entries, refused) = import_files(&[folder.join("models")], &sensors(), &mean());
    assert_eq!((entries.len(), refused.len()), (15, 0), "{refused:?}");
    let csv = fs::read_to_string(folder.join("sensor_data.csv")).expect("the readings");
    assert_eq!(count(&entries, &csv), [10_974, 6_738, 56]);
    let (made, _) = import_files(&[format!("{DATA}/seedlike/models").into()], &sensors(), &mean());
    for (original, made) in entries.iter().zip(&made) {
        assert_eq!(original.key, made.key);
        let (ModelParams::OneClassSvm(a), ModelParams::OneClassSvm(b)) =
            (&original.model, &made.model)
        else {
            panic!("{} is of another kind", made.key);
        };
        assert!((a.mean()[0] - b.mean()[0]).abs() < 1e-9, "{}", made.key);
        let same = a.alpha().iter().zip(b.alpha()).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(same && a.alpha().len() == b.alpha().len(), "{}", made.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_of_every_format_never_panic(
        file in prop::sample::select(vec![
            "sklearn/versions/0.19.2_robust.joblib.z",
            "sklearn/versions/1.9.1_robust.joblib.gz",
            "sklearn/versions/1.9.1_centre.pkl",
            "libsvm/one_class.model",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        keep_whole in any::<bool>(),
        width in 0usize..5,
    ) {
        let mut content = bytes(Path::new(&format!("{DATA}/{file}"))).expect("golden file");
        let mut packed = fs::read(format!("{DATA}/{file}")).expect("golden file");
        for mutated in [&mut content, &mut packed] {
            for (at, byte) in &changes {
                let at = at.index(mutated.len());
                mutated[at] = *byte;
            }
            if !keep_whole {
                mutated.truncate(cut.index(mutated.len()));
            }
        }
        // Whatever comes of it: an error, or a model whose numbers were checked.
        let _ = super::read(content, width);
        let unpacked = compression::unpack(&packed).map(Cow::into_owned);
        let _ = unpacked.map(|content| super::read(content, width));
    }
}
