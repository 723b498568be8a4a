//! Trained models against faults that are known: what they must find and how rarely they may cry wolf.

use serde_json::Value;

use crate::harness::{FOUR, Project};

/// Minutes of event time to train on, and in all.
const TRAINING_MINUTES: i64 = 60;
const MINUTES: i64 = 120;

struct Fault {
    device: i64,
    sensor: i64,
    kind: String,
    from: String,
    to: String,
}

fn faults(project: &Project) -> Vec<Fault> {
    let text =
        std::fs::read_to_string(project.path("truth.jsonl")).expect("the simulator wrote it");
    let fault = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| value[name].as_str().expect("text").to_string();
        Fault {
            device: value["device"].as_i64().expect("int"),
            sensor: value["sensor"].as_i64().expect("int"),
            kind: text("kind"),
            from: text("from"),
            to: text("to"),
        }
    };
    text.lines().map(fault).collect()
}

/// Times as RFC 3339 with or without a fraction, made comparable as text.
fn comparable(time: &str) -> String {
    let plain = time.trim_end_matches('Z');
    let (seconds, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    format!("{seconds}.{fraction:0<9}")
}

fn overlaps(row: &Value, fault: &Fault) -> bool {
    let time = |name: &str| comparable(row[name].as_str().expect("a time"));
    row["Device"].as_i64() == Some(fault.device)
        && row["Sensor"].as_i64() == Some(fault.sensor)
        && comparable(&fault.from) <= time("window_end")
        && comparable(&fault.to) > time("window_start")
}

/// (found, injected) spikes and stuck values, and (flagged, all) normal windows.
fn run(shape: &str, seed: &str) -> ((usize, usize), (usize, usize)) {
    let project = Project::new("127.0.0.1:1").write(FOUR);
    let (seconds, after) = ((MINUTES * 60).to_string(), format!("{}m", TRAINING_MINUTES + 1));
    project.ok(&[
        "simulate",
        "--out",
        "readings.jsonl",
        "--truth",
        "truth.jsonl",
        "--shape",
        shape,
        "--seed",
        seed,
        "--interval",
        "500ms",
        "--seconds",
        &seconds,
        "--start",
        "2026-01-01T00:00:00Z",
        "--speed",
        "0",
        "--faults",
        "4",
        "--faults-after",
        &after,
    ]);
    let to = "2026-01-01T01:00:00Z";
    project.ok(&["train", "readings.jsonl", "-c", "tidegauge.toml", "--to", to]);
    project.ok(&["score", "readings.jsonl", "-c", "tidegauge.toml", "-o", "scored"]);
    let rows = project.query_in(
        "scored",
        &format!("SELECT * FROM predictions WHERE window_start >= '{to}' AND status = 'ok'"),
    );
    let faults = faults(&project);
    let clear: Vec<_> = faults.iter().filter(|f| f.kind == "spike" || f.kind == "stuck").collect();
    let flagged: Vec<_> = rows.iter().filter(|r| r["is_anomaly"] == true).collect();
    let found = clear.iter().filter(|f| flagged.iter().any(|r| overlaps(r, f))).count();
    let is_normal = |row: &&Value| !faults.iter().any(|f| overlaps(row, f));
    let normal = rows.iter().filter(is_normal).count();
    let false_alarms = flagged.iter().filter(|r| is_normal(r)).count();
    ((found, clear.len()), (false_alarms, normal))
}

#[test]
fn trained_models_find_injected_faults_and_leave_normal_windows_alone() {
    // Seeds that were not used while the training was made.
    for (shape, seed) in [("gaussian", "90210"), ("uniform", "90211"), ("sine", "90212")] {
        let ((found, injected), (flagged, normal)) = run(shape, seed);
        println!(
            "{shape}: {found} of {injected} faults found, {flagged} of {normal} normal windows flagged"
        );
        assert!(injected >= 20, "{shape}: only {injected} faults were injected");
        assert!(normal >= 5_000, "{shape}: only {normal} normal windows");
        assert!(found * 10 >= injected * 9, "{shape}: {found} of {injected} faults found");
        assert!(flagged * 100 <= normal, "{shape}: {flagged} of {normal} normal windows flagged");
    }
}
