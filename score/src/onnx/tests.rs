//! Files by their bytes, and by what ONNX Runtime makes of them.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::export::protobuf::Message;
use crate::model::Model;

pub(crate) const FLOAT: i64 = 1;
pub(crate) const DOUBLE: i64 = 11;

/// Whether ONNX Runtime is here; CI must have it.
pub(crate) fn runtime_is_here() -> bool {
    let here = std::env::var_os(LIBRARY_VARIABLE).is_some();
    assert!(here || std::env::var_os("CI").is_none(), "CI must set {LIBRARY_VARIABLE}");
    if !here {
        let _ = writeln!(std::io::stderr(), "skipped: {LIBRARY_VARIABLE} is not set");
    }
    here
}

/// A graph of one operator from `X` and `weights` (d x 1) to `output`.
#[derive(Clone)]
pub(crate) struct Small {
    pub element: i64,
    pub operator: &'static str,
    pub weights: Vec<f64>,
    pub output: &'static str,
    /// Of `X`; 0 stands for any length.
    pub input_shape: Vec<i64>,
    /// Of the output; empty for none.
    pub output_shape: Vec<i64>,
}

impl Small {
    /// X times weights.
    pub fn linear(element: i64, weights: &[f64]) -> Self {
        Self {
            element,
            operator: "MatMul",
            weights: weights.to_vec(),
            output: "sum",
            input_shape: vec![0, weights.len() as i64],
            output_shape: vec![0, 1],
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.with(Message::default())
    }

    /// With more fields of the tensor of weights.
    fn with(&self, tensor: Message) -> Vec<u8> {
        let doubles = self.weights.iter().flat_map(|w| w.to_le_bytes());
        let floats = self.weights.iter().flat_map(|w| (*w as f32).to_le_bytes());
        let raw: Vec<u8> = if self.element == FLOAT { floats.collect() } else { doubles.collect() };
        let tensor = tensor.int(1, self.weights.len() as i64).int(1, 1).int(2, self.element);
        let tensor = tensor.text(8, "weights").bytes(9, &raw);
        let node = Message::default().text(1, "X").text(1, "weights").text(2, self.output);
        let graph = Message::default()
            .message(1, node.text(4, self.operator))
            .text(2, "small")
            .message(5, tensor)
            .message(11, port("X", self.element, &self.input_shape))
            // As files of before 2019 have it.
            .message(11, port("weights", self.element, &[self.weights.len() as i64, 1]))
            .message(12, port(self.output, self.element, &self.output_shape));
        let model = Message::default().int(1, 7).text(2, "by hand").message(7, graph);
        model.message(8, Message::default().text(1, "").int(2, 13)).finish()
    }
}

fn port(name: &str, element: i64, lengths: &[i64]) -> Message {
    let dimension = |length: &i64| match length {
        0 => Message::default().text(2, "N"),
        _ => Message::default().int(1, *length),
    };
    let shape = Message::default().each(1, lengths.iter().map(dimension));
    let tensor = Message::default().int(1, element);
    let tensor = if lengths.is_empty() { tensor } else { tensor.message(2, shape) };
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

pub(crate) fn parts(meaning: Meaning, means: &[f64]) -> OnnxParts {
    OnnxParts { input: "X".into(), output: "sum".into(), meaning, means: means.to_vec() }
}

fn scores(params: &OnnxParams, rows: &[f64]) -> Vec<f64> {
    let model = params.build().expect("ONNX Runtime takes it");
    let mut scores = vec![0.5; rows.len() / params.width()];
    model.scores(rows, &mut scores);
    scores
}

#[test]
fn scores_and_decisions_of_float_and_double_come_out_whatever_their_shape() {
    if !runtime_is_here() {
        return;
    }
    let rows: Vec<f64> = (0..2 * 3_000).map(|i| f64::from(i) * 0.25).collect();
    let expected: Vec<f64> = rows.chunks_exact(2).map(|row| 2.0 * row[0] - 0.5 * row[1]).collect();
    for element in [FLOAT, DOUBLE] {
        let flat = Small { output_shape: vec![0], ..Small::linear(element, &[2.0, -0.5]) };
        let silent = Small { output_shape: vec![], ..flat.clone() };
        let single = Small { input_shape: vec![1, 2], output_shape: vec![1, 1], ..flat.clone() };
        let linear = Small::linear(element, &[2.0, -0.5]);
        for (name, small) in [("[N, 1]", linear), ("silent", silent), ("single", single)] {
            let params = OnnxParams::new(parts(Meaning::Scores, &[]), small.bytes().into());
            let found = scores(&params.expect("a model"), &rows);
            assert_eq!(found, expected, "{element} {name}");
        }
        // The declared shape is not what the graph gives: ONNX Runtime says so or gives its own.
        let flat = OnnxParams::new(parts(Meaning::Decision, &[]), flat.bytes().into());
        if let Ok(model) = flat.expect("a model").build() {
            let mut found = [0.0];
            model.scores(&[1.0, 2.0], &mut found);
            assert!(found[0].is_nan() || found[0] == -1.0, "{found:?}");
        }
    }
    let linear = Small::linear(DOUBLE, &[1.0, 1.0]).bytes();
    let params = OnnxParams::new(parts(Meaning::Decision, &[]), linear.into()).expect("a model");
    let found = scores(&params, &[1.0, -1.0, 1.0, 2.0]);
    assert_eq!(found, [0.0, -3.0]);
    assert_eq!(found[0].to_bits(), 0.0f64.to_bits());
}

#[test]
fn a_run_that_fails_or_gives_no_number_gives_nan() {
    if !runtime_is_here() {
        return;
    }
    // Two numbers for each row; a product with another width; no number.
    let pair = Small { operator: "Mul", weights: vec![1.0], ..Small::linear(DOUBLE, &[1.0, 1.0]) };
    let pair = Small { output_shape: vec![], ..pair };
    let log = Small { operator: "Pow", weights: vec![0.5], ..Small::linear(DOUBLE, &[1.0]) };
    for (small, rows) in [(pair, &[1.0, 2.0][..]), (log, &[-1.0])] {
        for meaning in [Meaning::Scores, Meaning::Decision] {
            let params = OnnxParams::new(parts(meaning, &[]), small.bytes().into());
            let found = scores(&params.expect("a model"), rows);
            assert!(found[0].is_nan(), "{}: {found:?}", small.operator);
        }
    }
}

#[test]
fn features_are_to_blame_for_what_the_score_gains_where_means_are_known() {
    if !runtime_is_here() {
        return;
    }
    let blame = |meaning, means: &[f64]| {
        let file = Small::linear(DOUBLE, &[2.0, -1.0]).bytes();
        let params = OnnxParams::new(parts(meaning, means), file.into()).expect("a model");
        let mut blame = [f64::NAN; 2];
        params.build().expect("builds").blame(&[5.0, 3.0], &mut blame);
        blame
    };
    assert_eq!(blame(Meaning::Scores, &[1.0, 1.0]), [8.0, -2.0]);
    assert_eq!(blame(Meaning::Decision, &[1.0, 1.0]), [-8.0, 2.0]);
    assert_eq!(blame(Meaning::Scores, &[]), [0.0, 0.0]);
}

#[test]
fn lanes_share_one_session_and_what_the_runtime_does_not_take_is_an_error() {
    if !runtime_is_here() {
        return;
    }
    let file = Small::linear(DOUBLE, &[2.0]).bytes();
    let params = OnnxParams::new(parts(Meaning::Scores, &[]), file.into()).expect("a model");
    let (one, other) = (params.build().expect("builds"), params.clone().build().expect("builds"));
    assert!(Arc::ptr_eq(&one, &other));
    let unknown = Small { operator: "Frobnicate", ..Small::linear(DOUBLE, &[2.0]) }.bytes();
    let params = OnnxParams::new(parts(Meaning::Scores, &[]), unknown.into()).expect("a model");
    let error = params.build().expect_err("no such operator");
    assert!(error.starts_with("ONNX Runtime does not take it:"), "{error}");
    assert!(error.contains("Frobnicate") && !error.contains('\n'), "{error}");
}

#[test]
fn files_that_cannot_score_are_refused_with_what_is_wrong() {
    let check = |file: Vec<u8>, parts: OnnxParts, says: &str| {
        let error = OnnxParams::new(parts, file.into()).expect_err(says).to_string();
        assert!(error.contains(says), "{error} does not say {says}");
    };
    let good = Small::linear(DOUBLE, &[2.0, 1.0]);
    let plain = || parts(Meaning::Scores, &[]);
    let shaped = |input_shape: &[i64], output_shape: &[i64]| {
        let (input_shape, output_shape) = (input_shape.to_vec(), output_shape.to_vec());
        Small { input_shape, output_shape, ..good.clone() }.bytes()
    };
    assert!(OnnxParams::new(plain(), good.bytes().into()).is_ok());
    check(vec![], plain(), "it has no graph");
    check(vec![8, 7], plain(), "it has no graph");
    check(good.bytes()[..60].to_vec(), plain(), "only a part of one");
    check([good.bytes(), good.bytes()].concat(), plain(), "two graphs");
    check(vec![0; MAX_BYTES + 1], plain(), "16777217 bytes, at most 16777216");
    check(b"1234ORTM".to_vec(), plain(), "the format of ONNX Runtime");
    check(good.bytes(), OnnxParts { input: "Y".into(), ..plain() }, "its input is \"X\"");
    check(good.bytes(), OnnxParts { output: "Y".into(), ..plain() }, "its outputs are [\"sum\"]");
    check(shaped(&[0, 0], &[0, 1]), plain(), "its input \"X\" is double [?, ?]: rows are float");
    check(shaped(&[5, 2], &[0, 1]), plain(), "double [5, 2]");
    check(shaped(&[0, 2, 2], &[0, 1]), plain(), "double [?, 2, 2]");
    check(shaped(&[0, 4097], &[0, 1]), plain(), "a number up to 4096");
    check(shaped(&[], &[0, 1]), plain(), "[of unknown shape]");
    check(shaped(&[0, 2], &[0, 2]), plain(), "its output \"sum\" is double [?, 2]: a score is");
    check(Small { element: 7, ..good.clone() }.bytes(), plain(), "\"X\" is other [?, 2]");
    check(good.bytes(), parts(Meaning::Scores, &[1.0]), "1 means for 2 features");
    check(good.bytes(), parts(Meaning::Scores, &[1.0, f64::NAN]), "a mean is NaN");
    let location = Message::default().text(1, "location").text(2, "/etc/passwd");
    let elsewhere = [Message::default().int(14, 1), Message::default().message(13, location)];
    for tensor in elsewhere {
        check(good.with(tensor), plain(), "\"weights\" lie in another file");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        keep_whole in any::<bool>(),
    ) {
        let mut file = Small::linear(DOUBLE, &[2.0, 1.0]).bytes();
        for (at, byte) in &changes {
            let at = at.index(file.len());
            file[at] = *byte;
        }
        if !keep_whole {
            file.truncate(cut.index(file.len()));
        }
        // Whatever comes of it: an error, or parameters that were checked.
        if let Ok(params) = OnnxParams::new(parts(Meaning::Scores, &[]), file.into()) {
            prop_assert!((1..=MAX_WIDTH).contains(&params.width()));
        }
    }
}
