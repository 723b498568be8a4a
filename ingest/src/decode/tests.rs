//! Every reason of a reject, and what is never allowed to happen.

use std::collections::HashSet;

use tidegauge_flow::{KeyColumn, KeySchema, KeyType};

use super::*;
use crate::mapping::TimeFormat;

/// 2026-01-01T00:00:00Z: when test messages arrive.
const NOW_NS: i64 = 1_767_225_600_000_000_000;

fn mapping() -> EventMapping {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let key = vec![column("Device", KeyType::Int64), column("Tag", KeyType::String)];
    EventMapping::new("TS", Arc::new(KeySchema::new(key)), vec!["Value".into()])
}

fn columns() -> CsvHeader {
    CsvHeader::new(&["TS", "note", "Device", "Tag", "Value"], &mapping()).expect("all are there")
}

/// What became of one message: key, time and value, or the reject's reason and field.
type Outcome = Result<(String, i64, Option<f64>), (Reason, Option<String>)>;

/// Decodes one message, and checks that a reject leaves no trace.
fn decode(mapping: &EventMapping, format: Format, payload: Option<&[u8]>) -> Outcome {
    let mapping = Arc::new(mapping.clone());
    let mut sensors = Sensors::new(mapping.key.clone(), 10);
    let mut out = Readings::new(mapping.values.len());
    let mut decoder = Decoder::new(mapping, format);
    let message = Message { offset: 7, timestamp_ms: None, payload };
    let result = decoder.decode(&message, NOW_NS, &mut sensors, &mut out);
    let count = usize::from(result.is_ok());
    let lengths = [out.len(), out.time_ns.len(), out.offset.len(), out.values[0].data.len()];
    assert_eq!(lengths, [count; 4], "one reading or none");
    assert_eq!(sensors.len(), count, "a rejected message leaves no sensor");
    let reading = |()| {
        assert_eq!(out.offset[0], 7);
        let value = out.values[0].valid[0].then_some(out.values[0].data[0]);
        (sensors.key(out.sensor[0]).to_string(), out.time_ns[0], value)
    };
    result.map(reading).map_err(|r| (r.reason, r.field.map(|f| f.to_string())))
}

fn json(payload: &[u8]) -> Outcome {
    decode(&mapping(), Format::Json, Some(payload))
}

fn csv(record: &str) -> Outcome {
    decode(&mapping(), Format::Csv(Arc::new(columns())), Some(record.as_bytes()))
}

/// An event with these texts in the places of its fields.
fn event(time: &str, device: &str, tag: &str, value: &str) -> Vec<u8> {
    format!(r#"{{"TS":{time},"Device":{device},"Tag":{tag},"Value":{value}}}"#).into_bytes()
}

fn reject(reason: Reason, field: &str) -> Outcome {
    Err((reason, (!field.is_empty()).then(|| field.to_owned())))
}

const TIME: &str = r#""2025-12-31T23:59:55.7096564Z""#;
const TIME_NS: i64 = 1_767_225_595_709_656_400;

#[test]
fn readable_messages_become_readings() {
    let ok = |key: &str, value| Ok((key.to_owned(), TIME_NS, value));
    let usual = event(TIME, "2", r#""a""#, "84.92");
    let with_bom = [b"\xef\xbb\xbf".as_slice(), &usual].concat();
    let smallest = i64::MIN.to_string();
    let nested = r#""x" : [1,{"TS":[]}], "y":1e999, "Ts":0"#;
    let brackets = format!("\"\\\"{}\"", "[".repeat(200));
    let odd = format!(r#" {{ {nested}, "Value":1, "Tag":"a", "\u0054S":{TIME}, "Device":2 }}"#);
    let cases: Vec<(Vec<u8>, Outcome)> = vec![
        (usual.clone(), ok("2/a", Some(84.92))),
        (with_bom, ok("2/a", Some(84.92))),
        ([&usual, b" \r\n\t".as_slice()].concat(), ok("2/a", Some(84.92))),
        (event(TIME, "2", r#""a""#, "null"), ok("2/a", None)),
        (event(TIME, "2", r#""""#, "-0.5e-3"), ok("2/", Some(-0.0005))),
        (event(TIME, &smallest, r#""a""#, "1"), ok(&format!("{smallest}/a"), Some(1.0))),
        (event(TIME, "2", r#""\u0061\n\"\\""#, "1"), ok("2/a\n\"\\", Some(1.0))),
        (event(TIME, "2", r#""\ud83c\udf0a""#, "1"), ok("2/🌊", Some(1.0))),
        (event(TIME, "2", r#""ü""#, "9007199254740993"), ok("2/ü", Some(2_f64.powi(53)))),
        (event(TIME, "2", r#""a""#, &"1".repeat(30)), ok("2/a", Some(1.111_111_111_111_111e29))),
        (event(TIME, "2", r#""a""#, "1e-999"), ok("2/a", Some(0.0))),
        (event(TIME, "2", &brackets, "1"), ok(&format!("2/\"{}", "[".repeat(200)), Some(1.0))),
        (odd.into_bytes(), ok("2/a", Some(1.0))),
    ];
    for (payload, outcome) in cases {
        assert_eq!(json(&payload), outcome, "{}", String::from_utf8_lossy(&payload));
    }
}

/// Messages that are no JSON object of a permitted size.
fn of_bad_form() -> Vec<(Vec<u8>, Reason, &'static str)> {
    use Reason::*;
    let text = |text: &str| text.as_bytes().to_vec();
    let with_tag = |tag: &str| event(TIME, "2", tag, "1");
    let with_value = |value: &str| event(TIME, "2", r#""a""#, value);
    vec![
        (text(""), Empty, ""),
        (text(" \r\n\t"), Empty, ""),
        (text("\u{feff}"), Empty, ""),
        (vec![b' '; (1 << 20) + 1], TooLarge, ""),
        (with_tag(&format!("\"{}\"", "x".repeat(1 << 20))), TooLarge, ""),
        (b"\xff".to_vec(), NotUtf8, ""),
        ([&with_value("1")[..], b"\xc3"].concat(), NotUtf8, ""),
        ("[".repeat(10_000).into_bytes(), TooDeep, ""),
        ("{\"a\":".repeat(10_000).into_bytes(), TooDeep, ""),
        (with_value(&format!("{}{}", "[".repeat(128), "]".repeat(128))), TooDeep, ""),
        (with_value(&format!("{}{}", "[".repeat(127), "]".repeat(127))), WrongType, "Value"),
        (text("\u{a0}"), Malformed, ""),
        (text("{"), Malformed, ""),
        (text("hello"), Malformed, ""),
        (text("[1,]"), Malformed, ""),
        (text("{'TS':1}"), Malformed, ""),
        (text("{\"a\":\"\t\"}"), Malformed, ""),
        (text("{\"a\":01}"), Malformed, ""),
        (text("{\"a\":1.}"), Malformed, ""),
        (text("{\"a\":1,}"), Malformed, ""),
        (text("{\"a\":\"\\x\"}"), Malformed, ""),
        (with_tag(r#""\ud83c""#), Malformed, ""),
        (with_value("NaN"), Malformed, ""),
        (with_value("-Infinity"), Malformed, ""),
        (with_value("+1"), Malformed, ""),
        ([&with_value("1")[..], b"{}"].concat(), Malformed, ""),
        ([&with_value("1")[..], b"\0"].concat(), Malformed, ""),
        (text("[1,2]"), NotAnObject, ""),
        (text("null"), NotAnObject, ""),
        (text("\"TS\""), NotAnObject, ""),
        (text("12"), NotAnObject, ""),
    ]
}

/// Objects without the right fields, and fields of a wrong type.
fn with_bad_fields() -> Vec<(Vec<u8>, Reason, &'static str)> {
    use Reason::*;
    let text = |text: &str| text.as_bytes().to_vec();
    let with_time = |time: &str| event(time, "2", r#""a""#, "1");
    let with_device = |device: &str| event(TIME, device, r#""a""#, "1");
    let with_tag = |tag: &str| event(TIME, "2", tag, "1");
    let with_value = |value: &str| event(TIME, "2", r#""a""#, value);
    vec![
        (with_value("1,\"Tag\":\"a\""), DuplicateField, "Tag"),
        (with_value("1,\"T\\u0061g\":null"), DuplicateField, "Tag"),
        (text("{}"), MissingField, "TS"),
        (text(r#"{"ts":1}"#), MissingField, "TS"),
        (format!("{{\"TS\":{TIME}}}").into_bytes(), MissingField, "Device"),
        (format!("{{\"TS\":{TIME},\"Device\":1}}").into_bytes(), MissingField, "Tag"),
        (
            format!("{{\"TS\":{TIME},\"Device\":1,\"Tag\":\"\"}}").into_bytes(),
            MissingField,
            "Value",
        ),
        (with_time("null"), NullField, "TS"),
        (with_device("null"), NullField, "Device"),
        (with_tag("null"), NullField, "Tag"),
        (with_time("1767225595"), WrongType, "TS"),
        (with_time("[]"), WrongType, "TS"),
        (with_time("true"), WrongType, "TS"),
        (with_device("1.0"), WrongType, "Device"),
        (with_device("1e3"), WrongType, "Device"),
        (with_device("\"1\""), WrongType, "Device"),
        (with_device("true"), WrongType, "Device"),
        (with_device("9223372036854775808"), WrongType, "Device"),
        (with_device("1".repeat(400).as_str()), WrongType, "Device"),
        (with_tag("1"), WrongType, "Tag"),
        (with_tag("{\"a\":1}"), WrongType, "Tag"),
        (with_value("\"1\""), WrongType, "Value"),
        (with_value("\"NaN\""), WrongType, "Value"),
        (with_value("false"), WrongType, "Value"),
        (with_value("{}"), WrongType, "Value"),
    ]
}

/// Fields of the right type whose content is not accepted.
fn with_bad_content() -> Vec<(Vec<u8>, Reason, &'static str)> {
    use Reason::*;
    let with_time = |time: &str| event(time, "2", r#""a""#, "1");
    let with_tag = |tag: &str| event(TIME, "2", tag, "1");
    let with_value = |value: &str| event(TIME, "2", r#""a""#, value);
    vec![
        (with_tag(&format!("\"{}\"", "x".repeat(1025))), KeyTooLong, "Tag"),
        (with_time("\"yesterday\""), BadTime, "TS"),
        (with_time("\"2025-02-29T00:00:00Z\""), BadTime, "TS"),
        (with_time("\"\""), BadTime, "TS"),
        (with_time("\"1970-01-01T00:00:00Z\""), TooOld, "TS"),
        (with_time("\"1999-12-31T23:59:59.999999999Z\""), TooOld, "TS"),
        (with_time("\"0001-01-01T00:00:00Z\""), TooOld, "TS"),
        (with_time("\"2026-01-02T00:00:00.000000001Z\""), TooEarly, "TS"),
        (with_time("\"9999-12-31T23:59:59Z\""), TooEarly, "TS"),
        (with_value("1e999"), NotFinite, "Value"),
        (with_value("-1e999"), NotFinite, "Value"),
        (with_value("1".repeat(400).as_str()), NotFinite, "Value"),
    ]
}

#[test]
fn fm_42_every_bad_message_is_rejected_for_its_reason() {
    let mut seen: HashSet<Reason> = HashSet::new();
    for (payload, reason, field) in [of_bad_form(), with_bad_fields(), with_bad_content()].concat()
    {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(120)]).into_owned();
        assert_eq!(json(&payload), reject(reason, field), "{shown}");
        seen.insert(reason);
    }
    assert_eq!(decode(&mapping(), Format::Json, None), reject(Reason::Tombstone, ""));
    // The room in the directory has a test of its own, and what the query cannot compute is refused later.
    seen.extend([Reason::Tombstone, Reason::TooManySensors, Reason::Query]);
    assert_eq!(seen.len(), Reason::ALL.len(), "every reason has a case");
}

#[test]
fn the_first_failing_check_gives_the_reason() {
    let cases: [(&str, Reason, &str); 5] = [
        (r#"{"TS":1,"TS":2,"Device":null} x"#, Reason::Malformed, ""),
        (r#"{"Value":1,"Value":2,"Device":null}"#, Reason::DuplicateField, "Value"),
        (r#"{"Value":"x","Device":null,"TS":0}"#, Reason::WrongType, "TS"),
        (
            r#"{"Value":"x","Device":1,"Tag":2,"TS":"2025-12-31T00:00:00Z"}"#,
            Reason::WrongType,
            "Tag",
        ),
        (
            r#"{"Value":"x","Device":1,"Tag":"a","TS":"1970-01-01T00:00:00Z"}"#,
            Reason::WrongType,
            "Value",
        ),
    ];
    for (payload, reason, field) in cases {
        assert_eq!(json(payload.as_bytes()), reject(reason, field), "{payload}");
    }
}

#[test]
fn fm_7_numbers_in_the_wrong_unit_are_out_of_range() {
    let cases = [
        (TimeFormat::EpochSeconds, "1767225595.5", Ok(1_767_225_595_500_000_000)),
        (TimeFormat::EpochMillis, "1767225595500", Ok(1_767_225_595_500_000_000)),
        (TimeFormat::EpochMicros, "1767225595500000.001", Ok(1_767_225_595_500_000_001)),
        (TimeFormat::EpochMillis, "1767225595", Err(Reason::TooOld)),
        (TimeFormat::EpochMicros, "1767225595000", Err(Reason::TooOld)),
        (TimeFormat::EpochSeconds, "1767225595000", Err(Reason::TooEarly)),
        (TimeFormat::EpochMillis, "1767225595000000", Err(Reason::TooEarly)),
        (TimeFormat::EpochSeconds, "-5", Err(Reason::TooOld)),
        (TimeFormat::EpochSeconds, "1e999", Err(Reason::TooEarly)),
        (TimeFormat::EpochSeconds, "0", Err(Reason::TooOld)),
        (TimeFormat::EpochSeconds, TIME, Err(Reason::WrongType)),
        (TimeFormat::EpochSeconds, "null", Err(Reason::NullField)),
    ];
    for (time_format, time, expected) in cases {
        let mapping = EventMapping { time_format, ..mapping() };
        let outcome = decode(&mapping, Format::Json, Some(&event(time, "2", "\"a\"", "1")));
        let time_ns = outcome.map(|(_, time_ns, _)| time_ns).map_err(|(reason, _)| reason);
        assert_eq!(time_ns, expected, "{time_format:?} {time}");
    }
}

#[test]
fn the_bounds_of_time_belong_to_what_is_accepted() {
    let read = |time: &str| json(&event(time, "2", "\"a\"", "1")).map(|(_, time_ns, _)| time_ns);
    assert_eq!(read("\"2000-01-01T00:00:00Z\""), Ok(crate::mapping::EARLIEST_NS));
    assert_eq!(read("\"2026-01-02T00:00:00Z\""), Ok(NOW_NS + crate::mapping::EARLY_NS));
}

#[test]
fn a_message_arrives_at_its_timestamp_unless_that_is_none_or_later_than_now() {
    let mapping = Arc::new(mapping());
    let mut decoder = Decoder::new(mapping, Format::Json);
    let payload = event(TIME, "2", "\"a\"", "1");
    // The event is of five seconds before now.
    let (then_ms, year_ms) = (1_767_225_595_000, 365 * 86_400_000);
    let arrivals = [
        (None, true),
        (Some(then_ms), true),
        (Some(then_ms - year_ms), false),
        (Some(1), false),
        (Some(0), true),
        (Some(-1), true),
        (Some(i64::MIN), true),
        (Some(i64::MAX), true),
    ];
    for (timestamp_ms, readable) in arrivals {
        let message = Message { offset: 0, timestamp_ms, payload: Some(&payload) };
        let result = decoder.read(&message, NOW_NS, |decoded| Ok(decoded.time_ns));
        assert_eq!(result.is_ok(), readable, "{timestamp_ms:?}");
    }
}

#[test]
fn a_producer_whose_clock_runs_years_ahead_does_not_vouch_for_its_own_events() {
    let mut decoder = Decoder::new(Arc::new(mapping()), Format::Json);
    let payload = event("\"2030-01-01T00:00:00Z\"", "2", "\"a\"", "1");
    let timestamp_ms = Some(1_893_456_000_000);
    let message = Message { offset: 0, timestamp_ms, payload: Some(&payload) };
    let result = decoder.read(&message, NOW_NS, |decoded| Ok(decoded.time_ns));
    assert_eq!(result.map_err(|r| r.reason), Err(Reason::TooEarly));
    // In that year it would be read.
    let in_2030 = 1_893_456_000_000_000_000;
    assert_eq!(decoder.read(&message, in_2030, |decoded| Ok(decoded.time_ns)), Ok(in_2030));
}

#[test]
fn a_new_sensor_is_rejected_when_the_lane_is_full_and_a_known_one_is_not() {
    let mapping = Arc::new(mapping());
    let mut sensors = Sensors::new(mapping.key.clone(), 1);
    let mut out = Readings::new(1);
    let mut decoder = Decoder::new(mapping, Format::Json);
    let mut decode = |device: &str| {
        let payload = event(TIME, device, "\"a\"", "1");
        let message = Message { offset: 0, timestamp_ms: None, payload: Some(&payload) };
        decoder.decode(&message, NOW_NS, &mut sensors, &mut out)
    };
    assert_eq!(decode("1"), Ok(()));
    assert_eq!(decode("2"), Err(Reject::new(Reason::TooManySensors)));
    assert_eq!(decode("1"), Ok(()));
    assert_eq!((out.len(), sensors.len()), (2, 1));
}

#[test]
fn one_field_may_be_key_and_value_and_a_key_may_have_many_columns() {
    let names: Vec<String> = (0..20).map(|i| format!("k{i}")).collect();
    let column = |name: &String| KeyColumn { name: name.clone(), kind: KeyType::Int64 };
    let key = Arc::new(KeySchema::new(names.iter().map(column).collect()));
    let mapping = EventMapping::new("TS", key, vec!["k3".into()]);
    let fields: String = (0..20).map(|i| format!(",\"k{i}\":{i}")).collect();
    let payload = format!("{{\"TS\":{TIME}{fields}}}");
    let (key, _, value) =
        decode(&mapping, Format::Json, Some(payload.as_bytes())).expect("a reading");
    let expected: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    assert_eq!((key, value), (expected.join("/"), Some(3.0)));
}

#[test]
fn csv_records_give_the_readings_that_json_gives() {
    use Reason::*;
    let time = TIME.trim_matches('"');
    let ok = |key: &str, value| Ok((key.to_owned(), TIME_NS, value));
    let cases: Vec<(String, Outcome)> = vec![
        (format!("{time},,2,a,84.92"), ok("2/a", Some(84.92))),
        (format!("{time},,2,a,84.92\r\n"), ok("2/a", Some(84.92))),
        (format!("\"{time}\",\"x\ny,\",\"2\",\"a,\"\"b\"\"\",1"), ok("2/a,\"b\"", Some(1.0))),
        (format!("{time},,2,a\"b,"), ok("2/a\"b", None)),
        (format!("{time},,2,a,\"\""), ok("2/a", None)),
        (format!("{time},,2,a,.5e1"), ok("2/a", Some(5.0))),
        ("  ".to_owned(), reject(Empty, "")),
        (format!("{time},,2,a"), reject(Malformed, "")),
        (format!("{time},,2,a,1,"), reject(Malformed, "")),
        (format!("{time},,2,a,1\n{time},,2,a,2"), reject(Malformed, "")),
        (format!("{time},,2,\"a,1"), reject(Malformed, "")),
        (format!("{time},,2,\"a\"b,1"), reject(Malformed, "")),
        (",,2,a,1".to_owned(), reject(NullField, "TS")),
        (format!("{time},,,a,1"), reject(NullField, "Device")),
        (format!("{time},,2,,1"), reject(NullField, "Tag")),
        (format!("{time},,2.0,a,1"), reject(WrongType, "Device")),
        (format!("{time},, 2,a,1"), reject(WrongType, "Device")),
        (format!("{time},,2,a,1 "), reject(WrongType, "Value")),
        (format!("{time},,2,a,high"), reject(WrongType, "Value")),
        (format!("{time},,2,a,0x10"), reject(WrongType, "Value")),
        (format!("{time},,2,a,NaN"), reject(NotFinite, "Value")),
        (format!("{time},,2,a,-inf"), reject(NotFinite, "Value")),
        (format!("{time},,2,a,1e999"), reject(NotFinite, "Value")),
        (format!("{time},,2,{},1", "x".repeat(1025)), reject(KeyTooLong, "Tag")),
        ("yesterday,,2,a,1".to_owned(), reject(BadTime, "TS")),
        ("1970-01-01 00:00:00,,2,a,1".to_owned(), reject(TooOld, "TS")),
    ];
    for (record, outcome) in cases {
        assert_eq!(csv(&record), outcome, "{record}");
    }
}

#[test]
fn a_csv_header_needs_each_mapped_column_once() {
    let parse = |header: &str| CsvHeader::parse(header.as_bytes(), &mapping());
    let found = parse("\u{feff}\"TS\",note,Device,Tag,Value").expect("all are there");
    assert_eq!(found, columns());
    let missing = parse("TS,Device,Value").expect_err("no Tag");
    assert_eq!(
        missing,
        "has 0 columns named \"Tag\", there must be one; its columns are TS, Device, Value"
    );
    parse("TS,Device,Tag,Value,Tag").expect_err("Tag twice");
    parse("TS,Device,Tag,\"Value").expect_err("an open quote");
}

mod properties;
