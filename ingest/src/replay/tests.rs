//! What is published of a file, and when.

use std::fs;

use tidegauge_flow::{KeyColumn, KeySchema};

use super::*;
use crate::reject::Reason;

/// 2026-01-01T00:00:00Z.
const NOW_NS: i64 = 1_767_225_600_000_000_000;

fn mapping(time_format: TimeFormat) -> EventMapping {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let key = vec![column("Device", KeyType::Int64), column("Tag", KeyType::String)];
    let mapping = EventMapping::new("TS", Arc::new(KeySchema::new(key)), vec!["Value".into()]);
    EventMapping { time_format, ..mapping }
}

/// (Key, payload, time) of each record or the reason why there is none.
type Published = Result<(Option<String>, String, Option<i64>), Reason>;

fn replay(name: &str, text: &str, mapping: EventMapping) -> Vec<Published> {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    fs::write(dir.path().join(name), text).expect("a file");
    let mapping = Arc::new(mapping);
    let files = Files::open(&[dir.path().join(name)], &mapping).expect("a good file");
    let mut replay = Replay::new(files, mapping);
    let mut all = Vec::new();
    loop {
        let count = replay.next_batch(2, NOW_NS, |record| {
            all.push(record.map_err(|r| r.reason).map(|r| {
                let payload = String::from_utf8_lossy(r.payload).into_owned();
                (r.key.map(str::to_owned), payload, r.time_ns)
            }));
        });
        if count.expect("a readable file") == 0 {
            return all;
        }
    }
}

#[test]
fn csv_records_become_events_with_their_numbers_as_they_stand() {
    let text = "Value,TS,x,Device,Tag\n\
                10.160,2018-08-28 23:00:05.000,9,1,\"a\"\"b\"\n\
                ,2018-08-28 23:00:10.000,9,+02,7\n\
                oops,2018-08-28 23:00:10.000,9,2,7\n\
                -.5E+1,2018-08-28 23:00:15.000,9,2,7\n\
                007.,2018-08-28 23:00:20.000,9,-0,7\n";
    let event = |key: &str, payload: &str, seconds: i64| {
        let time_ns = (1_535_497_205 + seconds) * 1_000_000_000;
        Ok((Some(key.to_owned()), payload.to_owned(), Some(time_ns)))
    };
    let expected = vec![
        event(
            "1_a\"b",
            r#"{"TS":"2018-08-28 23:00:05.000","Device":1,"Tag":"a\"b","Value":10.160}"#,
            0,
        ),
        event("2_7", r#"{"TS":"2018-08-28 23:00:10.000","Device":2,"Tag":"7","Value":null}"#, 5),
        Err(Reason::WrongType),
        event(
            "2_7",
            r#"{"TS":"2018-08-28 23:00:15.000","Device":2,"Tag":"7","Value":-0.5E+1}"#,
            10,
        ),
        event("0_7", r#"{"TS":"2018-08-28 23:00:20.000","Device":-0,"Tag":"7","Value":7}"#, 15),
    ];
    let published = replay("a.csv", text, mapping(TimeFormat::Text));
    assert_eq!(published, expected);
    let mut decoder = Decoder::new(Arc::new(mapping(TimeFormat::Text)), Format::Json);
    for (_, payload, time_ns) in published.into_iter().flatten() {
        let payload = Some(payload.as_bytes());
        let message = Message { offset: 0, timestamp_ms: None, payload };
        assert_eq!(decoder.read(&message, NOW_NS, |d| Ok(Some(d.time_ns))), Ok(time_ns));
    }
}

#[test]
fn epoch_times_stay_numbers_of_all_their_digits() {
    let text = "TS,Device,Tag,Value\n1535497205.123456789,1,a,1\n";
    let published = replay("a.csv", text, mapping(TimeFormat::EpochSeconds));
    let payload = r#"{"TS":1535497205.123456789,"Device":1,"Tag":"a","Value":1}"#;
    let expected = (Some("1_a".to_owned()), payload.to_owned(), Some(1_535_497_205_123_456_789));
    assert_eq!(published, [Ok(expected)]);
}

#[test]
fn json_lines_stay_byte_for_byte_also_when_they_are_bad() {
    let good = r#"{ "Tag":"a", "Value":1.50,"more":[1], "TS":"2018-08-28T23:00:05Z","Device":1 }"#;
    let text = format!("{good}\r\n\nnot json \n");
    let published = replay("a.jsonl", &text, mapping(TimeFormat::Text));
    let expected = [
        Ok((Some("1_a".to_owned()), good.to_owned(), Some(1_535_497_205_000_000_000))),
        Ok((None, "not json ".to_owned(), None)),
    ];
    assert_eq!(published, expected);
}

#[test]
fn the_pace_is_that_of_the_events_times_the_speed() {
    let due = |speed, event_ns| Pace { first_ns: 1_000_000_000, speed }.due(event_ns);
    assert_eq!(due(1.0, 3_500_000_000), Duration::from_millis(2500));
    assert_eq!(due(10.0, 3_500_000_000), Duration::from_millis(250));
    assert_eq!(due(1.0, 0), Duration::ZERO);
    assert_eq!(due(f64::INFINITY, i64::MAX), Duration::ZERO);
    assert_eq!(due(1e-300, i64::MAX), Duration::MAX);
}
