//! The lake's labels as those who use them want them: events to be found, and ranges where an alarm is false.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use tidegauge_flow::{KeyValue, Store};
use tidegauge_score::Event;
use tidegauge_sink::{Column, Generation, Label, Labels, Meaning};

/// What stands for any value of a key column.
pub const ANY: &str = "*";

/// What is known of the past.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Something was wrong.
    pub events: Vec<Event>,
    /// Nothing was wrong, whatever a model says.
    pub false_alarms: Vec<Event>,
}

/// The labels that hold in the lake of a store, whose sensors are named by so many columns.
///
/// # Errors
/// When one can't be read, or names sensors by another number of columns.
pub fn of(store: Arc<dyn Store>, key_columns: usize) -> Result<Vec<Label>> {
    let labels = Labels::of(store).in_force()?;
    for label in &labels {
        let (number, found) = (label.number, label.key.len());
        ensure!(
            found == key_columns,
            "label {number} names a sensor by {found} columns, here they are {key_columns}"
        );
    }
    Ok(labels)
}

impl Known {
    /// What labels say.
    pub fn of(labels: &[Label]) -> Self {
        let of = |meaning: Meaning| {
            let labels = labels.iter().filter(move |label| label.meaning == meaning);
            labels.map(event).collect()
        };
        Self { events: of(Meaning::True), false_alarms: of(Meaning::False) }
    }
}

/// The sensors and the range of a label.
pub fn event(label: &Label) -> Event {
    Event { key: label.key.clone(), from_us: label.from_us, to_us: label.to_us }
}

/// The sensors of a label as text: `1/*`.
pub fn sensors(label: &Label) -> String {
    let value = |value: &Option<KeyValue>| value.as_ref().map_or(ANY.into(), ToString::to_string);
    label.key.iter().map(value).collect::<Vec<_>>().join("/")
}

/// The table `labels`: those that hold, with the key columns as `key_<name>`, null for any.
///
/// # Errors
/// As [`of`].
pub fn table(store: Arc<dyn Store>, generation: &Generation) -> Result<RecordBatch> {
    let labels = of(store, generation.key.len())?;
    let text = |f: &dyn Fn(&Label) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(labels.iter().map(f)))
    };
    let time = |f: &dyn Fn(&Label) -> i64| -> ArrayRef {
        let times: TimestampMicrosecondArray = labels.iter().map(|label| Some(f(label))).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let numbers: UInt64Array = labels.iter().map(|label| Some(label.number)).collect();
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("number".into(), Arc::new(numbers)), ("sensor".into(), text(&sensors))];
    for (i, column) in generation.key.iter().enumerate() {
        columns.push((format!("key_{}", column.name), key_column(&labels, i, column)));
    }
    columns.extend([
        ("from_time".into(), time(&|label| label.from_us)),
        ("to_time".into(), time(&|label| label.to_us)),
        ("label".into(), text(&|label| label.meaning.as_str().into())),
        ("note".into(), text(&|label| label.note.clone())),
        ("made_at".into(), time(&|label| label.made_at_us)),
    ]);
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table labels")
}

fn key_column(labels: &[Label], i: usize, column: &Column) -> ArrayRef {
    let values = labels.iter().map(|label| label.key[i].as_ref());
    let int = |value: &KeyValue| match value {
        KeyValue::Int(value) => Some(*value),
        KeyValue::Str(_) => None,
    };
    match column.kind.as_str() {
        "int64" => Arc::new(values.map(|value| value.and_then(int)).collect::<Int64Array>()),
        _ => {
            let texts = values.map(|value| value.map(ToString::to_string));
            Arc::new(texts.collect::<StringArray>())
        }
    }
}
