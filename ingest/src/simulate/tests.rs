//! The simulation says what it does: deterministic, in order as promised, faults as planned.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
const START_NS: i64 = 1_767_225_600 * SECOND_NS;

fn with_faults(shape: Shape, jitter_ns: i64, seed: u64) -> Simulation {
    let end_ns = START_NS + 2 * HOUR_NS;
    let plan = FaultPlan {
        spikes: 12,
        stuck: 6,
        drifts: 6,
        silences: 6,
        from_ns: START_NS + HOUR_NS,
        to_ns: end_ns,
        ..FaultPlan::default()
    };
    Simulation { shape, jitter_ns, end_ns, faults: plan, ..Simulation::reference(START_NS, seed) }
}

fn events(settings: &Simulation) -> (Vec<Event>, Vec<Fault>) {
    let simulator = Simulator::new(settings.clone()).expect("good settings");
    let faults = simulator.faults().to_vec();
    (simulator.collect(), faults)
}

#[test]
fn the_reference_simulation_has_its_ranges_decimals_and_rate() {
    let end_ns = START_NS + 600 * SECOND_NS;
    let settings = Simulation { end_ns, ..Simulation::reference(START_NS, 1) };
    let (events, _) = events(&settings);
    assert_eq!(events.len(), 600 * 15);
    assert_eq!(events[0].time_ns, START_NS);
    let mut sensors: HashMap<(u32, u32), Vec<&Event>> = HashMap::new();
    for event in &events {
        let range = Range::REFERENCE[event.sensor as usize - 1];
        assert!((range.min..=range.max).contains(&event.value), "{event:?}");
        assert!((event.value * 100.0 - (event.value * 100.0).round()).abs() < 1e-9);
        sensors.entry((event.device, event.sensor)).or_default().push(event);
    }
    assert_eq!(sensors.len(), 15);
    assert_eq!(sensors.keys().map(|k| k.0).max(), Some(3));
    for of_sensor in sensors.values() {
        for pair in of_sensor.windows(2) {
            // Times are cut to the tick of 100 ns, so the interval is as near as that.
            assert!((pair[1].time_ns - pair[0].time_ns - SECOND_NS).abs() <= TICK_NS);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_others() {
    let settings = with_faults(Shape::Gaussian, SECOND_NS, 7);
    assert_eq!(events(&settings), events(&settings));
    let other = Simulation { seed: 8, ..settings.clone() };
    assert_ne!(events(&settings).0[0].value, events(&other).0[0].value);
    assert_ne!(events(&settings).1, events(&other).1);
}

#[test]
fn normal_values_depend_neither_on_faults_nor_on_other_sensors() {
    for shape in [Shape::Uniform, Shape::Gaussian, Shape::Sine { period_ns: HOUR_NS }] {
        let settings = with_faults(shape, SECOND_NS, 3);
        let healthy = Simulation { faults: FaultPlan::default(), ..settings.clone() };
        let key = |e: &Event| (e.device, e.sensor, e.time_ns);
        let normal: HashMap<_, f64> =
            events(&healthy).0.iter().map(|e| (key(e), e.value)).collect();
        let (faulty, _) = events(&settings);
        for event in faulty.iter().filter(|e| e.fault.is_none()) {
            assert_eq!(normal.get(&key(event)), Some(&event.value));
        }
        let one_device = Simulation { devices: 1, ..healthy };
        let values = |events: &[Event]| -> Vec<f64> {
            let mut of_sensor: Vec<&Event> =
                events.iter().filter(|e| (e.device, e.sensor) == (1, 1)).collect();
            of_sensor.sort_by_key(|e| e.time_ns);
            of_sensor.iter().take(100).map(|e| e.value).collect()
        };
        let alone = events(&one_device).0;
        let among = Simulator::new(Simulation { devices: 3, ..one_device }).expect("good settings");
        if !matches!(shape, Shape::Sine { .. }) {
            assert_eq!(values(&alone), values(&among.collect::<Vec<_>>()));
        }
    }
}

#[test]
fn every_sensor_has_values_of_its_own() {
    let end_ns = START_NS + 100 * SECOND_NS;
    let settings = Simulation { end_ns, devices: 20, ..Simulation::reference(START_NS, 1) };
    let (events, _) = events(&settings);
    let mut seen: HashMap<Vec<u64>, (u32, u32)> = HashMap::new();
    for device in 1..=20 {
        let of_first = events.iter().filter(|e| (e.device, e.sensor) == (device, 1));
        let values: Vec<u64> = of_first.map(|e| e.value.to_bits()).collect();
        assert_eq!(values.len(), 100);
        assert_eq!(seen.insert(values, (device, 1)), None);
    }
}

#[test]
fn a_stuck_sensor_stays_at_the_value_that_it_had_then() {
    let settings = with_faults(Shape::Gaussian, 0, 9);
    let faults = FaultPlan { stuck: 8, spikes: 0, drifts: 0, silences: 0, ..settings.faults };
    let healthy = Simulation { devices: 1, sensors: 1, faults: FaultPlan::default(), ..settings };
    let normal: HashMap<i64, f64> =
        events(&healthy).0.iter().map(|e| (e.time_ns, e.value)).collect();
    let (events, faults) = events(&Simulation { faults, ..healthy });
    assert_eq!(faults.len(), 8);
    for event in &events {
        let from_ns = event.fault.map_or(event.time_ns, |id| faults[id as usize].from_ns);
        assert_eq!(event.value, normal[&from_ns]);
    }
}

#[test]
fn faults_are_as_planned_and_clear() {
    for (seed, shape) in
        [(1, Shape::Uniform), (2, Shape::Gaussian), (3, Shape::Sine { period_ns: HOUR_NS })]
    {
        let settings = with_faults(shape, 0, seed);
        let (events, faults) = events(&settings);
        let count = |kind| faults.iter().filter(|f| f.kind == kind).count();
        assert_eq!(FaultKind::ALL.map(count), [12, 6, 6, 6]);
        assert!(faults.is_sorted_by_key(|f| f.from_ns));
        for (id, fault) in faults.iter().enumerate() {
            assert!(fault.from_ns >= START_NS + HOUR_NS && fault.to_ns <= settings.end_ns);
            let inside = |e: &&Event| {
                (e.device, e.sensor) == (fault.device, fault.sensor)
                    && (fault.from_ns..=fault.to_ns).contains(&e.time_ns)
            };
            let during: Vec<&Event> = events.iter().filter(inside).collect();
            assert!(during.iter().all(|e| e.fault == Some(id as FaultId)), "{fault:?}");
            let of_fault = events.iter().filter(|e| e.fault == Some(id as FaultId)).count();
            assert_eq!(of_fault, during.len(), "no reading outside of its time");
            check_fault(&settings, fault, &during);
        }
    }
}

fn check_fault(settings: &Simulation, fault: &Fault, during: &[&Event]) {
    let range = settings.ranges[fault.sensor as usize - 1];
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let signal = Signal::new(settings.shape, range, &mut random);
    let level = (range.min + range.max) / 2.0;
    let off = |e: &Event| (e.value - level) / signal.deviation();
    let length_ns = fault.to_ns - fault.from_ns;
    match fault.kind {
        FaultKind::Spike => {
            assert!((1..=3).contains(&during.len()));
            assert!(during.iter().all(|e| off(e).abs() > 5.98), "{fault:?}");
        }
        FaultKind::Stuck => {
            assert!(length_ns >= settings.faults.stuck_ns - TICK_NS);
            assert!(during.iter().all(|e| e.value == during[0].value));
        }
        FaultKind::Drift => {
            let last = during.last().expect("a drift has readings");
            assert!(
                fault.magnitude.abs() >= 8.0 && length_ns >= settings.faults.drift_ns - TICK_NS
            );
            assert!((off(last) - fault.magnitude).abs() < 6.0, "{fault:?} {last:?}");
            assert!(off(during[0]).abs() < 6.0);
        }
        FaultKind::Silence => {
            assert!(during.is_empty());
            assert!(length_ns >= settings.faults.silence_ns - TICK_NS);
        }
    }
}

#[test]
fn two_faults_of_a_sensor_rest_in_between() {
    let settings = Simulation { devices: 1, sensors: 2, ..with_faults(Shape::Uniform, 0, 5) };
    let (_, faults) = events(&settings);
    for sensor in 1..=2 {
        let of_sensor: Vec<&Fault> = faults.iter().filter(|f| f.sensor == sensor).collect();
        for pair in of_sensor.windows(2) {
            assert!(pair[1].from_ns > pair[0].to_ns + settings.faults.rest_ns);
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let good = || with_faults(Shape::Uniform, 0, 1);
    let plan = |change: fn(&mut FaultPlan)| {
        let mut settings = good();
        change(&mut settings.faults);
        settings
    };
    let cases = [
        Simulation { devices: 0, ..good() },
        Simulation { devices: u32::MAX, sensors: u32::MAX, ..good() },
        Simulation { ranges: Vec::new(), ..good() },
        Simulation { ranges: vec![Range { min: 1.0, max: f64::NAN }], ..good() },
        Simulation { ranges: vec![Range { min: 2.0, max: 1.0 }], ..good() },
        Simulation { interval_ns: 0, ..good() },
        Simulation { jitter_ns: -1, ..good() },
        Simulation { decimals: 13, ..good() },
        Simulation { shape: Shape::Sine { period_ns: 0 }, ..good() },
        plan(|p| p.spike_readings_max = 0),
        plan(|p| p.rest_ns = 0),
        plan(|p| p.stuck = u32::MAX),
        plan(|p| p.silences = 10_000),
        plan(|p| p.drift_ns = i64::MAX),
        plan(|p| p.from_ns = i64::MAX),
        Simulation { end_ns: i64::MAX, ..plan(|p| p.to_ns = i64::MAX) },
    ];
    for settings in cases {
        Simulator::new(settings.clone()).expect_err(&format!("{settings:?}"));
    }
}

#[test]
fn a_rate_makes_as_many_faults_as_sensors_and_hours_ask_for() {
    let plan = FaultPlan::at_rate(0.4, 100, START_NS, START_NS + 3 * HOUR_NS);
    assert_eq!((plan.spikes, plan.stuck, plan.drifts, plan.silences), (30, 30, 30, 30));
    assert_eq!(FaultPlan::at_rate(0.4, 100, START_NS, START_NS - 1).spikes, 0);
}

#[test]
fn events_are_written_as_the_reference_simulator_writes_them() {
    let event = Event {
        time_ns: 1_523_048_395_709_656_400,
        due_ns: 0,
        device: 2,
        sensor: 4,
        value: 84.92,
        fault: None,
    };
    let mut out = b"before ".to_vec();
    to_json(&event, &EventNames::default(), &mut out);
    let text =
        r#"before {"TS":"2018-04-06T20:59:55.7096564Z","Device":2,"Sensor":4,"Value":84.92}"#;
    assert_eq!(String::from_utf8(out).expect("UTF-8"), text);
    let mut out = Vec::new();
    to_json(&event, &EventNames::new("a\"", "b", "c", "d"), &mut out);
    serde_json::from_slice::<serde_json::Value>(&out).expect("names are escaped");
    assert_eq!(key_text(&event), "2_4");
}

proptest! {
    #[test]
    fn events_are_sent_in_order_and_no_further_behind_than_the_jitter(
        seed in any::<u64>(),
        devices in 1_u32..4,
        interval_ns in 100..2 * SECOND_NS,
        jitter_ns in 0..5 * SECOND_NS,
        start_ns in START_NS..START_NS + 1000,
    ) {
        let end_ns = start_ns + 40 * interval_ns;
        let reference = Simulation::reference(start_ns, seed);
        let settings = Simulation { devices, interval_ns, jitter_ns, end_ns, ..reference };
        let (sent, _) = events(&settings);
        prop_assert!(sent.len() >= 40 * devices as usize * 5);
        prop_assert!(sent.is_sorted_by_key(|e| e.due_ns));
        let mut latest = i64::MIN;
        for event in &sent {
            latest = latest.max(event.time_ns);
            prop_assert!(event.time_ns >= latest - jitter_ns);
            prop_assert!(event.due_ns >= event.time_ns);
            prop_assert_eq!(event.time_ns % TICK_NS, 0);
        }
    }
}
