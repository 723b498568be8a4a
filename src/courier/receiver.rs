//! Who takes messages: a topic or a URL.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use tidegauge_ingest::kafka::{Compression, Outgoing, Producer, ProducerSettings};

use super::message::Message;
use super::webhook::Post;
use crate::config::{Receiver as Settings, Topic};

/// Messages that a topic gets before the cursor moves.
const BATCH_MAX: usize = 500;
/// How long a batch may take to be acknowledged. The producer itself gives a message up after a minute.
const FLUSH_MAX: Duration = Duration::from_secs(70);
/// What waits in the producer.
const QUEUE_KIB: u32 = 4096;

/// What became of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They are acknowledged, all of them.
    Taken,
    /// They may be taken later.
    Later { after: Option<Duration>, why: String },
    /// They never will be.
    Refused { why: String },
}

/// Who takes messages.
pub enum Receiver {
    Topic { settings: Topic, producer: Option<Producer> },
    Post(Box<Post>),
}

impl Receiver {
    /// Does not connect yet.
    ///
    /// # Errors
    /// When a secret can't be read, or a setting can't be used.
    pub fn new(settings: &Settings) -> Result<Self> {
        match settings {
            Settings::Webhook(webhook) => Ok(Self::Post(Box::new(Post::new(webhook)?))),
            Settings::Kafka(topic) => {
                let producer = Some(producer(topic)?);
                Ok(Self::Topic { settings: topic.clone(), producer })
            }
        }
    }

    /// How many messages are sent at once.
    pub fn batch_max(&self) -> usize {
        match self {
            Self::Topic { .. } => BATCH_MAX,
            Self::Post(_) => 1,
        }
    }

    /// Sends messages, at most [`Receiver::batch_max`], and waits until they are acknowledged.
    pub fn send(&mut self, messages: &[Message], now: SystemTime) -> Answer {
        match self {
            Self::Post(post) => {
                for message in messages {
                    match post.send(message, now) {
                        Answer::Taken => {}
                        other => return other,
                    }
                }
                Answer::Taken
            }
            Self::Topic { settings, producer } => match publish(settings, producer, messages) {
                Ok(()) => Answer::Taken,
                Err(error) => {
                    // It remembers what it has lost.
                    *producer = None;
                    Answer::Later { after: None, why: format!("{error:#}") }
                }
            },
        }
    }
}

fn publish(settings: &Topic, producer: &mut Option<Producer>, messages: &[Message]) -> Result<()> {
    let producer = match producer {
        Some(producer) => producer,
        None => producer.insert(self::producer(settings)?),
    };
    for Message { event, body, .. } in messages {
        let (key, payload) = (Some(event.as_bytes()), Some(body.as_bytes()));
        producer.send(Outgoing { key, payload, ..Outgoing::default() })?;
    }
    producer.flush(FLUSH_MAX)?;
    Ok(())
}

fn producer(topic: &Topic) -> Result<Producer> {
    Ok(Producer::start(&ProducerSettings {
        brokers: topic.brokers.clone(),
        topic: topic.topic.clone(),
        compression: Compression::None,
        queue_kib: QUEUE_KIB,
        extra: topic.kafka.clone(),
    })?)
}
