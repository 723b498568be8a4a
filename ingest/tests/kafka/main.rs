//! Tests against a real Kafka: `TIDEGAUGE_TEST_KAFKA` names it (`deploy/kafka/kafka start` runs one),
//! `TIDEGAUGE_TEST_KAFKA_CA` the CA of its SASL_SSL listener two ports above. Without the first they are
//! skipped, and say so; in CI that is a failure.

mod errors;
mod group;
mod harness;
mod reading;
mod security;
mod storm;
