//! A lake of three sensors, written by the pipeline, asked as a Grafana asks.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tidegauge_serve::series::{Reply, answer};

use super::*;
use crate::config;
use crate::files;
use crate::signals::Signals;

/// 2026-01-01T00:00:00Z.
const START_S: i64 = 1_767_225_600;

/// Sensors of devices 1, 2 and `it's`, a reading each second for a minute; windows of 10 s, so six each.
fn lake() -> (TempDir, LakeSeries) {
    let folder = tempfile::tempdir().expect("a folder");
    let readings = folder.path().join("readings.csv");
    let mut text = String::from("TS,Site,Device,Value\n");
    for second in 1..=60 {
        for (site, device) in [("north", 1), ("north", 2), ("it's", 3)] {
            let time = tidegauge_flow::time::rfc3339((START_S + second) * 1_000_000_000);
            text += &format!("{time},{site},{device},{}\n", device * 10 + second);
        }
    }
    std::fs::write(&readings, text).expect("writes the readings");
    let url = folder.path().join("lake").display().to_string();
    run(&readings, &url);
    let registry = pipeline::registry_of(
        pipeline::existing_store(&url, &Storage::default()).expect("the lake is there"),
    );
    let series = LakeSeries::open(&url, &Storage::default(), registry).expect("a lake");
    (folder, series)
}

fn run(readings: &Path, url: &str) {
    let text = format!(
        r#"
        [source]
        kind = "files"
        paths = ["{}"]
        [event]
        time = "TS"
        key = [{{ name = "Site", type = "string" }}, {{ name = "Device", type = "int64" }}]
        values = ["Value"]
        [window]
        query = '''SELECT "Site", "Device", avg("Value") AS mean, count(*) AS n FROM readings
          GROUP BY "Site", "Device", tumble("TS", INTERVAL '10 seconds')'''
        [lake]
        url = "{url}"
        "#,
        readings.display()
    );
    let config = config::parse("a test", &text, std::iter::empty(), &[]).expect("a configuration");
    let pipeline = Arc::new(pipeline::Pipeline::open(config).expect("a pipeline"));
    let signals = Signals::install().expect("signals");
    files::run(&pipeline, files::Clock::Stream, crate::control::OpenWindows::Close, &signals)
        .expect("runs");
}

fn ask(series: &LakeSeries, path: &str, parameters: &[(&str, &str)]) -> Reply {
    let text: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    answer(series, path, &[&text.join("&")], (START_S + 60) * 1_000_000)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn range(series: &LakeSeries, query: &str, step: &str) -> Vec<Value> {
    let (start, end) = ((START_S + 10).to_string(), (START_S + 60).to_string());
    let parameters = [("query", query), ("start", &start), ("end", &end), ("step", step)];
    let reply = ask(series, "query_range", &parameters);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["data"]["result"].as_array().cloned().expect("a list")
}

fn numbers(line: &Value) -> Vec<(i64, f64)> {
    let values = line["values"].as_array().expect("values").iter();
    let second = |value: &Value| value[0].as_f64().expect("a time") as i64 - START_S;
    let number = |value: &Value| value[1].as_str().expect("a text").parse().expect("a number");
    values.map(|value| (second(value), number(value))).collect()
}

#[test]
fn a_sensors_features_are_those_of_its_windows() {
    let (_folder, series) = lake();
    let lines = range(&series, r#"tidegauge_sensor_feature{Device="2", feature="mean"}"#, "10");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let metric = &lines[0]["metric"];
    assert_eq!((&metric["Site"], &metric["feature"]), (&"north".into(), &"mean".into()));
    let wanted: Vec<(i64, f64)> = (1..=6).map(|n| (n * 10, 20.0 + (n * 10) as f64 - 4.5)).collect();
    assert_eq!(numbers(&lines[0]), wanted);
}

#[test]
fn windows_of_a_step_are_taken_together() {
    let (_folder, series) = lake();
    let lines = range(&series, r#"tidegauge_sensor_readings{Site="it's"}"#, "25");
    // At 10 s one window, at 35 s those of 20 s and 30 s, at 60 s the three after them.
    assert_eq!(numbers(&lines[0]), [(10, 10.0), (35, 20.0), (60, 30.0)]);
    let lines = range(&series, "tidegauge_windows", "25");
    assert_eq!(lines[0]["metric"]["status"], "no_model");
    assert_eq!(numbers(&lines[0]), [(10, 3.0), (35, 6.0), (60, 9.0)]);
    let within =
        range(&series, r#"sum_over_time(tidegauge_sensor_windows{Device="1"}[10s])"#, "25");
    assert_eq!(
        numbers(&within[0]),
        [(10, 1.0), (35, 1.0), (60, 1.0)],
        "the last 10 s of each step"
    );
}

#[test]
fn matchers_choose_sensors_whatever_is_in_their_names() {
    let (_folder, series) = lake();
    let devices = |query: &str| -> Vec<String> {
        let lines = range(&series, query, "10");
        lines.iter().map(|l| l["metric"]["Device"].as_str().unwrap_or_default().into()).collect()
    };
    assert_eq!(devices("tidegauge_sensor_windows"), ["1", "2", "3"], "sorted by labels");
    assert_eq!(devices(r#"tidegauge_sensor_windows{Device=~"1|3", Site!="north"}"#), ["3"]);
    assert_eq!(devices(r#"tidegauge_sensor_windows{Site=~"no.*"}"#), ["1", "2"]);
    assert_eq!(devices(r#"tidegauge_sensor_windows{Site="it's"}"#), ["3"]);
    for none in [r#"Device="01""#, r#"Device="x""#, r#"Site="' OR 1=1 --""#, r#"other="x""#] {
        assert!(devices(&format!("tidegauge_sensor_windows{{{none}}}")).is_empty(), "{none}");
    }
}

#[test]
fn the_moment_is_the_newest_window_and_the_top_is_the_top() {
    let (_folder, series) = lake();
    let query = r#"topk(2, tidegauge_sensor_feature{feature="mean"})"#;
    let reply = ask(&series, "query", &[("query", query)]);
    let result = &reply.body["data"]["result"];
    let told: Vec<_> = result.as_array().expect("a list").iter().map(|r| &r["value"][1]).collect();
    assert_eq!(told, ["85.5", "75.5"], "{}", reply.body);
}

#[test]
fn variables_find_keys_and_features() {
    let (_folder, series) = lake();
    let values = |label: &str, of: &str| {
        let path = format!("label/{label}/values");
        ask(&series, &path, &[("match[]", of)]).body["data"].clone()
    };
    assert_eq!(values("Device", "tidegauge_sensor_windows"), serde_json::json!(["1", "2", "3"]));
    let of = r#"tidegauge_sensor_windows{Site="north"}"#;
    assert_eq!(values("Device", of), serde_json::json!(["1", "2"]));
    assert_eq!(values("feature", "tidegauge_sensor_feature"), serde_json::json!(["mean", "n"]));
    assert_eq!(values("status", "tidegauge_windows"), serde_json::json!(["no_model"]));
}

#[test]
fn a_sensor_that_is_named_and_calm_has_no_event_and_not_no_data() {
    let (_folder, series) = lake();
    let lines = range(&series, r#"tidegauge_sensor_event{Site="north", Device="2"}"#, "25");
    assert_eq!(lines[0]["metric"]["Device"], "2");
    assert_eq!(numbers(&lines[0]), [(10, 0.0), (35, 0.0), (60, 0.0)]);
    for none in [r#"Site="north", Device="3""#, r#"Site="north""#, r#"Site="north", Device=~"1|2""#]
    {
        let lines = range(&series, &format!("tidegauge_sensor_event{{{none}}}"), "25");
        assert_eq!(lines, Vec::<Value>::new(), "{none}");
    }
}

#[test]
fn functions_over_time_that_would_lie_about_events_and_models_are_refused() {
    let (_folder, series) = lake();
    let status = |query: &str| ask(&series, "query", &[("query", query)]).status;
    for query in [
        "max_over_time(tidegauge_sensor_event[1h])",
        "sum_over_time(tidegauge_sensor_event_starts[1h])",
        "last_over_time(tidegauge_model_age_seconds[1h])",
    ] {
        assert_eq!(status(query), 200, "{query}");
    }
    for query in [
        "avg_over_time(tidegauge_sensor_event[1h])",
        "last_over_time(tidegauge_sensor_event[1h])",
        "last_over_time(tidegauge_events_going_on[1h])",
        "last_over_time(tidegauge_sensor_event_starts[1h])",
        "sum_over_time(tidegauge_events_going_on[1h])",
        "count_over_time(tidegauge_model_age_seconds[1h])",
    ] {
        assert_eq!(status(query), 400, "{query}");
    }
}

#[test]
fn what_has_no_windows_has_no_series() {
    let (_folder, series) = lake();
    let old = [("query", "tidegauge_sensor_windows"), ("time", "1000000000")];
    let reply = ask(&series, "query", &old);
    assert_eq!(reply.body["data"]["result"], serde_json::json!([]), "{}", reply.body);
    for query in
        ["tidegauge_sensor_score", "tidegauge_severity_bucket", "tidegauge_model_trained_rows"]
    {
        assert_eq!(
            range(&series, query, "10"),
            Vec::<Value>::new(),
            "{query}: there are no models"
        );
    }
}
