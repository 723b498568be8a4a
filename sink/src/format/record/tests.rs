//! Records as they lie in storage: format 3, format 2, and format 1 as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_flow::{Partition, Span};

use super::*;
use crate::digest::Digest;
use crate::record::{CheckpointRef, Counters, FileRef, Jump, JumpReason, Table};
use crate::testing::writer;

const GOLDEN_1: &[u8] = include_bytes!("../golden/record-1.json");
const GOLDEN_2: &[u8] = include_bytes!("../golden/record-2.json");
const GOLDEN: &[u8] = include_bytes!("../golden/record-3.json");

fn sample() -> Record {
    let partition = Partition::new("sensors \"ä\"", 3);
    let digest = Digest::of(b"x");
    let file = |table, window_end_us| FileRef {
        table,
        path: "predictions/date=2026-01-31/f.parquet".to_owned(),
        rows: 2,
        bytes: 3,
        sha256: digest,
        window_end_us,
    };
    Record {
        generation: 1,
        lane: "sensors-3".to_owned(),
        epoch: 7,
        kind: Kind::Epoch,
        writer: writer(1),
        previous: Some(digest),
        recovered: 5,
        inputs: BTreeMap::from([(Arc::clone(&partition.input), "MkTQ-a_b".to_owned())]),
        jumps: vec![
            Jump { partition: partition.clone(), from: -1, to: 1, why: JumpReason::Retention },
            Jump { partition: Partition::new("b", 0), from: 9, to: 0, why: JumpReason::Recreated },
        ],
        positions: BTreeMap::from([(partition.clone(), Span { from: 1, to: i64::MAX })]),
        watermark_ns: Some(-5),
        idle_moves: vec![IdleMove { from_ns: -6, to_ns: -5 }],
        closed_by: Some(ClosedBy::Drain),
        files: vec![
            file(Table::Predictions, Some((1, 2))),
            file(Table::Late, None),
            file(Table::Events, None),
        ],
        checkpoint: Some(CheckpointRef {
            epoch: 7,
            path: "_tidegauge/state/sensors-3/7".to_owned(),
            bytes: 9,
            sha256: digest,
            positions: BTreeMap::from([(partition, i64::MAX)]),
        }),
        model_sets: vec![1, u64::MAX],
        counters: Counters {
            messages: 1,
            readable: 2,
            rejected: 3,
            aggregated: 4,
            late: 5,
            late_closed: 10,
            late_arrival: 11,
            late_out_of_order: 12,
            filtered: 6,
            duplicate: 14,
            rows: 7,
            n_readings: 8,
            superseded: 13,
            events: 15,
            open: 9,
        },
        committed_at_us: 1,
    }
}

/// The sample without anomaly events, of which format 2 knows nothing.
fn sample_2() -> Record {
    let mut sample = sample();
    sample.files.retain(|file| file.table != Table::Events);
    sample.counters.events = 0;
    sample
}

/// The sample as far as format 1 could tell it.
fn sample_1() -> Record {
    let known = sample_2().counters;
    let late = Counters { late_closed: 5, late_arrival: 0, late_out_of_order: 0, ..known };
    Record {
        inputs: BTreeMap::new(),
        jumps: Vec::new(),
        counters: Counters { superseded: 0, duplicate: 0, ..late },
        ..sample_2()
    }
}

#[test]
fn a_record_of_format_1_reads_as_it_always_did() {
    let opened = decode("golden", GOLDEN_1).expect("format 1 stays readable");
    assert!(opened.intact);
    assert_eq!(opened.value, sample_1());
}

#[test]
fn a_record_of_format_2_reads_as_it_always_did() {
    let opened = decode("golden", GOLDEN_2).expect("format 2 stays readable");
    assert!(opened.intact);
    assert_eq!(opened.value, sample_2());
    assert_eq!(encode(&sample_2()), GOLDEN_2, "and is written so where there are no events");
}

#[test]
fn a_record_of_format_3_reads_as_it_always_did() {
    let opened = decode("golden", GOLDEN).expect("format 3 stays readable");
    assert!(opened.intact);
    assert_eq!(opened.value, sample());
    assert_eq!(encode(&sample()), GOLDEN, "and is written so");
}

#[test]
fn a_record_of_a_later_format_is_refused_by_its_number() {
    let body = String::from_utf8(GOLDEN.to_vec()).expect("text");
    let later = body.replace(r#""format":3"#, r#""format":4"#);
    let refused = decode("golden", later.as_bytes()).map(|opened| opened.value);
    assert!(matches!(refused, Err(LakeError::UnknownFormat { found: 4, known: 3, .. })));
    for (older, lacks) in [(1, "jumps"), (2, "events")] {
        let mixed = body.replace(r#""format":3"#, &format!(r#""format":{older}"#));
        assert!(decode("golden", mixed.as_bytes()).is_err(), "format {older} has no {lacks}");
    }
}

#[test]
fn every_flipped_bit_of_a_record_is_found() {
    for bit in 0..GOLDEN.len() * 8 {
        let mut bytes = GOLDEN.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let trusted = decode("golden", &bytes).and_then(|opened| opened.intact("golden"));
        assert!(trusted.is_err(), "bit {bit}");
    }
    for length in 0..GOLDEN.len() {
        assert!(decode("golden", &GOLDEN[..length]).is_err(), "cut to {length} bytes");
    }
}
