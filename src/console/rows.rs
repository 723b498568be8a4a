//! Rows of chosen files by SQL: DataFusion reads of each file only what a condition on keys and times leaves.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use futures::StreamExt;
use tidegauge_serve::console::{Answer, ConsoleError};
use tidegauge_sink::{FileRef, LakeError, Reader};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::origin::Origin;
use crate::tables;

/// Statements that run at a time.
const AT_WORK: usize = 2;
/// A statement that waits for so long for its turn is not run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a statement may take.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Files that are looked at to name the one that could not be read.
const SUSPECTS_MAX: usize = 500;

/// See the module's documentation.
pub struct Rows {
    runtime: Runtime,
    turns: Semaphore,
}

/// How much a statement may give.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub rows: usize,
    /// What to do about more.
    pub advice: &'static str,
}

impl Rows {
    /// # Errors
    /// When the system gives no threads.
    pub fn new() -> std::io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(AT_WORK).thread_name("console-rows").enable_all();
        Ok(Self { runtime: runtime.build()?, turns: Semaphore::new(AT_WORK) })
    }

    /// The rows of a statement over the table `predictions` made of these files.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] when a file cannot be read, [`ConsoleError::Invalid`] when there are more
    /// rows than the bound.
    pub fn select(
        &self,
        origin: &Origin,
        reader: &Reader,
        files: &[FileRef],
        sql: &str,
        bound: Bound,
    ) -> Answer<Vec<RecordBatch>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let turn = self.runtime.block_on(async { timeout(PATIENCE, self.turns.acquire()).await });
        let Ok(Ok(_turn)) = turn else {
            let what = "other questions are being answered; ask again";
            return Err(ConsoleError::Unavailable(what.into()));
        };
        let selected = self.runtime.block_on(async {
            timeout(TIME_MAX, select(origin, reader, files, sql, bound.rows)).await
        });
        let Ok(selected) = selected else {
            let what = format!("it took longer than {TIME_MAX:?}: {}", bound.advice);
            return Err(ConsoleError::Unavailable(what));
        };
        match selected {
            Ok(Some(batches)) => Ok(batches),
            Ok(None) => Err(ConsoleError::Invalid(format!(
                "there are more than {} rows: {}",
                bound.rows, bound.advice
            ))),
            Err(error) => Err(ConsoleError::Unavailable(culprit(reader, files, &error))),
        }
    }
}

/// The rows; `None` when there are more than `most`.
async fn select(
    origin: &Origin,
    reader: &Reader,
    files: &[FileRef],
    sql: &str,
    most: usize,
) -> Result<Option<Vec<RecordBatch>>> {
    let context = tables::of_files(&origin.url, &origin.storage, reader, files).await?;
    let frame = context.sql(sql).await.with_context(|| anyhow!("our statement is wrong: {sql}"))?;
    let mut stream = frame.execute_stream().await?;
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows();
        if rows > most {
            return Ok(None);
        }
        batches.push(batch);
    }
    Ok(Some(batches))
}

/// What went wrong, with the file where that can be found out: the engine does not say it.
fn culprit(reader: &Reader, files: &[FileRef], error: &anyhow::Error) -> String {
    for file in files.iter().take(SUSPECTS_MAX) {
        match reader.fetch(file) {
            Ok(_) => {}
            Err(damaged @ LakeError::Damaged { .. }) => {
                return format!("{damaged}; run tidegauge verify");
            }
            Err(other) => return format!("{}: {other}", file.path),
        }
    }
    format!("the rows cannot be read: {error:#}")
}
