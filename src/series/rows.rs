//! Series out of window rows, by SQL over those files that have a window in the wanted time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tidegauge_flow::names;
use tidegauge_serve::series::{CELLS_MAX, Fold, Labels, Line, Steps, Wanted};
use tidegauge_sink::{FileRef, Reader, Storage, Table, View};

use super::TooMuch;
use super::families::{Families, KeyLabel, Numbers, Value};
use crate::commands::history::Range;
use crate::sql::{REVISED, newest, quoted};
use crate::tables;

/// Memory of one question.
const MEMORY_MAX: usize = 64 << 20;
/// Sensors that matchers may be tried on.
const SENSORS_MAX: usize = 200_000;
/// The table of the sensors that matchers leave.
const PICKED: &str = "tidegauge_picked";

/// A look at a lake's windows.
pub(super) struct Scan<'a> {
    pub url: &'a str,
    pub storage: &'a Storage,
    pub reader: &'a Reader,
    pub families: &'a Families,
    pub view: Arc<View>,
}

/// Which windows are wanted, in SQL.
struct Chosen {
    condition: String,
    /// Whether [`PICKED`] says more.
    is_picked: bool,
}

impl Scan<'_> {
    /// The labels of the series of a family, at most so many.
    pub async fn labels(
        &self,
        numbers: &Numbers,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Labels>> {
        let context = self.session(wanted)?;
        let sensors = self.sensors(&context, wanted).await?;
        let mut all = Vec::new();
        for batch in &sensors {
            let keys = texts(batch.columns())?;
            for row in 0..batch.num_rows() {
                for value in &numbers.values {
                    let labels = self.named(value, keys.iter().map(|column| column.value(row)));
                    if wanted.holds_all(&labels) {
                        all.push(labels);
                    }
                    if all.len() >= limit {
                        return Ok(all);
                    }
                }
            }
        }
        Ok(all)
    }

    /// The series of a family.
    pub async fn lines(
        &self,
        numbers: &Numbers,
        wanted: &Wanted,
        steps: &Steps,
        fold: Option<Fold>,
    ) -> Result<Vec<Line>> {
        let usual = if steps.count == 1 { numbers.fold_now } else { numbers.fold };
        let fold = fold.unwrap_or(usual);
        let values = numbers.values.iter();
        let values: Vec<&Value> = values
            .filter(|v| v.label.as_ref().is_none_or(|(name, value)| wanted.holds(name, value)))
            .collect();
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let context = self.session(wanted)?;
        let by_sensor = numbers.by.is_empty() && !self.is_of_lake(wanted);
        let mut labels: Vec<(&str, String)> =
            numbers.by.iter().map(|(label, column)| (*label, quoted(column))).collect();
        let mut chosen = Chosen { condition: "true".into(), is_picked: false };
        if by_sensor {
            let keys = self.families.keys();
            labels = keys.iter().map(|k| (k.label.as_str(), quoted(&k.column.name))).collect();
            match self.choose(&context, wanted).await? {
                Some(some) => chosen = some,
                None => return Ok(Vec::new()),
            }
        }
        let rows = self.rows(&context, wanted, &chosen).await?;
        let sql = statement(&rows, &labels, &values, steps, fold);
        let batches = collect(&context, &sql).await?;
        let names: Vec<&str> = labels.iter().map(|(label, _)| *label).collect();
        let mut lines = lines(&batches, &names, &values, steps)?;
        lines.retain(|line| wanted.holds_all(&line.labels));
        Ok(lines)
    }

    fn is_of_lake(&self, wanted: &Wanted) -> bool {
        matches!(self.families.find(&wanted.family), Some(super::Told::OfLake(_)))
    }

    /// A session whose table of predictions has the files that may hold wanted windows.
    fn session(&self, wanted: &Wanted) -> Result<SessionContext> {
        let meets = |(least, greatest)| greatest > wanted.after_us && least <= wanted.to_us;
        self.over(Table::Predictions, |file| file.window_end_us.is_none_or(meets))
    }

    /// A session with one table of some of its files, one thread and bounded memory.
    pub(super) fn over(
        &self,
        table: Table,
        is_wanted: impl Fn(&FileRef) -> bool,
    ) -> Result<SessionContext> {
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().execution.time_zone = Some("UTC".into());
        let bounded = RuntimeEnvBuilder::new().with_memory_limit(MEMORY_MAX, 1.0).build_arc()?;
        let context = SessionContext::new_with_config_rt(config, bounded);
        let files = self.view.files().filter(|file| file.table == table && is_wanted(file));
        tables::register_named(&context, (self.url, self.storage), self.reader, table, files)?;
        Ok(context)
    }

    /// The wanted windows, of each its newest row, as something to select from.
    async fn rows(
        &self,
        context: &SessionContext,
        wanted: &Wanted,
        chosen: &Chosen,
    ) -> Result<String> {
        let condition = format!("{} AND {}", time(wanted), chosen.condition);
        let revised = collect(context, REVISED).await?;
        let keys: Vec<String> =
            self.families.keys().iter().map(|key| quoted(&key.column.name)).collect();
        let rows = match revised.iter().all(|batch| batch.num_rows() == 0) {
            true => format!("(SELECT * FROM predictions WHERE {condition})"),
            false => newest(&keys, &condition),
        };
        let joined = match chosen.is_picked {
            false => String::new(),
            true => {
                let same = keys.iter().map(|k| format!("tidegauge_rows.{k} = {PICKED}.{k}"));
                let same = same.collect::<Vec<_>>().join(" AND ");
                format!(" LEFT SEMI JOIN {PICKED} ON {same}")
            }
        };
        Ok(format!("{rows} AS tidegauge_rows{joined}"))
    }

    /// The condition that the matchers of key labels make. Where they cannot be said in SQL, they are tried
    /// on all sensors of the wanted time, and those that are left become a table.
    async fn choose(&self, context: &SessionContext, wanted: &Wanted) -> Result<Option<Chosen>> {
        let Some(exact) = self.exact(wanted) else { return Ok(None) };
        let keys = self.families.keys();
        let is_said =
            |label: &str| wanted.matchers.iter().all(|m| m.label != label || m.only().is_some());
        if keys.iter().all(|key| is_said(&key.label)) {
            return Ok(Some(Chosen { condition: exact, is_picked: false }));
        }
        let picked = self.sensors(context, wanted).await?;
        let Some(first) = picked.first() else { return Ok(None) };
        let table = MemTable::try_new(first.schema(), vec![picked.clone()])?;
        context.register_table(PICKED, Arc::new(table))?;
        Ok(Some(Chosen { condition: exact, is_picked: true }))
    }

    /// The sensors of the wanted time whose key labels will do.
    async fn sensors(&self, context: &SessionContext, wanted: &Wanted) -> Result<Vec<RecordBatch>> {
        let Some(exact) = self.exact(wanted) else { return Ok(Vec::new()) };
        let keys = self.families.keys();
        let columns: Vec<String> = keys.iter().map(|key| quoted(&key.column.name)).collect();
        let sql = format!(
            "SELECT DISTINCT {} FROM predictions WHERE {} AND {exact} LIMIT {}",
            columns.join(", "),
            time(wanted),
            SENSORS_MAX + 1
        );
        let all = collect(context, &sql).await?;
        if all.iter().map(RecordBatch::num_rows).sum::<usize>() > SENSORS_MAX {
            return Err(TooMuch.into());
        }
        let mut picked = Vec::new();
        for batch in &all {
            let values = texts(batch.columns())?;
            let holds = |row: usize| {
                keys.iter()
                    .zip(&values)
                    .all(|(key, column)| wanted.holds(&key.label, column.value(row)))
            };
            let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(holds(row))).collect();
            let kept = filter_record_batch(batch, &kept)?;
            if kept.num_rows() > 0 {
                picked.push(kept);
            }
        }
        Ok(picked)
    }

    /// What matchers that allow one value say in SQL; `None` when a column cannot have it.
    pub(super) fn exact(&self, wanted: &Wanted) -> Option<String> {
        let mut all = vec!["true".to_owned()];
        for KeyLabel { column, label } in self.families.keys() {
            let of_label = wanted.matchers.iter().filter(|matcher| matcher.label == *label);
            for value in of_label.filter_map(|matcher| matcher.only()) {
                let literal = match column.kind.as_str() {
                    // Only as we write it ourselves: `01` is no device.
                    "int64" => {
                        let number = value.parse::<i64>().ok()?;
                        (number.to_string() == value).then(|| value.to_owned())?
                    }
                    _ => format!("'{}'", value.replace('\'', "''")),
                };
                all.push(format!("{} = {literal}", quoted(&column.name)));
            }
        }
        Some(all.join(" AND "))
    }

    /// The labels of a sensor's series.
    fn named<'b>(&self, value: &Value, keys: impl Iterator<Item = &'b str>) -> Labels {
        let of_key = self.families.keys().iter().map(|key| key.label.clone());
        let mut labels: Labels = of_key.zip(keys.map(str::to_owned)).collect();
        if let Some((label, value)) = &value.label {
            labels.insert((*label).to_owned(), value.clone());
        }
        labels
    }
}

fn time(wanted: &Wanted) -> String {
    Range { from: Some(wanted.after_us), to: Some(wanted.to_us) }.condition()
}

/// One row per group of labels and step, with a column for each value.
fn statement(
    rows: &str,
    labels: &[(&str, String)],
    values: &[&Value],
    steps: &Steps,
    fold: Fold,
) -> String {
    let end = format!("CAST({} AS BIGINT)", names::WINDOW_END);
    let (start, step, width) = (steps.start_us, steps.step_us, steps.width_us);
    let number = format!("(({end} - ({start}) + {}) / {step})", step - 1);
    // A point of a function over less than the step leaves the rest of the step out.
    let within = format!("({start} + {number} * {step}) - {end} < {width}");
    let mut columns: Vec<String> = labels.iter().map(|(_, column)| column.clone()).collect();
    columns.push(number);
    let groups = columns.join(", ");
    let values = values.iter().enumerate().map(|(place, value)| {
        format!("CAST({} AS DOUBLE) AS tidegauge_v{place}", folded(&value.sql, fold))
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let limit = CELLS_MAX + 1;
    format!("SELECT {groups}, {values} FROM {rows} WHERE {within} GROUP BY {groups} LIMIT {limit}")
}

fn folded(sql: &str, fold: Fold) -> String {
    let number = format!("CAST({sql} AS DOUBLE)");
    match fold {
        Fold::Last => format!(
            "last_value({number} ORDER BY {}) FILTER (WHERE {sql} IS NOT NULL)",
            names::WINDOW_END
        ),
        Fold::Max => format!("max({number})"),
        Fold::Min => format!("min({number})"),
        Fold::Mean => format!("avg({number})"),
        Fold::Sum => format!("sum({number})"),
        Fold::Count => format!("count({number})"),
    }
}

/// Rows as series. A null is no point.
fn lines(
    batches: &[RecordBatch],
    labels: &[&str],
    values: &[&Value],
    steps: &Steps,
) -> Result<Vec<Line>> {
    let mut found: HashMap<(Vec<String>, usize), BTreeMap<i64, f64>> = HashMap::new();
    let mut cells = 0;
    for batch in batches {
        let keys = texts(&batch.columns()[..labels.len()])?;
        let step = cast(batch.column(labels.len()), &DataType::Int64)?;
        let step = step.as_primitive::<Int64Type>();
        let numbers = &batch.columns()[labels.len() + 1..];
        cells += batch.num_rows() * numbers.len();
        if cells > CELLS_MAX {
            return Err(TooMuch.into());
        }
        for (place, column) in numbers.iter().enumerate() {
            let Some(column) = column.as_primitive_opt::<Float64Type>() else {
                bail!("a value is no number but {}", column.data_type());
            };
            for row in (0..batch.num_rows()).filter(|row| column.is_valid(*row)) {
                let key: Vec<String> = keys.iter().map(|key| key.value(row).to_owned()).collect();
                let points = found.entry((key, place)).or_default();
                points.insert(steps.at(step.value(row)), column.value(row));
            }
        }
    }
    let line = |((keys, place), points): ((Vec<String>, usize), BTreeMap<i64, f64>)| {
        let of_key = labels.iter().map(|label| (*label).to_owned());
        let mut labels: Labels = of_key.zip(keys).collect();
        let of_value = values.get(place).and_then(|value| value.label.clone());
        labels.extend(of_value.map(|(label, value)| (label.to_owned(), value)));
        Line { labels, points: points.into_iter().collect() }
    };
    Ok(found.into_iter().map(line).collect())
}

/// Columns as texts.
pub(super) struct Text(ArrayRef);

impl Text {
    pub(super) fn value(&self, row: usize) -> &str {
        self.0.as_string::<i32>().value(row)
    }
}

pub(super) fn texts(columns: &[ArrayRef]) -> Result<Vec<Text>> {
    columns.iter().map(|column| Ok(Text(cast(column, &DataType::Utf8)?))).collect()
}

pub(super) async fn collect(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    let frame = context.sql(sql).await.with_context(|| format!("cannot plan {sql}"))?;
    frame.collect().await.context("the query failed")
}
