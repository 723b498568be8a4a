//! Damage in a lake whose beginning only a summary holds.

use std::sync::Arc;

use tidegauge_flow::Store;

use super::assert_found;
use crate::digest::Digest;
use crate::paths::{LEDGER, SUMMARIES, record_path, summary_path};
use crate::testing::MemoryStore;
use crate::testing::plant::{HOUR_US, committed_us, maintain, plant, produce, proof, upkeep};
use crate::{Options, Repair, Summary, Upkeep, format, parquet, verify_with};

/// Thirteen steps, maintained; of the records only each lane's newest is left.
fn maintained() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 13);
    maintain(&lake, &upkeep(), 1, committed_us(12) + 3 * HOUR_US).expect("it runs");
    assert_eq!(store.paths(LEDGER).len(), 2);
    assert_eq!(proof(store.as_ref()).problems, []);
    store
}

/// Writes the summary anew, with a digest that fits.
fn rewrite(store: &MemoryStore, change: impl FnOnce(&mut Summary)) -> String {
    let path = summary_path(1);
    store.edit(&path, |bytes| {
        let mut summary = format::summary::decode(&path, bytes).expect("it is whole").value;
        change(&mut summary);
        *bytes = format::summary::encode(&summary);
    });
    path
}

#[test]
fn a_summary_that_is_edited_or_missing_is_named() {
    let store = maintained();
    let path = summary_path(1);
    store.edit(&path, |bytes| {
        let at = bytes.len() - 200;
        bytes[at] ^= 1;
    });
    assert!(proof(store.as_ref()).problems.iter().any(|p| p.path == path));
    store.delete(&path).expect("it goes");
    for lane in ["t-0", "t-1"] {
        assert_found(&store, &record_path(lane, 14), "some are missing");
    }
}

#[test]
fn records_that_a_summary_shows_to_have_existed_are_missed() {
    let store = maintained();
    let newest = record_path("t-1", 14);
    store.delete(&newest).expect("it goes");
    assert_found(&store, &newest, "a summary holds it and the newest record is 0");
    let repair = proof(store.as_ref()).problems[0].repair;
    assert_eq!(repair, Repair::RestoreLedger);
}

#[test]
fn records_that_a_checkpoint_shows_to_have_existed_are_missed() {
    let store = MemoryStore::new();
    produce(&plant(store.clone()), 3);
    for epoch in [3, 4] {
        store.delete(&record_path("t-0", epoch)).expect("it goes");
    }
    let checkpoint = store.paths("_tidegauge/state/t-0/").pop().expect("there is one");
    assert_found(&store, &checkpoint, "it is of epoch 4 and the newest record of lane t-0 is 2");
}

#[test]
fn a_summary_that_tells_another_story_is_named() {
    type Change = fn(&mut Summary);
    let changes: [(Change, &str); 6] = [
        (|s| s.files.truncate(3), "it counts 26 rows of rejects, its files have 0"),
        (|s| lane(s).counters.rows -= 1, "it counts 77 rows of predictions"),
        (|s| lane(s).counters.n_readings += 1, "it counts 157 readings in its rows"),
        (|s| lane(s).counters.rejected += 1, "lane t-0: 104 messages are not"),
        (|s| lane(s).late_kept += 1, "it counts 27 rows of late, its files have 26"),
        (|s| s.generation = 2, "it has generation 2 and the lake 1"),
    ];
    fn lane(summary: &mut Summary) -> &mut crate::LaneSummary {
        summary.lanes.get_mut("t-0").expect("it is there")
    }
    for (change, what) in changes {
        let store = maintained();
        let path = rewrite(&store, change);
        assert_found(&store, &path, what);
    }
    let store = maintained();
    rewrite(&store, |s| lane(s).digest = Digest::of(b"another"));
    assert_found(&store, &record_path("t-0", 14), "the summary holds another record");
    // Rows moved from one lane to the other leave the whole as it was.
    let store = maintained();
    let path = rewrite(&store, |s| {
        let one = lane(s);
        (one.counters.rows, one.counters.n_readings) =
            (one.counters.rows - 1, one.counters.n_readings - 2);
        let other = s.lanes.get_mut("t-1").expect("it is there");
        other.counters.rows += 1;
        other.counters.n_readings += 2;
    });
    assert_found(
        &store,
        &path,
        "lane t-0 counts 38 rows of 76 readings, and its rows are 39 of 78",
    );
}

#[test]
fn a_summary_is_held_against_the_records_that_are_still_there() {
    let store = MemoryStore::new();
    let lake = plant(store.clone());
    produce(&lake, 13);
    let long = Upkeep { keep_ledger_us: i64::MAX, ..upkeep() };
    maintain(&lake, &long, 1, committed_us(12) + 3 * HOUR_US).expect("it runs");
    assert_eq!(proof(store.as_ref()).problems, []);
    rewrite(&store, |s| {
        s.lanes.get_mut("t-0").expect("it is there").watermark_ns = Some(1);
    });
    assert_found(&store, SUMMARIES, "it tells of lane t-0 what its records do not");
}

#[test]
fn a_compacted_file_with_other_rows_is_named_although_its_digest_fits() {
    let store = maintained();
    let path = store.paths("predictions/date=2026-01-31/c").remove(0);
    let bytes = store.get(&path).expect("it is there");
    let batches = parquet::read(bytes).expect("it is parquet");
    let schema = batches[0].schema();
    // The first row takes the place of the last.
    let batch = &batches[0];
    let pieces = [batch.slice(0, batch.num_rows() - 1), batch.slice(0, 1)];
    let forged = parquet::encode(schema, &pieces, &[]).expect("it encodes");
    store.put(&path, &forged).expect("the store takes it");
    rewrite(&store, |summary| {
        let live = summary.files.iter_mut().find(|live| live.file.path == path).expect("named");
        (live.file.bytes, live.file.sha256) = (forged.len() as u64, Digest::of(&forged));
    });
    assert_found(&store, &path, "1 of its rows are there twice");
    assert_found(&store, &summary_path(1), "lane t-1 counts 39 rows");
}

#[test]
fn any_number_of_threads_and_passes_finds_the_same() {
    let store = maintained();
    let file = store.paths("predictions/date=2026-01-31/c").remove(0);
    store.edit(&file, |bytes| bytes[40] ^= 1);
    let expected = proof(store.as_ref());
    assert!(!expected.is_clean());
    for threads in [1, 2, 7] {
        for rows_max in [1, 5, 1000] {
            let options = Options { threads, rows_max, ..Options::default() };
            let found = verify_with(store.as_ref(), options, &|_, _| ()).expect("a lake");
            assert_eq!(found.problems, expected.problems, "{options:?}");
            assert_eq!((found.rows, found.files), (expected.rows, expected.files));
        }
    }
}
