//! What stops a member: found beside messages, told by the next poll.

use rdkafka::error::KafkaError as NativeError;
use rdkafka::types::RDKafkaErrorCode;

use super::batch::Notice;
use super::error::{KafkaError, is_refusal, is_unknown_topic};
use super::settings::KafkaSettings;

/// The trouble of one member.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Told once.
    failed: Option<KafkaError>,
    /// Told for good, a code and a reason: the client won't read again.
    fatal: Option<(String, String)>,
}

impl Trouble {
    pub(crate) fn check(&mut self) -> Result<(), KafkaError> {
        if let Some((code, reason)) = self.fatal.clone() {
            return Err(KafkaError::Fatal { code, reason });
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// From now on every check fails.
    pub(crate) fn end(&mut self, code: String, reason: String) {
        self.fatal = Some((code, reason));
    }

    /// An error of the main queue that ends nothing for good. The context has counted it; what is no
    /// passing trouble ends the poll besides. A password that stops to be accepted is retried by
    /// librdkafka: brokers say so at restarts, too.
    pub(crate) fn take_error(&mut self, code: RDKafkaErrorCode, settings: &KafkaSettings) {
        let KafkaSettings { topic, brokers, .. } = settings.clone();
        if is_unknown_topic(code) {
            self.failed = Some(KafkaError::UnknownTopic { topic, brokers });
        } else if is_refusal(code) && code != RDKafkaErrorCode::Authentication {
            let reason = code.to_string();
            self.failed = Some(KafkaError::Authentication { brokers, reason });
        }
    }

    /// An entry of a batch that is no message. Whatever it is, librdkafka now stands behind it and may
    /// skip a message later, so reading on is not safe.
    pub(crate) fn take_notice(&mut self, notice: Notice, settings: &KafkaSettings) {
        let Notice { partition, offset, code, reason } = notice;
        let KafkaSettings { topic, brokers, .. } = settings.clone();
        self.failed = Some(match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                KafkaError::OutOfRange { topic, partition, offset, reason }
            }
            code if is_unknown_topic(code) => KafkaError::UnknownTopic { topic, brokers },
            code if is_refusal(code) => KafkaError::Authentication { brokers, reason },
            code => {
                let reason = format!("{topic}[{partition}] at offset {offset}: {reason}");
                KafkaError::Fatal { code: format!("{code:?}"), reason }
            }
        });
    }
}

/// The name of a native error's code.
pub(crate) fn code_name(error: &NativeError) -> String {
    error.rdkafka_error_code().map_or_else(|| "Unknown".into(), |code| format!("{code:?}"))
}
