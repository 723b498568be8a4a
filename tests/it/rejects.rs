//! Bad messages of every kind: each becomes one reject with its reason, and nothing else changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegauge_ingest::kafka::{Compression, Outgoing, Producer, ProducerSettings};

use crate::harness::{MEAN, Project, data, eventually, kafka};
use crate::recovery::epochs;

/// Payloads that can't be read, and why. `None` is a tombstone.
fn bad_messages() -> Vec<(Option<Vec<u8>>, &'static str)> {
    let with = |time: &str, device: &str, value: &str| {
        Some(
            format!(r#"{{"TS":{time},"Device":{device},"Sensor":1,"Value":{value}}}"#).into_bytes(),
        )
    };
    let good_time = r#""2018-08-28T23:00:05Z""#;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        (None, "tombstone"),
        (Some(Vec::new()), "empty"),
        (Some(b"  \n".to_vec()), "empty"),
        (Some(b"{\"TS\":".to_vec()), "malformed"),
        (Some(b"not json".to_vec()), "malformed"),
        (with(good_time, "1", "NaN"), "malformed"),
        (with(good_time, "1", "-Infinity"), "malformed"),
        (with(good_time, "1", "1e999"), "not_finite"),
        (Some(b"[1,2,3]".to_vec()), "not_an_object"),
        (Some(b"\"text\"".to_vec()), "not_an_object"),
        (Some(br#"{"Device":1,"Sensor":1,"Value":2}"#.to_vec()), "missing_field"),
        (Some(br#"{"TS":"2018-08-28T23:00:05Z","Device":1,"Value":2}"#.to_vec()), "missing_field"),
        (with(good_time, "\"1\"", "2"), "wrong_type"),
        (with(good_time, "1.5", "2"), "wrong_type"),
        (with(good_time, "99999999999999999999", "2"), "wrong_type"),
        (with(good_time, "1", "\"2\""), "wrong_type"),
        (with(good_time, "1", "{}"), "wrong_type"),
        (with("1535497205", "1", "2"), "wrong_type"),
        (with("null", "1", "2"), "null_field"),
        (with(good_time, "null", "2"), "null_field"),
        (with("\"yesterday\"", "1", "2"), "bad_time"),
        (with("\"2018-02-30T00:00:00Z\"", "1", "2"), "bad_time"),
        (with("\"1970-01-01T00:00:00Z\"", "1", "2"), "too_old"),
        (with("\"0001-01-01T00:00:00Z\"", "1", "2"), "too_old"),
        (with("\"9999-12-31T23:59:59Z\"", "1", "2"), "too_early"),
        (
            Some(
                br#"{"TS":"2018-08-28T23:00:05Z","Device":1,"Device":2,"Sensor":1,"Value":2}"#
                    .to_vec(),
            ),
            "duplicate_field",
        ),
        (Some(vec![b'{', b'"', 0xff, 0xfe, b'"', b'}']), "not_utf8"),
        (with(good_time, "1", &deep), "too_deep"),
        (Some(vec![b'x'; (1 << 20) + 1]), "too_large"),
        (with(good_time, "1", &format!("\"{}\"", "x".repeat(1 << 19))), "wrong_type"),
    ]
}

fn producer(brokers: &str, topic: &str) -> Producer {
    let mut extra = BTreeMap::new();
    extra.insert("message.max.bytes".to_string(), "4000000".to_string());
    Producer::start(&ProducerSettings {
        brokers: brokers.into(),
        topic: topic.into(),
        compression: Compression::Gzip,
        queue_kib: 64 << 10,
        extra,
    })
    .expect("a producer")
}

/// The lines of the good readings as messages with their keys.
fn good_messages() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(data("seedlike/readings.csv")).expect("committed");
    let message = |line: &str| {
        let [time, device, sensor, value] =
            line.split(',').collect::<Vec<_>>().try_into().expect("four columns");
        let json =
            format!(r#"{{"TS":"{time}","Device":{device},"Sensor":{sensor},"Value":{value}}}"#);
        (format!("{device}_{sensor}"), json)
    };
    text.lines().skip(1).map(message).collect()
}

#[test]
fn fm_42_bad_messages_are_rejected_once_with_their_reason_also_across_a_kill() {
    let Some(brokers) = kafka() else { return };
    let clean = Project::new(&brokers);
    clean.publish(&data("seedlike/readings.csv"));
    clean.run_to_end();

    let dirty = Project::new(&brokers);
    let target = ["simulate", "--brokers", &brokers, "--topic", &dirty.topic];
    dirty.ok(&[&target[..], &["--create", "4", "--events", "0"]].concat());
    let producer = producer(&brokers, &dirty.topic);
    let (good, bad) = (good_messages(), bad_messages());
    // By reason and, as the query shows bytes, hexadecimal payload.
    let mut expected: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let halves = good.chunks(good.len() / 2 + 1);
    let mut sent_bad = 0;
    for half in halves {
        for (index, (key, json)) in half.iter().enumerate() {
            // One message in twenty is bad.
            if index % 19 == 0 {
                let (payload, reason) = &bad[sent_bad % bad.len()];
                let partition = Some((sent_bad % 4) as i32);
                let payload = payload.as_deref();
                producer
                    .send(Outgoing { payload, partition, ..Outgoing::default() })
                    .expect("sent");
                let bytes = bad[sent_bad % bad.len()].0.as_ref().map(hex);
                *expected.entry((reason.to_string(), bytes)).or_default() += 1;
                sent_bad += 1;
            }
            let (key, payload) = (Some(key.as_bytes()), Some(json.as_bytes()));
            producer.send(Outgoing { key, payload, ..Outgoing::default() }).expect("sent");
        }
        producer.flush(Duration::from_secs(30)).expect("delivered");
        // Dies after an epoch of its own, with more of the topic before it or behind it.
        let lake = dirty.path("lake");
        let before = epochs(&lake);
        let mut running = dirty.start_run(&[]);
        eventually("an epoch of this process", || {
            assert!(running.is_running(), "the process ended by itself");
            (epochs(&lake) > before).then_some(())
        });
        running.sigkill();
    }
    assert!(sent_bad > bad.len(), "every kind was sent");
    dirty.run_to_end();

    assert_eq!(dirty.predictions("lake"), clean.predictions("lake"));
    let rows = dirty.query("SELECT reason, payload FROM rejects");
    let mut found: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
    for row in &rows {
        let reason = row["reason"].as_str().expect("text").to_string();
        let payload = row["payload"].as_str().map(String::from);
        *found.entry((reason, payload)).or_default() += 1;
    }
    assert!(found == expected, "rejects differ in reason, bytes or number");
    let places =
        dirty.number("SELECT count(*) FROM (SELECT DISTINCT partition, \"offset\" FROM rejects)");
    assert_eq!(places, sent_bad as i64, "each bad message once");
    let proof = dirty.ok(&["verify", "lake"]);
    assert!(proof.contains("proven"), "{proof}");
}

#[test]
fn fm_42_a_null_value_is_what_sql_says() {
    let project = Project::new("127.0.0.1:1");
    let lines = [
        r#"{"TS":"2018-08-28T23:00:01Z","Device":1,"Sensor":1,"Value":null}"#,
        r#"{"TS":"2018-08-28T23:00:02Z","Device":1,"Sensor":1,"Value":4}"#,
        r#"{"TS":"2018-08-28T23:00:03Z","Device":2,"Sensor":1,"Value":null}"#,
    ];
    std::fs::write(project.path("nulls.jsonl"), lines.join("\n")).expect("writable");
    project.ok(&Project::scoring("nulls.jsonl"));
    let rows = project.predictions("lake");
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0]["mean"].as_f64(), rows[0]["n_readings"].as_i64()), (Some(4.0), Some(2)));
    assert_eq!((rows[1]["mean"].as_f64(), rows[1]["n_readings"].as_i64()), (None, Some(1)));
}

#[test]
fn fm_40_events_that_come_again_count_once_and_are_counted() {
    let line = |id: u32, value: i64| {
        let second = id % 60;
        format!(
            "{{\"TS\":\"2018-08-28T23:00:{second:02}Z\",\"Device\":1,\"Sensor\":1,\
             \"Value\":{value},\"Id\":\"e-{id}\"}}\n"
        )
    };
    let file = |project: &Project| {
        // The second copy tells another value: it is the first that counts.
        let mut lines: String = (0..60).flat_map(|id| [line(id, 1), line(id, 5)]).collect();
        lines.push_str(&line(59, 7));
        lines.push_str("{\"TS\":\"2018-08-28T23:00:30Z\",\"Device\":1,\"Sensor\":1,\"Value\":1}\n");
        std::fs::write(project.path("twice.jsonl"), lines).expect("writable");
    };
    let project = Project::new("127.0.0.1:1").with("event", "id = \"Id\"", MEAN);
    file(&project);
    project.ok(&Project::scoring("twice.jsonl"));
    let sums = "SELECT CAST(sum(n_readings) AS BIGINT) AS n, sum(mean * n_readings) AS total FROM predictions";
    assert_eq!(project.query(sums)[0]["n"].as_i64(), Some(60));
    assert_eq!(project.query(sums)[0]["total"].as_f64(), Some(60.0));
    assert_eq!(project.number("SELECT CAST(sum(duplicate) AS BIGINT) FROM commits"), 61);
    assert_eq!(project.query("SELECT reason, field FROM rejects")[0]["field"].as_str(), Some("Id"));
    assert!(project.ok(&["verify", "lake"]).contains("proven"));
    // Without an id each counts.
    let plain = Project::new("127.0.0.1:1");
    file(&plain);
    plain.ok(&Project::scoring("twice.jsonl"));
    assert_eq!(plain.query(sums)[0]["n"].as_i64(), Some(122));
}
