//! A lake's tables for SQL: predictions, events, late, rejects, commits, models, trainings, labels, devices. Of
//! rows only what the ledger names.

mod devices;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::{SessionConfig, SessionContext};
use tidegauge_flow::{Partition, Span, names};
use tidegauge_ingest::Rejects;
use tidegauge_score::event_schema;
use tidegauge_sink::{
    FileRef, Generation, Kind, Lake, ObjectStore, Reader, Record, Storage, Table, View,
    is_object_url,
};

use crate::config::Device;
use crate::labels;
use crate::pipeline;

/// A session with those tables of the lake at `url` that a statement names. `models` is the registry to
/// show, `device` what makes devices of sensors.
///
/// # Errors
/// When there is no lake, its ledger can't be read, or `devices` is named and nothing says what they are.
pub async fn session(
    url: &str,
    storage: &Storage,
    models: &tidegauge_score::Registry,
    device: Option<&Device>,
    sql: &str,
) -> Result<SessionContext> {
    let store = pipeline::existing_store(url, storage)?;
    let reader = Lake::read(store.clone())?;
    let mut config = SessionConfig::new();
    config.options_mut().execution.time_zone = Some("UTC".into());
    let context = SessionContext::new_with_config(config);
    let tables = named(&context, sql);
    let named = |name: &str| tables.as_ref().is_none_or(|tables| tables.contains(name));
    let root = root(&context, url, storage)?;
    let view = reader.view()?;
    let is_needed =
        |table: &Table| named(table.as_str()) || (*table == Table::Predictions && named("devices"));
    for table in Table::ALL.into_iter().filter(is_needed) {
        register_files(&context, &reader, &view, &root, table).await?;
    }
    if named("commits") {
        context.register_batch("commits", commits(&reader, &view)?)?;
    }
    if named("models") {
        context.register_batch("models", crate::commands::models::table(models)?)?;
    }
    if named("trainings") {
        let trainings = crate::commands::models::report::table(models)?;
        context.register_batch("trainings", trainings)?;
    }
    if named("labels") {
        let labels = labels::table(store, reader.generation())?;
        context.register_batch("labels", labels)?;
    }
    match device {
        Some(device) if named("devices") => {
            devices::add(&context, device, reader.generation()).await?;
        }
        None if tables.is_some_and(|tables| tables.contains("devices")) => {
            anyhow::bail!(
                "the table devices needs -c FILE, with [models.device] by = [\"…\"] in it"
            );
        }
        _ => {}
    }
    Ok(context)
}

/// A session with the table `predictions` made of some files, of which only that is read which a condition on
/// keys and times leaves. Columns of the onset view are there in any lake.
///
/// # Errors
/// When a file is not there.
pub async fn of_files(
    url: &str,
    storage: &Storage,
    reader: &Reader,
    files: &[FileRef],
) -> Result<SessionContext> {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".into());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    let context = SessionContext::new_with_config(config);
    let root = root(&context, url, storage)?;
    let mut urls = Vec::with_capacity(files.len());
    for file in files {
        urls.push(ListingTableUrl::parse(format!("{root}/{}", reader.place(file)?))?);
    }
    let newest = urls.last().context("no file is asked for")?.clone();
    let options = || ListingOptions::new(Arc::new(ParquetFormat::default()));
    // The columns of all files are in the generation: looking at each would read all their footers.
    let one = ListingTableConfig::new(newest).with_listing_options(options());
    let one = one.infer_schema(&context.state()).await?;
    let schema = one.file_schema.context("a file without columns")?;
    let beside = [(names::NOVELTY, DataType::Float64), (names::ALARM, DataType::Boolean)];
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    for (name, kind) in beside {
        if schema.field_with_name(name).is_err() {
            fields.push(Arc::new(Field::new(name, kind, true)));
        }
    }
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options());
    let config = config.with_schema(Arc::new(Schema::new(fields)));
    context
        .register_table(Table::Predictions.as_str(), Arc::new(ListingTable::try_new(config)?))?;
    Ok(context)
}

/// What the paths of a lake follow in DataFusion's eyes; a bucket is made known to it.
fn root(context: &SessionContext, url: &str, storage: &Storage) -> Result<String> {
    if is_object_url(url) {
        let access = ObjectStore::file_access(url, storage)?;
        let bucket = ObjectStoreUrl::parse(&access.root)?;
        context.register_object_store(bucket.as_ref(), access.client);
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let path = std::path::absolute(pipeline::local_path(url))?;
    Ok(path.to_string_lossy().trim_end_matches('/').to_owned())
}

/// Which tables a statement names. One that cannot be taken apart (`None`) may name any: planning tells what is
/// wrong with it.
fn named(context: &SessionContext, sql: &str) -> Option<BTreeSet<String>> {
    let state = context.state();
    let statement = state.sql_to_statement(sql, &datafusion::config::Dialect::Generic);
    let tables = statement.and_then(|statement| state.resolve_table_references(&statement)).ok()?;
    Some(tables.iter().map(|table| table.table().to_owned()).collect())
}

/// Makes the named files a table of rows, and looks into none of them: their columns are the generation's, and
/// of predictions those of views that a pipeline may have gained later.
///
/// # Errors
/// When a file is in none of its places.
pub fn register_named<'a>(
    context: &SessionContext,
    (url, storage): (&str, &Storage),
    reader: &Reader,
    table: Table,
    files: impl Iterator<Item = &'a FileRef>,
) -> Result<()> {
    let root = root(context, url, storage)?;
    let columns = empty_schema(reader.generation(), table);
    let schema = if table == Table::Predictions { with_views(&columns) } else { columns };
    let mut urls = Vec::new();
    for file in files {
        let path = reader.place(file)?;
        urls.push(ListingTableUrl::parse(format!("{root}/{path}"))?);
    }
    let rows: Arc<dyn TableProvider> = if urls.is_empty() {
        Arc::new(MemTable::try_new(schema, vec![vec![]])?)
    } else {
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
        let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
        Arc::new(ListingTable::try_new(config.with_schema(schema))?)
    };
    context.register_table(table.as_str(), rows)?;
    Ok(())
}

/// The columns of views that a file may lack.
fn with_views(schema: &Schema) -> SchemaRef {
    let of_views = [
        (names::NOVELTY, DataType::Float64),
        (names::ALARM, DataType::Boolean),
        (names::CHALLENGER_SCORE, DataType::Float64),
        (names::CHALLENGER_IS_ANOMALY, DataType::Boolean),
    ];
    let missing = of_views.into_iter().filter(|(name, _)| schema.field_with_name(name).is_err());
    let missing = missing.map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
    let fields = schema.fields().iter().cloned().chain(missing);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

async fn register_files(
    context: &SessionContext,
    reader: &Reader,
    view: &View,
    root: &str,
    table: Table,
) -> Result<()> {
    let mut urls = Vec::new();
    for file in view.files().filter(|file| file.table == table) {
        let path = reader.place(file)?;
        let absolute = format!("{root}/{path}");
        urls.push(ListingTableUrl::parse(absolute)?);
    }
    if urls.is_empty() {
        let schema = empty_schema(reader.generation(), table);
        context
            .register_table(table.as_str(), Arc::new(MemTable::try_new(schema, vec![vec![]])?))?;
        return Ok(());
    }
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    let config = config.infer_schema(&context.state()).await?;
    context.register_table(table.as_str(), Arc::new(ListingTable::try_new(config)?))?;
    Ok(())
}

/// The columns of a table that has no file yet, so that a query over it is no error.
fn empty_schema(generation: &Generation, table: Table) -> SchemaRef {
    let field = |name: &str, kind: &str| Field::new(name, data_type(kind), true);
    match table {
        Table::Predictions => {
            let columns = generation.columns.iter().map(|c| field(&c.name, &c.kind));
            Arc::new(Schema::new(columns.collect::<Vec<_>>()))
        }
        Table::Rejects => Rejects::schema(),
        Table::Events => event_schema(&generation.key_schema()),
        Table::Late => {
            let mut fields: Vec<Field> =
                generation.key.iter().map(|c| field(&c.name, &c.kind)).collect();
            let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
            fields.push(Field::new(&generation.time, time, true));
            fields.extend(generation.values.iter().map(|value| field(value, "float64")));
            fields.push(field("input", "string"));
            fields.push(Field::new("partition", DataType::Int32, true));
            fields.push(field("offset", "int64"));
            fields.push(field("reason", "string"));
            Arc::new(Schema::new(fields))
        }
    }
}

fn data_type(kind: &str) -> DataType {
    match kind {
        "int64" => DataType::Int64,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "bool" => DataType::Boolean,
        "string" => DataType::Utf8,
        "timestamp_us" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Float64,
    }
}

/// One row per record that is kept, and one per lane for those that only a summary holds any more.
fn commits(reader: &Reader, view: &View) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for lane in view.lanes.keys() {
        let kept = reader.records(lane)?;
        let summary = view.summary.as_ref().and_then(|summary| summary.lanes.get(lane));
        let gone = summary.and_then(|summary| summary.before(lane, &kept));
        rows.extend(gone.map(|record| (record, "summary")));
        rows.extend(kept.into_iter().map(|record| {
            let kind = if record.kind == Kind::Open { "open" } else { "epoch" };
            (record, kind)
        }));
    }
    commit_batch(&rows)
}

/// The partitions that the record moved, as `topic[0] 100..250`.
pub fn consumed(record: &Record) -> String {
    let moved = record.positions.iter().filter(|(_, span)| span.to > span.from);
    let text =
        |(partition, span): (&Partition, &Span)| format!("{partition} {}..{}", span.from, span.to);
    moved.map(text).collect::<Vec<_>>().join(" ")
}

/// From and to of a lane of one partition; a lane of several has no such pair.
fn only_span(record: &Record) -> Option<Span> {
    let mut spans = record.positions.values();
    spans.next().filter(|_| spans.next().is_none()).copied()
}

fn commit_batch(rows: &[(Record, &str)]) -> Result<RecordBatch> {
    let text = |f: &dyn Fn(&Record) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(record, _)| f(record))))
    };
    let count = |f: &dyn Fn(&Record) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|(record, _)| Some(f(record))).collect::<UInt64Array>())
    };
    let number = |f: &dyn Fn(&Record) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(|(record, _)| f(record)).collect::<Int64Array>())
    };
    let time = |f: &dyn Fn(&Record) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|(record, _)| f(record)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("lane", text(&|r| r.lane.clone())),
        ("epoch", count(&|r| r.epoch)),
        ("kind", Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, kind)| *kind)))),
        ("writer", text(&|r| r.writer.to_string())),
        ("committed_at", time(&|r| Some(r.committed_at_us))),
        ("watermark", time(&|r| r.watermark_ns.map(|ns| ns.div_euclid(1000)))),
        ("consumed", text(&consumed)),
        ("from", number(&|r| only_span(r).map(|s| s.from))),
        ("to", number(&|r| only_span(r).map(|s| s.to))),
        ("messages", count(&|r| r.counters.messages)),
        ("rejected", count(&|r| r.counters.rejected)),
        ("aggregated", count(&|r| r.counters.aggregated)),
        ("late", count(&|r| r.counters.late)),
        ("filtered", count(&|r| r.counters.filtered)),
        ("duplicate", count(&|r| r.counters.duplicate)),
        ("superseded", count(&|r| r.counters.superseded)),
        ("rows", count(&|r| r.counters.rows)),
        ("events", count(&|r| r.counters.events)),
        ("open", count(&|r| r.counters.open)),
        ("files", count(&|r| r.files.len() as u64)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table commits")
}
