//! A pipeline of its own for each test: a folder, a topic, a configuration, and the binary.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::tidy::root;

/// How long anything may take before the test calls it stuck.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Lines of a process's log that a failed test shows.
const SHOWN: usize = 100;
/// The number of the next topic, or log, of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The value of a variable that a test needs; `None` means that it is skipped, which it says.
///
/// # Panics
/// In CI, where nothing may be skipped.
pub fn needs(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} must be set in CI");
        println!("skipped: {variable} is not set");
    }
    value
}

/// The bootstrap address of the tests' broker.
pub fn kafka() -> Option<String> {
    needs("TIDEGAUGE_TEST_KAFKA")
}

/// A file that belongs to the tests.
pub fn data(name: &str) -> PathBuf {
    root().join("tests/data").join(name)
}

/// Asks again until there is an answer.
///
/// # Panics
/// When there is none for a very long time.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// One pipeline of a test.
pub struct Project {
    folder: TempDir,
    pub brokers: String,
    pub topic: String,
    /// Lines of TOML by section that differ from the default.
    settings: BTreeMap<&'static str, String>,
}

pub const MEAN: &str = r#"SELECT "Device", "Sensor", avg("Value") AS mean
FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"#;

pub const FOUR: &str = r#"SELECT "Device", "Sensor", avg("Value") AS mean, stddev("Value") AS stddev,
min("Value") AS low, max("Value") AS high
FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"#;

impl Project {
    /// A project with a topic name that nothing else uses. The topic is not made.
    pub fn new(brokers: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let topic = format!("it-{}-{number}", std::process::id());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Self { folder, brokers: brokers.into(), topic, settings: BTreeMap::new() };
        project.write(MEAN)
    }

    /// Writes the configuration with this query.
    pub fn write(self, query: &str) -> Self {
        let extra = |section| self.settings.get(section).map_or("", String::as_str);
        let text = format!(
            r#"
[source]
brokers = "{}"
topic = "{}"
group = "{}"
connect_timeout = "5s"
{}
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
{}
[window]
query = '''{query}'''
{}
[lake]
url = "{}"
commit_every = "200ms"
{}
"#,
            self.brokers,
            self.topic,
            self.topic,
            extra("source"),
            extra("event"),
            extra("window"),
            self.path("lake").display(),
            extra("end"),
        );
        std::fs::write(self.path("tidegauge.toml"), text).expect("writes the configuration");
        self
    }

    /// Adds lines to a section (`source`, `event`, `window`, or `end` for sections of one's own).
    pub fn with(mut self, section: &'static str, lines: &str, query: &str) -> Self {
        self.settings.insert(section, lines.to_string());
        self.write(query)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the binary in the project's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegauge"));
        command.args(args).current_dir(self.folder.path());
        // Each project's processes find their slots in a place of their own.
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().expect("the binary starts")
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{args:?} ended with {}:\n{said}{printed}", output.status);
        printed.into_owned()
    }

    /// Runs a command that must fail with `code`, and gives all that it said.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.output(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{args:?} said:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// Makes the topic with four partitions and publishes a file's readings, keyed by sensor.
    pub fn publish(&self, file: &Path) {
        let file = file.to_str().expect("a path in UTF-8");
        self.ok(&[
            "simulate",
            "--brokers",
            &self.brokers,
            "--topic",
            &self.topic,
            "--create",
            "4",
            "--replay",
            file,
        ]);
    }

    /// The arguments that score a file into the lake `lake`, without models.
    pub fn scoring(input: &str) -> [&str; 8] {
        ["score", input, "-c", "tidegauge.toml", "--set", "lake.url=elsewhere", "-o", "lake"]
    }

    /// Starts `run` in the background.
    pub fn start_run(&self, args: &[&str]) -> Running {
        self.start_run_telling("warn", args)
    }

    /// The same with another level of the log, for what is hard to see from outside.
    pub fn start_run_telling(&self, level: &str, args: &[&str]) -> Running {
        let mut command = self.command(&["run", "-c", "tidegauge.toml"]);
        command.env("TIDEGAUGE_LOG_LEVEL", level);
        let log = self.path(&format!("run-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log).expect("a file for the log");
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Running { child: command.spawn().expect("the binary starts"), log }
    }

    /// Reads the topic to its end.
    pub fn run_to_end(&self) {
        self.ok(&["run", "-c", "tidegauge.toml", "--until-idle", "2s"]);
    }

    /// The same; open windows stay open for a later run.
    pub fn run_to_end_and_leave(&self) {
        self.ok(&["run", "-c", "tidegauge.toml", "--until-idle", "2s", "--leave-open"]);
    }

    /// The rows of a query over the lake.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        self.query_in("lake", sql)
    }

    /// The rows of a query over a lake of the project.
    pub fn query_in(&self, lake: &str, sql: &str) -> Vec<Value> {
        let printed = self.ok(&["query", "--lake", lake, "--format", "json", sql]);
        printed.lines().map(|line| serde_json::from_str(line).expect("a row of JSON")).collect()
    }

    /// One number out of the lake.
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        let row = rows.first().and_then(Value::as_object).expect("one row");
        row.values().next().and_then(Value::as_i64).expect("one number")
    }

    /// All predictions in a fixed order, without what tells where and when they were made.
    pub fn predictions(&self, lake: &str) -> Vec<Value> {
        let mut rows = self.query_in(
            lake,
            r#"SELECT * FROM predictions ORDER BY "Device", "Sensor", window_end, revision"#,
        );
        for row in &mut rows {
            let row = row.as_object_mut().expect("an object");
            row.remove("lane");
            row.remove("epoch");
        }
        rows
    }
}

/// A process of the test; killed when the test ends, and its log shown when the test failed.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its log says so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// As a loss of power would end it.
    pub fn sigkill(mut self) {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it ends");
    }

    /// Asks for an orderly end and waits for it.
    pub fn sigterm(mut self) -> ExitStatus {
        let told = Command::new("kill").arg(self.pid().to_string()).status().expect("kill runs");
        assert!(told.success());
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        eventually("the process to end", || self.child.try_wait().expect("it can be waited for"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            println!("process {} said, at the end:", self.pid());
            lines.iter().skip(lines.len().saturating_sub(SHOWN)).for_each(|l| println!("  {l}"));
        }
    }
}
