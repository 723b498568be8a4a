//! Sensors with a model each, and windows of rows for them.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge_flow::{
    KeyColumn, KeyPart, KeySchema, KeyType, KeyValue, SensorKey, Sensors, WindowRows,
};
use tidegauge_score::{
    Calibration, ModelEntry, ModelParams, ModelSet, Models, Scorer, SetHeader, SvmParams, SvmParts,
};

/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600_000_000;

pub struct Plant {
    pub features: usize,
    pub models: Vec<SvmParams>,
    pub sensors: Sensors,
}

impl Plant {
    /// # Panics
    /// When there are more sensors than memory has room for.
    pub fn new(sensors: u32, vectors: usize, features: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(sensors));
        let mut model = || {
            let mut around = |count: usize, centre: f64, width: f64| -> Vec<f64> {
                (0..count).map(|_| centre + width * random.random_range(-1.0..1.0)).collect()
            };
            SvmParams::new(SvmParts {
                mean: around(features, 50.0, 2.0),
                scale: around(features, 10.0, 1.0),
                vectors: around(vectors * features, 0.0, 1.0),
                alpha: around(vectors, 0.5, 0.5),
                gamma: 1.0 / features as f64,
                // Far below what the rows reach: hardly any is an anomaly, as in a plant.
                rho: 0.1,
                ..SvmParts::default()
            })
            .expect("a model")
        };
        let models = (0..sensors).map(|_| model()).collect();
        Self { models, ..Self::without_models(sensors, features) }
    }

    /// Only the sensors.
    ///
    /// # Panics
    /// As [`Plant::new`].
    pub fn without_models(sensors: u32, features: usize) -> Self {
        let mut named = Sensors::new(Arc::new(key()), sensors);
        for sensor in 0..i64::from(sensors) {
            named.intern(&[KeyPart::Int(sensor)]).expect("there is room");
        }
        Self { features, models: Vec::new(), sensors: named }
    }

    /// The features of one window, row-major.
    pub fn rows(&self, window: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(1_000 + window);
        let count = self.sensors.len() * self.features;
        (0..count).map(|_| 50.0 + 10.0 * random.random_range(-1.0..1.0)).collect()
    }

    /// The same as a closed window's rows.
    pub fn window(&self, window: u64) -> Result<WindowRows> {
        let count = self.sensors.len();
        let sensor: Vec<u32> = (0..count as u32).collect();
        let values = self.rows(window);
        let time = |at: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_value(at, count).with_timezone("UTC"))
        };
        let end = START_US + (window as i64 + 1) * 5_000_000;
        let mut columns = self.sensors.columns(&sensor);
        columns.extend([time(end - 5_000_000), time(end)]);
        for feature in 0..self.features {
            let column = values.iter().skip(feature).step_by(self.features).copied();
            columns.push(Arc::new(Float64Array::from_iter_values(column)));
        }
        let batch = RecordBatch::try_new(Arc::new(self.schema()), columns)?;
        let (n_readings, revision) = (vec![5; count], vec![0; count]);
        Ok(WindowRows { sensor, n_readings, revision, superseded: 0, batch })
    }

    /// A scorer with all models in force.
    pub fn scorer(&self) -> Result<Scorer> {
        let note = String::new();
        let header = SetHeader { version: 1, base: None, key: key(), note, created_us: START_US };
        let set = ModelSet::new(header, self.entries()?)?;
        self.scorer_of(Models::new(vec![Arc::new(set)]))
    }

    /// A scorer with these models in force.
    pub fn scorer_of(&self, models: Models) -> Result<Scorer> {
        Ok(Scorer::new(&self.schema(), 1, &self.names(), Some(models), 1)?)
    }

    /// The models as a set has them.
    pub fn entries(&self) -> Result<Vec<ModelEntry>> {
        let scores: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 1_000.0 - 0.9).collect();
        let calibration = Calibration::from_scores(scores).context("a calibration")?;
        let names = self.names();
        let entry = |(sensor, model): (usize, &SvmParams)| ModelEntry {
            key: SensorKey([KeyValue::Int(sensor as i64)].into()),
            features: names.clone(),
            model: ModelParams::OneClassSvm(model.clone()),
            threshold: 0.0,
            calibration: Some(calibration.clone()),
            training: None,
            source: "made up".into(),
        };
        Ok(self.models.iter().enumerate().map(entry).collect())
    }

    fn names(&self) -> Vec<String> {
        (0..self.features).map(|n| format!("f{n}")).collect()
    }

    fn schema(&self) -> Schema {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = vec![
            Field::new("Id", DataType::Int64, false),
            Field::new("window_start", time.clone(), false),
            Field::new("window_end", time, false),
        ];
        let feature = |n: usize| Field::new(format!("f{n}"), DataType::Float64, true);
        fields.extend((0..self.features).map(feature));
        Schema::new(fields)
    }
}

pub fn key() -> KeySchema {
    KeySchema::new(vec![KeyColumn { name: "Id".into(), kind: KeyType::Int64 }])
}
