//! The worker on a real Kafka, with a store that fails for a while: the lane is sought back.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tempfile::tempdir;
use tidegauge::config;
use tidegauge::control::OpenWindows;
use tidegauge::pipeline::{Pipeline, Surroundings};
use tidegauge::worker::Worker;
use tidegauge_flow::Store;
use tidegauge_ingest::kafka::{
    Compression, Consumer, EndOffsets, KafkaSettings, Outgoing, Producer, ProducerSettings, Start,
    create_topic, ends,
};
use tidegauge_sink::{Lake, LocalStore, verify};

use super::reading;
use super::store::Wobbly;
use crate::harness::{Project, eventually, kafka};

const LANES: i32 = 4;
const EACH: i64 = 5_000;

#[test]
fn fm_29_a_failing_lane_is_sought_back_with_range() {
    goes_back("range");
}

#[test]
fn fm_29_a_failing_lane_is_sought_back_with_cooperative_sticky() {
    goes_back("cooperative-sticky");
}

fn goes_back(strategy: &str) {
    let Some(brokers) = kafka() else { return };
    let topic = Project::new(&brokers).topic;
    create_topic(&brokers, &topic, LANES as u16, &BTreeMap::new()).expect("a topic");
    let folder = tempdir().expect("a folder");
    let inner = LocalStore::create(folder.path().join("lake")).expect("a store");
    let store = Arc::new(Wobbly::new(Arc::new(inner)));
    let pipeline = pipeline(&topic, &store);
    let settings = KafkaSettings {
        brokers: brokers.clone(),
        topic: topic.clone(),
        group: topic.clone(),
        instance: topic.clone(),
        start: Start::Earliest,
        extra: [("partition.assignment.strategy".to_string(), strategy.to_string())].into(),
        connect_timeout: Duration::from_secs(10),
    };
    let ends = Arc::new(EndOffsets::start(&settings, ends::INTERVAL).expect("watching"));
    let source = Consumer::start(&settings, 0).expect("joins");
    let mut worker = Worker::new(pipeline.clone(), &topic, source, ends);

    publish(&brokers, &topic, 0);
    let committed = |lane: i32| {
        let lake = Lake::read(store.clone()).expect("a lake");
        let records = lake.records(&format!("{topic}-{lane}")).unwrap_or_default();
        records.iter().map(|record| record.counters.messages).sum::<u64>()
    };
    let mut until = |what: &str, done: &dyn Fn() -> bool| {
        eventually(what, || {
            worker.turn(Duration::from_millis(20)).expect("goes on");
            done().then_some(())
        });
    };
    let all = |each: u64| move |lane: i32| committed(lane) == each;
    until("the first half of all lanes", &|| (0..LANES).all(all(EACH as u64)));
    store.break_writes(&format!("{topic}-0/"), ErrorKind::ConnectionReset);
    publish(&brokers, &topic, EACH);
    let whole = 2 * EACH as u64;
    until("the second half of three lanes", &|| (1..LANES).all(all(whole)));
    assert_eq!(committed(0), EACH as u64);
    assert!(pipeline.metrics.sum("tidegauge_lanes_dropped_total") > 0.0);
    store.heal();
    until("the second half of the lane that failed", &|| committed(0) == whole);
    worker.end(OpenWindows::Close).expect("ends");
    let report = verify(&*(store.clone() as Arc<dyn Store>), &|_, _| {}).expect("verifies");
    assert!(report.is_clean(), "{:?}", report.problems);
}

fn pipeline(topic: &str, store: &Arc<Wobbly>) -> Arc<Pipeline> {
    let text = format!(
        r#"
        [source]
        brokers = "127.0.0.1:1"
        topic = "{topic}"
        [event]
        time = "TS"
        key = [{{ name = "Id", type = "int64" }}]
        values = ["Value"]
        [window]
        query = '''SELECT "Id", sum("Value") AS s FROM readings
                   GROUP BY "Id", tumble("TS", INTERVAL '5 seconds')'''
        [lake]
        url = "{}"
        commit_every = "200ms"
        "#,
        store.url()
    );
    let config = config::parse("test", &text, std::iter::empty(), &[]).expect("valid");
    let around = Surroundings::real(&config).expect("opens");
    let around = Surroundings { lake: store.clone(), ..around };
    Arc::new(Pipeline::within(config, around).expect("opens"))
}

/// [`EACH`] readings to each partition, the first one at second `from`.
fn publish(brokers: &str, topic: &str, from: i64) {
    let settings = ProducerSettings {
        brokers: brokers.to_string(),
        topic: topic.to_string(),
        compression: Compression::None,
        queue_kib: 65_536,
        extra: BTreeMap::new(),
    };
    let producer = Producer::start(&settings).expect("a producer");
    for second in from..from + EACH {
        for partition in 0..LANES {
            // Within the hour that the helper can write.
            let text = reading(second * 3_000 / (2 * EACH), i64::from(partition));
            let (payload, partition) = (Some(text.as_bytes()), Some(partition));
            producer.send(Outgoing { payload, partition, ..Outgoing::default() }).expect("sent");
        }
    }
    producer.flush(Duration::from_secs(30)).expect("delivered");
}
