//! Late readings, revisions, the time policy, readings that the query fails on, and memory, through a
//! lane and into a lake that is proven.

use super::*;

const REVISE: [&str; 2] = ["window.late=revise", "window.allowed_lateness=20s"];

impl Bench {
    /// Any rows as JSON, sorted.
    fn json(&self, sql: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for batch in self.select(sql) {
            let mut writer = datafusion::arrow::json::LineDelimitedWriter::new(Vec::new());
            writer.write(&batch).and_then(|()| writer.finish()).expect("JSON");
            let text = String::from_utf8(writer.into_inner()).expect("UTF-8");
            lines.extend(text.lines().map(String::from));
        }
        lines.sort();
        lines
    }

    fn revisions(&self) -> Vec<String> {
        let sql = "SELECT \"Id\", CAST(window_end AS VARCHAR) AS e, CAST(revision AS BIGINT) AS r, \
                   CAST(n_readings AS BIGINT) AS n, s FROM predictions";
        self.json(sql)
    }

    fn reasons(&self) -> Vec<String> {
        self.json("SELECT reason, CAST(count(*) AS BIGINT) AS n FROM late GROUP BY reason")
    }
}

/// As `feed`, each message with its arrival in seconds.
fn feed_at(lane: &mut Lane, texts: &[String], arrivals: &[i64]) {
    let input = lane.input(&Partition::new("t", 0), 0);
    let from = lane.next(input);
    let messages = texts.iter().zip(arrivals).zip(from..).map(|((text, arrival), offset)| {
        let timestamp_ms = Some((1_600_000_000 + arrival) * 1000);
        (Message { offset, timestamp_ms, payload: Some(text.as_bytes()) }, offset + 1)
    });
    lane.feed(input, messages, i64::MAX / 2).expect("feeds");
}

#[test]
fn fm_01_22_revisions_are_those_of_an_undisturbed_run_and_add_up() {
    for seed in 0..8 {
        let (calm, stormy) = replayed(seed, &REVISE);
        let revised = calm.json("SELECT revision FROM predictions WHERE revision > 0");
        assert!(!revised.is_empty(), "seed {seed} revises nothing");
        assert_eq!(stormy.revisions(), calm.revisions(), "seed {seed}");
        assert_eq!(stormy.reasons(), calm.reasons(), "seed {seed}");
        calm.prove();
        stormy.prove();
    }
}

#[test]
fn fm_12_injected_late_readings_are_counted_exactly_by_reason() {
    let policy = [
        "window.policy.late=30s",
        "window.policy.on_late=drop",
        "window.policy.on_out_of_order=drop",
        "window.policy.early=10s",
    ];
    let bench = Bench::new(&policy);
    let mut lane = bench.lane();
    // One reading a second that arrives at once; the faults beside it are counted.
    let (mut readings, mut arrivals) = (Vec::new(), Vec::new());
    let mut injected = [0u64; 3];
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for now in 100..700 {
        readings.push((now, 1, 1));
        arrivals.push(now);
        let fault = random.random_range(0..12usize);
        let ahead = match fault {
            0 => -random.random_range(31..90), // before its arrival by more than 30 s
            1 => -random.random_range(3..30),  // behind the watermark, which is 2 s back
            2 => random.random_range(11..90),  // ahead of its arrival by more than 10 s
            _ => continue,
        };
        injected[fault] += 1;
        readings.push((now + ahead, 2, 1));
        arrivals.push(now);
    }
    let texts = messages(&readings);
    for from in (0..texts.len()).step_by(37) {
        let to = (from + 37).min(texts.len());
        feed_at(&mut lane, &texts[from..to], &arrivals[from..to]);
    }
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let counters = lane.ledger().newest().counters;
    assert_eq!([counters.late_arrival, counters.late_out_of_order, counters.rejected], injected);
    assert_eq!((counters.late_closed, counters.aggregated), (0, 600));
    let rows = |reason: &str, n: u64| format!(r#"{{"reason":"{reason}","n":{n}}}"#);
    assert_eq!(bench.reasons(), [rows("arrival", injected[0]), rows("out_of_order", injected[1])]);
    let metrics = &bench.pipeline.metrics;
    assert_eq!(metrics.sum("tidegauge_aggregate_late_total"), (injected[0] + injected[1]) as f64);
    let early =
        bench.json("SELECT reason, CAST(count(*) AS BIGINT) AS n FROM rejects GROUP BY reason");
    assert_eq!(early, [rows("too_early", injected[2])]);
    bench.prove();
}

#[test]
fn w_08_by_arrival_a_sensor_without_a_clock_is_read() {
    let bench = Bench::new(&["window.policy.time=arrival"]);
    let mut lane = bench.lane();
    let texts: Vec<String> =
        (0..3).map(|i| format!(r#"{{"TS":"1970-01-01T00:00:0{i}Z","Id":1,"Value":1}}"#)).collect();
    feed_at(&mut lane, &texts, &[101, 104, 106]);
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let n: Vec<i64> = bench.rows().into_values().map(|(n, ..)| n).collect();
    assert_eq!(n, [2, 1]);
    bench.prove();
}

#[test]
fn fm_17_a_poisonous_value_is_a_reject_and_stops_nothing_at_no_restart() {
    let query = r#"window.query=SELECT "Id", CAST(sum(CAST("Value" AS INT)) AS DOUBLE) AS s FROM readings GROUP BY "Id", tumble("TS", INTERVAL '5 seconds')"#;
    let bench = Bench::new(&[query]);
    let texts = messages(&[(1, 1, 1), (2, 1, 3_000_000_000), (3, 2, 4), (12, 1, 8)]);
    for _ in 0..2 {
        // The first time it dies before it commits.
        let mut lane = bench.lane();
        feed(&mut lane, &texts, 0, texts.len());
    }
    let mut lane = bench.lane();
    feed(&mut lane, &texts, 0, texts.len());
    lane.drain().expect("drains");
    lane.commit(1).expect("commits");
    let sums: Vec<f64> = bench.rows().into_values().map(|(_, s, _)| s).collect();
    assert_eq!(sums, [1.0, 8.0, 4.0]);
    let counters = lane.ledger().newest().counters;
    assert_eq!((counters.readable, counters.rejected), (3, 1));
    let rejects = bench.json(
        "SELECT reason, CAST(\"offset\" AS BIGINT) AS o, CAST(payload AS VARCHAR) AS p FROM rejects",
    );
    assert_eq!(rejects.len(), 1);
    assert!(rejects[0].contains(r#""reason":"query","o":1"#), "{rejects:?}");
    assert!(rejects[0].contains("3000000000"), "the original bytes: {rejects:?}");
    bench.prove();
}

#[test]
fn fm_19_a_lane_over_its_budget_spills_and_the_lake_is_the_same() {
    let many: Vec<(i64, i64, i64)> =
        (0..60_000).map(|i| (1 + i % 4, i % 40_000, i % 7)).chain([(100, 1, 1)]).collect();
    let texts = messages(&many);
    let run = |extra: &[&str]| {
        let bench = Bench::new(extra);
        let mut lane = bench.lane();
        for from in (0..texts.len()).step_by(2_000) {
            feed(&mut lane, &texts, from, (from + 2_000).min(texts.len()));
        }
        lane.commit(1).expect("commits");
        drop(lane);
        // What is open is taken up from the checkpoint, spilled parts too.
        let mut lane = bench.lane();
        lane.drain().expect("drains");
        lane.commit(1).expect("commits");
        bench.prove();
        (bench.pipeline.metrics.sum("tidegauge_aggregate_spilled_bytes_total"), bench.revisions())
    };
    let spill = tempfile::tempdir().expect("a folder");
    let folder = format!("limits.spill={}", spill.path().display());
    let (spilled, rows) = run(&["limits.memory=2 MiB", &folder]);
    let (none, all) = run(&[]);
    assert!(spilled > 1e6 && none == 0.0, "{spilled} and {none} bytes");
    assert_eq!(rows, all);
}
