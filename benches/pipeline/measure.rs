//! One run as a child process, seen from outside: its phases, its CPU and its memory.
//!
//! *How the phases are told apart*: the last message is the last increase of the counter of
//! messages; the end of the silence after it is when the process says that it stops. What happens
//! between the two is waiting and no work, but for commits (of an epoch whose interval happens to
//! end then, or of lanes that change their worker): their time is taken from their metric and is
//! work too.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::stat::{Stat, TICKS_PER_SECOND};
use crate::threads::Threads;

/// How often the child is looked at: the error of each phase.
const LOOK: Duration = Duration::from_millis(25);
const ANSWER_MAX: Duration = Duration::from_secs(2);
const RUN_MAX: Duration = Duration::from_secs(3600);

/// When what happened, microseconds since the epoch, and what the whole process used.
#[derive(Debug)]
pub struct Phases {
    pub started_us: i64,
    /// The last message was taken.
    pub read_us: i64,
    /// The silence was long enough; open windows close now.
    pub stopped_us: i64,
    pub ended_us: i64,
    /// Spent in commits during the silence.
    pub silent_commit_seconds: f64,
    /// User and system, of the whole life of the process.
    pub cpu_seconds: f64,
    /// The same by kind of thread, the most first.
    pub cpu_by_thread: Vec<(String, f64)>,
    pub peak_kib: u64,
    /// What lanes held at most when looked at, and what of their windows went to files, bytes.
    pub held_bytes: f64,
    pub spilled_bytes: f64,
    /// How long lanes stood still for commits: buckets of the metric, upper bound and cumulative count.
    pub stalls: Vec<(f64, f64)>,
    /// Cores that everything else on the machine kept busy meanwhile, the broker included.
    pub others_cores: f64,
}

/// What a process used from its start to its end.
#[derive(Debug)]
pub struct Usage {
    pub wall_seconds: f64,
    /// User and system.
    pub cpu_seconds: f64,
    pub peak_kib: u64,
}

/// Runs any program to its end.
///
/// # Errors
/// When it fails or never ends.
pub fn whole(command: Command) -> Result<Usage> {
    to_its_end(command, |_| Ok(()))
}

/// The same; `look` is called with its process id again and again until it has ended.
fn to_its_end(mut command: Command, mut look: impl FnMut(u32) -> Result<()>) -> Result<Usage> {
    let began = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    let mut running = Running(command.spawn().with_context(|| format!("cannot start {program}"))?);
    let pid = running.0.id();
    let mut peak_kib = 0;
    let cpu_seconds = loop {
        let stat = Stat::of(pid)?;
        // Ended, and not waited for yet: its times are all in.
        if stat.state == "Z" {
            break stat.cpu_seconds;
        }
        peak_kib = peak_kib.max(peak_memory_kib(pid));
        look(pid)?;
        ensure!(began.elapsed() < RUN_MAX, "{program} did not end within {} s", RUN_MAX.as_secs());
        thread::sleep(LOOK);
    };
    let wall_seconds = began.elapsed().as_secs_f64();
    let status = running.0.wait()?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(Usage { wall_seconds, cpu_seconds, peak_kib })
}

/// Runs the pipeline to its end. `port` is where it serves its metrics.
///
/// # Errors
/// When it fails, never ends, or reads nothing.
pub fn run(command: Command, port: u16) -> Result<Phases> {
    let (started_us, busy_before) = (now_us()?, busy_seconds()?);
    let (mut seen, mut threads) = (Seen::default(), Threads::default());
    let Usage { cpu_seconds, peak_kib, .. } = to_its_end(command, |pid| {
        threads.look(pid);
        seen.look(port)
    })?;
    let (ended_us, busy_after) = (now_us()?, busy_seconds()?);
    ensure!(!seen.stalls.is_empty(), "the pipeline has no metric of stalls");
    let others_seconds = busy_after - busy_before - cpu_seconds;
    Ok(Phases {
        started_us,
        read_us: seen.read_us.context("the pipeline ended before it read anything")?,
        stopped_us: seen.stopped_us.unwrap_or(ended_us),
        ended_us,
        silent_commit_seconds: seen.commit_seconds - seen.commit_seconds_when_read,
        cpu_seconds,
        cpu_by_thread: threads.kinds(),
        peak_kib,
        held_bytes: seen.held_bytes,
        spilled_bytes: seen.spilled_bytes,
        stalls: seen.stalls,
        others_cores: others_seconds.max(0.0) / ((ended_us - started_us) as f64 / 1e6),
    })
}

/// A child that does not outlive an error of ours.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what they are for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the child has said of itself so far.
#[derive(Debug, Default)]
struct Seen {
    messages: f64,
    read_us: Option<i64>,
    stopped_us: Option<i64>,
    commit_seconds: f64,
    commit_seconds_when_read: f64,
    held_bytes: f64,
    spilled_bytes: f64,
    stalls: Vec<(f64, f64)>,
}

impl Seen {
    fn look(&mut self, port: u16) -> Result<()> {
        if self.stopped_us.is_some() {
            return Ok(());
        }
        let ends = match get(port, "/health/ready") {
            // Not ready for other reasons, as a rebalance, it still works.
            Ok(answer) => answer.contains("stopping"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
            // Too busy to answer says neither.
            Err(_) => return Ok(()),
        };
        let now_us = now_us()?;
        if ends {
            // Before the first message it has not begun to listen.
            self.stopped_us = self.read_us.map(|_| now_us);
            return Ok(());
        }
        let Ok(metrics) = get(port, "/metrics") else { return Ok(()) };
        self.commit_seconds = sum(&metrics, "tidegauge_sink_commit_seconds_sum");
        self.held_bytes = self.held_bytes.max(sum(&metrics, "tidegauge_memory_used_bytes"));
        self.stalls = buckets(&metrics, "tidegauge_sink_commit_stall_seconds_bucket");
        let spilled = sum(&metrics, "tidegauge_aggregate_spilled_bytes_total");
        self.spilled_bytes = self.spilled_bytes.max(spilled);
        let budget = sum(&metrics, "tidegauge_memory_budget_bytes");
        ensure!(
            self.held_bytes <= budget,
            "lanes hold {} bytes, the budget is {budget}",
            self.held_bytes
        );
        let messages = sum(&metrics, "tidegauge_ingest_messages_total");
        let before = std::mem::replace(&mut self.messages, messages);
        // A lane that changes its worker begins at 0 again: only an increase is a message.
        if messages > before {
            self.read_us = Some(now_us);
            self.commit_seconds_when_read = self.commit_seconds;
        }
        Ok(())
    }
}

fn get(port: u16, path: &str) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The sum over all series of a metric.
fn sum(metrics: &str, name: &str) -> f64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name));
    // Nothing but labels or the value follows the name; else it is a longer name.
    let series = series.filter(|rest| rest.starts_with(['{', ' ']));
    series.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// The buckets of a histogram without labels of its own.
fn buckets(metrics: &str, name: &str) -> Vec<(f64, f64)> {
    let bucket = |line: &str| {
        let (bound, count) = line.strip_prefix(name)?.strip_prefix("{le=\"")?.split_once("\"} ")?;
        Some((bound.parse().ok()?, count.parse().ok()?))
    };
    metrics.lines().filter_map(bucket).collect()
}

/// The smallest bound under which this share of a histogram lies.
pub fn quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    if all == 0.0 {
        return f64::NAN;
    }
    let within = buckets.iter().find(|(_, count)| *count >= share * all);
    within.map_or(f64::NAN, |(bound, _)| *bound)
}

/// CPU time of the whole machine, from `/proc/stat` (proc_stat(5)).
fn busy_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user, nice, system, idle, iowait, irq, softirq, steal; the guests' are in user already.
    let busy = fields.take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    let ticks: f64 = busy.filter_map(|(_, ticks)| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// The largest resident size so far; 0 when the process is ending and has none.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0)
}

fn now_us() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(since.as_micros())?)
}
