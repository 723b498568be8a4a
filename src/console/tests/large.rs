//! A lake with a hundred thousand sensors. It prints how long things take; what it asserts are counts.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use super::*;

const SENSORS: usize = 100_000;

#[test]
fn a_hundred_thousand_sensors_are_listed() {
    let mut bench = Bench::new(&[]);
    bench.champion();
    let mut lane = bench.lane();
    let texts = |second: i64| -> Vec<String> {
        let time = tidegauge_flow::time::rfc3339((START_S + second) * 1_000_000_000);
        let text = |n: usize| {
            let (plant, id) = if n < 3 { ("a", n + 1) } else { ("plant-north", n) };
            format!(r#"{{"TS":"{time}","Plant":"{plant}","Id":{id},"Value":{}}}"#, n % 10)
        };
        (0..SENSORS).map(text).collect()
    };
    for second in [1, 6, 11, 20] {
        bench.feed_texts(&mut lane, &texts(second), START_S * S_US);
    }
    let console = bench.console();
    let timed = |what: &str, ask: &mut dyn FnMut()| {
        let started = Instant::now();
        ask();
        println!("{what}: {:?}", started.elapsed());
    };
    timed("first look", &mut || {
        let sensors = console.overview().expect("answers").sensors;
        assert_eq!(sensors, SENSORS);
    });
    timed("look without anything new", &mut || {
        console.overview().expect("answers");
    });
    let by_severity =
        SensorsQuery { sort: SensorSort::Severity, order: Order::Desc, limit: 100, ..everything() };
    timed("a page of 100 by severity", &mut || {
        let page = console.sensors(&by_severity).expect("answers");
        assert_eq!((page.total, page.matching, page.rows.len()), (SENSORS, SENSORS, 100));
        let scored = page.rows.iter().filter(|row| row.score.is_some()).count();
        assert_eq!(scored, 3, "those with a verdict come first");
        assert!(page.rows[..3].iter().all(|row| row.score.is_some()));
    });
    timed("the last page", &mut || {
        let query = SensorsQuery { offset: SENSORS - 50, ..by_severity.clone() };
        assert_eq!(console.sensors(&query).expect("answers").rows.len(), 50);
    });
    timed("a search", &mut || {
        let query = SensorsQuery { search: "NORTH/9999".into(), ..by_severity.clone() };
        let page = console.sensors(&query).expect("answers");
        assert_eq!(page.matching, 11);
    });
    timed("a look with one new window of each", &mut || {
        bench.feed_texts(&mut lane, &texts(26), START_S * S_US);
        assert_eq!(console.overview().expect("answers").sensors, SENSORS);
    });
    let state = console.follower.index().expect("answers");
    let bytes = state.index.as_ref().expect("there").memory_bytes();
    println!("{bytes} bytes, {} for a sensor", bytes / SENSORS);
    assert!(bytes / SENSORS < 200, "{} bytes for a sensor", bytes / SENSORS);
}
