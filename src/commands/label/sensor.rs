//! Sensors on the command line: `1,4`, `1,*`, `Device=1,Sensor=*`; quoted as in CSV where a text has a comma.

use tidegauge_flow::{KeyColumn, KeySchema, KeyValue};

use crate::labels::ANY;

/// A value of each key column, `None` for any.
///
/// # Errors
/// What is wrong, for people.
pub fn parse(text: &str, key: &KeySchema) -> Result<Vec<Option<KeyValue>>, String> {
    let columns = key.columns();
    let parts = split(text)?;
    let named: Vec<_> = parts.iter().map(|part| named(part, columns)).collect();
    if named.iter().all(Option::is_some) {
        let mut values = vec![None; columns.len()];
        let mut seen = vec![false; columns.len()];
        for (column, text) in named.into_iter().flatten() {
            if std::mem::replace(&mut seen[column], true) {
                return Err(format!("it names {} twice", columns[column].name));
            }
            values[column] = value(text, &columns[column])?;
        }
        return match seen.iter().position(|seen| !seen) {
            Some(missing) => Err(format!("it lacks {} (* is any)", columns[missing].name)),
            None => Ok(values),
        };
    }
    if parts.len() != columns.len() {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        return Err(format!("it has {} values, the key is {}", parts.len(), names.join(",")));
    }
    parts.iter().zip(columns).map(|(part, column)| value(part, column)).collect()
}

fn split(text: &str) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut records = reader.records();
    let record = records.next().and_then(Result::ok).ok_or("it is empty")?;
    if records.next().is_some() {
        return Err("it has several lines".into());
    }
    Ok(record.iter().map(String::from).collect())
}

/// The column and the text of `column=text`.
fn named<'a>(part: &'a str, columns: &[KeyColumn]) -> Option<(usize, &'a str)> {
    let (name, text) = part.split_once('=')?;
    Some((columns.iter().position(|column| column.name == name.trim())?, text.trim()))
}

fn value(text: &str, column: &KeyColumn) -> Result<Option<KeyValue>, String> {
    if text == ANY {
        return Ok(None);
    }
    let value = KeyValue::parse(text, column.kind);
    value
        .map(Some)
        .ok_or_else(|| format!("{text:?} is no {} for {}", column.kind.as_str(), column.name))
}

#[cfg(test)]
mod tests {
    use tidegauge_flow::KeyType;

    use super::*;

    #[test]
    fn sensors_are_named_by_values_in_the_key_s_order_or_by_column() {
        let column = |name: &str, kind| KeyColumn { name: name.into(), kind };
        let key =
            KeySchema::new(vec![column("Device", KeyType::Int64), column("Tag", KeyType::String)]);
        let (one, text) =
            (|| Some(KeyValue::Int(1)), |text: &str| Some(KeyValue::Str(text.into())));
        let good = [
            ("1,a", vec![one(), text("a")]),
            (" 1 , * ", vec![one(), None]),
            ("*,*", vec![None, None]),
            ("Tag=*,Device=1", vec![one(), None]),
            ("Device=1,\"Tag=a,b\"", vec![one(), text("a,b")]),
            ("1,\"a,b\"", vec![one(), text("a,b")]),
            ("1,x=y", vec![one(), text("x=y")]),
        ];
        for (wanted, expected) in good {
            assert_eq!(parse(wanted, &key), Ok(expected), "{wanted}");
        }
        let bad = [
            ("", "it is empty"),
            ("1", "1 values, the key is Device,Tag"),
            ("1,a,b", "3 values"),
            ("x,a", "\"x\" is no int64 for Device"),
            ("Device=1", "it lacks Tag"),
            ("Device=1,Device=2", "it names Device twice"),
            ("1,a\n2,b", "several lines"),
        ];
        for (wanted, says) in bad {
            let error = parse(wanted, &key).expect_err(wanted);
            assert!(error.contains(says), "{wanted}: {error}");
        }
    }
}
