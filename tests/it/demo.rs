//! `demo`, as somebody runs it who has nothing but the program.

use crate::harness::{FOUR, Project};

#[test]
fn the_demo_trains_models_finds_faults_and_leaves_a_lake_that_is_proven() {
    let project = Project::new("127.0.0.1:1").write(FOUR);
    let said = project.ok(&["demo", "--seconds", "10", "--lake", "shown"]);
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
