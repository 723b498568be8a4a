//! Kafka: batches of messages for the lanes, end offsets, a producer, and an embedded broker.
//!
//! *Why a layer over rdkafka*: it delivers one message per call, and its rebalance callback runs in the
//! middle of a poll, where nobody may touch the lanes. Here a batch is one call, and a rebalance is
//! served between two batches, on the lane's own thread.
//!
//! **Guarantees**
//! - A partition is read from the offset that its owner names at assignment, never from the broker's
//!   committed offsets. Nothing below that offset is delivered; offsets may have gaps.
//! - Messages of a partition come in the order of their offsets, none twice as long as the partition is
//!   held, rebalances or not; a batch is gone before its partition is given away.
//! - Every queue here has a limit, every wait an end. Broker trouble is counted, not only logged.
//!
//! **Not here**: what is done with a message, and where positions are kept.

pub mod batch;
mod client;
pub mod consumer;
mod context;
mod describe;
pub mod ends;
mod error;
mod handed;
pub mod instance;
pub mod mock;
mod observer;
pub mod producer;
pub mod settings;
mod topic;
mod trouble;
mod watch;
mod whole;

pub use batch::{MessageBatch, Run};
pub use consumer::{Consumer, Release};
pub use ends::EndOffsets;
pub use error::KafkaError;
pub use instance::{Instance, InstanceError};
pub use mock::EmbeddedBroker;
pub use observer::{Observer, TopicOrigins};
pub use producer::{Compression, Outgoing, Producer, ProducerSettings};
pub use settings::{KafkaSettings, Start};
pub use topic::{Creation, create_topic};
pub use whole::WholeTopic;

pub use crate::source::{
    Batch, Begin, End, Ends, LaneOwner, Leave, Origins, OwnerError, Revoked, Source,
};
