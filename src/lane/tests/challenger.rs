//! A challenger in a lane: its sets are in the record, and it never holds up the champion.

use super::*;

/// Publishes a model, and makes it the challenger.
fn challenger(bench: &Bench, threshold: f64) -> u64 {
    let registry = &bench.pipeline.registry;
    let champion = registry.alias("champion").expect("reads").expect("there").version;
    let version = bench.champion(threshold);
    registry.move_alias("champion", champion, 1).expect("moves");
    registry.move_alias("challenger", version, 1).expect("moves");
    version
}

fn sets(lane: &Lane) -> Vec<u64> {
    lane.ledger().newest().model_sets.clone()
}

#[test]
fn fm_46_a_challenger_is_taken_up_with_the_next_epoch_and_the_record_names_it() {
    let bench = Bench::new(&["models.challenger.alias=challenger"]);
    let champion = bench.champion(0.0);
    let mut lane = bench.lane();
    let texts = messages(&[(1, 1, 1), (8, 1, 1), (15, 1, 1), (22, 1, 1)]);
    feed(&mut lane, &texts, 0, 2);
    let first = challenger(&bench, -10.0);
    lane.commit(1).expect("commits");
    assert_eq!(sets(&lane), [champion], "the epoch kept what it began with");
    lane.commit(1).expect("announces");
    feed(&mut lane, &texts, 2, 4);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    assert_eq!(sets(&lane), [champion, first]);
    // The challenger calls everything anomalous, the champion nothing.
    assert_eq!((lane.metrics.challenged.get(), lane.metrics.agreed.get()), (3, 0));
    let said = bench.select(
        "SELECT CAST(coalesce(challenger_set, 0) AS BIGINT) AS set, \
         challenger_is_anomaly IS NULL AS silent FROM predictions ORDER BY window_end",
    );
    let text = arrow::util::pretty::pretty_format_batches(&said).expect("a table").to_string();
    let found: Vec<&str> = text.lines().filter(|line| line.contains("| ")).skip(1).collect();
    let row = |set: u64, silent: bool| format!("| {set}   | {silent:<6} |");
    assert_eq!(found, [row(0, true), row(first, false), row(first, false), row(first, false)]);
    bench.prove();
}

#[test]
fn fm_47_a_challenger_that_cannot_be_read_does_not_hold_up_the_champion() {
    let bench = Bench::new(&["models.challenger.alias=challenger"]);
    bench.champion(0.0);
    let good = challenger(&bench, -10.0);
    let mut lane = bench.lane();
    let texts = messages(&[(1, 1, 1), (8, 1, 1), (15, 1, 1)]);
    feed(&mut lane, &texts, 0, 1);
    let torn = challenger(&bench, -20.0);
    let path = format!("{}/_tidegauge/models/sets/{torn:020}.parquet", bench.url());
    let bytes = std::fs::read(&path).expect("published");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writable");
    let champion = bench.champion(0.25);
    lane.commit(1).expect("commits");
    lane.commit(1).expect("announces");
    feed(&mut lane, &texts, 1, 2);
    lane.commit(1).expect("commits");
    assert_eq!(sets(&lane), [champion, good]);
    assert!(bench.pipeline.metrics.model_reload_failures.get() > 0, "it is counted");
    // One that opens now has what was announced, whatever the alias means.
    drop(lane);
    let mut lane = bench.lane();
    feed(&mut lane, &texts, 2, 3);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    assert_eq!(sets(&lane), [champion, good]);
    bench.prove();
}

#[test]
fn fm_47_a_challenger_that_does_not_fit_does_not_hold_up_a_start() {
    let settings = ["models.challenger.alias=challenger", "models.features=s,diff(s)"];
    let bench = Bench::new(&settings);
    let entry = |features: &[&str]| ModelEntry {
        key: SensorKey([KeyValue::Int(1)].into()),
        features: features.iter().map(ToString::to_string).collect(),
        model: ModelParams::StaticLimits(
            tidegauge_score::LimitsParams::new(vec![
                tidegauge_score::Limit {
                    low: Some(0.0),
                    high: None
                };
                features.len()
            ])
            .expect("limits"),
        ),
        threshold: 0.0,
        calibration: None,
        training: None,
        source: "made for a test".into(),
    };
    let registry = &bench.pipeline.registry;
    let key = &bench.pipeline.config.event.key;
    for (alias, features) in [("champion", &["s", "diff(s)"][..]), ("challenger", &["s"])] {
        let version = registry.publish(key, vec![entry(features)], None, "test", 1);
        registry.move_alias(alias, version.expect("publishes"), 1).expect("moves");
    }
    let scorer = bench.pipeline.scorer().expect("the champion fits");
    assert_eq!((scorer.model_sets(), scorer.challenger_sets()), (&[1][..], &[][..]));
    assert!(bench.pipeline.metrics.model_reload_failures.get() > 0, "it is counted");
}
