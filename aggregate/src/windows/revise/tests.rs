//! Revisions against a naive lane that keeps every reading.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegauge_flow::WindowRows;

use super::*;
use crate::policy::LateReason;
use crate::query::Query;
use crate::windows::WindowSettings;
use crate::windows::tests::{Event, batch, each, query, sensors, settings};

const S: i64 = 1_000_000_000;

/// (device, window end ns, revision) -> (readings, sum)
type Rows = BTreeMap<(i64, i64, u32), (u64, f64)>;

/// The rule, read by read.
#[derive(Default)]
struct Naive {
    size: i64,
    slide: i64,
    ooo: i64,
    lateness: i64,
    newest: Option<i64>,
    /// Newest end of a window that the watermark has passed.
    passed: Option<i64>,
    contents: BTreeMap<i64, BTreeMap<i64, (u64, f64)>>,
    revisions: BTreeMap<(i64, i64), u32>,
    pending: BTreeSet<(i64, i64)>,
    rows: Rows,
    late: usize,
}

impl Naive {
    fn read(&mut self, (device, time, value): Event) {
        self.newest = self.newest.max(Some(time));
        let watermark = self.newest.expect("set") - self.ooo;
        self.pass((watermark - 1).div_euclid(self.slide) * self.slide);
        let first = time + (-time).rem_euclid(self.slide);
        let ends = (0..).map(|k| first + k * self.slide);
        let ends: Vec<i64> = ends.take_while(|end| end - self.size < time).collect();
        if ends.iter().all(|end| end + self.lateness < watermark) {
            self.late += 1;
            return;
        }
        for end in ends {
            let held = self.contents.entry(end).or_default().entry(device).or_insert((0, 0.0));
            *held = (held.0 + 1, held.1 + value);
            let passed = self.passed.expect("set");
            if end <= passed && end + self.lateness >= passed {
                self.pending.insert((end, device));
            }
        }
    }

    fn pass(&mut self, passed: i64) {
        if self.passed.is_some_and(|before| before >= passed) {
            return;
        }
        self.revise();
        let before = self.passed.replace(passed);
        // Windows that were closed before anything was read have no first row of their own.
        let closed: Vec<(i64, i64)> = self
            .contents
            .range(before.map_or(i64::MIN, |b| b + 1)..=passed)
            .flat_map(|(end, devices)| devices.keys().map(|device| (*end, *device)))
            .collect();
        closed.into_iter().for_each(|(end, device)| self.emit(end, device));
    }

    fn revise(&mut self) {
        for (end, device) in std::mem::take(&mut self.pending) {
            self.emit(end, device);
        }
    }

    fn emit(&mut self, end: i64, device: i64) {
        let revision = self.revisions.entry((end, device)).and_modify(|r| *r += 1).or_insert(0);
        let row = self.contents[&end][&device];
        assert!(self.rows.insert((device, end, *revision), row).is_none());
    }

    fn drain(&mut self) {
        self.revise();
        let last = self.contents.keys().next_back().copied().unwrap_or(0);
        self.pass(last.max(self.passed.unwrap_or(i64::MIN)));
    }
}

fn collect(rows: Option<WindowRows>, into: &mut Rows) -> (u64, u64) {
    let Some(rows) = rows else { return (0, 0) };
    for (key, content) in each(&rows) {
        let old = into.insert(key, content);
        assert_eq!(old, None, "{key:?} came out twice");
    }
    (rows.n_readings.iter().sum(), rows.superseded)
}

struct Run {
    rows: Rows,
    late: usize,
}

fn run(
    query: &std::sync::Arc<Query>,
    settings: WindowSettings,
    events: &[Event],
    cuts: &[usize],
    restart: bool,
) -> Run {
    let mut sensors = sensors();
    let mut windows = Windows::new(query.clone(), settings, 1);
    let (mut rows, mut late, mut from) = (Rows::new(), 0, 0);
    let (mut aggregated, mut emitted, mut superseded) = (0, 0, 0);
    let mut close = |windows: &mut Windows, sensors: &_, aggregated: u64| {
        while let Some(closed) = windows.close(sensors).expect("closes") {
            let (n, s) = collect(Some(closed), &mut rows);
            (emitted, superseded) = (emitted + n, superseded + s);
        }
        if windows.query.window().is_tumble() {
            let held = emitted - superseded + windows.open_readings();
            assert_eq!(held, aggregated, "each reading is in one row that counts, or in none");
        }
    };
    for &to in cuts.iter().chain([&events.len()]) {
        let to = to.clamp(from, events.len());
        let readings = batch(&events[from..to], &mut sensors);
        let pushed = windows.push(0, &readings, &sensors).expect("pushes");
        assert!(pushed.late.iter().all(|(_, reason)| *reason == LateReason::WindowClosed));
        late += pushed.late.len();
        aggregated += pushed.aggregated;
        close(&mut windows, &sensors, aggregated);
        if restart {
            let bytes = windows.checkpoint(&sensors).expect("saves");
            assert_eq!(bytes, windows.checkpoint(&sensors).expect("saves again"));
            (windows, sensors) =
                Windows::restore(&bytes, query.clone(), settings, 1000, None).expect("restores");
        }
        from = to;
    }
    windows.drain();
    close(&mut windows, &sensors, aggregated);
    assert_eq!(windows.open_readings(), 0);
    Run { rows, late }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn fm_01_revisions_equal_a_naive_lane_however_cut_or_restarted(
        steps in prop::collection::vec((0i64..3, -12i64..14, 0u32..100), 1..120),
        cuts in prop::collection::vec(0usize..120, 0..6),
        shape in prop::sample::select(vec![(5, 5), (10, 5), (12, 4)]),
        ooo in 0i64..4,
        lateness in 0i64..25,
        restart in any::<bool>(),
    ) {
        let (size, slide) = shape;
        let mut now = 1_000;
        let events: Vec<Event> = steps.iter().map(|(device, step, value)| {
            now += step;
            (*device, now * S, f64::from(*value))
        }).collect();
        let window = match size == slide {
            true => format!(r#"tumble("TS", INTERVAL '{size} seconds')"#),
            false => format!(r#"hop("TS", INTERVAL '{slide} seconds', INTERVAL '{size} seconds')"#),
        };
        let query = query(r#"sum("Value") AS s"#, "", &window);
        let settings =
            WindowSettings { allowed_lateness_ns: Some(lateness * S), ..settings(ooo * S) };
        let mut cuts = cuts;
        cuts.sort_unstable();
        let got = run(&query, settings, &events, &cuts, restart);
        let mut naive = Naive {
            size: size * S,
            slide: slide * S,
            ooo: ooo * S,
            lateness: lateness * S,
            ..Naive::default()
        };
        events.iter().for_each(|event| naive.read(*event));
        naive.drain();
        prop_assert_eq!(got.late, naive.late);
        prop_assert_eq!(got.rows, naive.rows);
    }
}

#[test]
fn fm_01_a_late_reading_makes_a_further_row_of_the_whole_window_and_says_so() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let settings = WindowSettings { allowed_lateness_ns: Some(20 * S), ..settings(0) };
    let events = [
        (1, 2 * S, 1.0),
        (1, 6 * S, 10.0),  // closes (0, 5]
        (1, 3 * S, 2.0),   // late, pending
        (2, 4 * S, 4.0),   // late, this sensor's first
        (1, 11 * S, 10.0), // passes 10: the revisions come
        (1, 4 * S, 8.0),   // late again
        (1, 26 * S, 0.0),  // passes 25, and (0, 5] is over
        (1, 4 * S, 99.0),  // late for good
    ];
    let got = run(&query, settings, &events, &[], false);
    let expected: Rows = [
        ((1, 5 * S, 0), (1, 1.0)),
        ((1, 5 * S, 1), (2, 3.0)),
        ((2, 5 * S, 0), (1, 4.0)),
        ((1, 5 * S, 2), (3, 11.0)),
        ((1, 10 * S, 0), (1, 10.0)),
        ((1, 15 * S, 0), (1, 10.0)),
        ((1, 30 * S, 0), (1, 0.0)),
    ]
    .into();
    assert_eq!(got.rows, expected);
    assert_eq!(got.late, 1);
}

#[test]
fn what_was_held_is_told_and_let_go_when_a_later_run_holds_nothing() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let holds = WindowSettings { allowed_lateness_ns: Some(3600 * S), ..settings(0) };
    let mut sensors = sensors();
    let mut windows = Windows::new(query.clone(), holds, 1);
    let readings = batch(&[(1, 2 * S, 1.0), (1, 6 * S, 1.0), (1, 3 * S, 1.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    windows.close(&sensors).expect("closes");
    assert_eq!((windows.open_readings(), windows.held_windows()), (2, 1));
    let bytes = windows.checkpoint(&sensors).expect("saves");
    let (mut windows, mut sensors) =
        Windows::restore(&bytes, query, settings(0), 9, None).expect("restores");
    let readings = batch(&[(1, 4 * S, 1.0), (1, 21 * S, 1.0)], &mut sensors);
    assert_eq!(windows.push(0, &readings, &sensors).expect("pushes").late.len(), 1);
    let mut rows = Rows::new();
    collect(windows.close(&sensors).expect("closes"), &mut rows);
    assert_eq!(rows, [((1, 5 * S, 1), (2, 2.0)), ((1, 10 * S, 0), (1, 1.0))].into());
    assert_eq!((windows.open_readings(), windows.held_windows()), (1, 0));
}

#[test]
fn fm_01_windows_that_were_given_up_are_not_revised_when_a_later_run_holds_them_for_longer() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let none = settings(0);
    let short = WindowSettings { allowed_lateness_ns: Some(S), ..none };
    for before in [none, short] {
        let mut sensors = sensors();
        let mut windows = Windows::new(query.clone(), before, 1);
        let readings = batch(&[(1, 2 * S, 1.0), (1, 13 * S, 1.0)], &mut sensors);
        windows.push(0, &readings, &sensors).expect("pushes");
        let mut rows = Rows::new();
        collect(windows.close(&sensors).expect("closes"), &mut rows);
        assert_eq!(rows, [((1, 5 * S, 0), (1, 1.0))].into());
        let bytes = windows.checkpoint(&sensors).expect("saves");
        let long = WindowSettings { allowed_lateness_ns: Some(3600 * S), ..none };
        let restored = Windows::restore(&bytes, query.clone(), long, 9, None);
        let (mut windows, mut sensors) = restored.expect("restores");
        // One for a window whose contents are gone, one for a window that is still held.
        let readings = batch(&[(1, 4 * S, 9.0), (1, 14 * S, 1.0)], &mut sensors);
        let pushed = windows.push(0, &readings, &sensors).expect("pushes");
        assert_eq!(pushed.late.len(), 1, "{before:?}");
        windows.drain();
        let mut rows = Rows::new();
        collect(windows.close(&sensors).expect("closes"), &mut rows);
        assert_eq!(rows, [((1, 15 * S, 0), (2, 2.0))].into());
    }
}
