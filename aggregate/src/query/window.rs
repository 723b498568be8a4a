//! Window calls: `tumble(ts, size [, offset])` and `hop(ts, slide, size [, offset])`.
//!
//! Both are placeholder functions: they exist so that DataFusion can resolve the query, and are taken
//! out of the plan before anything runs.
//!
//! A window is (start, end], aligned to the epoch in UTC plus the offset. Readings are collected in
//! panes of the greatest common width of slide and size; a window is a run of panes.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::PlanError;

/// Panes that one window may be made of.
const PANES_MAX: i64 = 10_000;
/// The longest window.
const SIZE_MAX_NS: i64 = 366 * 86_400 * 1_000_000_000;

/// The windows of a query, in nanoseconds. `slide == size` for tumble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpec {
    pub size_ns: i64,
    pub slide_ns: i64,
    /// In [0, slide).
    pub offset_ns: i64,
    pane_ns: i64,
}

impl WindowSpec {
    /// # Errors
    /// When the durations make no window; the message says why.
    pub fn new(size_ns: i64, slide_ns: i64, offset_ns: i64) -> Result<Self, String> {
        if size_ns <= 0 || slide_ns <= 0 {
            return Err("size and slide must be longer than nothing".into());
        }
        if size_ns > SIZE_MAX_NS {
            return Err("a window can be at most 366 days long".into());
        }
        if slide_ns > size_ns {
            return Err(
                "the slide is longer than the size, so readings would be in no window".into()
            );
        }
        if [size_ns, slide_ns, offset_ns].iter().any(|ns| ns % 1000 != 0) {
            return Err("durations must be whole microseconds".into());
        }
        let pane_ns = gcd(size_ns, slide_ns);
        if size_ns / pane_ns > PANES_MAX {
            return Err(format!("it needs {} panes, at most {PANES_MAX} fit", size_ns / pane_ns));
        }
        Ok(Self { size_ns, slide_ns, offset_ns: offset_ns.rem_euclid(slide_ns), pane_ns })
    }

    pub fn is_tumble(&self) -> bool {
        self.size_ns == self.slide_ns
    }

    /// The end of the pane that holds a reading of time `t`: the pane is (end - width, end].
    #[inline]
    pub(crate) fn pane_end(&self, t: i64) -> i64 {
        align_up(t, self.pane_ns, self.offset_ns)
    }

    /// The end of the first window that holds the pane.
    #[inline]
    pub(crate) fn first_end(&self, pane_end: i64) -> i64 {
        align_up(pane_end, self.slide_ns, self.offset_ns)
    }

    /// The end of the last window that holds the pane.
    #[inline]
    pub(crate) fn last_end(&self, pane_end: i64) -> i64 {
        let latest = pane_end + self.size_ns - self.pane_ns;
        latest - (latest - self.offset_ns).rem_euclid(self.slide_ns)
    }

    /// The end of the first pane of the window that ends at `end`.
    pub(crate) fn first_pane(&self, end: i64) -> i64 {
        end - self.size_ns + self.pane_ns
    }
}

/// The smallest aligned instant at or after `t`.
#[inline]
fn align_up(t: i64, step: i64, offset: i64) -> i64 {
    t + (offset - t).rem_euclid(step)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The placeholder functions to register with DataFusion.
pub(super) fn functions() -> [ScalarUDF; 2] {
    [WindowCall::udf("tumble"), WindowCall::udf("hop")]
}

/// True for the name of a window call.
pub(super) fn is_window_call(name: &str) -> bool {
    matches!(name, "tumble" | "hop")
}

/// Reads the window out of a resolved call whose first argument must be the column `time`.
pub(super) fn spec(call: &Expr, time: &str) -> Result<WindowSpec, PlanError> {
    let refuse = |why: String| PlanError::Window { call: call.human_display().to_string(), why };
    let Expr::ScalarFunction(function) = call else {
        return Err(refuse("it is no function call".into()));
    };
    match function.args.first() {
        Some(Expr::Column(column)) if column.name == time => {}
        _ => return Err(refuse(format!("its first argument must be the time column {time:?}"))),
    }
    let durations: Vec<i64> = function.args[1..]
        .iter()
        .map(|arg| interval_ns(arg).map_err(&refuse))
        .collect::<Result<_, _>>()?;
    let (slide, size, offset) = match (function.name(), durations.as_slice()) {
        ("tumble", [size]) => (*size, *size, 0),
        ("tumble", [size, offset]) => (*size, *size, *offset),
        ("hop", [slide, size]) => (*slide, *size, 0),
        ("hop", [slide, size, offset]) => (*slide, *size, *offset),
        ("tumble", _) => return Err(refuse("use tumble(time, size [, offset])".into())),
        _ => return Err(refuse("use hop(time, slide, size [, offset])".into())),
    };
    WindowSpec::new(size, slide, offset).map_err(refuse)
}

fn interval_ns(expr: &Expr) -> Result<i64, String> {
    let constant = || format!("{} is no constant interval", expr.human_display());
    let (months, days, nanos) = match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) => {
            (v.months, i64::from(v.days), v.nanoseconds)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => {
            (0, i64::from(v.days), i64::from(v.milliseconds) * 1_000_000)
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), _) => (*months, 0, 0),
        _ => return Err(constant()),
    };
    if months != 0 {
        return Err("months and years differ in length: use days".into());
    }
    let days = days.checked_mul(86_400 * 1_000_000_000);
    days.and_then(|d| d.checked_add(nanos)).ok_or_else(|| "the interval is too long".into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowCall {
    name: &'static str,
    signature: Signature,
}

impl WindowCall {
    fn udf(name: &'static str) -> ScalarUDF {
        ScalarUDF::from(Self { name, signature: Signature::variadic_any(Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for WindowCall {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(window_time())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{} is a placeholder and never runs", self.name)))
    }
}

/// The Arrow type of `window_start` and `window_end`.
pub(crate) fn window_time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}
