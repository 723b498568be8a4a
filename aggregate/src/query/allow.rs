//! Which SQL windows can run: a walk over the parsed statement that refuses the rest by name and place.
//!
//! *Why on the syntax tree*: the tree knows where in the text each thing stands; the plan does not.

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArguments, GroupByExpr, Query, Select, SelectItem,
    SetExpr, Spanned, Statement, TableFactor, visit_expressions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use tidegauge_flow::ReadingSchema;

use super::window::is_window_call;
use crate::error::PlanError;

const SHAPE: &str = "a query is one SELECT … FROM readings [WHERE …] GROUP BY the key columns and \
                     one tumble() or hop()";
/// Aggregates whose answer depends on the order of arrival unless they are told an order.
const NEED_ORDER: [&str; 4] = ["first_value", "last_value", "array_agg", "string_agg"];

/// Refuses everything that is not one plain SELECT over `readings`.
pub(super) fn check(
    statement: &Statement,
    state: &SessionState,
    readings: &ReadingSchema,
) -> Result<(), PlanError> {
    let Statement::Query(query) = statement else {
        return Err(unsupported("this statement", statement.span(), SHAPE));
    };
    let select = single_select(query)?;
    check_select(select)?;
    for item in &select.projection {
        check_item(item, readings)?;
    }
    let refused = visit_expressions(statement, |expr| match check_expression(expr, state) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    match refused {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => check_window_calls(select),
    }
}

fn single_select(query: &Query) -> Result<&Select, PlanError> {
    if let Some(with) = &query.with {
        return Err(unsupported("WITH", with.span(), SHAPE));
    }
    if let Some(order) = &query.order_by {
        return Err(unsupported("ORDER BY", order.span(), "rows come out in the order of windows"));
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return Err(unsupported("LIMIT", query.span(), "a stream has no end to cut"));
    }
    match query.body.as_ref() {
        SetExpr::Select(select) => Ok(select),
        other => Err(unsupported("a set operation or nested query", other.span(), SHAPE)),
    }
}

fn check_select(select: &Select) -> Result<(), PlanError> {
    if select.distinct.is_some() {
        let place = select.select_token.0.span;
        return Err(unsupported("SELECT DISTINCT", place, "each window row is distinct already"));
    }
    if let Some(having) = &select.having {
        return Err(unsupported("HAVING", having.span(), "filter the predictions instead"));
    }
    if let Some(qualify) = &select.qualify {
        return Err(unsupported("QUALIFY", qualify.span(), SHAPE));
    }
    let [table] = select.from.as_slice() else {
        return Err(unsupported("this FROM", select.span(), SHAPE));
    };
    if let Some(join) = table.joins.first() {
        return Err(unsupported("a join", join.relation.span(), SHAPE));
    }
    match &table.relation {
        TableFactor::Table { name, alias: None, args: None, .. }
            if name.to_string().trim_matches('"') == "readings" => {}
        other => return Err(unsupported("this FROM", other.span(), "the only table is readings")),
    }
    match &select.group_by {
        GroupByExpr::Expressions(exprs, modifiers) if !exprs.is_empty() && modifiers.is_empty() => {
            Ok(())
        }
        other => Err(unsupported("this GROUP BY", other.span(), SHAPE)),
    }
}

/// A key column is selected under its own name or not at all, and no other thing takes its name.
fn check_item(item: &SelectItem, readings: &ReadingSchema) -> Result<(), PlanError> {
    let is_key = |name: &str| readings.key.columns().iter().any(|k| k.name == name);
    match item {
        SelectItem::UnnamedExpr(_) => Ok(()),
        SelectItem::ExprWithAlias { expr, alias } => {
            let column = match expr {
                Expr::Identifier(ident) => Some(ident.value.as_str()),
                Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.as_str()),
                _ => None,
            };
            let from_key = column.is_some_and(is_key);
            if (from_key || is_key(&alias.value)) && column != Some(alias.value.as_str()) {
                let what = format!("the alias {alias}");
                let advice = "key columns keep their names, and nothing else may take them";
                return Err(unsupported(&what, alias.span, advice));
            }
            Ok(())
        }
        other => Err(unsupported("this SELECT item", other.span(), "name each feature")),
    }
}

fn check_expression(expr: &Expr, state: &SessionState) -> Result<(), PlanError> {
    match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            Err(unsupported("a subquery", expr.span(), SHAPE))
        }
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
            Err(unsupported("a grouping set", expr.span(), SHAPE))
        }
        Expr::Function(function) => check_function(function, expr.span(), state),
        _ => Ok(()),
    }
}

fn check_function(function: &Function, span: Span, state: &SessionState) -> Result<(), PlanError> {
    let name = function.name.to_string().to_lowercase();
    if function.over.is_some() {
        return Err(unsupported(&format!("{name} OVER"), span, SHAPE));
    }
    if function.filter.is_some() {
        return Err(unsupported("FILTER", span, "use CASE WHEN inside the aggregate"));
    }
    if let Some(scalar) = state.scalar_functions().get(&name)
        && scalar.signature().volatility != Volatility::Immutable
    {
        return Err(unsupported(&name, span, "its value would differ in a replay"));
    }
    if name == "nth_value" {
        return Err(unsupported(&name, span, "use first_value or last_value with ORDER BY"));
    }
    let FunctionArguments::List(list) = &function.args else { return Ok(()) };
    if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) && name != "count" {
        return Err(unsupported(&format!("{name} DISTINCT"), span, "only count takes DISTINCT"));
    }
    if NEED_ORDER.contains(&name.as_str()) && list.clauses.is_empty() {
        return Err(unsupported(
            &format!("{name} without ORDER BY"),
            span,
            "say which is first, for example ORDER BY the time column",
        ));
    }
    Ok(())
}

/// Window calls may stand in GROUP BY only.
fn check_window_calls(select: &Select) -> Result<(), PlanError> {
    let elsewhere = select.projection.iter().map(|item| (calls(item), "the SELECT list"));
    let filter = select.selection.iter().map(|expr| (calls(expr), "WHERE"));
    for (found, place) in elsewhere.chain(filter) {
        if let Some((name, span)) = found {
            let what = format!("{name} in {place}");
            let advice =
                "it stands in GROUP BY only; window_start and window_end come by themselves";
            return Err(unsupported(&what, span, advice));
        }
    }
    Ok(())
}

fn calls<V: datafusion::sql::sqlparser::ast::Visit>(node: &V) -> Option<(String, Span)> {
    let found = visit_expressions(node, |expr| match expr {
        Expr::Function(f) if is_window_call(&f.name.to_string().to_lowercase()) => {
            ControlFlow::Break((f.name.to_string(), expr.span()))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}

fn unsupported(what: &str, span: Span, advice: &'static str) -> PlanError {
    let start = span.start;
    let place = match start.line {
        0 => String::new(),
        line => format!(" at line {line}, column {}", start.column),
    };
    PlanError::Unsupported { what: what.to_string(), place, advice }
}
