//! The judgement at the end of a seed: the lake read back and compared with the oracle, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{
    Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use tidegauge::config::Late;
use tidegauge_sink::{Lake, Reader, Record, Table, parquet, verify};

use crate::events;
use crate::models::threshold;
use crate::oracle::{self, Expected};
use crate::scenario::Scenario;
use crate::store::{Archive, SimStore};
use crate::world::World;

/// What a seed's lake held, for the totals.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub records: u64,
    pub rows: u64,
    pub late: u64,
    pub revisions: u64,
    pub rejects: u64,
    pub events: u64,
    pub moves: u64,
    /// Rows of which the oracle knows only bounds.
    pub uncertain: u64,
}

/// One row of predictions.
struct Row {
    count: i64,
    sum: f64,
    epoch: u64,
    revision: u32,
    model: Option<(u64, f64)>,
}

/// Judges the lake; what is wrong goes into the world's problems.
pub fn judge(world: &Arc<World>, scenario: &Scenario) -> Totals {
    let store = Arc::new(SimStore { world: world.clone(), process: 0 });
    let mut problems = Vec::new();
    match verify(&*store, &|_, _| {}) {
        Ok(report) => {
            problems.extend(report.problems.iter().map(|p| format!("verify: {p}")));
            let notes = report.notes.iter().filter(|note| !is_expected(scenario, &note.what));
            problems.extend(notes.map(|p| format!("verify notes: {p}")));
        }
        Err(error) => problems.push(format!("verify: {error}")),
    }
    let mut totals = Totals::default();
    match Lake::read(store) {
        Ok(reader) => {
            let archive = Archive(SimStore { world: world.clone(), process: 0 });
            let archive = Lake::read(Arc::new(archive)).expect("the lake was read a moment ago");
            let mut judge = Judge { scenario, reader, archive, problems, totals };
            judge.carry_out();
            (problems, totals) = (judge.problems, judge.totals);
        }
        Err(error) => problems.push(format!("the lake cannot be read: {error}")),
    }
    let mut state = world.state();
    problems.into_iter().for_each(|what| state.problem(what));
    totals
}

struct Judge<'a> {
    scenario: &'a Scenario,
    reader: Reader,
    /// All records, also those that maintenance has deleted.
    archive: Reader,
    problems: Vec<String>,
    totals: Totals,
}

impl Judge<'_> {
    fn carry_out(&mut self) {
        let lanes = self.reader.lanes().expect("the ledger can be listed");
        let all = (0..self.scenario.sent.len()).map(|n| format!("t-{n}"));
        let expected: BTreeSet<_> = all.collect();
        for lane in lanes.iter().filter(|lane| !expected.contains(*lane)) {
            self.problems.push(format!("lane {lane} has no partition"));
        }
        let tables = Table::ALL.map(|table| self.read(table));
        for number in 0..self.scenario.sent.len() {
            let records = match self.archive.records(&format!("t-{number}")) {
                Ok(records) => records,
                Err(error) => {
                    self.problems.push(format!("the ledger of {number} cannot be read: {error}"));
                    continue;
                }
            };
            self.lane(number, &records, &tables);
        }
    }

    fn lane(&mut self, number: usize, records: &[Record], tables: &[Vec<RecordBatch>; 4]) {
        let [predictions, late, rejects, events] = tables;
        let late = self.late(number, records, late);
        let verdict = oracle::judge(self.scenario, number, records, &late);
        self.problems.extend(verdict.problems);
        // A window's first row may come late where windows are revised, and then the order is another one.
        if self.scenario.config.window.late != Late::Revise {
            let (problems, rows) =
                events::judge(self.scenario, number, records, predictions, events);
            self.problems.extend(problems);
            self.totals.events += rows;
        }
        let rejects = self.rejects(number, records, rejects);
        for (offset, reason) in verdict.rejects.difference(&rejects) {
            self.problems.push(format!("{number}: offset {offset} ({reason}) is in no reject"));
        }
        for (offset, reason) in rejects.difference(&verdict.rejects) {
            self.problems.push(format!("{number}: offset {offset} is rejected as {reason}"));
        }
        let mut rows = self.rows(number, records, predictions);
        for ((id, end), expected) in verdict.rows {
            match rows.remove(&(id, end)) {
                Some(row) => self.row(number, (id, end), &row, &expected),
                None if expected.sure.is_empty() => {}
                None => {
                    let n = expected.sure.len();
                    self.problems.push(format!(
                        "{number}: sensor {id}, window {end}: no row for {n} readings"
                    ));
                }
            }
        }
        for ((id, end), row) in rows {
            let Row { count, epoch, .. } = row;
            let what = format!(
                "{number}: sensor {id}, window {end}: a row of {count} in epoch {epoch} that must not be"
            );
            self.problems.push(what);
        }
        self.totals.records += records.len() as u64;
        self.totals.moves += records.iter().map(|r| r.idle_moves.len() as u64).sum::<u64>();
    }

    fn row(&mut self, number: usize, window: (i64, i64), row: &Row, expected: &Expected) {
        self.totals.rows += 1;
        self.totals.uncertain += u64::from(!expected.maybe.is_empty());
        let fits = |picked: u32| {
            let some = expected.maybe.iter().enumerate().filter(|(n, _)| picked >> n & 1 == 1);
            let values = || expected.sure.iter().chain(some.clone().map(|(_, value)| value));
            let (count, sum) = (values().count(), values().sum::<i64>() as f64);
            row.count == count as i64 && (row.sum - sum).abs() <= 1e-9 * sum.abs().max(1.0)
        };
        // Too many to try: what is sure has to be there at least.
        let many = expected.maybe.len() > 10 && row.count >= expected.sure.len() as i64;
        if !many && !(0..1 << expected.maybe.len().min(10)).any(fits) {
            let (id, end) = window;
            let (Row { count, sum, epoch, .. }, sure) = (row, &expected.sure);
            self.problems.push(format!(
                "{number}: sensor {id}, window {end}, epoch {epoch}: {count} readings, sum {sum}; sent were {sure:?} and perhaps {:?}",
                expected.maybe
            ));
        }
    }

    /// The rows of one lane, by sensor and end of the window.
    fn rows(
        &mut self,
        number: usize,
        records: &[Record],
        batches: &[RecordBatch],
    ) -> BTreeMap<(i64, i64), Row> {
        let name = format!("t-{number}");
        let mut rows: BTreeMap<_, Vec<Row>> = BTreeMap::new();
        for batch in batches {
            let lane = texts(batch, "lane");
            let id = column(batch, "Id").as_primitive::<Int64Type>();
            let start = column(batch, "window_start").as_primitive::<TimestampMicrosecondType>();
            let end = column(batch, "window_end").as_primitive::<TimestampMicrosecondType>();
            let count = column(batch, "n").as_primitive::<Int64Type>();
            let sum = column(batch, "s").as_primitive::<Float64Type>();
            let readings = column(batch, "n_readings").as_primitive::<UInt64Type>();
            let limit = column(batch, "threshold").as_primitive::<Float64Type>();
            let set = column(batch, "model_set").as_primitive::<UInt64Type>();
            let epoch = column(batch, "epoch").as_primitive::<UInt64Type>();
            let revision = column(batch, "revision").as_primitive::<UInt32Type>();
            for row in (0..batch.num_rows()).filter(|row| lane.value(*row) == name) {
                let window = (id.value(row), end.value(row) * 1000);
                let model = set.is_valid(row).then(|| (set.value(row), limit.value(row)));
                let (count, sum) = (count.value(row), sum.value(row));
                let (epoch, revision) = (epoch.value(row), revision.value(row));
                let found = Row { count, sum, epoch, revision, model };
                let size = self.scenario.planned.shape.size / 1000;
                let fits = end.value(row) - start.value(row) == size
                    && readings.value(row) as i64 == count;
                if !fits {
                    self.problems
                        .push(format!("{number}: {window:?}: its start or count is wrong"));
                }
                match records.iter().find(|record| record.epoch == found.epoch) {
                    Some(record) => self.model(number, window, &found, record),
                    None => self.problems.push(format!("{number}: {window:?} is of no epoch")),
                }
                rows.entry(window).or_default().push(found);
            }
        }
        rows.into_iter().map(|(window, all)| (window, self.newest(number, window, all))).collect()
    }

    /// The newest row of a window; those before are its earlier revisions, each with fewer readings.
    fn newest(&mut self, number: usize, window: (i64, i64), mut all: Vec<Row>) -> Row {
        all.sort_by_key(|row| row.revision);
        self.totals.revisions += all.len() as u64 - 1;
        let numbered = all.iter().zip(0..).all(|(row, nth)| row.revision == nth);
        let grows =
            all.windows(2).all(|two| two[0].count < two[1].count && two[0].epoch <= two[1].epoch);
        let may_be = all.len() == 1 || self.scenario.config.window.late == Late::Revise;
        if !(numbered && grows && may_be) {
            let rows = all.iter().map(|row| (row.revision, row.epoch, row.count));
            let rows: Vec<_> = rows.collect();
            self.problems.push(format!(
                "{number}: {window:?} has the rows (revision, epoch, readings) {rows:?}"
            ));
        }
        all.pop().expect("a window is there because of a row")
    }

    /// The model of a row is one that its record names, and gave its own threshold.
    fn model(&mut self, number: usize, window: (i64, i64), row: &Row, record: &Record) {
        let Some((set, limit)) = row.model else { return };
        if !record.model_sets.contains(&set) || limit != threshold(set) {
            let sets = &record.model_sets;
            self.problems.push(format!(
                "{number}: {window:?} was scored by set {set} with {limit}, the record names {sets:?}"
            ));
        }
    }

    fn late(
        &mut self,
        number: usize,
        records: &[Record],
        batches: &[RecordBatch],
    ) -> BTreeSet<i64> {
        let mut late = BTreeSet::new();
        for batch in batches {
            let partition = column(batch, "partition").as_primitive::<Int32Type>();
            let offset = column(batch, "offset").as_primitive::<Int64Type>();
            for row in of_partition(partition, number) {
                let found = offset.value(row);
                self.of_ledger(number, found, records, "late");
                if !late.insert(found) {
                    self.problems.push(format!("{number}: offset {found} is late twice"));
                }
            }
        }
        let counted = records.iter().map(|record| record.counters.late).sum::<u64>();
        if counted != late.len() as u64 {
            self.problems
                .push(format!("{number}: {counted} are counted late, {} kept", late.len()));
        }
        self.totals.late += counted;
        late
    }

    fn rejects(
        &mut self,
        number: usize,
        records: &[Record],
        batches: &[RecordBatch],
    ) -> BTreeSet<(i64, String)> {
        let mut rejects = BTreeSet::new();
        for batch in batches {
            let partition = column(batch, "partition").as_primitive::<Int32Type>();
            let offset = column(batch, "offset").as_primitive::<Int64Type>();
            let reason = texts(batch, "reason");
            for row in of_partition(partition, number) {
                let found = offset.value(row);
                self.of_ledger(number, found, records, "rejected");
                if !rejects.insert((found, reason.value(row).to_owned())) {
                    self.problems.push(format!("{number}: offset {found} is rejected twice"));
                }
            }
        }
        self.totals.rejects += rejects.len() as u64;
        rejects
    }

    /// What lies in a table was read.
    fn of_ledger(&mut self, number: usize, offset: i64, records: &[Record], what: &str) {
        let read = |r: &Record| r.positions.values().any(|s| (s.from..s.to).contains(&offset));
        if !records.iter().any(read) {
            self.problems.push(format!("{number}: {offset} is {what} and was never read"));
        }
    }

    /// All rows of a table, as a reader of the lake finds them.
    fn read(&mut self, table: Table) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        let files = self.reader.files(table).unwrap_or_else(|error| {
            self.problems.push(format!("{}: {error}", table.as_str()));
            Vec::new()
        });
        for file in files {
            let bytes = self.reader.fetch(&file).map_err(|error| error.to_string());
            let read = bytes.and_then(|b| parquet::read(b).map_err(|error| error.to_string()));
            match read {
                Ok(read) => batches.extend(read),
                Err(error) => self.problems.push(format!("{}: {error}", file.path)),
            }
        }
        batches
    }
}

/// Jumps are no trouble where retention was to be expected, nor is what dead maintenance or a stopped
/// writer has left for the next run of maintenance.
fn is_expected(scenario: &Scenario, note: &str) -> bool {
    (scenario.retention && note.contains("were deleted before"))
        || note.contains("a maintenance run is under way, or died")
        || note.contains("a stopped writer has left it")
}

/// The rows of one partition.
fn of_partition(column: &Int32Array, number: usize) -> impl Iterator<Item = usize> {
    (0..column.len()).filter(move |row| column.value(*row) == number as i32)
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> &'a StringArray {
    column(batch, name).as_string()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    batch.column_by_name(name).unwrap_or_else(|| panic!("a file has no column {name}")).as_ref()
}

impl Totals {
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.rows += other.rows;
        self.late += other.late;
        self.revisions += other.revisions;
        self.rejects += other.rejects;
        self.events += other.events;
        self.moves += other.moves;
        self.uncertain += other.uncertain;
    }
}
