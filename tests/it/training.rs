//! Training as a user has it: ranges, rules, refused models, the report that stays, and schedules.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tidegauge_flow::time::rfc3339;

use crate::harness::{MEAN, Project, eventually, kafka};

/// Readings of four sensors without faults, one each second.
fn simulate(project: &Project, file: &str, start: &str, seconds: &str) {
    let shape = ["--devices", "2", "--sensors", "2", "--shape", "sine", "--seed", "5"];
    let pace = ["--interval", "1s", "--speed", "0", "--seconds", seconds, "--start", start];
    project.ok(&[&["simulate", "--out", file], shape.as_slice(), pace.as_slice()].concat());
}

const RULES: &str = r#"
[models.train]
rows_min = 20
[[models.train.rules]]
where = { Device = 1, Sensor = [1, 7] }
kind = "static_limits"
limits = [{ feature = "mean", min = -1000000 }]
[[models.train.rules]]
where = { Device = 2, Sensor = "2*" }
kind = "gaussian"
threshold = 0.001
"#;

/// Trainings of two ranges that follow each other, the second one `--last`; rows of each in all.
fn train_twice(project: &Project) -> (String, String) {
    let train = |args: &[&str]| project.ok(&[&["train", "-c", "tidegauge.toml"], args].concat());
    let first = train(&["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:10:00Z"]);
    (first, train(&["--last", "600s", "--to", "2026-01-01T00:20:00Z"]))
}

#[test]
fn fm_51_each_sensor_is_trained_by_its_rule_and_what_came_of_it_can_be_read_later() {
    let project = Project::new("127.0.0.1:1").with("end", RULES, MEAN);
    simulate(&project, "readings.jsonl", "2026-01-01T00:00:00.300Z", "1800");
    project.ok(&Project::scoring("readings.jsonl"));
    let (first, second) = train_twice(&project);
    assert!(first.contains("trained 3 models as set 1; champion is set 1 now"), "{first}");
    assert!(first.contains("1 sensors got no new model (1 degenerate)"), "{first}");
    assert!(second.contains("as set 2; champion is set 2 now"), "{second}");
    let report = project.ok(&["models", "report", "1", "-c", "tidegauge.toml"]);
    assert!(report.contains("from 2026-01-01T00:00:00Z to 2026-01-01T00:10:00Z"), "{report}");
    let refused = "| 2/2    | refused | degenerate";
    assert!(report.contains(refused) && first.contains(refused), "{report}");
    assert!(report.contains("(flagged_max); train on a longer or calmer stretch"), "{report}");
    let sql = "SELECT model_set, sensor, outcome, rows_used FROM trainings";
    let lines: BTreeSet<String> = project
        .query(sql)
        .iter()
        .map(|row| format!("{} {} {}", row["model_set"], row["sensor"], row["outcome"]))
        .collect();
    let expected = [
        "1 \"1/1\" \"trained\"",
        "1 \"1/2\" \"trained\"",
        "1 \"2/1\" \"trained\"",
        "1 \"2/2\" \"refused\"",
    ];
    assert!(expected.iter().all(|line| lines.contains(*line)), "{lines:#?}");
    let kinds = project.query("SELECT sensor, kind, \"rows\" FROM models WHERE model_set = 2");
    let kinds: BTreeSet<String> =
        kinds.iter().map(|row| format!("{} {}", row["sensor"], row["kind"])).collect();
    assert!(kinds.contains("\"1/1\" \"static_limits\""), "{kinds:?}");
    assert!(kinds.contains("\"2/1\" \"one_class_svm\""), "{kinds:?}");
    // Half-open: what two ranges that follow each other have is what the whole of them has.
    let rows = |sql: &str| project.number(&format!("SELECT CAST({sql} AS BIGINT) AS n"));
    let trained = rows("(SELECT sum(\"rows\") FROM models WHERE sensor = '2/1')");
    let there = "(SELECT count(*) FROM predictions WHERE \"Device\" = 2 AND \"Sensor\" = 1 \
                 AND window_end > '2026-01-01T00:00:00Z' AND window_end <= '2026-01-01T00:20:00Z')";
    assert_eq!(trained, rows(there));
}

#[test]
fn a_refused_sensor_keeps_the_model_that_it_had() {
    let project = Project::new("127.0.0.1:1");
    simulate(&project, "readings.jsonl", "2026-01-01T00:00:00.300Z", "600");
    let models = "[models]\nurl = \"models\"\n";
    let project = project.with("end", models, MEAN);
    project.ok(&["train", "readings.jsonl", "-c", "tidegauge.toml"]);
    let list = |project: &Project| project.ok(&["models", "show", "-c", "tidegauge.toml"]);
    let hash_of = |shown: &str| {
        let line = shown.lines().find(|line| line.contains("| 2/2 ")).expect("a model");
        line.split('|').map(str::trim).rev().nth(2).expect("a hash").to_string()
    };
    let before = hash_of(&list(&project));
    let project = project.with("end", &format!("{models}{RULES}"), MEAN);
    let told = project.ok(&["train", "readings.jsonl", "-c", "tidegauge.toml"]);
    assert!(told.contains("models that they had stay"), "{told}");
    assert_eq!(hash_of(&list(&project)), before);
}

#[test]
fn mistakes_of_rules_and_ranges_are_told_before_anything_is_trained() {
    let limits = r#"
[[models.train.rules]]
where = { Device = 1 }
kind = "static_limits"
limits = [{ feature = "deviation", min = 0 }]
"#;
    let project = Project::new("127.0.0.1:1").with("end", limits, MEAN);
    simulate(&project, "readings.jsonl", "2026-01-01T00:00:00.300Z", "100");
    for command in [
        vec!["train", "readings.jsonl", "-c", "tidegauge.toml"],
        vec!["backtest", "readings.jsonl", "-c", "tidegauge.toml", "-o", "tried"],
    ] {
        let error = project.fails(1, &command);
        let expected = "models.train.rules[0]: limits name \"deviation\", models see mean";
        assert!(error.contains(expected), "{error}");
    }
    let both = ["train", "-c", "tidegauge.toml", "--last", "1h", "--from", "2026-01-01T00:00:00Z"];
    assert!(project.fails(64, &both).contains("cannot be used with"));
    let nothing = project.fails(64, &["train", "--follow", "-c", "tidegauge.toml"]);
    assert!(nothing.contains("[models.onset] features or [models.train] every"), "{nothing}");
}

#[test]
fn fm_48_a_run_trains_on_its_schedule_and_a_restart_trains_nothing_again() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() as i64;
    simulate(&project, "readings.jsonl", &rfc3339((now - 1_800) * 1_000_000_000), "1500");
    project.publish(&project.path("readings.jsonl"));
    project.run_to_end();
    let settings = ["--set", "models.train.last=1h", "--set", "models.train.delay=0s"];
    let start = |every: &str| {
        let every = format!("models.train.every={every}");
        project
            .start_run_telling("info", &[&["--set", every.as_str()], settings.as_slice()].concat())
    };
    let ask = |sql: &str| -> Option<Vec<Value>> {
        let output = project.output(&["query", "--lake", "lake", "--format", "json", sql]);
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    };
    let ends = || {
        let sql = "SELECT DISTINCT CAST(range_to AS BIGINT) AS t, \
                   CAST(range_to AS BIGINT) - CAST(range_from AS BIGINT) AS d FROM trainings";
        let rows = ask(sql)?;
        assert!(rows.iter().all(|row| row["d"] == 3_600_000_000_i64), "{rows:?}");
        Some(rows.iter().filter_map(|row| row["t"].as_i64()).collect::<BTreeSet<i64>>())
    };
    let run = start("1s");
    let first = eventually("two trainings", || ends().filter(|ends| ends.len() >= 2));
    assert!(first.iter().all(|end| end % 1_000_000 == 0), "{first:?}");
    let models = "SELECT count(DISTINCT sensor) AS n FROM models WHERE aliases = 'champion'";
    eventually("models of all sensors", || (ask(models)?.first()?["n"] == 4).then_some(()));
    assert!(run.sigterm().success());
    // In another life, the time that was due last lies before what is published.
    let before = ends().expect("at rest");
    let run = start("366d");
    eventually("a look at what is published", || {
        run.said().contains("trained on schedule already").then_some(())
    });
    assert!(run.sigterm().success());
    assert_eq!(ends().expect("at rest"), before);
    project.ok(&["verify", "lake"]);
}
