//! Models of other programs as ONNX files, run by ONNX Runtime.
//!
//! *A model is a program*: what a file computes, how long and in how much memory, its author decides. Only
//! models that are trusted should be put in force. A file that names other files is refused.

pub(crate) mod file;
mod model;
mod runtime;

pub use model::OnnxModel;
pub use runtime::{LIBRARY_VARIABLE, use_library};

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::file::{Element, Port, Signature};
use crate::svm::MAX_WIDTH;

/// Most bytes that a file may have.
pub const MAX_BYTES: usize = 16 << 20;

/// Why a file is no model that can score.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidOnnx(pub String);

/// What an output says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Larger is more anomalous.
    Scores,
    /// Larger is more normal and 0 the boundary, as scikit-learn's `decision_function`: the score is -f.
    Decision,
}

/// Unchecked parts on their way to [`OnnxParams::new`]; in JSON all but the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxParts {
    /// The input that takes rows: float or double, `[N, d]`.
    pub input: String,
    /// The output that is the score: float or double, `[N]` or `[N, 1]`.
    pub output: String,
    /// What the output says.
    pub meaning: Meaning,
    /// The training mean of each feature, for reasons; empty when not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::exact::list")]
    pub means: Vec<f64>,
}

/// The parameters of one model, checked: see [`OnnxParams::new`]. Cheap to clone.
#[derive(Clone)]
pub struct OnnxParams {
    parts: OnnxParts,
    file: Bytes,
    width: usize,
    element: Element,
    /// It takes one row at a time.
    one_row: bool,
    /// The model once it is built: a session is large, and all lanes of a process share it.
    built: Arc<Mutex<Option<Arc<OnnxModel>>>>,
}

impl OnnxParams {
    /// A file's bytes with what is to be known of it. No runtime is needed for that.
    ///
    /// # Errors
    /// When the file is larger than [`MAX_BYTES`], is no ONNX model, keeps numbers in other files, has
    /// not exactly this input, or not this output; or when there are means, but not one finite number for
    /// each feature.
    pub fn new(parts: OnnxParts, file: Bytes) -> Result<Self, InvalidOnnx> {
        Self::check(parts, file).map_err(InvalidOnnx)
    }

    fn check(parts: OnnxParts, file: Bytes) -> Result<Self, String> {
        let signature = read(&file)?;
        let (one_row, width, element) = input(&signature, &parts.input)?;
        let port = signature.outputs.iter().find(|port| port.name == parts.output);
        let port = port.ok_or_else(|| {
            let found = names(&signature.outputs);
            format!("it has no output {:?}, its outputs are {found}", parts.output)
        })?;
        if !is_score(port) {
            let expected = "a score is float or double, [N] or [N, 1]";
            return Err(format!("its output {:?} is {}: {expected}", port.name, shape(port)));
        }
        let means = parts.means.len();
        if means > 0 && means != width {
            return Err(format!("it has {means} means for {width} features"));
        }
        if let Some(mean) = parts.means.iter().find(|mean| !mean.is_finite()) {
            return Err(format!("a mean is {mean}, it must be a finite number"));
        }
        Ok(Self { parts, file, width, element, one_row, built: Arc::default() })
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What stands in JSON.
    pub fn parts(&self) -> &OnnxParts {
        &self.parts
    }

    /// The output that is the score.
    pub fn output(&self) -> &str {
        &self.parts.output
    }

    /// What the output says.
    pub fn meaning(&self) -> Meaning {
        self.parts.meaning
    }

    /// The training mean of each feature; empty when not known.
    pub fn means(&self) -> &[f64] {
        &self.parts.means
    }

    /// The file's bytes.
    pub fn file(&self) -> &Bytes {
        &self.file
    }

    /// The model that scores, built when it is first asked for.
    ///
    /// # Errors
    /// As [`OnnxModel::new`]; the next call tries again.
    pub fn build(&self) -> Result<Arc<OnnxModel>, String> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = &*built {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(OnnxModel::new(self)?);
        *built = Some(Arc::clone(&model));
        Ok(model)
    }
}

impl PartialEq for OnnxParams {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts && self.file == other.file
    }
}

/// Without the file, which has megabytes.
impl fmt::Debug for OnnxParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, file, width, .. } = self;
        write!(f, "OnnxParams({parts:?}, {width} features, {} bytes)", file.len())
    }
}

/// The ends of a file's graph, if it may be as large as it is.
pub(crate) fn read(file: &[u8]) -> Result<Signature, String> {
    if file.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, at most {MAX_BYTES} are read", file.len()));
    }
    // ONNX Runtime would take it as a model of its own format.
    if file.get(4..8) == Some(b"ORTM") {
        return Err("it is in the format of ONNX Runtime: save it as ONNX".into());
    }
    Signature::read(file)
}

/// The only input: whether it takes one row at a time, the features of a row, and what they are.
pub(crate) fn input(sig: &Signature, name: &str) -> Result<(bool, usize, Element), String> {
    let [port] = sig.inputs.as_slice() else {
        return Err(format!("it has the inputs {}, expected one", names(&sig.inputs)));
    };
    if port.name != name {
        return Err(format!("it has no input {name:?}, its input is {:?}", port.name));
    }
    let found = || {
        let expected = "rows are float or double, [N, d], with d a number up to";
        format!("its input {name:?} is {}: {expected} {MAX_WIDTH}", shape(port))
    };
    match port.shape.as_deref() {
        _ if port.element == Element::Other => Err(found()),
        Some([rows @ (None | Some(1)), Some(width)]) if *width <= MAX_WIDTH => {
            Ok((rows.is_some(), *width, port.element))
        }
        _ => Err(found()),
    }
}

/// Whether an output can be a score, as far as it says.
pub(crate) fn is_score(port: &Port) -> bool {
    let fits = matches!(port.shape.as_deref(), None | Some([_] | [_, None | Some(1)]));
    fits && port.element != Element::Other
}

/// What a port is, for messages.
fn shape(port: &Port) -> String {
    let length = |length: &Option<usize>| length.map_or("?".to_string(), |n| n.to_string());
    let shape = match &port.shape {
        Some(lengths) => lengths.iter().map(length).collect::<Vec<_>>().join(", "),
        None => "of unknown shape".into(),
    };
    format!("{:?} [{shape}]", port.element).to_lowercase()
}

pub(crate) fn names(ports: &[Port]) -> String {
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    format!("{names:?}")
}

#[cfg(test)]
pub(crate) mod tests;
