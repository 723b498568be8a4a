//! The words that the stages share: sensors, readings, window rows, positions, and the two seams for tests.
//!
//! **Invariant:** no I/O, no clock, no randomness, no serde. Whatever needs one of these takes it from
//! its caller. A type is here only when it crosses a stage boundary.

pub mod failpoint;
pub mod key;
pub mod names;
pub mod position;
pub mod readings;
pub mod rows;
pub mod sensors;
pub mod store;
pub mod time;

pub use failpoint::{Failpoint, Interrupted, NoFailpoint, Place};
pub use key::{KeyColumn, KeyPart, KeySchema, KeyType, KeyValue, SensorKey};
pub use position::{Partition, Position, Span};
pub use readings::{Column, ReadingSchema, Readings};
pub use rows::WindowRows;
pub use sensors::{SensorId, Sensors};
pub use store::{Entry, Store, StoreError};
