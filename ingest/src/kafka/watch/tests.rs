//! What a broker that goes and comes back leaves in the log.

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode as Code;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

/// The lines of one thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        lock(&self.0).push((*event.metadata().level(), message.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What is logged from this level on while a watch sees something.
fn logged(from: Level, seen: impl FnOnce(&Watch)) -> Vec<String> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || seen(&Watch::of("test")));
    let lines = lock(&lines.0);
    lines.iter().filter(|(level, _)| *level <= from).map(|(_, line)| line.clone()).collect()
}

fn tell(watch: &Watch, code: Code, reason: &str) {
    watch.error(NativeError::Global(code), reason);
}

#[test]
fn a_broker_that_goes_and_comes_back_is_two_lines() {
    let seen = |watch: &Watch| {
        watch.answered();
        for _ in 0..2 {
            for attempt in 0..3 {
                watch.log(RDKafkaLogLevel::Error, "FAIL", "connect refused");
                tell(watch, Code::BrokerTransportFailure, &format!("refused {attempt}"));
                tell(watch, Code::AllBrokersDown, "1/1 brokers are down");
            }
            watch.answered();
            watch.answered();
        }
        assert_eq!(watch.take_counts().iter().map(|(_, n)| n).sum::<u64>(), 12);
        assert_eq!(watch.last().as_deref(), Some("refused 2"));
    };
    let (gone, back) =
        ("kafka: no broker in reach: 1/1 brokers are down", "kafka: a broker answers again");
    assert_eq!(logged(Level::INFO, seen), [gone, back, gone, back]);
    assert_eq!(logged(Level::TRACE, seen).len(), 4 + 12, "nothing is hidden from a debug log");
}

#[test]
fn what_only_lag_tools_miss_and_what_is_repeated_is_quiet() {
    let seen = |watch: &Watch| {
        watch.log(RDKafkaLogLevel::Warning, "COMMITFAIL", "offset commit failed");
        watch.log(RDKafkaLogLevel::Warning, "GETPID", "coordinator load in progress: retrying");
    };
    assert_eq!(logged(Level::INFO, seen), [""; 0]);
}

#[test]
fn a_refusal_and_unknown_trouble_stay_warnings() {
    let seen = |watch: &Watch| {
        tell(watch, Code::Authentication, "wrong password");
        watch.log(RDKafkaLogLevel::Warning, "MAXPOLL", "too slow");
        assert_eq!(watch.refusal().as_deref(), Some("wrong password"));
    };
    assert_eq!(logged(Level::WARN, seen), ["kafka: wrong password", "kafka: too slow"]);
}
