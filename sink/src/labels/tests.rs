//! Labels are kept as they were made, newer ones replace older ones, damaged ones are refused.

use super::*;
use crate::testing::{Fault, MemoryStore};

fn label(device: i64, from_us: i64, meaning: Meaning) -> Label {
    Label {
        number: 0,
        key: vec![Some(KeyValue::Int(device)), None, Some(KeyValue::Str("ä/b".into()))],
        from_us,
        to_us: from_us + 5,
        meaning,
        note: "seen by \"eye\"".into(),
        made_at_us: 7,
    }
}

#[test]
fn a_newer_label_of_the_same_sensors_and_range_takes_the_place_of_the_older() {
    let labels = Labels::of(MemoryStore::new());
    let add = |label: Label| labels.add(label).expect("adds").number;
    assert_eq!(labels.in_force().expect("reads"), []);
    assert_eq!(add(label(1, 10, Meaning::True)), 1);
    assert_eq!(add(label(2, 10, Meaning::True)), 2);
    assert_eq!(add(label(1, 11, Meaning::True)), 3);
    assert_eq!(add(label(1, 10, Meaning::False)), 4);
    assert_eq!(add(label(2, 10, Meaning::Removed)), 5);
    let expected = [
        Label { number: 3, ..label(1, 11, Meaning::True) },
        Label { number: 4, ..label(1, 10, Meaning::False) },
    ];
    assert_eq!(labels.in_force().expect("reads"), expected);
}

#[test]
fn of_two_who_label_at_once_both_are_kept_and_a_lost_answer_makes_no_second_label() {
    let store = MemoryStore::new();
    let labels = Labels::of(store.clone());
    let taken = Label { number: 1, ..label(9, 1, Meaning::False) };
    store.put(&path(1), &format::label::encode(&taken)).expect("puts");
    assert!(!labels.claim(&path(1), b"another's").expect("settles"));
    assert_eq!(labels.add(label(1, 10, Meaning::True)).expect("adds").number, 2);
    assert!(labels.claim(&path(1), &format::label::encode(&taken)).is_ok_and(|won| !won));
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let before = labels.in_force().expect("reads").len();
        store.fail_at(1, fault, Some("put_if_absent"));
        let added = labels.add(label(1, 20 + before as i64, Meaning::True)).is_ok();
        store.disarm();
        let after = labels.in_force().expect("reads").len();
        assert_eq!(after - before, usize::from(added), "{fault:?}");
    }
}

#[test]
fn a_label_that_is_not_as_it_was_written_is_refused_by_name() {
    let check = |change: fn(&mut Vec<u8>)| {
        let store = MemoryStore::new();
        let labels = Labels::of(store.clone());
        labels.add(label(1, 10, Meaning::True)).expect("adds");
        store.edit(&path(1), change);
        let error = labels.in_force().expect_err("damaged").to_string();
        assert!(error.contains(&path(1)), "{error}");
    };
    check(|bytes| bytes.truncate(40));
    check(|bytes| {
        let at = bytes.iter().position(|b| *b == b'7').expect("the time");
        bytes[at] = b'8';
    });
    let store = MemoryStore::new();
    let labels = Labels::of(store.clone());
    store.put(&path(2), &format::label::encode(&label(1, 1, Meaning::True))).expect("puts");
    let error = labels.in_force().expect_err("another number").to_string();
    assert!(error.contains("its number or range"), "{error}");
}

#[test]
fn a_label_that_cannot_be_is_refused() {
    let labels = Labels::of(MemoryStore::new());
    let ends = Label { to_us: 9, ..label(1, 10, Meaning::True) };
    let says = Label { note: "x".repeat(NOTE_MAX + 1), ..label(1, 10, Meaning::True) };
    for (bad, what) in [(ends, "ends before it begins"), (says, "1001 bytes")] {
        let error = labels.add(bad).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(labels.in_force().expect("reads"), []);
}
