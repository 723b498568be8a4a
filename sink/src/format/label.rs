//! `_tidegauge/labels/<number>.json`, format 1: what a person knows of some windows.

use serde::{Deserialize, Serialize};
use tidegauge_flow::KeyValue;

use super::Opened;
use crate::error::LakeError;
use crate::labels::{Label, Meaning};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelV1 {
    format: u32,
    number: u64,
    /// A value of each key column; null is any.
    key: Vec<Option<ValueV1>>,
    from_us: i64,
    to_us: i64,
    label: MeaningV1,
    note: String,
    made_at_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ValueV1 {
    Int(i64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MeaningV1 {
    True,
    False,
    Removed,
}

pub(crate) fn encode(label: &Label) -> Vec<u8> {
    let value = |value: &KeyValue| match value {
        KeyValue::Int(value) => ValueV1::Int(*value),
        KeyValue::Str(value) => ValueV1::Text(value.to_string()),
    };
    super::seal(&LabelV1 {
        format: FORMAT,
        number: label.number,
        key: label.key.iter().map(|of| of.as_ref().map(value)).collect(),
        from_us: label.from_us,
        to_us: label.to_us,
        label: match label.meaning {
            Meaning::True => MeaningV1::True,
            Meaning::False => MeaningV1::False,
            Meaning::Removed => MeaningV1::Removed,
        },
        note: label.note.clone(),
        made_at_us: label.made_at_us,
    })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Label>, LakeError> {
    let Opened { value, intact } = super::open::<LabelV1>(path, bytes, FORMAT)?;
    let of = |value: ValueV1| match value {
        ValueV1::Int(value) => KeyValue::Int(value),
        ValueV1::Text(value) => KeyValue::Str(value.into()),
    };
    let label = Label {
        number: value.number,
        key: value.key.into_iter().map(|value| value.map(of)).collect(),
        from_us: value.from_us,
        to_us: value.to_us,
        meaning: match value.label {
            MeaningV1::True => Meaning::True,
            MeaningV1::False => Meaning::False,
            MeaningV1::Removed => Meaning::Removed,
        },
        note: value.note,
        made_at_us: value.made_at_us,
    };
    Ok(Opened { value: label, intact })
}
