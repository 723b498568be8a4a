//! libsvm's text, with the scaling behind it that [`crate::import::libsvm`] describes and reads.

use std::fmt::Write;

use super::one_class_svm;
use crate::entry::ModelEntry;
use crate::import::MAX_BYTES;
use crate::import::libsvm::SCALING;
use crate::svm::SvmParams;

/// The model as text that libsvm loads and [`crate::import_files`] reads back to the same bits:
/// numbers have 17 significant digits.
///
/// libsvm's decisions are those of the model on standardised rows, z = (x - mean) / scale; mean,
/// scale and threshold stand behind the support vectors, where libsvm doesn't read them. Its labels
/// are those of threshold 0: an anomaly is a decision of at most minus the threshold.
///
/// # Errors
/// When the entry is no valid one-class SVM, or the text would be longer than what is read back.
pub fn export_libsvm(entry: &ModelEntry) -> Result<String, String> {
    let svm = one_class_svm(entry)?;
    let width = svm.width();
    let mut text = format!(
        "svm_type one_class\nkernel_type rbf\ngamma {:.16e}\nnr_class 2\ntotal_sv {}\nrho \
         {:.16e}\nSV\n",
        svm.gamma(),
        svm.alpha().len(),
        svm.rho()
    );
    for (alpha, vector) in svm.alpha().iter().zip(svm.vectors().chunks_exact(width)) {
        // Writing to memory can't fail.
        let _ = write!(text, "{alpha:.16e}");
        for (i, value) in vector.iter().enumerate() {
            let _ = write!(text, " {}:{value:.16e}", i + 1);
        }
        text.push('\n');
        if text.len() > MAX_BYTES {
            break;
        }
    }
    scaling(&mut text, entry, svm);
    match text.len() <= MAX_BYTES {
        true => Ok(text),
        false => Err(format!(
            "the model of sensor {} with {} support vectors of {width} features is more than \
             {MAX_BYTES} bytes of text: export it as ONNX",
            entry.key,
            svm.alpha().len()
        )),
    }
}

fn scaling(text: &mut String, entry: &ModelEntry, svm: &SvmParams) {
    let (sensor, threshold) = (quoted(&entry.key.to_string()), svm.as_decision(entry.threshold));
    let _ = writeln!(text, "{SCALING}\n# sensor {sensor}\n# threshold {threshold:.16e}");
    let scaling = svm.mean().iter().zip(svm.scale());
    for (i, (name, (mean, scale))) in entry.features.iter().zip(scaling).enumerate() {
        let name = quoted(name);
        let _ = writeln!(text, "# feature {} {mean:.16e} {scale:.16e} {name}", i + 1);
    }
}

/// A JSON string: one line, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
