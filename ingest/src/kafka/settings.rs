//! The settings of one Kafka source, and the librdkafka configurations made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::error::KafkaError;

#[cfg(test)]
mod tests;

/// Where a lane without a ledger begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest message that the broker keeps.
    Earliest,
    /// What arrives from now on.
    Latest,
    /// The first message that arrived at or after this time, nanoseconds since the epoch.
    Time(i64),
}

/// One source. `Debug` shows the names in `extra` but never a value.
#[derive(Clone)]
pub struct KafkaSettings {
    /// Bootstrap addresses, separated by commas.
    pub brokers: String,
    /// The topic with the readings.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// What `group.instance.id` begins with; the thread's number follows. See [`super::Instance`].
    pub instance: String,
    /// Where a lane without a ledger begins.
    pub start: Start,
    /// Settings of librdkafka, passed as they are. They win over ours.
    pub extra: BTreeMap<String, String>,
    /// How long to wait for a first answer at start.
    pub connect_timeout: Duration,
}

/// The default of [`KafkaSettings::connect_timeout`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a correct commit rests on; nobody may set it otherwise.
const OWNED: [(&str, &str); 12] = [
    ("bootstrap.servers", "set [source] brokers instead"),
    ("metadata.broker.list", "set [source] brokers instead"),
    ("group.id", "set [source] group instead"),
    ("group.instance.id", "set [source] instance instead"),
    ("auto.offset.reset", "set [source] start instead"),
    ("enable.auto.commit", "positions are kept in the lake's ledger"),
    ("auto.commit.enable", "positions are kept in the lake's ledger"),
    ("enable.auto.offset.store", "positions are kept in the lake's ledger"),
    ("offset.store.method", "positions are kept in the lake's ledger"),
    ("enable.partition.eof", "end marks and batches together lose messages"),
    ("log.queue", "logs are taken by tidegauge itself"),
    ("test.mock.num.brokers", "only the demo brings its own broker"),
];

/// Ours for every client. A connection that a cloud's load balancer would cut is kept open or closed
/// by us first (180 s; source: Azure Event Hubs' recommended configurations for Kafka clients).
const COMMON: [(&str, &str); 4] = [
    ("client.id", "tidegauge"),
    ("socket.keepalive.enable", "true"),
    ("metadata.max.age.ms", "180000"),
    ("connections.max.idle.ms", "180000"),
];

/// Ours for a member of the group. The queue is one for all partitions of the thread: at most 64 MiB
/// of messages, and so few of them that librdkafka's own 300 bytes for each stay in the same order.
/// Its default back-off of a second would leave the consumer idle most of the time. No ends of
/// partitions: librdkafka 2.12 takes such an entry of a batch for a message, stands one too far, and
/// skips a message when the partition goes on after a pause or a cooperative rebalance. A topic that
/// grows is noticed within half a minute: librdkafka's default is five.
const MEMBER: [(&str, &str); 11] = [
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "false"),
    ("allow.auto.create.topics", "false"),
    ("isolation.level", "read_committed"),
    ("fetch.queue.backoff.ms", "1"),
    ("queued.min.messages", "40000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.message.max.bytes", "2097152"),
];

/// Ours for the classic group protocol; the newer one takes these from the broker.
/// A member learns of a rebalance by its heartbeat: with the default of 3 s a second thread would wait
/// that long for its share.
const CLASSIC: [(&str, &str); 3] = [
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "500"),
    ("partition.assignment.strategy", "range"),
];

/// Kafka's limit for `group.instance.id`.
const INSTANCE_MAX: usize = 249;

impl KafkaSettings {
    /// # Errors
    /// [`KafkaError::Setting`] names the first setting that can't be used.
    pub fn check(&self) -> Result<(), KafkaError> {
        let required = [("brokers", &self.brokers), ("topic", &self.topic), ("group", &self.group)];
        for (key, value) in required {
            if value.trim().is_empty() {
                return Err(setting(key, "is empty; it must have a value"));
            }
        }
        if !is_instance_name(&self.instance) {
            let problem = format!(
                "{:?} must be 1 to 240 letters, digits, dots, dashes or underscores",
                self.instance
            );
            return Err(setting("instance", &problem));
        }
        check_extra(&self.extra, &OWNED)
    }

    /// The configuration of the group's member on one thread.
    pub(crate) fn member(&self, thread: usize) -> Result<ClientConfig, KafkaError> {
        self.check()?;
        let mut config = self.common();
        set_all(&mut config, &MEMBER);
        if !self.has_newer_protocol() {
            set_all(&mut config, &CLASSIC);
        }
        config.set("group.id", &self.group);
        config.set("group.instance.id", format!("{}-{thread}", self.instance));
        self.add_extra(&mut config);
        Ok(config)
    }

    /// The configuration of a client that reads partitions of its own choice. librdkafka wants the name of
    /// a group for that; nobody ever joins it.
    pub(crate) fn reader(&self) -> Result<ClientConfig, KafkaError> {
        self.check()?;
        let mut config = self.common();
        set_all(&mut config, &MEMBER);
        config.set("group.id", format!("{}.reader", self.group));
        self.add_extra(&mut config);
        for setting in ["group.protocol", "group.remote.assignor", "partition.assignment.strategy"]
        {
            config.remove(setting);
        }
        Ok(config)
    }

    /// Whether the brokers assign partitions (KIP-848), and not the members among themselves.
    pub(crate) fn has_newer_protocol(&self) -> bool {
        self.extra.get("group.protocol").is_some_and(|protocol| protocol == "consumer")
    }

    /// The configuration of a client that looks at the topic without a group.
    pub(crate) fn observer(&self) -> Result<ClientConfig, KafkaError> {
        self.check()?;
        let mut config = self.common();
        set_all(&mut config, &[("isolation.level", "read_committed")]);
        set_all(&mut config, &[("allow.auto.create.topics", "false")]);
        self.add_extra(&mut config);
        // Without a group, the group's settings are only a source of warnings.
        config.remove("group.protocol");
        Ok(config)
    }

    /// The same, for one that looks behind open transactions.
    pub(crate) fn observer_of_all(&self) -> Result<ClientConfig, KafkaError> {
        let mut config = self.observer()?;
        config.set("isolation.level", "read_uncommitted");
        Ok(config)
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        set_all(&mut config, &COMMON);
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn add_extra(&self, config: &mut ClientConfig) {
        for (key, value) in &self.extra {
            config.set(key, value);
        }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("group", &self.group)
            .field("instance", &self.instance)
            .field("start", &self.start)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// Ours for any client, for the producer and the administration.
pub(crate) fn client(brokers: &str, extra: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    set_all(&mut config, &COMMON);
    config.set("bootstrap.servers", brokers);
    for (key, value) in extra {
        config.set(key, value);
    }
    config
}

/// Refuses settings that belong to us.
pub(crate) fn check_extra(
    extra: &BTreeMap<String, String>,
    owned: &[(&str, &str)],
) -> Result<(), KafkaError> {
    match owned.iter().find(|(key, _)| extra.contains_key(*key)) {
        Some((key, instead)) => Err(setting(key, &format!("can't be set here: {instead}"))),
        None => Ok(()),
    }
}

/// Whether a text may begin a `group.instance.id` (Kafka's rule for it, with room for the thread).
pub(crate) fn is_instance_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= INSTANCE_MAX - 9 && name.chars().all(legal)
}

fn set_all(config: &mut ClientConfig, settings: &[(&str, &str)]) {
    for (key, value) in settings {
        config.set(*key, *value);
    }
}

fn setting(key: &str, problem: &str) -> KafkaError {
    KafkaError::Setting { key: key.to_owned(), problem: problem.to_owned() }
}
