//! Rows as they lie in files, in the order of time and each window once.

use tidegauge_flow::KeyValue;

use super::*;

#[test]
fn of_each_window_the_newest_row_counts_in_the_order_of_time() {
    let held = Held {
        ends_us: vec![30, 10, 20, 10, 20],
        revisions: vec![0, 1, 0, 0, 2],
        values: vec![3.0, 3.5, 1.1, 1.5, 2.0, 2.5, 1.0, 1.4, 2.2, 2.7],
    };
    let rows = held.newest(SensorKey(Box::new([KeyValue::Int(1)])));
    assert_eq!(rows.window_end_us, [10, 20, 30]);
    assert_eq!(rows.rows, [1.1, 1.5, 2.2, 2.7, 3.0, 3.5]);
}

#[test]
fn a_file_is_read_when_it_may_hold_windows_of_the_range() {
    let file = |window_end_us| FileRef {
        table: Table::Predictions,
        path: String::new(),
        rows: 1,
        bytes: 1,
        sha256: tidegauge_sink::Digest::of(b"?"),
        window_end_us,
    };
    let range = Range { from: Some(10), to: Some(20) };
    let cases = [(11, 12, true), (1, 10, false), (1, 11, true), (20, 30, true), (21, 30, false)];
    for (least, greatest, expected) in cases {
        assert_eq!(meets(&file(Some((least, greatest))), range), expected, "{least} {greatest}");
    }
    assert!(meets(&file(None), range));
    let last = Period::Last(Duration::from_micros(5)).range(&[&file(Some((1, 9)))]);
    assert_eq!((last.from, last.to), (Some(4), Some(9)));
}
