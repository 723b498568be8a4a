//! Trains on the rows of `tests/data/sklearn/training.json` and writes the models as JSON, for
//! `tests/data/sklearn/make.py` to evaluate: `export_trained TRAINING_JSON OUTPUT_JSON`.

use std::error::Error;
use std::fs;

use serde::{Deserialize, Serialize};
use tidegauge_flow::{KeyValue, SensorKey};
use tidegauge_score::ModelParams;
use tidegauge_score::train::{SensorRows, TrainOptions, train};

#[derive(Deserialize)]
struct Case {
    name: String,
    width: usize,
    nu: f64,
    gamma: f64,
    training: Vec<f64>,
    rows: Vec<f64>,
}

#[derive(Serialize)]
struct Trained {
    name: String,
    mean: Vec<f64>,
    scale: Vec<f64>,
    vectors: Vec<f64>,
    alpha: Vec<f64>,
    gamma: f64,
    rho: f64,
    rows: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err("usage: export_trained TRAINING_JSON OUTPUT_JSON".into());
    };
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(input)?)?;
    let trained = cases.into_iter().map(train_case).collect::<Result<Vec<_>, _>>()?;
    fs::write(output, serde_json::to_vec(&trained)?)?;
    Ok(())
}

fn train_case(case: Case) -> Result<Trained, Box<dyn Error>> {
    let n = case.training.len() / case.width;
    let samples = SensorRows {
        key: SensorKey(Box::new([KeyValue::Int(1)])),
        window_end_us: (0..n as i64).collect(),
        rows: case.training,
    };
    let options = TrainOptions { nu: case.nu, gamma: Some(case.gamma), ..TrainOptions::default() };
    let features: Vec<String> = (0..case.width).map(|i| format!("x{i}")).collect();
    let report = train(&features, &[samples], &options, &|_| {})?;
    let entry = report.entries.first().ok_or_else(|| format!("{:?}", report.skipped))?;
    let ModelParams::OneClassSvm(svm) = &entry.model else { return Err("another kind".into()) };
    Ok(Trained {
        name: case.name,
        mean: svm.mean().to_vec(),
        scale: svm.scale().to_vec(),
        vectors: svm.vectors().to_vec(),
        alpha: svm.alpha().to_vec(),
        gamma: svm.gamma(),
        rho: svm.rho(),
        rows: case.rows,
    })
}
