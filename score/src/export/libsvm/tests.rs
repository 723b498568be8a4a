//! The text by its lines, and that reading it back loses no bit.

use proptest::prelude::*;

use super::super::tests::{entry, parts};
use super::*;
use crate::import::libsvm;
use crate::model::ModelParams;
use crate::svm::{SvmParams, SvmParts};

#[test]
fn the_text_is_libsvm_s_with_the_scaling_behind_it() {
    let text = export_libsvm(&entry(parts(), 0.125)).expect("exports");
    let expected = r#"svm_type one_class
kernel_type rbf
gamma 2.5000000000000000e-1
nr_class 2
total_sv 3
rho 2.9999999999999999e-1
SV
6.9999999999999996e-1 1:1.5000000000000000e0 2:-5.0000000000000000e-1
1.0000000000000001e-1 1:1.0000000000000001e-1 2:2.0000000000000001e-1
2.0000000000000001e-1 1:-1.6000000000000001e0 2:2.9999999999999999e-1
# tidegauge scaling 1
# sensor "1/pump \"7\"\n"
# threshold 1.2500000000000000e-1
# feature 1 8.2473147459727372e1 1.3468691442303644e0 "x0"
# feature 2 -1.0000000000000001e-9 3.3333333333333331e-1 "x1"
"#;
    assert_eq!(text, expected);
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn all_bits(svm: &SvmParams) -> Vec<u64> {
    let columns = [svm.mean(), svm.scale(), svm.vectors(), svm.alpha(), &[svm.gamma(), svm.rho()]];
    columns.concat().iter().map(|number| number.to_bits()).collect()
}

fn models() -> impl Strategy<Value = (SvmParts, f64)> {
    let any = || -1e9..1e9f64;
    let number = move || prop_oneof![any(), Just(0.0), Just(-0.0), Just(5e-324), Just(1e300)];
    let positive = || prop_oneof![1e-9..1e9f64, Just(0.1), Just(1.0)];
    (1usize..5, 1usize..6).prop_flat_map(move |(d, n)| {
        let columns = (
            prop::collection::vec(number(), d),
            prop::collection::vec(positive(), d),
            prop::collection::vec(number(), d * n),
            prop::collection::vec(positive(), n),
        );
        (columns, positive(), any(), number()).prop_map(|(columns, gamma, rho, threshold)| {
            let (mean, scale, vectors, alpha) = columns;
            (SvmParts { mean, scale, vectors, alpha, gamma, rho, ..SvmParts::default() }, threshold)
        })
    })
}

proptest! {
    #[test]
    fn what_is_exported_reads_back_to_the_same_bits_and_decisions(
        (parts, threshold) in models(),
        rows in prop::collection::vec(-100.0..100.0f64, 20),
    ) {
        let width = parts.mean.len();
        let entry = entry(parts, threshold);
        let text = export_libsvm(&entry).expect("exports");
        let read = libsvm::read(text.as_bytes(), width).expect("reads back");
        let ModelParams::OneClassSvm(svm) = &entry.model else { panic!("another kind") };
        prop_assert_eq!(all_bits(&read.svm), all_bits(svm));
        prop_assert_eq!(read.threshold.to_bits(), threshold.to_bits());
        prop_assert_eq!(read.features.as_ref(), Some(&entry.features));
        let rows = &rows[..rows.len() / width * width];
        let scores = |model: &ModelParams| {
            let mut scores = vec![0.0; rows.len() / width];
            model.build().expect("builds").scores(rows, &mut scores);
            bits(&scores)
        };
        prop_assert_eq!(scores(&ModelParams::OneClassSvm(read.svm)), scores(&entry.model));
    }
}

#[test]
fn a_text_that_would_not_be_read_back_is_refused() {
    let (width, count) = (64, 45_000);
    let svm = SvmParts {
        mean: vec![0.0; width],
        scale: vec![1.0; width],
        vectors: vec![0.1; width * count],
        alpha: vec![1.0; count],
        gamma: 1.0,
        rho: 0.5,
        ..SvmParts::default()
    };
    let error = export_libsvm(&entry(svm, 0.0)).expect_err("over 64 MiB");
    assert!(
        error.contains("45000 support vectors of 64 features is more than 67108864"),
        "{error}"
    );
    assert!(error.contains("export it as ONNX"), "{error}");
}
