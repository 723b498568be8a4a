//! The shape of the repository: dependency edges, module docs, sizes, forbidden calls.
//!
//! *Why a test*: these are the rules that a reader relies on without looking, and that no compiler
//! checks. What it forbids is spelled in two halves here, so that it does not find itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Packages that know `flow` and none of their like.
const STAGES: [&str; 4] = ["ingest", "aggregate", "score", "sink"];

/// Which packages may name which dependencies (`""` is the binary's); a star stands for any ending.
const OWNERS: [(&str, &[&str]); 9] = [
    ("rdkafka*", &["ingest"]),
    ("datafusion*", &["aggregate", ""]),
    ("linfa*", &["score"]),
    ("ort", &["score"]),
    ("axum*", &["serve"]),
    ("hyper*", &["serve"]),
    ("prometheus*", &["serve"]),
    ("clap*", &[""]),
    ("anyhow", &[""]),
];

const LINES_MAX: usize = 600;

/// What no Rust file has.
const FORBIDDEN: [(&str, &str); 5] = [
    (concat!("todo", "!("), "write it or leave it out"),
    (concat!("unimple", "mented!("), "write it or leave it out"),
    (concat!("#[ig", "nore"), "a test runs or does not exist"),
    (concat!("dbg", "!("), "a leftover of debugging"),
    (concat!("#![allow(miss", "ing_docs)]"), "say what the items are"),
];

/// What no test has.
const FORBIDDEN_IN_TESTS: [(&str, &str); 2] = [
    (concat!("thread::", "sleep"), "wait for what happens, not for time"),
    (concat!("time::", "sleep("), "wait for what happens, not for time"),
];

/// One package's folder (`""` is the binary's) and the dependencies it names, by kind.
struct Package {
    folder: &'static str,
    /// Those of the built package.
    normal: BTreeSet<String>,
    /// Those of its tests and benchmarks.
    dev: BTreeSet<String>,
}

#[test]
fn no_stage_depends_on_another_stage() {
    let mut wrong = Vec::new();
    for package in packages() {
        let allowed: &[&str] = match package.folder {
            "flow" => &[],
            "serve" => &["flow", "aggregate", "score"],
            "" => &["flow", "ingest", "aggregate", "score", "sink", "serve"],
            _ => &["flow"],
        };
        for dependency in package.normal.union(&package.dev) {
            let Some(ours) = dependency.strip_prefix("tidegauge-") else { continue };
            if !allowed.contains(&ours) {
                wrong.push(format!("{} depends on {ours}", named(package.folder)));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that point the wrong way: {wrong:#?}");
}

#[test]
fn each_large_dependency_has_its_one_place() {
    let mut wrong = Vec::new();
    for package in packages() {
        for dependency in package.normal.union(&package.dev) {
            for (pattern, owners) in OWNERS {
                if matches(pattern, dependency) && !owners.contains(&package.folder) {
                    wrong.push(format!("{} names {dependency}", named(package.folder)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies out of their place: {wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        if !text.starts_with("//!") {
            wrong.push(format!("{name} does not open with a module doc"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{name} has {lines} lines, more than {LINES_MAX}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_open_or_skipped() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        let in_tests = is_test(&name).then_some(FORBIDDEN_IN_TESTS);
        for (needle, why) in FORBIDDEN.into_iter().chain(in_tests.into_iter().flatten()) {
            for (number, _) in text.lines().enumerate().filter(|(_, l)| l.contains(needle)) {
                wrong.push(format!("{name}:{}: {needle}: {why}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_states_its_invariant_in_its_doc_and_in_the_architecture() {
    let root = root();
    let page = read(&root.join("docs/architecture.md"));
    let mut wrong = Vec::new();
    for folder in folders().into_iter().filter(|f| !f.is_empty()) {
        let doc: String = read(&root.join(folder).join("src/lib.rs"))
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .flat_map(|line| [line, "\n"])
            .collect();
        if !doc.contains("**Invariant:**") {
            wrong.push(format!("the doc of {folder}/src/lib.rs has no invariant"));
        }
        if !states_invariant(&page, folder) {
            wrong.push(format!("docs/architecture.md has no invariant of {folder}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn dashboards_and_alerts_ask_for_documented_metrics_only() {
    let root = root();
    // Those of the process, and those of the lake as a data source.
    let pages = ["docs/metrics.md", "docs/grafana.md"].map(|page| read(&root.join(page)));
    let rows = pages.iter().flat_map(|page| page.lines()).filter_map(|l| l.strip_prefix("| `"));
    let names = rows.flat_map(|row| row.split(" |").next().unwrap_or(row).split('`').step_by(2));
    let known: BTreeSet<&str> = names.collect();
    let mut files = Vec::new();
    walk(&root.join("deploy/prometheus"), &mut files);
    walk(&root.join("deploy/grafana"), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        for name in metric_names(&read(&file)) {
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| name.strip_suffix(part));
            if !known.contains(name.as_str()) && !base.is_some_and(|base| known.contains(base)) {
                wrong.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "metrics that no page has: {wrong:#?}");
}

#[test]
fn names_of_dependencies_are_read_from_every_form_of_a_manifest() {
    let manifest = r#"
[package]
name = "x"
[dependencies]
# comment = "1"
anyhow = "1"
axum.workspace = true
"rdkafka-sys" = { version = "4" } # why
[dependencies.linfa-svm]
version = "1"
features = ["a"]
[target.'cfg(unix)'.dependencies]
datafusion = "55"
renamed = { package = "clap", version = "4" }
[dev-dependencies]
tempfile = "3"
[features]
default = []
"#;
    let (normal, dev) = dependencies(manifest);
    let names = ["anyhow", "axum", "clap", "datafusion", "linfa-svm", "rdkafka-sys", "renamed"];
    assert_eq!(normal, names.map(str::to_owned).into());
    assert_eq!(dev, ["tempfile".to_owned()].into());
}

/// The repository's packages; a new member has to be given its place here.
fn folders() -> Vec<&'static str> {
    let mut folders = vec!["", "flow", "serve"];
    folders.extend(STAGES);
    let manifest = read(&root().join("Cargo.toml"));
    let members = manifest.lines().find_map(|l| l.strip_prefix("members = "));
    let members = members.expect("the workspace lists its members on one line");
    let listed: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    let known: BTreeSet<&str> = folders.iter().copied().filter(|f| !f.is_empty()).collect();
    assert_eq!(listed, known, "the members of the workspace are not those that tidy knows");
    folders
}

fn packages() -> Vec<Package> {
    let package = |folder| {
        let (normal, dev) = dependencies(&read(&root().join(folder).join("Cargo.toml")));
        assert!(!normal.is_empty(), "no dependency of {} was found", named(folder));
        Package { folder, normal, dev }
    };
    folders().into_iter().map(package).collect()
}

/// The names under `[dependencies]`, `[build-dependencies]` and their targets' forms, and those
/// under `[dev-dependencies]`. A renamed one counts under both names.
fn dependencies(manifest: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut found: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    let mut section: Option<bool> = None;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            let (table, name) = match header.split_once("dependencies.") {
                Some((table, name)) => (format!("{table}dependencies"), Some(name)),
                None => (header.to_owned(), None),
            };
            let ours = table.ends_with("dependencies") && table != "workspace.dependencies";
            section = ours.then(|| table.ends_with("dev-dependencies"));
            if let (Some(dev), Some(name)) = (section, name) {
                found.entry(dev).or_default().insert(name.trim_matches('"').to_owned());
                section = None;
            }
        } else if let (Some(dev), Some((key, value))) = (section, line.split_once('=')) {
            if line.starts_with('#') {
                continue;
            }
            let name = key.trim().trim_matches('"').split('.').next().unwrap_or_default();
            let names = found.entry(dev).or_default();
            names.insert(name.to_owned());
            if let Some((_, package)) = value.split_once("package = \"") {
                names.extend(package.split('"').next().map(str::to_owned));
            }
        }
    }
    (found.remove(&false).unwrap_or_default(), found.remove(&true).unwrap_or_default())
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn named(folder: &str) -> &str {
    if folder.is_empty() { "the binary" } else { folder }
}

fn is_test(name: &str) -> bool {
    name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("/tests.rs")
}

/// Every Rust file of ours, by its path from the root.
pub fn rust_files() -> Vec<(String, String)> {
    let root = root();
    let mut files = Vec::new();
    for folder in folders().into_iter().filter(|f| !f.is_empty()).chain(["src", "tests", "benches"])
    {
        walk(&root.join(folder), &mut files);
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "rs"));
    assert!(files.len() > 20, "only {} Rust files were found", files.len());
    let name = |file: &Path| file.strip_prefix(&root).unwrap_or(file).display().to_string();
    files.iter().map(|file| (name(file), read(file))).collect()
}

/// Every file below `folder`, in the order of their names, `target` left out.
pub fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}

/// Whether a paragraph that names the crate, or a section whose heading does, states an invariant.
fn states_invariant(page: &str, folder: &str) -> bool {
    let names = [format!("`{folder}/`"), format!("`{folder}`"), format!("`tidegauge-{folder}`")];
    let named = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
    let states = |text: &str| text.contains("**Invariant:**");
    let mut sections = page.split("\n#");
    sections.any(|section| states(section) && section.lines().next().is_some_and(named))
        || page.split("\n\n").any(|paragraph| states(paragraph) && named(paragraph))
}

/// The words of a text that begin like one of our metrics.
fn metric_names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let ours = ["tidegauge_", "process_"];
    let words = text.split(|c| !word(c));
    words.filter(|w| ours.iter().any(|p| w.starts_with(p))).map(str::to_owned).collect()
}

/// The repository: cargo runs tests in their package's folder.
pub fn root() -> PathBuf {
    std::env::current_dir().expect("a folder")
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
