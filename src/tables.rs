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
use tidegauge_flow::{Span, Store};
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
            fields.push(field(&generation.time, "timestamp_us"));
            fields.push(field("input", "string"));
            fields.push(field("offset", "int64"));
            Arc::new(Schema::new(fields))
        }
    }
}

fn data_type(kind: &str) -> DataType {
    match kind {
        "int64" => DataType::Int64,
        "uint64" => DataType::UInt64,
        "bool" => DataType::Boolean,
        "string" => DataType::Utf8,
        "timestamp_us" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Float64,
    }
}

/// A ledger record, and one of the partitions that it speaks of.
struct Commit {
    record: Arc<Record>,
    input: String,
    partition: i32,
    span: Span,
}

/// One row per ledger record and partition.
fn commits(reader: &Reader) -> Result<RecordBatch> {
    let mut rows: Vec<Commit> = Vec::new();
    for lane in reader.lanes()? {
        for record in reader.records(&lane)? {
            let record = Arc::new(record);
            rows.extend(record.positions.iter().map(|(partition, span)| Commit {
                record: record.clone(),
                input: partition.input.to_string(),
                partition: partition.number,
                span: *span,
            }));
            if record.positions.is_empty() {
                let span = Span { from: 0, to: 0 };
                rows.push(Commit { record, input: String::new(), partition: 0, span });
            }
        }
    }
    commit_batch(&rows)
}

fn commit_batch(rows: &[Commit]) -> Result<RecordBatch> {
    let text = |f: &dyn Fn(&Commit) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(f)))
    };
    let count = |f: &dyn Fn(&Record) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|r| Some(f(&r.record))).collect::<UInt64Array>())
    };
    let number = |f: &dyn Fn(&Commit) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|r| Some(f(r))).collect::<Int64Array>())
    };
    let time = |f: &dyn Fn(&Record) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|r| f(&r.record)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let kind = |kind| if kind == Kind::Open { "open" } else { "epoch" };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("lane", text(&|c| c.record.lane.clone())),
        ("epoch", count(&|r| r.epoch)),
        ("kind", text(&|c| kind(c.record.kind).to_string())),
        ("writer", text(&|c| c.record.writer.to_string())),
        ("committed_at", time(&|r| Some(r.committed_at_us))),
        ("watermark", time(&|r| r.watermark_ns.map(|ns| ns.div_euclid(1000)))),
        ("input", text(&|c| c.input.clone())),
        ("partition", number(&|c| i64::from(c.partition))),
        ("from", number(&|c| c.span.from)),
        ("to", number(&|c| c.span.to)),
        ("messages", count(&|r| r.counters.messages)),
        ("rejected", count(&|r| r.counters.rejected)),
        ("aggregated", count(&|r| r.counters.aggregated)),
        ("late", count(&|r| r.counters.late)),
        ("filtered", count(&|r| r.counters.filtered)),
        ("rows", count(&|r| r.counters.rows)),
        ("open", count(&|r| r.counters.open)),
        ("files", count(&|r| r.files.len() as u64)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table commits")
}
