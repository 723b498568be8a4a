//! The names, labels and life of the series.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{KAFKA_CODES_MAX, LaneLabels, Metrics, ModelsSeen, View};

const LABELS: LaneLabels = LaneLabels {
    reasons: &["malformed", "too_old"],
    statuses: &["ok", "no_model"],
    tables: &["predictions", "late"],
    late: &["window_closed", "arrival"],
};

/// A metric's name, with its type and the names of its labels.
type Catalogue = BTreeMap<String, (String, BTreeSet<String>)>;

#[test]
fn the_metrics_are_those_of_the_documentation() {
    let metrics = Metrics::new().expect("the names are distinct");
    metrics.lane("sensors-0", &LABELS);
    metrics.alert("pager");
    metrics.kafka_errors("BrokerNotAvailable", 1);
    metrics.machine.watch_disk("/".into());
    let seen = ModelsSeen {
        trained_to_seconds: Some((2.0, 1.0)),
        false_alarm_rates: vec![0.01],
        ..ModelsSeen::default()
    };
    metrics.models.seen(View::Champion, &seen);
    assert_eq!(shown(&metrics.text()), documented());
}

#[test]
fn every_series_of_a_lane_is_there_from_the_start() {
    let metrics = Metrics::new().expect("the names are distinct");
    metrics.lane("sensors-0", &LABELS);
    let text = metrics.text();
    for series in [
        r#"tidegauge_ingest_messages_total{lane="sensors-0"} 0"#,
        r#"tidegauge_ingest_rejects_total{lane="sensors-0",reason="malformed"} 0"#,
        r#"tidegauge_ingest_rejects_total{lane="sensors-0",reason="too_old"} 0"#,
        r#"tidegauge_score_rows_total{lane="sensors-0",status="no_model"} 0"#,
        r#"tidegauge_sink_files_total{lane="sensors-0",table="late"} 0"#,
        r#"tidegauge_sink_rows_total{lane="sensors-0",table="predictions"} 0"#,
        r#"tidegauge_aggregate_watermark_delay_seconds{lane="sensors-0"} 0"#,
        "tidegauge_lanes 1",
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is missing in\n{text}");
    }
}

#[test]
fn handles_count_into_their_own_series() {
    let metrics = Metrics::new().expect("the names are distinct");
    let lane = metrics.lane("sensors-0", &LABELS);
    lane.messages.inc_by(5);
    lane.readings.inc_by(3);
    lane.rejects.at(1).inc_by(2);
    lane.scored.get("no_model").expect("a status of the list").inc_by(3);
    lane.file_rows.get("predictions").expect("a table of the list").inc_by(4);
    lane.watermark_delay.set(2.5);
    lane.lag.set(7);
    assert!(lane.rejects.get("unheard_of").is_none());
    let text = metrics.text();
    for series in [
        r#"tidegauge_ingest_messages_total{lane="sensors-0"} 5"#,
        r#"tidegauge_ingest_readings_total{lane="sensors-0"} 3"#,
        r#"tidegauge_ingest_rejects_total{lane="sensors-0",reason="too_old"} 2"#,
        r#"tidegauge_score_rows_total{lane="sensors-0",status="no_model"} 3"#,
        r#"tidegauge_sink_rows_total{lane="sensors-0",table="predictions"} 4"#,
        r#"tidegauge_aggregate_watermark_delay_seconds{lane="sensors-0"} 2.5"#,
        r#"tidegauge_ingest_lag_messages{lane="sensors-0"} 7"#,
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is missing in\n{text}");
    }
}

#[test]
fn a_lane_that_goes_takes_all_its_series_and_no_others() {
    let metrics = Metrics::new().expect("the names are distinct");
    metrics.lane("sensors-1", &LABELS).messages.inc_by(9);
    let alone = metrics.text().lines().filter(|l| l.contains("lane=")).count();
    let going = metrics.lane("sensors-0", &LABELS);
    going.messages.inc();
    going.remove();
    going.messages.inc();
    let text = metrics.text();
    assert!(!text.contains("sensors-0"), "{text}");
    assert_eq!(text.lines().filter(|l| l.contains("lane=")).count(), alone);
    assert!(text.contains(r#"tidegauge_ingest_messages_total{lane="sensors-1"} 9"#));
    assert!(text.lines().any(|line| line == "tidegauge_lanes 1"));
}

#[test]
fn a_lane_that_comes_back_starts_at_zero() {
    let metrics = Metrics::new().expect("the names are distinct");
    let lane = metrics.lane("sensors-0", &LABELS);
    lane.commits.inc_by(4);
    lane.remove();
    metrics.lane("sensors-0", &LABELS).commits.inc();
    assert!(metrics.text().contains(r#"tidegauge_sink_commits_total{lane="sensors-0"} 1"#));
}

#[test]
fn kafka_codes_beyond_the_limit_are_counted_together() {
    let metrics = Metrics::new().expect("the names are distinct");
    for code in 0..KAFKA_CODES_MAX + 5 {
        metrics.kafka_errors(&format!("code{code}"), 1);
    }
    metrics.kafka_errors("code0", 1);
    let text = metrics.text();
    let series = text.lines().filter(|l| l.contains("kafka_errors_total{")).count();
    assert_eq!(series, KAFKA_CODES_MAX + 1);
    assert!(text.contains(r#"tidegauge_ingest_kafka_errors_total{code="code0"} 2"#));
    assert!(text.contains(r#"tidegauge_ingest_kafka_errors_total{code="other"} 5"#));
}

#[test]
fn histograms_span_the_sizes_and_times_that_occur() {
    let metrics = Metrics::new().expect("the names are distinct");
    metrics.batch_messages.observe(65_536.0);
    metrics.commit_seconds.observe(0.02);
    let text = metrics.text();
    for series in [
        r#"tidegauge_ingest_batch_messages_bucket{le="1"} 0"#,
        r#"tidegauge_ingest_batch_messages_bucket{le="65536"} 1"#,
        r#"tidegauge_sink_commit_seconds_bucket{le="0.001"} 0"#,
        r#"tidegauge_sink_commit_seconds_bucket{le="0.025"} 1"#,
        r#"tidegauge_sink_commit_seconds_bucket{le="30"} 1"#,
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is missing in\n{text}");
    }
}

#[test]
fn the_process_shows_numbers_that_can_be_its_own() {
    let text = Metrics::new().expect("the names are distinct").text();
    let number = |name: &str| -> f64 {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).expect("the metric is shown");
        line.trim().parse().expect("a number")
    };
    assert!(number("process_resident_memory_bytes ") > 1e6);
    assert!(number("process_open_fds ") >= 3.0);
    assert!(number("process_start_time_seconds ") > 1.5e9);
    assert!(number("process_cpu_seconds_total ") >= 0.0);
}

/// What an exposition shows, from its `# TYPE` lines and its series.
fn shown(text: &str) -> Catalogue {
    let mut all = Catalogue::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a name and a type");
            all.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((series, rest)) = line.split_once('{') {
            let parts = ["_bucket", "_sum", "_count"];
            let name = parts.iter().find_map(|p| series.strip_suffix(p)).unwrap_or(series);
            let (labels, _) = rest.split_once('}').expect("closed labels");
            let names = labels.split(',').filter_map(|l| l.split_once('=')).map(|(name, _)| name);
            let entry = all.get_mut(name).expect("declared before its series");
            entry.1.extend(names.filter(|&name| name != "le").map(str::to_owned));
        }
    }
    all
}

/// The tables of `docs/metrics.md`.
fn documented() -> Catalogue {
    let page = fs::read_to_string("../docs/metrics.md").expect("the page is in the repository");
    let mut all = Catalogue::new();
    for line in page.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        if name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            continue; // an alert's expression
        }
        let labels = cells[3].split(',').map(str::trim).filter(|l| !l.is_empty());
        let labels = labels.map(str::to_owned).collect();
        let known = all.insert(name.to_owned(), (cells[2].to_owned(), labels));
        assert!(known.is_none(), "{name} is documented twice");
    }
    all
}
