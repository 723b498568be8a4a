//! A producer for simulated and replayed readings: keyed, idempotent, with back-pressure.
//!
//! **Guarantees**: a message that was taken is delivered once, or counted and reported as undelivered by
//! the next [`Producer::send`] or [`Producer::flush`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as NativeError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::error::KafkaError;
use super::settings::{check_extra, client};
use super::watch::Watch;

/// How long librdkafka tries to deliver a message, and how long a send waits for room.
const DELIVERY_MAX: Duration = Duration::from_secs(60);
/// How long a send waits before it looks again whether there is room.
const ROOM_POLL: Duration = Duration::from_millis(1);

const OWNED: [(&str, &str); 3] = [
    ("bootstrap.servers", "name the brokers instead"),
    ("metadata.broker.list", "name the brokers instead"),
    ("log.queue", "logs are taken by tidegauge itself"),
];

/// How batches of messages are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// The only packing that Azure Event Hubs takes.
    Gzip,
    /// Quick, and light.
    Snappy,
    /// Quicker still.
    Lz4,
    /// The smallest for its time.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The name that Kafka and our command line use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The compression of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.as_str() == name)
    }
}

/// Where a producer writes to, and how.
#[derive(Clone)]
pub struct ProducerSettings {
    /// Bootstrap addresses, separated by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// How batches are packed.
    pub compression: Compression,
    /// Most bytes waiting to be sent; a send waits at the limit.
    pub queue_kib: u32,
    /// Settings of librdkafka, passed as they are. They win over ours.
    pub extra: BTreeMap<String, String>,
}

/// One message to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// Messages of one key go to one partition, the one that Java clients choose; without a key, anywhere.
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The event's time in milliseconds since the epoch; `None` for now.
    pub timestamp_ms: Option<i64>,
    /// A partition that goes over the key.
    pub partition: Option<i32>,
}

/// Writes messages to one topic; a thread of its own takes the brokers' receipts.
pub struct Producer {
    client: ThreadedProducer<Receipts>,
    topic: String,
}

impl Producer {
    /// Does not wait for a connection: that is seen at the first flush.
    ///
    /// # Errors
    /// [`KafkaError::Setting`].
    pub fn start(settings: &ProducerSettings) -> Result<Self, KafkaError> {
        check_extra(&settings.extra, &OWNED)?;
        let mut config = client(&settings.brokers, &settings.extra);
        let ours = [
            ("compression.type", settings.compression.as_str().to_owned()),
            ("enable.idempotence", "true".to_owned()),
            ("partitioner", "murmur2_random".to_owned()),
            ("linger.ms", "20".to_owned()),
            ("message.timeout.ms", DELIVERY_MAX.as_millis().to_string()),
            ("queue.buffering.max.kbytes", settings.queue_kib.to_string()),
            ("queue.buffering.max.messages", "1000000".to_owned()),
        ];
        for (key, value) in ours {
            if !settings.extra.contains_key(key) {
                config.set(key, value);
            }
        }
        let client = config.create_with_context(Receipts::new()).map_err(KafkaError::creation)?;
        Ok(Self { client, topic: settings.topic.clone() })
    }

    /// Hands a message over; waits while the queue is full.
    ///
    /// # Errors
    /// [`KafkaError::Undelivered`] when an earlier message was lost; [`KafkaError::Transient`] when there
    /// was no room in time or this message is refused, as one that is too large.
    pub fn send(&self, message: Outgoing<'_>) -> Result<(), KafkaError> {
        self.receipts()?;
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic);
        record.key = message.key;
        record.payload = message.payload;
        record.timestamp = message.timestamp_ms;
        record.partition = message.partition;
        let begun = Instant::now();
        while let Err((error, returned)) = self.client.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || begun.elapsed() > DELIVERY_MAX {
                return Err(KafkaError::transient(format!("send to topic {}", self.topic), error));
            }
            record = returned;
            self.client.poll(ROOM_POLL);
        }
        Ok(())
    }

    /// Waits until all messages are delivered. Returns how many were, since the start.
    ///
    /// # Errors
    /// [`KafkaError::Undelivered`] when one was lost; [`KafkaError::Transient`] when time ran out.
    pub fn flush(&self, timeout: Duration) -> Result<u64, KafkaError> {
        let flushed = self.client.flush(timeout);
        let delivered = self.receipts()?;
        let waiting = self.client.in_flight_count();
        let seen = self.client.context().watch.last().unwrap_or_default();
        let failed = |e| {
            let action = format!("deliver {waiting} messages to topic {}", self.topic);
            KafkaError::transient(action, format!("{e}; {seen}"))
        };
        flushed.map(|()| delivered).map_err(failed)
    }

    /// How many messages were handed over and are not settled yet.
    pub fn waiting(&self) -> usize {
        usize::try_from(self.client.in_flight_count()).unwrap_or(0)
    }

    /// Errors since the last call, by librdkafka's name of the code.
    pub fn take_errors(&self) -> Vec<(String, u64)> {
        self.client.context().watch.take_counts()
    }

    fn receipts(&self) -> Result<u64, KafkaError> {
        let tally = lock(&self.client.context().tally);
        match &tally.first {
            Some(reason) => {
                Err(KafkaError::Undelivered { count: tally.lost, reason: reason.clone() })
            }
            None => Ok(tally.delivered),
        }
    }
}

struct Receipts {
    watch: Watch,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    delivered: u64,
    lost: u64,
    /// Why the first of the lost was lost.
    first: Option<String>,
}

impl Receipts {
    fn new() -> Self {
        Self { watch: Watch::of("producer"), tally: Mutex::default() }
    }
}

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: NativeError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut tally = lock(&self.tally);
        match result {
            Ok(_) => {
                tally.delivered += 1;
                self.watch.answered();
            }
            Err((error, _)) => {
                tally.lost += 1;
                tally.first.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Plain data stays whole when a holder panics.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
