//! Models that users bring: files of scikit-learn and libsvm, read without either, and ONNX files.

pub mod compression;
pub mod libsvm;
pub mod numpy;
mod onnx;
pub mod pickle;
pub mod sklearn;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use tidegauge_flow::{KeySchema, KeyValue, SensorKey};

use crate::entry::ModelEntry;
use crate::model::ModelParams;
use crate::set::describe;

/// What the name of a model's file begins with.
pub(crate) const PREFIX: &str = "model_";

/// Endings that are no part of the sensor's name.
const ENDINGS: [&str; 7] = [".pkl", ".pickle", ".joblib", ".sav", ".model", ".libsvm", ".onnx"];

/// Endings of compressed files, behind one of [`ENDINGS`] or alone. Those that are not read are
/// here too: the reason is then their content, not their name.
const COMPRESSED: [&str; 6] = [".gz", ".z", ".bz2", ".xz", ".lzma", ".lz4"];

/// Most files that one import looks at.
pub const MAX_FILES: usize = 1_000_000;

/// Most bytes that a file may have, as it is and unpacked.
pub const MAX_BYTES: usize = pickle::MAX_BYTES;

/// Models that were read, and files that were not with the reason.
pub type Imports = (Vec<ModelEntry>, Vec<(PathBuf, String)>);

/// Reads files, and all files of folders (not of folders in them), each named `model_<key>_<key>`
/// for its sensor. `features` are the columns that the models will see, in their order. What a file
/// is, its content says: text of libsvm, an ONNX model, or a pickle, which zlib or gzip may have
/// compressed. ONNX Runtime is not needed to read an ONNX file, only to score by it.
///
/// An imported model's threshold is exactly 0 (a row is an anomaly when its decision is not above
/// 0), unless the file has a scaling of [`libsvm`] that names another, or is an ONNX file
/// that [`export_onnx`](crate::export_onnx) has written with another.
pub fn import_files(paths: &[PathBuf], key: &KeySchema, features: &[String]) -> Imports {
    let (mut entries, mut refused): Imports = Default::default();
    let mut files = Vec::new();
    for path in paths {
        match list(path) {
            Ok(found) => files.extend(found),
            Err(error) => refused.push((path.clone(), error.to_string())),
        }
    }
    if let Some(file) = files.get(MAX_FILES) {
        refused.push((
            file.clone(),
            format!("over the limit of {MAX_FILES} files, like all after it"),
        ));
        files.truncate(MAX_FILES);
    }
    let mut seen = HashSet::new();
    for path in files {
        match import_file(&path, key, features) {
            Ok(entry) if seen.contains(&entry.key) => {
                refused.push((path, format!("sensor {} has a model already", entry.key)));
            }
            Ok(entry) => {
                seen.insert(entry.key.clone());
                entries.push(entry);
            }
            Err(reason) => refused.push((path, reason)),
        }
    }
    (entries, refused)
}

/// The sensor that a model's name says: what follows `model_`, split at underscores into as many
/// values as there are key columns; the first one takes what is too much.
///
/// # Errors
/// What is wrong with the name.
pub fn name_to_key(name: &str, key: &KeySchema) -> Result<SensorKey, String> {
    let refuse = || format!("{name:?} does not name a sensor: expected {PREFIX}{}", pattern(key));
    let without = |name, endings: &[&str]| {
        endings.iter().find_map(|ending| str::strip_suffix(name, ending)).unwrap_or(name)
    };
    let stem = without(without(name, &COMPRESSED), &ENDINGS);
    let rest = stem.strip_prefix(PREFIX).ok_or_else(refuse)?;
    let columns = key.columns();
    let mut parts: Vec<&str> = rest.rsplitn(columns.len(), '_').collect();
    parts.reverse();
    if parts.len() != columns.len() || parts.iter().any(|part| part.is_empty()) {
        return Err(refuse());
    }
    let values = parts.iter().zip(columns).map(|(part, column)| KeyValue::parse(part, column.kind));
    let values: Option<Vec<KeyValue>> = values.collect();
    values.map(|values| SensorKey(values.into())).ok_or_else(refuse)
}

fn pattern(key: &KeySchema) -> String {
    let names: Vec<_> = key.columns().iter().map(|c| format!("<{}>", c.name)).collect();
    format!("{} for {}", names.join("_"), describe(key))
}

fn import_file(path: &Path, key: &KeySchema, features: &[String]) -> Result<ModelEntry, String> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("its name is no text")?;
    let key = name_to_key(name, key)?;
    let imported = read(bytes(path)?, features.len())?;
    if let Some(fitted) = imported.features.filter(|fitted| fitted != features) {
        return Err(format!(
            "it was fitted on the features {fitted:?}, the query gives {features:?}"
        ));
    }
    let entry = ModelEntry {
        key,
        features: features.to_vec(),
        model: imported.model,
        threshold: imported.threshold,
        calibration: None,
        training: None,
        source: format!("{}, {name}", imported.written_by),
    };
    entry.check().map_err(|e| e.to_string())?;
    Ok(entry)
}

/// The bytes of a file of up to [`MAX_BYTES`], unpacked.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes, which is all that is read"));
    }
    match compression::unpack(&bytes)? {
        Cow::Owned(content) => Ok(content),
        Cow::Borrowed(_) => Ok(bytes),
    }
}

/// What a file holds, whatever its format.
struct Imported {
    model: ModelParams,
    features: Option<Vec<String>>,
    threshold: f64,
    written_by: String,
}

/// Picks the reader by how the content begins: no pickle begins like a text of libsvm, or like ONNX.
fn read(bytes: Vec<u8>, width: usize) -> Result<Imported, String> {
    if libsvm::is_libsvm(&bytes) {
        let libsvm::Imported { svm, features, threshold } = libsvm::read(&bytes, width)?;
        let model = ModelParams::OneClassSvm(svm);
        return Ok(Imported { model, features, threshold, written_by: "libsvm".into() });
    }
    if onnx::is_onnx(&bytes) {
        return onnx::read(bytes, width);
    }
    let sklearn::Imported { svm, features, version } = sklearn::read(&bytes)?;
    let model = ModelParams::OneClassSvm(svm);
    let version = version.unwrap_or_else(|| "of unknown version".into());
    let written_by = format!("scikit-learn {version}");
    Ok(Imported { model, features, threshold: 0.0, written_by })
}

/// The file itself, or the visible files of a folder by name.
fn list(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)?.take(MAX_FILES + 1) {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path())?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
