//! The configuration: what is taken, what is refused, and that everything wrong is said at once.

use tidegauge_aggregate::{Action, Rule, Scope, TimeBy, TimePolicy};
use tidegauge_score::{Quiet, Rules};

use super::*;

pub(super) const GOOD: &str = r#"
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
    assert_eq!(config.http.map(|http| http.listen.port()), Some(8787));
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
    assert_eq!(config.models.train.nu, Some(0.05));
}

#[test]
fn a_variable_reaches_every_section_and_the_sections_within() {
    let env = [
        ("TIDEGAUGE_SOURCE_ON_GAP", "skip"),
        ("TIDEGAUGE_EVENT_VALUES", "Value,Other"),
        ("TIDEGAUGE_WINDOW_IDLE_AFTER", "7s"),
        ("TIDEGAUGE_WINDOW_POLICY_EARLY", "5m"),
        ("TIDEGAUGE_WINDOW_POLICY_ON_EARLY", "adjust"),
        ("TIDEGAUGE_MODELS_MIN_READINGS", "2"),
        ("TIDEGAUGE_MODELS_TRAIN_FALSE_ALARM_RATE", "0.01"),
        ("TIDEGAUGE_MODELS_ONSET_FEATURES", "mean"),
        ("TIDEGAUGE_MODELS_ONSET_FIT_EVERY", "9s"),
        ("TIDEGAUGE_MODELS_CHALLENGER_ALIAS", "next"),
        ("TIDEGAUGE_MODELS_FALLBACK_GROUP", "Device"),
        ("TIDEGAUGE_MODELS_DRIFT_EVERY", "1h"),
        ("TIDEGAUGE_MODELS_DEVICE_BY", "Device"),
        ("TIDEGAUGE_MODELS_DEVICE_AT_LEAST", "3"),
        ("TIDEGAUGE_EVENTS_OPEN", "3"),
        ("TIDEGAUGE_EVENTS_CLOSE", "10m"),
        ("TIDEGAUGE_LAKE_KEEP_LATE", "2d"),
        ("TIDEGAUGE_LAKE_STORAGE_REGION", "eu-1"),
        ("TIDEGAUGE_LIMITS_SPILL", "spilled"),
        ("TIDEGAUGE_HTTP_LISTEN", "127.0.0.1:9"),
    ];
    let Config { source, event, window, models, events, alerts, lake, limits, http } =
        read(GOOD, &env, &[]).expect("valid");
    assert_eq!((source.on_gap, event.values.len()), (OnGap::Skip, 2));
    let rule = Rule { tolerance_ns: 300_000_000_000, action: Action::Adjust };
    assert_eq!(window.idle_after, Duration::from_secs(7));
    assert_eq!(window.policy.early, Some(rule));
    let rate = tidegauge_score::train::Threshold::FalseAlarmRate(0.01);
    assert_eq!((models.min_readings, models.train.threshold), (2, Some(rate)));
    let onset = models.onset.as_ref().expect("its features are named");
    assert_eq!(onset.fit_every, Duration::from_secs(9));
    assert_eq!(
        (models.challenger.as_deref(), models.group_alias()),
        (Some("next"), Some("fallback"))
    );
    assert_eq!(models.drift.every, Some(Duration::from_secs(3600)));
    assert_eq!(models.device.map(|d| (d.by, d.at_least)), Some((vec!["Device".to_string()], 3)));
    assert_eq!(lake.upkeep.keep_late, Some(Duration::from_secs(2 * 86_400)));
    assert_eq!(lake.storage.options["region"], "eu-1");
    assert_eq!(
        (limits.spill.as_deref(), http.map(|a| a.listen.port())),
        (Some("spilled"), Some(9))
    );
    let close = Quiet::For(600_000_000);
    let rules = Rules { open: 3, of: 3, close, silence_us: 3_600_000_000 };
    assert_eq!((events.map(|events| events.rules), alerts.len()), (Some(rules), 0));
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
        "window.late: is \"maybe\", allowed are keep, drop, revise",
        "models.features: is 3, allowed is a list of texts",
        "models.train.nu: is 2.0, allowed is a number from 0.000001 to 0.5",
        "lake.url: is \"ftp://bucket\", allowed is a path, or a URL with file:, s3:, az:",
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

#[test]
fn a_bucket_and_how_to_reach_it() {
    let set = ["lake.url=s3://bucket/lake", "lake.timeout=5s", "lake.storage.region=eu-1"];
    let secret = ("TIDEGAUGE_LAKE_STORAGE_SECRET_ACCESS_KEY", "hunter2");
    let lake = read(GOOD, &[secret], &set).expect("valid").lake;
    assert_eq!(lake.url, "s3://bucket/lake");
    assert_eq!(lake.storage.options["region"], "eu-1");
    assert_eq!(lake.storage.options["secret_access_key"], "hunter2");
    assert_eq!(lake.storage.patience.request, Duration::from_secs(5));
    assert!(!format!("{lake:?}").contains("hunter2"), "a secret is shown");
    for url in ["s3://", "az://c/a//b", "gs://key:hunter2@bucket"] {
        let said = read(GOOD, &[], &[&format!("lake.url={url}")]).expect_err("refused").to_string();
        assert!(said.contains("lake.url: is not valid") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn w_09_the_time_policy_is_read_with_its_defaults() {
    let none = read(GOOD, &[], &[]).expect("valid");
    assert_eq!(none.window.policy, TimePolicy::default());
    assert_eq!(none.window.allowed_lateness, None);
    let sets = [
        "window.late=revise",
        "window.policy.early=5m",
        "window.policy.late=20d",
        "window.policy.on_out_of_order=adjust",
        "window.policy.watermark=sensor",
    ];
    let config = read(GOOD, &[], &sets).expect("valid");
    let rule = |minutes: i64, action| Some(Rule { tolerance_ns: minutes * 60_000_000_000, action });
    let expected = TimePolicy {
        time: TimeBy::Event,
        early: rule(5, Action::Drop),
        late: rule(20 * 24 * 60, Action::Adjust),
        out_of_order: Some(Action::Adjust),
        scope: Scope::Sensor,
    };
    assert_eq!(config.window.policy, expected);
    assert_eq!(config.window.allowed_lateness, Some(Duration::from_secs(3600)));
    assert_eq!(config.event.early_ns, 300_000_000_000, "decoding drops what is early");
}

#[test]
fn w_09_settings_that_contradict_each_other_are_refused_with_what_to_do() {
    let cases: [(&[&str], &str); 9] = [
        (&["window.policy.late=21d"], "window.policy.late: is \"21d\", allowed is from 0ns"),
        (&["window.policy.on_late=drop"], "window.policy.late does not say when: set it"),
        (&["window.policy.time=arrival", "window.policy.late=5s"], "no rule applies to arrivals"),
        (&["window.policy.time=arrival", "event.early=1h"], "event.early: judges event times"),
        (&["window.policy.watermark=sensor"], "is up to window.policy.late, set it"),
        (
            &["window.policy.watermark=sensor", "window.policy.late=5s"],
            "on_out_of_order is \"off\": nothing would be judged",
        ),
        (&["window.policy.early=2d"], "window.policy.early: is longer than event.early"),
        (&["window.allowed_lateness=1h"], "only late = \"revise\" does"),
        (
            &["event.id=Nr", "window.policy.on_out_of_order=adjust"],
            "event.id: tells duplicates within a window",
        ),
    ];
    for (sets, expected) in cases {
        let error = read(GOOD, &[], sets).expect_err("contradictory").to_string();
        assert!(error.contains(expected), "{sets:?} says {error}, not {expected}");
    }
    let files = ["source.kind=files", "source.paths=x", "window.policy.late=5s"];
    let error = read(GOOD, &[], &files).expect_err("files have no arrivals").to_string();
    assert!(error.contains("asks when readings arrived"), "{error}");
}

#[test]
fn what_stands_beside_the_champion_is_there_when_it_is_named() {
    let none = read(GOOD, &[], &[]).expect("valid").models;
    assert!(none.challenger.is_none() && none.fallback.is_none() && none.group_alias().is_none());
    let text = format!(
        "{GOOD}\n[models.challenger]\nalias = \"next\"\n[models.fallback]\ngroup = [\"Device\"]\n\
         [[models.fallback.limits]]\nfeature = \"mean\"\nmin = 1\n\
         [[models.fallback.limits]]\nfeature = \"mean\"\nmin = -0.5\nmax = 2.5\nwhere = {{ Sensor = 3 }}"
    );
    let models = read(&text, &[], &[]).expect("valid").models;
    assert_eq!(
        (models.challenger.as_deref(), models.group_alias()),
        (Some("next"), Some("fallback"))
    );
    assert!(models.views().challenger && !models.views().onset);
    let limits = models.fallback.expect("named").settings.limits;
    let limit = |low, high| tidegauge_score::Limit { low, high };
    assert_eq!(limits[0].limit, limit(Some(1.0), None));
    assert_eq!(limits[1].limit, limit(Some(-0.5), Some(2.5)));
    let sensor = tidegauge_flow::KeyValue::Int(3);
    assert_eq!((limits[0].only.len(), &limits[1].only[..]), (0, &[("Sensor".into(), sensor)][..]));
    let env =
        [("TIDEGAUGE_MODELS_CHALLENGER_ALIAS", "b"), ("TIDEGAUGE_MODELS_FALLBACK_ALIAS", "c")];
    let models = read(GOOD, &env, &["models.fallback.group=Device"]).expect("valid").models;
    assert_eq!((models.challenger.as_deref(), models.group_alias()), (Some("b"), Some("c")));
}

#[test]
fn what_stands_beside_the_champion_is_refused_with_what_is_allowed() {
    let limits = |item: &str| format!("{GOOD}\n[models.fallback]\nlimits = [{{ {item} }}]");
    let cases = [
        (limits("min = 1"), "feature is missing"),
        (limits("feature = \"mean\""), "it has no limit"),
        (limits("feature = \"mean\", min = 2, max = 1"), "from 2 to 1 is empty"),
        (limits("feature = \"mean\", max = \"1\""), "max is \"1\", allowed is a number"),
        (limits("feature = \"mean\", mx = 1"), "\"mx\" is none of feature, min, max, where"),
        (limits("feature = \"mean\", max = 1, where = 3"), "where is 3, allowed is { key column"),
        (
            limits("feature = \"mean\", max = 1, where = { device = 1 }"),
            "\"device\" in where is no key column",
        ),
        (
            limits("feature = \"mean\", max = 1, where = { Device = \"1\" }"),
            "Device is \"1\", allowed is a whole number",
        ),
        (
            format!("{GOOD}\n[models.fallback]\ngroup = []"),
            "models.fallback.group: is [], allowed are some of the key columns, not all, each once: \
             Device, Sensor",
        ),
        (
            format!("{GOOD}\n[models.fallback]\ngroup = [\"Sensor\", \"Device\"]"),
            "allowed are some of the key columns, not all",
        ),
        (
            format!("{GOOD}\n[models.challenger]\nalias = \"champion\""),
            "models.challenger.alias: is \"champion\", as models.alias is",
        ),
        (
            format!(
                "{GOOD}\n[models.challenger]\nalias = \"fallback\"\n\
                 [models.fallback]\ngroup = [\"Device\"]"
            ),
            "models.fallback.alias: is \"fallback\", as models.challenger.alias is",
        ),
        (format!("{GOOD}\n[models.challenger]\nalias = \"a b\""), "allowed are 1 to 64 letters"),
    ];
    for (text, expected) in cases {
        let error = read(&text, &[], &[]).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
}

/// The settings of a page's tables, by the section that they stand under.
fn documented(page: &str) -> std::collections::BTreeSet<String> {
    let mut section = String::new();
    let mut keys = std::collections::BTreeSet::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_string();
        } else if let Some(rest) = line.strip_prefix("`[")
            && let Some((inner, _)) = rest.split_once("]`")
        {
            section = inner.trim_matches(['[', ']']).to_string();
        } else if let Some(rest) = line.strip_prefix("Each of `[[")
            && let Some((inner, _)) = rest.split_once("]]`")
        {
            section = inner.to_string();
        } else if let Some(cells) = line.strip_prefix("| `") {
            let first = cells.split(" | ").next().unwrap_or_default();
            let names = first.split('`').filter(|name| !name.is_empty() && *name != ", ");
            keys.extend(names.map(|name| format!("{section}.{name}")));
        }
    }
    keys
}

#[test]
fn every_setting_is_on_its_page() {
    let page = std::fs::read_to_string("docs/configuration.md").expect("the page");
    let documented = documented(&page);
    let mut reader = reader::Reader::new(GOOD.parse().expect("TOML"), BTreeMap::new());
    sections::read(&mut reader);
    // Of a table of tables or of free keys, what stands in it is told.
    let told = |key: &&String| {
        let inside = format!("{key}.");
        documented.contains(*key) || documented.iter().any(|told| told.starts_with(&inside))
    };
    let free = ["source.kafka"];
    let missing: Vec<&String> =
        reader.known().iter().filter(|key| !told(key) && !free.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not tell of {missing:?}");
    assert!(reader.known().len() > 60, "only {} settings were looked at", reader.known().len());
}
