//! Questions to the console, on threads that may wait.
//!
//! *Why bounded twice*: questions read the lake and take memory, so few run at a time; those that wait
//! for their turn are few too, and the next is told to come again.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::refusal::{Refusal, Refused};
use crate::console::{Answer, Console};

/// Questions at work. Each of them may scan a part of the lake.
pub(super) const AT_WORK_MAX: usize = 4;
/// Questions that wait for their turn.
const WAITING_MAX: usize = 64;

/// The console, if there is one, and its places.
pub(super) struct Pool {
    console: Option<Arc<dyn Console>>,
    /// Of those at work and those that wait.
    places: Semaphore,
    at_work: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(console: Option<Arc<dyn Console>>) -> Self {
        Self {
            console,
            places: Semaphore::new(AT_WORK_MAX + WAITING_MAX),
            at_work: Arc::new(Semaphore::new(AT_WORK_MAX)),
        }
    }

    /// Asks, when it is its turn.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Console) -> Answer<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Some(console) = self.console.clone() else {
            let error = "this process has no lake to answer from";
            return Err(Refusal::new(StatusCode::NOT_FOUND, error));
        };
        let Ok(_place) = self.places.try_acquire() else {
            let error = "too many questions wait for an answer: ask again later";
            return Err(Refusal::later(error).because(Refused::Busy));
        };
        let turn = Arc::clone(&self.at_work).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let answer = tokio::task::spawn_blocking(move || {
            // Held until the question has ended, also when nobody waits for the answer any more.
            let _turn = turn;
            question(&*console)
        });
        match answer.await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(error) => {
                tracing::error!(%error, "a question to the console ended in a panic");
                let error = "the question failed: the log of the process says why";
                Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error))
            }
        }
    }
}
