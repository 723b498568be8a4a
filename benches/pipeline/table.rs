//! The figures of the runs, and the one table that shows them with where they were taken.

use std::fs;
use std::thread::available_parallelism;

use crate::Args;
use crate::flink;
use crate::job::Ledger;
use crate::measure::{Phases, quantile};

/// The figures of one run.
#[derive(Debug, Clone)]
pub struct Figures {
    /// From the first lane's opening to the end, without the silence.
    pub net_seconds: f64,
    pub events_per_second: f64,
    /// CPU seconds per million events.
    pub cpu_per_million: f64,
    /// The same by kind of thread, the most first.
    pub cpu_by_thread: Vec<(String, f64)>,
    pub peak_mb: f64,
    /// What lanes held at most, as they count it.
    pub held_mb: f64,
    /// What of their windows went to files.
    pub spilled_mb: f64,
    /// Within which half, and all but one in a hundred, of the lanes' stops for commits lie.
    pub stall_p50_ms: f64,
    pub stall_p99_ms: f64,
    /// From the process's start to the first lane's opening.
    pub startup_seconds: f64,
    /// From the last message to the end of waiting for another, without commits.
    pub silence_seconds: f64,
    /// Cores that everything else kept busy during the run, the broker included.
    pub others_cores: f64,
    pub rows: u64,
    pub files: u64,
    pub commits: u64,
    /// Support vectors of the models, on average.
    pub vectors: Option<f64>,
}

impl Figures {
    pub fn new(events: u64, phases: &Phases, ledger: &Ledger, vectors: Option<f64>) -> Self {
        let seconds = |from_us: i64, to_us: i64| (to_us - from_us) as f64 / 1e6;
        let silence_seconds =
            seconds(phases.read_us, phases.stopped_us) - phases.silent_commit_seconds;
        let net_seconds = seconds(ledger.opened_us, phases.ended_us) - silence_seconds;
        Self {
            net_seconds,
            events_per_second: events as f64 / net_seconds,
            cpu_per_million: phases.cpu_seconds / (events as f64 / 1e6),
            cpu_by_thread: phases
                .cpu_by_thread
                .iter()
                .map(|(kind, seconds)| (kind.clone(), seconds / (events as f64 / 1e6)))
                .collect(),
            peak_mb: phases.peak_kib as f64 * 1024.0 / 1e6,
            held_mb: phases.held_bytes / 1e6,
            spilled_mb: phases.spilled_bytes / 1e6,
            stall_p50_ms: quantile(&phases.stalls, 0.5) * 1e3,
            stall_p99_ms: quantile(&phases.stalls, 0.99) * 1e3,
            startup_seconds: seconds(phases.started_us, ledger.opened_us),
            silence_seconds,
            others_cores: phases.others_cores,
            rows: ledger.rows,
            files: ledger.files,
            commits: ledger.commits,
            vectors,
        }
    }

    /// As text, in the order of [`HEADS`].
    fn cells(&self, name: &str) -> [String; HEADS.len()] {
        [
            name.to_string(),
            format!("{:.0}", self.events_per_second),
            format!("{:.3}", self.cpu_per_million),
            format!("{:.0}", self.peak_mb),
            format!("{:.0}", self.held_mb),
            format!("{:.0}", self.spilled_mb),
            format!("<={}", self.stall_p50_ms),
            format!("<={}", self.stall_p99_ms),
            self.rows.to_string(),
            self.files.to_string(),
            self.commits.to_string(),
            format!("{:.2}", self.net_seconds),
            format!("{:.2}", self.startup_seconds),
            format!("{:.2}", self.silence_seconds),
            format!("{:.2}", self.others_cores),
        ]
    }
}

const HEADS: [&str; 15] = [
    "run",
    "events/s",
    "CPU s/M",
    "peak MB",
    "held MB",
    "spilled",
    "stall p50",
    "p99 ms",
    "rows",
    "files",
    "commits",
    "net s",
    "start s",
    "silent s",
    "others",
];

/// Prints everything that a reader needs to compare the figures with others.
pub fn print(args: &Args, date: &str, figures: &[Figures]) {
    let Args { events, sensors, partitions, window, seed, compression, commit_every, .. } = args;
    let models = match figures.first().and_then(|f| f.vectors) {
        Some(vectors) => format!("models of {vectors:.0} support vectors on average"),
        None => "no models".to_string(),
    };
    let slide = args.slide.map_or(String::new(), |slide| format!(" every {slide} s"));
    let check = if args.no_check { "not checked" } else { "checked and verified" };
    let profile = if cfg!(debug_assertions) { "on" } else { "off" };
    let cores = available_parallelism().map_or(0, usize::from);
    println!(
        "{events} events, {sensors} sensors, {partitions} partitions, windows of {window} s{slide}, \
         {models}, commits every {commit_every}, compression {compression}, seed {seed}: {check}"
    );
    if let Some(memory) = &args.memory {
        println!("lanes may hold {memory}");
    }
    println!("{date}, {cores} cores, {}, debug assertions {profile}", cpu_model());
    println!("{}", args.binary.display());
    println!();
    print_line(HEADS.map(str::to_string));
    for (index, run) in figures.iter().enumerate() {
        print_line(run.cells(&(index + 1).to_string()));
    }
    let per_second = match figures {
        [run] => run.events_per_second,
        _ => {
            let median = median(figures);
            print_line(median.cells("median"));
            median.events_per_second
        }
    };
    println!("\nevents/s and core: {:.0}", per_second / cores as f64);
    if let Some(run) = figures.last() {
        let of = |(kind, spent): &(String, f64)| format!("{kind} {spent:.3}");
        let shown = run.cpu_by_thread.iter().filter(|(_, spent)| *spent >= 0.001);
        let kinds: Vec<String> = shown.map(of).collect();
        println!("CPU s/M by thread, last run: {}", kinds.join(", "));
    }
}

/// Prints what Flink took for the same, and how often ours is in it.
pub fn print_beside(figures: &[Figures], flink: &flink::Figures) {
    let ours = median(figures);
    let (rate, cpu) = (flink.warm_rate(), flink.cpu_per_million());
    let warm_cpu = flink.warm_cpu_per_million();
    let peak_mb = flink.all.peak_kib as f64 * 1024.0 / 1e6;
    println!(
        "\nFlink, without scoring: {rate:.0} events/s warm ({:.2} s for all, {:.2} s for a quarter), {cpu:.3} CPU s/M \
         with its start, {warm_cpu:.3} warm, peak {peak_mb:.0} MB, {} rows, {} of them with NaN for a standard deviation of 0",
        flink.all.wall_seconds, flink.quarter.wall_seconds, flink.rows, flink.not_numbers
    );
    println!(
        "tidegauge to Flink: events/s {:.2}, CPU {:.2} ({:.2} of its warm one), memory {:.2}",
        ours.events_per_second / rate,
        ours.cpu_per_million / cpu,
        ours.cpu_per_million / warm_cpu,
        ours.peak_mb / peak_mb
    );
}

fn print_line(cells: [String; HEADS.len()]) {
    println!("{}", cells.map(|cell| format!("{cell:>10}")).concat());
}

/// The median of each column by itself.
fn median(figures: &[Figures]) -> Figures {
    let of = |value: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        }
    };
    Figures {
        net_seconds: of(&|f| f.net_seconds),
        events_per_second: of(&|f| f.events_per_second),
        cpu_per_million: of(&|f| f.cpu_per_million),
        cpu_by_thread: Vec::new(),
        peak_mb: of(&|f| f.peak_mb),
        held_mb: of(&|f| f.held_mb),
        spilled_mb: of(&|f| f.spilled_mb),
        stall_p50_ms: of(&|f| f.stall_p50_ms),
        stall_p99_ms: of(&|f| f.stall_p99_ms),
        startup_seconds: of(&|f| f.startup_seconds),
        silence_seconds: of(&|f| f.silence_seconds),
        others_cores: of(&|f| f.others_cores),
        rows: of(&|f| f.rows as f64) as u64,
        files: of(&|f| f.files as f64) as u64,
        commits: of(&|f| f.commits as f64) as u64,
        vectors: figures.first().and_then(|f| f.vectors),
    }
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown CPU".to_string(), |(_, name)| name.trim().to_string())
}
