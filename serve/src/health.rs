//! What the probes answer: whether the process lives, and whether it is ready for work.
//!
//! *Why two*: an orchestrator restarts what is not live and only stops sending to what is not
//! ready. A broker that is away makes us not ready; restarting would not bring it back.

use std::sync::{Mutex, PoisonError};

/// The process's state, shared between those who know it and the HTTP server.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dead: Option<String>,
    not_ready: Option<String>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Live, and not ready because it is starting.
    pub fn new() -> Self {
        let not_ready = Some("starting".to_owned());
        Self { state: Mutex::new(State { dead: None, not_ready }) }
    }

    /// The lanes have their input and the lake answers.
    pub fn ready(&self) {
        self.with(|state| state.not_ready = None);
    }

    /// Not ready for now; `reason` is what the probe says, such as `no broker answers`.
    pub fn not_ready(&self, reason: &str) {
        self.with(|state| state.not_ready = Some(reason.to_owned()));
    }

    /// Beyond repair: only a restart helps. The first reason stays.
    pub fn dead(&self, reason: &str) {
        self.with(|state| {
            state.dead.get_or_insert_with(|| reason.to_owned());
        });
    }

    /// # Errors
    /// The reason why a restart is needed.
    pub fn liveness(&self) -> Result<(), String> {
        self.with(|state| state.dead.clone().map_or(Ok(()), Err))
    }

    /// # Errors
    /// The reason why not; a dead process is not ready either.
    pub fn readiness(&self) -> Result<(), String> {
        self.with(|state| {
            state.dead.clone().or_else(|| state.not_ready.clone()).map_or(Ok(()), Err)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
