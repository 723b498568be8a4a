//! Imports or trains the models that `tests/interchange/check.py` describes, exports them, and
//! writes our own decisions for it to compare with: `interchange FOLDER`.
//!
//! Reads `cases.json` (see [`Case`]), the models that it names, and for each case `<name>.rows`:
//! doubles in little-endian order, row-major. Writes for each `<name>.onnx`, `<name>.libsvm`,
//! `<name>.decisions` (doubles) and `exported.json`.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, KeyValue, SensorKey};
use tidegauge_score::train::{SensorRows, TrainOptions, train};
use tidegauge_score::{
    ModelEntry, ModelParams, PackedSvm, export_libsvm, export_onnx, import_files, key_to_name,
};

#[derive(Deserialize)]
struct Case {
    name: String,
    width: usize,
    /// A file of a model; without one, a model is trained on `<name>.training`.
    model: Option<String>,
}

#[derive(Serialize)]
struct Exported {
    name: String,
    threshold: f64,
    /// The sum of the weights: what differences are measured by.
    mass: f64,
    vectors: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: interchange FOLDER")?;
    let folder = Path::new(&folder);
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(folder.join("cases.json"))?)?;
    let exported = cases.iter().map(|case| run(folder, case)).collect::<Result<Vec<_>, _>>()?;
    fs::write(folder.join("exported.json"), serde_json::to_vec(&exported)?)?;
    Ok(())
}

fn run(folder: &Path, case: &Case) -> Result<Exported, Box<dyn Error>> {
    let features: Vec<String> = (0..case.width).map(|i| format!("x{i}")).collect();
    let file = |ending: &str| folder.join(format!("{}.{ending}", case.name));
    let entry = match &case.model {
        Some(model) => import(&folder.join(model), &features)?,
        None => trained(&numbers(&file("training"))?, &features)?,
    };
    let rows = numbers(&file("rows"))?;
    let decisions = decisions(&entry, &rows);
    fs::write(file("onnx"), export_onnx(&entry)?)?;
    let text = export_libsvm(&entry)?;
    fs::write(file("libsvm"), &text)?;
    // The same text under the name of its sensor has to come back as the same model.
    let named = folder.join(format!("{}.libsvm", key_to_name(&entry.key, &schema())?));
    fs::write(&named, &text)?;
    let again = import(&named, &features)?;
    fs::remove_file(named)?;
    let bits = |decisions: &[f64]| decisions.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
    let same = bits(&self::decisions(&again, &rows)) == bits(&decisions);
    let ModelParams::OneClassSvm(svm) = &entry.model else { return Err("another kind".into()) };
    // Text knows the decision only, so a threshold comes back as that of the decision.
    let threshold = svm.as_decision(entry.threshold);
    if !same || again.threshold.to_bits() != threshold.to_bits() {
        return Err(format!("{}: libsvm's text did not come back as it was", case.name).into());
    }
    fs::write(
        file("decisions"),
        decisions.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>(),
    )?;
    Ok(Exported {
        name: case.name.clone(),
        threshold,
        mass: svm.mass(),
        vectors: svm.alpha().len(),
    })
}

fn schema() -> KeySchema {
    KeySchema::new(vec![KeyColumn { name: "sensor".into(), kind: KeyType::Int64 }])
}

fn import(path: &Path, features: &[String]) -> Result<ModelEntry, String> {
    let (entries, refused) = import_files(&[path.to_path_buf()], &schema(), features);
    entries.into_iter().next().ok_or_else(|| format!("{refused:?}"))
}

fn trained(rows: &[f64], features: &[String]) -> Result<ModelEntry, Box<dyn Error>> {
    let samples = SensorRows {
        key: SensorKey(Box::new([KeyValue::Int(1)])),
        window_end_us: (0..(rows.len() / features.len()) as i64).collect(),
        rows: rows.to_vec(),
    };
    let report = train(features, &[samples], &TrainOptions::default(), &|_| {})?;
    let entry = report.entries.into_iter().next();
    Ok(entry.ok_or_else(|| format!("{:?}", report.skipped))?)
}

fn decisions(entry: &ModelEntry, rows: &[f64]) -> Vec<f64> {
    let ModelParams::OneClassSvm(svm) = &entry.model else { panic!("another kind") };
    let mut decisions = vec![0.0; rows.len() / svm.width()];
    PackedSvm::new(svm).decide(rows, &mut decisions);
    decisions
}

fn numbers(path: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let number = |bytes: &[u8]| Ok(f64::from_le_bytes(bytes.try_into()?));
    bytes.chunks(8).map(number).collect()
}
