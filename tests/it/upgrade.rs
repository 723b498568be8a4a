//! A lake that an older version has made: read, proven, compacted, continued; and one of a newer version.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tidegauge::config;
use tidegauge::lane::Lane;
use tidegauge::pipeline::Pipeline;
use tidegauge_aggregate::Closing;
use tidegauge_flow::Partition;
use tidegauge_ingest::Message;

use crate::harness::data;

/// The sensors of the golden lake's lanes.
const LANES: [(&str, i32, [i64; 3]); 2] = [("golden-0", 0, [2, 5, 6]), ("golden-1", 1, [1, 3, 4])];

/// A copy of the golden lake of format 1.
struct Golden(TempDir);

impl Golden {
    fn copy() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&data("lakes/v1/lake"), &folder.path().join("lake"));
        Self(folder)
    }

    fn lake(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegauge"));
        command.args(args).current_dir(self.0.path()).output().expect("the binary starts")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        let printed = self.ok(&["query", "--lake", "lake", "--format", "json", sql]);
        printed.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    /// What the windows hold, whoever scored them.
    fn windows(&self) -> Vec<Value> {
        self.rows(
            r#"SELECT "Id", "Kind", window_end, mean, spread, low, n, n_readings, revision
               FROM predictions ORDER BY "Id", "Kind", window_end, revision"#,
        )
    }

    fn record(&self, lane: &str, epoch: u64) -> PathBuf {
        self.lake().join(format!("_tidegauge/ledger/{lane}/{epoch:020}.json"))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the golden lake") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copies")),
        }
    }
}

fn pipeline(lake: &Path) -> Arc<Pipeline> {
    let text = fs::read_to_string(data("lakes/v1/tidegauge.toml")).expect("the configuration");
    let sets = [format!("lake.url={}", lake.display())];
    let config = config::parse("golden", &text, std::iter::empty(), &sets).expect("valid");
    Arc::new(Pipeline::open(config).expect("opens"))
}

/// The payloads of one partition in a part of the golden events, or in what comes after them.
fn events(part: u32, sensors: &[i64]) -> Vec<String> {
    if part == 4 {
        let kinds = BTreeMap::from([(1, "temp"), (2, "temp"), (3, "flow"), (5, "flow")]);
        let kind = |id: &i64| {
            kinds.get(id).copied().unwrap_or(if *id == 6 { "x" } else { "ä \\\"q\\\"" })
        };
        let one = |second: i64, id: &i64| {
            let (minute, second) = (1 + second / 60, second % 60);
            let kind = kind(id);
            format!(
                r#"{{"TS":"2026-02-01T00:{minute:02}:{second:02}Z","Id":{id},"Kind":"{kind}","Value":{second}.5}}"#
            )
        };
        return (0..40).flat_map(|s| sensors.iter().map(move |id| one(s, id))).collect();
    }
    let text = fs::read_to_string(data(&format!("lakes/v1/events-{part}.txt"))).expect("events");
    let of_lane = |line: &&str| {
        let key = line.split('|').next().and_then(|key| key.parse::<i64>().ok());
        key.is_some_and(|key| sensors.contains(&key))
    };
    let payload = |line: &str| line.split_once('|').expect("key|payload").1.to_owned();
    text.lines().filter(of_lane).map(payload).collect()
}

/// Feeds events from offset `from` on, closes all windows, commits.
fn feed(lane: &mut Lane, number: i32, from: i64, texts: &[String]) {
    let input = lane.input(&Partition::new("golden", number), from);
    let messages = (from..).zip(texts).map(|(offset, text)| {
        let payload = Some(text.as_bytes());
        (Message { offset, timestamp_ms: None, payload }, offset + 1)
    });
    lane.feed(input, messages, i64::MAX / 2).expect("feeds");
    lane.drain().expect("drains");
    lane.commit(1_800_000_000_000_000).expect("commits");
}

/// The golden events and what follows, in a lake that was never anything but new.
fn made_anew() -> Golden {
    let fresh = Golden(tempfile::tempdir().expect("a folder"));
    let pipeline = pipeline(&fresh.lake());
    for (name, number, sensors) in LANES {
        let mut lane = Lane::open(&pipeline, name, Closing::ByWatermark).expect("opens");
        let texts: Vec<String> = (1..=4).flat_map(|part| events(part, &sensors)).collect();
        feed(&mut lane, number, 0, &texts);
    }
    fresh
}

#[test]
fn a_lake_of_format_1_is_proven_and_read() {
    let golden = Golden::copy();
    let said = golden.ok(&["verify", "lake"]);
    assert!(
        said.starts_with("2 lanes, 14 records, 12 files, 174 predictions, 930 readings"),
        "{said}"
    );
    assert_eq!(golden.windows().len(), 174);
    let counts = golden.rows("SELECT sum(late) AS late, sum(rejected) AS rejected FROM commits");
    assert_eq!(counts, [serde_json::json!({ "late": 6, "rejected": 4 })]);
    assert_eq!(golden.rows("SELECT * FROM late").len(), 6);
    assert_eq!(golden.rows("SELECT * FROM rejects").len(), 4);
}

#[test]
fn fm_18_a_lake_of_format_1_is_continued_where_it_stood() {
    let golden = Golden::copy();
    let pipeline = pipeline(&golden.lake());
    for (name, number, sensors) in LANES {
        let mut lane = Lane::open(&pipeline, name, Closing::ByWatermark).expect("it is continued");
        assert_eq!(lane.position_of(&Partition::new("golden", number)), Some(467));
        feed(&mut lane, number, 467, &events(4, &sensors));
        let written = fs::read_to_string(golden.record(name, 9)).expect("the new record");
        assert!(written.contains(r#""format":2"#), "{written}");
    }
    golden.ok(&["verify", "lake"]);
    let fresh = made_anew();
    fresh.ok(&["verify", "lake"]);
    assert_eq!(golden.windows(), fresh.windows());
    let late = |lake: &Golden| lake.rows(r#"SELECT "Id", "TS", "offset" FROM late ORDER BY "Id""#);
    assert_eq!(late(&golden), late(&fresh));
}

#[test]
fn a_lake_of_format_1_is_compacted_and_goes_on() {
    let golden = Golden::copy();
    let windows = golden.windows();
    let before = golden.rows("SELECT sum(messages) AS m, sum(rows) AS r FROM commits");
    let said = golden.ok(&["compact", "lake"]);
    assert!(said.starts_with("replaced "), "{said}");
    golden.ok(&["verify", "lake"]);
    assert_eq!(golden.windows(), windows);
    assert_eq!(golden.rows("SELECT sum(messages) AS m, sum(rows) AS r FROM commits"), before);
    let pipeline = pipeline(&golden.lake());
    let (name, number, sensors) = LANES[0];
    let mut lane = Lane::open(&pipeline, name, Closing::ByWatermark).expect("it is continued");
    feed(&mut lane, number, 467, &events(4, &sensors));
    golden.ok(&["verify", "lake"]);
}

#[test]
fn a_lake_of_a_newer_format_is_refused_by_its_number() {
    let newer = |path: &Path| {
        let text = fs::read_to_string(path).expect("an object of the lake");
        fs::write(path, text.replacen(r#""format":1"#, r#""format":9"#, 1)).expect("writes");
    };
    let golden = Golden::copy();
    newer(&golden.record("golden-1", 7));
    let output = golden.run(&["verify", "lake"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("has format 9 and this version reads format 3"), "{said}");
    assert!(said.contains("what to do: use the version of tidegauge that wrote it"), "{said}");
    let opened = Lane::open(&pipeline(&golden.lake()), "golden-1", Closing::ByWatermark);
    let refused = opened.err().map(|error| format!("{error:#}")).expect("it is not continued");
    assert!(refused.contains("has format 9 and this version reads format 3"), "{refused}");

    let golden = Golden::copy();
    newer(&golden.lake().join(format!("_tidegauge/generations/{:020}.json", 1)));
    let output = golden.run(&["query", "--lake", "lake", "SELECT 1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("has format 9 and this version reads format 1"), "{said}");
}
