//! Models that change while a lane runs, and a lane that dies around it.

use super::*;
use crate::pipeline::InForce;

/// A reading each seven seconds: each closes the window of the one before.
fn stream() -> Vec<String> {
    messages(&[(1, 1, 1), (8, 1, 1), (15, 1, 1), (22, 1, 1), (29, 1, 1), (36, 1, 1)])
}

/// Feeds up to there and commits.
fn step(lane: &mut Lane, texts: &[String], to: usize) {
    let next = lane.position_of(&Partition::new("t", 0)).unwrap_or_default();
    feed(lane, texts, usize::try_from(next).expect("an offset"), to);
    lane.commit(1).expect("commits");
}

fn sets(bench: &Bench) -> Vec<u64> {
    let rows = bench.rows().into_values();
    rows.map(|(_, _, set)| set.and_then(|set| u64::try_from(set).ok()).expect("a model")).collect()
}

#[test]
fn fm_46_models_change_between_two_epochs_and_the_record_names_them() {
    let (bench, texts) = (Bench::new(&[]), stream());
    let first = bench.champion(0.0);
    let mut lane = bench.lane();
    feed(&mut lane, &texts, 0, 2);
    let second = bench.champion(-10.0);
    assert!(second > first);
    step(&mut lane, &texts, 3);
    let newest = |lane: &Lane| lane.ledger().newest().model_sets.clone();
    assert_eq!(newest(&lane), [first], "the epoch kept the models it began with");
    step(&mut lane, &texts, 4);
    assert_eq!(newest(&lane), [first], "and so does the one that was running when it was heard of");
    feed(&mut lane, &texts, 4, 5);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    assert_eq!(newest(&lane), [second]);
    assert_eq!(sets(&bench), [first, first, first, second, second]);
}

#[test]
fn fm_46_an_epoch_that_is_read_again_has_the_models_that_were_announced() {
    let (bench, texts) = (Bench::new(&[]), stream());
    let first = bench.champion(0.0);
    let mut lane = bench.lane();
    step(&mut lane, &texts, 1);
    let second = bench.champion(-10.0);
    step(&mut lane, &texts, 2);
    // Heard of with the last commit, announced and in force with this one.
    step(&mut lane, &texts, 3);
    feed(&mut lane, &texts, 3, 4);
    drop(lane);
    // It dies, and the alias goes back before anyone continues.
    bench.pipeline.registry.move_alias("champion", first, 2).expect("moves");
    let mut lane = bench.lane();
    step(&mut lane, &texts, 4);
    step(&mut lane, &texts, 5);
    step(&mut lane, &texts, 6);
    assert_eq!(sets(&bench), [first, first, second, second, first]);
    bench.prove();
}

#[test]
fn fm_46_a_lane_at_rest_announces_a_champion_before_it_has_one_to_use() {
    let (bench, texts) = (Bench::new(&[]), stream());
    let first = bench.champion(0.0);
    let mut lane = bench.lane();
    step(&mut lane, &texts, 2);
    let second = bench.champion(-10.0);
    let epoch = |lane: &Lane| lane.ledger().newest().epoch;
    let before = epoch(&lane);
    assert!(lane.commit(1).expect("looks").is_none(), "there is nothing to commit");
    let announced = lane.commit(1).expect("announces").expect("an epoch of its own");
    assert_eq!((announced.epoch, announced.rows), (before + 1, 0));
    assert!(lane.commit(1).expect("looks").is_none(), "once");
    drop(lane);
    bench.pipeline.registry.move_alias("champion", first, 2).expect("moves");
    let mut lane = bench.lane();
    step(&mut lane, &texts, 3);
    assert_eq!(sets(&bench), [first, second]);
    bench.prove();
}

#[test]
fn fm_46_announced_models_that_are_gone_are_no_dead_end() {
    let (bench, texts) = (Bench::new(&[]), stream());
    let first = bench.champion(0.0);
    let mut lane = bench.lane();
    step(&mut lane, &texts, 2);
    drop(lane);
    let second = bench.champion(-10.0);
    let path = format!("{}/_tidegauge/models/sets/{first:020}.parquet", bench.url());
    std::fs::remove_file(path).expect("it is there");
    // Another process, which does not hold the set.
    let bench = bench.again();
    let mut lane = bench.lane();
    step(&mut lane, &texts, 3);
    assert_eq!(sets(&bench), [first, second]);
    assert_eq!(bench.pipeline.metrics.model_reload_failures.get(), 1);
}

#[test]
fn fm_46_input_that_was_drained_goes_on_with_what_the_alias_means() {
    let (bench, texts) = (Bench::new(&[]), stream());
    let first = bench.champion(0.0);
    let mut lane = bench.lane();
    feed(&mut lane, &texts, 0, 2);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    drop(lane);
    let second = bench.champion(-10.0);
    let mut lane = bench.lane();
    step(&mut lane, &texts, 4);
    assert_eq!(sets(&bench), [first, first, second]);
}

#[test]
fn fm_47_models_that_do_not_fit_are_refused_once_and_a_lane_that_ends_comes_to_its_end() {
    let (bench, texts) = (Bench::new(&[]), stream());
    let first = bench.champion(0.0);
    let mut lane = bench.lane();
    step(&mut lane, &texts, 2);
    let good = bench.pipeline.registry.models(first).expect("published").newest().clone();
    let mut other = ModelEntry::clone(good.entries().next().expect("one model"));
    other.features = vec!["t".into()];
    let key = &bench.pipeline.config.event.key;
    let misfit = bench.pipeline.registry.publish(key, vec![other], None, "test", 1);
    let move_to = |version| bench.pipeline.registry.move_alias("champion", version, 2);
    move_to(misfit.expect("publishes")).expect("moves");
    // What a process does that ends: it commits until there is nothing more to commit.
    let commits = (0..10).take_while(|n| {
        lane.wait(None);
        lane.land().expect("lands");
        lane.cut(1).expect("cuts") || *n == 0
    });
    assert!(commits.count() <= 2, "the refused models are announced again and again");
    assert_eq!(bench.pipeline.metrics.model_reload_failures.get(), 1);
    step(&mut lane, &texts, 4);
    let third = bench.champion(-10.0);
    lane.commit(1).expect("hears of it");
    lane.commit(1).expect("announces it");
    step(&mut lane, &texts, 5);
    assert_eq!(sets(&bench), [first, first, first, third]);
    assert_eq!(bench.pipeline.metrics.model_reload_failures.get(), 1);
    bench.prove();
}

#[test]
fn fm_46_announcements_of_another_registry_say_nothing() {
    let bench = Bench::new(&["models.url=here"]);
    let other = Bench::new(&["models.url=there"]);
    let in_force = InForce { champion: Some(7), onset: Some(0), ..InForce::default() };
    let said = bench.pipeline.announcement(in_force);
    assert_eq!(bench.pipeline.announced_models(&said), in_force);
    assert_eq!(other.pipeline.announced_models(&said), InForce::default());
}
