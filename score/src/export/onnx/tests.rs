//! The file by what a reader of protocol buffers finds in it. What runtimes make of it is tested by
//! `tests/interchange`.

use super::super::tests::{entry, parts};
use super::*;
use crate::svm::SvmParts;

/// The fields of a message: number, and a varint or bytes.
#[derive(Debug)]
enum Field<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Int(value) => panic!("{value} is no message"),
        }
    }

    fn text(&self) -> &'a str {
        std::str::from_utf8(self.bytes()).expect("text")
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).expect("an end");
    let (head, rest) = bytes.split_at(end + 1);
    *bytes = rest;
    head.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Int(value as i64),
            2 => {
                let (head, rest) = bytes.split_at(value as usize);
                bytes = rest;
                Field::Bytes(head)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn all<'a>(message: &'a [u8], number: u64) -> Vec<Field<'a>> {
    fields(message).into_iter().filter(|(n, _)| *n == number).map(|(_, field)| field).collect()
}

fn texts(message: &[u8], number: u64) -> Vec<&str> {
    all(message, number).iter().map(Field::text).collect()
}

fn ints(message: &[u8], number: u64) -> Vec<i64> {
    let int = |field: &Field<'_>| match field {
        Field::Int(value) => *value,
        Field::Bytes(_) => panic!("{field:?} is no number"),
    };
    all(message, number).iter().map(int).collect()
}

fn only(message: &[u8], number: u64) -> &[u8] {
    let found = all(message, number);
    assert_eq!(found.len(), 1, "field {number}");
    found[0].bytes()
}

#[test]
fn model_and_graph_say_what_they_are() {
    let file = export_onnx(&entry(parts(), 0.25)).expect("exports");
    assert_eq!(ints(&file, 1), [7]);
    assert_eq!(texts(&file, 2), ["tidegauge"]);
    let doc = "One-class SVM of sensor 1/pump \"7\"\n. X: x0, x1. scores: the decision function. \
               label: 1 is normal, -1 an anomaly, where scores <= -0.25.";
    assert_eq!(texts(&file, 6), [doc]);
    let set = only(&file, 8);
    assert_eq!((texts(set, 1), ints(set, 2)), (vec![""], vec![13]));
    let properties: Vec<(&str, &str)> = all(&file, 14)
        .iter()
        .map(|property| (texts(property.bytes(), 1)[0], texts(property.bytes(), 2)[0]))
        .collect();
    let expected = [
        ("kind", "one_class_svm"),
        ("sensor", "1/pump \"7\"\n"),
        ("features", r#"["x0","x1"]"#),
        ("threshold", "0.25"),
        ("source", "trained here"),
    ];
    assert_eq!(properties, expected);
    let graph = only(&file, 7);
    let values = |number| -> Vec<String> {
        let show = |value: &Field<'_>| {
            let tensor = only(only(value.bytes(), 2), 1);
            let shape = all(only(tensor, 2), 1);
            let (rows, columns) = (texts(shape[0].bytes(), 2)[0], ints(shape[1].bytes(), 1)[0]);
            format!("{} {}[{rows},{columns}]", texts(value.bytes(), 1)[0], ints(tensor, 1)[0])
        };
        all(graph, number).iter().map(show).collect()
    };
    assert_eq!(values(11), ["X 11[N,2]"]);
    assert_eq!(values(12), ["label 7[N,1]", "scores 11[N,1]"]);
}

#[test]
fn nodes_use_what_is_there_and_name_their_outputs_once() {
    let file = export_onnx(&entry(parts(), 0.25)).expect("exports");
    let graph = only(&file, 7);
    let mut known = vec!["X"];
    known.extend(all(graph, 5).iter().map(|tensor| texts(tensor.bytes(), 8)[0]));
    let mut used = Vec::new();
    for node in all(graph, 1) {
        let (inputs, outputs) = (texts(node.bytes(), 1), texts(node.bytes(), 2));
        assert!(inputs.iter().all(|input| known.contains(input)), "{inputs:?} of {outputs:?}");
        assert!(outputs.len() == 1 && !known.contains(&outputs[0]), "{outputs:?}");
        known.extend(outputs);
        used.extend(inputs);
    }
    used.extend(["scores", "label"]);
    let unused: Vec<_> = known.iter().filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn tensors_are_the_model_s_numbers() {
    let file = export_onnx(&entry(parts(), 0.25)).expect("exports");
    let graph = only(&file, 7);
    let tensor = |name: &str| {
        let found = all(graph, 5).into_iter().find(|t| texts(t.bytes(), 8)[0] == name);
        let tensor = found.expect(name).bytes();
        let raw = only(tensor, 9).chunks_exact(8).map(|b| b.try_into().expect("8 bytes"));
        let numbers: Vec<f64> = match ints(tensor, 2)[0] {
            DOUBLE => raw.map(f64::from_le_bytes).collect(),
            _ => raw.map(|bytes| i64::from_le_bytes(bytes) as f64).collect(),
        };
        (ints(tensor, 1), numbers)
    };
    let parts = parts();
    assert_eq!(tensor("mean"), (vec![2], parts.mean));
    assert_eq!(tensor("scale"), (vec![2], parts.scale));
    assert_eq!(tensor("alpha"), (vec![3, 1], parts.alpha));
    assert_eq!((tensor("rho").1, tensor("border").1), (vec![0.3], vec![-0.25]));
    assert_eq!((tensor("normal").1, tensor("anomaly").1), (vec![1.0], vec![-1.0]));
    // The centre is 0 in both features, sqrt(gamma) is 1/2.
    let close = |name: &str, shape: &[i64], expected: &[f64]| {
        let (found_shape, found) = tensor(name);
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(near && found_shape == shape && found.len() == expected.len(), "{name} {found:?}");
    };
    close("centre", &[2], &[0.0, 0.0]);
    close("root_gamma", &[], &[0.5]);
    close("twice_vectors", &[2, 3], &[1.5, 0.1, -1.6, -0.5, 0.2, 0.3]);
    close("vector_norms", &[1, 3], &[0.625, 0.0125, 0.6625]);
}

#[test]
fn models_that_would_lose_their_digits_are_refused_with_what_to_do() {
    let spread = |by: f64| {
        let vectors = parts().vectors.iter().map(|v| v * by).collect();
        export_onnx(&entry(SvmParts { vectors, ..parts() }, 0.0))
    };
    assert!(spread(1e4).is_ok());
    for by in [1e5, 1e200, 1e308] {
        let error = spread(by).expect_err("too far");
        assert!(error.contains("standardise its features, or export it as libsvm"), "{error}");
    }
    let level = SvmParts { vectors: vec![1e9, 1.0, 1e9 + 1.0, 2.0, 1e9 - 1.0, 3.0], ..parts() };
    assert!(export_onnx(&entry(level, 0.0)).is_ok(), "far from zero but near each other");
}
