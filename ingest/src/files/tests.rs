//! Files against their own bytes: positions join, resuming is exact, and nothing is read twice.

use std::fs;
use std::io::{self, Read};

use proptest::prelude::*;
use tempfile::TempDir;
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, Readings, Sensors};

use super::*;
use crate::decode::Decoder;
use crate::mapping::Limits;
use crate::reject::Reason;

fn mapping(message_bytes_max: usize) -> EventMapping {
    let column = KeyColumn { name: "Device".into(), kind: KeyType::Int64 };
    let key = Arc::new(KeySchema::new(vec![column]));
    let limits = Limits { message_bytes_max, ..Limits::default() };
    EventMapping { limits, ..EventMapping::new("TS", key, vec!["Value".into()]) }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    dir
}

/// All records of an input: path below `dir`, offset, text, offset after it.
fn records(files: &mut Files, max: usize) -> Vec<(String, i64, String, i64)> {
    let mut all = Vec::new();
    while let Some(batch) = files.next_batch(max).expect("files are readable") {
        assert!(!batch.is_empty() && batch.len() <= max);
        let file = batch.partition.input.rsplit('/').next().expect("a name").to_owned();
        for (message, next) in batch.messages() {
            let text = String::from_utf8_lossy(message.payload.expect("records have bytes"));
            all.push((file.clone(), message.offset, text.into_owned(), next));
        }
        let last = all.last().expect("batches are not empty").3;
        assert!(batch.span.from <= all[all.len() - batch.len()].1 && last <= batch.span.to);
    }
    all
}

#[test]
fn records_have_the_bytes_at_which_they_begin_and_after_which_they_end() {
    let dir = folder(&[
        ("a.jsonl", "\n{\"a\":1}\r\n \n{\"a\":\n{\"b\":2}"),
        ("b.csv", "TS,Device,Value\r\n1,2,3\r\n\r\n4,\"5\n\"\"6\",7\n"),
    ]);
    let mut files = Files::open(&[dir.path()], &mapping(100)).expect("a good folder");
    let record = |f: &str, from, text: &str, to| (f.to_owned(), from, text.to_owned(), to);
    let expected = vec![
        record("a.jsonl", 1, "{\"a\":1}", 10),
        record("a.jsonl", 12, "{\"a\":", 18),
        record("a.jsonl", 18, "{\"b\":2}", 25),
        record("b.csv", 17, "1,2,3", 24),
        record("b.csv", 26, "4,\"5\n\"\"6\",7", 38),
    ];
    assert_eq!(records(&mut files, 10), expected);
    for max in 1..4 {
        let mut files = Files::open(&[dir.path()], &mapping(100)).expect("a good folder");
        assert_eq!(records(&mut files, max), expected, "batches of {max}");
    }
}

#[test]
fn folders_are_read_in_the_order_of_paths_and_other_files_are_counted() {
    let line = "{}\n";
    let dir = folder(&[
        ("b/2.ndjson", line),
        ("b/1.JSON", line),
        ("a.jsonl", line),
        ("c.parquet", "PAR1"),
        ("b/.hidden.jsonl", line),
        ("readme", ""),
    ]);
    let mut files = Files::open(&[dir.path()], &mapping(100)).expect("a good folder");
    assert_eq!(files.ignored(), 3);
    assert_eq!(files.bytes(), 9);
    assert_eq!(files.partitions().len(), 3);
    let order: Vec<String> = records(&mut files, 10).into_iter().map(|r| r.0).collect();
    assert_eq!(order, ["a.jsonl", "1.JSON", "2.ndjson"]);
}

#[test]
fn inputs_that_cannot_be_read_right_are_refused_by_name() {
    let dir = folder(&[
        ("a.txt", ""),
        ("a.jsonl", "{}"),
        ("empty.csv", "\n"),
        ("missing.csv", "TS,Value\n"),
        ("none/x.txt", ""),
    ]);
    let path = |name: &str| dir.path().join(name);
    let cases = [
        (
            vec![path("a.txt")],
            "has an unknown extension, it must be .csv, .jsonl, .ndjson or .json",
        ),
        (
            vec![path("a.jsonl"), path("./a.jsonl")],
            "is named twice, its readings would count twice",
        ),
        (vec![path("empty.csv")], "is empty, a CSV file needs a header"),
        (vec![path("missing.csv")], "has 0 columns named \"Device\""),
        (vec![path("none")], "has no .csv, .jsonl, .ndjson or .json file"),
        (vec![path("absent.csv")], "cannot read"),
    ];
    for (paths, what) in cases {
        let error = Files::open(&paths, &mapping(100)).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
        assert!(error.contains(paths[0].file_name().expect("a name").to_str().expect("UTF-8")));
    }
}

#[test]
fn a_saved_position_that_does_not_fit_the_file_is_refused() {
    let dir = folder(&[("a.csv", "TS,Device,Value\n1,2,3\n4,5,6")]);
    let path = dir.path().join("a.csv");
    let mut files = Files::open(&[&path], &mapping(100)).expect("a good file");
    let partition = files.partitions().next().expect("one file").clone();
    for byte in [-1, 17, 21, 28] {
        files.seek(&partition, byte).expect_err("no record begins there");
    }
    files.seek(&Partition::new("other.csv", 0), 0).expect_err("not among the inputs");
    for (byte, count) in [(0, 2), (16, 2), (22, 1), (27, 0)] {
        let mut files = Files::open(&[&path], &mapping(100)).expect("a good file");
        files.seek(&partition, byte).expect("a record begins there");
        assert_eq!(records(&mut files, 10).len(), count, "from byte {byte}");
    }
}

#[test]
fn a_record_over_the_limit_is_one_message_that_is_too_large() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
    let dir = folder(&[("a.jsonl", &format!("{{}}\n{long}\n{{}}\n{long}"))]);
    let mapping = mapping(30);
    let mut files = Files::open(&[dir.path()], &mapping).expect("a good folder");
    let mut decoder = Decoder::new(Arc::new(mapping.clone()), Format::Json);
    let mut sensors = Sensors::new(mapping.key.clone(), 1);
    let mut reasons = Vec::new();
    while let Some(batch) = files.next_batch(1).expect("files are readable") {
        for (message, _) in batch.messages() {
            let mut out = Readings::new(1);
            let reject = decoder.decode(&message, 0, &mut sensors, &mut out).expect_err("bad");
            reasons.push(reject.reason);
        }
    }
    use Reason::{MissingField, TooLarge};
    assert_eq!(reasons, [MissingField, TooLarge, MissingField, TooLarge]);
}

/// Gives its bytes in pieces of the given sizes, in turns.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: Vec<usize>,
    turn: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()];
        self.turn += 1;
        let size = size.min(self.bytes.len()).min(buffer.len());
        buffer[..size].copy_from_slice(&self.bytes[..size]);
        self.bytes = &self.bytes[size..];
        Ok(size)
    }
}

/// The records of a text, the plain way: whole, by characters. (Offset, bytes, offset after.)
fn cut_slowly(text: &str, cut: Cut, bytes_max: usize) -> Vec<(i64, Vec<u8>, i64)> {
    let (mut found, mut start, mut quoted, mut cell_start) = (Vec::new(), 0, false, true);
    let bytes = text.as_bytes();
    for i in 0..=bytes.len() {
        let byte = bytes.get(i).copied();
        if byte == Some(b'"') && cut == Cut::Csv {
            // A doubled quote closes and opens again, which comes to the same.
            let doubled = !quoted && i > start && bytes[i - 1] == b'"' && !cell_start;
            if quoted {
                quoted = false;
            } else if cell_start || (doubled && opened(&bytes[start..i])) {
                quoted = true;
            }
            cell_start = false;
        } else if byte.is_none() || (byte == Some(b'\n') && !quoted) {
            let line = &bytes[start..i];
            let next = (i + 1).min(bytes.len());
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > bytes_max || !line.trim_ascii().is_empty() {
                let kept = line[..line.len().min(bytes_max + 1)].to_vec();
                found.push((start as i64, kept, next as i64));
            }
            (start, cell_start) = (next, true);
        } else {
            cell_start = byte == Some(b',') && !quoted;
        }
    }
    found
}

/// Whether the cell at the end of this part of a record began with a quote that is closed by now.
fn opened(record: &[u8]) -> bool {
    let mut rest = record;
    loop {
        if let Some(cell) = rest.strip_prefix(b"\"") {
            let mut at = 0;
            while at < cell.len() {
                match (cell[at], cell.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 2,
                    (b'"', None) => return true,
                    (b'"', Some(_)) => break,
                    _ => at += 1,
                }
            }
            rest = &cell[at.min(cell.len())..];
        }
        match rest.iter().position(|b| *b == b',') {
            Some(comma) => rest = &rest[comma + 1..],
            None => return false,
        }
    }
}

fn cut_quickly(
    text: &str,
    from: i64,
    cut: Cut,
    limits: (usize, usize),
    sizes: &[usize],
    max: usize,
) -> Vec<(i64, Vec<u8>, i64)> {
    let bytes = &text.as_bytes()[from as usize..];
    let pieces = Pieces { bytes, sizes: sizes.to_vec(), turn: 0 };
    let mut records = Records::new(pieces, from, cut, limits.0, limits.1);
    let mut found = Vec::new();
    while records.advance(max).expect("memory does not fail") {
        let (bytes, batch) = records.batch();
        found.extend(batch.iter().map(|r| (r.offset, bytes[r.place.clone()].to_vec(), r.next)));
        assert_eq!(batch.last().map(|r| r.next <= records.position()), Some(true));
        assert!(bytes.len() <= limits.0 + 2 + 2 * limits.1, "memory is bounded");
    }
    assert_eq!(records.position(), text.len() as i64, "all bytes are accounted for");
    found
}

proptest! {
    #[test]
    fn lines_are_cut_the_same_however_they_come(
        text in "([a ]{0,12}\r?\n|[b]{0,30}\n)*[c]{0,30}\r?",
        bytes_max in 1_usize..20,
        chunk in 1_usize..16,
        sizes in prop::collection::vec(1_usize..9, 1..4),
        max in 1_usize..5,
    ) {
        let expected = cut_slowly(&text, Cut::Lines, bytes_max);
        let limits = (bytes_max, chunk);
        let found = cut_quickly(&text, 0, Cut::Lines, limits, &sizes, max);
        prop_assert_eq!(&found, &expected);
        for (i, (_, _, next)) in expected.iter().enumerate() {
            let rest = cut_quickly(&text, *next, Cut::Lines, limits, &sizes, max);
            prop_assert_eq!(&rest, &expected[i + 1..], "resumed at {}", next);
        }
    }

    #[test]
    fn csv_records_are_cut_the_same_however_they_come(
        text in "[a,\"\n]{0,60}",
        bytes_max in 1_usize..20,
        chunk in 1_usize..16,
        sizes in prop::collection::vec(1_usize..9, 1..4),
        max in 1_usize..5,
    ) {
        let expected = cut_slowly(&text, Cut::Csv, bytes_max);
        let limits = (bytes_max, chunk);
        let found = cut_quickly(&text, 0, Cut::Csv, limits, &sizes, max);
        prop_assert_eq!(&found, &expected);
        for (i, (_, _, next)) in expected.iter().enumerate() {
            let rest = cut_quickly(&text, *next, Cut::Csv, limits, &sizes, max);
            prop_assert_eq!(&rest, &expected[i + 1..], "resumed at {}", next);
        }
    }

    #[test]
    fn csv_files_have_the_records_that_the_csv_crate_finds(
        rows in prop::collection::vec(prop::collection::vec("[a\",\n]{0,5}", 2), 0..8),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).expect("memory does not fail");
        }
        let bytes = writer.into_inner().expect("memory does not fail");
        let text = String::from_utf8(bytes).expect("cells are UTF-8");
        let found = cut_quickly(&text, 0, Cut::Csv, (1000, 7), &[3], 3);
        prop_assert_eq!(found.len(), rows.len());
        for ((_, record, _), row) in found.iter().zip(&rows) {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&record[..]);
            let read = reader.records().next().expect("one record").expect("good CSV");
            prop_assert!(read.iter().eq(row.iter().map(String::as_str)));
        }
    }
}
