//! Models that change while sensors are known: a scorer that has lived through it judges as a new one.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const TAGS: [&str; 3] = ["a", "b", "c"];

/// A set of some of the sensors, their thresholds drawn; none is never empty.
fn set(version: u64, random: &mut ChaCha8Rng) -> Arc<ModelSet> {
    let surely = random.random_range(0..TAGS.len());
    let mut entries = Vec::new();
    for (i, tag) in TAGS.into_iter().enumerate() {
        if i == surely || random.random_bool(0.3) {
            entries.push(entry(key(1, tag), random.random_range(-3.0..3.0)));
        }
    }
    // Someone else's sensor, which this lane never sees.
    entries.push(entry(key(9, "far"), 0.0));
    Arc::new(ModelSet::new(header(version, None), entries).expect("good"))
}

/// The chain with another top: sets put on it, taken off it, merged, or all made anew.
fn next(chain: &[Arc<ModelSet>], version: u64, random: &mut ChaCha8Rng) -> Vec<Arc<ModelSet>> {
    let kept = match random.random_range(0..10) {
        0 => chain.len(),
        _ => random.random_range(0..=chain.len().min(2)),
    };
    let mut next = chain[kept.min(chain.len())..].to_vec();
    if next.is_empty() || random.random_bool(0.8) {
        next.insert(0, set(version, random));
    }
    next
}

#[test]
fn fm_47_after_any_swap_a_scorer_judges_as_one_that_is_new() {
    let mut random = ChaCha8Rng::seed_from_u64(47);
    let all = rows(&[0, 1, 2], &[9, 9, 9], vec![("mean", floats(&[Some(1.0); 3]))]);
    let some = rows(&[1], &[9], vec![("mean", floats(&[Some(1.0)]))]);
    let mut chain = vec![set(1, &mut random)];
    let mut lived = scorer(&all, &[], Some(Models::new(chain.clone())));
    let (mut missing, mut grown) = (0, 0);
    for version in 2..400 {
        let (before, sensors) = (chain.clone(), sensors());
        chain = next(&chain, version, &mut random);
        grown += usize::from(chain.len() > 1 && Arc::ptr_eq(&chain[1], &before[0]));
        let models = Models::new(chain.clone());
        assert_eq!(models.count(), models.effective().count(), "{:?}", models.versions());
        lived.replace_models(Some(models.clone())).expect("they fit");
        // Some swaps follow one another before a row comes, or before all sensors have come.
        let seen = match random.random_range(0..3) {
            0 => continue,
            1 => &some,
            _ => &all,
        };
        let mut new = scorer(&all, &[], Some(models));
        let expected = new.score(seen, &sensors, &STAMP).expect("scores");
        assert_eq!(lived.score(seen, &sensors, &STAMP).expect("scores"), expected, "{version}");
        if seen.len() == all.len() {
            assert_eq!(lived.missing(), new.missing(), "{version}");
            missing += new.missing();
        }
    }
    assert!(missing > 20 && grown > 100, "{missing} missing, {grown} chains that grew");
}

#[test]
fn a_set_that_is_put_on_others_has_only_its_own_sensors_looked_up_anew() {
    let of = |version, tags: &[&str]| {
        let entries = tags.iter().map(|tag| entry(key(1, tag), 0.0)).collect();
        Arc::new(ModelSet::new(header(version, None), entries).expect("good"))
    };
    let all = rows(&[0, 1, 2], &[9, 9, 9], vec![("mean", floats(&[Some(1.0); 3]))]);
    let base = of(1, &["a", "b"]);
    let mut scorer = scorer(&all, &[], Some(Models::new(vec![Arc::clone(&base)])));
    scorer.score(&all, &sensors(), &STAMP).expect("scores");
    let is_current = |scorer: &Scorer| [0, 1, 2].map(|sensor| scorer.champion.is_current(sensor));
    assert_eq!((is_current(&scorer), scorer.missing()), ([true; 3], 1));
    let newer = Models::new(vec![of(2, &["b"]), base]);
    scorer.replace_models(Some(newer)).expect("they fit");
    scorer.champion.look_up_changed(&sensors());
    assert_eq!(is_current(&scorer), [true, false, true], "only the sensor of the new set");
}
