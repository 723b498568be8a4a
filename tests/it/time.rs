//! Event time from end to end: partitions days apart, wrong clocks, alignment, other numbers of threads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use tidegauge_flow::time::{NANOS, rfc3339};
use tidegauge_ingest::kafka::{Compression, Outgoing, Producer, ProducerSettings};

use crate::group::committed;
use crate::harness::{MEAN, Project, data, eventually, kafka};
use crate::metrics::get;
use crate::recovery::epochs;

/// 2020-01-01T00:00:00Z.
const START_NS: i64 = 1_577_836_800 * NANOS;
const DAY_NS: i64 = 86_400 * NANOS;

fn producer(brokers: &str, topic: &str) -> Producer {
    Producer::start(&ProducerSettings {
        brokers: brokers.into(),
        topic: topic.into(),
        compression: Compression::Lz4,
        queue_kib: 64 << 10,
        extra: BTreeMap::new(),
    })
    .expect("a producer")
}

fn event(time_ns: i64, device: i64, value: i64) -> String {
    let time = rfc3339(time_ns);
    format!(r#"{{"TS":"{time}","Device":{device},"Sensor":1,"Value":{value}}}"#)
}

#[test]
fn fm_06_partitions_that_are_days_apart_are_caught_up_by_one_worker_without_a_late_reading() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    project.ok(&[
        "simulate",
        "--brokers",
        &brokers,
        "--topic",
        &project.topic,
        "--create",
        "4",
        "--events",
        "0",
    ]);
    let producer = producer(&brokers, &project.topic);
    // The newest day is read first, so that a watermark over all partitions would call the others late.
    const EACH: i64 = 3_000;
    let running = project.start_run(&["--set", "source.threads=1"]);
    for partition in (0..4).rev() {
        for second in 0..EACH {
            let time = START_NS + i64::from(partition) * 40 * DAY_NS + second * NANOS;
            let payload = event(time, i64::from(partition), second);
            let (payload, partition) = (Some(payload.as_bytes()), Some(partition));
            producer
                .send(Outgoing { payload, partition, ..Outgoing::default() })
                .expect("there is room");
        }
        producer.flush(Duration::from_secs(30)).expect("delivered");
        committed(&project, partition, EACH as u64);
    }
    assert!(running.sigterm().success());
    project.ok(&["run", "-c", "tidegauge.toml", "--until-idle", "2s", "--set", "source.threads=1"]);
    assert_eq!(project.number("SELECT count(*) FROM late"), 0);
    let sums = project.query(
        r#"SELECT "Device", CAST(sum(n_readings) AS BIGINT) AS n, count(*) AS rows,
           round(sum(mean * n_readings)) AS total FROM predictions GROUP BY "Device" ORDER BY "Device""#,
    );
    assert_eq!(sums.len(), 4);
    for row in sums {
        // The first second of a day ends a window of its own: windows are (start, end].
        assert_eq!((row["n"].as_i64(), row["rows"].as_i64()), (Some(EACH), Some(EACH / 5 + 1)));
        assert_eq!(row["total"].as_f64(), Some((EACH * (EACH - 1) / 2) as f64));
    }
    assert!(project.ok(&["verify", "lake"]).contains("proven"));
}

#[test]
fn fm_07_wrong_times_are_rejects_and_move_no_watermark() {
    let wrong = [
        ("9999-12-31T23:59:59Z", "too_early"),
        ("2262-04-11T23:47:16Z", "too_early"),
        ("1970-01-01T00:00:00Z", "too_old"),
        ("1969-12-31T23:59:59Z", "too_old"),
        ("-0001-01-01T00:00:00Z", "bad_time"),
        ("1577836800", "bad_time"),
        ("", "bad_time"),
    ];
    let project = Project::new("127.0.0.1:1");
    let mut lines = String::new();
    for second in 0..100 {
        writeln!(lines, "{}", event(START_NS + second * NANOS, 1, 1)).expect("writes");
        let (time, _) = wrong[second as usize % wrong.len()];
        writeln!(lines, r#"{{"TS":"{time}","Device":1,"Sensor":1,"Value":1}}"#).expect("writes");
    }
    lines.push_str("{\"Device\":1,\"Sensor\":1,\"Value\":1}\n");
    std::fs::write(project.path("wrong.jsonl"), lines).expect("writable");
    project.ok(&Project::scoring("wrong.jsonl"));
    wrong_times_are_rejects(&project, 21, &[("bad_time", 42), ("missing_field", 1)]);
    assert_eq!(project.number("SELECT CAST(sum(n_readings) AS BIGINT) FROM predictions"), 100);
    // As a stream too, where a watermark that had jumped would make all that follows late.
    let source =
        format!("kind = \"files\"\npaths = [\"{}\"]", project.path("wrong.jsonl").display());
    let stream = Project::new("127.0.0.1:1").with("source", &source, MEAN);
    stream.ok(&["run", "-c", "tidegauge.toml", "--until-idle", "1s"]);
    wrong_times_are_rejects(&stream, 21, &[("bad_time", 42), ("missing_field", 1)]);
}

fn wrong_times_are_rejects(project: &Project, windows: i64, some: &[(&str, i64)]) {
    assert_eq!(project.number("SELECT count(*) FROM late"), 0);
    assert_eq!(project.number("SELECT count(*) FROM rejects"), 101);
    for (reason, count) in some {
        let sql = format!("SELECT count(*) FROM rejects WHERE reason = '{reason}'");
        assert_eq!(project.number(&sql), *count, "{reason}");
    }
    assert_eq!(project.number("SELECT count(*) FROM predictions"), windows);
}

#[test]
fn fm_07_seconds_and_microseconds_taken_for_milliseconds_are_rejects() {
    let project = Project::new("127.0.0.1:1").with("event", "time_format = \"epoch_millis\"", MEAN);
    let line = |time: i64| format!("{{\"TS\":{time},\"Device\":1,\"Sensor\":1,\"Value\":1}}\n");
    let second = START_NS / NANOS;
    let lines = [second * 1000, second, second * 1_000_000, -second, second * 1000 + 1];
    std::fs::write(project.path("mixed.jsonl"), lines.map(line).concat()).expect("writable");
    project.ok(&Project::scoring("mixed.jsonl"));
    assert_eq!(project.number("SELECT CAST(sum(n_readings) AS BIGINT) FROM predictions"), 2);
    let reasons = project.query("SELECT reason FROM rejects ORDER BY \"offset\"");
    let reasons: Vec<_> = reasons.iter().filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons, ["too_old", "too_early", "too_old"]);
}

#[test]
fn fm_08_windows_keep_their_alignment_across_restarts_and_whatever_the_clock_says() {
    // Less than a second, an offset, and a slide that does not divide the size: 700 ms every 300 ms.
    let query = r#"SELECT "Device", "Sensor", sum("Value") AS total FROM readings GROUP BY "Device", "Sensor",
        hop("TS", INTERVAL '300 milliseconds', INTERVAL '700 milliseconds', INTERVAL '100 milliseconds')"#;
    const MS: i64 = 1_000_000;
    let times: Vec<i64> = (0..1_000).map(|i| START_NS + i * 37 * MS + (i % 7) * MS).collect();
    let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (value, time) in (0i64..).zip(&times) {
        let first = time + (100 * MS - time).rem_euclid(300 * MS);
        for end in (first..).step_by(300 * MS as usize).take_while(|end| end - 700 * MS < *time) {
            let (count, total) = expected.entry(end).or_default();
            *count += 1;
            *total += value;
        }
    }
    let project = Project::new("127.0.0.1:1");
    let file = project.path("readings.jsonl");
    let source = format!("kind = \"files\"\npaths = [\"{}\"]", file.display());
    let project = project.with("source", &source, query);
    let lines: Vec<String> =
        (0i64..).zip(&times).map(|(value, &time)| event(time, 1, value) + "\n").collect();
    // Four runs, each of which finds more of the file; cut where windows are open.
    for (part, until) in [301, 517, 998, 1_000].into_iter().enumerate() {
        std::fs::write(&file, lines[..until].concat()).expect("writable");
        let mut args = vec!["run", "-c", "tidegauge.toml", "--until-idle", "1s"];
        if part < 3 {
            args.push("--leave-open");
        }
        project.ok(&args);
    }
    let rows = project.query("SELECT window_end, n_readings, total FROM predictions ORDER BY 1");
    let found: Vec<(String, i64, f64)> = rows
        .iter()
        .map(|row| {
            let end = row["window_end"].as_str().expect("a time").to_string();
            (
                end,
                row["n_readings"].as_i64().expect("a count"),
                row["total"].as_f64().expect("a sum"),
            )
        })
        .collect();
    assert_eq!(found.len(), expected.len());
    for ((end, count, total), (&end_ns, &(n, sum))) in found.iter().zip(&expected) {
        let at = tidegauge_ingest::decode::time_ns(end).expect("a time");
        assert_eq!((at, *count, *total), (end_ns, n, sum as f64));
    }
}

#[test]
fn fm_20_a_topic_goes_on_with_another_number_of_threads() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    project.publish(&data("seedlike/readings.csv"));
    let lake = project.path("lake");
    for threads in ["source.threads=1", "source.threads=3"] {
        let before = epochs(&lake);
        let mut running = project.start_run(&["--set", threads]);
        eventually("an epoch of this process", || {
            assert!(running.is_running(), "the process ended by itself");
            (epochs(&lake) > before).then_some(())
        });
        running.sigkill();
        // More for the next one to read.
        project.publish(&data("seedlike/readings.csv"));
    }
    let end = ["run", "-c", "tidegauge.toml", "--until-idle", "2s"];
    project.ok(&[&end[..], &["--set", "source.threads=2"]].concat());
    project.ok(&[&end[..], &["--set", "lake.url=calm", "--set", "source.group=calm"]].concat());
    assert_eq!(project.predictions("lake"), project.predictions("calm"));
    assert!(project.ok(&["verify", "lake"]).contains("proven"));
}

#[test]
fn fm_43_a_backlog_is_read_in_large_batches() {
    let Some(brokers) = kafka() else { return };
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let address = address.to_string();
    let http = format!("[http]\nlisten = \"{address}\"\n");
    let project = Project::new(&brokers).with("end", &http, MEAN);
    project.ok(&[
        "simulate",
        "--brokers",
        &brokers,
        "--topic",
        &project.topic,
        "--create",
        "4",
        "--events",
        "200000",
        "--start",
        "2026-01-01T00:00:00Z",
        "--speed",
        "0",
    ]);
    let running = project.start_run(&[]);
    let (messages, batches) = eventually("200,000 messages in the metrics", || {
        let (_, body) = get(&address, "/metrics")?;
        let value = |name: &str| -> Option<f64> {
            body.lines().find(|line| line.starts_with(name))?.rsplit(' ').next()?.parse().ok()
        };
        let messages = value("tidegauge_ingest_batch_messages_sum")?;
        let batches = value("tidegauge_ingest_batch_messages_count")?;
        (messages >= 200_000.0).then_some((messages, batches))
    });
    assert!(messages / batches > 500.0, "{messages} messages came in {batches} batches");
    assert!(running.sigterm().success());
}
