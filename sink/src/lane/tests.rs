//! Lanes over a store that fails.

mod everywhere;
mod fencing;
mod jumps;
mod leftovers;
mod refusals;
mod walk;
