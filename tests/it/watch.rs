//! Watching over models: drift is found, labels are kept and used, devices have a verdict.

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{MEAN, Project, data, eventually, kafka};
use crate::metrics::get;

const CONFIG: [&str; 2] = ["-c", "tidegauge.toml"];

/// Half an hour of four sensors in these ranges, one reading a second.
fn simulate(project: &Project, file: &str, start: &str, ranges: &str, more: &[&str]) {
    let args = [
        "simulate",
        "--out",
        file,
        "--devices",
        "2",
        "--sensors",
        "2",
        "--shape",
        "gaussian",
        "--interval",
        "1s",
        "--start",
        start,
        "--ranges",
        ranges,
        "--speed",
        "0",
    ];
    project.ok(&[&args, more].concat());
}

/// The second sensor of each device is another one in the second half hour.
fn two_half_hours(project: &Project) {
    let (before, after) = ("10..16,30..36", "10..16,32..38");
    let length = ["--seconds", "1800", "--seed", "5"];
    simulate(project, "first.jsonl", "2026-01-01T00:00:00Z", before, &length);
    simulate(project, "second.jsonl", "2026-01-01T01:00:00Z", after, &length);
}

#[test]
fn a_sensor_that_is_another_one_now_is_named_first_by_drift() {
    let project = Project::new("127.0.0.1:1");
    two_half_hours(&project);
    project.ok(&Project::scoring("second.jsonl"));
    let drift = |more: &[&str]| project.ok(&[&["drift"], &CONFIG[..], more].concat());
    let error = project.fails(1, &["drift", "-c", "tidegauge.toml"]);
    assert!(error.contains("champion means no models yet: run tidegauge train"), "{error}");
    project.ok(&["train", "first.jsonl", "-c", "tidegauge.toml"]);
    let told = drift(&[]);
    let lines: Vec<&str> = told.lines().collect();
    let others = lines[1..3].iter().all(|line| line.contains("/2 ") && line.ends_with(" drift"));
    assert!(others && lines[1].contains(" mean "), "{told}");
    assert!(lines[3..5].iter().all(|line| line.ends_with(" stable")), "{told}");
    let total = "4 sensors: 2 drift, 0 watch, 2 stable, 0 unknown from 2025-12-25T01:30:00";
    assert!(lines[5].starts_with(total), "{told}");
    let told = drift(&["--last", "2m"]);
    assert!(told.contains("unknown: 24 windows with all features, 100 are needed"), "{told}");
    let told = drift(&["--to", "2026-01-01T00:59:00Z"]);
    assert!(told.contains("unknown: 0 windows"), "{told}");
    // Models from elsewhere don't say what they were trained on.
    let models = data("seedlike/models").display().to_string();
    project.ok(&["models", "import", &models, "-c", "tidegauge.toml"]);
    let told = drift(&[]);
    assert!(told.contains("unknown: its model does not hold what it was trained on"), "{told}");
    project.fails(64, &["drift", "-c", "tidegauge.toml", "--from", "yesterday"]);
    project.ok(&["verify", "lake"]);
}

#[test]
fn a_run_counts_sensors_that_drift() {
    let Some(brokers) = kafka() else { return };
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let address = address.to_string();
    let end = format!("[http]\nlisten = \"{address}\"\n[models.drift]\nevery = \"200ms\"\n");
    let project = Project::new(&brokers).with("end", &end, MEAN);
    two_half_hours(&project);
    project.ok(&["train", "first.jsonl", "-c", "tidegauge.toml"]);
    project.publish(&project.path("second.jsonl"));
    let running = project.start_run(&[]);
    let value = |body: &str, name: &str| -> Option<f64> {
        let line = body.lines().find(|line| line.starts_with(&format!("{name} ")))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let sensors = |verdict: &str| format!("tidegauge_score_drift_sensors{{verdict=\"{verdict}\"}}");
    eventually("a check that finds the sensor", || {
        let (_, body) = get(&address, "/metrics")?;
        let found = |verdict: &str| value(&body, &sensors(verdict));
        let checked = value(&body, "tidegauge_score_drift_check_time_seconds")? > 1.7e9;
        let all = (found("drift")?, found("stable")?, found("unknown")?);
        (checked && all == (2.0, 2.0, 0.0)).then_some(())
    });
    assert!(running.sigterm().success());
}

/// A lake of four sensors, four faults an hour and sensor after forty minutes, scored by models of the
/// time before.
fn scored(project: &Project) {
    let length = ["--seconds", "7200", "--seed", "77", "--faults", "4", "--faults-after", "40m"];
    let ranges = "10..16,30..36";
    simulate(project, "readings.jsonl", "2026-01-01T00:00:00.300Z", ranges, &length);
    let to = ["--to", "2026-01-01T00:40:00Z"];
    project.ok(&[&["train", "readings.jsonl"], &CONFIG[..], &to].concat());
    let files = ["--set", "source.kind=files", "--set", "source.paths=readings.jsonl"];
    project.ok(&[&["run"], &CONFIG[..], &files].concat());
}

/// Begin and end of each alarm of a sensor after the training: runs of anomalous windows.
fn alarms(project: &Project, device: i64, sensor: i64) -> Vec<(String, String)> {
    let rows = project.query(&format!(
        r#"SELECT window_start, window_end, is_anomaly FROM predictions
           WHERE "Device" = {device} AND "Sensor" = {sensor}
           AND window_start > '2026-01-01T00:40:00' ORDER BY window_end"#
    ));
    let text = |row: &Value, name: &str| format!("{}Z", row[name].as_str().expect("a time"));
    let runs = rows.chunk_by(|a, b| a["is_anomaly"] == b["is_anomaly"]);
    let anomalous = runs.filter(|run| run[0]["is_anomaly"] == true);
    anomalous
        .map(|run| (text(&run[0], "window_start"), text(&run[run.len() - 1], "window_end")))
        .map(|(from, to)| (from.replace("ZZ", "Z"), to.replace("ZZ", "Z")))
        .collect()
}

#[test]
fn labels_are_kept_in_the_lake_and_say_what_its_alarms_are_worth() {
    let project = Project::new("127.0.0.1:1");
    let label = |args: &[&str]| project.ok(&[&["label"], args, &CONFIG[..]].concat());
    let error = project.fails(1, &["label", "list", "-c", "tidegauge.toml"]);
    assert!(error.contains("lake"), "{error}");
    scored(&project);
    let known = alarms(&project, 1, 1);
    assert!(known.len() >= 3, "{known:?}");
    let mark = |verb: &str, sensor: &str, (from, to): &(String, String)| {
        label(&[verb, "--sensor", sensor, "--from", from, "--to", to, "--note", "a, \"b\""])
    };
    mark("true", "1,1", &known[0]);
    mark("true", "Sensor=1,Device=1", &known[1]);
    mark("false", "1,*", &known[2]);
    let quiet = ("2026-01-01T00:10:00Z".to_string(), "2026-01-01T00:11:00Z".to_string());
    mark("true", "1,1", &quiet);
    let told = label(&["report"]);
    let of = |told: &str, sensor: &str| -> Vec<String> {
        let line = told.lines().find(|line| line.starts_with(&format!("{sensor} ")));
        line.unwrap_or_else(|| panic!("no {sensor}: {told}"))
            .split_whitespace()
            .map(String::from)
            .collect()
    };
    assert_eq!(of(&told, "1/1")[1..], ["state", "3", "2", "1", "2", "1", "66.7", "%"], "{told}");

    // A newer label of the same sensor and range takes the place of the older, and may be taken back.
    let told = mark("false", "1,1", &known[1]);
    assert!(told.starts_with("label 5 replaces 2: 1/1  2026-01-01T"), "{told}");
    assert_eq!(of(&label(&["report"]), "1/1")[1..7], ["state", "2", "1", "1", "1", "2"]);
    mark("remove", "1,1", &quiet);
    let again = ["label", "remove", "--sensor", "1,1", "--from", &quiet.0, "--to", &quiet.1];
    let again = project.fails(1, &[&again, &CONFIG[..]].concat());
    assert!(again.contains("there is no label of these sensors and this range"), "{again}");
    let told = label(&["list"]);
    assert!(told.lines().last() == Some("3 labels") && told.contains("1/*"), "{told}");
    let sql = r#"SELECT number, sensor, "key_Device", "key_Sensor", label, note FROM labels ORDER BY number"#;
    let rows: Vec<String> = project.query(sql).iter().map(Value::to_string).collect();
    let note = r#""note":"a, \"b\"""#;
    assert_eq!(rows.len(), 3);
    assert!(rows[1].contains(r#""sensor":"1/*""#) && rows[1].contains(note), "{rows:?}");
    assert!(
        !rows[1].contains("key_Sensor") || rows[1].contains(r#""key_Sensor":null"#),
        "{rows:?}"
    );

    // Neither proof nor maintenance minds them.
    project.ok(&["verify", "lake"]);
    project.ok(&["compact", "lake"]);
    assert_eq!(project.query(sql).len(), 3);

    let bad = |args: &[&str], says: &str| {
        let said = project.fails(64, &[&["label"], args, &CONFIG[..]].concat());
        assert!(said.contains(says), "{said}");
    };
    let range = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T01:00:00Z"];
    bad(&["true", "--sensor", "1,1"], "--from");
    bad(&[&["true", "--sensor", "x,1"], &range[..]].concat(), "\"x\" is no int64 for Device");
    bad(&["true", "--sensor", "1,1", "--from", range[3], "--to", range[1]], "--to lies before");
}

#[test]
fn a_backtest_takes_the_lake_s_labels() {
    let project = Project::new("127.0.0.1:1");
    scored(&project);
    let tried = ["backtest", "readings.jsonl", "-c", "tidegauge.toml", "--train-rows", "480"];
    let backtest =
        |output: &str| project.ok(&[&tried[..], &["-o", output, "--labels", "lake"]].concat());
    let none = [&tried[..], &["-o", "none", "--labels", "lake"]].concat();
    let error = project.fails(1, &none);
    assert!(error.contains("has no labels"), "{error}");
    let known = alarms(&project, 1, 1);
    let label = |verb: &str, from: &str, to: &str| {
        let args = ["label", verb, "--sensor", "1,1", "--from", from, "--to", to];
        project.ok(&[&args[..], &CONFIG].concat());
    };
    label("true", &known[0].0, &known[0].1);
    label("false", &known[1].0, &known[1].1);
    let told = backtest("tried");
    assert!(told.contains("known false"), "{told}");
    let line = told.lines().find(|line| line.starts_with("state, as trained")).expect("a line");
    assert!(line.contains(" 1 of 1 ") && line.ends_with(" 1"), "{told}");
    // Ten minutes of training are known to be none: 120 windows, and one that ends in them.
    label("true", "2026-01-01T00:10:00.001Z", "2026-01-01T00:20:00Z");
    backtest("without");
    let used = |lake: &str| -> BTreeMap<String, i64> {
        let rows = project.query_in(lake, "SELECT sensor, rows_used FROM models");
        let sensor = |row: Value| {
            (
                row["sensor"].as_str().expect("text").to_string(),
                row["rows_used"].as_i64().expect("n"),
            )
        };
        rows.into_iter().map(sensor).collect()
    };
    let (before, after) = (used("tried"), used("without"));
    assert_eq!(before["1/1"] - after["1/1"], 120, "{before:?} {after:?}");
    assert_eq!((before["1/2"], before["2/1"]), (after["1/2"], after["2/1"]));
}

/// The rows of the table `devices`, by device and window.
fn devices(project: &Project) -> BTreeMap<(i64, String), (i64, i64, i64, Value)> {
    let sql = "SELECT * FROM devices";
    let printed = project.ok(&["query", "-c", "tidegauge.toml", "--format", "json", sql]);
    let rows = printed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let number = |row: &Value, name: &str| row[name].as_i64().expect("a number");
    let row = |row: Value| {
        let window = row["window_end"].as_str().expect("a time").to_string();
        let counts = (number(&row, "sensors"), number(&row, "judged"), number(&row, "anomalous"));
        let is_anomaly = row.get("is_anomaly").cloned().unwrap_or(Value::Null);
        ((number(&row, "Device"), window), (counts.0, counts.1, counts.2, is_anomaly))
    };
    rows.map(row).collect()
}

#[test]
fn a_device_is_anomalous_when_enough_of_its_sensors_are() {
    let by = |at_least: &str| format!("[models.device]\nby = [\"Device\"]\n{at_least}");
    let project = Project::new("127.0.0.1:1").with("end", &by(""), MEAN);
    scored(&project);
    let error = project.fails(1, &["query", "--lake", "lake", "SELECT * FROM devices"]);
    assert!(error.contains("the table devices needs -c FILE, with [models.device] by"), "{error}");
    let mut expected: BTreeMap<(i64, String), Vec<Option<bool>>> = BTreeMap::new();
    for row in project.query(r#"SELECT "Device", window_end, is_anomaly FROM predictions"#) {
        let window = row["window_end"].as_str().expect("a time").to_string();
        let device = row["Device"].as_i64().expect("a number");
        expected.entry((device, window)).or_default().push(row["is_anomaly"].as_bool());
    }
    let check = |project: &Project, at_least: usize| {
        let found = devices(project);
        assert_eq!(found.len(), expected.len());
        let mut anomalies = 0;
        for (window, sensors) in &expected {
            let judged = sensors.iter().flatten().count();
            let anomalous = sensors.iter().flatten().filter(|is| **is).count();
            let verdict = (judged > 0).then_some(anomalous >= at_least);
            anomalies += usize::from(verdict == Some(true));
            let verdict = verdict.map_or(Value::Null, Value::Bool);
            let row = (sensors.len() as i64, judged as i64, anomalous as i64, verdict);
            assert_eq!(found[window], row, "{window:?}");
        }
        anomalies
    };
    let any = check(&project, 1);
    let project = project.with("end", &by("at_least = 2"), MEAN);
    let both = check(&project, 2);
    assert!(any > 10 && both < any, "{both} of {any}");
    let project = project.with("end", "[models.device]\nat_least = 2", MEAN);
    let said = project.fails(64, &["check", "-c", "tidegauge.toml"]);
    assert!(said.contains("models.device.at_least: is there without models.device.by"), "{said}");
    let project = project.with("end", "[models.device]\nby = [\"Machine\"]", MEAN);
    let said = project.fails(64, &["check", "-c", "tidegauge.toml"]);
    assert!(
        said.contains("models.device.by: names \"Machine\", allowed are columns of the key"),
        "{said}"
    );
}

#[test]
fn a_device_s_sensor_counts_once_in_a_window_that_was_revised() {
    let project = Project::new("127.0.0.1:1")
        .with("window", "late = \"revise\"\nout_of_order = \"1s\"", MEAN)
        .with("end", "[models.device]\nby = [\"Device\"]", MEAN);
    let reading = |sensor: i64, second: i64| {
        format!("2026-01-01T00:{:02}:{:02}Z,1,{sensor},5.0", second / 60, second % 60)
    };
    let mut lines = vec!["TS,Device,Sensor,Value".to_string()];
    for second in 0..60 {
        lines.extend([reading(1, second), reading(2, second)]);
    }
    // Late for windows that are closed by now, and then on.
    lines.push(reading(1, 12));
    for second in 60..90 {
        lines.extend([reading(1, second), reading(2, second)]);
    }
    std::fs::write(project.path("readings.csv"), lines.join("\n")).expect("writes");
    let files = ["--set", "source.kind=files", "--set", "source.paths=readings.csv"];
    project.ok(&[&["run"], &CONFIG[..], &files].concat());
    assert_eq!(project.number("SELECT count(*) FROM predictions WHERE revision > 0"), 1);
    let found = devices(&project);
    assert_eq!(found.len(), 19);
    // Nobody is judged without models.
    assert!(found.values().all(|row| *row == (2, 0, 0, Value::Null)), "{found:?}");
}
