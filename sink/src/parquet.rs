//! Rows to Parquet bytes and back, whole files in memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

/// Rows in one row group at most: what a reader must hold to read one column of it.
const ROW_GROUP_MAX: usize = 1_000_000;

/// One Parquet file of `batches`, zstd-compressed, with `metadata` as its key-value metadata. The
/// same rows give the same bytes.
///
/// # Errors
/// When a batch does not have the schema, or a type has no Parquet form.
pub fn encode(
    schema: SchemaRef,
    batches: &[RecordBatch],
    metadata: &[(&str, String)],
) -> Result<Vec<u8>> {
    let pairs = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let properties = WriterProperties::builder()
        .set_created_by(concat!("tidegauge ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_MAX))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(pairs.collect()))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
    for batch in batches {
        if batch.schema() != schema {
            return Err(ParquetError::General(format!(
                "a batch has the columns {:?} and the file {:?}",
                batch.schema().fields(),
                schema.fields()
            )));
        }
        writer.write(batch)?;
    }
    writer.into_inner()
}

/// All rows of a Parquet file.
///
/// # Errors
/// When the bytes are not a Parquet file.
pub fn read(bytes: impl Into<Bytes>) -> Result<Vec<RecordBatch>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.into())?.build()?;
    reader.map(|batch| batch.map_err(ParquetError::from)).collect()
}

/// The named columns of a Parquet file, in the file's order; names that it lacks are left out.
///
/// # Errors
/// When the bytes are not a Parquet file.
pub fn read_columns(bytes: impl Into<Bytes>, names: &[&str]) -> Result<Vec<RecordBatch>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.into())?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    let reader = builder.with_projection(mask).build()?;
    reader.map(|batch| batch.map_err(ParquetError::from)).collect()
}

/// The number of rows that a Parquet file's footer tells.
///
/// # Errors
/// When the bytes are not a Parquet file.
pub fn rows(bytes: impl Into<Bytes>) -> Result<u64> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.into())?;
    u64::try_from(builder.metadata().file_metadata().num_rows())
        .map_err(|e| ParquetError::General(e.to_string()))
}

#[cfg(test)]
mod tests;
