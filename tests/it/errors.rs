//! What a user hears when something is wrong: one clear line, the right exit code, in time.

use std::time::{Duration, Instant};

use crate::harness::{FOUR, MEAN, Project, data, kafka, needs};

#[test]
fn every_mistake_of_a_configuration_is_said_at_once_with_exit_code_64() {
    let project = Project::new("127.0.0.1:1");
    let text = "[source]\nkind = \"rabbit\"\n[event]\ntime = 3\n[window]\nlate = \"maybe\"\n[lak]\nurl = \"x\"\n";
    std::fs::write(project.path("bad.toml"), text).expect("writable");
    let said = project.fails(64, &["run", "-c", "bad.toml"]);
    for part in [
        "source.kind",
        "event.time",
        "event.key",
        "event.values",
        "window.late",
        "window.query",
        "lak",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    project.fails(64, &["run", "-c", "not-there.toml"]);
    project.fails(64, &["run"]);
    project.fails(64, &["fly"]);
}

#[test]
fn a_query_that_windows_cannot_run_is_refused_with_its_place() {
    let project = Project::new("127.0.0.1:1").write("SELECT DISTINCT \"Device\" FROM readings");
    let said = project.fails(64, &["run", "-c", "tidegauge.toml"]);
    assert!(said.contains("SELECT DISTINCT at line 1, column 1"), "{said}");
}

#[test]
fn fm_39_no_broker_is_an_error_within_the_timeout() {
    let project = Project::new("127.0.0.1:1");
    let started = Instant::now();
    let said =
        project.fails(1, &["run", "-c", "tidegauge.toml", "--set", "source.connect_timeout=1s"]);
    assert!(said.contains("no kafka broker at 127.0.0.1:1"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    let said = project.fails(1, &["run", "-c", "tidegauge.toml"]);
    assert!(said.contains(&format!("topic {} does not exist", project.topic)), "{said}");
}

#[test]
fn a_wrong_password_is_an_error_and_is_not_shown() {
    let (Some(brokers), Some(ca)) = (kafka(), needs("TIDEGAUGE_TEST_KAFKA_CA")) else { return };
    let (host, port) = brokers.rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port");
    let project = Project::new(&format!("{host}:{}", port + 2));
    let settings = format!(
        "[source.kafka]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
         \"sasl.username\" = \"$ConnectionString\"\n\"sasl.password\" = \"wrong-secret\"\n\
         \"ssl.ca.location\" = \"{ca}\"\n"
    );
    let project = project.with("source", &settings, MEAN);
    let said = project.fails(1, &["run", "-c", "tidegauge.toml"]);
    assert!(said.contains("refused us"), "{said}");
    assert!(!said.contains("wrong-secret"), "{said}");
}

#[test]
fn a_lake_of_another_query_is_refused_by_what_differs() {
    let project = Project::new("127.0.0.1:1");
    let readings = data("seedlike/readings.csv");
    let score = Project::scoring(readings.to_str().expect("UTF-8"));
    project.ok(&score);
    let project = project.write(FOUR);
    let said = project.fails(1, &score);
    assert!(said.contains("query:") && said.contains("stddev"), "{said}");
}

#[test]
fn a_pickle_that_is_something_else_is_refused_and_nothing_is_executed() {
    let project = Project::new("127.0.0.1:1");
    let marker = project.path("executed");
    // What pickle.dumps of an object with __reduce__ = (os.system, (…)) looks like.
    let call = format!("cposix\nsystem\n(S'touch {}'\ntR.", marker.display());
    std::fs::write(project.path("model_1_1"), call).expect("writable");
    let said = project.fails(1, &["models", "import", "model_1_1", "-c", "tidegauge.toml"]);
    assert!(said.contains("posix.system"), "{said}");
    assert!(!marker.exists(), "the pickle was executed");

    let good = std::fs::read(data("seedlike/models/model_1_1")).expect("committed");
    std::fs::write(project.path("model_1_1"), &good[..good.len() / 2]).expect("writable");
    let said = project.fails(1, &["models", "import", "model_1_1", "-c", "tidegauge.toml"]);
    assert!(said.contains("model_1_1") && said.contains("nothing is imported"), "{said}");

    std::fs::write(project.path("model_1_1"), b"cdatetime\ndatetime\n.").expect("writable");
    let said = project.fails(1, &["models", "import", "model_1_1", "-c", "tidegauge.toml"]);
    assert!(said.contains("datetime.datetime"), "{said}");
    assert!(!project.path("lake/_tidegauge/models/sets").exists(), "nothing was published");
}

#[test]
fn check_connects_to_everything_and_writes_nothing() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    let said = project.fails(1, &["check", "-c", "tidegauge.toml"]);
    assert!(said.contains("does not exist") && said.contains("query          ok"), "{said}");
    let target = ["simulate", "--brokers", &brokers, "--topic", &project.topic];
    project.ok(&[&target[..], &["--create", "2", "--events", "0"]].concat());
    let said = project.ok(&["check", "-c", "tidegauge.toml"]);
    assert!(said.contains("2 partitions"), "{said}");
    assert!(!project.path("lake").exists());
}
