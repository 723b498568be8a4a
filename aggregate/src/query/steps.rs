//! The plain steps of a plan: filters and projections, run on one batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use super::columns_of;

/// One step between the scan and the aggregate, or above the aggregate.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Filter(Arc<dyn PhysicalExpr>),
    Projection { exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
}

/// Runs the steps in order. Also returns which rows are left, or `None` when no filter ran.
pub(super) fn run(
    steps: &[Step],
    mut batch: RecordBatch,
) -> Result<(RecordBatch, Option<Vec<u32>>), DataFusionError> {
    let mut kept: Option<UInt32Array> = None;
    for step in steps {
        match step {
            Step::Filter(predicate) => {
                let mask = mask(predicate, &batch)?;
                let rows = kept.unwrap_or_else(|| (0..batch.num_rows() as u32).collect());
                let rows = arrow::compute::filter(&rows, &mask)?;
                kept = rows.as_any().downcast_ref::<UInt32Array>().cloned();
                batch = filter_record_batch(&batch, &mask)?;
            }
            Step::Projection { exprs, schema } => {
                let rows = batch.num_rows();
                let columns = exprs.iter().map(|e| e.evaluate(&batch)?.into_array(rows));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                batch = self::batch(schema, columns, rows)?;
            }
        }
    }
    Ok((batch, kept.map(|k| k.values().to_vec())))
}

/// Runs projections on one row; null stands for what can't be computed.
pub(super) fn run_or_null(
    steps: &[Step],
    mut row: RecordBatch,
) -> Result<RecordBatch, DataFusionError> {
    for step in steps {
        let Step::Projection { exprs, schema } = step else {
            return Err(DataFusionError::Internal("a filter above the aggregate".into()));
        };
        let rows = row.num_rows();
        let computed = exprs.iter().zip(schema.fields()).map(|(expr, field)| {
            let value = expr.evaluate(&row).and_then(|value| value.into_array(rows));
            value.unwrap_or_else(|_| new_null_array(field.data_type(), rows))
        });
        row = batch(schema, computed.collect(), rows)?;
    }
    Ok(row)
}

/// The same projections with columns that may be null.
pub(super) fn nullable(steps: Vec<Step>) -> Vec<Step> {
    let step = |step| match step {
        Step::Projection { exprs, schema } => {
            let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            Step::Projection { exprs, schema }
        }
        filter => filter,
    };
    steps.into_iter().map(step).collect()
}

/// A batch that may have no columns.
pub(super) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// SQL's WHERE: null counts as false.
fn mask(
    predicate: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> Result<BooleanArray, DataFusionError> {
    let values = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    let mask = values.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| {
        DataFusionError::Internal(format!(
            "the filter {predicate} over {} gave {}",
            columns_of(batch),
            values.data_type()
        ))
    })?;
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}
