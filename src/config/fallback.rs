//! The section `[models.fallback]`: what judges sensors without a model of their own.

use tidegauge_flow::{KeySchema, KeyType, KeyValue};
use tidegauge_score::limits::{Limit, LimitsParams};
use tidegauge_score::{FallbackLimit, FallbackSettings, Group};
use toml::{Table, Value};

use super::models::alias;
use super::reader::Reader;
use super::sections::one_line;

/// The alias of the groups' models.
pub const FALLBACK: &str = "fallback";

const LIMITS: &str = "models.fallback.limits";

#[derive(Debug, Clone)]
pub struct Fallback {
    /// The name of the groups' models.
    pub alias: String,
    pub settings: FallbackSettings,
}

/// There when groups or limits are. `key` is there when it could be read.
pub(super) fn fallback(reader: &mut Reader, key: Option<&KeySchema>) -> Option<Fallback> {
    const GROUP: &str = "models.fallback.group";
    let alias = alias(reader, "models.fallback.alias", FALLBACK);
    let group = reader.texts(GROUP);
    if let (Some(group), Some(key)) = (&group, key)
        && Group::new(key, group).is_err()
    {
        let names: Vec<_> = key.columns().iter().map(|column| column.name.as_str()).collect();
        let allowed = "some of the key columns, not all, each once";
        let what = format!("is {group:?}, allowed are {allowed}: {}", names.join(", "));
        reader.mistake(GROUP, what);
    }
    let tables = reader.tables(LIMITS);
    if group.is_none() && tables.is_none() {
        return None;
    }
    let mut limits = Vec::new();
    for table in tables.unwrap_or_default() {
        match limit(&table, key) {
            Ok(limit) => limits.push(limit),
            Err(what) => {
                reader.mistake(LIMITS, format!("has the item {{ {} }}: {what}", one_line(&table)));
            }
        }
    }
    let settings = FallbackSettings { group: group.unwrap_or_default(), limits };
    Some(Fallback { alias, settings })
}

fn limit(table: &Table, key: Option<&KeySchema>) -> Result<FallbackLimit, String> {
    const KEYS: [&str; 4] = ["feature", "min", "max", "where"];
    if let Some(other) = table.keys().find(|name| !KEYS.contains(&name.as_str())) {
        return Err(format!("{other:?} is none of {}", KEYS.join(", ")));
    }
    let feature = table.get("feature").and_then(Value::as_str);
    let feature = feature.ok_or("feature is missing: one of those that models see, as a text")?;
    let number = |name: &str| match table.get(name) {
        None => Ok(None),
        Some(Value::Float(number)) => Ok(Some(*number)),
        Some(Value::Integer(number)) => Ok(Some(*number as f64)),
        Some(other) => Err(format!("{name} is {other}, allowed is a number")),
    };
    let limit = Limit { low: number("min")?, high: number("max")? };
    LimitsParams::new(vec![limit]).map_err(|error| error.to_string())?;
    let only = match table.get("where") {
        None => Vec::new(),
        Some(Value::Table(columns)) => {
            let value = |(name, value): (&String, &Value)| {
                Ok::<_, String>((name.clone(), key_value(name, value, key)?))
            };
            columns.iter().map(value).collect::<Result<_, _>>()?
        }
        Some(other) => {
            return Err(format!("where is {other}, allowed is {{ key column = value }}"));
        }
    };
    Ok(FallbackLimit { feature: feature.to_string(), limit, only })
}

/// The value of a key column. Without a key, which is a mistake of its own, any is good.
fn key_value(name: &str, value: &Value, key: Option<&KeySchema>) -> Result<KeyValue, String> {
    let found = match value {
        Value::String(text) => KeyValue::Str(text.as_str().into()),
        Value::Integer(number) => KeyValue::Int(*number),
        other => return Err(format!("{name} is {other}, allowed is a text or a whole number")),
    };
    let Some(key) = key else { return Ok(found) };
    let column = key.columns().iter().find(|column| column.name == name);
    let kind = column.ok_or_else(|| format!("{name:?} in where is no key column"))?.kind;
    match kind == found.kind() {
        true => Ok(found),
        false => {
            let allowed = match kind {
                KeyType::Int64 => "a whole number",
                KeyType::String => "a text in quotes",
            };
            Err(format!("{name} is {value}, allowed is {allowed}"))
        }
    }
}
