//! `serve` over a lake at rest: what it answers over HTTP is what `query` says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{FOUR, Project, eventually};
use crate::metrics::get;

/// A server of the test; told to end when it is stopped, and killed when it is dropped.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(project: &Project, args: &[&str]) -> Self {
        let mut command = project.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once(';'));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).0.to_owned();
        Self { child, address }
    }

    fn ask(&self, path: &str) -> (u16, Value) {
        let (status, body) = get(&self.address, path).expect("an answer");
        let body = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"));
        (status, body)
    }

    fn ok(&self, path: &str) -> Value {
        let (status, body) = self.ask(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Asks for an orderly end; its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("kill runs").success());
        let wait = || self.child.try_wait().expect("it can be waited for");
        eventually("the server to end", wait).code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A lake `scored` with an hour of simulated sensors, and two sets of models in the configured lake.
fn scored_hour(project: &Project) {
    let file = project.path("day.jsonl");
    let file = file.to_str().expect("a path in UTF-8");
    let hour = "--shape gaussian --start 2026-01-01T00:00:00Z --seconds 3600 --speed 0 --faults 10 \
                --faults-after 30m";
    let simulate: Vec<&str> =
        ["simulate", "--out", file].into_iter().chain(hour.split_whitespace()).collect();
    project.ok(&simulate);
    // Twice, on the half that is normal: there is a set to roll back to.
    for _ in 0..2 {
        project.ok(&["train", file, "-c", "tidegauge.toml", "--to", "2026-01-01T00:30:00Z"]);
    }
    project.ok(&["score", file, "-c", "tidegauge.toml", "-o", "scored"]);
}

/// The one number of a statement over the lake `scored`.
fn number(project: &Project, sql: &str) -> i64 {
    let rows = project.query_in("scored", sql);
    let row = rows[0].as_object().expect("a row");
    row.values().next().and_then(Value::as_i64).expect("a number")
}

#[test]
fn every_route_answers_and_the_figures_are_those_of_query() {
    let project = Project::new("127.0.0.1:1").write(FOUR);
    scored_hour(&project);
    let serving = Serving::start(&project, &["scored"]);
    let info = serving.ok("/api/v1/info");
    assert_eq!((info["lake"].as_str(), info["runs"].as_bool()), (Some("scored"), Some(false)));
    assert_eq!(info["window_us"], 5_000_000);
    sensors_are_those_of_query(&project, &serving);
    anomalies_are_those_of_query(&project, &serving);
    tables_are_those_of_query(&project, &serving);
    for (path, status) in [
        ("/api/v1/sensor?key=9999&key=1", 404),
        ("/api/v1/sensor?key=x&key=1", 400),
        ("/api/v1/commits?lane=none", 404),
    ] {
        let (found, body) = serving.ask(path);
        assert_eq!(found, status, "{path}: {body}");
        assert!(body["error"].is_string(), "{path}: {body}");
    }
    assert_eq!(serving.stop(), Some(0));

    // With a configuration the registry is the pipeline's.
    let configured = Serving::start(&project, &["-c", "tidegauge.toml"]);
    let models = configured.ok("/api/v1/models");
    assert_eq!(models["sets"].as_array().map(Vec::len), Some(2));
    assert_eq!(models["aliases"][0]["role"], "champion");
    assert_eq!(configured.ok("/api/v1/overview")["rows"], 0);
}

fn sensors_are_those_of_query(project: &Project, serving: &Serving) {
    let rows = number(project, "SELECT count(*) FROM predictions");
    let distinct = r#"SELECT count(*) FROM (SELECT DISTINCT "Device", "Sensor" FROM predictions)"#;
    let sensors = number(project, distinct);
    assert!(rows > 0 && sensors > 1);
    let overview = serving.ok("/api/v1/overview");
    assert_eq!(overview["rows"].as_i64(), Some(rows));
    assert_eq!(overview["sensors"].as_i64(), Some(sensors));
    let messages = number(project, "SELECT CAST(sum(messages) AS BIGINT) FROM commits");
    assert_eq!(overview["messages"].as_i64(), Some(messages));

    let list = serving.ok("/api/v1/sensors?sort=severity&order=desc&limit=3");
    assert_eq!(list["total"].as_i64(), Some(sensors));
    assert_eq!(list["rows"].as_array().map(Vec::len), Some(3));
    let first = &list["rows"][0]["key"];
    let (device, sensor) = (first[0].as_i64().expect("int"), first[1].as_i64().expect("int"));
    let one = format!("\"Device\" = {device} AND \"Sensor\" = {sensor}");
    let page =
        serving.ok(&format!("/api/v1/sensor?key={device}&key={sensor}&from_us=0&points=10000"));
    let windows = number(project, &format!("SELECT count(*) FROM predictions WHERE {one}"));
    assert_eq!(page["windows"].as_i64(), Some(windows));
    let highest = format!("SELECT max(score) AS s FROM predictions WHERE {one}");
    let highest = project.query_in("scored", &highest);
    let scores = page["history"]["score"].as_array().expect("a column");
    let most = scores.iter().filter_map(Value::as_f64).reduce(f64::max);
    assert_eq!(most, highest[0]["s"].as_f64());
}

fn anomalies_are_those_of_query(project: &Project, serving: &Serving) {
    let anomalous = number(project, "SELECT count(*) FROM predictions WHERE is_anomaly");
    assert!(anomalous > 100, "only {anomalous} anomalies");
    let (mut found, mut before) = (0, String::new());
    for _ in 0..100 {
        let page = serving.ok(&format!("/api/v1/anomalies?limit=100{before}"));
        found += page["rows"].as_array().expect("rows").len() as i64;
        match page["next_before_us"].as_i64() {
            Some(next) => before = format!("&before_us={next}"),
            None => break,
        }
    }
    assert_eq!(found, anomalous);
}

fn tables_are_those_of_query(project: &Project, serving: &Serving) {
    let lanes = serving.ok("/api/v1/lanes");
    let lane = lanes["lanes"][0]["lane"].as_str().expect("a lane").to_owned();
    let commits = format!("/api/v1/commits?lane={lane}&limit=1000");
    for (path, table) in [
        (commits.as_str(), "commits"),
        ("/api/v1/rejects?limit=1000", "rejects"),
        ("/api/v1/late?limit=1000", "late"),
    ] {
        let rows = number(project, &format!("SELECT count(*) FROM {table}"));
        let answer = serving.ok(path);
        assert_eq!(answer["rows"].as_array().map(|rows| rows.len() as i64), Some(rows), "{table}");
    }
    assert_eq!(serving.ok("/api/v1/events")["rows"].as_array().map(Vec::len), Some(0));
    assert_eq!(serving.ok("/api/v1/models")["sets"].as_array().map(Vec::len), Some(0));
}

#[test]
fn others_than_this_machine_are_not_served_without_keys() {
    let project = Project::new("127.0.0.1:1").write(FOUR);
    let said = project.fails(64, &["serve", "lake", "--listen", "0.0.0.0:0"]);
    assert!(said.contains("--keys"), "{said}");
    project.fails(64, &["serve"]);
    project.fails(64, &["serve", "lake", "-c", "tidegauge.toml"]);
}
