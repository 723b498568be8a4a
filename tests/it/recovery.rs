//! Processes that die: the lake must come out as if they had not, and prove it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness::{Project, data, eventually, kafka};

/// How often the process is killed.
const KILLS: usize = 10;

/// Ledger records in the lake: paths, newest last within a lane.
fn records(lake: &Path) -> Vec<PathBuf> {
    let ledger = lake.join("_tidegauge/ledger");
    let lanes = fs::read_dir(ledger).into_iter().flatten().flatten();
    let mut records: Vec<_> = lanes
        .flat_map(|lane| fs::read_dir(lane.path()).into_iter().flatten().flatten())
        .map(|record| record.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    records.sort();
    records
}

/// Epochs that consumed something; an opening record is none, nor is one that notes a beginning.
pub fn epochs(lake: &Path) -> usize {
    let is_epoch = |path: &PathBuf| {
        fs::read_to_string(path).is_ok_and(|text| {
            text.contains("\"kind\":\"epoch\"") && !text.contains("\"messages\":0,")
        })
    };
    records(lake).iter().filter(|path| is_epoch(path)).count()
}

#[test]
fn fm_15_ten_kills_at_random_moments_leave_the_lake_of_an_undisturbed_run() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    // Either file's event time passes in about half a minute.
    let (file, models, speed, rows) = match std::env::var("TIDEGAUGE_SEED_SENSORS") {
        Ok(seeds) => (format!("{seeds}/sensor_data.csv"), format!("{seeds}/models"), "500", 17_768),
        Err(_) => {
            let path = |name: &str| data("seedlike").join(name).display().to_string();
            (path("readings.csv"), path("models"), "33", 3_000)
        }
    };
    let (file, models) = (file.as_str(), models.as_str());
    project.ok(&["models", "import", models, "-c", "tidegauge.toml"]);

    let target = ["simulate", "--brokers", &brokers, "--topic", &project.topic];
    // Make the topic first, with nothing in it, so that the first run finds it.
    project.ok(&[&target[..], &["--create", "4", "--events", "0"]].concat());
    let mut producer =
        project.command(&[&target[..], &["--replay", file, "--speed", speed]].concat());
    let mut producer =
        producer.stderr(Stdio::null()).spawn().map(Producer).expect("the binary starts");

    let seed = rand::random();
    println!("the moments come from the seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let lake = project.path("lake");
    for kill in 0..KILLS {
        let before = epochs(&lake);
        let mut running = project.start_run(&[]);
        eventually("an epoch of this process", || {
            assert!(running.is_running(), "the process ended by itself before kill {kill}");
            (epochs(&lake) > before).then_some(())
        });
        let moment = Instant::now() + Duration::from_millis(random.random_range(0..600));
        eventually("the moment", || (Instant::now() >= moment).then_some(()));
        running.sigkill();
    }
    producer.finish();
    project.run_to_end();

    let proof = project.ok(&["verify", "lake"]);
    assert!(proof.contains("proven"), "{proof}");
    let calm = [
        "--set",
        "lake.url=calm",
        "--set",
        "source.group=calm",
        "--set",
        "models.url=lake/_tidegauge/models",
    ];
    project.ok(&[&["run", "-c", "tidegauge.toml", "--until-idle", "2s"], &calm[..]].concat());
    let undisturbed = project.predictions("calm");
    assert_eq!(undisturbed.len(), rows);
    assert_eq!(project.predictions("lake"), undisturbed);
}

/// The replay in the background; killed when the test ends early.
struct Producer(std::process::Child);

impl Producer {
    fn finish(&mut self) {
        let ended = eventually("the replay to end", || self.0.try_wait().expect("it is ours"));
        assert!(ended.success(), "the replay ended with {ended}");
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A small lake made from a file.
fn lake_of_a_file() -> Project {
    let project = Project::new("127.0.0.1:1");
    let readings = data("seedlike/readings.csv");
    let readings = readings.to_str().expect("UTF-8");
    project.ok(&Project::scoring(readings));
    project
}

fn published(lake: &Path) -> PathBuf {
    let mut folders = vec![lake.join("predictions")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => return path,
            }
        }
    }
    panic!("no file was published");
}

#[test]
fn a_deleted_file_is_named_by_verify() {
    let project = lake_of_a_file();
    let file = published(&project.path("lake"));
    fs::remove_file(&file).expect("it is there");
    let said = project.fails(1, &["verify", "lake"]);
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    assert!(said.contains(&name) && said.contains("not proven"), "{said}");
}

#[test]
fn an_edited_record_is_named_by_verify() {
    let project = lake_of_a_file();
    for record in records(&project.path("lake")) {
        let good = fs::read_to_string(&record).expect("a record");
        // A digit of a count or an offset: what somebody would change to hide something.
        let at = good.rfind("\"messages\":").expect("every record counts") + "\"messages\":".len();
        let digit = &good[at..=at];
        let other = if digit == "7" { "8" } else { "7" };
        let edited = format!("{}{other}{}", &good[..at], &good[at + 1..]);
        fs::write(&record, edited).expect("writable");
        let said = project.fails(1, &["verify", "lake"]);
        let name = record.file_name().expect("a file").to_string_lossy().into_owned();
        assert!(said.contains(&name) && said.contains("not proven"), "{said}");
        fs::write(&record, good).expect("writable");
    }
    project.ok(&["verify", "lake"]);
}

#[test]
fn inputs_that_are_scored_one_after_the_other_have_a_lane_each() {
    let project = Project::new("127.0.0.1:1");
    let line = |time: &str, device| {
        format!("{{\"TS\":\"{time}\",\"Device\":{device},\"Sensor\":1,\"Value\":1}}\n")
    };
    for (folder, device) in [("one", 1), ("two", 2)] {
        fs::create_dir(project.path(folder)).expect("a folder");
        // The second input is older than the first: it must not be late for that.
        let time = format!("2026-01-0{}T00:00:01Z", 3 - device);
        let file = project.path(folder).join("readings.jsonl");
        fs::write(file, line(&time, device)).expect("writable");
        let input = format!("./{folder}/../{folder}/readings.jsonl");
        for spelling in [&format!("{folder}/readings.jsonl"), &input] {
            project.ok(&Project::scoring(spelling));
        }
    }
    assert_eq!(project.predictions("lake").len(), 2);
    assert_eq!(project.number("SELECT count(*) FROM late"), 0);
    project.ok(&["verify", "lake"]);
    let said = project.fails(
        64,
        &["score", "one", "-c", "tidegauge.toml", "-o", "./lake", "--set", "lake.url=lake"],
    );
    assert!(said.contains("--output is the configured lake"), "{said}");
}

#[test]
fn a_file_run_that_is_repeated_adds_nothing() {
    let project = lake_of_a_file();
    let before = project.predictions("lake");
    let readings = data("seedlike/readings.csv");
    let readings = readings.to_str().expect("UTF-8");
    project.ok(&Project::scoring(readings));
    assert_eq!(project.predictions("lake"), before);
    project.ok(&["verify", "lake"]);
}
