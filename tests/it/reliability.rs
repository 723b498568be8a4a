//! The page of promises against what there is: each number's tests and planted faults, as named.
//!
//! *How to bring the page up to date*: run this test with `TIDEGAUGE_UPDATE` set. Promises are written by
//! hand; which tests and faults show them is found in the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::tidy::{read, root, rust_files, walk};

/// The failure modes that concern this program so far; 41 is about formats that do not exist here yet.
const NUMBERS: std::ops::RangeInclusive<u32> = 1..=52;
const NUMBERS_BESIDE: [u32; 2] = [56, 57];
const NOT_YET: [u32; 1] = [41];

/// Cells by number.
type Cells = BTreeMap<u32, BTreeSet<String>>;

#[test]
fn the_reliability_page_names_the_tests_and_faults_that_there_are() {
    let path = root().join("docs/reliability.md");
    let page = read(&path);
    let (tests, faults) = (tests(), faults());
    let mut promised = BTreeSet::new();
    let lines = page.lines().map(|line| match promise(line) {
        Some((number, promise)) => {
            promised.insert(number);
            let cell = |cells: &Cells| {
                let cell =
                    cells.get(&number).map(|names| names.iter().cloned().collect::<Vec<_>>());
                cell.unwrap_or_default().join(", ")
            };
            format!("| {number} | {promise} | {} | {} |", cell(&tests), cell(&faults))
        }
        None => line.to_owned(),
    });
    let renewed: String = lines.map(|line| line + "\n").collect();
    if std::env::var_os("TIDEGAUGE_UPDATE").is_some() {
        fs::write(&path, &renewed).expect("the page can be written");
    }
    let wanted = NUMBERS.chain(NUMBERS_BESIDE).filter(|number| !NOT_YET.contains(number));
    assert_eq!(promised, wanted.collect(), "numbers that have a promise");
    for number in promised {
        assert!(tests.contains_key(&number), "number {number} has no test that names it");
        assert!(faults.contains_key(&number), "number {number} has no planted fault");
    }
    let stale = renewed.lines().zip(page.lines()).find(|(new, old)| new != old);
    assert_eq!(stale, None, "(wanted, found): run this test with TIDEGAUGE_UPDATE=1");
}

#[test]
fn every_planted_fault_says_its_test_and_its_promise() {
    let mut wrong = Vec::new();
    for path in fault_files() {
        let text = read(&path);
        for field in ["# test: ", "# promise: "] {
            if !text.lines().any(|line| line.starts_with(field) && line.len() > field.len()) {
                wrong.push(format!("{} has no {field}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The number and the promise of a row.
fn promise(line: &str) -> Option<(u32, &str)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    Some((cells.next()?.parse().ok()?, cells.next()?))
}

/// `fm_07_wrong_times` names 7, `fm_01_06_fm_14_windows` three.
fn numbers(name: &str) -> Vec<u32> {
    let words = name.split('_').skip_while(|word| *word != "fm");
    let words = words.take_while(|word| *word == "fm" || word.parse::<u32>().is_ok());
    words.filter_map(|word| word.parse().ok()).collect()
}

fn tests() -> Cells {
    let mut cells = Cells::new();
    for (file, text) in rust_files() {
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("fn "));
        for name in names.filter_map(|rest| rest.split('(').next()) {
            for number in numbers(name) {
                cells.entry(number).or_default().insert(format!("`{name}` ({file})"));
            }
        }
    }
    cells
}

fn faults() -> Cells {
    let mut cells = Cells::new();
    for path in fault_files() {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        for number in numbers(&name.replace('-', "_")) {
            cells.entry(number).or_default().insert(format!("`{name}`"));
        }
    }
    cells
}

fn fault_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(Path::new(&root().join("tests/faults")), &mut files);
    files.retain(|file| file.extension().is_some_and(|end| end == "patch"));
    files
}
