//! What a dashboard asks for must be there in a live scrape.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::harness::{MEAN, Project, data, eventually, kafka};

pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_string()))
}

/// Every metric that the dashboard's expressions name.
fn dashboard_metrics() -> BTreeSet<String> {
    let path = "deploy/grafana/dashboards/operations.json";
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the dashboard")).expect("JSON");
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 10, "the dashboard has only {} expressions", expressions.len());
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = expressions.iter().flat_map(|e| e.split(|c| !word(c)));
    let ours = |name: &&str| name.starts_with("tidegauge_") || name.starts_with("process_");
    names.filter(ours).map(String::from).collect()
}

fn collect(value: &serde_json::Value, expressions: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(expression) = map.get("expr").and_then(|e| e.as_str()) {
                expressions.push(expression.to_string());
            }
            map.values().for_each(|v| collect(v, expressions));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|v| collect(v, expressions)),
        _ => {}
    }
}

#[test]
fn fm_57_every_metric_of_the_dashboard_is_in_a_live_scrape() {
    let Some(brokers) = kafka() else { return };
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let address = address.to_string();
    // What is asked of alerts is there with the first alert.
    let end = format!(
        "[http]\nlisten = \"{address}\"\n[events]\nopen = 2\n[[alerts]]\nname = \"told\"\nkind = \"kafka\"\n\
         topic = \"nobody-listens\"\n"
    );
    // One thread: with two, lanes may go from one to the other, and their counters begin anew.
    let project = Project::new(&brokers).with("source", "threads = 1\n", MEAN);
    let project = project.with("end", &end, MEAN);
    project.publish(&data("seedlike/readings.csv"));
    let running = project.start_run(&[]);
    let scrape = eventually("3,000 readings in the metrics", || {
        let (status, body) = get(&address, "/metrics")?;
        let read: f64 = body
            .lines()
            .filter(|l| l.starts_with("tidegauge_ingest_readings_total"))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        (status == 200 && read >= 3_000.0).then_some(body)
    });
    assert_eq!(get(&address, "/health/live").map(|(status, _)| status), Some(200));
    eventually("readiness", || get(&address, "/health/ready").filter(|(status, _)| *status == 200));

    let series: BTreeSet<&str> = scrape
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let wanted = dashboard_metrics();
    assert!(wanted.len() > 10, "{wanted:?}");
    let missing: Vec<_> = wanted.iter().filter(|name| !series.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in the scrape: {missing:?}");
    assert!(running.sigterm().success(), "a signal ends it in order");
    project.ok(&["verify", "lake"]);
}
