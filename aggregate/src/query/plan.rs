//! Planning: SQL text to a [`Query`].

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use tidegauge_flow::{KeyPart, KeyType, ReadingSchema, Readings, Sensors, names};

use super::window::{self, window_time};
use super::{GroupColumn, Query, allow, lower, plan_hash, steps};
use crate::error::PlanError;
use crate::windows::{Closing, Refusal, WindowSettings, Windows};

pub(super) fn plan(text: &str, readings: &ReadingSchema) -> Result<Query, PlanError> {
    let state = session(readings)?;
    let (plan, canonical) = logical_plan(text, readings, &state)?;
    let Parts { above, aggregate, below } = Parts::of(&plan)?;
    let (window, group_columns) = groups(aggregate, readings)?;

    let mut below = lower::steps(&below, &state)?;
    let input = aggregate.input.schema();
    let mut aggregates = Vec::new();
    for expr in &aggregate.aggr_expr {
        aggregates.push(lower::aggregate(expr, input, &state)?);
    }
    let (scan, scan_columns) = lower::prune_scan(&readings.arrow(), &mut below, &mut aggregates)?;
    let state_columns =
        aggregates.iter().map(lower::Aggregate::state_columns).collect::<Result<_, _>>()?;
    let (features, output) = output(plan.schema().as_arrow(), readings)?;
    let query = Query {
        hash: plan_hash(&canonical, readings),
        text: canonical,
        readings: readings.clone(),
        window,
        scan,
        scan_columns,
        below,
        aggregates,
        grouped: Arc::new(aggregate.schema.as_arrow().clone()),
        group_columns,
        // What can't be computed of a finished window is null, whatever the expression promises.
        above: steps::nullable(lower::steps(&above, &state)?),
        state_columns,
        features,
        output,
    };
    rehearse(&query)?;
    Ok(query)
}

/// Runs the query on one made-up reading: some aggregates refuse a type only when they first run, and
/// that must be known before the stream starts.
fn rehearse(query: &Query) -> Result<(), PlanError> {
    let mut sensors = Sensors::new(query.readings.key.clone(), 1);
    let parts = query.readings.key.columns().iter().map(|column| match column.kind {
        KeyType::Int64 => KeyPart::Int(1),
        KeyType::String => KeyPart::Str("1"),
    });
    sensors.intern(&parts.collect::<Vec<_>>());
    let mut reading = Readings::new(query.readings.values.len());
    reading.sensor.push(0);
    reading.time_ns.push(0);
    reading.offset.push(0);
    reading.values.iter_mut().for_each(|value| value.push(Some(1.0)));
    let settings = WindowSettings { closing: Closing::AtEnd, ..WindowSettings::default() };
    let mut windows = Windows::new(Arc::new(query.clone()), settings, 1);
    let run = windows.push(0, &reading, &sensors).and_then(|pushed| {
        windows.drain();
        windows.close(&sensors).map(|_| pushed)
    });
    let pushed = run.map_err(|error| PlanError::Invalid(error.to_string()))?;
    match (pushed.refused.into_iter().next(), windows.take_incomplete()) {
        (Some((_, Refusal::Query(error))), _) | (_, Some((_, error))) => {
            Err(PlanError::Invalid(error))
        }
        _ => Ok(()),
    }
}

/// A session that knows `readings` and the window calls, and nothing of this machine.
fn session(readings: &ReadingSchema) -> Result<SessionState, PlanError> {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.collect_spans = true;
    config.options_mut().execution.time_zone = Some("UTC".into());
    let context = SessionContext::new_with_config(config);
    context.register_table("readings", Arc::new(EmptyTable::new(readings.arrow())))?;
    for function in window::functions() {
        context.register_udf(function);
    }
    Ok(context.state())
}

/// Parses, checks, resolves and types the query; also gives its canonical text. Only the analyzer and the simplification of
/// expressions run: other rules would change the plan's shape.
fn logical_plan(
    text: &str,
    readings: &ReadingSchema,
    state: &SessionState,
) -> Result<(LogicalPlan, String), PlanError> {
    let statement = state.sql_to_statement(text, &state.config_options().sql_parser.dialect)?;
    match &statement {
        Statement::Statement(statement) => allow::check(statement, state, readings)?,
        other => return Err(PlanError::Invalid(format!("{other} is no SELECT"))),
    }
    // As the parser writes it: white space and the case of keywords make no other query.
    let canonical = statement.to_string();
    // Table resolution is in memory: nothing here ever waits.
    let plan = futures::executor::block_on(state.statement_to_plan(statement))?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let simplify = Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]);
    Ok((simplify.optimize(plan, state, |_, _| {})?, canonical))
}

/// The accepted shape: projections over one aggregate over projections and filters over the scan.
struct Parts<'a> {
    /// Bottom up.
    above: Vec<&'a LogicalPlan>,
    aggregate: &'a Aggregate,
    /// Bottom up.
    below: Vec<&'a LogicalPlan>,
}

impl<'a> Parts<'a> {
    fn of(plan: &'a LogicalPlan) -> Result<Self, PlanError> {
        let mut above = Vec::new();
        let mut node = plan;
        let aggregate = loop {
            match node {
                LogicalPlan::Projection(projection) => {
                    above.push(node);
                    node = &projection.input;
                }
                LogicalPlan::Aggregate(aggregate) => break aggregate,
                other => return Err(unsupported_node(other)),
            }
        };
        let mut below = Vec::new();
        let mut node = aggregate.input.as_ref();
        loop {
            match node {
                LogicalPlan::Projection(p) => {
                    below.push(node);
                    node = &p.input;
                }
                LogicalPlan::Filter(f) => {
                    below.push(node);
                    node = &f.input;
                }
                LogicalPlan::TableScan(_) => break,
                other => return Err(unsupported_node(other)),
            }
        }
        above.reverse();
        below.reverse();
        Ok(Self { above, aggregate, below })
    }
}

fn unsupported_node(node: &LogicalPlan) -> PlanError {
    PlanError::Unsupported {
        what: format!("the plan step {}", node.display()),
        place: String::new(),
        advice: "a query is projections over one GROUP BY over filters over readings",
    }
}

/// The group columns must be exactly the key columns and one window call.
fn groups(
    aggregate: &Aggregate,
    readings: &ReadingSchema,
) -> Result<(window::WindowSpec, Vec<GroupColumn>), PlanError> {
    let mut spec = None;
    let mut columns = Vec::new();
    for expr in &aggregate.group_expr {
        match expr.clone().unalias() {
            Expr::Column(column) => {
                let key = readings.key.columns().iter().position(|k| k.name == column.name);
                columns.push(GroupColumn::Key(key.ok_or_else(|| group_error(&column.name))?));
            }
            call @ Expr::ScalarFunction(_) if window::is_window_call(function_name(&call)) => {
                if spec.replace(window::spec(&call, &readings.time)?).is_some() {
                    let call = call.human_display().to_string();
                    let why = "a query has exactly one window call".into();
                    return Err(PlanError::Window { call, why });
                }
                columns.push(GroupColumn::Window);
            }
            other => return Err(group_error(&other.human_display().to_string())),
        }
    }
    for (index, key) in readings.key.columns().iter().enumerate() {
        if !columns.contains(&GroupColumn::Key(index)) {
            return Err(group_error(&format!("GROUP BY without {:?}", key.name)));
        }
    }
    let spec = spec.ok_or_else(|| group_error("GROUP BY without a window call"))?;
    Ok((spec, columns))
}

fn function_name(expr: &Expr) -> &str {
    match expr {
        Expr::ScalarFunction(function) => function.name(),
        _ => "",
    }
}

fn group_error(what: &str) -> PlanError {
    PlanError::Unsupported {
        what: what.to_string(),
        place: String::new(),
        advice: "GROUP BY holds all key columns and one tumble() or hop(), and nothing else",
    }
}

/// Which columns of the plan are features, and the schema of window rows.
fn output(plan: &Schema, readings: &ReadingSchema) -> Result<(Vec<usize>, SchemaRef), PlanError> {
    let keys: HashSet<&str> = readings.key.columns().iter().map(|k| k.name.as_str()).collect();
    let mut fields = readings.key.fields();
    fields.push(Field::new(names::WINDOW_START, window_time(), false));
    fields.push(Field::new(names::WINDOW_END, window_time(), false));
    let mut features = Vec::new();
    for (index, field) in plan.fields().iter().enumerate() {
        let name = field.name();
        if keys.contains(name.as_str()) {
            continue;
        }
        if names::RESERVED.contains(&name.as_str()) {
            return Err(PlanError::Reserved { name: name.clone() });
        }
        features.push(index);
        fields.push(field.as_ref().clone().with_metadata(Default::default()).with_nullable(true));
    }
    if features.is_empty() {
        return Err(PlanError::Invalid("it selects no feature, only key columns".into()));
    }
    Ok((features, Arc::new(Schema::new(fields))))
}
