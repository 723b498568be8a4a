//! What the planner takes and what it refuses, with the words it uses.

use std::sync::Arc;

use tidegauge_flow::{KeyColumn, KeySchema, KeyType, ReadingSchema};

use super::*;

pub(crate) fn readings() -> ReadingSchema {
    let key = |name: &str| KeyColumn { name: name.into(), kind: KeyType::Int64 };
    ReadingSchema {
        key: Arc::new(KeySchema::new(vec![key("Device"), key("Sensor")])),
        time: "TS".into(),
        values: vec!["Value".into(), "Other".into()],
    }
}

const TAIL: &str =
    r#"FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"#;

#[test]
fn accepted_queries_give_their_features_in_order() {
    let cases = [
        (format!(r#"SELECT "Device", "Sensor", avg("Value") AS mean, count(*) AS n {TAIL}"#), vec!["mean", "n"]),
        (format!(r#"SELECT max("Value") - min("Value") AS spread, "Sensor" {TAIL}"#), vec!["spread"]),
        (format!(r#"SELECT CASE WHEN avg("Value") > 3 THEN 1 ELSE 0 END AS high {TAIL}"#), vec!["high"]),
        (format!(r#"SELECT sum("Value" + 1) AS a, sum("Value" + 2) AS b {TAIL}"#), vec!["a", "b"]),
        (format!(r#"SELECT first_value("Value" ORDER BY "TS") AS f, last_value("Value" ORDER BY "TS") AS l {TAIL}"#), vec!["f", "l"]),
        (format!(r#"SELECT median("Value") AS m, percentile_cont("Value", 0.95) AS p, approx_percentile_cont("Value", 0.5) AS a {TAIL}"#), vec!["m", "p", "a"]),
        (format!(r#"SELECT count(DISTINCT "Value") AS d, corr("Value", "Other") AS c {TAIL}"#), vec!["d", "c"]),
        (r#"SELECT stddev("Value") AS s FROM readings WHERE "Device" = 1 AND "Value" IS NOT NULL GROUP BY "Sensor", hop("TS", INTERVAL '5 seconds', INTERVAL '1 minute'), "Device""#.into(), vec!["s"]),
    ];
    for (sql, features) in cases {
        let query = Query::plan(&sql, &readings()).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let names: Vec<_> = query.output().fields().iter().map(|f| f.name().clone()).collect();
        let expected: Vec<_> = ["Device", "Sensor", "window_start", "window_end"]
            .iter()
            .copied()
            .chain(features)
            .collect();
        assert_eq!(names, expected, "{sql}");
    }
}

#[test]
fn refused_queries_are_told_what_and_where() {
    let group = r#"GROUP BY "Device", "Sensor""#;
    let cases = [
        (format!(r#"SELECT DISTINCT avg("Value") AS m {TAIL}"#), "SELECT DISTINCT at line 1, column 1"),
        (format!(r#"SELECT avg("Value") AS m {TAIL} HAVING avg("Value") > 1"#), "HAVING at line 1"),
        (format!(r#"SELECT avg("Value") AS m {TAIL} ORDER BY m"#), "ORDER BY"),
        (format!(r#"SELECT avg("Value") AS m {TAIL} LIMIT 3"#), "LIMIT"),
        (format!(r#"SELECT avg("Value") FILTER (WHERE "Value" > 1) AS m {TAIL}"#), "FILTER"),
        (format!(r#"SELECT avg(DISTINCT "Value") AS m {TAIL}"#), "avg DISTINCT"),
        (format!(r#"SELECT nth_value("Value", 2) AS m {TAIL}"#), "nth_value"),
        (format!(r#"SELECT first_value("Value") AS m {TAIL}"#), "first_value without ORDER BY"),
        (format!(r#"SELECT avg("Value") + random() AS m {TAIL}"#), "random at line 1"),
        (format!(r#"SELECT max("Value") AS m, now() AS t {TAIL}"#), "now at line 1"),
        (format!(r#"SELECT avg("Value") AS window_end {TAIL}"#), "\"window_end\" is a column that tidegauge adds"),
        (format!(r#"SELECT avg("Value") AS score {TAIL}"#), "\"score\""),
        (format!(r#"SELECT avg("Value") AS "Device" {TAIL}"#), "the alias \"Device\""),
        (format!(r#"SELECT "Device" AS d, avg("Value") AS m {TAIL}"#), "the alias d"),
        (format!(r#"SELECT "Device" {TAIL}"#), "selects no feature"),
        (format!(r#"SELECT avg("Value") AS m, tumble("TS", INTERVAL '5 seconds') AS w {TAIL}"#), "tumble in the SELECT list"),
        (r#"WITH x AS (SELECT 1) SELECT avg("Value") AS m FROM readings"#.into(), "WITH"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}"#), "without a window call"),
        (r#"SELECT avg("Value") AS m FROM readings GROUP BY "Device", tumble("TS", INTERVAL '1 second')"#.into(), "GROUP BY without \"Sensor\""),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, "Value", tumble("TS", INTERVAL '1 second')"#), "Value"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, tumble("TS", INTERVAL '1 second'), tumble("TS", INTERVAL '2 seconds')"#), "exactly one window call"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, tumble("Device", INTERVAL '1 second')"#), "first argument must be the time column"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, tumble("TS", INTERVAL '0 seconds')"#), "longer than nothing"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, tumble("TS", INTERVAL '1 month')"#), "months"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, hop("TS", INTERVAL '2 seconds', INTERVAL '1 second')"#), "slide is longer"),
        (format!(r#"SELECT avg("Value") AS m FROM readings {group}, tumble("TS", 5)"#), "no constant interval"),
        (format!(r#"SELECT avg("Value") AS m FROM other {group}, tumble("TS", INTERVAL '1 second')"#), "the only table is readings"),
        (format!(r#"SELECT avg("Value") AS m FROM readings JOIN readings r2 ON true {group}, tumble("TS", INTERVAL '1 second')"#), "a join"),
        (format!(r#"SELECT avg("Value") OVER () AS m {TAIL}"#), "avg OVER"),
        (format!(r#"SELECT avg((SELECT 1)) AS m {TAIL}"#), "a subquery"),
        (format!(r#"SELECT avg("Missing") AS m {TAIL}"#), "Missing"),
        (format!(r#"SELECT approx_distinct("Value") AS m {TAIL}"#), "approx_distinct"),
        ("SELEC 1".into(), "not valid"),
        ("INSERT INTO readings VALUES (1)".into(), "not supported"),
        (String::new(), "not valid"),
    ];
    for (sql, expected) in cases {
        let error =
            Query::plan(&sql, &readings()).err().unwrap_or_else(|| panic!("accepted: {sql}"));
        assert!(error.to_string().contains(expected), "{sql}\n  says: {error}\n  not: {expected}");
    }
}

#[test]
fn the_hash_ignores_white_space_and_sees_everything_else() {
    let base =
        Query::plan(&format!(r#"SELECT avg("Value") AS m {TAIL}"#), &readings()).expect("plans");
    let spaced =
        Query::plan(&format!("SELECT  avg(\"Value\")\n AS m {TAIL}"), &readings()).expect("plans");
    let other =
        Query::plan(&format!(r#"SELECT max("Value") AS m {TAIL}"#), &readings()).expect("plans");
    let mut renamed = readings();
    renamed.values.push("Third".into());
    let wider =
        Query::plan(&format!(r#"SELECT avg("Value") AS m {TAIL}"#), &renamed).expect("plans");
    assert_eq!(base.hash(), spaced.hash());
    assert_ne!(base.hash(), other.hash());
    assert_ne!(base.hash(), wider.hash());
}
