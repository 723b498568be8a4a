//! Publishing, moving and looking up, on a store in memory that can lose answers and races.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegauge_flow::Entry;

use super::*;
use crate::set::TrainingRun;
use crate::set::tests::{entry, key, key_schema};

/// What the store does to the next conditional writes.
const HONEST: u32 = 0;
const LOSES_ANSWER: u32 = 1;
const LOSES_WRITE: u32 = 2;
const LOSES_TO_ANOTHER: u32 = 3;

#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    mood: AtomicU32,
}

impl Memory {
    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.lock().expect("no test panics while it holds the lock")
    }
}

impl Store for Memory {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let found = self.objects().get(path).cloned();
        found.ok_or_else(|| StoreError::NotFound { path: path.into() })
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.objects().get(path).map(|bytes| bytes.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let objects = self.objects();
        let under = objects.iter().filter(|(path, _)| path.starts_with(prefix));
        Ok(under.map(|(path, b)| Entry { path: path.clone(), size: b.len() as u64 }).collect())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.objects().insert(path.into(), bytes.to_vec());
        Ok(())
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mood = self.mood.swap(HONEST, Ordering::SeqCst);
        if self.objects().contains_key(path) {
            return Err(StoreError::Exists { path: path.into() });
        }
        match mood {
            LOSES_WRITE => {}
            LOSES_TO_ANOTHER => self.put(path, b"another writer")?,
            _ => self.put(path, bytes)?,
        }
        if mood == HONEST {
            return Ok(());
        }
        let source = io::Error::from(io::ErrorKind::TimedOut);
        Err(StoreError::Ambiguous { path: path.into(), source })
    }

    fn publish(&self, _: &str, _: &str) -> Result<(), StoreError> {
        unreachable!("the registry never renames")
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.objects().remove(path);
        Ok(())
    }

    fn url(&self) -> String {
        "memory".into()
    }
}

fn registry() -> (Arc<Memory>, Registry) {
    let store = Arc::new(Memory::default());
    let dyn_store: Arc<dyn Store> = store.clone();
    (store, Registry::new(dyn_store, "_tidegauge/models/"))
}

fn publish(registry: &Registry, tags: &[&str], level: f64, base: Option<u64>) -> u64 {
    let entries = tags.iter().map(|tag| entry(key(1, tag), level)).collect();
    registry.publish(&key_schema(), entries, base, "note", 5).expect("publishes")
}

#[test]
fn versions_count_from_one_and_lookup_takes_the_newest_set_of_the_chain() {
    let (store, registry) = registry();
    assert_eq!(publish(&registry, &["a", "b"], 1.0, None), 1);
    assert_eq!(publish(&registry, &["b", "c"], 2.0, Some(1)), 2);
    assert_eq!(publish(&registry, &["d"], 3.0, None), 3);
    assert!(store.objects().contains_key("_tidegauge/models/sets/00000000000000000002.parquet"));
    assert!(registry.resolve("champion").expect("readable").is_none());
    registry.move_alias("champion", 2, 9).expect("moves");
    let models = registry.resolve("champion").expect("readable").expect("moved");
    assert_eq!(models.versions(), [2, 1]);
    let version = |tag| models.find(&key(1, tag)).map(|(_, version)| version);
    assert_eq!(
        [version("a"), version("b"), version("c"), version("d")],
        [Some(1), Some(2), Some(2), None]
    );
    let all: Vec<_> = models.effective().map(|(e, v)| (e.key.to_string(), v)).collect();
    assert_eq!(all, [("1/b".into(), 2), ("1/c".into(), 2), ("1/a".into(), 1)]);
}

#[test]
fn a_lost_race_takes_the_next_version_and_a_lost_answer_is_settled_by_reading() {
    let (store, registry) = registry();
    store.mood.store(LOSES_ANSWER, Ordering::SeqCst);
    assert_eq!(publish(&registry, &["a"], 1.0, None), 1, "written, only the answer was lost");
    store.mood.store(LOSES_WRITE, Ordering::SeqCst);
    let lost = registry.publish(&key_schema(), vec![entry(key(1, "a"), 1.0)], None, "n", 5);
    assert!(matches!(lost, Err(ScoreError::Store(StoreError::Ambiguous { .. }))));
    let path = "_tidegauge/models/sets/00000000000000000002.parquet";
    let blind = registry.claim(path, b"another writer").expect("absent");
    assert!(blind);
    assert!(!registry.claim(path, b"ours").expect("there"));
    assert_eq!(publish(&registry, &["a"], 1.0, None), 3);
    store.mood.store(LOSES_TO_ANOTHER, Ordering::SeqCst);
    assert_eq!(publish(&registry, &["a"], 1.0, None), 5, "4 is another writer's");
}

#[test]
fn fm_47_a_bad_set_never_takes_the_place_of_a_good_one() {
    let (store, registry) = registry();
    publish(&registry, &["a"], 1.0, None);
    registry.move_alias("champion", 1, 9).expect("moves");
    let good = store.objects()["_tidegauge/models/sets/00000000000000000001.parquet"].clone();
    let half = good[..good.len() / 2].to_vec();
    let cases = [(2, half), (3, Vec::new()), (4, good)];
    for (version, bytes) in cases {
        let path = format!("_tidegauge/models/sets/{version:020}.parquet");
        store.put(&path, &bytes).expect("writes");
        let error = registry.move_alias("champion", version, 10).expect_err("it is bad");
        assert!(error.to_string().contains(&path), "{error}");
        let base = registry.publish(
            &key_schema(),
            vec![entry(key(1, "z"), 1.0)],
            Some(version),
            "widens a bad set",
            5,
        );
        assert!(base.is_err());
    }
    assert!(matches!(
        registry.move_alias("champion", 99, 10),
        Err(ScoreError::UnknownSet { version: 99, .. })
    ));
    let now = registry.alias("champion").expect("readable").expect("moved");
    assert_eq!((now.version, now.number, now.moved_us), (1, 1, 9));
    let bad: Vec<u64> = registry
        .sets()
        .expect("lists")
        .iter()
        .filter(|s| s.content.is_err())
        .map(|s| s.version)
        .collect();
    assert_eq!(bad, [2, 3]);
}

#[test]
fn aliases_move_with_history_and_only_under_plain_names() {
    let (store, registry) = registry();
    publish(&registry, &["a"], 1.0, None);
    publish(&registry, &["a"], 2.0, None);
    registry.move_alias("champion", 1, 10).expect("moves");
    registry.move_alias("champion", 2, 20).expect("moves");
    registry.move_alias("champion", 1, 30).expect("moves back");
    registry.move_alias("challenger", 2, 40).expect("moves");
    let history: Vec<_> = registry
        .history("champion")
        .expect("readable")
        .iter()
        .map(|r| (r.number, r.version))
        .collect();
    assert_eq!(history, [(1, 1), (2, 2), (3, 1)]);
    let now: Vec<_> =
        registry.aliases().expect("readable").into_iter().map(|r| (r.name, r.version)).collect();
    assert_eq!(now, [("challenger".to_string(), 2), ("champion".to_string(), 1)]);
    for name in ["", "a/b", "..", "ä", &"x".repeat(65)] {
        assert!(matches!(registry.move_alias(name, 1, 0), Err(ScoreError::Alias { .. })), "{name}");
    }
    let path = "_tidegauge/models/aliases/champion/00000000000000000004.json";
    store.put(path, b"{\"format\":1").expect("writes");
    assert!(matches!(registry.resolve("champion"), Err(ScoreError::Alias { .. })));
}

#[test]
fn a_set_is_shared_while_someone_holds_it_and_a_base_of_other_keys_is_refused() {
    let (_, registry) = registry();
    publish(&registry, &["a"], 1.0, None);
    let first = registry.load(1).expect("loads");
    assert!(Arc::ptr_eq(&first, &registry.load(1).expect("loads")));
    let other = KeySchema::new(vec![key_schema().columns()[1].clone()]);
    let entries = vec![entry(tidegauge_flow::SensorKey(key(1, "a").0[1..].into()), 1.0)];
    let error = registry.publish(&other, entries, Some(1), "n", 5).expect_err("other keys");
    assert!(error.to_string().contains("(Device int64, Tag string)"), "{error}");
}

#[test]
fn a_lineage_of_many_small_publications_stays_a_short_chain_with_every_newest_model() {
    let (_, registry) = registry();
    let mut newest = BTreeMap::new();
    for round in 0..200i64 {
        // Sensors come round and round, a few at a time.
        let keys: Vec<_> = (0..3).map(|i| key((round * 3 + i) % 40, "a")).collect();
        let entries: Vec<_> = keys.iter().map(|k| entry(k.clone(), round as f64)).collect();
        let version =
            registry.advance("onset", &key_schema(), &entries, "test", round).expect("publishes");
        newest.extend(keys.into_iter().map(|key| (key, (round as f64, version))));
    }
    let models = registry.resolve("onset").expect("reads").expect("there");
    assert!(models.versions().len() <= 8, "{:?}", models.versions());
    for (key, (mean, _)) in &newest {
        let (found, _) = models.find(key).expect("nobody's model is lost");
        assert_eq!(**found, entry(key.clone(), *mean), "{key}");
    }
    assert_eq!(models.effective().count(), 40);
}

#[test]
fn whoever_advances_at_the_same_time_loses_no_model() {
    let (_, registry) = registry();
    let registry = Arc::new(registry);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let registry = Arc::clone(&registry);
            std::thread::spawn(move || {
                for i in 0..10 {
                    let entries = [entry(key(thread * 10 + i, "a"), 1.0)];
                    registry
                        .advance("onset", &key_schema(), &entries, "test", 1)
                        .expect("publishes");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let models = registry.resolve("onset").expect("reads").expect("there");
    assert_eq!(models.effective().count(), 40);
}

#[test]
fn pruning_keeps_what_aliases_lead_to_and_the_registry_does_not_grow() {
    let (store, registry) = registry();
    let first = registry
        .publish(&key_schema(), vec![entry(key(1, "a"), 0.0)], None, "champion", 1)
        .expect("publishes");
    registry.move_alias("champion", first, 1).expect("moves");
    for round in 0..400 {
        let entries = [entry(key(round % 5, "a"), round as f64)];
        registry.advance("onset", &key_schema(), &entries, "test", 1).expect("publishes");
        registry.prune(10).expect("prunes");
    }
    let sets = registry.sets().expect("lists").len();
    assert!((100..=130).contains(&sets), "{sets}");
    assert_eq!(registry.history("onset").expect("reads").len(), 10);
    assert!(store.objects().len() < 150);
    registry.resolve("champion").expect("reads").expect("the old champion is still there");
    let models = registry.resolve("onset").expect("reads").expect("there");
    assert_eq!(models.effective().count(), 5);
}

#[test]
fn a_set_tells_how_it_was_trained_and_up_to_where_a_schedule_has_come() {
    let (store, registry) = registry();
    let run = |schedule: Option<&str>, to_us| TrainingRun {
        schedule: schedule.map(String::from),
        from_us: Some(0),
        to_us: Some(to_us),
        trained: 1,
        skipped: BTreeMap::from([("too_few_rows".to_string(), 2)]),
        named: vec![],
        made: vec![1],
    };
    let publish = |run: Option<TrainingRun>| {
        let about = About { note: "trained".into(), training: run };
        registry
            .advance("champion", &key_schema(), &[entry(key(1, "a"), 1.0)], about, 5)
            .expect("publishes")
    };
    assert!(registry.scheduled_ends("champion", 20, |_| false).expect("no alias yet").is_empty());
    let first = publish(Some(run(Some("1h"), 10)));
    let second = publish(Some(run(Some("1h"), 20)));
    let by_hand = publish(Some(run(None, 30)));
    let imported = publish(None);
    assert_eq!(registry.training_run(first).expect("reads"), Some(run(Some("1h"), 10)));
    assert_eq!(registry.training_run(by_hand).expect("reads"), Some(run(None, 30)));
    assert_eq!(registry.training_run(imported).expect("reads"), None);
    assert_eq!(registry.training_run(second).expect("reads").map(|r| r.skipped_total()), Some(2));
    // A way back does not make it forget; what is torn or gone says nothing.
    registry.move_alias("champion", first, 6).expect("moves");
    let ends = |moves| registry.scheduled_ends("champion", moves, |_| false).expect("reads");
    assert_eq!(ends(20), BTreeSet::from([10, 20]));
    assert_eq!(ends(1), BTreeSet::from([10]), "only the last move");
    store.put(&format!("_tidegauge/models/sets/{second:020}.parquet"), b"torn").expect("writes");
    let dyn_store: Arc<dyn Store> = store.clone();
    let another = Registry::new(dyn_store, "_tidegauge/models/");
    let ends = another.scheduled_ends("champion", 20, |_| false).expect("reads");
    assert_eq!(ends, BTreeSet::from([10]));
    registry.load(first).expect("models are read without it");
}

/// A training by schedule whose range ends there.
fn scheduled(to_us: i64) -> About {
    let schedule = Some("1h".to_string());
    let training = TrainingRun { schedule, to_us: Some(to_us), ..TrainingRun::default() };
    About { note: "trained".into(), training: Some(training) }
}

#[test]
fn where_a_schedule_has_come_is_read_once_and_no_further_than_needed() {
    let (store, registry) = registry();
    for to_us in [10, 20, 30] {
        let entries = [entry(key(1, "a"), 1.0)];
        registry
            .advance("champion", &key_schema(), &entries, scheduled(to_us), 5)
            .expect("publishes");
    }
    let ends =
        |enough: i64| registry.scheduled_ends("champion", 20, |end| end >= enough).expect("reads");
    assert_eq!(ends(30), BTreeSet::from([30]));
    assert_eq!(registry.scheduled().len(), 1, "older moves were not read");
    assert_eq!(ends(i64::MAX), BTreeSet::from([10, 20, 30]));
    let listed = store.objects().keys().cloned().collect::<Vec<_>>();
    for path in listed.iter().filter(|path| path.contains("/sets/")) {
        store.put(path, b"torn").expect("writes");
    }
    assert_eq!(ends(i64::MAX), BTreeSet::from([10, 20, 30]), "from memory");
    let last = registry.scheduled_ends("champion", 1, |_| false).expect("reads");
    assert_eq!((last, registry.scheduled().len()), (BTreeSet::from([30]), 1), "bounded");
}

#[test]
fn a_training_tells_which_models_of_its_set_it_made() {
    let (_, registry) = registry();
    let publish = |keys: std::ops::Range<i64>| {
        let entries: Vec<_> = keys.map(|n| entry(key(n, "a"), 1.0)).collect();
        let version = registry.advance("champion", &key_schema(), &entries, scheduled(1), 5);
        let version = version.expect("publishes");
        let set = registry.load(version).expect("reads");
        let run = registry.training_run(version).expect("reads").expect("told");
        let made = set.entries().enumerate().filter(|(n, _)| run.has_made(*n) == Some(true));
        (set.entries().len(), made.map(|(_, entry)| entry.key.clone()).collect::<Vec<_>>())
    };
    let keys = |range: std::ops::Range<i64>| range.map(|n| key(n, "a")).collect::<Vec<_>>();
    assert_eq!(publish(0..100), (100, keys(0..100)));
    // Equal models of 40 sensors are taken in, and told apart from those that were trained.
    assert_eq!(publish(30..90), (100, keys(30..90)));
    assert_eq!(TrainingRun::default().has_made(0), None, "a set of an earlier version");
}

#[test]
fn models_of_other_features_go_beside_no_others_but_may_replace_them_all() {
    let (_, registry) = registry();
    let advance = |sensors: &[&str], feature: &str| {
        let entries: Vec<_> = sensors
            .iter()
            .map(|tag| ModelEntry { features: vec![feature.into()], ..entry(key(1, tag), 1.0) })
            .collect();
        registry.advance("champion", &key_schema(), &entries, "test", 5)
    };
    let many = ["a", "b", "c", "d"];
    assert_eq!(advance(&many, "mean").expect("publishes"), 1);
    for sensors in [&["a"][..], &["a", "b", "c"]] {
        let error = advance(sensors, "low").expect_err("widens or takes in").to_string();
        let stays = if sensors.len() == 1 { "1/b" } else { "1/d" };
        assert!(error.contains(&format!("keeps the model of sensor {stays} of set 1")), "{error}");
        assert!(error.contains("[\"mean\"]") && error.contains("[\"low\"]"), "{error}");
        assert!(error.contains("use another alias"), "{error}");
    }
    assert_eq!(registry.sets().expect("lists").len(), 1, "nothing was published");
    assert_eq!(advance(&many, "low").expect("replaces all"), 2);
    assert_eq!(advance(&["b"], "low").expect("the same features"), 3);
}
