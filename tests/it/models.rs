//! Models as a user has them: tried on history, trained, taken back, written for others, fitted anew.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Project, data, eventually, kafka};

const CONTEXT: [&str; 4] =
    ["--set", "models.features=state(mean)", "--set", "models.onset.features=onset(mean)"];

/// Readings of four sensors over so many seconds, with faults after forty minutes.
fn simulate(project: &Project, file: &str, start: &str, seconds: &str) {
    project.ok(&[
        "simulate",
        "--out",
        file,
        "--devices",
        "2",
        "--sensors",
        "2",
        "--shape",
        "sine",
        "--seed",
        "77",
        "--interval",
        "1s",
        "--seconds",
        seconds,
        "--start",
        start,
        "--speed",
        "0",
        "--faults",
        "3",
        "--faults-after",
        "40m",
    ]);
}

/// What each window of a lake got, by sensor and window end.
fn verdicts(project: &Project, lake: &str, from: &str) -> BTreeMap<String, (Value, Value, Value)> {
    let sql = format!(
        "SELECT \"Device\", \"Sensor\", window_end, status, score, is_anomaly FROM predictions \
         WHERE window_end > '{from}'"
    );
    let rows = project.query_in(lake, &sql).into_iter();
    let verdict = |row: Value| {
        let key = format!("{}/{} {}", row["Device"], row["Sensor"], row["window_end"]);
        (key, (row["status"].clone(), row["score"].clone(), row["is_anomaly"].clone()))
    };
    rows.map(verdict).collect()
}

#[test]
fn fm_56_a_backtest_says_of_each_window_what_training_before_it_and_scoring_say() {
    let project = Project::new("127.0.0.1:1");
    // No reading lies on the bound of a window, so each sensor has as many windows.
    simulate(&project, "readings.jsonl", "2026-01-01T00:00:00.300Z", "4800");
    let to = "2026-01-01T00:40:00Z";
    let run = |args: &[&str]| project.ok(&[args, &["-c", "tidegauge.toml"], &CONTEXT].concat());
    run(&["train", "readings.jsonl", "--to", to]);
    run(&["score", "readings.jsonl", "-o", "scored"]);
    let sql = format!("SELECT count(*) AS n FROM predictions WHERE window_end <= '{to}'");
    let known = project.query_in("scored", &sql)[0]["n"].as_i64().expect("a count") / 4;
    std::fs::write(
        project.path("events.csv"),
        "Device,Sensor,start,end\n*,*,2026-01-01T00:40:00Z,2026-01-01T01:20:00Z\n",
    )
    .expect("writes");
    let rows = known.to_string();
    let told = run(&[
        "backtest",
        "readings.jsonl",
        "-o",
        "tried",
        "--train-rows",
        &rows,
        "--labels",
        "events.csv",
    ]);
    assert!(told.contains(&format!("4 of 4 sensors trained on {} windows", known * 4)), "{told}");
    assert!(told.contains("state, as trained") && told.contains("onset alarms"), "{told}");
    assert!(told.contains("1 of 1"), "the one event is found: {told}");
    let (expected, found) = (verdicts(&project, "scored", to), verdicts(&project, "tried", to));
    assert!(expected.len() > 1_000 && found.len() == expected.len(), "{}", expected.len());
    for (window, verdict) in &expected {
        assert_eq!(&found[window], verdict, "{window}");
    }
    assert!(expected.values().any(|v| v.2 == true), "a fault is found");
    project.ok(&["verify", "tried"]);
    // A second run would mix two trials in one lake.
    let again = ["backtest", "readings.jsonl", "-o", "tried", "-c", "tidegauge.toml"];
    let again = project.fails(64, &again);
    assert!(again.contains("is there already"), "{again}");
}

#[test]
fn fm_17_a_backtest_says_which_features_could_not_be_computed() {
    // Division of whole numbers by zero fails where a window's only reading is 5.
    let query = "SELECT \"Device\", \"Sensor\", avg(\"Value\") AS mean,
        10 / (CAST(max(\"Value\") AS BIGINT) - 5) AS q
        FROM readings GROUP BY \"Device\", \"Sensor\", tumble(\"TS\", INTERVAL '5 seconds')";
    let project = Project::new("127.0.0.1:1").write(query);
    let reading = |n: u32| {
        let (value, minute, second) = (n % 10, n / 12, n % 12 * 5 + 1);
        format!(
            r#"{{"TS":"2026-01-01T00:{minute:02}:{second:02}Z","Device":1,"Sensor":1,"Value":{value}}}"#
        )
    };
    let lines: Vec<String> = (0..200).map(reading).collect();
    std::fs::write(project.path("readings.jsonl"), lines.join("\n")).expect("writes");
    let fraction = ["--train-fraction", "0.5", "-c", "tidegauge.toml"];
    let args = [&["backtest", "readings.jsonl", "-o", "tried"], &fraction[..]].concat();
    let output = project.output(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("features that cannot be computed are null"), "{said}");
    assert!(said.contains("rows=20"), "{said}");
    let nulls = "SELECT count(*) AS n FROM predictions WHERE q IS NULL";
    assert_eq!(project.query_in("tried", nulls)[0]["n"], 20);
}

#[test]
fn models_go_back_to_what_they_were_and_out_to_others_and_in_again() {
    let project = Project::new("127.0.0.1:1");
    let original = data("seedlike/models");
    let import = |path: &str| project.ok(&["models", "import", path, "-c", "tidegauge.toml"]);
    import(&original.display().to_string());
    let error = project.fails(1, &["models", "rollback", "-c", "tidegauge.toml"]);
    assert!(error.contains("has always been set 1"), "{error}");
    project.ok(&["models", "export", "-c", "tidegauge.toml", "-o", "text", "--format", "libsvm"]);
    let onnx = project.ok(&["models", "export", "-c", "tidegauge.toml", "-o", "onnx"]);
    assert!(onnx.contains("wrote 15 models of set 1"), "{onnx}");
    assert_eq!(std::fs::read_dir(project.path("onnx")).expect("made").count(), 15);
    import("text");
    project.ok(&["models", "export", "-c", "tidegauge.toml", "-o", "again", "--format", "libsvm"]);
    for file in std::fs::read_dir(project.path("text")).expect("made") {
        let name = file.expect("readable").file_name();
        let read = |folder: &str| std::fs::read(project.path(folder).join(&name)).expect("there");
        assert_eq!(read("text"), read("again"), "{}", name.display());
    }
    let back = project.ok(&["models", "rollback", "-c", "tidegauge.toml"]);
    assert!(back.contains("champion is set 1 now"), "{back}");
}

#[test]
fn fm_48_onset_models_are_fitted_beside_a_run_and_the_lanes_take_them_up() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    simulate(&project, "first.jsonl", "2026-01-01T00:00:00Z", "2000");
    simulate(&project, "second.jsonl", "2026-01-01T00:34:00Z", "1000");
    let mut args = CONTEXT.to_vec();
    for setting in ["models.onset.rows=100", "models.onset.fit_every=200ms"] {
        args.extend(["--set", setting]);
    }
    project.publish(&project.path("first.jsonl"));
    let run = project.start_run_telling("info", &args);
    let ask = |sql: &str| {
        let output = project.output(&["query", "--lake", "lake", "--format", "json", sql]);
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect::<Vec<Value>>())
    };
    eventually("models of all four sensors", || {
        let rows = ask("SELECT count(DISTINCT sensor) AS n FROM models WHERE aliases = 'onset'")?;
        (rows.first()?["n"] == 4).then_some(())
    });
    // The lanes hear of them with a commit, announce them with the next one, and then have them.
    let second = std::fs::read_to_string(project.path("second.jsonl")).expect("simulated");
    let lines: Vec<&str> = second.lines().collect();
    let mut parts = lines.chunks(lines.len() / 8);
    let mut known = 0;
    let judged = eventually("rows that are judged", || {
        let rows = ask("SELECT count(DISTINCT novelty_set) AS sets, count(novelty) AS judged, \
                        count(*) AS n FROM predictions")?;
        let n = rows.first()?["n"].as_i64()?;
        if n > known
            && let Some(part) = parts.next()
        {
            known = n;
            std::fs::write(project.path("part.jsonl"), part.join("\n")).expect("writes");
            project.publish(&project.path("part.jsonl"));
        }
        (rows[0]["judged"].as_i64()? > 100).then(|| rows[0].clone())
    });
    assert!(judged["sets"].as_i64() >= Some(1), "{judged}");
    assert!(run.sigterm().success());
    project.ok(&["verify", "lake"]);
}
