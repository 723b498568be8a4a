//! The lake's series over real connections, as a Grafana asks.

use std::sync::Arc;

use super::{ANYWHERE, start};
use crate::http::{HttpLimits, HttpSettings, Server, Site};
use crate::{Health, Metrics};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const QUERY: &str = "/prometheus/api/v1/query";

#[test]
fn a_question_comes_in_the_address_or_as_a_form() {
    let fixture = start(HttpLimits::default());
    let by_get = fixture.request(&format!("GET {QUERY}?query=1%2B1&time=4"), &[], "");
    assert_eq!(by_get.status, 200, "{by_get:?}");
    assert_eq!(by_get.header("content-type"), Some("application/json"));
    assert!(by_get.body.contains(r#""result":[4.0,"2"]"#), "{by_get:?}");
    let by_post = fixture.request(&format!("POST {QUERY}"), &[FORM], "query=1%2B1&time=4");
    assert_eq!(by_post.body, by_get.body);
    let wrong = fixture.request(&format!("GET {QUERY}?query=rate(x)"), &[], "");
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains(r#""errorType":"bad_data""#), "{wrong:?}");
    let label = fixture.request("GET /prometheus/api/v1/label/Device/values", &[], "");
    assert!(label.body.contains(r#"["1","2","3"]"#), "{label:?}");
    let text = fixture.metrics.text();
    assert!(text.contains(r#"route="/prometheus/api/v1""#), "{text}");
}

#[test]
fn what_is_no_form_or_too_long_is_refused() {
    let fixture = start(HttpLimits { body_bytes: 1_000, ..HttpLimits::default() });
    let json = [("content-type", "application/json")];
    assert_eq!(fixture.request(&format!("POST {QUERY}"), &json, "{}").status, 415);
    let long = format!("query={}", "1".repeat(2_000));
    assert_eq!(fixture.request(&format!("POST {QUERY}"), &[FORM], &long).status, 413);
}

#[test]
fn a_process_without_a_lake_says_so() {
    let (metrics, health) = (Arc::new(Metrics::new().expect("names")), Arc::new(Health::new()));
    let site = Site { metrics, health, console: None, series: None };
    let server = Server::start(HttpSettings::on(ANYWHERE), site).expect("a free port");
    let mut stream = std::net::TcpStream::connect(server.local_addr()).expect("it listens");
    let answer = super::client::request(&mut stream, &format!("GET {QUERY}?query=1"), &[], "");
    assert_eq!(answer.status, 404, "{answer:?}");
}
