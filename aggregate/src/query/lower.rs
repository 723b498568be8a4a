//! From DataFusion's logical plan to the expressions and accumulators that windows drive.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, GroupsAccumulator, LogicalPlan};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr, create_physical_expr};

use super::steps::Step;

/// One aggregate call of the query.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    /// Arguments, then the expressions of an ORDER BY inside the call.
    arguments: Vec<Arc<dyn PhysicalExpr>>,
}

impl Aggregate {
    pub(super) fn accumulator(&self) -> DfResult<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = self.function.clone();
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }

    /// Columns of its state.
    pub(super) fn state_columns(&self) -> DfResult<usize> {
        Ok(self.function.state_fields()?.len())
    }

    pub(super) fn arguments(&self, batch: &RecordBatch) -> DfResult<Vec<ArrayRef>> {
        let rows = batch.num_rows();
        self.arguments.iter().map(|a| a.evaluate(batch)?.into_array(rows)).collect()
    }
}

/// Lowers a chain of Projection and Filter nodes, given from the bottom up.
pub(super) fn steps(chain: &[&LogicalPlan], state: &SessionState) -> DfResult<Vec<Step>> {
    chain.iter().map(|node| step(node, state)).collect()
}

fn step(node: &LogicalPlan, state: &SessionState) -> DfResult<Step> {
    match node {
        LogicalPlan::Filter(filter) => {
            Ok(Step::Filter(scalar(&filter.predicate, filter.input.schema(), state)?))
        }
        LogicalPlan::Projection(projection) => {
            let input = projection.input.schema();
            let exprs = projection.expr.iter().map(|e| scalar(e, input, state));
            let exprs = exprs.collect::<DfResult<_>>()?;
            let schema = Arc::new(projection.schema.as_arrow().clone());
            Ok(Step::Projection { exprs, schema })
        }
        other => {
            unreachable!("{} was let into a chain of projections and filters", other.display())
        }
    }
}

pub(super) fn aggregate(
    expr: &Expr,
    input: &DFSchema,
    state: &SessionState,
) -> DfResult<Aggregate> {
    let lowered = LoweredAggregateBuilder::new(
        expr,
        input,
        input.as_arrow(),
        state.execution_props(),
        &PhysicalPlanningContext::default(),
    )
    .build()?;
    let mut arguments = lowered.aggregate.expressions();
    arguments.extend(lowered.order_bys.iter().map(|o| o.expr.clone()));
    Ok(Aggregate { function: lowered.aggregate, arguments })
}

fn scalar(expr: &Expr, input: &DFSchema, state: &SessionState) -> DfResult<Arc<dyn PhysicalExpr>> {
    let context = PhysicalPlanningContext::default();
    create_physical_expr(expr, input, state.execution_props(), &context)
}

/// Narrows the scan to the columns that are read, so that the others are never built.
pub(super) fn prune_scan(
    full: &SchemaRef,
    steps: &mut [Step],
    aggregates: &mut [Aggregate],
) -> DfResult<(SchemaRef, Vec<usize>)> {
    let mut exprs: Vec<&mut Arc<dyn PhysicalExpr>> = Vec::new();
    let mut projected = false;
    for step in steps.iter_mut() {
        match step {
            _ if projected => {}
            Step::Filter(predicate) => exprs.push(predicate),
            Step::Projection { exprs: list, .. } => {
                exprs.extend(list);
                projected = true;
            }
        }
    }
    if !projected {
        exprs.extend(aggregates.iter_mut().flat_map(|a| &mut a.arguments));
    }
    let read = exprs.iter().flat_map(|e| collect_columns(e)).map(|c| c.index());
    let used: std::collections::BTreeSet<usize> = read.collect();
    let used: Vec<usize> = used.into_iter().collect();
    let scan: SchemaRef =
        Arc::new(Schema::new(used.iter().map(|&c| full.field(c).clone()).collect::<Vec<_>>()));
    for expr in exprs {
        *expr = reassign_expr_columns(expr.clone(), &scan)?;
    }
    Ok((scan, used))
}
