//! Series out of the table of anomaly events: which go on, and when they begin.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use tidegauge_flow::names;
use tidegauge_serve::series::{CELLS_MAX, Family, Fold, Labels, Line, Steps, Wanted};
use tidegauge_sink::Table;

use super::TooMuch;
use super::families::KeyLabel;
use super::rows::{Scan, collect, texts};
use crate::sql::quoted;

const ON: &str = "tidegauge_sensor_event";
const STARTS: &str = "tidegauge_sensor_event_starts";
const ALL_ON: &str = "tidegauge_events_going_on";

const FAMILIES: [(&str, &str, bool); 3] = [
    (ON, "1 while an anomaly event of the sensor goes on.", true),
    (STARTS, "Anomaly events of the sensor that start.", true),
    (ALL_ON, "Anomaly events that go on, of all sensors.", false),
];

/// Events that are looked at for one answer.
const EVENTS_MAX: usize = 200_000;

/// An event: its sensor's labels, and when it was. Without an end it goes on.
struct Event {
    labels: Labels,
    start_us: i64,
    end_us: Option<i64>,
}

pub(super) fn families(keys: &[KeyLabel]) -> impl Iterator<Item = Family> {
    let labels: Vec<String> = keys.iter().map(|key| key.label.clone()).collect();
    FAMILIES.into_iter().map(move |(name, help, of_sensors)| Family {
        name: name.into(),
        help: help.into(),
        labels: if of_sensors { labels.clone() } else { Vec::new() },
    })
}

/// Whether a function over time asks for what the points of a family are.
pub(super) fn can_fold(family: &str, fold: Option<Fold>) -> bool {
    match fold {
        None => true,
        Some(Fold::Sum) => family == STARTS,
        Some(Fold::Max) => family == ON,
        // Of models what is so now is their only number.
        Some(Fold::Last) => !has(family),
        Some(_) => false,
    }
}

pub(super) fn has(family: &str) -> bool {
    FAMILIES.iter().any(|(name, ..)| *name == family)
}

/// Whether it is one sensor's events that are wanted: nothing that goes on is then an answer too.
pub(super) fn is_of_one_sensor(keys: &[KeyLabel], wanted: &Wanted) -> bool {
    let is_said =
        |key: &KeyLabel| wanted.matchers.iter().any(|m| m.label == key.label && m.only().is_some());
    wanted.family == ON && keys.iter().all(is_said)
}

/// The series of a family of events. Those of `calm` are there also where nothing goes on.
pub(super) async fn lines(
    scan: &Scan<'_>,
    wanted: &Wanted,
    steps: &Steps,
    mut calm: Vec<Labels>,
) -> Result<Vec<Line>> {
    let keys = scan.families.keys();
    let columns: Vec<String> = keys.iter().map(|key| quoted(&key.column.name)).collect();
    let (columns, end) = (columns.join(", "), quoted(names::EVENT_END));
    let (id, start) = (names::EVENT_ID, quoted(names::EVENT_START));
    let to = tidegauge_flow::time::rfc3339(wanted.to_us.saturating_mul(1000));
    // The labels of a family of all sensors are no keys.
    let exact = if wanted.family == ALL_ON { Some("true".into()) } else { scan.exact(wanted) };
    let Some(exact) = exact else { return counted(&[], calm, wanted, steps) };
    let after = tidegauge_flow::time::rfc3339(wanted.after_us.saturating_mul(1000));
    // Both rows of an event say when it began.
    let begins = match wanted.family == STARTS {
        true => format!("{start} > '{after}' AND {start} <= '{to}'"),
        false => format!("{start} <= '{to}'"),
    };
    let ended =
        format!("max(CASE WHEN {} = '{}' THEN {end} END)", names::EVENT_STATE, names::EVENT_CLOSED);
    let sql = format!(
        "SELECT {columns}, min({start}), {ended} FROM events WHERE {begins} AND {exact} \
         GROUP BY {columns}, {id} HAVING {ended} IS NULL OR {ended} > '{after}' LIMIT {}",
        EVENTS_MAX + 1
    );
    // One that goes on may be in any file.
    let batches = collect(&scan.over(Table::Events, |_| true)?, &sql).await?;
    if batches.iter().map(RecordBatch::num_rows).sum::<usize>() > EVENTS_MAX {
        return Err(TooMuch.into());
    }
    let mut events = Vec::new();
    for batch in &batches {
        events.extend(read(batch, keys)?);
    }
    if wanted.family == ALL_ON {
        events.iter_mut().for_each(|event| event.labels.clear());
    }
    events.retain(|event| wanted.holds_all(&event.labels));
    // Of all sensors together there is always a line.
    if wanted.family == ALL_ON && wanted.holds_all(&Labels::new()) {
        calm.push(Labels::new());
    }
    counted(&events, calm, wanted, steps)
}

fn read(batch: &RecordBatch, keys: &[KeyLabel]) -> Result<Vec<Event>> {
    let texts = texts(&batch.columns()[..keys.len()])?;
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let start = cast(batch.column(keys.len()), &micros)?;
    let end = cast(batch.column(keys.len() + 1), &micros)?;
    let start = start.as_primitive::<TimestampMicrosecondType>();
    let end = end.as_primitive::<TimestampMicrosecondType>();
    let event = |row| Event {
        labels: keys
            .iter()
            .zip(&texts)
            .map(|(k, t)| (k.label.clone(), t.value(row).into()))
            .collect(),
        start_us: start.value(row),
        end_us: end.is_valid(row).then(|| end.value(row)),
    };
    Ok((0..batch.num_rows()).map(event).collect())
}

/// At each point the events of each labels that go on, or that start; of `calm` labels also where there are none.
fn counted(
    events: &[Event],
    calm: Vec<Labels>,
    wanted: &Wanted,
    steps: &Steps,
) -> Result<Vec<Line>> {
    let starts = wanted.family == STARTS;
    let count = usize::try_from(steps.count).unwrap_or(usize::MAX);
    let mut lines: BTreeMap<Labels, Vec<f64>> =
        calm.into_iter().map(|labels| (labels, vec![0.0; count])).collect();
    for event in events {
        let of = |step: i64| {
            let (to, after) = (steps.at(step), steps.at(step).saturating_sub(steps.width_us));
            match starts {
                true => event.start_us > after && event.start_us <= to,
                false => event.start_us <= to && event.end_us.is_none_or(|end| end > after),
            }
        };
        if !(0..steps.count).any(of) {
            continue;
        }
        if (lines.len() + 1).saturating_mul(count) > CELLS_MAX {
            return Err(TooMuch.into());
        }
        let points = lines.entry(event.labels.clone()).or_insert_with(|| vec![0.0; count]);
        for (point, step) in points.iter_mut().zip(0..) {
            let number = f64::from(of(step));
            *point = if wanted.family == ON { point.max(number) } else { *point + number };
        }
    }
    let line = |(labels, points): (Labels, Vec<f64>)| {
        let points = (0..).map(|step| steps.at(step)).zip(points).collect();
        Line { labels, points }
    };
    Ok(lines.into_iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sensor: &str, start_us: i64, end_us: Option<i64>) -> Event {
        Event { labels: Labels::from([("Id".into(), sensor.into())]), start_us, end_us }
    }

    #[test]
    fn events_are_counted_where_they_go_on_and_where_they_start() {
        let events = [event("a", 15, Some(25)), event("a", 38, None), event("b", 90, None)];
        let steps = Steps { start_us: 10, step_us: 10, count: 4, width_us: 10 };
        let count = |family: &str, events: &[Event]| {
            let wanted =
                Wanted { family: family.into(), matchers: Vec::new(), after_us: 0, to_us: 40 };
            let calm = if family == ALL_ON { vec![Labels::new()] } else { Vec::new() };
            let lines = counted(events, calm, &wanted, &steps).expect("few");
            lines.into_iter().map(|line| line.points).collect::<Vec<_>>()
        };
        assert_eq!(count(ON, &events), [[(10, 0.0), (20, 1.0), (30, 1.0), (40, 1.0)]]);
        assert_eq!(count(STARTS, &events), [[(10, 0.0), (20, 1.0), (30, 0.0), (40, 1.0)]]);
        let two = [event("a", 11, Some(13)), event("a", 15, Some(18))];
        assert_eq!(count(ON, &two), [[(10, 0.0), (20, 1.0), (30, 0.0), (40, 0.0)]], "on is on");
        assert_eq!(count(ALL_ON, &[]), [[(10, 0.0), (20, 0.0), (30, 0.0), (40, 0.0)]]);
    }
}
