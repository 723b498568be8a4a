//! Models as rows: what `models show` prints and SQL reads as the table `models`.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use tidegauge_flow::SensorKey;
use tidegauge_score::{ModelEntry, ModelParams, Registry};

/// A model, the set that holds it, and the aliases that lead to it.
pub(super) struct Row {
    pub entry: Arc<ModelEntry>,
    pub set: u64,
    pub aliases: String,
}

/// The table `models`: every model of every readable set.
pub fn table(registry: &Registry) -> Result<RecordBatch> {
    let mut reached: HashMap<(SensorKey, u64), Vec<String>> = HashMap::new();
    for alias in registry.aliases()? {
        // A set that can't be read is told by `models list`; it must not break every other query.
        let Ok(models) = registry.models(alias.version) else { continue };
        for (entry, set) in models.effective() {
            reached.entry((entry.key.clone(), set)).or_default().push(alias.name.clone());
        }
    }
    let mut rows = Vec::new();
    for set in registry.sets()?.into_iter().filter(|set| set.content.is_ok()) {
        let set = set.version;
        let Ok(loaded) = registry.load(set) else { continue };
        rows.extend(loaded.entries().map(|entry| {
            let aliases = reached.get(&(entry.key.clone(), set));
            Row {
                entry: entry.clone(),
                set,
                aliases: aliases.map_or_else(String::new, |a| a.join(" ")),
            }
        }));
    }
    batch(&rows)
}

fn vectors(model: &ModelParams) -> Option<u64> {
    match model {
        ModelParams::OneClassSvm(svm) => Some(svm.alpha().len() as u64),
        _ => None,
    }
}

/// The rows as a table.
pub(super) fn batch(rows: &[Row]) -> Result<RecordBatch> {
    let text = |f: &dyn Fn(&ModelEntry) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| f(&row.entry))))
    };
    let number = |f: &dyn Fn(&ModelEntry) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| f(&row.entry)).collect::<Float64Array>())
    };
    let count = |f: &dyn Fn(&ModelEntry) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| f(&row.entry)).collect::<UInt64Array>())
    };
    let time = |f: &dyn Fn(&ModelEntry) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|row| f(&row.entry)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let sets: UInt64Array = rows.iter().map(|row| Some(row.set)).collect();
    let aliases = StringArray::from_iter_values(rows.iter().map(|row| &row.aliases));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("model_set", Arc::new(sets)),
        ("sensor", text(&|m| m.key.to_string())),
        ("kind", text(&|m| m.model.kind().to_string())),
        ("features", text(&|m| m.features.join("; "))),
        ("threshold", number(&|m| Some(m.threshold))),
        ("vectors", count(&|m| vectors(&m.model))),
        ("trained_from", time(&|m| m.training.as_ref().map(|t| t.from_us))),
        ("trained_to", time(&|m| m.training.as_ref().map(|t| t.to_us))),
        ("rows", count(&|m| m.training.as_ref().map(|t| t.rows))),
        ("rows_used", count(&|m| m.training.as_ref().map(|t| t.rows_used))),
        ("false_alarm_rate", number(&|m| m.training.as_ref().and_then(|t| t.false_alarm_rate))),
        ("source", text(&|m| m.source.clone())),
        ("hash", text(&ModelEntry::hash)),
        ("aliases", Arc::new(aliases)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table models")
}
