//! The onset view in a lane: histories in the checkpoint, models that are fitted beside it.

use super::*;
use crate::trainer::Trainer;

const SETTINGS: [&str; 4] = [
    "models.features=s,rolling_mean(s, 4),rolling_std(s, 4)",
    "models.onset.features=s,diff(s),rolling_mean(s, 3),hour_sin,same_time_gap(s, 2)",
    "models.onset.rows=40",
    "models.train.rows_min=10",
];

/// Sensor 1 and 2 take turns in a narrow range; sensor 2 steps up for good near the end.
fn readings(windows: i64) -> Vec<(i64, i64, i64)> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut value = |id: i64, window: i64| {
        let step = if id == 2 && window > windows * 4 / 5 { 400 } else { 0 };
        100 + step + random.random_range(0..10)
    };
    let windows = 0..windows;
    windows.flat_map(|w| [(5 * w + 1, 1, value(1, w)), (5 * w + 1, 2, value(2, w))]).collect()
}

/// What the lake says of each window: status, score's bits, novelty's bits, alarm, onset set, epoch.
type Verdicts =
    BTreeMap<(i64, String), (String, Option<u64>, Option<u64>, Option<bool>, Option<u64>)>;

fn verdicts(bench: &Bench) -> (Verdicts, BTreeMap<u64, Vec<Option<u64>>>) {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
    let batches = bench.select(
        "SELECT \"Id\", CAST(CAST(window_end AS VARCHAR) AS VARCHAR) AS e, CAST(status AS VARCHAR) AS status, \
         score, novelty, alarm, novelty_set, epoch FROM predictions ORDER BY window_end, \"Id\"",
    );
    let (mut all, mut sets) = (Verdicts::new(), BTreeMap::<u64, Vec<Option<u64>>>::new());
    for batch in &batches {
        let text = |column: usize| {
            let text =
                arrow::compute::cast(batch.column(column), &arrow::datatypes::DataType::Utf8);
            text.expect("a text").as_string::<i32>().clone()
        };
        let (ends, statuses) = (text(1), text(2));
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let float = |column: usize, row: usize| {
            let column = batch.column(column).as_primitive::<Float64Type>();
            arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_bits())
        };
        let alarms = batch.column(5).as_boolean();
        let onset = batch.column(6).as_primitive::<UInt64Type>();
        let epochs = batch.column(7).as_primitive::<UInt64Type>();
        for row in 0..batch.num_rows() {
            let alarm = arrow::array::Array::is_valid(alarms, row).then(|| alarms.value(row));
            let set = arrow::array::Array::is_valid(onset, row).then(|| onset.value(row));
            let key = (ids.value(row), ends.value(row).to_string());
            let verdict =
                (statuses.value(row).to_string(), float(3, row), float(4, row), alarm, set);
            assert!(all.insert(key, verdict).is_none(), "a window came out twice");
            sets.entry(epochs.value(row)).or_default().push(set);
        }
    }
    (all, sets)
}

/// Opens the lane as the worker does, with a commit before anything is fed.
fn open(bench: &Bench) -> Lane {
    let mut lane = bench.lane();
    lane.commit(1).expect("commits");
    lane
}

/// Feeds windows a few at a time, commits, and lets the trainer look after each commit. With `restarts`
/// the lane dies now and then, right after a commit or with rows that it has not committed.
fn run(restarts: bool) -> Bench {
    let bench = Bench::new(&SETTINGS);
    bench.champion_of_three();
    let onset = bench.pipeline.config.models.onset.clone().expect("configured");
    let mut trainer = Trainer::new(&bench.pipeline, &onset).expect("good settings");
    let texts = messages(&readings(200));
    let mut lane = open(&bench);
    for (i, from) in (0..texts.len()).step_by(20).enumerate() {
        let to = (from + 20).min(texts.len());
        if restarts && i % 4 == 2 {
            // Dies before the commit: what it was fed is fed again.
            feed(&mut lane, &texts, from, to);
            lane = open(&bench);
        }
        if restarts && i % 5 == 3 {
            lane = open(&bench);
            let onset = bench.pipeline.config.models.onset.clone().expect("configured");
            trainer = Trainer::new(&bench.pipeline, &onset).expect("good settings");
            // It reads what there is from the beginning, and fits nothing twice.
            let before = bench.pipeline.registry.alias("onset").expect("reads");
            trainer.round().expect("reads");
            assert_eq!(bench.pipeline.registry.alias("onset").expect("reads"), before);
        }
        feed(&mut lane, &texts, from, to);
        lane.commit(1).expect("commits");
        trainer.round().expect("a round");
        // A commit of nothing looks for models; they are in force from the next cut on.
        lane.commit(1).expect("commits");
    }
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    bench.prove();
    bench
}

#[test]
fn fm_46_fm_56_histories_survive_restarts_and_each_epoch_has_one_onset_set() {
    let calm = run(false);
    let (expected, sets) = verdicts(&calm);
    for (epoch, sets) in &sets {
        assert!(
            sets.iter().all(|set| *set == sets[0]) || sets.len() < 4,
            "epoch {epoch}: {sets:?}"
        );
    }
    let seen: std::collections::BTreeSet<_> = sets.values().flatten().flatten().collect();
    assert!(seen.len() >= 4, "models were fitted anew: {seen:?}");
    let raised = |(id, end): &(i64, String), v: &Option<bool>| {
        // The step comes with the window that ends at 12:40:10.
        *id == 2
            && *v == Some(true)
            && ("2020-09-13T12:40:10Z"..="2020-09-13T12:40:20Z").contains(&end.as_str())
    };
    assert!(expected.iter().any(|(key, v)| raised(key, &v.3)), "the step raises an alarm");
    let warm = expected.values().filter(|v| v.0 == "warming_up").count();
    assert_eq!(warm, 6, "three rows of each sensor");
    let (found, _) = verdicts(&run(true));
    assert_eq!(found.len(), expected.len());
    for (key, verdict) in &expected {
        let (a, b) = (&found[key], verdict);
        assert_eq!(a, b, "{key:?}");
    }
}

/// A bench with rows of forty windows and a trainer that has published their models.
fn trained() -> Bench {
    let bench = Bench::new(&SETTINGS);
    bench.champion_of_three();
    let onset = bench.pipeline.config.models.onset.clone().expect("configured");
    let texts = messages(&readings(40));
    let mut lane = bench.lane();
    feed(&mut lane, &texts, 0, texts.len());
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let mut trainer = Trainer::new(&bench.pipeline, &onset).expect("good settings");
    let round = trainer.round().expect("a round");
    assert_eq!((round.rows, round.fitted), (80, 2));
    bench
}

#[test]
fn fm_47_a_trainer_starts_beside_a_torn_set_and_says_how_to_leave_it() {
    let bench = trained();
    let onset = bench.pipeline.config.models.onset.clone().expect("configured");
    let registry = &bench.pipeline.registry;
    let good = registry.alias("onset").expect("reads").expect("published").version;
    let models = registry.resolve("onset").expect("reads").expect("published");
    let entries: Vec<_> = models.effective().map(|(entry, _)| entry.as_ref().clone()).collect();
    drop(models);
    let key = &bench.pipeline.config.event.key;
    let torn = registry.advance("onset", key, &entries, "torn", 1).expect("publishes");
    let path = format!("{}/_tidegauge/models/sets/{torn:020}.parquet", bench.url());
    let bytes = std::fs::read(&path).expect("published");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writable");
    let mut trainer = Trainer::new(&bench.pipeline, &onset).expect("starts without it");
    let failures = bench.pipeline.metrics.sum("tidegauge_score_reload_failures_total");
    assert!(failures >= 1.0, "it is counted");
    let error = trainer.round().expect_err("what cannot be read is not replaced");
    assert!(format!("{error:#}").contains("tidegauge models rollback onset"), "{error:#}");
    registry.move_alias("onset", good, 2).expect("moves");
    let round = trainer.round().expect("what was fitted is published now");
    assert!(round.set > Some(torn), "{round:?}");
}

#[test]
fn features_of_the_onset_view_that_change_say_which_and_what_to_do_and_blanks_are_no_change() {
    let bench = trained();
    let open = |features: &str, alias: &str| {
        let mut config = bench.pipeline.config.clone();
        let onset = config.models.onset.as_mut().expect("configured");
        onset.settings.features = features.split(';').map(String::from).collect();
        onset.alias = alias.into();
        Pipeline::open(config).map(|_| ()).map_err(|error| format!("{error:#}"))
    };
    let blanks = "s;diff( s );rolling_mean(s,3);hour_sin;same_time_gap(s,  2)";
    open(blanks, "onset").expect("the same features");
    let other = "s;diff(s);rolling_mean(s, 4);hour_sin;same_time_gap(s, 2)";
    let error = open(other, "onset").expect_err("other features");
    let expected = "(only theirs: rolling_mean(s, 3); only here: rolling_mean(s, 4);";
    assert!(error.contains(expected) && error.contains("[models.onset] alias"), "{error}");
    open(other, "onset_2").expect("an alias of its own");
}

#[test]
fn fm_48_a_trainer_that_could_not_read_a_file_begins_again_and_counts_no_row_twice() {
    let bench = Bench::new(&SETTINGS);
    bench.champion_of_three();
    let onset = bench.pipeline.config.models.onset.clone().expect("configured");
    let texts = messages(&readings(60));
    let mut lane = bench.lane();
    for from in (0..texts.len()).step_by(30) {
        feed(&mut lane, &texts, from, from + 30);
        lane.commit(1).expect("commits");
    }
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let view = bench.pipeline.lake().reader().view().expect("reads");
    let records = view.lanes.values().flatten();
    let files = records.flat_map(|(record, _)| &record.files);
    let files: Vec<_> = files.filter(|file| file.window_end_us.is_some()).collect();
    assert!(files.len() >= 4, "{files:?}");
    let last = files.iter().max_by_key(|file| file.window_end_us).expect("files");
    let last = std::path::Path::new(&bench.url()).join(&last.path);
    let away = last.with_extension("away");
    std::fs::rename(&last, &away).expect("ours");
    let mut trainer = Trainer::new(&bench.pipeline, &onset).expect("good settings");
    let error = trainer.round().expect_err("a file is missing");
    assert!(format!("{error:#}").contains("cannot read"), "{error:#}");
    std::fs::rename(&away, &last).expect("ours");
    let round = trainer.round().expect("all is there");
    assert_eq!((round.rows, round.fitted), (120, 2), "60 windows of two sensors");
    let models = bench.pipeline.registry.resolve("onset").expect("reads").expect("published");
    let rows = |id: i64| {
        let (entry, _) = models.find(&SensorKey([KeyValue::Int(id)].into())).expect("fitted");
        entry.training.as_ref().expect("told").rows
    };
    assert_eq!((rows(1), rows(2)), (60, 60));
    assert_eq!(trainer.round().expect("nothing is new").rows, 0);
}
