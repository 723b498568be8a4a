//! Merging against a plain sort of all rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::parquet;

fn batch(rows: &[(i64, i64)]) -> RecordBatch {
    let key: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
    let value: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    RecordBatch::try_from_iter([("key", key), ("value", value)]).expect("two columns")
}

fn input(rows: &[(i64, i64)], sorted: bool) -> Input {
    let batch = batch(rows);
    let bytes = parquet::encode(batch.schema(), &[batch], &[]).expect("it encodes");
    Input { bytes: bytes.into(), sorted }
}

fn rows(bytes: Vec<u8>) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for batch in parquet::read(bytes).expect("it is parquet") {
        let column = |n: usize| batch.column(n).as_primitive::<Int64Type>().values().to_vec();
        rows.extend(column(0).into_iter().zip(column(1)));
    }
    rows
}

proptest! {
    #[test]
    fn merging_is_sorting_all_rows(
        inputs in prop::collection::vec(
            (prop::collection::vec((0_i64..50, any::<i64>()), 0..300), any::<bool>()), 1..9),
        run_bytes in prop::sample::select(vec![1_usize, 4_000, 1 << 20]),
    ) {
        let mut expected: Vec<(i64, i64)> = inputs.iter().flat_map(|(rows, _)| rows.clone()).collect();
        expected.sort_unstable();
        let packed = inputs.iter().map(|(rows, sorted)| {
            let mut rows = rows.clone();
            if *sorted {
                rows.sort_unstable();
            }
            input(&rows, *sorted)
        });
        let merged = merge_within(run_bytes, packed.collect(), &["key", "gone", "value"], &[]);
        let merged = merged.expect("it merges");
        prop_assert_eq!(merged.rows as usize, expected.len());
        prop_assert_eq!(rows(merged.bytes), expected);
    }
}

#[test]
fn columns_that_came_later_are_null_before_and_rows_without_an_order_stay() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["why"]));
    let value: ArrayRef = Arc::new(Int64Array::from(vec![9]));
    let new = RecordBatch::try_from_iter([("reason", text), ("value", value)]).expect("columns");
    let new = parquet::encode(new.schema(), &[new], &[]).expect("it encodes");
    let inputs = vec![input(&[(7, 8), (1, 2)], false), Input { bytes: new.into(), sorted: false }];
    let merged = merge(inputs, &["gone"], &[]).expect("it merges");
    let batches = parquet::read(merged.bytes).expect("it is parquet");
    let schema = batches[0].schema();
    let names: Vec<_> =
        schema.fields().iter().map(|f| (f.name().as_str(), f.is_nullable())).collect();
    assert_eq!(names, [("key", true), ("value", false), ("reason", true)]);
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().values(), &[8, 2, 9]);
    assert_eq!(batches[0].column(0).null_count(), 1);
    assert_eq!(batches[0].column(2).null_count(), 2);
}

#[test]
fn a_column_of_two_types_is_refused() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let other = RecordBatch::try_from_iter([("key", text)]).expect("a column");
    let other = parquet::encode(other.schema(), &[other], &[]).expect("it encodes");
    let inputs = vec![input(&[(1, 2)], false), Input { bytes: other.into(), sorted: false }];
    let refused = merge(inputs, &["key"], &[]).map(|merged| merged.rows).expect_err("two types");
    assert!(refused.to_string().contains("column key is Int64 and Utf8"), "{refused}");
}
