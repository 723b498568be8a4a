//! Anomaly events and those who are told of them: a webhook that is down, a topic, processes that die.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{MEAN, Project, data, eventually, kafka};

/// Base64 of 24 bytes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// How long the receiver is away, unless `TIDEGAUGE_TEST_OUTAGE` gives seconds.
const OUTAGE: Duration = Duration::from_secs(3);

/// What a receiver has got.
#[derive(Debug, Clone)]
struct Got {
    id: String,
    body: String,
    signature: String,
    acknowledged: bool,
}

/// A small HTTP server that takes messages.
struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    ends: Arc<AtomicBool>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Answers the first so many requests with 503, the others with 204.
    fn start(address: SocketAddr, mut refuses: usize) -> Self {
        Self::choosy(address, move |_| {
            let is_refused = refuses > 0;
            refuses = refuses.saturating_sub(1);
            is_refused
        })
    }

    /// Answers those with 503 that it does not like.
    fn choosy(address: SocketAddr, mut refuses: impl FnMut(&Got) -> bool + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("the port is ours");
        let address = listener.local_addr().expect("it listens");
        let (got, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, ended) = (got.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    // A process that was killed leaves half a request.
                    let _ = serve(stream, &mut refuses, &kept);
                }
            }
        });
        Self { got, ends, address, thread: Some(thread) }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn acknowledged(&self) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.acknowledged).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    stream: TcpStream,
    refuses: &mut impl FnMut(&Got) -> bool,
    kept: &Mutex<Vec<Got>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let (mut headers, mut line) = (BTreeMap::new(), String::new());
    reader.read_line(&mut line)?;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut got = Got {
        id: header("webhook-id"),
        signature: header("webhook-signature"),
        body: String::from_utf8_lossy(&body).into_owned(),
        acknowledged: false,
    };
    got.acknowledged = !refuses(&got);
    let answer = if got.acknowledged { "204 No Content" } else { "503 Service Unavailable" };
    let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(text.as_bytes())?;
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(got);
    Ok(())
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

const EVENTS: &str = "[events]\nopen = 1\nof = 1\nclose = 2\n";

fn webhook(address: SocketAddr) -> String {
    format!(
        "{EVENTS}[[alerts]]\nname = \"pager\"\nkind = \"webhook\"\nurl = \"http://{address}/hook\"\n\
         secret_file = \"secret\"\nretry_max = \"500ms\"\n"
    )
}

/// A topic of readings with anomalies in them, models, and somebody to tell.
fn alerting(brokers: &str, settings: &str) -> Project {
    let project = Project::new(brokers).with("end", settings, MEAN);
    std::fs::write(project.path("secret"), SECRET).expect("a file");
    let models = data("seedlike/models").display().to_string();
    project.ok(&["models", "import", &models, "-c", "tidegauge.toml"]);
    project.publish(&data("seedlike/readings.csv"));
    project
}

/// All rows of the table as (id, state), and of each sensor in order.
fn rows(project: &Project) -> Vec<(String, String)> {
    let sql = "SELECT event_id, state FROM events ORDER BY \"start\", event_id, state DESC";
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = project.query(sql);
    rows.iter().map(|row| (text(row, "event_id"), text(row, "state"))).collect()
}

/// Each event is told once but for the last before a kill; and each sensor's in order.
fn assert_told(project: &Project, told: &[Got], may_repeat: &BTreeSet<String>) {
    let wanted: BTreeSet<String> =
        rows(project).iter().map(|(id, state)| format!("{id}_{state}")).collect();
    assert!(wanted.len() > 10, "{} messages are too few to lose some", wanted.len());
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    told.iter().for_each(|got| *times.entry(got.id.as_str()).or_default() += 1);
    let found: BTreeSet<String> = times.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(found, wanted);
    let twice: Vec<_> =
        times.iter().filter(|(id, n)| **n > 1 && !may_repeat.contains(**id)).collect();
    assert!(twice.is_empty(), "acknowledged and sent again: {twice:?}");
    let mut last: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for got in told {
        let body: Value = serde_json::from_str(&got.body).expect("JSON");
        let (start, closed) = (body["start"].as_str().expect("a time"), body["state"] == "closed");
        let before = last.insert(body["sensor"].to_string(), (start.to_owned(), closed));
        let now = (start.to_owned(), closed);
        assert!(before.is_none_or(|before| before <= now), "out of order: {}", got.body);
        assert!(got.signature.starts_with("v1,"), "{got:?}");
    }
}

#[test]
fn a_webhook_that_was_down_gets_every_event_once_also_when_the_process_is_killed() {
    let Some(brokers) = kafka() else { return };
    let address = free_port();
    let project = alerting(&brokers, &webhook(address));

    // Nobody listens: events are committed all the same, and wait.
    let running = project.start_run(&[]);
    eventually("an attempt that fails", || running.said().contains("tried again").then_some(()));
    eventually("events in the lake", || {
        (project.number("SELECT count(*) FROM events") > 10).then_some(())
    });
    running.sigkill();
    let running = project.start_run(&[]);
    let away = std::env::var("TIDEGAUGE_TEST_OUTAGE").ok().and_then(|s| s.parse().ok());
    let back = Instant::now() + away.map_or(OUTAGE, Duration::from_secs);
    eventually_long("the end of the outage", || Instant::now() >= back);

    let receiver = Receiver::start(address, 3);
    eventually("some messages", || (receiver.acknowledged().len() >= 3).then_some(()));
    running.sigkill();
    let last = receiver.acknowledged().last().map(|got| got.id.clone());
    let may_repeat: BTreeSet<String> = last.into_iter().collect();
    project.run_to_end();
    let running = project.start_run(&[]);
    eventually("all messages", || {
        let told: BTreeSet<String> = receiver.acknowledged().into_iter().map(|g| g.id).collect();
        (told.len() == rows(&project).len()).then_some(())
    });
    assert!(running.sigterm().success());
    assert_told(&project, &receiver.acknowledged(), &may_repeat);
    assert_eq!(receiver.got().len() - receiver.acknowledged().len(), 3, "503 is tried again");
    project.ok(&["verify", "lake"]);
    let list = project.ok(&["alerts", "list", "-c", "tidegauge.toml"]);
    assert!(list.contains("pager: 0 dead letters"), "{list}");
}

fn sensor(body: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["sensor"].to_string()
}

#[test]
fn one_sensor_whose_messages_nobody_takes_holds_up_the_others_only_until_they_are_given_up() {
    let Some(brokers) = kafka() else { return };
    let address = free_port();
    let settings = format!("{}give_up_after = \"2s\"\n", webhook(address));
    let project = alerting(&brokers, &settings);
    // Whoever comes first is never taken.
    let mut first = None;
    let receiver = Receiver::choosy(address, move |got| {
        let sensor = sensor(&got.body);
        *first.get_or_insert_with(|| sensor.clone()) == sensor
    });
    let running = project.start_run(&[]);
    eventually("a message", || receiver.got().first().map(drop));
    let all = || rows(&project).into_iter().map(|(id, state)| format!("{id}_{state}"));
    let (told, dead) = eventually("each message to be told or given up", || {
        let told: BTreeSet<String> = receiver.acknowledged().into_iter().map(|g| g.id).collect();
        let dead = project.ok(&["alerts", "dead", "-c", "tidegauge.toml"]);
        let is_dead = |id: &String| dead.contains(id.rsplit_once('_').expect("a state").0);
        let mut all = all().peekable();
        all.peek()?;
        all.all(|id| told.contains(&id) || is_dead(&id)).then_some((told, dead))
    });
    assert!(running.sigterm().success());
    let refused = sensor(&receiver.got()[0].body);
    let of_others: Vec<Got> =
        receiver.got().into_iter().filter(|got| sensor(&got.body) != refused).collect();
    assert!(of_others.len() > 5 && told.len() == of_others.len(), "each once: {of_others:?}");
    assert!(dead.contains("503 Service Unavailable"), "{dead}");
    project.ok(&["verify", "lake"]);
}

#[test]
fn lanes_whose_messages_nobody_takes_hold_up_no_other_lane() {
    let Some(brokers) = kafka() else { return };
    let address = free_port();
    let project = alerting(&brokers, &webhook(address));
    project.run_to_end();
    let lane = |row: &Value| row["lane"].as_str().expect("a lane").to_owned();
    let lanes = project.query("SELECT DISTINCT lane FROM events ORDER BY lane");
    assert!(lanes.len() >= 3, "too few to be in each other's way: {lanes:?}");
    // The last one in every order that begins with the first.
    let taken = lane(lanes.last().expect("a lane"));
    let sql = format!("SELECT event_id, state FROM events WHERE lane = '{taken}'");
    let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let message = |row: &Value| format!("{}_{}", text(row, "event_id"), text(row, "state"));
    let wanted: BTreeSet<String> = project.query(&sql).iter().map(message).collect();
    let refuses = taken.clone();
    let receiver = Receiver::choosy(address, move |got| {
        lane(&serde_json::from_str(&got.body).expect("JSON")) != refuses
    });
    // Whoever was not there while they were committed is told all the same.
    let running = project.start_run(&[]);
    eventually("all messages of the lane that is taken", || {
        let told: BTreeSet<String> = receiver.acknowledged().into_iter().map(|g| g.id).collect();
        (told == wanted).then_some(())
    });
    let others = || receiver.got().iter().filter(|got| !got.acknowledged).count();
    let before = others();
    eventually("the others to be tried again", || (others() > before).then_some(()));
    assert!(running.sigterm().success());
    assert_eq!(receiver.acknowledged().len(), wanted.len(), "each once");
}

/// For what takes minutes when it is asked to.
fn eventually_long(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3600);
    while !is() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_topic_gets_every_event_keyed_by_its_id() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers);
    let topic = format!("{}-events", project.topic);
    let alerts =
        format!("{EVENTS}[[alerts]]\nname = \"topic\"\nkind = \"kafka\"\ntopic = \"{topic}\"\n");
    let project = project.with("end", &alerts, MEAN);
    let create = ["simulate", "--brokers", &brokers, "--topic", &topic];
    project.ok(&[&create[..], &["--create", "4", "--events", "0"]].concat());
    let models = data("seedlike/models").display().to_string();
    project.ok(&["models", "import", &models, "-c", "tidegauge.toml"]);
    project.publish(&data("seedlike/readings.csv"));
    project.run_to_end();
    let wanted: BTreeSet<String> = rows(&project).into_iter().map(|(id, _)| id).collect();
    assert!(wanted.len() > 5, "{wanted:?}");

    // tidegauge reads the topic itself: a sensor that is in two lanes would stop it, so each event's messages
    // are in one partition.
    let query = r#"SELECT "id", count(*) AS messages FROM readings
                   GROUP BY "id", tumble("start", INTERVAL '1 hour')"#;
    let text = format!(
        "[source]\nbrokers = \"{brokers}\"\ntopic = \"{topic}\"\ngroup = \"{topic}\"\non_split_sensor = \"fail\"\n\
         [event]\ntime = \"start\"\nkey = [{{ name = \"id\", type = \"string\" }}]\nvalues = [\"windows\"]\n\
         [window]\nquery = '''{query}'''\nout_of_order = \"30d\"\n[lake]\nurl = \"told\"\n"
    );
    std::fs::write(project.path("told.toml"), text).expect("a file");
    project.ok(&["run", "-c", "told.toml", "--until-idle", "2s"]);
    let told = project.query_in("told", "SELECT id, messages FROM predictions");
    let found: BTreeSet<String> =
        told.iter().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect();
    assert_eq!(found, wanted);
    let messages: i64 = told.iter().filter_map(|row| row["messages"].as_i64()).sum();
    assert_eq!(messages, rows(&project).len() as i64, "each row is one message");
}

#[test]
fn what_a_receiver_refuses_is_a_dead_letter_until_it_is_taken() {
    let address = free_port();
    let project = Project::new("127.0.0.1:1").with("end", &webhook(address), MEAN);
    std::fs::write(project.path("secret"), SECRET).expect("a file");
    let models = data("seedlike/models").display().to_string();
    project.ok(&["models", "import", &models, "-c", "tidegauge.toml"]);
    let readings = data("seedlike/readings.csv").display().to_string();
    // Whoever takes messages there never wants any.
    let listener = TcpListener::bind(address).expect("the port is ours");
    let refuses = std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                if lower.starts_with("get /stop") {
                    return;
                }
                line.clear();
            }
            let _ = reader.read_exact(&mut vec![0; length]);
            let text = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = reader.get_mut().write_all(text.as_bytes());
        }
    });
    let paths = format!("source.paths={readings}");
    project.ok(&["run", "-c", "tidegauge.toml", "--set", "source.kind=files", "--set", &paths]);
    let dead = project.ok(&["alerts", "dead", "-c", "tidegauge.toml"]);
    assert!(dead.contains("410 Gone") && !dead.contains(SECRET), "{dead}");
    let said = project.fails(1, &["alerts", "retry", "-c", "tidegauge.toml"]);
    assert!(said.contains("stays dead"), "{said}");
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(b"GET /stop HTTP/1.1\r\n\r\n");
    }
    refuses.join().expect("it ends");
    let receiver = Receiver::start(address, 0);
    let retried = project.ok(&["alerts", "retry", "-c", "tidegauge.toml"]);
    assert!(retried.contains("dead letters were taken"), "{retried}");
    assert_told(&project, &receiver.acknowledged(), &BTreeSet::new());
    assert!(project.ok(&["alerts", "list", "-c", "tidegauge.toml"]).contains("pager: 0 dead"));
}

#[test]
fn files_give_the_events_of_the_stream() {
    let Some(brokers) = kafka() else { return };
    let project = Project::new(&brokers).with("end", EVENTS, MEAN);
    let models = data("seedlike/models").display().to_string();
    project.ok(&["models", "import", &models, "-c", "tidegauge.toml"]);
    let readings = data("seedlike/readings.csv");
    project.publish(&readings);
    project.run_to_end();
    let readings = readings.display().to_string();
    project.ok(&["score", &readings, "-c", "tidegauge.toml", "-o", "scored"]);
    let all = |lake: &str| {
        let mut rows = project.query_in(lake, "SELECT * FROM events ORDER BY event_id, state");
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            row.retain(|name, _| !["lane", "epoch"].contains(&name.as_str()));
        }
        rows
    };
    assert!(all("lake").len() > 10);
    assert_eq!(all("lake"), all("scored"));
    project.ok(&["verify", "lake"]);
    project.ok(&["verify", "scored"]);
}
