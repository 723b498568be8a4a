//! Several processes on one topic of a real Kafka, and topics that change under them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use tidegauge_ingest::kafka::{
    Compression, Creation, Outgoing, Producer, ProducerSettings, create_topic,
};
use tidegauge_sink::{Jump, JumpReason, Lake, Record};

use crate::harness::{MEAN, Project, Running, eventually, kafka};
use crate::metrics::get;

/// Fast enough for a test, and legal for the broker.
const QUICK: &str = "[source.kafka]
\"session.timeout.ms\" = \"6000\"
\"heartbeat.interval.ms\" = \"200\"
\"topic.metadata.refresh.interval.ms\" = \"500\"\n";

/// A project with a topic of its own that has this many partitions.
fn project(brokers: &str, partitions: u16, source: &'static str) -> Project {
    let project = Project::new(brokers).with("source", source, MEAN);
    create_topic(brokers, &project.topic, partitions, &BTreeMap::new()).expect("a topic");
    project
}

/// Publishes readings of one device, one per second from `from` on, to one partition.
fn publish(project: &Project, partition: i32, device: i64, from: i64, count: i64) {
    let settings = ProducerSettings {
        brokers: project.brokers.clone(),
        topic: project.topic.clone(),
        compression: Compression::None,
        queue_kib: 8192,
        extra: BTreeMap::new(),
    };
    let producer = Producer::start(&settings).expect("a producer");
    for second in from..from + count {
        let (minute, second) = (second / 60, second % 60);
        let text = format!(
            r#"{{"TS":"2026-01-01T00:{minute:02}:{second:02}Z","Device":{device},"Sensor":1,"Value":1}}"#
        );
        let (payload, partition) = (Some(text.as_bytes()), Some(partition));
        producer.send(Outgoing { payload, partition, ..Outgoing::default() }).expect("sent");
    }
    producer.flush(Duration::from_secs(30)).expect("delivered");
}

/// Deletes the topic and makes it again. Until the broker itself knows the new one, it would take messages
/// for the old one and lose them.
fn make_anew(project: &Project, partitions: u16) {
    let about = || tool(project, TOPICS, &["--describe", "--topic", &project.topic]);
    let id = |about: &str| {
        let mut words = about.split_whitespace();
        words.find(|word| *word == "TopicId:")?;
        words.next().map(String::from)
    };
    let old = id(&about()).expect("the topic has an id");
    tool(project, TOPICS, &["--delete", "--topic", &project.topic]);
    eventually("the topic made anew", || {
        let made = create_topic(&project.brokers, &project.topic, partitions, &BTreeMap::new());
        matches!(made, Ok(Creation::Created)).then_some(())
    });
    eventually("the new topic's id", || id(&about()).filter(|new| *new != old));
}

/// One of Kafka's own tools; returns what it printed.
fn tool(project: &Project, class: &str, args: &[&str]) -> String {
    let mut command = Command::new("deploy/kafka/kafka");
    command.args(["tool", class, "--bootstrap-server", &project.brokers]).args(args);
    let output = command.output().expect("the tool starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn records(project: &Project, partition: i32) -> Vec<Record> {
    records_of(project, &partition.to_string())
}

fn records_of(project: &Project, name: &str) -> Vec<Record> {
    let Ok(store) = tidegauge::pipeline::existing_store(
        &project.path("lake").display().to_string(),
        &tidegauge_sink::Storage::default(),
    ) else {
        return Vec::new();
    };
    let lake = Lake::read(store);
    let lane = format!("{}-{name}", project.topic);
    lake.and_then(|lake| lake.records(&lane)).unwrap_or_default()
}

fn messages(project: &Project, partition: i32) -> u64 {
    records(project, partition).iter().map(|record| record.counters.messages).sum()
}

/// Waits until so many messages of a partition are committed.
pub fn committed(project: &Project, partition: i32, count: u64) {
    eventually(&format!("{count} messages of partition {partition} in the ledger"), || {
        (messages(project, partition) >= count).then_some(())
    });
    assert_eq!(messages(project, partition), count);
}

fn prove(project: &Project) {
    let proof = project.ok(&["verify", "lake"]);
    assert!(proof.contains("proven"), "{proof}");
}

fn signal(running: &Running, name: &str) {
    let pid = running.pid().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
}

fn writers(project: &Project, partition: i32) -> usize {
    let mut writers: Vec<String> =
        records(project, partition).iter().map(|record| record.writer.to_string()).collect();
    writers.dedup();
    writers.len()
}

#[test]
fn fm_37_partitions_that_are_added_are_read_without_a_restart() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers, 2, QUICK);
    let running = project.start_run(&[]);
    for partition in 0..2 {
        publish(&project, partition, i64::from(partition), 0, 20);
        committed(&project, partition, 20);
    }
    tool(&project, TOPICS, &["--alter", "--topic", &project.topic, "--partitions", "4"]);
    for partition in 2..4 {
        publish(&project, partition, i64::from(partition), 0, 20);
        committed(&project, partition, 20);
    }
    assert!(running.sigterm().success());
    prove(&project);
}

#[test]
fn fm_04_more_processes_than_partitions_stand_by_and_take_over() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers, 1, QUICK);
    publish(&project, 0, 1, 0, 20);
    let port = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let (first_at, second_at) = (port(), port());
    let start = |at: &str| project.start_run(&["--set", &format!("http.listen={at}")]);
    let first = start(&first_at);
    committed(&project, 0, 20);
    let second = start(&second_at);
    let lanes = |at: &str, count: u32| {
        let (_, text) = get(at, "/metrics")?;
        text.contains(&format!("\ntidegauge_lanes {count}\n")).then_some(())
    };
    let ready = |at: &str| get(at, "/health/ready").filter(|(status, _)| *status == 200).map(drop);
    eventually("both ready", || ready(&first_at).and(ready(&second_at)));
    let (owner, survivor) = match lanes(&first_at, 1) {
        Some(()) => (first, second_at),
        None => (second, first_at),
    };
    eventually("the other stands by", || lanes(&survivor, 0));
    owner.sigkill();
    publish(&project, 0, 1, 20, 20);
    eventually("the other takes over", || lanes(&survivor, 1));
    committed(&project, 0, 40);
    prove(&project);
}

#[test]
fn fm_24_a_process_that_is_stopped_for_longer_than_its_session_commits_nothing_when_it_wakes() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers, 1, QUICK);
    publish(&project, 0, 1, 0, 20);
    let sleeper = project.start_run(&["--set", "lake.commit_every=1s"]);
    committed(&project, 0, 20);
    publish(&project, 0, 1, 20, 20);
    signal(&sleeper, "STOP");
    let before = messages(&project, 0);
    let other = project.start_run(&[]);
    // Another writer has the lane, and has gone on.
    eventually("the other takes the lane", || (writers(&project, 0) > 1).then_some(()));
    publish(&project, 0, 1, 40, 20);
    committed(&project, 0, 60);
    assert!(before < 60);
    signal(&sleeper, "CONT");
    publish(&project, 0, 1, 60, 20);
    committed(&project, 0, 80);
    prove(&project);
    assert!(other.sigterm().success());
    drop(sleeper);
    project.run_to_end();
    committed(&project, 0, 80);
    prove(&project);
}

#[test]
fn fm_32_what_retention_took_stops_a_run_or_is_skipped_with_a_record() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers, 1, QUICK);
    publish(&project, 0, 1, 0, 20);
    project.run_to_end_and_leave();
    committed(&project, 0, 20);
    publish(&project, 0, 1, 20, 20);
    let wanted = format!(
        r#"{{"partitions":[{{"topic":"{}","partition":0,"offset":30}}],"version":1}}"#,
        project.topic
    );
    let file = project.path("delete.json");
    std::fs::write(&file, wanted).expect("writable");
    let file = file.display().to_string();
    tool(&project, "org.apache.kafka.tools.DeleteRecordsCommand", &["--offset-json-file", &file]);
    let said = project.fails(1, &["run", "-c", "tidegauge.toml", "--until-idle", "2s"]);
    assert!(said.contains("10 messages") && said.contains("on_gap = \"skip\""), "{said}");
    let skip = ["--set", "source.on_gap=skip"];
    project.ok(&[&["run", "-c", "tidegauge.toml", "--until-idle", "2s"], &skip[..]].concat());
    committed(&project, 0, 30);
    let records = records(&project, 0);
    let jumps: Vec<&Jump> = records.iter().flat_map(|record| &record.jumps).collect();
    assert_eq!((jumps.len(), jumps[0].from, jumps[0].to), (1, 20, 30));
    assert_eq!(jumps[0].why, JumpReason::Retention);
    prove(&project);
}

#[test]
fn fm_38_a_topic_made_anew_is_known_by_its_id_though_every_offset_fits() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers, 1, QUICK);
    publish(&project, 0, 1, 0, 20);
    project.run_to_end_and_leave();
    committed(&project, 0, 20);
    make_anew(&project, 1);
    publish(&project, 0, 1, 20, 40);
    let said = project.fails(1, &["run", "-c", "tidegauge.toml", "--until-idle", "2s"]);
    assert!(said.contains("made anew") && said.contains("on_gap = \"skip\""), "{said}");
    let skip = ["--set", "source.on_gap=skip"];
    project.ok(&[&["run", "-c", "tidegauge.toml", "--until-idle", "2s"], &skip[..]].concat());
    committed(&project, 0, 60);
    let records = records(&project, 0);
    let jumps: Vec<&Jump> = records.iter().flat_map(|record| &record.jumps).collect();
    assert_eq!((jumps.len(), jumps[0].from, jumps[0].to), (1, 20, 0));
    prove(&project);
}

#[test]
fn fm_38_a_topic_that_is_made_anew_under_a_run_is_read_from_its_beginning() {
    let Some(brokers) = kafka() else { return };
    let project = project(&brokers, 1, QUICK);
    publish(&project, 0, 1, 0, 20);
    let mut running = project.start_run_telling("info", &["--set", "source.on_gap=skip"]);
    committed(&project, 0, 20);
    make_anew(&project, 1);
    publish(&project, 0, 1, 20, 40);
    let begun = Instant::now();
    committed(&project, 0, 60);
    println!("read on {:?} after the topic was back", begun.elapsed());
    assert!(running.is_running());
    assert!(running.sigterm().success());
    prove(&project);
}

#[test]
fn fm_37_a_lane_of_a_whole_topic_is_taken_over_when_its_owner_is_killed() {
    let Some(brokers) = kafka() else { return };
    let source = concat!(
        "lanes = \"topic\"\n[source.kafka]\n\"session.timeout.ms\" = \"6000\"\n",
        "\"heartbeat.interval.ms\" = \"200\"\n",
    );
    let project = project(&brokers, 3, source);
    let all = |project: &Project| records_of(project, "all");
    let messages = |project: &Project| -> u64 {
        all(project).iter().map(|record| record.counters.messages).sum()
    };
    let reach = |count: u64| {
        eventually(&format!("{count} messages of the topic"), || {
            (messages(&project) >= count).then_some(())
        });
        assert_eq!(messages(&project), count);
    };
    // One device in turns over all partitions: no lane of one partition has whole windows.
    let round = |from: i64| {
        (0..3)
            .for_each(|partition| publish(&project, partition, 1, from + i64::from(partition), 10));
    };
    round(0);
    let mut processes = vec![project.start_run(&[]), project.start_run(&[])];
    reach(30);
    let owner = |project: &Project| all(project).last().map(|record| record.writer.to_string());
    let before = owner(&project);
    round(20);
    reach(60);
    // Whichever it is: after both have been killed once, the owner has.
    processes.remove(0).sigkill();
    processes.push(project.start_run(&[]));
    round(40);
    reach(90);
    processes.remove(0).sigkill();
    round(60);
    reach(120);
    assert_ne!(owner(&project), before, "another writer has the lane");
    tool(&project, TOPICS, &["--alter", "--topic", &project.topic, "--partitions", "4"]);
    publish(&project, 3, 2, 80, 10);
    reach(130);
    drop(processes);
    project.run_to_end();
    prove(&project);
    let sum = project.number("SELECT CAST(sum(n_readings) AS BIGINT) FROM predictions");
    assert_eq!(sum + project.number("SELECT count(*) FROM late"), 130);
    assert_eq!(all(&project).last().expect("records").positions.len(), 4);
}
