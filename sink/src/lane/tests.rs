//! Lanes over a store that fails.

mod fencing;
mod leftovers;
mod refusals;
mod walk;
