//! Positions by hand.

use super::*;

fn moved(handed: &Handed) -> Vec<(i32, i64)> {
    handed.moved().collect()
}

#[test]
fn a_message_is_admitted_once_and_gaps_are_legal() {
    let mut handed = Handed::default();
    handed.begin(0, 5);
    let admitted = [4, 5, 5, 6, 9, 7, 9, 10].map(|offset| handed.admit(0, offset));
    assert_eq!(admitted, [false, true, false, true, true, false, false, true]);
    assert_eq!(moved(&handed), [(0, 11)]);
}

#[test]
fn partitions_do_not_disturb_each_other() {
    let mut handed = Handed::default();
    for (partition, offset) in [(7, 70), (2, 20), (5, 50)] {
        handed.begin(partition, offset);
    }
    for (partition, offset) in [(5, 50), (2, 20), (5, 51), (5, 50), (2, 20), (2, 21)] {
        handed.admit(partition, offset);
    }
    assert_eq!(moved(&handed), [(2, 22), (5, 52)], "nothing came of the seventh");
}

#[test]
fn a_partition_that_went_is_not_admitted_until_it_is_begun_again_from_anywhere() {
    let mut handed = Handed::default();
    handed.begin(0, 0);
    handed.begin(1, 0);
    assert!(handed.admit(1, 8));
    handed.end(&[1]);
    assert!(!handed.admit(1, 9) && !handed.reads(1) && handed.reads(0));
    handed.begin(1, 3);
    assert_eq!(moved(&handed), []);
    assert!(handed.admit(1, 3), "its owner may name an offset below the old one");
    handed.clear();
    assert!(!handed.admit(0, 1));
}

#[test]
fn a_partition_whose_next_message_is_an_error_stands_still_until_it_is_begun_again() {
    let mut handed = Handed::default();
    handed.begin(0, 5);
    assert!(handed.admit(0, 5));
    handed.halt(0);
    handed.halt(1);
    assert!(!handed.admit(0, 7) && !handed.reads(0) && !handed.reads(1));
    assert_eq!(moved(&handed), []);
    handed.begin(0, 6);
    assert!(handed.admit(0, 6));
}
