//! Questions to the console, on threads that may wait.
//!
//! *Why bounded twice*: questions read the lake and take memory, so few run at a time; those that wait
//! for their turn are few too, and the next is told to come again.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::refusal::{Refusal, Refused};
use crate::console::{Answer, Console};
use crate::series::{Reply, Series};

/// Questions at work. Each of them may scan a part of the lake.
pub(super) const AT_WORK_MAX: usize = 4;
/// Questions that wait for their turn.
const WAITING_MAX: usize = 64;

/// The console, if there is one, and its places.
pub(super) struct Pool {
    console: Option<Arc<dyn Console>>,
    series: Option<Arc<dyn Series>>,
    /// Of those at work and those that wait.
    places: Semaphore,
    at_work: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(console: Option<Arc<dyn Console>>, series: Option<Arc<dyn Series>>) -> Self {
        Self {
            console,
            series,
            places: Semaphore::new(AT_WORK_MAX + WAITING_MAX),
            at_work: Arc::new(Semaphore::new(AT_WORK_MAX)),
        }
    }

    /// Asks, when it is its turn.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Console) -> Answer<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Some(console) = self.console.clone() else { return Err(no_lake()) };
        self.in_turn(move || question(&*console)).await?.map_err(Refusal::from)
    }

    /// Asks for series, when it is its turn.
    pub(super) async fn ask_series(
        &self,
        question: impl FnOnce(&dyn Series) -> Reply + Send + 'static,
    ) -> Result<Reply, Refusal> {
        let Some(series) = self.series.clone() else { return Err(no_lake()) };
        self.in_turn(move || question(&*series)).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(_place) = self.places.try_acquire() else {
            let error = "too many questions wait for an answer: ask again later";
            return Err(Refusal::later(error).because(Refused::Busy));
        };
        let turn = Arc::clone(&self.at_work).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let answer = tokio::task::spawn_blocking(move || {
            // Held until the question has ended, also when nobody waits for the answer any more.
            let _turn = turn;
            question()
        });
        answer.await.map_err(|error| {
            tracing::error!(%error, "a question to the console ended in a panic");
            let error = "the question failed: the log of the process says why";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error)
        })
    }
}

fn no_lake() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "this process has no lake to answer from")
}
