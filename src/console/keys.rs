//! Sensors' keys between the page's words and the lake's.

use tidegauge_flow::{KeyColumn, KeySchema, SensorKey};
use tidegauge_serve::console::{Answer, ConsoleError, KeyValue};

use crate::sql::quoted;

/// A key as the page shows it.
pub fn shown(key: &SensorKey) -> Vec<KeyValue> {
    let value = |value: &tidegauge_flow::KeyValue| match value {
        tidegauge_flow::KeyValue::Int(value) => KeyValue::Int(*value),
        tidegauge_flow::KeyValue::Str(text) => KeyValue::Text(text.to_string()),
    };
    key.0.iter().map(value).collect()
}

/// A key that was asked for, as the lake has it: a number may have come as a text, and a text as a number.
pub fn typed(key: &[KeyValue], schema: &KeySchema) -> Answer<SensorKey> {
    let names = || schema.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    if key.len() != schema.columns().len() {
        let (found, expected) = (key.len(), schema.columns().len());
        let what = format!("the key has {found} parts, it needs {expected}: {}", names());
        return Err(ConsoleError::Invalid(what));
    }
    let part = |(part, column): (&KeyValue, &KeyColumn)| {
        let text = match part {
            KeyValue::Int(value) => value.to_string(),
            KeyValue::Text(text) => text.clone(),
        };
        tidegauge_flow::KeyValue::parse(&text, column.kind).ok_or_else(|| {
            let what = format!("key {text:?} is no whole number, and {} is one", column.name);
            ConsoleError::Invalid(what)
        })
    };
    let parts: Answer<Vec<_>> = key.iter().zip(schema.columns()).map(part).collect();
    Ok(SensorKey(parts?.into()))
}

/// The rows of a sensor, as a condition in SQL.
pub fn condition(key: &SensorKey, schema: &KeySchema) -> String {
    let part = |(value, column): (&tidegauge_flow::KeyValue, &KeyColumn)| {
        let value = match value {
            tidegauge_flow::KeyValue::Int(value) => value.to_string(),
            tidegauge_flow::KeyValue::Str(text) => format!("'{}'", text.replace('\'', "''")),
        };
        format!("{} = {value}", quoted(&column.name))
    };
    key.0.iter().zip(schema.columns()).map(part).collect::<Vec<_>>().join(" AND ")
}
