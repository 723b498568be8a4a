//! SASL_SSL with PLAIN and the user `$ConnectionString`, as cloud message hubs have it.

use std::time::{Duration, Instant};

use tidegauge_ingest::kafka::{Consumer, KafkaError, KafkaSettings};

use crate::harness::{Kafka, Ledger, owned};

const PASSWORD: &str =
    "Endpoint=sb://localhost/;SharedAccessKeyName=local;SharedAccessKey=bG9jYWw=";

/// The secure listener is two ports above the plain one.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn secure(kafka: &Kafka, topic: &str, password: &str) -> Option<KafkaSettings> {
    let Ok(ca) = std::env::var("TIDEGAUGE_TEST_KAFKA_CA") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set TIDEGAUGE_TEST_KAFKA_CA");
        eprintln!("skipped: TIDEGAUGE_TEST_KAFKA_CA is not set");
        return None;
    };
    let (host, port) = kafka.brokers.rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port");
    let mut settings = kafka.settings(topic, &[]);
    settings.brokers = format!("{host}:{}", port + 2);
    settings.extra = owned(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "$ConnectionString"),
        ("sasl.password", password),
        ("ssl.ca.location", &ca),
    ]);
    Some(settings)
}

#[test]
fn a_connection_string_lets_us_in() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    kafka.fill(&topic, 1, 100);
    let Some(settings) = secure(&kafka, &topic, PASSWORD) else { return };
    let mut consumer = Consumer::start(&settings, 0).expect("started");
    let mut ledger = Ledger::default();
    ledger.poll_until(&mut consumer, |ledger, _| ledger.seen.len() == 100);
}

#[test]
fn a_wrong_password_is_a_clear_error_in_time_and_not_shown() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    let Some(settings) = secure(&kafka, &topic, "not-the-password") else { return };
    let begun = Instant::now();
    let error = Consumer::start(&settings, 0).err().expect("must fail");
    assert!(matches!(error, KafkaError::Authentication { .. }), "{error:?}");
    let text = format!("{error} {error:?} {settings:?}");
    assert!(text.contains("sasl.") && !text.contains("not-the-password"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn plain_text_to_a_secure_port_and_an_unknown_authority_are_errors_in_time() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    let Some(secure) = secure(&kafka, &topic, PASSWORD) else { return };
    let mut plain = secure.clone();
    plain.extra.clear();
    let mut stranger = secure;
    stranger.extra.remove("ssl.ca.location");
    for mut settings in [plain, stranger] {
        settings.connect_timeout = Duration::from_secs(2);
        let begun = Instant::now();
        let error = Consumer::start(&settings, 0).err().expect("must fail");
        assert!(matches!(error, KafkaError::Unreachable { .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
