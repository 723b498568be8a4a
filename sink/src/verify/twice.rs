//! Rows that are there twice: found by their numbers, then compared in full.

use std::collections::{HashMap, HashSet};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use tidegauge_flow::time::rfc3339;
use tidegauge_flow::{Store, names};

use super::chain::Ledger;
use super::named::Named;
use super::repair::Repair;
use super::report::Report;
use super::scan::{Identity, Scanner, numbers as row_numbers};
use crate::columns::whole;
use crate::error::LakeError;
use crate::record::{JumpReason, Table};

/// The numbers that more than one row has.
pub(super) fn numbers(mut all: Vec<u64>) -> HashSet<u64> {
    all.sort_unstable();
    all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

/// Rows that were seen, and where.
pub(super) struct Known<'a> {
    scanner: Scanner<'a>,
    /// Inputs that were made anew: their offsets began again, so an offset may rightly come twice.
    anew: HashSet<String>,
}

/// What one file has twice.
#[derive(Default)]
struct Found {
    rows: u64,
    first: Option<(String, Repair)>,
}

impl<'a> Known<'a> {
    pub fn new(store: &'a dyn Store, identity: &'a Identity, ledger: &Ledger) -> Self {
        let scanner = Scanner { store, identity, pass: (0, 1) };
        let records = ledger.lanes.iter().flat_map(|lane| &lane.records);
        let summaries = ledger.lanes.iter().filter_map(|lane| lane.base.as_ref());
        let jumps = records.flat_map(|r| &r.jumps).chain(summaries.flat_map(|s| &s.jumps));
        let anew = jumps.filter(|jump| jump.why == JumpReason::Recreated);
        Self { scanner, anew: anew.map(|jump| jump.partition.input.to_string()).collect() }
    }

    /// Compares the rows with these numbers, and tells those that are equal.
    pub fn tell<'n>(
        &self,
        twice: &HashSet<u64>,
        files: impl Iterator<Item = &'n Named<'n>>,
        report: &mut Report,
    ) {
        let mut seen: HashMap<String, (&str, String)> = HashMap::new();
        for one in files {
            let path = one.file.path.as_str();
            // A file that cannot be read was told when it was proven.
            let Ok(batches) = self.scanner.batches(one.file) else {
                continue;
            };
            let mut found = Found::default();
            for batch in &batches {
                if let Err(error) = self.batch(batch, one, twice, &mut seen, &mut found) {
                    report.failure(path, error, Repair::Report);
                }
            }
            if let Some((first, repair)) = found.first {
                let what = format!("{} of its rows are there twice, as {first}", found.rows);
                report.problem(path, what, repair);
            }
        }
    }

    fn batch<'n>(
        &self,
        batch: &RecordBatch,
        one: &'n Named<'n>,
        twice: &HashSet<u64>,
        seen: &mut HashMap<String, (&'n str, String)>,
        found: &mut Found,
    ) -> Result<(), LakeError> {
        let (path, table) = (one.file.path.as_str(), one.file.table);
        let bad = |what: String| LakeError::damaged(path, what);
        let columns = self.scanner.identity.columns(table, batch).map_err(bad)?;
        let lanes = match batch.column_by_name(names::LANE) {
            Some(_) => Some(whole(batch, names::LANE, &DataType::Utf8).map_err(bad)?),
            None => None,
        };
        for (row, number) in row_numbers(&columns).into_iter().enumerate() {
            if !twice.contains(&number) || self.may_repeat(table, &columns, row) {
                continue;
            }
            let lane = match &lanes {
                Some(lanes) => lanes.as_string::<i32>().value(row),
                None => one.source.lane().unwrap_or_default(),
            };
            match seen.get(&exact(&columns, row)) {
                None => {
                    seen.insert(exact(&columns, row), (path, lane.to_owned()));
                }
                Some((other, its)) => {
                    found.rows += 1;
                    found.first.get_or_insert_with(|| {
                        let also = if *other == path { "this file" } else { other };
                        in_words(table, &columns, row, also, (its, lane))
                    });
                }
            }
        }
        Ok(())
    }

    fn may_repeat(&self, table: Table, columns: &[ArrayRef], row: usize) -> bool {
        matches!(table, Table::Late | Table::Rejects)
            && columns
                .first()
                .is_some_and(|inputs| self.anew.contains(inputs.as_string::<i32>().value(row)))
    }
}

/// A text that two rows have in common only when they are equal in all columns.
fn exact(columns: &[ArrayRef], row: usize) -> String {
    let mut text = String::new();
    for column in columns {
        match column.as_primitive_opt::<Int64Type>() {
            Some(ints) => text.push_str(&ints.value(row).to_string()),
            None => {
                let value = column.as_string::<i32>().value(row);
                text.push_str(&format!("{}:{value}", value.len()));
            }
        }
        text.push('/');
    }
    text
}

fn in_words(
    table: Table,
    columns: &[ArrayRef],
    row: usize,
    also: &str,
    lanes: (&str, &str),
) -> (String, Repair) {
    let texts = columns.iter().map(|c| array_value_to_string(c, row));
    let texts: Vec<String> = texts.map(|t| t.unwrap_or_else(|e| e.to_string())).collect();
    if table == Table::Events {
        return (format!("event {} in {also}", texts.join(" ")), Repair::Report);
    }
    if table != Table::Predictions {
        let [input, partition, offset] = &texts[..] else {
            return (format!("a row in {also}"), Repair::Report);
        };
        return (format!("{input}[{partition}] offset {offset} in {also}"), Repair::Report);
    }
    let (key, rest) = texts.split_at(texts.len().saturating_sub(2));
    let ends = columns[key.len()].as_primitive::<Int64Type>();
    let end = rfc3339(ends.value(row).saturating_mul(1000));
    let revision = rest.last().map_or("", String::as_str);
    let mut words = format!("sensor {} at {end} revision {revision} in {also}", key.join("/"));
    if lanes.0 == lanes.1 {
        return (words, Repair::Report);
    }
    let (a, b) = lanes;
    words.push_str(&format!("; lanes {a} and {b} both have this sensor"));
    (words, Repair::KeyEvents)
}
