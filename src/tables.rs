//! A lake's tables for SQL: predictions, late, rejects, models, commits. Only what the ledger names.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use tidegauge_flow::{Partition, Span, Store};
use tidegauge_ingest::Rejects;
use tidegauge_sink::{Generation, Kind, Lake, Reader, Record, Table};

use crate::pipeline;

/// A session with all tables of the lake at `url`. `models` is the registry to show.
///
/// # Errors
/// When there is no lake, or its ledger can't be read.
pub async fn session(url: &str, models: &tidegauge_score::Registry) -> Result<SessionContext> {
    let store = pipeline::existing_store(url)?;
    let reader = Lake::read(store.clone())?;
    let mut config = SessionConfig::new();
    config.options_mut().execution.time_zone = Some("UTC".into());
    let context = SessionContext::new_with_config(config);
    for table in Table::ALL {
        register_files(&context, &reader, &*store, table).await?;
    }
    context.register_batch("commits", commits(&reader)?)?;
    context.register_batch("models", crate::commands::models::table(models)?)?;
    Ok(context)
}

async fn register_files(
    context: &SessionContext,
    reader: &Reader,
    store: &dyn Store,
    table: Table,
) -> Result<()> {
    let mut urls = Vec::new();
    for file in reader.files(table)? {
        let path = reader.place(&file)?;
        let absolute = std::path::absolute(pipeline::local_path(&store.url()))?.join(path);
        urls.push(ListingTableUrl::parse(absolute.to_string_lossy())?);
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
        Table::Late => {
            let mut fields: Vec<Field> =
                generation.key.iter().map(|c| field(&c.name, &c.kind)).collect();
            let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
            fields.push(Field::new(&generation.time, time, true));
            fields.extend(generation.values.iter().map(|value| field(value, "float64")));
            fields.push(field("input", "string"));
            fields.push(Field::new("partition", DataType::Int32, true));
            fields.push(field("offset", "int64"));
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

/// One row per ledger record.
fn commits(reader: &Reader) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for lane in reader.lanes()? {
        rows.extend(reader.records(&lane)?);
    }
    commit_batch(&rows)
}

/// The partitions that the record moved, as `topic[0] 100..250`.
fn consumed(record: &Record) -> String {
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

fn commit_batch(rows: &[Record]) -> Result<RecordBatch> {
    let text = |f: &dyn Fn(&Record) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(f)))
    };
    let count = |f: &dyn Fn(&Record) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|r| Some(f(r))).collect::<UInt64Array>())
    };
    let number = |f: &dyn Fn(&Record) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(f).collect::<Int64Array>())
    };
    let time = |f: &dyn Fn(&Record) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(f).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let kind = |kind| if kind == Kind::Open { "open" } else { "epoch" };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("lane", text(&|r| r.lane.clone())),
        ("epoch", count(&|r| r.epoch)),
        ("kind", text(&|r| kind(r.kind).to_string())),
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
        ("rows", count(&|r| r.counters.rows)),
        ("open", count(&|r| r.counters.open)),
        ("files", count(&|r| r.files.len() as u64)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table commits")
}
