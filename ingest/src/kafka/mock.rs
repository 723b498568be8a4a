//! A broker inside the process, for the demo and for tests: librdkafka's own mock.
//!
//! It speaks groups, compression and idempotence over loopback, and keeps the last 5 MiB of each partition in
//! memory: whoever writes must not run further ahead of the reader. It has no transactions (it shows
//! aborted messages) and forgets everything at its end.

use rdkafka::ClientConfig;
use rdkafka::producer::{DefaultProducerContext, Producer as _, ThreadedProducer};

use super::batch::hasten_groups;
use super::error::KafkaError;

#[cfg(test)]
mod tests;

/// A broker that lives as long as this value.
pub struct EmbeddedBroker {
    /// The mock belongs to a client of its own.
    #[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))]
    client: ThreadedProducer<DefaultProducerContext>,
    bootstrap: String,
}

impl EmbeddedBroker {
    /// Starts it with one topic.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] for a topic that can't be, [`KafkaError::Transient`] when the machine gives
    /// no port or thread.
    pub fn start(topic: &str, partitions: u16) -> Result<Self, KafkaError> {
        let failed = |e: rdkafka::error::KafkaError| KafkaError::transient("start a broker", e);
        let client: ThreadedProducer<DefaultProducerContext> =
            ClientConfig::new().set("test.mock.num.brokers", "1").create().map_err(failed)?;
        hasten_groups(client.client());
        let no_mock = || KafkaError::transient("start a broker", "librdkafka has no mock in it");
        let mock = client.client().mock_cluster().ok_or_else(no_mock)?;
        let refused = |e: rdkafka::error::KafkaError| KafkaError::Setting {
            key: "topic".into(),
            problem: format!("{topic:?} with {partitions} partitions: {e}"),
        };
        mock.create_topic(topic, i32::from(partitions), 1).map_err(refused)?;
        let bootstrap = mock.bootstrap_servers();
        drop(mock);
        Ok(Self { client, bootstrap })
    }

    /// The address that clients connect to.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}
