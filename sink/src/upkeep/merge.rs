//! Many Parquet files to one, sorted, without holding all rows at once.
//!
//! Unsorted inputs are decoded until [`RUN_BYTES`] are in memory, sorted, and packed again as a run;
//! inputs that are sorted already are runs as they are. Then the runs are merged row by row. So memory
//! holds the packed inputs and runs, one unpacked run or one batch of each run, and the packed output.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use arrow::{array::UInt32Array, error::ArrowError};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::{ParquetError, Result};

use crate::parquet::{Encoder, Layout};

/// Unpacked bytes that are sorted at once.
const RUN_BYTES: usize = 16 << 20;
/// Rows of one batch of the output.
const BATCH_ROWS: usize = 8192;
/// Rows that all runs together hold unpacked while they are merged.
const MERGE_ROWS: usize = 256 * 1024;

/// A packed input, and whether its rows are in order already.
pub(super) struct Input {
    pub bytes: Bytes,
    pub sorted: bool,
}

/// What came out.
pub(super) struct Merged {
    pub bytes: Vec<u8>,
    pub rows: u64,
}

/// Merges `inputs`, sorted by those of the columns `order` that there are. A column that an input lacks
/// is null in its rows.
///
/// # Errors
/// When an input is no Parquet file, or a column has two types.
pub(super) fn merge(
    inputs: Vec<Input>,
    order: &[&str],
    metadata: &[(&str, String)],
) -> Result<Merged> {
    merge_within(RUN_BYTES, inputs, order, metadata)
}

fn merge_within(
    run_bytes: usize,
    inputs: Vec<Input>,
    order: &[&str],
    metadata: &[(&str, String)],
) -> Result<Merged> {
    let schema = union(&inputs)?;
    let sorter = Sorter::new(&schema, order)?;
    let runs = runs(inputs, &sorter, run_bytes)?;
    let mut encoder = Encoder::new(Arc::clone(&schema), Layout::Sorted, metadata)?;
    let each = (MERGE_ROWS / runs.len().max(1)).clamp(64, BATCH_ROWS);
    let cursors = runs.into_iter().map(|run| Cursor::open(run, each, &sorter));
    let mut cursors = cursors.collect::<Result<Vec<_>>>()?;
    let mut heap: Vec<usize> = (0..cursors.len()).filter(|&n| cursors[n].rows.is_some()).collect();
    for at in (0..heap.len() / 2).rev() {
        sift(&mut heap, at, &cursors);
    }
    let mut block = Block::new(&cursors);
    while let Some(&first) = heap.first() {
        block.push(first, cursors[first].at);
        if block.is_full() {
            block.flush(&cursors, &mut encoder)?;
        }
        if cursors[first].is_last() {
            // Its batch is needed until the block is out.
            block.flush(&cursors, &mut encoder)?;
            cursors[first].next_batch(&sorter)?;
        } else {
            cursors[first].at += 1;
        }
        if cursors[first].rows.is_none() {
            heap.swap_remove(0);
        }
        sift(&mut heap, 0, &cursors);
    }
    block.flush(&cursors, &mut encoder)?;
    let rows = encoder.rows();
    Ok(Merged { bytes: encoder.finish()?, rows })
}

/// The columns of all inputs, in the order of their first appearance.
fn union(inputs: &[Input]) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for (n, input) in inputs.iter().enumerate() {
        let builder = ParquetRecordBatchReaderBuilder::try_new(input.bytes.clone())?;
        let found = builder.schema().fields();
        for field in found {
            match fields.iter_mut().find(|known| known.name() == field.name()) {
                None => {
                    fields.push(field.as_ref().clone().with_nullable(n > 0 || field.is_nullable()))
                }
                Some(known) if known.data_type() != field.data_type() => {
                    return Err(ParquetError::General(format!(
                        "column {} is {} and {}",
                        field.name(),
                        known.data_type(),
                        field.data_type()
                    )));
                }
                Some(known) => known.set_nullable(known.is_nullable() || field.is_nullable()),
            }
        }
        for known in &mut fields {
            if !found.iter().any(|field| field.name() == known.name()) {
                known.set_nullable(true);
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The order of rows, as bytes that compare like them.
struct Sorter {
    schema: SchemaRef,
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Sorter {
    fn new(schema: &SchemaRef, order: &[&str]) -> Result<Self> {
        let columns: Vec<usize> =
            order.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let fields = columns.iter().map(|&n| SortField::new(schema.field(n).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { schema: Arc::clone(schema), columns, converter })
    }

    /// The batch with all columns of the output.
    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let columns = self.schema.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    fn keys(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns: Vec<_> = self.columns.iter().map(|&n| Arc::clone(batch.column(n))).collect();
        if columns.is_empty() {
            // No column to go by: rows stay as they come.
            return Ok(self.converter.empty_rows(0, 0));
        }
        self.converter.convert_columns(&columns)
    }

    fn sort(&self, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
        let batch = concat_batches(&self.schema, batches)?;
        let keys = self.keys(&batch)?;
        if keys.num_rows() == 0 {
            return Ok(batch);
        }
        let rows = u32::try_from(batch.num_rows());
        let rows = rows.map_err(|e| ArrowError::ComputeError(e.to_string()))?;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by(|&a, &b| keys.row(a as usize).cmp(&keys.row(b as usize)));
        take_record_batch(&batch, &UInt32Array::from(order))
    }
}

/// The inputs as packed, sorted runs.
fn runs(inputs: Vec<Input>, sorter: &Sorter, run_bytes: usize) -> Result<Vec<Bytes>> {
    let mut runs = Vec::new();
    let (mut pending, mut bytes) = (Vec::new(), 0);
    for input in inputs {
        if input.sorted {
            runs.push(input.bytes);
            continue;
        }
        for batch in ParquetRecordBatchReaderBuilder::try_new(input.bytes)?.build()? {
            let batch = sorter.fit(&batch?)?;
            bytes += batch.get_array_memory_size();
            pending.push(batch);
            if bytes >= run_bytes {
                runs.push(pack(&std::mem::take(&mut pending), sorter)?);
                bytes = 0;
            }
        }
    }
    if !pending.is_empty() {
        runs.push(pack(&pending, sorter)?);
    }
    Ok(runs)
}

fn pack(batches: &[RecordBatch], sorter: &Sorter) -> Result<Bytes> {
    let mut encoder = Encoder::new(Arc::clone(&sorter.schema), Layout::Commit, &[])?;
    encoder.write(&sorter.sort(batches)?)?;
    Ok(encoder.finish()?.into())
}

/// A place in a run.
struct Cursor {
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    /// The keys of `batch`; `None` at the end.
    rows: Option<Rows>,
    at: usize,
}

impl Cursor {
    fn open(run: Bytes, batch_rows: usize, sorter: &Sorter) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(run)?;
        let reader = builder.with_batch_size(batch_rows).build()?;
        let batch = RecordBatch::new_empty(Arc::clone(&sorter.schema));
        let mut cursor = Self { reader, batch, rows: None, at: 0 };
        cursor.next_batch(sorter)?;
        Ok(cursor)
    }

    fn next_batch(&mut self, sorter: &Sorter) -> Result<()> {
        (self.at, self.rows) = (0, None);
        for batch in self.reader.by_ref() {
            let batch = sorter.fit(&batch?)?;
            if batch.num_rows() > 0 {
                self.rows = Some(sorter.keys(&batch)?);
                self.batch = batch;
                break;
            }
        }
        Ok(())
    }

    fn is_last(&self) -> bool {
        self.at + 1 >= self.batch.num_rows()
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (&self.rows, &other.rows) {
            (Some(a), Some(b)) if a.num_rows() > 0 && b.num_rows() > 0 => {
                a.row(self.at).cmp(&b.row(other.at))
            }
            _ => Ordering::Equal,
        }
    }
}

/// Restores the heap's order below `at`; the earlier run comes first among equals.
fn sift(heap: &mut [usize], mut at: usize, cursors: &[Cursor]) {
    let less =
        |a: usize, b: usize| cursors[a].compare(&cursors[b]).then(a.cmp(&b)) == Ordering::Less;
    loop {
        let mut least = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if child < heap.len() && less(heap[child], heap[least]) {
                least = child;
            }
        }
        if least == at {
            return;
        }
        heap.swap(at, least);
        at = least;
    }
}

/// Rows that are to come out next, by run and place in its batch.
struct Block {
    rows: Vec<(usize, usize)>,
    runs: usize,
}

impl Block {
    fn new(cursors: &[Cursor]) -> Self {
        Self { rows: Vec::with_capacity(BATCH_ROWS), runs: cursors.len() }
    }

    fn push(&mut self, run: usize, row: usize) {
        debug_assert!(run < self.runs, "rows come from the runs");
        self.rows.push((run, row));
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS
    }

    fn flush(&mut self, cursors: &[Cursor], encoder: &mut Encoder) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = cursors.iter().map(|cursor| &cursor.batch).collect();
        encoder.write(&interleave_record_batch(&batches, &self.rows)?)?;
        self.rows.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
