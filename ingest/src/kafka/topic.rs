//! Creating a topic.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use super::error::{KafkaError, is_refusal};
use super::settings::client;
use super::watch::Watch;

/// How long the brokers may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a request for a topic has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is there now.
    Created,
    /// It was there before; its partitions may be others than asked for.
    Existed,
}

/// Creates a topic with the brokers' own replication, and waits until it is there.
///
/// # Errors
/// [`KafkaError::Setting`], [`KafkaError::Authentication`], [`KafkaError::Unreachable`] or, when the
/// brokers don't want it, [`KafkaError::Transient`].
pub fn create_topic(
    brokers: &str,
    topic: &str,
    partitions: u16,
    extra: &BTreeMap<String, String>,
) -> Result<Creation, KafkaError> {
    let admin: AdminClient<Watch> = client(brokers, extra)
        .create_with_context(Watch::of("administration"))
        .map_err(KafkaError::creation)?;
    let new = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(-1));
    let options =
        AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX));
    let refused = |reason| KafkaError::Authentication { brokers: brokers.to_owned(), reason };
    let action = || format!("create topic {topic}");
    let answer = wait(admin.create_topics([&new], &options)).map_err(|error| {
        let watch = admin.inner().context();
        let reason = watch.last().unwrap_or_else(|| error.to_string());
        let brokers = brokers.to_owned();
        watch
            .refusal()
            .map_or(KafkaError::Unreachable { brokers, waited: ANSWER_MAX, reason }, refused)
    })?;
    match answer.into_iter().next() {
        Some(Ok(_)) => Ok(Creation::Created),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(Creation::Existed),
        Some(Err((_, code))) if is_refusal(code) => Err(refused(code.to_string())),
        Some(Err((_, code))) => Err(KafkaError::transient(action(), code)),
        None => Err(KafkaError::transient(action(), "the broker gave no answer")),
    }
}

/// Waits for rdkafka's answer, which comes from a thread of its own, without an async runtime.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
