//! What one day has come to: sizes, and times of what users do.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tidegauge_flow::Store;
use tidegauge_sink::{LocalStore, Options, Scope, verify_with};

/// The runs of maintenance of one day.
#[derive(Default)]
pub struct Upkeep {
    total: Duration,
    longest: Duration,
}

impl Upkeep {
    pub fn add(&mut self, took: Duration) {
        self.total += took;
        self.longest = self.longest.max(took);
    }
}

/// One printed line.
pub struct Day {
    days: f64,
    pub rows: u64,
    pub files: u64,
    data_bytes: u64,
    pub ledger: u64,
    ledger_bytes: u64,
    lived: Duration,
    upkeep: Upkeep,
    take: Duration,
    full: Duration,
    new: Duration,
    new_files: u64,
    read_bytes: u64,
    queries: [Duration; 3],
}

const QUERIES: [&str; 3] = [
    "SELECT count(*), sum(n_readings) FROM predictions",
    "SELECT count(*), avg(score) FROM predictions WHERE \"Device\" = 0 AND \"Sensor\" = 3",
    "SELECT count(*) FROM predictions WHERE window_end > TIMESTAMP '2026-01-05T00:30:00Z' \
     AND window_end <= TIMESTAMP '2026-01-05T01:30:00Z' AND is_anomaly",
];

impl Day {
    /// The line above all of them.
    pub const HEAD: &str = "  days       rows  files   data MB  ledger objects   MB  | commits s  upkeep s (longest)  | take ms  \
         verify s  (MB/s)  new s (files)  | query ms: all  a sensor  an hour";

    pub fn measure(
        lake: &Path,
        now_us: i64,
        lived: Duration,
        take: Duration,
        upkeep: Upkeep,
    ) -> Result<Self> {
        let store = LocalStore::open(lake)?;
        let count = |folder: &str| -> Result<(u64, u64)> {
            let entries = store.list(folder)?;
            Ok((entries.len() as u64, entries.iter().map(|entry| entry.size).sum()))
        };
        let data = [count("predictions/")?, count("late/")?, count("rejects/")?];
        let ledger = [count("_tidegauge/ledger/")?, count("_tidegauge/summaries/")?];
        let sum = |of: &[(u64, u64)]| of.iter().fold((0, 0), |s, c| (s.0 + c.0, s.1 + c.1));
        let ((files, data_bytes), (ledger, ledger_bytes)) = (sum(&data), sum(&ledger));
        let began = Instant::now();
        let full = verify_with(&store, Options::default(), &|_, _| ())?;
        let full_took = began.elapsed();
        ensure!(full.is_clean(), "the lake is not proven: {:?}", full.problems);
        let began = Instant::now();
        let options = Options { scope: Scope::New { now_us }, ..Options::default() };
        let new = verify_with(&store, options, &|_, _| ())?;
        let new_took = began.elapsed();
        ensure!(new.is_clean(), "what is new is not proven: {:?}", new.problems);
        let mut queries = [Duration::ZERO; 3];
        for (took, sql) in queries.iter_mut().zip(QUERIES) {
            *took = ask(lake, sql)?;
        }
        Ok(Self {
            days: (now_us - crate::plant::START_US) as f64 / crate::DAY_US as f64,
            rows: full.rows,
            files,
            data_bytes,
            ledger,
            ledger_bytes,
            lived,
            upkeep,
            take,
            full: full_took,
            new: new_took,
            new_files: new.files_read,
            read_bytes: full.bytes_read,
            queries,
        })
    }
}

/// How long the binary takes to answer, its start included.
fn ask(lake: &Path, sql: &str) -> Result<Duration> {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_tidegauge"))
        .args(["query", "--format", "json", "--lake"])
        .arg(lake)
        .arg(sql)
        .output()
        .context("cannot start the binary")?;
    ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(began.elapsed())
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        write!(
            f,
            "{:6.2} {:10} {:6} {:9.1} {:15} {:4.1}  | {:9.1} {:9.1} {:10.2}  | {:7.1} {:9.2} {:7.0} {:7.2} \
             {:7}  | {:13.0} {:9.0} {:8.0}",
            self.days,
            self.rows,
            self.files,
            mb(self.data_bytes),
            self.ledger,
            mb(self.ledger_bytes),
            self.lived.saturating_sub(self.upkeep.total).as_secs_f64(),
            self.upkeep.total.as_secs_f64(),
            self.upkeep.longest.as_secs_f64(),
            ms(self.take),
            self.full.as_secs_f64(),
            mb(self.read_bytes) / self.full.as_secs_f64(),
            self.new.as_secs_f64(),
            self.new_files,
            ms(self.queries[0]),
            ms(self.queries[1]),
            ms(self.queries[2]),
        )
    }
}
