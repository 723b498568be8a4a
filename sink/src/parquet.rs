//! Rows to Parquet bytes and back, whole files in memory.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows in one row group at most: what a reader must hold to read one column of it.
const ROW_GROUP_MAX: usize = 1_000_000;

/// Rows in one row group of a sorted file: fewer, so that a reader who looks for one sensor skips more.
const SORTED_GROUP_MAX: usize = 128 * 1024;

/// Rows that a reader decodes at a time.
const BATCH: usize = 8_192;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As the rows come.
    Commit,
    /// The rows are sorted: statistics of each page let readers skip most of it.
    Sorted,
}

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
    let mut encoder = Encoder::new(schema, Layout::Commit, metadata)?;
    for batch in batches {
        encoder.write(batch)?;
    }
    encoder.finish()
}

/// A Parquet file under way, in memory.
pub struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    rows: u64,
}

impl Encoder {
    /// # Errors
    /// When a type has no Parquet form.
    pub fn new(schema: SchemaRef, layout: Layout, metadata: &[(&str, String)]) -> Result<Self> {
        let pair = |(key, value): &(&str, String)| KeyValue::new((*key).to_owned(), value.clone());
        let (group, statistics) = match layout {
            Layout::Commit => (ROW_GROUP_MAX, EnabledStatistics::Chunk),
            Layout::Sorted => (SORTED_GROUP_MAX, EnabledStatistics::Page),
        };
        // Measured numbers hardly repeat: a dictionary of them is work for nothing.
        let numbers = schema.fields().iter().filter(|field| field.data_type().is_floating());
        let builder = numbers.fold(WriterProperties::builder(), |builder, field| {
            let path = ColumnPath::new(vec![field.name().clone()]);
            builder.set_column_dictionary_enabled(path, false)
        });
        let properties = builder
            .set_created_by(concat!("tidegauge ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(group))
            .set_statistics_enabled(statistics)
            .set_key_value_metadata(Some(metadata.iter().map(pair).collect()))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
        Ok(Self { writer, schema, rows: 0 })
    }

    /// # Errors
    /// When the batch does not have the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema() != self.schema {
            return Err(ParquetError::General(format!(
                "a batch has the columns {:?} and the file {:?}",
                batch.schema().fields(),
                self.schema.fields()
            )));
        }
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch)
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the footer cannot be written.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner()
    }
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
    reader(bytes.into(), names)?.map(|batch| batch.map_err(ParquetError::from)).collect()
}

/// The same, batch by batch.
///
/// # Errors
/// When the bytes are not a Parquet file.
pub(crate) fn reader(bytes: Bytes, names: &[&str]) -> Result<ParquetRecordBatchReader> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = mask(&builder, names);
    builder.with_projection(mask).with_batch_size(BATCH).build()
}

/// The names of a Parquet file's columns.
///
/// # Errors
/// When the bytes are not a Parquet file.
pub(crate) fn columns(bytes: Bytes) -> Result<Vec<String>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    Ok(builder.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// The same of the rows of which the column `is` is true.
///
/// # Errors
/// When the bytes are not a Parquet file.
pub(crate) fn reader_where(
    bytes: Bytes,
    is: &str,
    names: &[&str],
) -> Result<ParquetRecordBatchReader> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let (mask, asked) = (mask(&builder, names), mask(&builder, &[is]));
    let is = ArrowPredicateFn::new(asked, |batch| Ok(batch.column(0).as_boolean().clone()));
    let filter = RowFilter::new(vec![Box::new(is)]);
    builder.with_projection(mask).with_row_filter(filter).with_batch_size(BATCH).build()
}

fn mask(builder: &ParquetRecordBatchReaderBuilder<Bytes>, names: &[&str]) -> ProjectionMask {
    // By their place: a name with a dot in it is no path.
    let fields = builder.schema().fields().iter().enumerate();
    let wanted = fields.filter(|(_, field)| names.contains(&field.name().as_str()));
    let wanted: Vec<usize> = wanted.map(|(place, _)| place).collect();
    ProjectionMask::roots(builder.parquet_schema(), wanted)
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
