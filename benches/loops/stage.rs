//! Messages, sensors, windows and models, ready to be run over.

use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Float64Type;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tidegauge_aggregate::{Query, WindowSettings, Windows};
use tidegauge_flow::{
    KeyColumn, KeyPart, KeySchema, KeyType, ReadingSchema, Readings, Sensors, WindowRows, time,
};
use tidegauge_ingest::simulate::{EventNames, Simulation, Simulator, to_json};
use tidegauge_ingest::{Decoder, EventMapping, Format, Message};
use tidegauge_score::{
    Calibration, ModelEntry, ModelParams, ModelSet, Models, Scorer, SetHeader, SvmParams, SvmParts,
};

/// Messages of one call, as a worker takes them.
pub const BATCH: usize = 10_000;
pub const SENSORS: u32 = 2_000;
/// Windows of one file.
pub const WINDOWS: u32 = 50;
/// Support vectors of a model.
const VECTORS: usize = 50;
/// 2026-01-01T00:00:00Z.
const START_NS: i64 = 1_767_225_600 * time::NANOS;
const QUERY: &str = r#"SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean,
    stddev("Value") AS deviation, min("Value") AS lowest, max("Value") AS highest
    FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"#;
const FEATURES: [&str; 5] = ["n", "mean", "deviation", "lowest", "highest"];

pub struct Stage {
    payloads: Vec<Vec<u8>>,
    mapping: Arc<EventMapping>,
    query: Arc<Query>,
}

impl Stage {
    pub fn new() -> Self {
        let key = Arc::new(key());
        let schema =
            ReadingSchema { key: key.clone(), time: "TS".into(), values: vec!["Value".into()] };
        let simulation = Simulation {
            devices: SENSORS / 5,
            jitter_ns: 2 * time::NANOS,
            ..Simulation::reference(START_NS, 42)
        };
        let names = EventNames::default();
        let bytes = |event| {
            let mut out = Vec::new();
            to_json(&event, &names, &mut out);
            out
        };
        let simulator = Simulator::new(simulation).expect("a simulation");
        Self {
            payloads: simulator.take(BATCH).map(bytes).collect(),
            mapping: Arc::new(EventMapping::new("TS", key, vec!["Value".into()])),
            query: Arc::new(Query::plan(QUERY, &schema).expect("a query")),
        }
    }

    pub fn decoder(&self) -> Decoder {
        Decoder::new(self.mapping.clone(), Format::Json)
    }

    /// Decodes all messages.
    pub fn decode(&self, decoder: &mut Decoder, sensors: &mut Sensors, readings: &mut Readings) {
        for (offset, payload) in (0..).zip(&self.payloads) {
            let message = Message { offset, timestamp_ms: None, payload: Some(payload) };
            decoder.decode(&message, START_NS, sensors, readings).expect("a good event");
        }
    }

    /// All sensors, as a lane has them after a while.
    pub fn known_sensors(&self) -> Sensors {
        let mut sensors = Sensors::new(self.mapping.key.clone(), SENSORS);
        for key in (0..SENSORS).map(parts) {
            sensors.intern(&key).expect("there is room");
        }
        sensors
    }

    /// The keys of one batch.
    pub fn keys(&self) -> Vec<[KeyPart<'static>; 2]> {
        (0..BATCH as u32).map(|n| parts(n % SENSORS)).collect()
    }

    /// The decoded messages.
    pub fn readings(&self, sensors: &mut Sensors) -> Readings {
        let mut readings = Readings::new(1);
        self.decode(&mut self.decoder(), sensors, &mut readings);
        readings
    }

    pub fn windows(&self) -> Windows {
        let settings =
            WindowSettings { out_of_order_ns: 5 * time::NANOS, ..WindowSettings::default() };
        Windows::new(self.query.clone(), settings, 1)
    }

    /// Windows with one open window, the `number`-th, of all sensors.
    pub fn full_window(&self, sensors: &Sensors, number: u32) -> Windows {
        let mut windows = self.windows();
        let mut readings = Readings::new(1);
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(number));
        let start_ns = START_NS + i64::from(number) * 5 * time::NANOS;
        for second in 0..5 {
            for sensor in 0..SENSORS {
                readings.sensor.push(sensor);
                readings.time_ns.push(start_ns + 1 + second * time::NANOS);
                readings.offset.push(0);
                // As sensors tell them: two digits.
                let value = f64::from(random.random_range(8_000..8_500)) / 100.0;
                readings.values[0].push(Some(value));
            }
        }
        windows.push(0, &readings, sensors).expect("pushed");
        windows
    }

    /// The rows of that window.
    pub fn closed(&self, sensors: &Sensors, number: u32) -> WindowRows {
        let mut windows = self.full_window(sensors, number);
        windows.drain();
        let rows = windows.close(sensors).expect("closed").expect("rows");
        assert_eq!(rows.len(), SENSORS as usize, "a row for each sensor");
        rows
    }

    /// A scorer with a model per sensor, in whose middle the rows lie.
    pub fn scorer(&self) -> Scorer {
        let sensors = self.known_sensors();
        let rows = self.closed(&sensors, 0);
        let column = |name: &str| {
            let column = rows.batch.column_by_name(name).expect("a feature");
            let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64);
            column.expect("a number").as_primitive::<Float64Type>().clone()
        };
        let columns = FEATURES.map(column);
        let names: Vec<String> = FEATURES.iter().map(|name| (*name).to_string()).collect();
        let scores: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 1_000.0 - 0.9).collect();
        let calibration = Calibration::from_scores(scores).expect("a calibration");
        let entry = |row: usize| {
            let near = |n: usize| ((n * 37 + row) % 41) as f64 / 20.0 - 1.0;
            let params = SvmParams::new(SvmParts {
                mean: columns.iter().map(|column| column.value(row)).collect(),
                scale: vec![3.0; FEATURES.len()],
                vectors: (0..VECTORS * FEATURES.len()).map(near).collect(),
                alpha: vec![0.1; VECTORS],
                gamma: 0.2,
                rho: 0.5,
                ..SvmParts::default()
            });
            let key = sensors.key(rows.sensor[row]);
            ModelEntry {
                key,
                features: names.clone(),
                model: ModelParams::OneClassSvm(params.expect("a model")),
                threshold: 0.0,
                calibration: Some(calibration.clone()),
                training: None,
                source: "made up".into(),
            }
        };
        let note = String::new();
        let header = SetHeader { version: 1, base: None, key: key(), note, created_us: 0 };
        let set = ModelSet::new(header, (0..rows.len()).map(entry).collect()).expect("a set");
        let models = Models::new(vec![Arc::new(set)]);
        Scorer::new(&rows.batch.schema(), 2, &names, Some(models), 1).expect("a scorer")
    }
}

fn key() -> KeySchema {
    let column = |name: &str| KeyColumn { name: name.into(), kind: KeyType::Int64 };
    KeySchema::new(vec![column("Device"), column("Sensor")])
}

/// The simulation counts devices and their five sensors from 1.
fn parts(sensor: u32) -> [KeyPart<'static>; 2] {
    [KeyPart::Int(i64::from(sensor / 5 + 1)), KeyPart::Int(i64::from(sensor % 5 + 1))]
}
