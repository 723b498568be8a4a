//! Which aliases models may go under, and what reports tell of them.

use tidegauge_flow::{KeyValue, SensorKey};
use tidegauge_score::{Limit, LimitsParams, ModelParams, TrainingRun};

use super::*;
use crate::config::parse;

const CONFIG: &str = r#"
[source]
brokers = "127.0.0.1:1"
topic = "t"
[event]
time = "TS"
key = [{ name = "Device", type = "string" }, { name = "Sensor", type = "int64" }]
values = ["Value"]
[window]
query = "SELECT 1"
[models.challenger]
alias = "challenger"
[models.onset]
features = ["mean"]
[models.train]
every = "1h"
alias = "next"
"#;

fn config(sets: &[&str]) -> Config {
    let sets: Vec<_> = sets.iter().map(ToString::to_string).collect();
    parse("test.toml", CONFIG, std::iter::empty(), &sets).expect("valid")
}

#[test]
fn models_of_sensors_and_of_groups_go_under_no_alias_of_each_other() {
    let grouped = config(&["models.fallback.group=Device"]);
    let error = check_alias(&grouped, Of::Sensors, "fallback").expect_err("of groups");
    assert!(error.is::<Usage>(), "{error}");
    let expected = "models of sensors can't go under fallback, models.fallback.alias, which has those of \
                    groups: train groups with train --group, or name another alias";
    assert_eq!(error.to_string(), expected);
    let of_sensors = [
        ("champion", "models.alias"),
        ("onset", "models.onset.alias"),
        ("challenger", "models.challenger.alias"),
        ("next", "models.train.alias"),
    ];
    for (alias, key) in of_sensors {
        let error = check_alias(&grouped, Of::Groups, alias).expect_err(key);
        assert!(error.is::<Usage>(), "{error}");
        assert!(error.to_string().contains(&format!("under {alias}, {key}, which")), "{error}");
        assert!(error.to_string().ends_with("leave --alias out, or name another alias"), "{error}");
        check_alias(&grouped, Of::Sensors, alias).expect("its own kind");
    }
    check_alias(&grouped, Of::Groups, "fallback").expect("its own kind");
    check_alias(&grouped, Of::Groups, "tried").expect("nobody's");
    check_alias(&config(&[]), Of::Sensors, "fallback").expect("there are no groups");
}

/// A model without rows, as a rule gives it, of a sensor 1/n.
fn limits(n: i64) -> ModelEntry {
    let limit = Limit { low: None, high: Some(1.0) };
    ModelEntry {
        key: SensorKey([KeyValue::Str("1".into()), KeyValue::Int(n)].into()),
        features: vec!["mean".into()],
        model: ModelParams::StaticLimits(LimitsParams::new(vec![limit]).expect("a limit")),
        threshold: 0.0,
        calibration: None,
        training: None,
        source: "test".into(),
    }
}

#[test]
fn a_report_tells_models_that_were_taken_in_from_those_that_were_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&[&format!("lake.url={}", folder.path().display())]);
    let registry = pipeline::registry(&config).expect("opens");
    let train = |sensors: &[i64]| {
        let entries: Vec<_> = sensors.iter().map(|n| limits(*n)).collect();
        // Of all rows that there are, as `train` without a range has it.
        let about = About { note: "trained".into(), training: Some(TrainingRun::default()) };
        registry.advance("champion", &config.event.key, &entries, about, 1).expect("publishes")
    };
    train(&[1, 2, 3]);
    let second = train(&[2, 3]);
    let run = registry.training_run(second).expect("reads").expect("told");
    let lines = report::lines(&registry, second, &run).expect("reads");
    let told: Vec<_> = lines.iter().map(|l| (l.sensor.as_str(), l.outcome)).collect();
    assert_eq!(told, [("1/1", "kept"), ("1/2", "trained"), ("1/3", "trained")]);
}
