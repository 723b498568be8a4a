//! Events that are known to have happened, out of a file.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use tidegauge_flow::{KeySchema, KeyValue};
use tidegauge_ingest::decode::time_ns;
use tidegauge_score::Event;

use crate::labels::ANY;

/// Reads a CSV file with a header: the key columns by name, `start` and `end`; further columns are not
/// looked at, except that rows whose `kind` is `point` are left out (they mark the same events again).
///
/// # Errors
/// When a column is missing or a value can't be read, with its line.
pub fn read(path: &Path, key: &KeySchema) -> Result<Vec<Event>> {
    let mut reader = csv::Reader::from_path(path)?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header == name);
        found.ok_or_else(|| anyhow!("it has no column {name}; its columns are {headers:?}"))
    };
    let keys: Vec<usize> = key.columns().iter().map(|c| column(&c.name)).collect::<Result<_>>()?;
    let (start, end, kind) = (column("start")?, column("end")?, column("kind").ok());
    let mut events = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |column: usize| record.get(column).unwrap_or_default();
        if kind.is_some_and(|kind| ["point", "changepoint"].contains(&text(kind))) {
            continue;
        }
        let time = |column: usize| {
            let time = time_ns(text(column)).map(|ns| ns.div_euclid(1000));
            time.with_context(|| format!("line {line}: {:?} is no time", text(column)))
        };
        let value = |(column, of): (&usize, &tidegauge_flow::KeyColumn)| match text(*column) {
            ANY => Ok(None),
            text => match KeyValue::parse(text, of.kind) {
                Some(value) => Ok(Some(value)),
                None => bail!("line {line}: {text:?} is no {} for {}", of.kind.as_str(), of.name),
            },
        };
        let (from_us, to_us) = (time(start)?, time(end)?);
        if to_us < from_us {
            bail!("line {line}: the event ends before it begins");
        }
        let key = keys.iter().zip(key.columns()).map(value).collect::<Result<_>>()?;
        events.push(Event { key, from_us, to_us });
    }
    Ok(events)
}
