//! The words for context features.

use super::stats::Rolling;

/// Rows before and at a row that one feature may look at, at most.
pub(crate) const ROWS_MAX: usize = 1_000;

/// Rows that a rolling feature looks at, at least.
const LEAST: usize = 2;

/// Spans that an exponentially weighted mean looks at: all that lies before them would weigh less than
/// exp(-8), 0.04 % of the mean.
const SPANS: usize = 4;

/// Days that a feature may look back, at most.
pub(crate) const DAYS_MAX: usize = 28;

/// The functions with what each gives, for messages and documentation.
pub const FUNCTIONS: [(&str, &str); 10] = [
    ("diff(column)", "the difference to the row before"),
    ("rolling_mean(column, rows)", "the mean of the last rows, this one included"),
    ("rolling_std(column, rows)", "their standard deviation (of the population)"),
    ("rolling_min(column, rows)", "the least of them"),
    ("rolling_max(column, rows)", "the greatest of them"),
    ("rolling_slope(column, rows)", "the least-squares slope of them, per row"),
    (
        "ewma(column, rows)",
        "their exponentially weighted mean, alpha = 2 / (rows + 1), over the last 4 x rows rows",
    ),
    ("hour_sin", "sin of the hour of day of window_end in UTC, 24 hours a turn"),
    ("hour_cos", "cos of it"),
    (
        "same_time_gap(column, days)",
        "the least distance to the value at the same time of day on the last days",
    ),
];

/// Lists of features under one word: `state(column)`, `onset(column)`.
const LISTS: [(&str, &[&str]); 2] = [
    (
        "state",
        &[
            "{}",
            "rolling_mean({}, 15)",
            "rolling_std({}, 15)",
            "rolling_min({}, 15)",
            "rolling_max({}, 15)",
            "rolling_slope({}, 15)",
            "rolling_mean({}, 30)",
            "rolling_std({}, 30)",
            "rolling_min({}, 30)",
            "rolling_max({}, 30)",
            "rolling_slope({}, 30)",
        ],
    ),
    (
        "onset",
        &[
            "{}",
            "diff({})",
            "rolling_mean({}, 3)",
            "rolling_std({}, 3)",
            "rolling_mean({}, 12)",
            "rolling_std({}, 12)",
            "hour_sin",
            "hour_cos",
            "same_time_gap({}, 7)",
        ],
    ),
];

/// One feature; columns by their number among those that features look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expression {
    Column(usize),
    Difference(usize),
    Rolling { column: usize, rows: usize, what: Rolling },
    HourSin,
    HourCos,
    SameTimeGap { column: usize, days: usize },
}

impl Expression {
    /// Rows that must be there, the row itself included.
    pub fn rows(self) -> usize {
        match self {
            Self::Difference(_) => 2,
            Self::Rolling { rows, .. } => rows,
            Self::Column(_) | Self::HourSin | Self::HourCos | Self::SameTimeGap { .. } => 1,
        }
    }

    /// How many rows it is made of, as far as they weigh; `None` of the hour of day, which follows the clock
    /// whatever the sensor does.
    pub fn span(self) -> Option<usize> {
        match self {
            Self::HourSin | Self::HourCos => None,
            Self::Rolling { what: Rolling::Ewma(span), .. } => Some(span),
            _ => Some(self.rows()),
        }
    }

    /// Whether it looks at other rows than its own.
    pub fn looks_back(self) -> bool {
        self.rows() > 1 || matches!(self, Self::SameTimeGap { .. })
    }
}

/// Puts the features of a list in the place of its word; everything else stays as it is.
pub fn expand(wanted: &[String]) -> Vec<String> {
    let expand = |name: &String| match call(name) {
        Some((function, [column])) => {
            let list = LISTS.iter().find(|(word, _)| *word == function);
            list.map(|(_, features)| {
                features.iter().map(|feature| feature.replace("{}", column)).collect()
            })
        }
        _ => None,
    };
    wanted.iter().flat_map(|name| expand(name).unwrap_or_else(|| vec![name.clone()])).collect()
}

/// A call as it is written here, with one blank after each comma; everything else stays as it is.
pub(crate) fn canonical(name: &str) -> String {
    match name.ends_with(')') && name.contains('(') {
        true => {
            let (function, arguments) = split(name);
            format!("{function}({})", arguments.join(", "))
        }
        false => name.to_string(),
    }
}

/// How many rows the features look at by their names, each row's own included.
pub(crate) fn look_back(names: &[String]) -> usize {
    let rows = |name: &String| parse(name, |_| false, |_| Ok(0)).map_or(1, Expression::rows);
    names.iter().map(rows).max().unwrap_or(1)
}

/// A feature by its name. `column` finds the number of a column, or says what is wrong with it.
///
/// # Errors
/// What is wrong, as in "`name` ...".
pub(crate) fn parse(
    name: &str,
    is_column: impl Fn(&str) -> bool,
    mut column: impl FnMut(&str) -> Result<usize, String>,
) -> Result<Expression, String> {
    if is_column(name) {
        return column(name).map(Expression::Column);
    }
    match name {
        "hour_sin" => return Ok(Expression::HourSin),
        "hour_cos" => return Ok(Expression::HourCos),
        _ => {}
    }
    // Without a call it can only be a column, and that it is not.
    if !name.ends_with(')') || !name.contains('(') {
        return column(name).map(Expression::Column);
    }
    let (function, arguments) = split(name);
    let number = |text: &str, most: usize| -> Result<usize, String> {
        let number = text.parse().ok().filter(|n| (1..=most).contains(n));
        number.ok_or_else(|| format!("has {text:?} where 1 to {most} are allowed"))
    };
    let what = match (function, arguments.as_slice()) {
        ("diff", [of]) => return column(of).map(Expression::Difference),
        ("same_time_gap", [of, days]) => {
            let days = number(days, DAYS_MAX)?;
            return Ok(Expression::SameTimeGap { column: column(of)?, days });
        }
        ("ewma", [of, span]) => {
            let span = number(span, ROWS_MAX / SPANS)?;
            let (rows, what) = (span * SPANS, Rolling::Ewma(span));
            return Ok(Expression::Rolling { column: column(of)?, rows, what });
        }
        ("rolling_mean", [_, _]) => Rolling::Mean,
        ("rolling_std", [_, _]) => Rolling::Std,
        ("rolling_min", [_, _]) => Rolling::Min,
        ("rolling_max", [_, _]) => Rolling::Max,
        ("rolling_slope", [_, _]) => Rolling::Slope,
        _ => return Err(unknown()),
    };
    let rows = number(arguments[1], ROWS_MAX)?;
    if rows < LEAST {
        return Err(format!("looks at {rows} rows: it needs at least {LEAST}"));
    }
    Ok(Expression::Rolling { column: column(arguments[0])?, rows, what })
}

fn unknown() -> String {
    let known: Vec<_> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    let known = known.join(", ");
    format!("is neither a column nor one of {known}, state(column), onset(column)")
}

/// The function and its arguments of `function(a, b)`, without the blanks around them.
fn split(name: &str) -> (&str, Vec<&str>) {
    let (function, rest) = name.split_once('(').unwrap_or((name, ""));
    let inside = rest.strip_suffix(')').unwrap_or(rest);
    (function.trim(), inside.split(',').map(str::trim).collect())
}

/// A call with one argument.
fn call(name: &str) -> Option<(&str, [&str; 1])> {
    let (function, arguments) = split(name.trim());
    let [argument] = *arguments.as_slice() else { return None };
    (name.ends_with(')') && !argument.is_empty()).then_some((function, [argument]))
}
