//! The packed loop against the formula, written plainly.

use proptest::prelude::*;

use super::*;

fn svm(width: usize, rows: usize, value: impl Fn(usize) -> f64) -> SvmParams {
    SvmParams::new(SvmParts {
        mean: (0..width).map(|i| value(i) * 10.0).collect(),
        scale: (0..width).map(|i| 0.5 + value(i + 7).abs()).collect(),
        vectors: (0..rows * width).map(|i| value(i + 13) * 2.0).collect(),
        alpha: (0..rows).map(|i| 0.01 + value(i + 29).abs()).collect(),
        gamma: 0.3,
        rho: 1.25,
        ..SvmParts::default()
    })
    .expect("the numbers are a model")
}

fn wave(i: usize) -> f64 {
    (i as f64 * 1.618).sin()
}

/// The definition, with the library's exp.
fn plain(svm: &SvmParams, row: &[f64]) -> f64 {
    let width = svm.width();
    let kernel = |vector: &[f64]| {
        let mut distance = 0.0;
        for f in 0..width {
            let z = (row[f] - svm.mean()[f]) / svm.scale()[f];
            distance += (z - vector[f]).powi(2);
        }
        (-svm.gamma() * distance).exp()
    };
    let vectors = svm.vectors().chunks_exact(width);
    vectors.zip(svm.alpha()).map(|(v, a)| a * kernel(v)).sum::<f64>() - svm.rho()
}

fn check(svm: &SvmParams, rows: &[f64]) {
    let n = rows.len() / svm.width();
    for path in Path::ALL {
        let packed = PackedSvm::with_path(svm, path);
        let mut out = vec![0.0; n];
        packed.decide(rows, &mut out);
        for (row, f) in rows.chunks_exact(svm.width()).zip(out) {
            let expected = plain(svm, row);
            assert!((f - expected).abs() <= 1e-12 * svm.mass(), "{path:?}: {f} is not {expected}");
        }
    }
}

proptest! {
    #[test]
    fn both_paths_agree_with_the_formula(
        width in 1usize..40,
        vectors in 1usize..70,
        rows in prop::collection::vec(-30.0..30.0f64, 0..400),
    ) {
        let rows = &rows[..rows.len() / width * width];
        check(&svm(width, vectors, wave), rows);
    }
}

#[test]
fn a_row_far_from_everything_decides_exactly_minus_rho() {
    let svm = svm(2, 20, wave);
    for far in [1e3, -1e3, 1e150, 1e300, f64::MAX, f64::MIN] {
        for path in Path::ALL {
            let mut out = [f64::NAN; 1];
            PackedSvm::with_path(&svm, path).decide(&[far, 0.0], &mut out);
            assert_eq!(out[0], -1.25, "{far} on {path:?}");
        }
    }
}

#[test]
fn log_mass_is_the_logarithm_of_the_sum_and_goes_on_where_the_sum_underflows() {
    let svm = svm(3, 20, wave);
    let packed = PackedSvm::new(&svm);
    let near = [1.0, 9.0, -3.0];
    let expected = (plain(&svm, &near) + svm.rho()).ln();
    assert!((packed.log_mass(&near) - expected).abs() < 1e-9);
    let (far, farther) = ([1e4, 9.0, -3.0], [2e4, 9.0, -3.0]);
    assert!(packed.log_mass(&far) < -1e4);
    assert!(packed.log_mass(&farther) < packed.log_mass(&far));
}

#[test]
fn numbers_that_are_no_model_are_refused() {
    let good = SvmParts {
        mean: vec![0.0],
        scale: vec![1.0],
        vectors: vec![0.5, 1.5],
        alpha: vec![0.5, 0.5],
        gamma: 1.0,
        rho: 0.2,
        ..SvmParts::default()
    };
    assert!(SvmParams::new(good.clone()).is_ok());
    let cases: [fn(&mut SvmParts); 12] = [
        |p| p.mean.clear(),
        |p| p.scale.push(1.0),
        |p| p.scale[0] = 0.0,
        |p| p.scale[0] = f64::NAN,
        |p| p.vectors.truncate(1),
        |p| p.vectors[0] = f64::INFINITY,
        |p| p.alpha[0] = -0.5,
        |p| p.alpha[1] = f64::NAN,
        |p| p.alpha = vec![0.0, 0.0],
        |p| p.gamma = -1.0,
        |p| p.gamma = f64::NAN,
        |p| p.rho = f64::INFINITY,
    ];
    for (i, spoil) in cases.into_iter().enumerate() {
        let mut parts = good.clone();
        spoil(&mut parts);
        assert!(SvmParams::new(parts).is_err(), "case {i}");
    }
}

/// A model with rows and scikit-learn's decisions, as `tests/data/sklearn/make.py` writes them.
#[derive(serde::Deserialize)]
struct Golden {
    name: String,
    mean: Vec<f64>,
    scale: Vec<f64>,
    vectors: Vec<f64>,
    alpha: Vec<f64>,
    gamma: f64,
    rho: f64,
    rows: Vec<f64>,
    decisions: Vec<f64>,
}

fn check_golden(file: &str) {
    let path = format!("../tests/data/sklearn/{file}");
    let text = std::fs::read_to_string(path).expect("golden file");
    let cases: Vec<Golden> = serde_json::from_str(&text).expect("golden file");
    assert!(cases.len() >= 6, "{file} has cases");
    for case in cases {
        let Golden { name, mean, scale, vectors, alpha, gamma, rho, rows, decisions } = case;
        let svm = SvmParams::new(SvmParts {
            mean,
            scale,
            vectors,
            alpha,
            gamma,
            rho,
            ..SvmParts::default()
        });
        let svm = svm.expect("scikit-learn's numbers are a model");
        for path in Path::ALL {
            let mut out = vec![0.0; decisions.len()];
            PackedSvm::with_path(&svm, path).decide(&rows, &mut out);
            for (f, expected) in out.iter().zip(&decisions) {
                let scale = expected.abs().max(svm.mass());
                let apart = (f - expected).abs();
                assert!(apart <= 1e-9 * scale, "{name} on {path:?}: {f} is not {expected}");
            }
        }
    }
}

#[test]
fn fm_51_decisions_of_scikit_learn_s_models_are_scikit_learn_s() {
    check_golden("models.json");
}

#[test]
fn fm_51_decisions_of_models_trained_here_are_those_of_scikit_learn_s_kernel() {
    check_golden("trained.json");
}
