//! An ONNX model of plain operators in double precision, for any runtime.
//!
//! *Why not `SVMRegressor`*: that operator of `ai.onnx.ml` is the one-class SVM, but runtimes have
//! it in single precision only, or not at all.
//!
//! *How*: with w the standardised row and u a support vector, both less the support vectors' centre
//! and times sqrt(gamma), the exponent -|w - u|^2 is 2 w u - |w|^2 - |u|^2: a matrix product
//! instead of a difference per row, vector and feature. The centre keeps what cancels small; what
//! rounding leaves is about 1e-15 times the largest |u|^2, hence [`MAX_SPREAD`].
//!
//! `Clip` stands between the factor sqrt(gamma) and the product: ONNX Runtime would merge a factor
//! next to a `MatMul` into it, in single precision, and decisions would differ by 1e-9.
//!
//! Source of messages, fields and operators: `onnx.proto` and `Operators.md` of ONNX. Operator set
//! 13 and IR version 7 are those of ONNX 1.8 (2020): ONNX Runtime loads them from 1.6 on.

use super::one_class_svm;
use super::protobuf::Message;
use crate::entry::ModelEntry;
use crate::svm::SvmParams;

const IR_VERSION: i64 = 7;
const OPERATOR_SET: i64 = 13;

/// `TensorProto.DataType`.
const INT64: i64 = 7;
const DOUBLE: i64 = 11;

/// Most coordinates of support vectors: 256 MiB of numbers, far below protobuf's 2 GiB.
const MAX_COORDINATES: usize = 1 << 25;

/// Largest gamma times squared distance of a support vector from their centre.
const MAX_SPREAD: f64 = 1e9;

/// A coordinate of a row goes as far, so that no square overflows: every kernel is 0 there.
const FAR: f64 = 1e100;

/// (operator, inputs, output), in the order in which they run.
const GRAPH: [(&str, &[&str], &str); 16] = [
    ("Sub", &["X", "mean"], "shifted"),
    ("Div", &["shifted", "scale"], "standardised"),
    ("Sub", &["standardised", "centre"], "centred"),
    ("Mul", &["centred", "root_gamma"], "scaled"),
    ("Clip", &["scaled", "minus_far", "far"], "rows"),
    ("Mul", &["rows", "rows"], "squares"),
    ("ReduceSum", &["squares", "features"], "row_norms"),
    ("MatMul", &["rows", "twice_vectors"], "products"),
    ("Sub", &["products", "row_norms"], "partial"),
    ("Sub", &["partial", "vector_norms"], "rounded_exponents"),
    ("Min", &["rounded_exponents", "zero"], "exponents"),
    ("Exp", &["exponents"], "kernel"),
    ("MatMul", &["kernel", "alpha"], "kernel_mass"),
    ("Sub", &["kernel_mass", "rho"], "scores"),
    ("Greater", &["scores", "border"], "is_normal"),
    ("Where", &["is_normal", "normal", "anomaly"], "label"),
];

/// The model as the bytes of an ONNX file.
///
/// - Input `X`: double `[N, d]`, raw rows with the entry's features in its order, finite.
/// - Output `scores`: double `[N, 1]`, the decision f as scikit-learn's `decision_function` has it;
///   the score of this crate is -f.
/// - Output `label`: int64 `[N, 1]`, 1 for normal and -1 for an anomaly, by the entry's threshold as
///   one of the decision: a row is normal when f > -threshold, which at threshold 0 is scikit-learn's `predict`.
///
/// The metadata has `kind`, `sensor`, `features` (a JSON array), `threshold` and `source`. Severities
/// are not exported.
///
/// # Errors
/// When the entry is no valid one-class SVM, has more than 2^25 coordinates of support vectors, or
/// support vectors so far apart on the scale of its kernel that the decision would lose its digits.
pub fn export_onnx(entry: &ModelEntry) -> Result<Vec<u8>, String> {
    let svm = one_class_svm(entry)?;
    if svm.vectors().len() > MAX_COORDINATES {
        return Err(format!(
            "the model of sensor {} has {} support vectors of {} features; at most \
             {MAX_COORDINATES} coordinates are exported",
            entry.key,
            svm.alpha().len(),
            svm.width()
        ));
    }
    let tensors = tensors(entry, svm)?;
    let width = svm.width() as i64;
    let graph = Message::default()
        .each(1, GRAPH.iter().map(node))
        .text(2, "one_class_svm")
        .each(5, tensors)
        .message(11, value("X", DOUBLE, width))
        .message(12, value("label", INT64, 1))
        .message(12, value("scores", DOUBLE, 1));
    let properties = properties(entry, svm);
    let property = |(key, value): &(&str, String)| Message::default().text(1, key).text(2, value);
    let model = Message::default()
        .int(1, IR_VERSION)
        .text(2, "tidegauge")
        .text(3, env!("CARGO_PKG_VERSION"))
        .text(6, &doc(entry, svm))
        .message(7, graph)
        .message(8, Message::default().text(1, "").int(2, OPERATOR_SET))
        .each(14, properties.iter().map(property));
    Ok(model.finish())
}

/// The constants that [`GRAPH`] names.
fn tensors(entry: &ModelEntry, svm: &SvmParams) -> Result<Vec<Message>, String> {
    let (count, width) = (svm.alpha().len(), svm.width());
    let Centred { centre, vectors, norms } = Centred::new(svm);
    let spread = norms.iter().copied().fold(0.0, f64::max);
    if spread > MAX_SPREAD {
        return Err(format!(
            "the model of sensor {} has support vectors at {spread:e} from their centre (gamma \
             times squared distance), at most {MAX_SPREAD:e} keep the decision's digits: \
             standardise its features, or export it as libsvm",
            entry.key
        ));
    }
    let (n, d) = (count as i64, width as i64);
    let twice: Vec<f64> =
        (0..count * width).map(|i| 2.0 * vectors[i % count * width + i / count]).collect();
    Ok(vec![
        doubles("mean", &[d], svm.mean()),
        doubles("scale", &[d], svm.scale()),
        doubles("centre", &[d], &centre),
        doubles("root_gamma", &[], &[svm.gamma().sqrt()]),
        doubles("minus_far", &[], &[-FAR]),
        doubles("far", &[], &[FAR]),
        int64s("features", &[1], &[1]),
        doubles("twice_vectors", &[d, n], &twice),
        doubles("vector_norms", &[1, n], &norms),
        doubles("zero", &[], &[0.0]),
        doubles("alpha", &[n, 1], svm.alpha()),
        doubles("rho", &[], &[svm.rho()]),
        doubles("border", &[], &[0.0 - svm.as_decision(entry.threshold)]),
        int64s("normal", &[], &[1]),
        int64s("anomaly", &[], &[-1]),
    ])
}

/// Support vectors less their mean and times sqrt(gamma), row-major, with their squared norms.
struct Centred {
    centre: Vec<f64>,
    vectors: Vec<f64>,
    norms: Vec<f64>,
}

impl Centred {
    fn new(svm: &SvmParams) -> Self {
        let (count, width, root) = (svm.alpha().len(), svm.width(), svm.gamma().sqrt());
        let mut centre = vec![0.0; width];
        for vector in svm.vectors().chunks_exact(width) {
            centre.iter_mut().zip(vector).for_each(|(sum, v)| *sum += v / count as f64);
        }
        let rows = svm.vectors().chunks_exact(width);
        let vectors: Vec<f64> =
            rows.flat_map(|row| row.iter().zip(&centre).map(|(v, c)| (v - c) * root)).collect();
        let norm = |row: &[f64]| row.iter().map(|u| u * u).sum();
        let norms = vectors.chunks_exact(width).map(norm).collect();
        Self { centre, vectors, norms }
    }
}

fn node((operator, inputs, output): &(&str, &[&str], &str)) -> Message {
    let inputs = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    // `keepdims` of ReduceSum is 1 unless it says otherwise.
    inputs.text(2, output).text(3, output).text(4, operator)
}

fn doubles(name: &str, shape: &[i64], numbers: &[f64]) -> Message {
    tensor(name, DOUBLE, shape, numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
}

fn int64s(name: &str, shape: &[i64], numbers: &[i64]) -> Message {
    tensor(name, INT64, shape, numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
}

fn tensor(name: &str, kind: i64, shape: &[i64], raw: Vec<u8>) -> Message {
    let shape = shape.iter().fold(Message::default(), |tensor, length| tensor.int(1, *length));
    shape.int(2, kind).text(8, name).bytes(9, &raw)
}

/// An input or output of the graph: `[N, columns]`.
fn value(name: &str, kind: i64, columns: i64) -> Message {
    let rows = Message::default().text(2, "N");
    let shape = Message::default().message(1, rows).message(1, Message::default().int(1, columns));
    let tensor = Message::default().int(1, kind).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

fn properties(entry: &ModelEntry, svm: &SvmParams) -> [(&'static str, String); 5] {
    [
        ("kind", entry.model.kind().into()),
        ("sensor", entry.key.to_string()),
        ("features", serde_json::Value::from(entry.features.clone()).to_string()),
        ("threshold", svm.as_decision(entry.threshold).to_string()),
        ("source", entry.source.clone()),
    ]
}

fn doc(entry: &ModelEntry, svm: &SvmParams) -> String {
    format!(
        "One-class SVM of sensor {}. X: {}. scores: the decision function. label: 1 is normal, -1 \
         an anomaly, where scores <= {}.",
        entry.key,
        entry.features.join(", "),
        0.0 - svm.as_decision(entry.threshold)
    )
}

#[cfg(test)]
mod tests;
