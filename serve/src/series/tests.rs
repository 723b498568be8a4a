//! Questions as Grafana asks them, to a lake of three sensors that is made up.

use serde_json::{Value, json};

use super::parse::{duration, expression};
use super::*;
use crate::console::{Answer, ConsoleError};

/// Sensor n has the score n at each step; `from` seconds on.
pub(crate) struct Made;

const NOW_US: i64 = 1_700_000_000_000_000;

impl Series for Made {
    fn now_us(&self) -> i64 {
        NOW_US
    }

    fn families(&self) -> Answer<Vec<Family>> {
        let family = |name: &str, labels: &[&str]| Family {
            name: name.into(),
            help: "made up".into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        Ok(vec![
            family("tidegauge_sensor_score", &["Device"]),
            family("tidegauge_windows", &["status"]),
            family("tidegauge_many", &["n"]),
        ])
    }

    fn labels(&self, wanted: &Wanted, limit: usize) -> Answer<Vec<Labels>> {
        let all = (1..=if wanted.family == "tidegauge_many" { 300_000 } else { 3 }).map(|n| {
            let label = if wanted.family == "tidegauge_many" { "n" } else { "Device" };
            Labels::from([(label.to_owned(), n.to_string())])
        });
        Ok(all.filter(|labels| wanted.holds_all(labels)).take(limit).collect())
    }

    fn lines(&self, wanted: &Wanted, steps: &Steps, fold: Option<Fold>) -> Answer<Vec<Line>> {
        if wanted.family == "tidegauge_windows" {
            return Err(ConsoleError::Unavailable("the lake does not answer".into()));
        }
        let limit = if wanted.family == "tidegauge_many" { 2_000 } else { 10 };
        let lines = self.labels(wanted, limit)?.into_iter().map(|labels| {
            let number: f64 = labels.values().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
            let number = if fold == Some(Fold::Sum) { number * 100.0 } else { number };
            let points = (0..steps.count).map(|step| (steps.at(step), number)).collect();
            Line { labels, points }
        });
        Ok(lines.collect())
    }
}

fn ask(path: &str, parameters: &[(&str, &str)]) -> Reply {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(parameters);
    answer(&Made, path, &["", &text.finish()], NOW_US)
}

fn data(path: &str, parameters: &[(&str, &str)]) -> Value {
    let reply = ask(path, parameters);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["status"], "success");
    reply.body["data"].clone()
}

fn refused(query: &str) -> String {
    let reply = ask("query", &[("query", query)]);
    assert_eq!((reply.status, &reply.body["errorType"]), (400, &json!("bad_data")), "{query}");
    reply.body["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_health_check_of_grafana_gets_its_sum() {
    let told = data("query", &[("query", "1+1"), ("time", "4")]);
    assert_eq!(told, json!({ "resultType": "scalar", "result": [4.0, "2"] }));
    for (text, number) in [
        ("-2^2", "-4"),
        ("2 * (3 - 1) / 4", "1"),
        ("7 % 4", "3"),
        ("1 / 0", "+Inf"),
        ("0/0", "NaN"),
    ] {
        assert_eq!(data("query", &[("query", text)])["result"][1], number, "{text}");
    }
    let told =
        data("query_range", &[("query", "1"), ("start", "0"), ("end", "60"), ("step", "60")]);
    assert_eq!(told["result"][0]["values"], json!([[0.0, "1"], [60.0, "1"]]));
    assert!(refused(&"(".repeat(4000)).contains("not answered"), "depth is bounded");
}

#[test]
fn a_selector_answers_with_the_series_that_it_names() {
    let query = r#"tidegauge_sensor_score{Device=~"2|3", Device!="3", other=""}"#;
    let told = data("query", &[("query", query)]);
    assert_eq!(told["resultType"], "vector");
    let metric = json!({ "__name__": "tidegauge_sensor_score", "Device": "2" });
    assert_eq!(told["result"], json!([{ "metric": metric, "value": [1_700_000_000.0, "2"] }]));
    let by_name =
        data("query", &[("query", r#"{__name__="tidegauge_sensor_score",Device!~"2|3"}"#)]);
    assert_eq!(by_name["result"][0]["metric"]["Device"], "1");
}

#[test]
fn a_range_has_a_point_for_each_step() {
    let told = data(
        "query_range",
        &[
            ("query", "tidegauge_sensor_score{Device=\"3\"}"),
            ("start", "1700000000"),
            ("end", "2023-11-14T22:13:50Z"),
            ("step", "5s"),
        ],
    );
    let values = json!([[1_700_000_000.0, "3"], [1_700_000_005.0, "3"], [1_700_000_030.0, "3"]]);
    let values_of = &told["result"][0]["values"];
    assert_eq!((&values_of[0], &values_of[1], &values_of[6]), (&values[0], &values[1], &values[2]));
    assert_eq!(values_of.as_array().map(Vec::len), Some(7));
}

#[test]
fn topk_keeps_the_largest_and_sorts_them() {
    let told = data("query", &[("query", "topk(2, sum_over_time(tidegauge_sensor_score[1h]))")]);
    let devices: Vec<&Value> =
        told["result"].as_array().expect("a list").iter().map(|r| &r["metric"]["Device"]).collect();
    assert_eq!(devices, ["3", "2"]);
    assert_eq!(told["result"][0]["value"][1], "300");
    let told = data("query", &[("query", "bottomk(1, tidegauge_sensor_score)")]);
    assert_eq!(told["result"][0]["metric"]["Device"], "1");
}

#[test]
fn what_is_not_answered_is_refused_by_name() {
    let cases = [
        ("rate(tidegauge_sensor_score[5m])", "\"rate\" is not answered here"),
        ("sum by (Device) (tidegauge_sensor_score)", "cannot go on"),
        ("tidegauge_sensor_score + 1", "cannot go on"),
        ("tidegauge_sensor_score[5m]", "cannot go on"),
        ("tidegauge_sensor_score offset 5m", "cannot go on"),
        ("tidegauge_nothing", "the lake has no \"tidegauge_nothing\""),
        ("tidegauge_sensor_score{Device=~\"(\"}", "not valid"),
        ("tidegauge_sensor_score{Device=~\"a)|(b\"}", "not valid"),
        ("tidegauge_sensor_score{Device=~\"(a{900}){900}\"}", "too large"),
        ("tidegauge_sensor_score{Device=\"1}", "not closed"),
        ("tidegauge_sensor_score{Device}", "is missing"),
        ("topk(0, tidegauge_sensor_score)", "no count"),
        ("topk(2, topk(1, tidegauge_sensor_score))", "\"topk\" is not answered here"),
        ("max_over_time(tidegauge_sensor_score[5x])", "is no duration"),
        ("max_over_time(tidegauge_sensor_score[0s])", "is no duration"),
        ("max_over_time(tidegauge_sensor_score[401d])", "400 days"),
        ("tidegauge_many", "2000 series, more than 1000"),
        ("", "query is missing"),
    ];
    for (query, expected) in cases {
        let said = refused(query);
        assert!(said.contains(expected), "{query}: {said}");
    }
    assert!(refused(&"a".repeat(5000)).contains("more than 4096 bytes"));
    let many = format!("x{{{}}}", "a=\"1\",".repeat(40));
    assert!(refused(&many).contains("more than 32 matchers"));
}

#[test]
fn ranges_and_times_are_bounded() {
    let cases = [
        ([("start", "0"), ("end", "100000"), ("step", "1")], "more than 11000"),
        ([("start", "10"), ("end", "0"), ("step", "1")], "end lies before"),
        ([("start", "x"), ("end", "0"), ("step", "1")], "start is \"x\""),
        ([("start", "0"), ("end", "1e300"), ("step", "1")], "end is \"1e300\""),
        ([("start", "0"), ("end", "100"), ("step", "0")], "too small"),
        ([("start", "0"), ("end", "100"), ("step", "-5s")], "no duration"),
        ([("start", "0"), ("end", "40000000"), ("step", "1d")], "400 days"),
    ];
    for (range, expected) in cases {
        let parameters: Vec<_> =
            [("query", "tidegauge_sensor_score")].into_iter().chain(range).collect();
        let reply = ask("query_range", &parameters);
        let said = reply.body["error"].as_str().unwrap_or_default();
        assert!(reply.status == 400 && said.contains(expected), "{range:?}: {said}");
    }
    let over = "max_over_time(tidegauge_sensor_score[1h])";
    let range = [("query", over), ("start", "0"), ("end", "100"), ("step", "5")];
    let said = ask("query_range", &range).body["error"].to_string();
    assert!(said.contains("several points"), "{said}");
}

#[test]
fn variables_and_editors_find_names_values_and_series() {
    let names = data("labels", &[]);
    assert_eq!(names, json!(["Device", "__name__", "n", "status"]));
    let names = data("labels", &[("match[]", "tidegauge_windows")]);
    assert_eq!(names, json!(["__name__", "status"]));
    let metrics = json!(["tidegauge_many", "tidegauge_sensor_score", "tidegauge_windows"]);
    assert_eq!(data("label/__name__/values", &[]), metrics);
    assert_eq!(data("label/Device/values", &[]), json!(["1", "2", "3"]));
    let of = ("match[]", "tidegauge_sensor_score{Device!=\"2\"}");
    assert_eq!(data("label/Device/values", &[of]), json!(["1", "3"]));
    let series = data("series", &[of]);
    assert_eq!(series[1], json!({ "__name__": "tidegauge_sensor_score", "Device": "3" }));
    assert_eq!(ask("series", &[]).status, 400);
    assert!(data("metadata", &[])["tidegauge_windows"][0]["help"].is_string());
    assert_eq!(data("rules", &[]), json!({ "groups": [] }));
    assert!(data("status/buildinfo", &[])["version"].is_string());
}

#[test]
fn long_lists_are_cut_and_say_so() {
    let reply = ask("label/n/values", &[]);
    assert_eq!(reply.body["data"].as_array().map(Vec::len), Some(10_000));
    assert!(reply.body["warnings"].is_array());
    let reply =
        ask("label/n/values", &[("limit", "2"), ("match[]", "tidegauge_many{n=~\"1|2|3\"}")]);
    assert_eq!(reply.body["data"], json!(["1", "2"]));
    assert!(reply.body["warnings"].is_array());
    let reply = ask("series", &[("match[]", "tidegauge_many")]);
    assert_eq!(reply.body["data"].as_array().map(Vec::len), Some(10_000));
    assert!(reply.body["warnings"].is_array());
}

#[test]
fn trouble_has_its_status() {
    let reply = ask("query", &[("query", "tidegauge_windows")]);
    assert_eq!((reply.status, &reply.body["errorType"]), (503, &json!("unavailable")));
    assert_eq!(ask("admin/tsdb/delete_series", &[]).status, 404);
    assert_eq!(ask("label/a/b/values", &[]).status, 404);
    let many: Vec<_> = (0..65).map(|_| ("match[]", "tidegauge_windows")).collect();
    assert_eq!(ask("series", &many).status, 400);
}

#[test]
fn durations_are_those_of_prometheus() {
    let cases = [("5m", 300_000_000), ("1h30m", 5_400_000_000), ("250ms", 250_000)];
    for (text, us) in cases {
        assert_eq!(duration(text), Ok(us), "{text}");
    }
    for text in ["", "5", "m", "5 m", "99999999999999999999s", "9999999999999y"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn texts_may_have_quotes_and_escapes() {
    let read = |text: &str| {
        let read = expression(&format!("x{{a={text}}}")).expect("an expression");
        read.selector.matchers[0].only().map(str::to_owned)
    };
    assert_eq!(read(r#""say \"no\" \\ \n""#).as_deref(), Some("say \"no\" \\ \n"));
    assert_eq!(read("'it'").as_deref(), Some("it"));
    assert_eq!(read("`a\\d`").as_deref(), Some("a\\d"));
    assert!(expression("x{a=\"\\q\"}").is_err());
}
