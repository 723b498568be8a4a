//! A lake of a test: made with models, read back row by row, proven.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use tempfile::TempDir;
use tidegauge::pipeline::registry_of;
use tidegauge_flow::{KeyValue, SensorKey, Store};
use tidegauge_score::{ModelEntry, ModelParams, SvmParams, SvmParts};
use tidegauge_sink::{Lake, LocalStore, Table, parquet};

use crate::input;
use crate::life::{Orders, live};

/// A folder with a lake that has models and nothing else.
pub fn fresh() -> TempDir {
    with_sets(1)
}

/// The same with so many sets, of which the first is the champion.
pub fn with_sets(sets: u64) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = registry_of(store(folder.path()));
    let key = input::config().event.key.clone();
    for expected in 1..=sets {
        // Two of four sensors: the others have no model, and say so.
        let entries = (1..=2).map(model).collect();
        let version = registry.publish(&key, entries, None, "test", 1).expect("publishes");
        assert_eq!(version, expected, "sets are numbered");
    }
    registry.move_alias("champion", 1, 1).expect("moves");
    folder
}

fn model(id: i64) -> ModelEntry {
    let svm = SvmParams::new(SvmParts {
        mean: vec![20.0],
        scale: vec![10.0 * id as f64],
        vectors: vec![0.0],
        alpha: vec![1.0],
        gamma: 0.1,
        rho: 0.5,
        ..SvmParts::default()
    });
    ModelEntry {
        key: SensorKey([KeyValue::Int(id)].into()),
        features: vec!["s".into()],
        model: ModelParams::OneClassSvm(svm.expect("a valid model")),
        threshold: -0.3,
        calibration: None,
        training: None,
        source: "made for a test".into(),
    }
}

/// The store of a lake in a folder.
pub fn store(folder: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::create(folder).expect("a folder"))
}

/// The lake must be proven, hold exactly the rows of an undisturbed life, and nothing half done.
pub fn assert_whole(folder: &Path, context: &str) {
    let store = store(folder);
    let report = tidegauge_sink::verify(&*store, &|_, _| {}).expect("the lake can be read");
    assert_eq!(report.problems, [], "{context}");
    assert_eq!(report.notes, [], "{context}: all is published");
    assert!(store.list("_tidegauge/staging/").expect("lists").is_empty(), "{context}: staging");
    assert!(store.list("_tidegauge/state/").expect("lists").len() <= 2, "{context}: checkpoints");
    assert_same(&rows(folder), undisturbed(), context);
}

/// The first rows that only one of the two has, so that a failure can be read.
pub fn assert_same(found: &[Vec<String>; 4], expected: &[Vec<String>; 4], context: &str) {
    for ((table, found), expected) in Table::ALL.iter().zip(found).zip(expected) {
        let odd = found.iter().zip(expected).find(|(a, b)| a != b);
        assert!(
            odd.is_none() && found.len() == expected.len(),
            "{context}: {} has {} rows instead of {}; the first that differs: {odd:#?}",
            table.as_str(),
            found.len(),
            expected.len()
        );
    }
}

/// What a life without trouble leaves behind.
pub fn undisturbed() -> &'static [Vec<String>; 4] {
    static ROWS: OnceLock<[Vec<String>; 4]> = OnceLock::new();
    ROWS.get_or_init(|| {
        let folder = fresh();
        live(&Orders::calm(folder.path(), input::COUNT)).expect("nothing disturbs it");
        let rows = rows(folder.path());
        assert!(rows.iter().all(|table| table.len() > 8), "each table has rows to lose");
        rows
    })
}

/// All rows of the tables that the ledger names, as sorted text. The epoch is left out: that is
/// how the same rows were cut.
pub fn rows(folder: &Path) -> [Vec<String>; 4] {
    let reader = Lake::read(store(folder)).expect("a lake");
    Table::ALL.map(|table| {
        let mut rows = Vec::new();
        for file in reader.files(table).expect("the ledger can be read") {
            let bytes = reader.fetch(&file).expect("the file is whole");
            for batch in parquet::read(bytes).expect("a parquet file") {
                let schema = batch.schema();
                let shown = |name: &str| name != "epoch";
                let columns: Vec<usize> =
                    (0..schema.fields().len()).filter(|i| shown(schema.field(*i).name())).collect();
                let batch = batch.project(&columns).expect("the columns are there");
                let options = FormatOptions::default().with_null("null");
                let format = |c| ArrayFormatter::try_new(c, &options).expect("has a text form");
                let columns: Vec<_> = batch.columns().iter().map(|c| format(c.as_ref())).collect();
                rows.extend((0..batch.num_rows()).map(|row| {
                    let cells = columns.iter().map(|c| c.value(row).to_string());
                    cells.collect::<Vec<_>>().join(" | ")
                }));
            }
        }
        rows.sort();
        rows
    })
}

/// Files below a folder of the lake, temporary names included, as a listing of the disk shows them.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
