//! A data file that is read in parts: some columns, batch by batch, or only the rows that matter.

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use ::parquet::errors::ParquetError;
use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::error::LakeError;
use crate::parquet;

/// A data file in memory.
#[derive(Debug, Clone)]
pub struct OpenFile {
    path: String,
    bytes: Bytes,
}

impl OpenFile {
    pub(crate) fn new(path: String, bytes: Vec<u8>) -> Self {
        Self { path, bytes: bytes.into() }
    }

    /// Its place in the lake, once published.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The names of its columns.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when it holds no rows.
    pub fn columns(&self) -> Result<Vec<String>, LakeError> {
        let columns = parquet::columns(self.bytes.clone());
        columns.map_err(|error| LakeError::damaged(&self.path, error.to_string()))
    }

    /// The named columns, batch by batch in the file's order; names that it lacks are left out.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when it holds no rows.
    pub fn batches(&self, columns: &[&str]) -> Result<Batches, LakeError> {
        self.rows(parquet::reader(self.bytes.clone(), columns))
    }

    /// The same of those rows only of which a column of booleans is true: the other columns of rows that
    /// are passed over are not decoded.
    ///
    /// # Errors
    /// As [`OpenFile::batches`].
    pub fn batches_where(&self, column: &str, columns: &[&str]) -> Result<Batches, LakeError> {
        self.rows(parquet::reader_where(self.bytes.clone(), column, columns))
    }

    fn rows(
        &self,
        reader: Result<ParquetRecordBatchReader, ParquetError>,
    ) -> Result<Batches, LakeError> {
        let damaged = |error: ParquetError| LakeError::damaged(&self.path, error.to_string());
        Ok(Batches { path: self.path.clone(), reader: reader.map_err(damaged)? })
    }
}

/// Rows of an [`OpenFile`].
pub struct Batches {
    path: String,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|error| LakeError::damaged(&self.path, error.to_string())))
    }
}
