//! Lanes over a store that fails.

mod fencing;
mod jumps;
mod leftovers;
mod refusals;
mod walk;
