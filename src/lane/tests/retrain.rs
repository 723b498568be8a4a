//! Trainings on a schedule: when, on which rows, and what a restart knows.

use std::sync::atomic::{AtomicI64, Ordering};

use tidegauge_score::TrainingRun;

use super::*;
use crate::background::End;
use crate::retrain::{Looked, Retrainer};

/// A wall clock that is set by hand, in seconds.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed) * 1_000_000_000
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// 12:20 of the readings' day.
const TWENTY: i64 = 1_599_999_600;

/// A lake with an hour of windows of sensor 1, from 12:26:40 on, and a clock.
struct Plant {
    bench: Bench,
    clock: Arc<Hand>,
}

impl Plant {
    fn new(extra: &[&str]) -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(TWENTY)));
        let settings = ["models.train.every=10m", "models.train.rows_min=10", "models.features=s"];
        let bench = Bench::at(&[&settings, extra].concat(), clock.clone());
        let readings: Vec<_> = (0..720).map(|w| (5 * w + 1, 1, 100 + w * 7 % 10)).collect();
        let texts = messages(&readings);
        let mut lane = bench.lane();
        feed(&mut lane, &texts, 0, texts.len());
        lane.drain().expect("drains");
        lane.commit(1).expect("commits");
        Self { bench, clock }
    }

    /// What is in force: a process as it begins.
    fn process(&self) -> Retrainer {
        let settings = self.bench.pipeline.config.models.retrain.clone().expect("configured");
        Retrainer::new(&self.bench.pipeline, &settings).expect("good settings")
    }

    /// So many minutes and seconds after 12 o'clock.
    fn set(&self, minute: i64, second: i64) {
        let at = TWENTY + (minute - 20) * 60 + second;
        self.clock.0.store(at, Ordering::Relaxed);
    }

    fn runs(&self) -> Vec<TrainingRun> {
        let registry = &self.bench.pipeline.registry;
        let versions = registry.sets().expect("lists").into_iter().map(|set| set.version);
        versions.filter_map(|version| registry.training_run(version).expect("reads")).collect()
    }

    /// First and last window end and rows of what the newest model of sensor 1 was trained on, ends in
    /// seconds after 12:20.
    fn trained(&self, alias: &str) -> (i64, i64, u64) {
        let models = self.bench.pipeline.registry.resolve(alias).expect("reads").expect("moved");
        let (entry, _) = models.find(&SensorKey([KeyValue::Int(1)].into())).expect("trained");
        let training = entry.training.as_ref().expect("trained here");
        let seconds = |us: i64| us / 1_000_000 - TWENTY;
        (seconds(training.from_us), seconds(training.to_us), training.rows)
    }
}

fn look(process: &mut Retrainer) -> Looked {
    process.look(&End::default()).expect("looks")
}

fn is_published(looked: Looked) -> bool {
    matches!(looked, Looked::Published { trained: 1, skipped: 0, .. })
}

#[test]
fn consecutive_trainings_share_no_row_and_leave_none_out_and_wait_until_rows_are_there() {
    let plant = Plant::new(&[]);
    let mut process = plant.process();
    plant.set(40, 21);
    // 12:30 was due, too: it is made up for, once.
    assert!(is_published(look(&mut process)));
    assert_eq!(plant.trained("champion"), (405, 600, 40), "windows of 12:26:45 to 12:30:00");
    assert_eq!(look(&mut process), Looked::Waits, "two seconds out of order, two commits of ten");
    plant.set(40, 22);
    assert!(is_published(look(&mut process)));
    assert_eq!(plant.trained("champion"), (605, 1_200, 120));
    assert_eq!(look(&mut process), Looked::Waits);
    plant.set(50, 22);
    assert!(is_published(look(&mut process)));
    assert_eq!(plant.trained("champion"), (1_205, 1_800, 120));
    // Down for twenty minutes: one training, of all rows that none has had.
    plant.set(75, 0);
    assert!(is_published(look(&mut process)));
    assert_eq!(plant.trained("champion"), (1_805, 3_000, 240));
    assert_eq!(look(&mut process), Looked::Waits);
    let ranges: Vec<_> = plant.runs().iter().map(|run| (run.from_us, run.to_us)).collect();
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
    assert_eq!(plant.runs()[0].schedule.as_deref(), Some("10m"));
}

#[test]
fn a_restart_and_another_process_train_nothing_that_is_published() {
    let plant = Plant::new(&[]);
    plant.set(41, 0);
    let (mut one, mut other) = (plant.process(), plant.process());
    assert!(is_published(look(&mut one)));
    assert_eq!(look(&mut other), Looked::Known);
    assert_eq!(look(&mut other), Looked::Waits);
    let mut again = plant.process();
    assert_eq!(look(&mut again), Looked::Known);
    // Someone takes the models back: that is no reason to train the same again.
    let registry = &plant.bench.pipeline.registry;
    let champion = plant.bench.champion(0.0);
    registry.move_alias("champion", champion, 1).expect("moves");
    assert_eq!(look(&mut plant.process()), Looked::Known);
    plant.set(51, 0);
    assert!(is_published(look(&mut plant.process())));
    assert_eq!(plant.trained("champion"), (1_205, 1_800, 120));
    assert_eq!(plant.runs().len(), 2);
}

#[test]
fn a_clock_that_jumps_does_no_harm() {
    let plant = Plant::new(&[]);
    let mut process = plant.process();
    plant.set(41, 0);
    assert!(is_published(look(&mut process)));
    // Back by a minute, over the time at which it was due.
    plant.set(39, 0);
    assert!(is_published(look(&mut process)), "12:30 was never trained");
    assert_eq!(plant.trained("champion"), (405, 600, 40));
    plant.set(41, 0);
    assert_eq!(look(&mut process), Looked::Waits);
    // Far ahead, and back: a range that ends in the future stops nothing.
    plant.set(1_000_000, 0);
    assert!(is_published(look(&mut process)));
    plant.set(42, 0);
    assert_eq!(look(&mut process), Looked::Waits);
    assert_eq!(look(&mut plant.process()), Looked::Known);
    plant.set(51, 0);
    assert!(is_published(look(&mut process)));
    assert_eq!(plant.trained("champion"), (1_205, 1_800, 120));
}

#[test]
fn a_range_of_the_last_so_long_feeds_the_alias_that_is_configured() {
    let plant = Plant::new(&["models.train.last=20m", "models.train.alias=challenger"]);
    let mut process = plant.process();
    plant.set(52, 0);
    assert!(is_published(look(&mut process)));
    assert_eq!(plant.trained("challenger"), (605, 1_800, 240));
    let registry = &plant.bench.pipeline.registry;
    assert!(registry.alias("champion").expect("reads").is_none());
    assert_eq!(look(&mut plant.process()), Looked::Known);
}

#[test]
fn a_training_without_rows_or_models_leaves_what_is_there() {
    let plant = Plant::new(&["models.train.rows_min=200"]);
    let mut process = plant.process();
    let before = plant.bench.champion(0.0);
    assert_eq!(look(&mut process), Looked::Nothing, "no rows at 12:20");
    plant.set(41, 0);
    assert_eq!(look(&mut process), Looked::Nothing, "120 rows are too few");
    let ended = End::default();
    ended.come();
    plant.set(51, 0);
    assert_eq!(process.look(&ended).expect("looks"), Looked::Ended);
    let registry = &plant.bench.pipeline.registry;
    let alias = registry.alias("champion").expect("reads").map(|record| record.version);
    assert_eq!(alias, Some(before));
    assert_eq!(plant.runs(), []);
}

#[test]
fn a_training_waits_for_lanes_that_are_behind_but_not_for_silent_ones() {
    let plant = Plant::new(&[]);
    let mut lane = Lane::open(&plant.bench.pipeline, "t-1", Closing::ByWatermark).expect("opens");
    let readings: Vec<_> = (0..420).map(|w| (5 * w + 1, 2, 100 + w * 7 % 10)).collect();
    // At 12:59 it has committed up to 12:36:40 of what goes on to 13:01:40.
    let texts = messages(&readings);
    feed(&mut lane, &texts, 0, 120);
    lane.commit((TWENTY + 39 * 60) * 1_000_000).expect("commits");
    plant.set(60, 0);
    let mut process = plant.process();
    plant.set(61, 0);
    assert_eq!(look(&mut process), Looked::Waits, "the lane is behind 13:00");
    assert_eq!(plant.runs(), []);
    feed(&mut lane, &texts, 120, 240);
    lane.commit((TWENTY + 41 * 60) * 1_000_000).expect("commits");
    assert_eq!(look(&mut process), Looked::Waits, "it has more, and is still behind");
    feed(&mut lane, &texts, 240, texts.len());
    lane.commit((TWENTY + 41 * 60) * 1_000_000).expect("commits");
    let published = look(&mut process);
    assert!(matches!(published, Looked::Published { trained: 2, .. }), "{published:?}");
    // It stands still with a window open: so long as it may come back, and an hour.
    plant.set(61 + 60, 21);
    assert_eq!(look(&mut process), Looked::Waits);
    plant.set(61 + 60, 22);
    assert!(matches!(look(&mut process), Looked::Nothing | Looked::Published { .. }));
}

#[test]
fn a_lane_that_holds_nothing_open_is_waited_for_until_it_would_have_read_something() {
    let plant = Plant::new(&[]);
    plant.set(100, 0);
    let mut process = plant.process();
    assert_eq!(look(&mut process), Looked::Waits, "12:26:40 to 13:26:40 is all that it has");
    plant.set(100, 21);
    assert_eq!(look(&mut process), Looked::Waits);
    plant.set(100, 22);
    assert_eq!(look(&mut process), Looked::Nothing, "no row from 13:30 to 13:40");
}
