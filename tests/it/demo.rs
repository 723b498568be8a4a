//! `demo`, as somebody runs it who has nothing but the program.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{FOUR, Project, eventually};
use crate::metrics::get;

#[test]
fn the_demo_trains_models_shows_a_page_finds_faults_and_leaves_a_lake_that_is_proven() {
    let project = Project::new("127.0.0.1:1").write(FOUR);
    let mut command = project.command(&["demo", "--seconds", "10", "--lake", "shown"]);
    let mut demo = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("its output")).lines();
    let mut line = || lines.next().map(|line| line.expect("text"));
    let address = loop {
        let line = line().expect("it says where its page is");
        if let Some((_, address)) = line.split_once("http://") {
            break address.to_owned();
        }
    };
    let (status, page) = get(&address, "/").expect("the page");
    assert_eq!(status, 200, "{page}");
    let sensors = eventually("the page to know scored sensors", || {
        let (_, body) = get(&address, "/api/v1/sensors?limit=100")?;
        let body: Value = serde_json::from_str(&body).ok()?;
        let is_scored = |row: &Value| row["score"].is_number();
        body["rows"].as_array()?.iter().any(is_scored).then(|| body["total"].as_u64())
    });
    assert_eq!(sensors, Some(15));
    let said: String = std::iter::from_fn(line).map(|line| line + "\n").collect();
    let ended = demo.wait().expect("it ends");
    assert!(ended.success(), "{ended}: {said}");
    assert!(said.contains("verify: each reading counts once"), "{said}");
    let fault = |kind: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(kind));
        let numbers = line.unwrap_or_else(|| panic!("no {kind} in {said}")).split_whitespace();
        let numbers: Vec<u32> = numbers.filter_map(|word| word.parse().ok()).collect();
        (numbers[0], numbers[1])
    };
    for kind in ["spike", "stuck", "drift"] {
        let (injected, found) = fault(kind);
        assert!(injected > 0 && found * 2 > injected, "{kind}: {found} of {injected}: {said}");
    }
    project.ok(&["verify", "shown"]);
}
