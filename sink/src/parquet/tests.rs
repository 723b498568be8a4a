//! Parquet there and back.

use arrow::array::{Array, RecordBatch};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::testing::predictions;

fn file(batches: &[RecordBatch]) -> Vec<u8> {
    encode(batches[0].schema(), batches, &[("lane", "a-0".to_owned())]).expect("it has a form")
}

#[test]
fn rows_come_back_as_they_went_in() {
    let batches = [predictions(&[(1, -5, 2), (2, 7, 3)]), predictions(&[(3, 9, 0)])];
    let bytes = file(&batches);
    let read = read(bytes.clone()).expect("it is whole");
    let read = arrow::compute::concat_batches(&read[0].schema(), &read).expect("one schema");
    let written =
        arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one schema");
    assert_eq!(read.columns(), written.columns());
    assert_eq!(rows(bytes.clone()).expect("it is whole"), 3);
    let some = read_columns(bytes, &["n_readings", "nothing", "Device"]).expect("it is whole");
    assert_eq!(some[0].schema().fields().len(), 2);
    assert_eq!(some[0].column(0).len(), 3);
}

#[test]
fn a_file_says_who_made_it_and_has_statistics_and_small_row_groups() {
    let many: Vec<_> = (0..1_000_001).map(|i| (1, i, 1)).collect();
    let bytes = file(&[predictions(&many)]);
    assert_eq!(bytes, file(&[predictions(&many)]), "the same rows give the same bytes");
    let reader = SerializedFileReader::new(Bytes::from(bytes)).expect("it is whole");
    let metadata = reader.metadata();
    assert!(metadata.file_metadata().created_by().is_some_and(|by| by.starts_with("tidegauge ")));
    let pairs = metadata.file_metadata().key_value_metadata().expect("there are some");
    assert!(pairs.iter().any(|pair| pair.key == "lane" && pair.value.as_deref() == Some("a-0")));
    assert_eq!(metadata.num_row_groups(), 2);
    let column = metadata.row_group(0).column(1);
    assert!(matches!(column.compression(), Compression::ZSTD(_)));
    assert!(column.statistics().is_some_and(|s| s.min_bytes_opt() == Some(&[0; 8])));
}

#[test]
fn what_is_no_parquet_file_is_an_error() {
    let whole = file(&[predictions(&[(1, 1, 1)])]);
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", &whole[..whole.len() - 1]] {
        assert!(read(bytes.to_vec()).is_err());
        assert!(rows(bytes.to_vec()).is_err());
    }
    assert!(read(whole[1..].to_vec()).is_err(), "its footer is fine and its pages are not");
    let other = predictions(&[(1, 1, 1)]).project(&[0]).expect("fewer columns");
    assert!(encode(other.schema(), &[predictions(&[(1, 1, 1)])], &[]).is_err());
}
