//! Cursors: moved once, lost once, never written over.

use super::*;
use crate::testing::{MemoryStore, writer};

const NOW: i64 = 1_000_000;

fn first() -> Cursor {
    Cursor {
        alert: "pager".into(),
        lane: "t-0".into(),
        number: 1,
        writer: writer(0),
        at: Progress { epoch: 5, row: 0, sequence: 0 },
        moved_at_us: NOW,
    }
}

fn begun() -> (Arc<MemoryStore>, Alerts) {
    let store = MemoryStore::new();
    let alerts = Alerts::of(store.clone());
    alerts.begin(&first()).expect("it begins");
    (store, alerts)
}

fn take(alerts: &Alerts, seed: u64) -> Cursor {
    alerts.take("pager", "t-0", writer(seed), NOW).expect("free").expect("it was begun")
}

#[test]
fn an_alert_begins_once_and_goes_on_where_it_was() {
    let (store, alerts) = begun();
    let mut cursor = take(&alerts, 1);
    assert_eq!((cursor.number, cursor.at), (2, first().at));
    let to = Progress { epoch: 6, row: 2, sequence: 1 };
    assert!(alerts.advance(&mut cursor, to, NOW).expect("it moves"));
    alerts.begin(&first()).expect("there is one");
    assert_eq!(take(&alerts, 2).at, to);
    assert_eq!(store.paths("_tidegauge/alerts/").len(), 2, "old numbers go");
    assert_eq!(alerts.take("pager", "t-1", writer(3), NOW).expect("no trouble"), None);
    assert_eq!(alerts.lanes("pager").expect("listed"), ["t-0"]);
}

#[test]
fn who_lost_a_cursor_moves_it_no_more() {
    let (_, alerts) = begun();
    let mut old = take(&alerts, 1);
    assert!(alerts.is_newest(&old).expect("no trouble"));
    let mut new = take(&alerts, 2);
    assert!(!alerts.is_newest(&old).expect("no trouble"));
    let to = Progress { epoch: 6, row: 0, sequence: 1 };
    assert!(!alerts.advance(&mut old, to, NOW).expect("no trouble"), "it is the other's");
    assert!(alerts.advance(&mut new, to, NOW).expect("it moves"));
    // The numbers after its own are deleted by now, and free again.
    for epoch in 7..12 {
        let to = Progress { epoch, row: 0, sequence: epoch };
        assert!(alerts.advance(&mut new, to, NOW).expect("it moves"));
        assert!(!alerts.is_newest(&old).expect("no trouble"), "{epoch}");
        let late = Progress { epoch: 6, row: 1, sequence: 2 };
        assert!(!alerts.advance(&mut old, late, NOW).expect("no trouble"), "{epoch}");
    }
    assert_eq!(alerts.newest("pager", "t-0").expect("readable"), Some(new));
}

#[test]
fn a_move_whose_answer_was_lost_is_made_once() {
    let (_, alerts) = begun();
    let mut cursor = take(&alerts, 1);
    let mut again = cursor.clone();
    let to = Progress { epoch: 6, row: 0, sequence: 1 };
    assert!(alerts.advance(&mut cursor, to, NOW).expect("it moves"));
    assert!(alerts.advance(&mut again, to, NOW).expect("it has moved"));
    assert_eq!(cursor.number, again.number);
}

#[test]
fn dead_letters_are_kept_until_they_are_removed() {
    let (_, alerts) = begun();
    let letter = DeadLetter {
        alert: "pager".into(),
        lane: "t-0".into(),
        sequence: 7,
        id: "x_open".into(),
        message: "{}".into(),
        why: "404".into(),
        attempts: 1,
        died_at_us: NOW,
    };
    alerts.bury(&letter).expect("written");
    alerts.bury(&letter).expect("written again");
    assert_eq!(alerts.letters("pager").expect("read"), std::slice::from_ref(&letter));
    alerts.remove(&letter).expect("removed");
    assert_eq!(alerts.dead("pager").expect("listed"), 0);
}

#[test]
fn an_edited_cursor_is_not_believed() {
    let (store, alerts) = begun();
    store.edit(&paths::cursor_path("pager", "t-0", 1), |bytes| {
        let text =
            String::from_utf8(bytes.clone()).expect("text").replace("\"epoch\":5", "\"epoch\":9");
        *bytes = text.into_bytes();
    });
    assert!(matches!(alerts.newest("pager", "t-0"), Err(LakeError::Damaged { .. })));
}
