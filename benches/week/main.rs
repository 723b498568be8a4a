//! A week in the life of a lake: does it stay small, provable and quick to ask?
//!
//! ```console
//! $ cargo bench --bench week -- --days 7 --lanes 4 --sensors 25
//! ```
//!
//! Real commits by real lanes, one per lane and ten simulated seconds, with maintenance once per simulated
//! hour; only the clock is simulated. After each day it prints how many files and bytes there are and how
//! long it takes to take a lane, to prove the lake, to prove what is new, and to ask it. It fails when the
//! lake cannot be proven, or when files, ledger or bytes grow beyond what the settings bound, never because
//! of time. On a disk most of the time goes into syncing: `--lake` on a file system in memory is quicker.
#![allow(clippy::print_stdout)]

mod plant;
mod tell;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tidegauge::config;
use tidegauge::maintenance::upkeep;
use tidegauge_flow::{NoFailpoint, Store};
use tidegauge_sink::{Lake, Lane, LocalStore, Mode, Writer};

use plant::{EVERY_US, START_US, identity, step_of};
use tell::{Day, Upkeep};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Let a lake live through simulated days
#[derive(Debug, Parser)]
#[command(name = "week")]
struct Args {
    /// Simulated days
    #[arg(long, default_value_t = 7.0)]
    days: f64,
    /// Lanes
    #[arg(long, default_value_t = 4)]
    lanes: i32,
    /// Sensors of each lane; each has a window every five seconds
    #[arg(long, default_value_t = 25)]
    sensors: i64,
    /// Where the lake is made [default: a temporary folder]
    #[arg(long)]
    lake: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let path = args.lake.clone().unwrap_or_else(|| folder.path().join("lake"));
    let store: Arc<dyn Store> = Arc::new(LocalStore::create(&path)?);
    let lake = Lake::open(store, Arc::new(NoFailpoint), &identity(), START_US)?;
    println!(
        "{} lanes, {} sensors each, a commit every 10 s, maintenance every hour",
        args.lanes, args.sensors
    );
    println!("{}", Day::HEAD);
    Week { args: &args, lake, path, rng: ChaCha8Rng::seed_from_u64(1) }.live()
}

struct Week<'a> {
    args: &'a Args,
    lake: Lake,
    path: PathBuf,
    rng: ChaCha8Rng,
}

impl Week<'_> {
    fn live(mut self) -> Result<()> {
        let mut lanes =
            (0..self.args.lanes).map(|n| self.take(n, START_US)).collect::<Result<Vec<Lane>>>()?;
        let steps = (self.args.days * DAY_US as f64 / EVERY_US as f64).round() as i64;
        let mut kept = Upkeep::default();
        let mut began = Instant::now();
        for step in 0..steps {
            let now_us = START_US + (step + 1) * EVERY_US;
            for (n, lane) in (0..).zip(&mut lanes) {
                let cut = step_of(lane, n, step, self.args.sensors)?;
                lane.commit(cut, now_us)?;
            }
            if now_us % HOUR_US == 0 {
                kept.add(self.maintain(now_us)?);
            }
            if now_us % DAY_US == 0 || step + 1 == steps {
                let lived = began.elapsed();
                // Another process takes the first lane over.
                let taken = Instant::now();
                lanes[0] = self.take(0, now_us)?;
                let take = taken.elapsed();
                let day = Day::measure(&self.path, now_us, lived, take, std::mem::take(&mut kept))?;
                println!("{day}");
                self.check(&day, step + 1)?;
                began = Instant::now();
            }
        }
        Ok(())
    }

    fn take(&mut self, n: i32, now_us: i64) -> Result<Lane> {
        let writer = Writer::random(&mut self.rng);
        self.lake.take(&format!("week-{n}"), writer, now_us).context("cannot take a lane")
    }

    fn maintain(&mut self, now_us: i64) -> Result<std::time::Duration> {
        let began = Instant::now();
        let upkeep = upkeep(&config::default_upkeep(), std::time::Duration::ZERO);
        let writer = Writer::random(&mut self.rng);
        let done = self.lake.maintain(&upkeep, Mode::Act, writer, now_us, &|_, _| ())?;
        ensure!(done.damaged.is_empty() && !done.lost, "maintenance: {done:?}");
        Ok(began.elapsed())
    }

    /// What the default settings bound.
    fn check(&self, day: &Day, commits: i64) -> Result<()> {
        let lanes = u64::try_from(self.args.lanes)?;
        let rows = u64::try_from(commits * i64::from(self.args.lanes) * self.args.sensors * 2)?;
        ensure!(day.rows == rows, "{} rows are there and {rows} were committed", day.rows);
        // A day of records, and the hour until maintenance comes; the summaries.
        let ledger = lanes * (8640 + 361 + 8) + 3;
        ensure!(day.ledger <= ledger, "{} objects in the ledger, more than {ledger}", day.ledger);
        // Two open hours of three tables, as much again that was just replaced, hours, days.
        let files = 3 * (lanes * 361 * 4 + 48 + 2 * commits.unsigned_abs().div_ceil(8640) + 2);
        ensure!(day.files <= files, "{} data files, more than {files}", day.files);
        Ok(())
    }
}
