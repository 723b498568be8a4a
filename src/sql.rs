//! Pieces of SQL over a lake's predictions.

use tidegauge_flow::names;

/// Has a row when windows have been revised. Otherwise the table itself is what [`newest`] gives, for less.
pub const REVISED: &str = "SELECT revision FROM predictions WHERE revision > 0 LIMIT 1";

/// A name as SQL wants it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Of each sensor's window that a condition on keys and window holds for, the newest row: that is what is true
/// of it. `keys` are quoted.
pub fn newest(keys: &[String], condition: &str) -> String {
    format!(
        "(SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {}, {} ORDER BY revision DESC) \
         AS tidegauge_nth FROM predictions WHERE {condition}) WHERE tidegauge_nth = 1)",
        keys.join(", "),
        names::WINDOW_END
    )
}
