//! Events against a naive reading of all windows at once.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Float64Type, UInt64Type};
use proptest::prelude::*;
use tidegauge_flow::{KeyColumn, KeyPart, KeyType, names};

use super::*;

const RULES: Rules = Rules { open: 2, of: 3, close: Quiet::Windows(3), silence_us: 100 };
const STAMP: Stamp<'_> = Stamp { lane: "t-0", epoch: 7 };

/// A scored window of a sensor; `None`: it has no verdict.
#[derive(Debug, Clone, Copy)]
struct Row {
    sensor: SensorId,
    end_us: i64,
    anomalous: Option<bool>,
    score: f64,
    revision: u32,
}

fn key() -> KeySchema {
    KeySchema::new(vec![KeyColumn { name: "Id".into(), kind: KeyType::Int64 }])
}

fn sensors() -> Sensors {
    let mut sensors = Sensors::new(Arc::new(key()), 100);
    for id in 0..4 {
        sensors.intern(&[KeyPart::Int(id)]);
    }
    sensors
}

fn predictions(rows: &[Row]) -> (Vec<SensorId>, RecordBatch) {
    let times = |shift: i64| -> ArrayRef {
        let times = rows.iter().map(|row| row.end_us - shift);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let scored = |row: &Row| row.anomalous.map(|_| row.score);
    let reason = |row: &Row| row.anomalous.filter(|a| *a).map(|_| format!("mean {}", row.score));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (names::WINDOW_START, times(10)),
        (names::WINDOW_END, times(0)),
        (names::SCORE, Arc::new(rows.iter().map(scored).collect::<Float64Array>())),
        (names::IS_ANOMALY, Arc::new(rows.iter().map(|r| r.anomalous).collect::<BooleanArray>())),
        (names::SEVERITY, Arc::new(rows.iter().map(scored).collect::<Float64Array>())),
        (names::REASON, Arc::new(rows.iter().map(reason).collect::<StringArray>())),
        (names::MODEL_SET, Arc::new(UInt64Array::from_value(3, rows.len()))),
        (names::REVISION, Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.revision)))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    );
    (rows.iter().map(|row| row.sensor).collect(), batch.expect("columns"))
}

fn events(rules: Rules) -> Events {
    Events::new(EventSettings { rules, by: By::State }, &key(), 1)
}

/// A row of the table, as it is compared: sensor, state, start, end, peak score, windows.
type Told = (i64, String, i64, i64, f64, u64);

fn told(events: &mut Events) -> Vec<Told> {
    let Some(batch) = events.take(&sensors(), &STAMP).expect("a batch") else { return Vec::new() };
    let column = |name: &str| batch.column_by_name(name).expect("it is there");
    let times = |name| column(name).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let rows = 0..batch.num_rows();
    let row = |row: usize| {
        (
            column("Id").as_primitive::<arrow::datatypes::Int64Type>().value(row),
            column(names::EVENT_STATE).as_string::<i32>().value(row).to_owned(),
            times(names::EVENT_START).value(row),
            times(names::EVENT_END).value(row),
            column(names::EVENT_PEAK_SCORE).as_primitive::<Float64Type>().value(row),
            column(names::EVENT_WINDOWS).as_primitive::<UInt64Type>().value(row),
        )
    };
    rows.map(row).collect()
}

/// One sensor's windows as a text: `x` anomalous, `.` normal, `?` without a verdict, `_` no window.
fn windows(text: &str) -> Vec<Row> {
    let row = |(at, c): (usize, char)| Row {
        sensor: 1,
        end_us: (at as i64 + 1) * 10,
        anomalous: match c {
            'x' => Some(true),
            '.' => Some(false),
            _ => None,
        },
        score: at as f64,
        revision: 0,
    };
    text.char_indices().filter(|(_, c)| *c != '_').map(row).collect()
}

fn check(rules: Rules, text: &str, expected: &[(&str, i64, i64, u64)]) {
    let mut events = events(rules);
    let (sensor, batch) = predictions(&windows(text));
    events.observe(&sensor, &batch).expect("predictions");
    let found = told(&mut events);
    let found: Vec<(&str, i64, i64, u64)> = found
        .iter()
        .map(|(_, state, start, end, _, n)| (state.as_str(), *start, *end, *n))
        .collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn an_event_opens_after_k_of_m_windows_and_closes_after_quiet() {
    let two_of_three = [("open", 0, 30, 2), ("closed", 0, 30, 2)];
    check(RULES, "x.x...", &two_of_three);
    check(RULES, "x..x..x", &[]);
    check(RULES, "x.x..x...", &[("open", 0, 30, 2), ("closed", 0, 60, 3)]);
    check(RULES, "xx", &[("open", 0, 20, 2)]);
    check(Rules { open: 1, of: 1, ..RULES }, ".x.", &[("open", 10, 20, 1)]);
    let for_30 = Rules { close: Quiet::For(30), ..RULES };
    check(for_30, "xx..", &[("open", 0, 20, 2)]);
    check(for_30, "xx...", &[("open", 0, 20, 2), ("closed", 0, 20, 2)]);
}

#[test]
fn windows_without_a_verdict_neither_open_nor_close() {
    check(RULES, "x??x", &[("open", 0, 40, 2)]);
    check(RULES, "xx?.?.?", &[("open", 0, 20, 2)]);
}

#[test]
fn a_window_counts_for_one_event() {
    let wide = Rules { of: 8, close: Quiet::Windows(2), ..RULES };
    let first = [("open", 0, 20, 2), ("closed", 0, 20, 2)];
    check(wide, "xx..x", &first);
    check(wide, "xx..xx", &[first[0], first[1], ("open", 40, 60, 2)]);
}

#[test]
fn silence_ends_an_event_and_forgets_what_might_have_become_one() {
    let gap = Rules { silence_us: 40, ..RULES };
    check(gap, "xx____x", &[("open", 0, 20, 2), ("closed", 0, 20, 2)]);
    check(gap, "xx___x", &[("open", 0, 20, 2)]);
    check(gap, "x____x", &[]);
    let mut events = events(gap);
    let (sensor, batch) = predictions(&windows("xx"));
    events.observe(&sensor, &batch).expect("predictions");
    events.pass(Some(60_001));
    assert_eq!((told(&mut events).len(), events.tally().open), (1, 1), "a window may end at 60");
    events.pass(Some(61_001));
    let closed = told(&mut events);
    assert_eq!(closed, [(1, "closed".to_owned(), 0, 20, 1.0, 2)]);
    assert_eq!((events.tally().open, events.remembered()), (0, None));
}

#[test]
fn a_revision_changes_no_event() {
    let mut events = events(RULES);
    let mut rows = windows("x.");
    rows.push(Row { anomalous: Some(true), revision: 1, ..rows[1] });
    rows.push(Row { end_us: 5, revision: 0, ..rows[0] });
    let (sensor, batch) = predictions(&rows);
    events.observe(&sensor, &batch).expect("predictions");
    assert_eq!(told(&mut events), []);
}

#[test]
fn the_worst_window_gives_peak_and_reason() {
    let mut events = events(RULES);
    let mut rows = windows("xxx...");
    (rows[0].score, rows[1].score, rows[2].score) = (1.0, 5.0, 5.0);
    let (sensor, batch) = predictions(&rows);
    events.observe(&sensor, &batch).expect("predictions");
    let batch = events.take(&sensors(), &STAMP).expect("a batch").expect("rows");
    let times = batch.column_by_name(names::EVENT_PEAK_AT).expect("it is there");
    let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.values(), &[20, 20], "of two that are equally bad the earlier");
    let reasons = batch.column_by_name(names::REASON).expect("it is there").as_string::<i32>();
    assert_eq!(reasons.iter().flatten().collect::<Vec<_>>(), ["mean 5", "mean 5"]);
    let ids = batch.column_by_name(names::EVENT_ID).expect("it is there").as_string::<i32>();
    assert_eq!(ids.value(0), ids.value(1));
    // Ids are kept by receivers: they may not change with the program.
    assert_eq!(ids.value(0), event_id(1, &sensors().key(1), 0));
    assert_eq!(ids.value(0).len(), 32);
}

/// Reads the whole of one sensor's windows, for each of them anew.
fn naive(rows: &[Row], rules: &Rules) -> Vec<Told> {
    let scored: Vec<&Row> = rows.iter().filter(|row| row.anomalous.is_some()).collect();
    let is = |at: usize| scored[at].anomalous == Some(true);
    let mut told = Vec::new();
    // Windows before this one belong to an event that is over, or came before a silence.
    let (mut from, mut event): (usize, Option<Vec<usize>>) = (0, None);
    let tell = |state: &str, of: &[usize]| -> Told {
        let worst = of.iter().map(|at| scored[*at].score).fold(f64::MIN, f64::max);
        let (first, last) = (scored[of[0]], scored[of[of.len() - 1]]);
        let sensor = i64::from(first.sensor);
        (sensor, state.to_owned(), first.end_us - 10, last.end_us, worst, of.len() as u64)
    };
    for at in 0..scored.len() {
        let silent = at > 0 && scored[at].end_us - scored[at - 1].end_us > rules.silence_us;
        if silent {
            told.extend(event.take().map(|of| tell("closed", &of)));
            from = at;
        }
        match &mut event {
            Some(of) if is(at) => of.push(at),
            Some(of) => {
                let last = of[of.len() - 1];
                let over = match rules.close {
                    Quiet::Windows(windows) => at - last >= windows as usize,
                    Quiet::For(us) => scored[at].end_us - scored[last].end_us >= us,
                };
                if over {
                    told.push(tell("closed", of));
                    (event, from) = (None, at + 1);
                }
            }
            None => {
                let first = from.max((at + 1).saturating_sub(rules.of as usize));
                let of: Vec<usize> = (first..=at).filter(|at| is(*at)).collect();
                if is(at) && of.len() >= rules.open as usize {
                    told.push(tell("open", &of));
                    event = Some(of);
                }
            }
        }
    }
    told
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let close = prop_oneof![(1..5_u32).prop_map(Quiet::Windows), (1..60_i64).prop_map(Quiet::For)];
    (1..8_u32, close, 10..80_i64).prop_flat_map(|(of, close, silence_us)| {
        (1..=of).prop_map(move |open| Rules { open, of, close, silence_us })
    })
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let verdict = prop_oneof![
        3 => Just(Some(false)), 3 => Just(Some(true)), 1 => Just(None)
    ];
    let one = (0..4_u32, 1..12_i64, verdict, 0..4_u8);
    prop::collection::vec(one, 0..120).prop_map(|rows| {
        let mut end_us = 0;
        let row = |(sensor, gap, anomalous, score): (SensorId, i64, Option<bool>, u8)| {
            end_us += gap;
            Row { sensor, end_us, anomalous, score: f64::from(score), revision: 0 }
        };
        rows.into_iter().map(row).collect()
    })
}

proptest! {
    #[test]
    fn events_are_those_of_a_naive_reading_however_rows_are_cut(
        rules in any_rules(),
        rows in any_rows(),
        cut in 1..20_usize,
        restart in any::<bool>(),
        looks in any::<bool>(),
    ) {
        let mut all = events(rules);
        let mut found = Vec::new();
        for rows in rows.chunks(cut) {
            let (sensor, batch) = predictions(rows);
            all.observe(&sensor, &batch).expect("predictions");
            if looks {
                // The next window ends after these.
                all.pass(rows.last().map(|row| row.end_us * 1000 + 1));
            }
            found.extend(told(&mut all));
            if restart {
                let mut next = events(rules);
                if let Some(bytes) = all.remembered() {
                    next.restore(&bytes, &sensors()).expect("what was written");
                }
                prop_assert_eq!(next.tally().open, all.tally().open);
                all = next;
            }
        }
        // By the last window's end silence may have ended what no later window of the sensor shows.
        let end_us = rows.last().map_or(0, |row| row.end_us);
        all.pass(Some(end_us * 1000 + 1));
        found.extend(told(&mut all));
        for sensor in 0..4 {
            let of: Vec<Row> = rows.iter().copied().filter(|r| r.sensor == sensor).collect();
            let mut expected = naive(&of, &rules);
            let scored = of.iter().rev().find(|row| row.anomalous.is_some());
            let silent = scored.is_some_and(|row| end_us - row.end_us > rules.silence_us);
            if let Some(last) = expected.last().filter(|last| silent && last.1 == "open").cloned() {
                // An event that is open at the end: what it has come to is told when it closes.
                let extended: Vec<Row> = of.iter().copied()
                    .chain([Row { sensor, end_us: i64::MAX / 2, anomalous: Some(false), score: 0.0, revision: 0 }])
                    .collect();
                expected = naive(&extended, &rules);
                prop_assert!(expected.len() > 1 && last.1 == "open");
            }
            let of_it: Vec<Told> =
                found.iter().filter(|t| t.0 == i64::from(sensor)).cloned().collect();
            prop_assert_eq!(of_it, expected);
        }
    }
}

#[test]
fn what_was_remembered_is_refused_when_it_is_damaged_or_of_other_sensors() {
    let mut before = events(RULES);
    let (sensor, batch) = predictions(&windows("xx.x"));
    before.observe(&sensor, &batch).expect("predictions");
    let bytes = before.remembered().expect("an event is open");
    for length in 0..bytes.len() {
        assert!(events(RULES).restore(&bytes[..length], &sensors()).is_err(), "{length}");
    }
    let empty = Sensors::new(Arc::new(key()), 100);
    let error = events(RULES).restore(&bytes, &empty).expect_err("other sensors").to_string();
    assert!(error.contains("a sensor that the lane lacks"), "{error}");
}
