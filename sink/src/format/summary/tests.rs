//! Summaries as they lie in storage: format 2, and format 1.

use super::*;
use crate::error::LakeError;
use crate::testing::MemoryStore;
use crate::testing::plant::{HOUR_US, committed_us, maintain, plant, produce, upkeep};

const GOLDEN_1: &[u8] = include_bytes!("../golden/summary-1.json");
const GOLDEN: &[u8] = include_bytes!("../golden/summary-2.json");

fn sample() -> Summary {
    decode("golden", GOLDEN).expect("format 2 stays readable").value
}

#[test]
fn a_summary_of_format_1_reads_as_it_always_did() {
    let opened = decode("golden", GOLDEN_1).expect("format 1 stays readable");
    assert!(opened.intact);
    assert_eq!(encode(&opened.value), GOLDEN_1, "and is written so where there are no events");
    let summary = opened.value;
    assert_eq!((summary.number, summary.lanes.len(), summary.files.len()), (2, 2, 2));
    assert_eq!((summary.replaced.len(), summary.expired.len()), (39, 1));
    let lane = &summary.lanes["t-1"];
    assert_eq!((lane.to, lane.opened, lane.counters.rows, lane.late_kept), (9, 1, 24, 8));
}

#[test]
fn a_summary_of_format_2_reads_as_it_always_did() {
    let opened = decode("golden", GOLDEN).expect("format 2 stays readable");
    assert!(opened.intact);
    assert_eq!(encode(&opened.value), GOLDEN, "and is written so");
    let lanes = opened.value.lanes.values();
    assert_eq!(lanes.map(|lane| lane.counters.events).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(opened.value.expired_of(crate::record::Table::Events, None), (6, 0));
}

#[test]
fn what_is_written_reads_the_same() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 5);
    maintain(&lake, &upkeep(), 1, committed_us(5) + 3 * HOUR_US).expect("it runs");
    let path = crate::paths::summary_path(1);
    let bytes = tidegauge_flow::Store::get(store.as_ref(), &path).expect("it is there");
    let opened = decode(&path, &bytes).expect("it reads");
    assert!(opened.intact);
    assert_eq!(encode(&opened.value), bytes);
}

#[test]
fn every_flipped_bit_of_a_summary_is_found() {
    for byte in 0..GOLDEN.len() {
        let mut bytes = GOLDEN.to_vec();
        bytes[byte] ^= 1 << (byte % 8);
        let trusted = decode("golden", &bytes).and_then(|opened| opened.intact("golden"));
        assert!(trusted.is_err(), "byte {byte}");
    }
}

#[test]
fn a_summary_of_a_later_format_is_refused_by_its_number() {
    let text = String::from_utf8(encode(&sample())).expect("text");
    let later = text.replace(r#""format":2"#, r#""format":7"#);
    let refused = decode("golden", later.as_bytes()).map(|opened| opened.value);
    assert!(matches!(refused, Err(LakeError::UnknownFormat { found: 7, known: 2, .. })));
}
