//! What can go wrong with Kafka, by what the caller does about it.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use thiserror::Error;

/// Everything but [`KafkaError::Transient`] is final: the process reports it and ends.
#[derive(Debug, Error)]
pub enum KafkaError {
    /// A setting that can't be used. Values are not shown: they may be secret.
    #[error("kafka setting {key}: {problem}")]
    Setting {
        /// The setting's name, ours or librdkafka's.
        key: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No broker answered in time.
    #[error(
        "no kafka broker at {brokers} answered within {} s ({reason}); check [source] brokers and \
         the security settings", waited.as_secs_f64()
    )]
    Unreachable {
        /// The bootstrap addresses.
        brokers: String,
        /// How long was waited.
        waited: Duration,
        /// The last trouble that was seen.
        reason: String,
    },
    /// The broker refused the user, the password or the right to read.
    #[error(
        "kafka at {brokers} refused us: {reason}; check the sasl.* settings and the user's rights"
    )]
    Authentication {
        /// The bootstrap addresses.
        brokers: String,
        /// The broker's words.
        reason: String,
    },
    /// The topic is not there.
    #[error("topic {topic} does not exist at {brokers}; create it or correct [source] topic")]
    UnknownTopic {
        /// The topic asked for.
        topic: String,
        /// The bootstrap addresses.
        brokers: String,
    },
    /// The position is below what the broker keeps, or above what it ever had (a recreated topic).
    #[error(
        "{topic}[{partition}] has no offset {offset}: its messages were deleted, or the topic was \
         created anew ({reason})"
    )]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that was asked for.
        offset: i64,
        /// librdkafka's words.
        reason: String,
    },
    /// The client is unusable from now on, as when another process took our place in the group.
    #[error("kafka client ended: {reason} ({code})")]
    Fatal {
        /// The code's name.
        code: String,
        /// librdkafka's words.
        reason: String,
    },
    /// An operation failed that may succeed when it is repeated.
    #[error("cannot {action}: {reason}")]
    Transient {
        /// What was tried.
        action: String,
        /// Why it failed.
        reason: String,
    },
    /// Messages that the producer took were not delivered.
    #[error("{count} messages were not delivered; the first because of {reason}")]
    Undelivered {
        /// How many so far.
        count: u64,
        /// The first one's trouble.
        reason: String,
    },
    /// The owner of the lanes could not take or release them.
    #[error(transparent)]
    Owner(Box<dyn std::error::Error + Send + Sync>),
}

impl KafkaError {
    /// An operation that may be repeated has failed.
    pub(crate) fn transient(action: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self::Transient { action: action.into(), reason: error.to_string() }
    }

    /// A client that rdkafka would not create: mostly a setting's name or value.
    pub(crate) fn creation(error: rdkafka::error::KafkaError) -> Self {
        match error {
            rdkafka::error::KafkaError::ClientConfig(_, problem, key, value) => {
                let problem = problem.replace(value.as_str(), "…");
                Self::Setting { key, problem }
            }
            other => Self::Setting { key: "source.kafka".into(), problem: other.to_string() },
        }
    }
}

/// The code that says that the broker refused who we are or what we may do.
pub(crate) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

/// The code that says that the topic is not there.
pub(crate) fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::InvalidTopic)
}
