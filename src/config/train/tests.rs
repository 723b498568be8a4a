//! The settings of trainings: rules for sensors, schedules, and what is refused.

use super::*;
use crate::config::{Config, Mistakes, parse};

const BASE: &str = r#"
[source]
brokers = "127.0.0.1:1"
topic = "t"
[event]
time = "TS"
key = [{ name = "Device", type = "string" }, { name = "Sensor", type = "int64" }]
values = ["Value"]
[window]
query = "SELECT 1"
[models.train]
threshold = 3.0
rows_min = 20
"#;

const GROUP: &str = "models.fallback.group=Device";

fn read(more: &str, sets: &[&str]) -> Result<Config, Mistakes> {
    let sets: Vec<_> = sets.iter().map(ToString::to_string).collect();
    parse("test.toml", &format!("{BASE}{more}"), std::iter::empty(), &sets)
}

#[test]
fn rules_take_what_they_do_not_say_from_the_section_but_no_threshold_of_another_kind() {
    let rules = r#"
[[models.train.rules]]
where = { Device = ["p1", "q*"], Sensor = 3 }
kind = "gaussian"
rows_max = 500
[[models.train.rules]]
where = { Sensor = 4 }
nu = 0.2
[[models.train.rules]]
where = { Device = "tank" }
kind = "static_limits"
limits = [{ feature = "mean", min = 1, max = 2.5 }, { feature = "low", max = -3 }]
"#;
    let models = read(rules, &[]).expect("valid").models;
    let [gaussian, wide, tank] = models.rules.as_slice() else { panic!("{:?}", models.rules) };
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(gaussian.sensors, [(0, texts(&["p1", "q*"])), (1, texts(&["3"]))]);
    let RuleKind::Train(settings) = &gaussian.how else { panic!("{gaussian:?}") };
    assert_eq!(settings.kind, Kind::Gaussian);
    assert_eq!((settings.rows_min, settings.rows_max), (Some(20), Some(500)));
    assert_eq!(settings.threshold, None, "3 is no distance of a Gaussian model");
    let RuleKind::Train(settings) = &wide.how else { panic!("{wide:?}") };
    assert_eq!((settings.nu, settings.threshold), (Some(0.2), Some(Threshold::Score(3.0))));
    let RuleKind::Limits(limits) = &tank.how else { panic!("{tank:?}") };
    let limit = |feature: &str, min, max| FeatureLimit { feature: feature.into(), min, max };
    let expected = [limit("mean", Some(1.0), Some(2.5)), limit("low", None, Some(-3.0))];
    assert_eq!(limits.as_slice(), expected);
}

#[test]
fn a_rule_that_says_nothing_or_too_much_is_refused_by_its_number() {
    let cases = [
        ("nu = 0.2", "models.train.rules[0].where: is missing or no table"),
        ("where = {}", "rules[0].where: names no column"),
        ("where = { Tag = 1 }", "rules[0].where: names \"Tag\", key columns are Device, Sensor"),
        ("where = { Sensor = 1.5 }", "rules[0].where: has Sensor = 1.5, allowed are texts"),
        ("where = { Sensor = [] }", "rules[0].where: has Sensor = []"),
        ("where = { Sensor = 1 }\nnu = 7", "rules[0].nu: is 7, allowed is a number"),
        ("where = { Sensor = 1 }\nn = 7", "rules[0].n: is not a setting: did you mean nu?"),
        ("where = { Sensor = 1 }\nkind = \"magic\"", "rules[0].kind: is \"magic\", allowed are"),
        ("where = { Sensor = 1 }\nkind = \"static_limits\"", "rules[0].limits: is missing"),
        ("where = { Sensor = 1 }\nlimits = [{ feature = \"mean\" }]", "rules[0].limits: are for"),
        (
            "where = { Sensor = 1 }\nkind = \"static_limits\"\nlimits = [{ feature = \"mean\" }]",
            "rules[0].limits: have neither min nor max of \"mean\"",
        ),
        (
            "where = { Sensor = 1 }\nkind = \"static_limits\"\n\
             limits = [{ feature = \"mean\", min = 2, max = 2 }]",
            "from 2 to 2 are no range",
        ),
        (
            "where = { Sensor = 1 }\nkind = \"static_limits\"\nlimits = [{ feture = \"m\", min = 1 }]",
            "rules[0].limits.feture: is not a setting: did you mean feature?",
        ),
    ];
    for (rule, expected) in cases {
        let error = read(&format!("[[models.train.rules]]\n{rule}\n"), &[]).expect_err(rule);
        assert!(error.to_string().contains(expected), "{rule}\nsays {error}\nnot {expected}");
    }
}

#[test]
fn a_schedule_feeds_the_alias_that_it_is_told_and_is_refused_with_what_is_allowed() {
    assert!(read("", &[]).expect("valid").models.retrain.is_none());
    let sets = ["models.train.every=every hour", "models.train.last=7d"];
    let models = read("", &sets).expect("valid").models;
    let retrain = models.retrain.expect("configured");
    assert_eq!((retrain.alias.as_str(), retrain.delay, retrain.fit), ("champion", None, true));
    assert_eq!(retrain.schedule.text(), "every hour");
    assert_eq!(models.last, Some(Duration::from_secs(7 * 86_400)));
    let sets = ["models.train.every=5 4 * * *", "models.train.alias=next", "models.train.delay=1m"];
    let retrain = read("", &sets).expect("valid").models.retrain.expect("configured");
    assert_eq!((retrain.alias.as_str(), retrain.delay), ("next", Some(Duration::from_secs(60))));
    let cases: [(&[&str], &str); 6] = [
        (&["models.train.every=now and then"], "models.train.every: is \"now and then\", allowed"),
        (&["models.train.last=soon"], "models.train.last: is \"soon\", allowed is a duration"),
        (&["models.train.alias=next"], "models.train.alias: is about trainings that come by"),
        (&["models.train.delay=1s"], "models.train.delay: is about trainings that come by"),
        (
            &["models.train.every=1h", "models.train.alias=onset", "models.onset.features=mean"],
            "models.train.alias: is \"onset\", as models.onset.alias is",
        ),
        (
            &[
                "models.train.every=1h",
                "models.train.alias=plan",
                GROUP,
                "models.fallback.alias=plan",
            ],
            "models.train.alias: is \"plan\", as models.fallback.alias is",
        ),
    ];
    for (sets, expected) in cases {
        let error = read("", sets).expect_err("refused").to_string();
        assert!(error.contains(expected), "{sets:?} says {error}, not {expected}");
    }
}
