//! Which settings reach librdkafka, and which are refused.

use super::*;

fn settings(extra: &[(&str, &str)]) -> KafkaSettings {
    KafkaSettings {
        brokers: "127.0.0.1:1".into(),
        topic: "sensors".into(),
        group: "tidegauge".into(),
        instance: "host-0".into(),
        start: Start::Earliest,
        extra: extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        connect_timeout: CONNECT_TIMEOUT,
    }
}

#[test]
fn what_a_correct_commit_rests_on_is_refused_by_name() {
    for (key, _) in OWNED {
        let error = settings(&[(key, "x")]).check().expect_err("must be refused");
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn extra_settings_win_over_ours() {
    let config = settings(&[("session.timeout.ms", "45000")]).member(3).expect("is legal");
    assert_eq!(config.get("session.timeout.ms"), Some("45000"));
    assert_eq!(config.get("group.instance.id"), Some("host-0-3"));
    assert_eq!(config.get("auto.offset.reset"), Some("error"));
    config.create_native_config().expect("librdkafka must know all our settings");
}

#[test]
fn the_newer_group_protocol_gets_no_setting_of_the_classic_one() {
    let config = settings(&[("group.protocol", "consumer")]).member(0).expect("is legal");
    assert_eq!(config.get("session.timeout.ms"), None);
    assert_eq!(config.get("partition.assignment.strategy"), None);
}

#[test]
fn values_are_never_shown() {
    let secret = settings(&[("sasl.password", "hunter2"), ("ssl.key.pem", "hunter2")]);
    assert!(!format!("{secret:?}").contains("hunter2"));
    assert!(format!("{secret:?}").contains("sasl.password"));
    for key in ["session.timeout.ms", "security.protocol", "sasl.pasword"] {
        let wrong = settings(&[(key, "hunter2")]).member(0).expect("ours don't check values");
        let error = wrong.create_native_config().err().map(KafkaError::creation);
        let text = error.expect("librdkafka must refuse it").to_string();
        assert!(text.contains(key) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn empty_and_illegal_names_are_refused() {
    let mut cases = [settings(&[]), settings(&[]), settings(&[]), settings(&[])];
    cases[0].brokers.clear();
    cases[1].topic = " ".into();
    cases[2].group.clear();
    cases[3].instance = "a b".into();
    for case in cases {
        case.check().expect_err("must be refused");
    }
}
