//! Models for other programs: ONNX, and the text files of libsvm.
//!
//! Both carry the model itself and its threshold. What else an entry knows (severities, what it was
//! trained on) stays here.

mod libsvm;
mod onnx;
pub(crate) mod protobuf;

pub use libsvm::export_libsvm;
pub use onnx::export_onnx;

use tidegauge_flow::{KeySchema, SensorKey};

use crate::entry::ModelEntry;
use crate::import::{PREFIX, name_to_key};
use crate::model::ModelParams;
use crate::svm::SvmParams;

/// The name of a sensor's model as a file, without an ending: `model_<key>_<key>`.
///
/// # Errors
/// When the key has a value that no name of a file can have, or that
/// [`name_to_key`] would not read back.
pub fn key_to_name(key: &SensorKey, schema: &KeySchema) -> Result<String, String> {
    let values: Vec<String> = key.0.iter().map(ToString::to_string).collect();
    let name = format!("{PREFIX}{}", values.join("_"));
    if name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
        return Err(format!(
            "sensor {key:?} can't name a file: it has a slash or control character"
        ));
    }
    match name_to_key(&format!("{name}.libsvm"), schema) {
        Ok(read) if read == *key => Ok(name),
        _ => Err(format!("sensor {key} can't name a file: {name:?} would be read as another one")),
    }
}

/// The parameters of an entry that was checked.
fn one_class_svm(entry: &ModelEntry) -> Result<&SvmParams, String> {
    entry.check().map_err(|e| e.to_string())?;
    match &entry.model {
        ModelParams::OneClassSvm(svm) => Ok(svm),
        other => Err(format!("its kind is {}: only one-class SVMs are written", other.kind())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
