//! The published examples of the rules, row by row, and the rules against a naive reading of them.

use proptest::prelude::*;

use super::*;

const S: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * S;

fn rule(tolerance_ns: i64, action: Action) -> Option<Rule> {
    Some(Rule { tolerance_ns, action })
}

/// Nanoseconds of `hh:mm` or `hh:mm:ss`.
fn at(text: &str) -> i64 {
    let parts: Vec<i64> = text.split(':').map(|p| p.parse().expect("a number")).collect();
    parts[0] * 3600 * S + parts[1] * MINUTE + parts.get(2).copied().unwrap_or(0) * S
}

/// (event, arrival, sensor, the time it counts for or why it doesn't, the lane's watermark after)
type Row = (&'static str, &'static str, SensorId, Result<&'static str, Verdict>, &'static str);

fn check(policy: TimePolicy, out_of_order_ns: i64, rows: &[Row]) {
    let mut time = EventTime::new(policy, out_of_order_ns, 1);
    for (number, (event, arrival, sensor, expected, watermark)) in rows.iter().enumerate() {
        let verdict = time.observe(0, *sensor, at(event), at(arrival));
        let expected = match expected {
            Ok(time) => Verdict::Counts(at(time)),
            Err(verdict) => *verdict,
        };
        let row = number + 1;
        assert_eq!(verdict, expected, "row {row}: {event}, arrived {arrival}");
        if !watermark.is_empty() {
            assert_eq!(time.get(), Some(at(watermark)), "the watermark after row {row}");
        }
    }
}

#[test]
fn w_09_g1_late_of_15_and_disorder_of_5_seconds() {
    let policy = TimePolicy {
        late: rule(15 * S, Action::Adjust),
        out_of_order: Some(Action::Adjust),
        ..TimePolicy::default()
    };
    check(
        policy,
        5 * S,
        &[
            ("00:10:00", "00:10:40", 0, Ok("00:10:25"), "00:10:20"),
            ("00:10:30", "00:10:41", 0, Ok("00:10:30"), "00:10:25"),
            ("00:10:42", "00:10:42", 0, Ok("00:10:42"), "00:10:37"),
            ("00:10:38", "00:10:43", 0, Ok("00:10:38"), "00:10:37"),
            ("00:10:35", "00:10:45", 0, Ok("00:10:37"), "00:10:37"),
        ],
    );
}

#[test]
fn w_09_g2_late_of_10_and_disorder_of_3_minutes() {
    let policy = TimePolicy {
        late: rule(10 * MINUTE, Action::Adjust),
        out_of_order: Some(Action::Adjust),
        ..TimePolicy::default()
    };
    check(
        policy,
        3 * MINUTE,
        &[
            ("00:00:00", "00:10:01", 0, Ok("00:00:01"), ""),
            ("00:00:01", "00:10:01", 0, Ok("00:00:01"), ""),
            ("00:10:00", "00:10:02", 0, Ok("00:10:00"), "00:07:00"),
            ("00:09:00", "00:10:03", 0, Ok("00:09:00"), "00:07:00"),
            ("00:06:00", "00:10:04", 0, Ok("00:07:00"), "00:07:00"),
        ],
    );
}

/// Early of 5, late of 5, disorder of 2 minutes.
fn g3() -> TimePolicy {
    TimePolicy {
        early: rule(5 * MINUTE, Action::Drop),
        late: rule(5 * MINUTE, Action::Adjust),
        out_of_order: Some(Action::Adjust),
        ..TimePolicy::default()
    }
}

#[test]
fn w_09_g3_all_twelve_rows_of_the_illustrated_example() {
    check(
        g3(),
        2 * MINUTE,
        &[
            ("12:07", "12:07", 1, Ok("12:07"), "12:05"),
            ("12:08", "12:08", 2, Ok("12:08"), "12:06"),
            ("12:17", "12:11", 1, Err(Verdict::Early), "12:06"),
            ("12:08", "12:13", 3, Ok("12:08"), "12:06"),
            ("12:19", "12:16", 1, Ok("12:19"), "12:17"),
            ("12:12", "12:17", 3, Ok("12:17"), "12:17"),
            ("12:17", "12:18", 2, Ok("12:17"), "12:17"),
            ("12:20", "12:19", 2, Ok("12:20"), "12:18"),
            ("12:16", "12:21", 3, Ok("12:18"), "12:18"),
            ("12:23", "12:22", 2, Ok("12:23"), "12:21"),
            ("12:22", "12:24", 2, Ok("12:22"), "12:21"),
            ("12:21", "12:27", 3, Ok("12:22"), "12:21"),
        ],
    );
}

#[test]
fn w_09_g3_second_drawing_without_the_early_rule_one_clock_ahead_moves_everyone() {
    check(
        TimePolicy { early: None, ..g3() },
        2 * MINUTE,
        &[
            ("12:07", "12:07", 1, Ok("12:07"), "12:05"),
            ("12:08", "12:08", 2, Ok("12:08"), "12:06"),
            ("12:17", "12:11", 1, Ok("12:17"), "12:15"),
            ("12:08", "12:13", 3, Ok("12:15"), "12:15"),
            ("12:19", "12:16", 1, Ok("12:19"), "12:17"),
        ],
    );
}

#[test]
fn w_10_g3_third_drawing_each_device_is_judged_by_its_own_watermark() {
    check(
        TimePolicy { scope: Scope::Sensor, ..g3() },
        2 * MINUTE,
        &[
            ("12:07", "12:07", 1, Ok("12:07"), "12:02"),
            ("12:08", "12:08", 2, Ok("12:08"), "12:03"),
            ("12:17", "12:11", 1, Err(Verdict::Early), "12:06"),
            ("12:08", "12:13", 3, Ok("12:08"), "12:08"),
            ("12:19", "12:16", 1, Ok("12:19"), "12:11"),
            ("12:12", "12:17", 3, Ok("12:12"), "12:12"),
            ("12:17", "12:18", 2, Ok("12:17"), "12:13"),
            ("12:20", "12:19", 2, Ok("12:20"), "12:14"),
            ("12:16", "12:21", 3, Ok("12:16"), "12:16"),
            ("12:23", "12:22", 2, Ok("12:23"), "12:17"),
            ("12:22", "12:24", 2, Ok("12:22"), "12:19"),
            // The late rule is the same for all.
            ("12:21", "12:27", 3, Ok("12:22"), "12:22"),
        ],
    );
}

#[test]
fn w_09_dropping_instead_of_adjusting_names_the_rule_and_leaves_the_watermark() {
    let drop = TimePolicy {
        early: rule(5 * MINUTE, Action::Drop),
        late: rule(5 * MINUTE, Action::Drop),
        out_of_order: Some(Action::Drop),
        ..TimePolicy::default()
    };
    check(
        drop,
        2 * MINUTE,
        &[
            ("12:19", "12:16", 1, Ok("12:19"), "12:17"),
            ("12:12", "12:17", 1, Err(Verdict::Late(LateReason::OutOfOrder)), "12:17"),
            ("12:10", "12:17", 1, Err(Verdict::Late(LateReason::Arrival)), "12:17"),
            ("12:23", "12:17", 1, Err(Verdict::Early), "12:17"),
            ("12:17", "12:20", 1, Ok("12:17"), "12:17"),
            ("12:25", "12:20", 1, Ok("12:25"), "12:23"),
        ],
    );
}

#[test]
fn w_09_an_early_event_may_be_adjusted_to_its_bound() {
    let policy = TimePolicy { early: rule(MINUTE, Action::Adjust), ..TimePolicy::default() };
    check(policy, 0, &[("12:30", "12:00", 1, Ok("12:01"), "12:01")]);
}

#[test]
fn w_08_by_arrival_the_event_time_decides_nothing() {
    let policy = TimePolicy { time: TimeBy::Arrival, ..TimePolicy::default() };
    check(
        policy,
        0,
        &[("00:01", "12:00", 1, Ok("12:00"), "12:00"), ("23:59", "12:01", 1, Ok("12:01"), "12:01")],
    );
}

/// The rules read naively: the watermark is worked out from all readings before.
fn naive(
    policy: &TimePolicy,
    ooo: i64,
    before: &[(usize, SensorId, i64, Verdict)],
    partitions: usize,
    (partition, sensor, event, arrival): (usize, SensorId, i64, i64),
) -> Verdict {
    let counted = |keep: &dyn Fn(usize, SensorId) -> bool| {
        let times = before.iter().filter(|(p, s, _, _)| keep(*p, *s));
        let times = times.filter_map(|(_, _, _, v)| match v {
            Verdict::Counts(time) => Some(*time),
            _ => None,
        });
        times.max()
    };
    let newest_arrival = |p: usize| before.iter().filter(|b| b.0 == p).map(|b| b.2).max();
    let of_partition = |p: usize| match policy.scope {
        Scope::Stream => counted(&|q, _| q == p).map(|newest| newest - ooo),
        Scope::Sensor => newest_arrival(p).map(|a| a - policy.late.expect("set").tolerance_ns),
    };
    // The lane's watermark never goes back, and the partitions are the same throughout.
    let lane = (0..partitions).map(of_partition).min().flatten();
    let own = match policy.scope {
        Scope::Stream => of_partition(partition),
        Scope::Sensor => counted(&|_, s| s == sensor).map(|newest| newest - ooo),
    };
    let mut time = event;
    if let Some(early) = policy.early
        && time > arrival + early.tolerance_ns
    {
        if early.action == Action::Drop {
            return Verdict::Early;
        }
        time = arrival + early.tolerance_ns;
    }
    if let Some(late) = policy.late
        && time < arrival - late.tolerance_ns
    {
        if late.action == Action::Drop {
            return Verdict::Late(LateReason::Arrival);
        }
        time = arrival - late.tolerance_ns;
    }
    if let (Some(action), Some(bound)) = (policy.out_of_order, own.max(lane))
        && time < bound
    {
        if action == Action::Drop {
            return Verdict::Late(LateReason::OutOfOrder);
        }
        time = bound;
    }
    Verdict::Counts(time)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Adjust), Just(Action::Drop)]
}

fn policy() -> impl Strategy<Value = TimePolicy> {
    let rule = || (0i64..12, action()).prop_map(|(t, action)| Rule { tolerance_ns: t, action });
    let parts = (
        prop::option::of(rule()),
        prop::option::of(rule()),
        prop::option::of(action()),
        any::<bool>(),
    );
    parts.prop_map(|(early, late, out_of_order, sensor)| TimePolicy {
        time: TimeBy::Event,
        early,
        late,
        out_of_order,
        scope: if sensor && late.is_some() { Scope::Sensor } else { Scope::Stream },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn w_09_the_rules_equal_a_naive_reading_of_them(
        policy in policy(),
        ooo in 0i64..8,
        steps in prop::collection::vec((0usize..2, 0u32..3, -15i64..15, 0i64..4), 1..60),
        restart in 0usize..60,
    ) {
        let mut time = EventTime::new(policy, ooo, 2);
        let (mut now, mut before) = (1_000, Vec::new());
        for (index, (partition, sensor, ahead, passed)) in steps.into_iter().enumerate() {
            now += passed;
            let reading = (partition, sensor, now + ahead, now);
            let expected = naive(&policy, ooo, &before, 2, reading);
            if index == restart {
                let saved: Vec<_> = time.partitions().iter().map(|p| (p.number, p.newest)).collect();
                let watermark = Watermark::restore(saved, time.get(), 0);
                time = EventTime::restore(policy, ooo, watermark, time.sensors().to_vec());
            }
            prop_assert_eq!(time.observe(partition, sensor, now + ahead, now), expected);
            before.push((partition, sensor, now, expected));
        }
    }
}
