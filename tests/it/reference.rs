//! The reference systems' main job: readings of 15 sensors through Kafka and from files, scored by
//! their own imported models, with the labels that the models are known to give.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Project, data, kafka, needs};

/// Rows closer to the boundary than this have labels that depend on the last bits.
const TIE: f64 = 1e-9;

/// Imports models, publishes readings, and scores them from the stream and from the file.
fn score_both_ways(brokers: &str, readings: &Path, models: &Path) -> Project {
    let project = Project::new(brokers);
    let (file, models) = (readings.to_str().expect("UTF-8"), models.to_str().expect("UTF-8"));
    project.ok(&["models", "import", models, "-c", "tidegauge.toml"]);
    project.publish(readings);
    project.run_to_end();
    project.ok(&["score", file, "-c", "tidegauge.toml", "-o", "scored"]);
    for lake in ["lake", "scored"] {
        let proof = project.ok(&["verify", lake]);
        assert!(proof.contains("proven"), "{proof}");
    }
    project
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_string()
}

/// (normal, anomalies, ties) by sensor.
fn labels(rows: &[Value]) -> BTreeMap<(i64, i64), (u32, u32, u32)> {
    let mut labels = BTreeMap::new();
    for row in rows {
        assert_eq!(row["status"], "ok", "{row}");
        let sensor = (row["Device"].as_i64().expect("int"), row["Sensor"].as_i64().expect("int"));
        let counts: &mut (u32, u32, u32) = labels.entry(sensor).or_default();
        let score = row["score"].as_f64().expect("a score");
        match row["is_anomaly"].as_bool().expect("a verdict") {
            _ if score.abs() < TIE => counts.2 += 1,
            true => counts.1 += 1,
            false => counts.0 += 1,
        }
    }
    labels
}

#[test]
fn the_original_readings_get_the_original_labels_from_stream_and_from_file() {
    let (Some(brokers), Some(seeds)) = (kafka(), needs("TIDEGAUGE_SEED_SENSORS")) else { return };
    let seeds = Path::new(&seeds);
    let project = score_both_ways(&brokers, &seeds.join("sensor_data.csv"), &seeds.join("models"));
    let streamed = project.predictions("lake");
    assert_eq!(streamed.len(), 17_768);
    // Clear normal, clear anomaly and tie of each sensor, as measured on the reference system.
    let expected = [
        ((1, 1), (1001, 189, 5)),
        ((1, 2), (0, 1153, 1)),
        ((1, 3), (909, 358, 12)),
        ((1, 4), (1083, 79, 6)),
        ((1, 5), (0, 1135, 1)),
        ((2, 1), (896, 305, 3)),
        ((2, 2), (926, 229, 1)),
        ((2, 3), (879, 312, 2)),
        ((2, 4), (1136, 79, 4)),
        ((2, 5), (0, 1132, 1)),
        ((3, 1), (1200, 10, 3)),
        ((3, 2), (1044, 135, 2)),
        ((3, 3), (1030, 156, 6)),
        ((3, 4), (0, 1172, 4)),
        ((3, 5), (870, 294, 5)),
    ];
    assert_eq!(labels(&streamed), BTreeMap::from(expected));
    assert_eq!(project.predictions("scored"), streamed, "the file gives the rows of the stream");
}

#[test]
fn readings_of_the_same_shape_get_the_labels_of_plain_arithmetic() {
    let Some(brokers) = kafka() else { return };
    let seedlike = data("seedlike");
    let readings = seedlike.join("readings.csv");
    let project = score_both_ways(&brokers, &readings, &seedlike.join("models"));
    let streamed = project.predictions("lake");
    assert_eq!(project.predictions("scored"), streamed, "the file gives the rows of the stream");

    let labels = std::fs::read_to_string(seedlike.join("labels.csv")).expect("committed");
    let mut expected: BTreeMap<(String, i64, i64), &str> = BTreeMap::new();
    for line in labels.lines().skip(1) {
        let [time, device, sensor, label] =
            line.split(',').collect::<Vec<_>>().try_into().expect("four columns");
        // 2018-08-28 23:00:05.000 is the end of the window that holds just this reading.
        let end = format!("{}Z", time.trim_end_matches(".000").replace(' ', "T"));
        expected.insert((end, device.parse().expect("int"), sensor.parse().expect("int")), label);
    }
    assert_eq!(streamed.len(), expected.len());
    let mut clear = 0;
    for row in &streamed {
        let (device, sensor) = (row["Device"].as_i64(), row["Sensor"].as_i64());
        let key = (text(row, "window_end"), device.expect("int"), sensor.expect("int"));
        match expected[&key] {
            "tie" => continue,
            label => assert_eq!(row["is_anomaly"].as_bool(), Some(label == "1"), "{row}"),
        }
        clear += 1;
    }
    assert!(clear > streamed.len() * 9 / 10, "only {clear} rows are clear");
}
