//! `[events]` and `[[alerts]]`: what is taken, what is refused, and that secrets are not shown.

use tidegauge_score::events::By;
use tidegauge_score::{Quiet, Rules};

use super::*;
use crate::config::{Config, Mistakes, parse};

const PIPELINE: &str = r#"
[source]
brokers = "127.0.0.1:9"
topic = "sensors"
[source.kafka]
"security.protocol" = "sasl_ssl"
"session.timeout.ms" = 6000
[event]
time = "TS"
key = [{ name = "Device", type = "int64" }, { name = "Tag", type = "string" }]
values = ["Value"]
[window]
query = '''SELECT "Device", "Tag", avg("Value") AS mean
FROM readings GROUP BY "Device", "Tag", tumble("TS", INTERVAL '5 seconds')'''
"#;

fn read(more: &str) -> Result<Config, Mistakes> {
    parse("test", &format!("{PIPELINE}{more}"), std::iter::empty(), &[])
}

fn refused(more: &str, key: &str, what: &str) {
    let mistakes = read(more).expect_err(more).mistakes;
    let found = |m: &crate::config::Mistake| m.key == key && m.what.contains(what);
    assert!(mistakes.iter().any(found), "{key}: {what}: {mistakes:#?}");
}

#[test]
fn events_are_there_when_they_are_asked_for() {
    assert_eq!(read("").expect("valid").events, None);
    let events = read("[events]\n").expect("valid").events.expect("they are asked for");
    let close = Quiet::Windows(3);
    let rules = Rules { open: 2, of: 3, close, silence_us: 3_600_000_000 };
    assert_eq!((events.rules, events.by), (rules, By::State));
    let sets = ["events.close=5".to_owned(), "events.open=7".to_owned()];
    let set = parse("test", PIPELINE, std::iter::empty(), &sets).expect("valid").events;
    let rules = set.expect("they are asked for").rules;
    assert_eq!((rules.open, rules.of, rules.close), (7, 7, Quiet::Windows(5)));
}

#[test]
fn events_that_cannot_be_are_refused() {
    refused("[events]\nopen = 3\nof = 2\n", "events.open", "allowed is at most 2");
    refused("[events]\nclose = \"soon\"\n", "events.close", "a number of windows");
    refused("[events]\nclose = 0\n", "events.close", "a number of windows");
    refused("[events]\nby = \"onset\"\n", "events.by", "[models.onset] has no features");
    refused("[events]\nopne = 3\n", "events.opne", "did you mean events.open?");
    let key = PIPELINE.replace("\"Tag\"", "\"state\"");
    let mistakes = parse("test", &format!("{key}[events]\n"), std::iter::empty(), &[]);
    let mistakes = mistakes.expect_err("events have a column of that name").to_string();
    assert!(mistakes.contains("a key column \"state\""), "{mistakes}");
    parse("test", &key, std::iter::empty(), &[]).expect("without events it may be");
}

#[test]
fn an_alert_is_read_with_defaults_from_the_source() {
    let text = r#"
    [events]
    [[alerts]]
    name = "topic"
    kind = "kafka"
    topic = "events"
    where = { Device = [1, "2*"] }
    min_severity = 3
    [[alerts]]
    name = "hook"
    kind = "webhook"
    url = "https://example.org/x/hidden-token"
    secret_env = "HOOK_SECRET"
    from = "earliest"
    "#;
    let config = read(text).expect("valid");
    let [topic, hook] = &config.alerts[..] else { panic!("{:?}", config.alerts) };
    let Receiver::Kafka(kafka) = &topic.receiver else { panic!("{topic:?}") };
    assert_eq!((kafka.brokers.as_str(), kafka.topic.as_str()), ("127.0.0.1:9", "events"));
    assert_eq!(kafka.kafka.len(), 1, "what only consumers have is left out: {:?}", kafka.kafka);
    assert!(topic.sensors.is_some() && topic.from == Begin::Now);
    assert_eq!((hook.from, hook.give_up_after), (Begin::Earliest, DAY));
    assert!(!format!("{config:?}").contains("hidden-token"), "nobody may see it");
}

#[test]
fn alerts_that_cannot_be_are_refused() {
    let alert = |lines: &str| format!("[events]\n[[alerts]]\nname = \"a\"\n{lines}");
    refused(
        "[[alerts]]\nname = \"a\"\nkind = \"kafka\"\ntopic = \"t\"\n",
        "alerts",
        "no section [events]",
    );
    refused(&alert("kind = \"mail\"\n"), "alerts[0].kind", "allowed are kafka, webhook");
    refused(&alert("kind = \"kafka\"\n"), "alerts[0].topic", "is missing");
    refused(
        &alert("kind = \"kafka\"\ntopic = \"sensors\"\n"),
        "alerts[0].topic",
        "the source's own",
    );
    refused(&alert("kind = \"webhook\"\n"), "alerts[0].secret", "secret_file or secret_env");
    let hook = "kind = \"webhook\"\nurl = \"ftp://x\"\nsecret = \"s3cret\"\n";
    refused(&alert(hook), "alerts[0].url", "http: or https:");
    refused(&alert(hook), "alerts[0].secret", "does not belong into this file");
    let said = read(&alert(hook)).expect_err("two mistakes").to_string();
    assert!(!said.contains("s3cret"), "{said}");
    let two = "kind = \"kafka\"\ntopic = \"t\"\n[[alerts]]\nname = \"a\"\nkind = \"kafka\"\ntopic = \"u\"\n";
    refused(&alert(two), "alerts[1].name", "as another alert is");
    let column = "kind = \"kafka\"\ntopic = \"t\"\nwhere = { Plant = 1 }\n";
    refused(&alert(column), "alerts[0].where", "key columns are Device, Tag");
}

#[test]
fn a_secret_says_where_it_is_and_not_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, "  whsec_x\n").expect("a file");
    assert_eq!(Secret::File(path).read().as_deref(), Ok("whsec_x"));
    let gone = Secret::File(folder.path().join("gone")).read().expect_err("it is not there");
    assert!(gone.contains("gone cannot be read"), "{gone}");
    let unset = Secret::Environment("TIDEGAUGE_TEST_UNSET".into()).read().expect_err("unset");
    assert!(unset.contains("TIDEGAUGE_TEST_UNSET is not set"), "{unset}");
}
