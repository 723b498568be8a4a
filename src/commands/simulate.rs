//! `simulate`: made-up sensors with known faults, or a file's readings, to Kafka or to a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, time::NANOS};
use tidegauge_ingest::kafka::settings::CONNECT_TIMEOUT;
use tidegauge_ingest::kafka::{
    Compression, Creation, KafkaSettings, Observer, Outgoing, Producer, ProducerSettings, Start,
    create_topic,
};
use tidegauge_ingest::replay::{Pace, Replay};
use tidegauge_ingest::simulate::{
    EventNames, Fault, FaultPlan, Range, Shape, Simulation, Simulator, key_text, to_json,
};
use tidegauge_ingest::{EventMapping, Files, Reject};

use super::{Usage, time};
use crate::cli::{ShapeName, Simulate};
use crate::clock;
use crate::config;
use crate::signals::Signals;

/// Records of a replay read at once.
const BATCH_MAX: usize = 4_096;
/// How long the brokers may take for what is left at the end.
const FLUSH_MAX: Duration = Duration::from_secs(60);

pub fn run(args: &Simulate) -> Result<ExitCode> {
    let signals = Signals::install()?;
    let mut target = Target::open(args)?;
    let started = Instant::now();
    let sent = match &args.replay {
        Some(path) => replay(args, path, &mut target, &signals)?,
        None => simulate(args, &mut target, &signals)?,
    };
    let finished = target.finish();
    finished.with_context(|| match (&args.topic, args.create) {
        (Some(topic), None) => format!("cannot publish to topic {topic}; --create N makes it"),
        _ => "cannot publish".to_string(),
    })?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{sent} events in {seconds:.1} s, {:.0} events/s", sent as f64 / seconds);
    Ok(ExitCode::SUCCESS)
}

/// Where events go.
enum Target {
    Kafka(Box<Producer>),
    File(Box<dyn Write>),
}

impl Target {
    fn open(args: &Simulate) -> Result<Self> {
        if let Some(path) = &args.out {
            let file: Box<dyn Write> = match path.as_str() {
                "-" => Box::new(std::io::stdout().lock()),
                path => {
                    Box::new(File::create(path).with_context(|| format!("cannot write {path}"))?)
                }
            };
            return Ok(Self::File(Box::new(BufWriter::new(file))));
        }
        let (Some(brokers), Some(topic)) = (&args.brokers, &args.topic) else {
            return Err(Usage("--brokers and --topic, or --out".into()).into());
        };
        let extra = client_settings(args)?;
        if let Some(partitions) = args.create
            && create_topic(brokers, topic, partitions, &extra)? == Creation::Created
        {
            eprintln!("created topic {topic} with {partitions} partitions");
        }
        let compression = Compression::parse(&args.compression).ok_or_else(|| {
            let words = Compression::ALL.map(Compression::as_str).join(", ");
            Usage(format!("--compression is {:?}, allowed are {words}", args.compression))
        })?;
        let settings = ProducerSettings {
            brokers: brokers.clone(),
            topic: topic.clone(),
            compression,
            queue_kib: 64 << 10,
            extra,
        };
        Ok(Self::Kafka(Box::new(Producer::start(&settings)?)))
    }

    fn send(&mut self, key: Option<&str>, payload: &[u8]) -> Result<()> {
        match self {
            Self::Kafka(producer) => {
                let key = key.map(str::as_bytes);
                let message = Outgoing { key, payload: Some(payload), ..Outgoing::default() };
                Ok(producer.send(message)?)
            }
            Self::File(file) => {
                file.write_all(payload)?;
                Ok(file.write_all(b"\n")?)
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Kafka(producer) => producer.flush(FLUSH_MAX).map(drop)?,
            Self::File(mut file) => file.flush()?,
        }
        Ok(())
    }
}

/// Waits until an event is due; false when a signal came first.
fn wait(due: Duration, started: Instant, signals: &Signals) -> bool {
    let mut left = due.saturating_sub(started.elapsed());
    while !left.is_zero() {
        if signals.wait(left) {
            return false;
        }
        left = due.saturating_sub(started.elapsed());
    }
    !signals.seen()
}

/// Event time of the first reading, and the one that is sent at once.
struct Beginning {
    start_ns: i64,
    now_ns: i64,
}

impl Beginning {
    fn of(args: &Simulate) -> Result<Self> {
        // As exact as the times that are written, or the first reading would lie before the start.
        let now_ns = clock::now_us() * 1000;
        if let Some(history) = args.history.filter(|history| !history.is_zero()) {
            let back_ns = i64::try_from(history.as_nanos()).unwrap_or(i64::MAX);
            let start_ns = match is_empty(args)? {
                true => now_ns.saturating_sub(back_ns),
                false => now_ns,
            };
            return Ok(Self { start_ns, now_ns });
        }
        let start_ns = match args.start.as_str() {
            "now" => now_ns,
            text => time("--start", text)?,
        };
        Ok(Self { start_ns, now_ns: start_ns })
    }
}

/// Whether the topic has no message.
fn is_empty(args: &Simulate) -> Result<bool> {
    let (Some(brokers), Some(topic)) = (&args.brokers, &args.topic) else {
        return Err(Usage("--history needs --brokers and --topic".into()).into());
    };
    let observer = Observer::connect(&KafkaSettings {
        brokers: brokers.clone(),
        topic: topic.clone(),
        // Nothing here joins a group.
        group: "tidegauge-simulate".into(),
        instance: "simulate".into(),
        start: Start::Earliest,
        extra: client_settings(args)?,
        connect_timeout: CONNECT_TIMEOUT,
    })?;
    let partitions: Vec<i32> = (0..i32::try_from(observer.partitions())?).collect();
    let bounds = observer.bounds(&partitions, CONNECT_TIMEOUT)?;
    let silent = partitions.iter().find(|partition| !bounds.contains_key(partition));
    if let Some(partition) = silent {
        anyhow::bail!("partition {partition} of topic {topic} does not say whether it is empty");
    }
    Ok(bounds.values().all(|(low, end)| low == end))
}

/// How Kafka's client is set: as the configuration says, and then the flags.
fn client_settings(args: &Simulate) -> Result<BTreeMap<String, String>> {
    let mut settings = match &args.config {
        Some(path) => config::load(path, &[])?.source.kafka,
        None => BTreeMap::new(),
    };
    settings.extend(pairs(&args.kafka)?);
    Ok(settings)
}

fn pace(first_ns: i64, speed: f64) -> Pace {
    Pace { first_ns, speed: if speed > 0.0 { speed } else { f64::INFINITY } }
}

fn simulate(args: &Simulate, target: &mut Target, signals: &Signals) -> Result<u64> {
    let beginning = Beginning::of(args)?;
    let simulation = simulation(args, beginning.start_ns)?;
    let pace = pace(beginning.now_ns, speed(args, 1.0)?);
    let simulator = Simulator::new(simulation)?;
    if let Some(path) = &args.truth {
        write_truth(path, simulator.faults())?;
    }
    let names = names(args)?;
    let (mut json, mut sent, started) = (Vec::new(), 0, Instant::now());
    for event in simulator {
        if Some(sent) == args.events || !wait(pace.due(event.due_ns), started, signals) {
            break;
        }
        json.clear();
        to_json(&event, &names, &mut json);
        target.send(Some(&key_text(&event)), &json)?;
        sent += 1;
    }
    Ok(sent)
}

fn simulation(args: &Simulate, start_ns: i64) -> Result<Simulation> {
    let reference = Simulation::reference(start_ns, args.seed);
    let end_ns = args.seconds.map_or(i64::MAX, |s| {
        start_ns.saturating_add(i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(NANOS))
    });
    if args.faults > 0.0 && args.seconds.is_none() {
        return Err(Usage("--faults needs --seconds: faults are planned ahead".into()).into());
    }
    let sensors = u64::from(args.devices) * u64::from(args.sensors);
    Ok(Simulation {
        devices: args.devices,
        sensors: args.sensors,
        ranges: args.ranges.as_deref().map_or(Ok(reference.ranges.clone()), ranges)?,
        interval_ns: args.interval.as_nanos() as i64,
        jitter_ns: args.jitter.as_nanos() as i64,
        shape: match args.shape {
            ShapeName::Uniform => Shape::Uniform,
            ShapeName::Gaussian => Shape::Gaussian,
            ShapeName::Sine => Shape::Sine { period_ns: 3600 * NANOS },
        },
        end_ns,
        faults: match args.faults > 0.0 {
            true => {
                let after_ns = i64::try_from(args.faults_after.as_nanos()).unwrap_or(i64::MAX);
                FaultPlan::at_rate(args.faults, sensors, start_ns.saturating_add(after_ns), end_ns)
            }
            false => FaultPlan::default(),
        },
        ..reference
    })
}

fn ranges(text: &str) -> Result<Vec<Range>> {
    let range = |part: &str| {
        let (min, max) = part.split_once("..")?;
        Some(Range { min: min.trim().parse().ok()?, max: max.trim().parse().ok()? })
    };
    let parsed: Option<Vec<_>> = text.split(',').map(range).collect();
    parsed.ok_or_else(|| {
        Usage(format!("--ranges is {text:?}, use ranges such as 10..15,30..40")).into()
    })
}

fn speed(args: &Simulate, default: f64) -> Result<f64> {
    let speed = args.speed.unwrap_or(default);
    if speed.is_finite() && speed >= 0.0 {
        return Ok(speed);
    }
    Err(Usage(format!("--speed is {speed}, allowed is 0 or more")).into())
}

fn write_truth(path: &Path, faults: &[Fault]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    for fault in faults {
        let line = serde_json::json!({
            "device": fault.device, "sensor": fault.sensor, "kind": fault.kind.as_str(),
            "from": tidegauge_flow::time::rfc3339(fault.from_ns),
            "to": tidegauge_flow::time::rfc3339(fault.to_ns),
            "magnitude": fault.magnitude,
        });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

fn replay(args: &Simulate, path: &str, target: &mut Target, signals: &Signals) -> Result<u64> {
    let mapping = Arc::new(mapping(args)?);
    let files = Files::open(&[path], &mapping)?;
    let mut replay = Replay::new(files, mapping);
    let speed = speed(args, 0.0)?;
    let (mut pacer, mut sent, started) = (None, 0, Instant::now());
    let mut unreadable: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = Ok(());
    let mut stopped = false;
    while !stopped && failed.is_ok() {
        let read = replay.next_batch(BATCH_MAX, clock::now_ns(), |record| match record {
            _ if stopped || failed.is_err() => {}
            Err(Reject { reason, .. }) => *unreadable.entry(reason.as_str()).or_default() += 1,
            Ok(record) => {
                if let Some(time_ns) = record.time_ns {
                    let pacer: &Pace = pacer.get_or_insert_with(|| pace(time_ns, speed));
                    stopped = !wait(pacer.due(time_ns), started, signals);
                }
                if !stopped && args.events != Some(sent) {
                    failed = target.send(record.key, record.payload);
                    sent += 1;
                }
            }
        })?;
        stopped |= read == 0 || args.events == Some(sent);
    }
    failed?;
    for (reason, count) in unreadable {
        eprintln!("left out {count} records that cannot be read: {reason}");
    }
    Ok(sent)
}

fn mapping(args: &Simulate) -> Result<EventMapping> {
    if let Some(path) = &args.config {
        return Ok(config::load(path, &[])?.event.as_ref().clone());
    }
    let key = |name: &str| KeyColumn { name: name.into(), kind: KeyType::Int64 };
    let key = KeySchema::new(vec![key("Device"), key("Sensor")]);
    Ok(EventMapping::new("TS", Arc::new(key), vec!["Value".into()]))
}

/// The events' field names: those of the configuration, where it has two key columns and a value.
fn names(args: &Simulate) -> Result<EventNames> {
    let mapping = mapping(args)?;
    match (mapping.key.columns(), mapping.values.as_slice()) {
        ([device, sensor], [value]) => {
            Ok(EventNames::new(&mapping.time, &device.name, &sensor.name, value))
        }
        _ => Err(Usage("simulated sensors have two key columns and one value".into()).into()),
    }
}

/// `key=value` arguments.
fn pairs(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=')?;
        Some((key.trim().to_string(), value.to_string()))
    };
    let pairs: Option<_> = texts.iter().map(pair).collect();
    pairs.ok_or_else(|| Usage("--kafka takes key=value".into()).into())
}
