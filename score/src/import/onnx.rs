//! ONNX files, of ours and of others.

use super::Imported;
use crate::model::ModelParams;
use crate::onnx::file::{Port, Signature};
use crate::onnx::{self, Meaning, OnnxParams, OnnxParts};

/// The output that scikit-learn's converters and our own export give the decision function.
const SCORES: &str = "scores";

/// The producer of files that our own export writes.
const OURS: &str = "tidegauge";

/// The tag of `ModelProto.ir_version`, with which files begin. No pickle and no text does.
pub(super) fn is_onnx(bytes: &[u8]) -> bool {
    bytes.first() == Some(&8)
}

/// The output `scores`, or the only one of floating numbers, is taken as a decision function. What our
/// own export says of features and threshold holds.
pub(super) fn read(bytes: Vec<u8>, width: usize) -> Result<Imported, String> {
    let signature = onnx::read(&bytes)?;
    let name = signature.inputs.first().map_or("", |input| input.name.as_str());
    let (_, found, _) = onnx::input(&signature, name)?;
    if found != width {
        return Err(format!("it takes {found} features, the query gives {width}"));
    }
    let parts = OnnxParts {
        input: name.to_string(),
        output: output(&signature.outputs)?.name.clone(),
        meaning: Meaning::Decision,
        means: Vec::new(),
    };
    let is_ours = signature.producer == OURS;
    let (features, threshold) = if is_ours { said(&signature)? } else { (None, 0.0) };
    let model = OnnxParams::new(parts, bytes.into()).map_err(|e| e.to_string())?;
    let written_by = match signature.producer.is_empty() {
        true => "ONNX".into(),
        false => format!("ONNX of {}", signature.producer),
    };
    Ok(Imported { model: ModelParams::Onnx(model), features, threshold, written_by })
}

fn output(outputs: &[Port]) -> Result<&Port, String> {
    let mut floating = outputs.iter().filter(|port| onnx::is_score(port));
    let named = outputs.iter().find(|port| port.name == SCORES);
    match (named, floating.next(), floating.next()) {
        (Some(named), ..) => Ok(named),
        (None, Some(only), None) => Ok(only),
        _ => Err(format!(
            "its outputs are {}: expected one of the name {SCORES:?}, or a single one that is float \
             or double, [N] or [N, 1]",
            onnx::names(outputs)
        )),
    }
}

/// The features, and the threshold of -f.
fn said(signature: &Signature) -> Result<(Option<Vec<String>>, f64), String> {
    let said = |key| signature.property(key);
    let wrong = |key: &str, text: &str| format!("its property {key} is {text:?}");
    let features = said("features")
        .map(|text| serde_json::from_str::<Vec<String>>(text).map_err(|_| wrong("features", text)));
    let threshold = said("threshold").map(|text| {
        let number = text.parse().ok().filter(|n: &f64| n.is_finite());
        number.ok_or_else(|| wrong("threshold", text))
    });
    Ok((features.transpose()?, threshold.transpose()?.unwrap_or(0.0)))
}
