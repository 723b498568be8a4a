//! Models of a stated size for each sensor, instead of trained ones.

use std::path::Path;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge::pipeline;
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, KeyValue, SensorKey};
use tidegauge_ingest::simulate::Range;
use tidegauge_score::{Calibration, ModelEntry, ModelParams, Registry, SvmParams, SvmParts};
use tidegauge_sink::Storage;

/// The query's columns that models see: all its features.
pub const FEATURES: [&str; 5] = ["n", "mean", "deviation", "lowest", "highest"];
/// The name under which a run looks for its models.
const ALIAS: &str = "champion";

/// Models of `vectors` support vectors each, for `sensors` sensors, five for a device.
pub struct Made {
    pub sensors: u32,
    pub vectors: u32,
    pub window_s: u64,
    /// The key's column that names a sensor within its device.
    pub column: &'static str,
}

impl Made {
    /// Publishes them, around the values that the simulation gives each sensor.
    pub fn publish(&self, folder: &Path, now_us: i64) -> Result<()> {
        let store = pipeline::open_store(&folder.to_string_lossy(), &Storage::default())?;
        let registry = Registry::new(store, "");
        let column = |name: &str| KeyColumn { name: name.into(), kind: KeyType::Int64 };
        let key = KeySchema::new(vec![column("Device"), column(self.column)]);
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(self.sensors));
        let entry = |number| entry(number, self.vectors, self.window_s, &mut random);
        let entries = (0..self.sensors).map(entry).collect::<Result<Vec<_>>>()?;
        let version = registry.publish(&key, entries, None, "of the benchmark", now_us)?;
        registry.move_alias(ALIAS, version, now_us)?;
        Ok(())
    }
}

fn entry(number: u32, vectors: u32, window_s: u64, random: &mut ChaCha8Rng) -> Result<ModelEntry> {
    let (device, sensor) = (number / 5 + 1, number % 5);
    let Range { min, max } = Range::REFERENCE[sensor as usize];
    let (middle, width) = (f64::midpoint(min, max), max - min);
    // Of uniform values: their mean, spread and extremes.
    let mean = vec![window_s as f64, middle, width / 3.5, min, max];
    let scale = vec![1.0, width / 3.5, width / 7.0, width / 7.0, width / 7.0];
    let mut near = || random.random_range(-1.5..1.5);
    let params = SvmParams::new(SvmParts {
        vectors: (0..vectors as usize * FEATURES.len()).map(|_| near()).collect(),
        alpha: vec![1.0 / f64::from(vectors); vectors as usize],
        gamma: 1.0 / FEATURES.len() as f64,
        // Hardly any row is an anomaly, as in a plant.
        rho: 0.005,
        mean,
        scale,
        ..SvmParts::default()
    });
    let scores = (0..1_000).map(|n| f64::from(n) / 1_000.0 - 0.95).collect();
    let key = [i64::from(device), i64::from(sensor) + 1].map(KeyValue::Int);
    Ok(ModelEntry {
        key: SensorKey(key.into()),
        features: FEATURES.map(String::from).to_vec(),
        model: ModelParams::OneClassSvm(params.context("a model")?),
        threshold: 0.0,
        calibration: Calibration::from_scores(scores),
        training: None,
        source: "made up by the benchmark".into(),
    })
}
