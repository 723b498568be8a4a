//! The configuration: what is taken, what is refused, and that everything wrong is said at once.

use super::*;

const GOOD: &str = r#"
[source]
kind = "kafka"
brokers = "127.0.0.1:19092"
topic = "sensors"
group = "tidegauge"
start = "earliest"
lanes = "per-partition"
format = "json"
[source.kafka]
"security.protocol" = "plaintext"
[event]
time = "TS"
key = [{ name = "Device", type = "int64" }, { name = "Sensor", type = "int64" }]
values = ["Value"]
[window]
query = """
SELECT "Device", "Sensor", avg("Value") AS mean
FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"""
out_of_order = "5s"
late = "keep"
idle_after = "30s"
[models]
alias = "champion"
features = ["mean"]
[lake]
url = "lake"
commit_every = "10s"
[http]
listen = "127.0.0.1:8787"
"#;

fn read(text: &str, env: &[(&str, &str)], sets: &[&str]) -> Result<Config, Mistakes> {
    let env = env.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let sets: Vec<_> = sets.iter().map(ToString::to_string).collect();
    parse("test.toml", text, env, &sets)
}

#[test]
fn the_documented_example_is_valid() {
    let config = read(GOOD, &[], &[]).expect("valid");
    assert_eq!(config.source.topic, "sensors");
    assert_eq!(config.window.out_of_order, Duration::from_secs(5));
    assert_eq!(config.source.kafka["security.protocol"], "plaintext");
    assert_eq!(config.http.map(|a| a.port()), Some(8787));
}

#[test]
fn environment_wins_over_the_file_and_flags_over_both() {
    let env = [
        ("TIDEGAUGE_SOURCE_TOPIC", "from-env"),
        ("TIDEGAUGE_SOURCE_GROUP", "from-env"),
        ("TIDEGAUGE_SOURCE_KAFKA_SASL_PASSWORD", "secret"),
        ("TIDEGAUGE_MODELS_TRAIN_NU", "0.05"),
        ("TIDEGAUGE_TEST_KAFKA", "not ours"),
    ];
    let config = read(GOOD, &env, &["source.topic=from-flag"]).expect("valid");
    assert_eq!(config.source.topic, "from-flag");
    assert_eq!(config.source.group, "from-env");
    assert_eq!(config.source.kafka["sasl.password"], "secret");
    assert!((config.models.train.nu - 0.05).abs() < 1e-12);
}

#[test]
fn every_mistake_is_reported_at_once_with_key_value_and_what_is_allowed() {
    let text = r#"
    [source]
    kind = "rabbit"
    topc = "sensors"
    threads = 0
    start = "yesterday"
    [event]
    time = "TS"
    key = [{ name = "Device", type = "float" }]
    values = []
    [window]
    out_of_order = "5 parsecs"
    late = "maybe"
    [models]
    features = 3
    [models.train]
    nu = 2.0
    [lake]
    url = "ftp://bucket"
    commit_every = "1ms"
    [http]
    listen = "everywhere"
    [extra]
    key = 1
    "#;
    let error =
        read(text, &[("TIDEGAUGE_LAKE_COMIT_EVERY", "1s")], &[]).expect_err("many mistakes");
    let said = error.to_string();
    let expected = [
        "source.kind: is \"rabbit\", allowed are kafka, files",
        "source.brokers: is missing",
        "source.topc: is not a setting: did you mean source.topic?",
        "source.topic: is missing",
        "source.threads: is 0, allowed is a whole number from 1 to 256",
        "source.start: is \"yesterday\"",
        "event.key: has the item",
        "event.values: is missing",
        "window.query: is missing",
        "window.out_of_order: is \"5 parsecs\", allowed is a duration",
        "window.late: is \"maybe\", allowed are keep, drop",
        "models.features: is 3, allowed is a list of texts",
        "models.train.nu: is 2.0, allowed is a number from 0.000001 to 0.5",
        "lake.url: is \"ftp://bucket\"",
        "lake.commit_every: is \"1ms\", allowed is from 100ms to 3600s",
        "lake.comit_every: is not a setting: did you mean lake.commit_every?",
        "http.listen: is \"everywhere\"",
        "extra: is not a setting",
    ];
    for line in expected {
        assert!(said.contains(line), "not said: {line}\nsaid:\n{said}");
    }
    assert_eq!(error.mistakes.len(), expected.len(), "{said}");
}

#[test]
fn broken_toml_and_a_flag_without_value_are_refused() {
    let error = read("a = 1\n\"sasl.password\" = \"hunter2\nb = 2", &[], &[]).expect_err("broken");
    assert!(error.to_string().contains("not valid at line 2"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "a secret is shown: {error}");
    assert!(
        read(GOOD, &[], &["source.topic"]).expect_err("no value").to_string().contains("--set")
    );
}
