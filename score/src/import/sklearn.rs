//! scikit-learn's one-class SVM, alone or behind a StandardScaler or a RobustScaler.
//!
//! *Never read*: `n_support_`, which holds uninitialised memory in old files. What is not a
//! Gaussian kernel on dense data is refused by name.

use super::numpy::{Array, array, number};
use super::pickle::{Pickle, Value};
use crate::svm::{SvmParams, SvmParts, SvmScore};

/// Most steps that a pipeline may have for its names to be listed.
const MAX_STEPS: usize = 16;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The model.
    pub svm: SvmParams,
    /// The features that it was fitted on, if it knows their names.
    pub features: Option<Vec<String>>,
    /// The version of scikit-learn that wrote it, if it says.
    pub version: Option<String>,
}

/// Reads a pickle or a joblib file that [`super::compression::unpack`] unpacked.
///
/// # Errors
/// What is wrong with it, for people.
pub fn read(bytes: &[u8]) -> Result<Imported, String> {
    let pickle = Pickle::read(bytes).map_err(|e| e.to_string())?;
    let root = pickle.root();
    let state = state(&pickle, root)?;
    let version = pickle.get(state, "_sklearn_version").and_then(|v| pickle.text(v));
    let version = version.map(String::from);
    let steps = match class(&pickle, root) {
        "Pipeline" => steps(&pickle, state)?,
        _ => vec![root],
    };
    let names: Vec<&str> = steps.iter().map(|step| class(&pickle, *step)).collect();
    let (scaler, svm) = match (names.as_slice(), steps.as_slice()) {
        (["OneClassSVM"], [svm]) => (None, *svm),
        (["StandardScaler" | "RobustScaler", "OneClassSVM"], [scaler, svm]) => {
            (Some(*scaler), *svm)
        }
        _ => {
            return Err(format!(
                "it has the steps {names:?}; OneClassSVM is read, alone or behind StandardScaler \
                 or RobustScaler"
            ));
        }
    };
    let features = feature_names(&pickle, scaler.unwrap_or(svm))?;
    Ok(Imported { svm: params(&pickle, scaler, svm)?, features, version })
}

/// The name of the class of an instance; another value has none.
fn class(pickle: &Pickle<'_>, value: Value) -> &'static str {
    pickle.object(value).map_or("no object", |object| object.class)
}

fn state(pickle: &Pickle<'_>, value: Value) -> Result<Value, String> {
    let object = pickle.object(value).ok_or("it holds no model")?;
    object.state.ok_or_else(|| format!("its {} has no state", object.class))
}

fn steps(pickle: &Pickle<'_>, state: Value) -> Result<Vec<Value>, String> {
    let steps = pickle.get(state, "steps").and_then(|steps| pickle.items(steps));
    let steps = steps.filter(|s| s.len() <= MAX_STEPS).ok_or("its pipeline has no steps")?;
    let step = |step: &Value| match pickle.items(*step) {
        Some([_, model]) => Ok(*model),
        _ => Err("its pipeline has a step that is no pair".to_string()),
    };
    steps.iter().map(step).collect()
}

fn params(pickle: &Pickle<'_>, scaler: Option<Value>, svm: Value) -> Result<SvmParams, String> {
    let of = Fields { pickle, class: "OneClassSVM", state: state(pickle, svm)? };
    match of.get("kernel").and_then(|k| pickle.text(k)) {
        Some("rbf") => {}
        Some(other) => return Err(format!("its kernel is {other:?}; only \"rbf\" is read")),
        None => return Err("its kernel is no name; only \"rbf\" is read".into()),
    }
    if of.get("_sparse") == Some(Value::Bool(true)) {
        return Err("it was fitted on sparse data: fit it on dense data".into());
    }
    if of.get("fit_status_").is_some_and(|status| number(pickle, status) != Some(0.0)) {
        return Err("its fit did not succeed (fit_status_)".into());
    }
    let vectors = of.array(&["support_vectors_"])?;
    let [count, width] = *vectors.shape else {
        return Err(format!("its support_vectors_ has the shape {:?}", vectors.shape));
    };
    let alpha = of.array(&["dual_coef_", "_dual_coef_"])?;
    if alpha.shape != [1, count] {
        return Err(format!("it has {count} support vectors and weights of {:?}", alpha.shape));
    }
    let intercept = of.array(&["intercept_", "_intercept_"])?;
    let [intercept] = *intercept.data else {
        return Err(format!("its intercept_ has the shape {:?}", intercept.shape));
    };
    let (mean, scale) = match scaler {
        Some(scaler) => scaling(pickle, scaler, width)?,
        None => (vec![0.0; width], vec![1.0; width]),
    };
    let gamma = gamma(&of, width)?;
    let (vectors, alpha, rho) = (vectors.data, alpha.data, -intercept);
    let score = SvmScore::Decision;
    let parts = SvmParts { mean, scale, vectors, alpha, gamma, rho, score };
    SvmParams::new(parts).map_err(|e| e.to_string())
}

/// `_gamma` is what the fit used; `gamma` is what was asked for, and is a number in the oldest
/// files.
fn gamma(of: &Fields<'_, '_>, width: usize) -> Result<f64, String> {
    let fitted = of.get("_gamma").and_then(|g| number(of.pickle, g));
    let asked = of.get("gamma");
    match (fitted, asked) {
        (Some(gamma), _) => Ok(gamma),
        (None, Some(asked)) => match (number(of.pickle, asked), of.pickle.text(asked)) {
            (Some(gamma), _) if gamma > 0.0 => Ok(gamma),
            // Before 0.22 a gamma of 0 meant "auto".
            (Some(_), _) | (_, Some("auto")) => Ok(1.0 / width as f64),
            _ => Err("its gamma is no number and it doesn't say what the fit used".into()),
        },
        (None, None) => Err("it has no gamma".into()),
    }
}

/// What is subtracted and what then divides; a scaler that doesn't do one of them leaves features
/// as they are.
fn scaling(
    pickle: &Pickle<'_>,
    scaler: Value,
    width: usize,
) -> Result<(Vec<f64>, Vec<f64>), String> {
    let class = class(pickle, scaler);
    let of = Fields { pickle, class, state: state(pickle, scaler)? };
    let part = |switch: &str, name: &str, without: f64| {
        if !of.is_on(switch)? {
            return Ok(vec![without; width]);
        }
        let found = of.array(&[name])?;
        match found.shape == [width] {
            true => Ok(found.data),
            false => {
                Err(format!("its {name} has the shape {:?} for {width} features", found.shape))
            }
        }
    };
    match class {
        // A unit_variance is in scale_ already.
        "RobustScaler" => {
            Ok((part("with_centering", "center_", 0.0)?, part("with_scaling", "scale_", 1.0)?))
        }
        _ => Ok((part("with_mean", "mean_", 0.0)?, part("with_std", "scale_", 1.0)?)),
    }
}

fn feature_names(pickle: &Pickle<'_>, of: Value) -> Result<Option<Vec<String>>, String> {
    let Some(names) = pickle.get(state(pickle, of)?, "feature_names_in_") else { return Ok(None) };
    // An array of Python objects: its state ends in the list of them.
    let list = pickle.object(names).and_then(|object| pickle.items(object.state?)?.last().copied());
    let names = list.and_then(|list| pickle.items(list));
    let names = names.map(|n| n.iter().map(|v| pickle.text(*v).map(String::from)).collect());
    names.unwrap_or(None).map(Some).ok_or_else(|| "its feature_names_in_ are no names".to_string())
}

/// The attributes of one instance.
struct Fields<'a, 'b> {
    pickle: &'a Pickle<'b>,
    class: &'static str,
    state: Value,
}

impl Fields<'_, '_> {
    fn get(&self, name: &str) -> Option<Value> {
        self.pickle.get(self.state, name)
    }

    /// Whether a setting is true, however Python or numpy spells it.
    fn is_on(&self, name: &str) -> Result<bool, String> {
        let value = self.get(name).ok_or_else(|| format!("its {} has no {name}", self.class))?;
        match (value, number(self.pickle, value)) {
            (Value::Bool(on), _) => Ok(on),
            (_, Some(number)) => Ok(number != 0.0),
            _ => Err(format!("its {name} is neither true nor false")),
        }
    }

    /// The array under the first of the names that is there.
    fn array(&self, names: &[&str]) -> Result<Array, String> {
        let found = names.iter().find_map(|name| Some((name, self.get(name)?)));
        let (name, value) =
            found.ok_or_else(|| format!("its {} has no {}", self.class, names[0]))?;
        array(self.pickle, value).map_err(|e| format!("its {}.{name}: {e}", self.class))
    }
}
