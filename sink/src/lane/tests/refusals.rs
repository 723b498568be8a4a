//! What a lane refuses, and that a refusal changes nothing.

use tidegauge_flow::{Partition, Span, Store};

use crate::error::LakeError;
use crate::record::Table;
use crate::testing::{
    LANE, MemoryStore, NOW_US, STEP, assert_whole, cut, live, open, partition, predictions,
    rewrite, writer,
};
use crate::{Counters, Cut};

fn check(change: impl FnOnce(&mut Cut), expected: &str) {
    let store = MemoryStore::new();
    let mut lane = open(&store).take(LANE, writer(1), NOW_US).expect("free");
    lane.commit(cut(0, 1), NOW_US).expect("in order");
    let before = store.paths("");
    let mut wrong = cut(STEP, 1);
    change(&mut wrong);
    match lane.commit(wrong, NOW_US) {
        Err(LakeError::Refused { what, .. }) => {
            assert!(what.contains(expected), "{what:?} should say {expected:?}");
        }
        other => panic!("{expected}: {other:?}"),
    }
    assert_eq!(store.paths(""), before, "{expected}");
    lane.commit(cut(STEP, 3), NOW_US).expect("a refusal changes nothing");
    assert_whole(store.as_ref(), expected);
}

#[test]
fn a_cut_that_contradicts_the_ledger_or_itself_is_refused() {
    let span = |from, to| vec![(partition(), Span { from, to })];
    check(|cut| cut.spans = span(STEP + 1, 30), "starts at 11 and not at 10");
    check(|cut| cut.spans = span(STEP - 1, 30), "starts at 9 and not at 10");
    check(|cut| cut.spans = span(STEP, 9), "goes back from 10 to 9");
    check(|cut| cut.spans.extend(span(STEP, 20)), "has two spans");
    check(|cut| cut.watermark_ns = Some(9), "the watermark goes back from 10 to 9");
    check(|cut| cut.counters.messages += 1, "11 messages are not 9 readable and 1 rejected");
    check(|cut| cut.counters.filtered += 1, "9 readable messages are not");
    check(|cut| cut.counters.late_arrival += 1, "1 late readings are not 1 with closed windows, 1");
    check(|cut| cut.counters.rows += 1, "predictions has 2 rows and the counter is 3");
    check(|cut| cut.tables.truncate(2), "rejects has 0 rows and the counter is 1");
    let one = || predictions(&[(1, 0, 1)]);
    let lacking = |name| {
        let batch = one();
        let keep = |i: &usize| batch.schema().field(*i).name() != name;
        let columns: Vec<_> = (0..batch.num_columns()).filter(keep).collect();
        vec![(Table::Predictions, vec![batch.project(&columns).expect("fewer columns")])]
    };
    check(|cut| cut.tables = lacking("Device"), "column Device of predictions is missing");
    check(|cut| cut.tables = lacking("window_end"), "column window_end of predictions is missing");
    check(|cut| cut.counters.n_readings += 1, "n_readings sums to 6 and the counter is 7");
    check(
        |cut| {
            let Counters { late, late_closed, filtered, .. } = &mut cut.counters;
            (*late, *late_closed, *filtered) = (0, 0, 2);
        },
        "late has 1 rows and the counter is 0",
    );
}

#[test]
fn an_epoch_without_rows_and_a_partition_that_comes_later_are_fine() {
    let store = MemoryStore::new();
    let mut lane = open(&store).take(LANE, writer(1), NOW_US).expect("free");
    let empty = lane.commit(Cut::default(), NOW_US).expect("an empty epoch");
    assert_eq!((empty.files, empty.rows, empty.bytes), (0, 0, 0));
    let other = Partition::new("sensors-a", 1);
    let spans = vec![(other.clone(), Span { from: 500, to: 510 })];
    let counters = Counters { messages: 3, readable: 3, filtered: 3, ..Counters::default() };
    lane.commit(Cut { spans, counters, ..Cut::default() }, NOW_US).expect("it starts anywhere");
    lane.commit(cut(0, 4), NOW_US).expect("the first one as well");
    drop(lane);
    let lane = open(&store).take(LANE, writer(2), NOW_US).expect("free");
    assert_eq!(lane.positions()[&other], 510, "a partition that did not move keeps its place");
    assert_eq!(lane.positions()[&partition()], 40);
    let report = crate::verify(store.as_ref(), &|_, _| ()).expect("a lake");
    assert_eq!(report.problems, []);
}

#[test]
fn fm_18_a_damaged_checkpoint_is_refused_by_name() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 3] = [
        ("its sha256 is", |bytes| bytes[0] ^= 1),
        ("it has 3 bytes", |bytes| bytes.truncate(3)),
        ("it has 0 bytes", Vec::clear),
    ];
    for (expected, change) in changes {
        let store = MemoryStore::new();
        live(&open(&store), writer(1), 1).expect("nothing disturbs it");
        let newest = store.paths("_tidegauge/state/").pop().expect("there is one");
        store.edit(&newest, change);
        let lane = open(&store).take(LANE, writer(2), NOW_US).expect("the lane itself is fine");
        match lane.checkpoint() {
            Err(LakeError::Damaged { path, what }) => {
                assert_eq!(path, newest);
                assert!(what.contains(expected), "{what}");
            }
            other => panic!("{expected}: {other:?}"),
        }
        let report = crate::verify(store.as_ref(), &|_, _| ()).expect("a lake");
        assert!(report.problems.iter().any(|p| p.path == newest && p.what.contains(expected)));
    }
}

#[test]
fn fm_28_an_older_checkpoint_in_the_place_of_the_newest_is_refused() {
    let store = MemoryStore::new();
    live(&open(&store), writer(1), 1).expect("nothing disturbs it");
    let states = store.paths("_tidegauge/state/");
    let older = store.get(&states[0]).expect("the spare one");
    store.put(&states[1], &older).expect("the store takes it");
    let lane = open(&store).take(LANE, writer(2), NOW_US).expect("the lane itself is fine");
    assert!(matches!(lane.checkpoint(), Err(LakeError::Damaged { .. })));
    store.delete(&states[1]).expect("it goes");
    let gone = lane.checkpoint().expect_err("none is not the same as never one").to_string();
    assert!(gone.contains("it is gone and the ledger names it"), "{gone}");
}

#[test]
fn fm_28_a_checkpoint_of_other_positions_than_the_ledger_is_refused() {
    let store = MemoryStore::new();
    live(&open(&store), writer(1), 1).expect("nothing disturbs it");
    rewrite(&store, 5, |record| {
        let checkpoint = record.checkpoint.as_mut().expect("there is one");
        checkpoint.positions.insert(partition(), 30);
    });
    let lane = open(&store).take(LANE, writer(2), NOW_US).expect("the lane itself is fine");
    let text = lane.checkpoint().expect_err("it would repeat readings").to_string();
    assert!(text.contains("it stands at other positions"), "{text}");
    let report = crate::verify(store.as_ref(), &|_, _| ()).expect("a lake");
    assert!(report.problems.iter().any(|p| p.what.contains("other positions")));
}

#[test]
fn a_newest_record_that_was_edited_or_is_of_a_newer_version_is_not_built_upon() {
    let cases = [
        ("\"to\":40", "\"to\":41", "its digest does not fit its body"),
        ("\"format\":2", "\"format\":9", "has format 9 and this version reads format 3"),
        ("\"kind\"", "\"sort\"", "unknown field `sort`"),
        ("{\"digest\"", "{\"Digest\"", "it is not {\"digest\""),
    ];
    for (old, new, expected) in cases {
        let store = MemoryStore::new();
        live(&open(&store), writer(1), 1).expect("nothing disturbs it");
        let newest = store.paths(crate::paths::LEDGER).pop().expect("there is one");
        store.edit(&newest, |bytes| {
            let text = String::from_utf8(bytes.clone()).expect("it is text");
            assert!(text.contains(old), "{text}");
            *bytes = text.replacen(old, new, 1).into_bytes();
        });
        let refused = open(&store).take(LANE, writer(2), NOW_US).expect_err("it is not trusted");
        let text = refused.to_string();
        assert!(text.contains(expected) && text.contains(&newest), "{text}");
    }
}
