//! Newer models while rows are scored: one thread publishes and reads them, the other puts them in force.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tidegauge_flow::WindowRows;
use tidegauge_score::{ModelEntry, Models, Registry, Scorer};

use crate::plant::{Plant, key};
use crate::{ALIAS, Args, NOW_US, window};

/// A new set is at hand, and what that has taken.
struct Newer {
    models: Models,
    published: Duration,
    loaded: Duration,
}

/// What one swap cost the thread that scores.
struct Swap {
    in_force: Duration,
    /// The first window by the new models: those that changed are looked up and packed.
    first: Duration,
    usual: Duration,
}

pub fn measure(
    args: &Args,
    registry: &Registry,
    scorer: &mut Scorer,
    plant: &Plant,
    windows: &[WindowRows],
) -> Result<()> {
    let changed = changed(args)?;
    let (mut published, mut loaded, mut swaps, mut chain) = (vec![], vec![], vec![], 0);
    for sets in changed {
        let newer = while_scoring(registry, scorer, plant, &windows[0], &sets)?;
        published.push(newer.published);
        loaded.push(newer.loaded);
        chain = chain.max(newer.models.sets().len());
        swaps.push(put_in_force(newer.models, scorer, plant, windows)?);
    }
    println!(
        "{} swaps of {} models each, chains of up to {chain} sets",
        args.swaps,
        args.models / 100
    );
    let of = |get: fn(&Swap) -> Duration| swaps.iter().map(get).collect();
    tell_ms("publishing (another thread)", published);
    tell_ms("reading the new sets (another thread)", loaded);
    tell_ms("putting them in force (the scoring thread)", of(|swap| swap.in_force));
    tell_ms("the first window by them", of(|swap| swap.first));
    tell_ms("the windows after it", of(|swap| swap.usual));
    Ok(())
}

/// For each swap the models of another hundredth of the sensors.
fn changed(args: &Args) -> Result<Vec<Vec<ModelEntry>>> {
    let all = crate::made(args).entries()?;
    let of = |swap: u32| {
        let is_changed = |(n, _): &(usize, &ModelEntry)| *n as u32 % 100 == swap % 100;
        let newer = |(_, entry): (usize, &ModelEntry)| ModelEntry {
            threshold: f64::from(swap + 1) * 1e-6,
            ..entry.clone()
        };
        all.iter().enumerate().filter(is_changed).map(newer).collect()
    };
    Ok((0..args.swaps).map(of).collect())
}

/// Scores until another thread has published the models and read what the alias then means.
fn while_scoring(
    registry: &Registry,
    scorer: &mut Scorer,
    plant: &Plant,
    rows: &WindowRows,
    changed: &[ModelEntry],
) -> Result<Newer> {
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || send.send(renew(registry, changed)));
        loop {
            window(scorer, plant, rows)?;
            match receive.try_recv() {
                Ok(newer) => return newer,
                Err(mpsc::TryRecvError::Empty) => {}
                Err(gone) => return Err(gone).context("the thread that publishes is gone"),
            }
        }
    })
}

fn renew(registry: &Registry, changed: &[ModelEntry]) -> Result<Newer> {
    let begun = Instant::now();
    registry.advance(ALIAS, &key(), changed, "changed", NOW_US)?;
    let published = begun.elapsed();
    let begun = Instant::now();
    let models = registry.resolve(ALIAS)?.context("the alias")?;
    Ok(Newer { models, published, loaded: begun.elapsed() })
}

fn put_in_force(
    models: Models,
    scorer: &mut Scorer,
    plant: &Plant,
    windows: &[WindowRows],
) -> Result<Swap> {
    let newest = models.versions()[0];
    let begun = Instant::now();
    scorer.replace_models(Some(models))?;
    let in_force = begun.elapsed();
    ensure!(scorer.model_sets()[0] == newest, "the models are not in force");
    let first = window(scorer, plant, &windows[0])?;
    let usual = crate::median(scorer, plant, &windows[1..])?;
    Ok(Swap { in_force, first, usual })
}

fn tell_ms(what: &str, mut spent: Vec<Duration>) {
    spent.sort();
    let ms = |spent: Option<&Duration>| spent.map_or(0.0, |spent| spent.as_secs_f64() * 1e3);
    let middle = ms(spent.get(spent.len() / 2));
    println!("  {what:<44}{middle:>12.2} ms, longest {:.2}", ms(spent.last()));
}
