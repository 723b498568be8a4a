//! Files of libsvm by their decisions, and what is refused with its line.

use super::*;
use crate::model::ModelParams;

const DATA: &str = "../tests/data/libsvm";

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{DATA}/{name}")).expect("golden file")
}

#[derive(serde::Deserialize)]
struct Decisions {
    rows: Vec<f64>,
    decisions: Vec<f64>,
}

#[test]
fn a_model_of_libsvm_gives_the_decisions_of_libsvm() {
    let imported = read(&golden("one_class.model"), 3).expect("reads");
    let golden: Decisions = serde_json::from_slice(&golden("decisions.json")).expect("golden");
    let mut scores = vec![0.0; golden.decisions.len()];
    ModelParams::OneClassSvm(imported.svm.clone())
        .build()
        .expect("builds")
        .scores(&golden.rows, &mut scores);
    for (score, f) in scores.iter().zip(&golden.decisions) {
        let close = (score + f).abs() <= 1e-9 * f.abs().max(imported.svm.mass());
        assert!(close, "{} is not {f}", -score);
    }
    assert_eq!((imported.features, imported.threshold), (None, 0.0));
    assert!(imported.svm.vectors().contains(&0.0), "zeros are left out in the file");
    let text = String::from_utf8(super::tests::golden("one_class.model")).expect("text");
    let windows = read(text.replace('\n', "\r\n").as_bytes(), 3).expect("reads");
    assert_eq!(windows.svm, imported.svm);
}

#[test]
fn models_of_other_kinds_and_widths_are_refused_by_name_with_the_line() {
    let cases = [
        ("linear.model", 3, r#"line 2: its kernel_type is "linear"; only rbf is read"#),
        ("probability.model", 3, r#"line 7: "prob_density_marks" is not read"#),
        ("two_classes.model", 3, r#"line 1: its svm_type is "c_svc"; only one_class is read"#),
        ("one_class.model", 2, "line 8: it has a feature 3, the query gives 2"),
        ("one_class.model", 4, "have 3 features, the query gives 4; if the others are all 0, add"),
    ];
    for (name, width, says) in cases {
        assert!(is_libsvm(&golden(name)), "{name}");
        let error = read(&golden(name), width).expect_err(name);
        assert!(error.contains(says), "{name}: {error}");
    }
    assert!(is_libsvm(b"solver_type L2R_LR\n"));
    for other in [&b"\x80\x04N."[..], b"", b"svm_typeone_class", b"csklearn.svm.classes\n"] {
        assert!(!is_libsvm(other), "{other:?}");
    }
}

const HEAD: &str =
    "svm_type one_class\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv 2\nrho 0.1\n";
const VECTORS: &str = "SV\n0.5 1:1 2:-2\n1 2:3\n";
const TAIL: &str = "# tidegauge scaling 1\n# threshold 0.25\n# feature 1 5 2 \"mean\"\n\
                    # feature 2 0 1 \"a \\\"b\\\"\\n\"\n";

#[test]
fn a_scaling_behind_the_vectors_is_the_model_s() {
    let imported = read(format!("{HEAD}{VECTORS}{TAIL}").as_bytes(), 2).expect("reads");
    let svm = &imported.svm;
    assert_eq!((svm.gamma(), svm.rho(), imported.threshold), (0.5, 0.1, 0.25));
    assert_eq!((svm.alpha(), svm.vectors()), (&[0.5, 1.0][..], &[1.0, -2.0, 0.0, 3.0][..]));
    assert_eq!((svm.mean(), svm.scale()), (&[5.0, 0.0][..], &[2.0, 1.0][..]));
    assert_eq!(imported.features, Some(vec!["mean".into(), "a \"b\"\n".into()]));
    let bare = read(format!("{HEAD}{VECTORS}\n\n").as_bytes(), 2).expect("reads");
    assert_eq!((bare.svm.mean(), bare.svm.scale()), (&[0.0, 0.0][..], &[1.0, 1.0][..]));
}

#[test]
fn broken_texts_are_refused_with_the_line_and_what_stands_there() {
    let whole = format!("{HEAD}{VECTORS}{TAIL}");
    let long = "9".repeat(1000);
    let cases = [
        ("gamma 0.5", "gamma 0,5", r#"line 3: "0,5" is no finite number"#),
        ("gamma 0.5", "gamma inf", r#"line 3: "inf" is no finite number"#),
        ("gamma 0.5", "gamma 0", "gamma 0 and scales"),
        ("gamma 0.5\n", "", "line 6: the header has no gamma"),
        ("nr_class 2", "nr_class 3", r#"line 4: its nr_class is "3"; only 2 is read"#),
        ("nr_class 2", "gamma 2", "line 4: a second gamma"),
        ("total_sv 2", "total_sv -1", r#"line 5: its total_sv is "-1", expected 1..=1048576"#),
        ("total_sv 2", "total_sv 1048577", "expected 1..=1048576"),
        ("total_sv 2", "total_sv 1", r##"line 9: "1 2:3" after the last support vector"##),
        ("rho 0.1", "degree 3", r#"line 6: "degree" is not read"#),
        ("1:1 2:-2", "2:-2 1:1", r#"line 8: the index "1" comes after 2"#),
        ("1:1 2:-2", "0:1", r#"line 8: the index "0" comes after 0"#),
        ("1:1 2:-2", "1", r#"line 8: "1" is not of the form index:value"#),
        ("1:1 2:-2", "1:nan", r#"line 8: "nan" is no finite number"#),
        ("1 2:3", "", r#"line 9: "" is no finite number"#),
        ("1 2:3", "-1 2:3", "weights must be finite, not negative"),
        ("1 2:3", &long, "line 8: it has a feature 2"),
        ("scaling 1", "scaling 2", "is not \"# tidegauge scaling 1\""),
        ("# threshold 0.25\n", "", "its scaling has no threshold"),
        ("# threshold 0.25", "# threshold 1\n# threshold 2", "line 12: \"# threshold 2\" is not"),
        ("# feature 1 5 2", "# feature 2 5 2", r#"line 12: feature "2" where feature 1 was"#),
        ("# feature 1 5 2 ", "# feature 1 5 ", "line 12: a feature has an index, a mean, a scale"),
        ("\"mean\"", "mean", r#"line 12: the name "mean" is no JSON string"#),
        ("feature 1 5 2", "feature 1 5 0", "scales [0.0, 1.0] must be positive"),
    ];
    for (from, to, says) in cases {
        let width = if to == long { 1 } else { 2 };
        let error = read(whole.replace(from, to).as_bytes(), width).expect_err(to);
        assert!(error.contains(says), "{to}: {error}");
        assert!(error.len() < 250, "{error}");
    }
    let missing = whole.rsplit_once("# feature").expect("two").0;
    let error = read(missing.as_bytes(), 2).expect_err("one feature");
    assert!(error.contains("its scaling has 1 features, its support vectors 2"), "{error}");
    for cut in 0..HEAD.len() + VECTORS.len() {
        assert!(read(&whole.as_bytes()[..cut], 2).is_err(), "{cut}");
    }
    assert!(read(b"svm_type \xff", 1).expect_err("no text").contains("byte 9"));
}

#[test]
fn a_file_that_claims_too_much_is_refused_before_memory_is_taken() {
    let text = format!("{}SV\n1 1:1\n", HEAD.replace("total_sv 2", "total_sv 1048576"));
    let error = read(text.as_bytes(), 9).expect_err("too many");
    assert!(error.contains("1048576 support vectors for 9 features; at most 8388608"), "{error}");
}
