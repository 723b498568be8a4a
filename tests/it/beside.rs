//! What stands beside the champion: a challenger, and what judges sensors without a model of their own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{MEAN, Project, kafka};

const SECTIONS: &str = r#"
[models.challenger]
alias = "challenger"
[models.fallback]
group = ["Device"]
[[models.fallback.limits]]
feature = "mean"
max = 1000
where = { Device = 2, Sensor = 1 }
"#;

/// What judges sensors: 1/1 and 1/2 have models, 1/3 has its group's, 2/1 has limits, 2/2 has nothing.
const STATUSES: [(&str, &str); 5] =
    [("1/1", "ok"), ("1/2", "ok"), ("1/3", "fallback"), ("2/1", "fallback"), ("2/2", "no_model")];

/// Readings of six sensors of two devices, with faults after a quarter of an hour.
fn simulate(project: &Project, file: &str, start: &str, seconds: &str) {
    let shape = "--devices 2 --sensors 3 --shape gaussian --seed 5 --interval 1s --speed 0";
    let faults = "--faults 6 --faults-after 15m";
    let args =
        format!("simulate --out {file} --start {start} --seconds {seconds} {shape} {faults}");
    project.ok(&args.split_whitespace().collect::<Vec<_>>());
}

/// Writes what some sensors have in the file `all.jsonl`.
fn only(project: &Project, file: &str, sensors: &[&str]) {
    let all = std::fs::read_to_string(project.path("all.jsonl")).expect("simulated");
    let of = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        format!("{}/{}", event["Device"], event["Sensor"])
    };
    let lines = all.lines().filter(|line| sensors.contains(&of(line).as_str()));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(project.path(file), text).expect("writes");
}

/// A project with readings of two devices, and models that only the first two sensors have trained.
fn project(brokers: &str) -> Project {
    let project = Project::new(brokers).with("end", SECTIONS, MEAN);
    simulate(&project, "all.jsonl", "2026-01-01T00:00:00.300Z", "1800");
    only(&project, "known.jsonl", &["1/1", "1/2"]);
    only(&project, "readings.jsonl", &["1/1", "1/2", "1/3", "2/1", "2/2"]);
    let train = |more: &[&str]| {
        let to = ["--to", "2026-01-01T00:15:00Z"];
        let args = ["train", "known.jsonl", "-c", "tidegauge.toml"];
        project.ok(&[&args[..], &to, more].concat())
    };
    train(&[]);
    let rate = ["--set", "models.train.false_alarm_rate=0.2"];
    train(&[&["--alias", "challenger"], &rate[..]].concat());
    let told = train(&["--group"]);
    assert!(told.contains("trained 1 models as set 3; fallback is set 3 now"), "{told}");
    project
}

fn score(project: &Project, lake: &str, more: &[&str]) {
    let args = ["score", "readings.jsonl", "-c", "tidegauge.toml", "-o", lake];
    project.ok(&[&args[..], more].concat());
}

/// Score and anomaly of each window, by sensor and window end.
fn verdicts(project: &Project, lake: &str, of: &str) -> BTreeMap<String, (Value, Value)> {
    let sql = format!(
        "SELECT \"Device\", \"Sensor\", window_end, {of}score AS score, {of}is_anomaly AS anomaly \
         FROM predictions"
    );
    let verdict = |row: Value| {
        let key = format!("{}/{} {}", row["Device"], row["Sensor"], row["window_end"]);
        (key, (row["score"].clone(), row["anomaly"].clone()))
    };
    project.query_in(lake, &sql).into_iter().map(verdict).collect()
}

#[test]
fn a_challenger_says_beside_the_champion_what_it_would_say_in_its_place() {
    let project = project("127.0.0.1:1");
    score(&project, "both", &[]);
    let instead = ["--set", "models.alias=challenger", "--set", "models.challenger.alias=nobody"];
    score(&project, "instead", &instead);
    let beside = verdicts(&project, "both", "challenger_");
    let instead = verdicts(&project, "instead", "");
    let (mut judged, mut flagged) = (0, 0);
    for (window, (score, anomaly)) in &beside {
        if window.starts_with("1/1") || window.starts_with("1/2") {
            assert_eq!((score, anomaly), (&instead[window].0, &instead[window].1), "{window}");
            judged += 1;
            flagged += usize::from(*anomaly == true);
        } else {
            assert!(score.is_null() && anomaly.is_null(), "{window} has no challenger");
        }
    }
    assert!(judged > 600, "{judged} windows of two sensors, a few are silent");
    assert!(flagged > 30, "{flagged} of {judged}");
    project.ok(&["verify", "both"]);

    let compare = |more: &[&str]| {
        let args = ["models", "compare", "-c", "tidegauge.toml", "--set", "lake.url=both"];
        project.ok(&[&args[..], more].concat())
    };
    let told = compare(&[]);
    let sql = "SELECT count(*) AS rows, sum(CASE WHEN is_anomaly AND NOT challenger_is_anomaly THEN 1 ELSE 0 END) \
               AS a, sum(CASE WHEN challenger_is_anomaly AND NOT is_anomaly THEN 1 ELSE 0 END) AS b \
               FROM predictions WHERE challenger_is_anomaly IS NOT NULL";
    let sums = &project.query_in("both", sql)[0];
    let count = |name: &str| sums[name].as_i64().expect("a count");
    let (rows, a, b) = (count("rows"), count("a"), count("b"));
    assert!(b > 0, "a lower threshold flags more: {told}");
    let agreed = (rows - a - b) as f64 / rows as f64 * 100.0;
    let total = format!(
        "2 sensors, {rows} rows that both have judged: {agreed:.2} % agreed, {a} anomalies of champion only, \
         {b} of challenger only"
    );
    assert!(told.ends_with(&format!("{total}\n")), "{told} does not end with {total}");
    let shares: Vec<f64> = told
        .lines()
        .filter(|line| line.starts_with("| 1 "))
        .map(|line| line.split('|').nth(5).expect("a share").trim().parse().expect("a number"))
        .collect();
    assert!(shares.len() == 2 && shares[0] <= shares[1], "least agreement first: {told}");
    let told = compare(&["--from", "2026-01-01T00:29:00Z", "--to", "2026-01-01T00:29:30Z"]);
    assert!(told.contains("2 sensors, 12 rows"), "six windows each: {told}");
    let told = compare(&["--from", "2027-01-01T00:00:00Z"]);
    assert!(told.contains("no rows that both have judged from 2027-01-01"), "{told}");
}

#[test]
fn a_window_that_was_revised_is_compared_once() {
    let challenger = "[models.challenger]\nalias = \"challenger\"";
    let project = Project::new("127.0.0.1:1")
        .with("window", "late = \"revise\"\nout_of_order = \"1s\"", MEAN)
        .with("end", challenger, MEAN);
    simulate(&project, "all.jsonl", "2026-01-01T00:00:00.300Z", "900");
    project.ok(&["train", "all.jsonl", "-c", "tidegauge.toml"]);
    project.ok(&["train", "all.jsonl", "-c", "tidegauge.toml", "--alias", "challenger"]);
    let reading = |second: i64, value: f64| format!("2026-01-02T00:00:{second:02}Z,1,1,{value}");
    let mut lines = vec!["TS,Device,Sensor,Value".to_string()];
    lines.extend((0..30).map(|second| reading(second, 10.0)));
    // Late for a window that is closed by now, and then on.
    lines.push(reading(12, 1e6));
    lines.extend((30..60).map(|second| reading(second, 10.0)));
    std::fs::write(project.path("readings.csv"), lines.join("\n")).expect("writes");
    let files = ["--set", "source.kind=files", "--set", "source.paths=readings.csv"];
    project.ok(&[&["run", "-c", "tidegauge.toml"], &files[..]].concat());
    let judged = "SELECT count(*) FROM predictions WHERE challenger_is_anomaly IS NOT NULL";
    let revised = format!("{judged} AND revision > 0");
    assert_eq!((project.number(judged), project.number(&revised)), (14, 1));
    for (range, windows) in [(&[][..], 13), (&["--from", "2026-01-02T00:00:00Z"], 12)] {
        let told = project.ok(&[&["models", "compare", "-c", "tidegauge.toml"], range].concat());
        let expected = format!("1 sensors, {windows} rows that both have judged");
        assert!(told.contains(&expected), "{told} does not say {expected}");
    }
}

#[test]
fn what_has_no_model_of_its_own_is_judged_by_its_group_or_limits_and_listed() {
    let project = project("127.0.0.1:1");
    score(&project, "scored", &[]);
    let sql = "SELECT \"Device\", \"Sensor\", status, model_set, count(*) AS rows, \
               count(is_anomaly) AS judged, max(threshold) AS threshold FROM predictions \
               GROUP BY \"Device\", \"Sensor\", status, model_set ORDER BY \"Device\", \"Sensor\"";
    let rows = project.query_in("scored", sql);
    let found: Vec<_> = rows
        .iter()
        .map(|row| (format!("{}/{}", row["Device"], row["Sensor"]), row["status"].clone()))
        .collect();
    let found: Vec<_> =
        found.iter().map(|(k, s)| (k.as_str(), s.as_str().expect("text"))).collect();
    assert_eq!(found, STATUSES, "{rows:#?}");
    let set = |at: usize| rows[at]["model_set"].as_u64();
    assert_eq!([set(0), set(1), set(2), set(3), set(4)], [Some(1), Some(1), Some(3), None, None]);
    assert_eq!(
        (&rows[2]["judged"], &rows[3]["judged"], &rows[4]["judged"]),
        (&360.into(), &360.into(), &0.into())
    );
    assert_eq!(rows[3]["threshold"], 0.0, "that of limits");
    project.ok(&["verify", "scored"]);

    let missing = ["models", "missing", "-c", "tidegauge.toml", "--set", "lake.url=scored"];
    let told = project.ok(&missing);
    let lines: Vec<String> = told
        .lines()
        .filter(|line| line.starts_with("| 1 ") || line.starts_with("| 2 "))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join(" ").trim().to_string())
        .collect();
    let line = |sensor: &str, status: &str| format!("{sensor} {status} 360 2026-01-01T00:30:00Z");
    let expected = [line("2 2", "no_model"), line("1 3", "fallback"), line("2 1", "fallback")];
    assert_eq!(lines, expected, "{told}");
    let total = "5 sensors in the lake: 1 without a model, 2 judged by a fallback\n";
    assert!(told.ends_with(total), "{told}");

    // The newest row counts: from here on 2/2 has a model.
    only(&project, "last.jsonl", &["2/2"]);
    project.ok(&["train", "last.jsonl", "-c", "tidegauge.toml"]);
    simulate(&project, "all.jsonl", "2026-01-01T00:40:00.300Z", "60");
    only(&project, "after.jsonl", &["2/2"]);
    project.ok(&["score", "after.jsonl", "-c", "tidegauge.toml", "-o", "scored"]);
    let told = project.ok(&missing);
    let total = "5 sensors in the lake: 0 without a model, 2 judged by a fallback\n";
    assert!(told.ends_with(total) && !told.contains("no_model"), "{told}");
}

#[test]
fn settings_that_a_lake_or_a_command_does_not_fit_are_told_with_what_differs() {
    let project = Project::new("127.0.0.1:1");
    std::fs::write(project.path("a.csv"), "TS,Device,Sensor,Value\n2026-01-01T00:00:01Z,1,1,5\n")
        .expect("writes");
    let args = ["score", "a.csv", "-c", "tidegauge.toml", "-o", "scored"];
    let challenger = ["--set", "models.challenger.alias=challenger"];
    project.ok(&args);
    let error = project.fails(1, &[&args[..], &challenger].concat());
    let columns = "columns: none -> challenger_score float64, challenger_is_anomaly bool, challenger_set uint64;";
    assert!(error.contains(columns), "{error}");
    let compare = ["models", "compare", "-c", "tidegauge.toml", "--set", "lake.url=scored"];
    let error = project.fails(64, &compare);
    assert!(error.contains("compare needs [models.challenger] alias"), "{error}");
    let error = project.fails(1, &[&compare[..], &challenger].concat());
    assert!(error.contains("was made without [models.challenger]"), "{error}");
    let error = project.fails(64, &["train", "a.csv", "-c", "tidegauge.toml", "--group"]);
    assert!(error.contains("--group needs [models.fallback] group"), "{error}");
    let unknown = "[[models.fallback.limits]]\nfeature = \"median\"\nmin = 0\n";
    let project = project.with("end", unknown, MEAN);
    let error = project.fails(64, &["run", "-c", "tidegauge.toml"]);
    assert!(
        error.contains("feature \"median\" of a limit is not among those that models see"),
        "{error}"
    );
}

#[test]
fn a_backtest_has_neither_challenger_nor_fallback() {
    let project = project("127.0.0.1:1");
    project.ok(&["backtest", "readings.jsonl", "-c", "tidegauge.toml", "-o", "tried"]);
    let row =
        &project.query_in("tried", "SELECT * FROM predictions WHERE score IS NOT NULL LIMIT 1")[0];
    assert!(row.get("challenger_set").is_none() && row.get("is_anomaly").is_some(), "{row}");
    project.ok(&["verify", "tried"]);
}

#[test]
fn fm_56_a_stream_says_of_each_window_what_scoring_says() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers);
    score(&project, "scored", &[]);
    project.publish(&project.path("readings.jsonl"));
    project.run_to_end();
    project.ok(&["verify", "lake"]);
    let (stream, scored) = (project.predictions("lake"), project.predictions("scored"));
    assert!(stream.len() > 1_700 && stream.len() == scored.len(), "{}", scored.len());
    for (found, expected) in stream.iter().zip(&scored) {
        assert_eq!(found, expected);
    }
}
