//! What all lives read: two minutes of four sensors around midnight, with late readings, rejects and
//! gaps in the offsets; and the pipeline's configuration.

use tidegauge::config::{self, Config};
use tidegauge_flow::time::rfc3339;

pub const TOPIC: &str = "t";
pub const LANE: &str = "t-0";
/// Messages in the topic.
pub const COUNT: usize = 240;
/// When everything happens: readings arrive and epochs are committed.
pub const NOW_NS: i64 = MIDNIGHT_NS + 3_600 * SECOND;

const SECOND: i64 = 1_000_000_000;
/// 2026-02-01T00:00:00Z: rows of both days, so that an epoch has several files.
const MIDNIGHT_NS: i64 = 1_769_904_000 * SECOND;

/// A message that nobody lends.
#[derive(Debug, Clone)]
pub struct Owned {
    pub offset: i64,
    pub payload: Option<Vec<u8>>,
}

/// The topic's content.
pub fn messages() -> Vec<Owned> {
    (0..COUNT).map(message).collect()
}

fn message(n: usize) -> Owned {
    // Compaction and transactions leave gaps.
    let offset = (n + n / 7) as i64;
    let payload = match n {
        _ if n % 51 == 13 => None,
        _ if n % 17 == 5 => Some(b"{\"TS\":\"no time\",\"Id\":1,\"Value\":1}".to_vec()),
        _ if n % 37 == 9 => Some(b"no JSON".to_vec()),
        _ => Some(reading(n as i64).into_bytes()),
    };
    Owned { offset, payload }
}

fn reading(n: i64) -> String {
    // Half a second each; out of order within what is allowed, and now and then far too late.
    let late = if n % 23 == 20 { 60 * SECOND } else { 0 };
    let time = MIDNIGHT_NS - 60 * SECOND + n * SECOND / 2 - n % 3 * SECOND - late;
    let (id, value) = (n % 4 + 1, n * 7 % 40);
    format!(r#"{{"TS":"{}","Id":{id},"Value":{value}}}"#, rfc3339(time))
}

/// The configuration; the lake's place comes from elsewhere.
pub fn config() -> Config {
    let text = r#"
        [source]
        brokers = "127.0.0.1:1"
        topic = "t"
        [event]
        time = "TS"
        key = [{ name = "Id", type = "int64" }]
        values = ["Value"]
        [window]
        query = '''SELECT "Id", sum("Value") AS s, count(*) AS n FROM readings
                   GROUP BY "Id", tumble("TS", INTERVAL '5 seconds')'''
        out_of_order = "3s"
        [models]
        features = ["s"]
        [events]
        open = 2
        of = 4
        close = 1
    "#;
    config::parse("crash", text, std::iter::empty(), &[]).expect("the configuration is valid")
}
