//! End to end: the real binary, real files and a real Kafka.
//!
//! Tests that need a broker find it by `TIDEGAUGE_TEST_KAFKA` (see README), those that need the
//! original sensors by `TIDEGAUGE_SEED_SENSORS`. Without them a test says that it is skipped; in CI it
//! fails instead.

// A skipped test has to say so.
#![allow(clippy::print_stdout)]

mod access;
mod alerts;
mod beside;
mod demo;
mod detection;
mod disk;
mod errors;
mod group;
mod harness;
mod metrics;
mod models;
mod recovery;
mod reference;
mod rejects;
mod reliability;
mod serve;
mod stores;
mod tidy;
mod time;
mod training;
mod upgrade;
mod watch;
mod worker;
