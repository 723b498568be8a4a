//! What a receiver gets: one JSON object for each event that opened or closed.

use serde::Serialize;
use serde_json::{Map, Value};
use tidegauge_flow::time::rfc3339;
use tidegauge_flow::{KeySchema, KeyValue, names};

use super::backlog::EventRow;

/// A message, and what it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same whenever it is sent: receivers tell repetitions by it.
    pub id: String,
    /// The event, which is told twice: when it opens and when it closes.
    pub event: String,
    pub body: String,
}

/// What does not depend on the event.
#[derive(Debug, Clone, Copy)]
pub struct Letterhead<'a> {
    pub alert: &'a str,
    pub lake: &'a str,
    pub lane: &'a str,
    pub key: &'a KeySchema,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    state: &'static str,
    sensor: Map<String, Value>,
    start: String,
    end: String,
    peak_at: String,
    peak_severity: Option<f64>,
    peak_score: f64,
    reason: Option<&'a str>,
    windows: u64,
    model_set: Option<u64>,
    lake: &'a str,
    lane: &'a str,
    epoch: u64,
    alert: &'a str,
    sequence: u64,
}

/// The message of a row.
pub fn message(head: Letterhead<'_>, row: &EventRow, sequence: u64) -> Message {
    let (state, kind) = match row.closed {
        true => (names::EVENT_CLOSED, "tidegauge.event.closed"),
        false => (names::EVENT_OPEN, "tidegauge.event.open"),
    };
    let value = |value: &KeyValue| match value {
        KeyValue::Int(value) => Value::from(*value),
        KeyValue::Str(value) => Value::from(value.as_ref()),
    };
    let columns = head.key.columns().iter().map(|column| column.name.clone());
    let time = |us: i64| rfc3339(us.saturating_mul(1000));
    let body = Body {
        kind,
        id: &row.id,
        state,
        sensor: columns.zip(row.sensor.0.iter().map(value)).collect(),
        start: time(row.start_us),
        end: time(row.end_us),
        peak_at: time(row.peak_at_us),
        peak_severity: row.peak_severity.filter(|severity| severity.is_finite()),
        peak_score: row.peak_score,
        reason: row.reason.as_deref(),
        windows: row.windows,
        model_set: row.model_set,
        lake: head.lake,
        lane: head.lane,
        epoch: row.epoch,
        alert: head.alert,
        sequence,
    };
    // Texts and finite numbers always are; a score that is not finite becomes null.
    let body = serde_json::to_string(&body).expect("a message is JSON");
    Message { id: format!("{}_{state}", row.id), event: row.id.clone(), body }
}

#[cfg(test)]
mod tests {
    use tidegauge_flow::{KeyColumn, KeyType, SensorKey};

    use super::*;

    #[test]
    fn a_message_says_all_that_the_table_does() {
        let key = KeySchema::new(vec![
            KeyColumn { name: "Plant".into(), kind: KeyType::String },
            KeyColumn { name: "Pump".into(), kind: KeyType::Int64 },
        ]);
        let row = EventRow {
            id: "00ff".into(),
            closed: true,
            sensor: SensorKey([KeyValue::Str("Köln \"1\"".into()), KeyValue::Int(4)].into()),
            start_us: 0,
            end_us: 10_000_000,
            peak_at_us: 5_000_000,
            peak_severity: None,
            peak_score: 1.5,
            reason: Some("mean".into()),
            windows: 2,
            model_set: Some(3),
            epoch: 7,
            committed_at_us: 1,
        };
        let head = Letterhead { alert: "pager", lake: "lake", lane: "t-0", key: &key };
        let Message { id, event, body } = message(head, &row, 9);
        assert_eq!((id.as_str(), event.as_str()), ("00ff_closed", "00ff"));
        let expected = r#"{"type":"tidegauge.event.closed","id":"00ff","state":"closed","sensor":{"Plant":"Köln \"1\"","Pump":4},"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:10Z","peak_at":"1970-01-01T00:00:05Z","peak_severity":null,"peak_score":1.5,"reason":"mean","windows":2,"model_set":3,"lake":"lake","lane":"t-0","epoch":7,"alert":"pager","sequence":9}"#;
        assert_eq!(body, expected);
    }
}
