//! Windows that were spilled, against the same windows that were not.

use proptest::prelude::*;
use tidegauge_flow::{KeyPart, Readings, Sensors};

use super::*;
use crate::query::tests::readings;
use crate::spill::{InMemory, SpillWriter};
use crate::windows::tests::{Rows, batch, collect, query, sensors, settings};
use crate::windows::{WindowSettings, Windows};

const S: i64 = 1_000_000_000;

fn spill() -> Arc<dyn Spill> {
    Arc::new(InMemory)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fm_19_spilled_windows_give_the_same_rows(
        steps in prop::collection::vec((0i64..40, 0i64..3, 0u32..100, 0u8..6), 1..150),
        shape in prop::sample::select(vec![(5, 5), (10, 5), (7, 3)]),
        lateness in prop::option::of(0i64..20),
    ) {
        let (size, slide) = shape;
        let window = match size == slide {
            true => format!(r#"tumble("TS", INTERVAL '{size} seconds')"#),
            false => format!(r#"hop("TS", INTERVAL '{slide} seconds', INTERVAL '{size} seconds')"#),
        };
        let query = query(r#"sum("Value") AS s, median("Value") AS m, last_value("Value" ORDER BY "TS") AS l"#, "", &window);
        let settings = WindowSettings { allowed_lateness_ns: lateness.map(|l| l * S), ..settings(0) };
        let run = |spills: bool| {
            let mut sensors = sensors();
            let mut windows = Windows::new(query.clone(), settings, 1);
            windows.set_spill(&spill());
            let (mut rows, mut now) = (Rows::new(), 100);
            for (device, step, value, what) in &steps {
                now += step;
                let events = [(*device, now * S, f64::from(*value)), (*device + 1, (now - 3) * S, 1.0)];
                let readings = batch(&events, &mut sensors);
                windows.push(0, &readings, &sensors).expect("pushes");
                let closed = windows.close(&sensors).expect("closes");
                if lateness.is_none() {
                    collect(closed, &mut rows);
                } else if let Some(closed) = closed {
                    // Revisions replace each other: what counts is the last.
                    let mut newer = Rows::new();
                    for row in 0..closed.len() {
                        let one = WindowRowsAt(&closed, row).rows();
                        collect(Some(one), &mut newer);
                        rows.append(&mut newer);
                    }
                }
                match what {
                    0 if spills => windows.spill_all().expect("spills"),
                    1 if spills => {
                        let bytes = windows.checkpoint(&sensors).expect("saves");
                        (windows, sensors) =
                            Windows::restore(&bytes, query.clone(), settings, 1000, Some(&spill()))
                                .expect("restores");
                    }
                    _ => {}
                }
            }
            windows.drain();
            while let Some(closed) = windows.close(&sensors).expect("closes") {
                for row in 0..closed.len() {
                    let mut newer = Rows::new();
                    collect(Some(WindowRowsAt(&closed, row).rows()), &mut newer);
                    rows.append(&mut newer);
                }
            }
            rows
        };
        prop_assert_eq!(run(true), run(false));
    }
}

/// One row of several.
struct WindowRowsAt<'a>(&'a tidegauge_flow::WindowRows, usize);

impl WindowRowsAt<'_> {
    fn rows(&self) -> tidegauge_flow::WindowRows {
        let Self(all, row) = *self;
        tidegauge_flow::WindowRows {
            sensor: vec![all.sensor[row]],
            n_readings: vec![all.n_readings[row]],
            revision: vec![all.revision[row]],
            superseded: 0,
            batch: all.batch.slice(row, 1),
        }
    }
}

/// Many sensors, each with one reading in one window.
fn many(sensors: &mut Sensors, range: std::ops::Range<i64>) -> Readings {
    let mut out = Readings::new(2);
    for device in range {
        let id = sensors.intern(&[KeyPart::Int(device), KeyPart::Int(7)]).expect("room");
        out.sensor.push(id);
        out.time_ns.push(S + device);
        out.offset.push(0);
        out.values[0].push(Some(device as f64));
        out.values[1].push(None);
    }
    out
}

#[test]
fn fm_19_ten_times_the_sensors_that_fit_stay_within_the_budget_and_come_out_right() {
    const SENSORS: i64 = 100_000;
    let select = r#"count(*) AS n, avg("Value") AS s, stddev("Value") AS sd, min("Value") AS lo, max("Value") AS hi"#;
    let query = query(select, "", r#"tumble("TS", INTERVAL '1 day')"#);
    let mut sensors = Sensors::new(readings().key, SENSORS as u32);
    let mut windows = Windows::new(query.clone(), settings(0), 1);
    windows.set_spill(&spill());
    // What a tenth of the sensors takes.
    let mut tenth = Windows::new(query, settings(0), 1);
    for from in (0..SENSORS / 10).step_by(1_000) {
        let some = many(&mut sensors, from..from + 1_000);
        tenth.push(0, &some, &sensors).expect("pushes");
    }
    let budget = tenth.memory_bytes();
    drop(tenth);
    let mut peak = 0;
    for round in 0..2 {
        for from in (0..SENSORS).step_by(1_000) {
            let batch = many(&mut sensors, from..from + 1_000);
            windows.push(0, &batch, &sensors).expect("pushes");
            peak = peak.max(windows.memory_bytes());
            // Vectors grow by doubling.
            if windows.memory_bytes() > budget / 2 {
                windows.spill(budget).expect("spills");
            }
        }
        assert_eq!(windows.open_readings(), (round + 1) * SENSORS as u64);
    }
    assert!(peak <= budget, "{peak} bytes of {budget}");
    windows.drain();
    let (mut rows, mut largest, mut seen) = (0, 0, 0.0);
    while let Some(closed) = windows.close(&sensors).expect("closes") {
        assert!(
            closed.n_readings.iter().all(|&n| n == 2),
            "both readings of a sensor are in one row"
        );
        (rows, largest) = (rows + closed.len(), largest.max(closed.len()));
        let mut some = Rows::new();
        collect(Some(closed), &mut some);
        seen += some.values().map(|(_, mean)| mean).sum::<f64>();
    }
    assert_eq!(rows, SENSORS as usize);
    assert!(largest < SENSORS as usize, "not all at once");
    assert_eq!(seen, (0..SENSORS).map(|device| device as f64).sum::<f64>());
    assert_eq!(windows.memory_bytes(), 0);
}

#[test]
fn fm_19_a_place_that_takes_no_more_is_an_error_that_names_it() {
    struct Full;
    impl Spill for Full {
        fn create(&self) -> io::Result<Box<dyn SpillWriter>> {
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
        }
        fn place(&self) -> String {
            "/spill".into()
        }
    }
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '1 day')"#);
    let mut sensors = Sensors::new(readings().key, 20_000);
    let mut windows = Windows::new(query, settings(0), 1);
    let full: Arc<dyn Spill> = Arc::new(Full);
    windows.set_spill(&full);
    let batch = many(&mut sensors, 0..20_000);
    windows.push(0, &batch, &sensors).expect("pushes");
    let error = windows.spill(1).expect_err("full");
    assert_eq!(error.to_string(), "cannot spill windows to /spill: no space left");
}
