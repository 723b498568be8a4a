//! The record of format 1 as it lies in storage.

use std::collections::BTreeMap;

use tidegauge_flow::{Partition, Span};

use super::*;
use crate::testing::writer;

const GOLDEN: &[u8] = include_bytes!("../golden/record-1.json");

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
        positions: BTreeMap::from([(partition.clone(), Span { from: 1, to: i64::MAX })]),
        watermark_ns: Some(-5),
        idle_moves: vec![IdleMove { from_ns: -6, to_ns: -5 }],
        closed_by: Some(ClosedBy::Drain),
        files: vec![file(Table::Predictions, Some((1, 2))), file(Table::Late, None)],
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
            filtered: 6,
            rows: 7,
            n_readings: 8,
            open: 9,
        },
        committed_at_us: 1,
    }
}

#[test]
fn a_record_of_format_1_reads_as_it_always_did() {
    let opened = decode("golden", GOLDEN).expect("format 1 stays readable");
    assert!(opened.intact);
    assert_eq!(opened.value, sample());
    assert_eq!(encode(&sample()), GOLDEN, "and is written so");
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
