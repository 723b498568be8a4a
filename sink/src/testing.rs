//! For tests: a store that fails on demand, failpoints, and a small pipeline over both.

pub(crate) mod plant;
pub(crate) mod proxy;
pub(crate) mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tidegauge_flow::{
    Entry, Failpoint, Interrupted, KeyColumn, KeySchema, KeyType, NoFailpoint, Partition, Place,
    Span, Store, StoreError, names,
};

use crate::{Counters, Cut, Identity, Lake, LakeError, Lane, LaneMode, Table, Writer, parquet};

/// The objects under a prefix.
pub(crate) fn paths(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).expect("it is listed").into_iter().map(|entry| entry.path).collect()
}

/// How a call of the [`MemoryStore`] fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happened, and the process is dead until [`MemoryStore::restart`].
    DieBefore,
    /// It happened, and the process is dead until [`MemoryStore::restart`].
    DieAfter,
    /// It happened, the answer is lost, and all goes on.
    LoseAnswer,
    /// It did not happen, the answer is lost, and all goes on.
    LoseRequest,
}

/// A store in memory whose n-th call fails. What a call has done is durable.
#[derive(Default)]
pub(crate) struct MemoryStore {
    memory: Mutex<Memory>,
    /// Files are written under their final names, as on an object store.
    flat: bool,
}

#[derive(Default)]
struct Memory {
    objects: BTreeMap<String, Vec<u8>>,
    calls: u64,
    /// The number of the call that fails, and how.
    fault: Option<(u64, Fault)>,
    /// Only calls with this name count, if one is given.
    only: Option<&'static str>,
    dead: bool,
    listed: Vec<String>,
}

impl MemoryStore {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A store that cannot rename, as object stores are.
    pub fn flat() -> Arc<Self> {
        Arc::new(Self { flat: true, ..Self::default() })
    }

    /// One store that renames and one that does not.
    pub fn kinds() -> [Arc<Self>; 2] {
        [Self::new(), Self::flat()]
    }

    /// The n-th call from now on fails, counting from 1; all of them, or those of one name.
    pub fn fail_at(&self, n: u64, fault: Fault, only: Option<&'static str>) {
        let mut memory = self.memory();
        (memory.calls, memory.fault, memory.only) = (0, Some((n, fault)), only);
    }

    /// The fault comes no more.
    pub fn disarm(&self) {
        self.memory().fault = None;
    }

    /// Whether the fault has not come yet.
    pub fn is_armed(&self) -> bool {
        self.memory().fault.is_some()
    }

    pub fn restart(&self) {
        self.memory().dead = false;
    }

    pub fn paths(&self, prefix: &str) -> Vec<String> {
        let memory = self.memory();
        memory.objects.keys().filter(|path| path.starts_with(prefix)).cloned().collect()
    }

    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.memory().objects.get_mut(path).expect("the object is there"));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folders that were listed since the last call of this.
    pub fn listed(&self) -> Vec<String> {
        std::mem::take(&mut self.memory().listed)
    }

    fn call<T>(
        &self,
        name: &'static str,
        path: &str,
        act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut memory = self.memory();
        let path = path.to_owned();
        let failed = |action| {
            let source = io::Error::other("injected");
            Err(StoreError::Failed { action, path: path.clone(), source })
        };
        if memory.dead {
            return failed(name);
        }
        memory.calls += u64::from(memory.only.is_none_or(|only| only == name));
        let fault = match memory.fault {
            Some((n, fault)) if n == memory.calls => fault,
            _ => return act(&mut memory.objects),
        };
        memory.fault = None;
        memory.dead = matches!(fault, Fault::DieBefore | Fault::DieAfter);
        if matches!(fault, Fault::DieAfter | Fault::LoseAnswer) {
            act(&mut memory.objects)?;
        }
        let source = io::Error::new(io::ErrorKind::TimedOut, "injected");
        if memory.dead { failed(name) } else { Err(StoreError::Ambiguous { path, source }) }
    }
}

impl Store for MemoryStore {
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::NotFound { path: path.to_owned() };
        self.call("get", path, |objects| objects.get(path).cloned().ok_or_else(missing))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.call("size", path, |objects| Ok(objects.get(path).map(|bytes| bytes.len() as u64)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.memory().listed.push(prefix.to_owned());
        self.call("list", prefix, |objects| {
            let below = objects.iter().filter(|(path, _)| path.starts_with(prefix));
            let entry = |(path, bytes): (&String, &Vec<u8>)| Entry {
                path: path.clone(),
                size: bytes.len() as u64,
            };
            Ok(below.map(entry).collect())
        })
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.call("put", path, |objects| {
            objects.insert(path.to_owned(), bytes.to_vec());
            Ok(())
        })
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.call("put_if_absent", path, |objects| {
            if objects.contains_key(path) {
                return Err(StoreError::Exists { path: path.to_owned() });
            }
            objects.insert(path.to_owned(), bytes.to_vec());
            Ok(())
        })
    }

    fn renames(&self) -> bool {
        !self.flat
    }

    fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        assert!(!self.flat, "nothing is published in a store that cannot rename");
        self.call("publish", from, |objects| match objects.remove(from) {
            Some(bytes) => {
                objects.insert(to.to_owned(), bytes);
                Ok(())
            }
            None if objects.contains_key(to) => Ok(()),
            None => Err(StoreError::NotFound { path: from.to_owned() }),
        })
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.call("delete", path, |objects| {
            objects.remove(path);
            Ok(())
        })
    }

    fn url(&self) -> String {
        "memory".to_owned()
    }
}

/// Fires once, at the n-th time that a place is reached, counting from 1.
pub(crate) struct StopAt(Mutex<Option<(Place, u32)>>);

impl StopAt {
    pub fn new(place: Place, nth: u32) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some((place, nth)))))
    }

    pub fn arm(&self, place: Place, nth: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((place, nth));
    }

    pub fn is_armed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Failpoint for StopAt {
    fn reach(&self, place: Place) -> Result<(), Interrupted> {
        let mut armed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match armed.as_mut() {
            Some((at, 1)) if *at == place => {
                *armed = None;
                Err(Interrupted(place))
            }
            Some((at, left)) if *at == place => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

pub(crate) const LANE: &str = "sensors-a-0";
/// Offsets of one step of the sample pipeline, and where its input ends.
pub(crate) const STEP: i64 = 10;
pub(crate) const END: i64 = 4 * STEP;
/// 2026-01-31T23:59:53Z: the second step crosses midnight.
const FIRST_END_US: i64 = 1_769_903_993_000_000;
pub(crate) const NOW_US: i64 = 1_769_904_100_000_000;

pub(crate) fn writer(seed: u64) -> Writer {
    Writer::random(&mut StdRng::seed_from_u64(seed))
}

pub(crate) fn partition() -> Partition {
    Partition::new("sensors-a", 0)
}

pub(crate) fn identity() -> Identity {
    let column = |name: &str| KeyColumn { name: name.to_owned(), kind: KeyType::Int64 };
    Identity {
        query: "SELECT 1".to_owned(),
        schema: schema(),
        key: KeySchema::new(vec![column("Device")]),
        lanes: LaneMode::PerPartition,
        time: "TS".to_owned(),
        values: vec!["Value".to_owned()],
        counted_once: true,
    }
}

pub(crate) fn open<S: Store + 'static>(store: &Arc<S>) -> Lake {
    open_with(store, Arc::new(NoFailpoint)).expect("the lake opens")
}

pub(crate) fn open_with<S: Store + 'static>(
    store: &Arc<S>,
    failpoint: Arc<dyn Failpoint>,
) -> Result<Lake, LakeError> {
    Lake::open(Arc::<S>::clone(store), failpoint, &identity(), NOW_US)
}

fn schema() -> SchemaRef {
    let end = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("Device", DataType::Int64, false),
        Field::new(names::WINDOW_END, end, false),
        Field::new(names::REVISION, DataType::Int64, false),
        Field::new(names::N_READINGS, DataType::UInt64, false),
    ]))
}

/// Predictions with revision 0.
pub(crate) fn predictions(rows: &[(i64, i64, u64)]) -> RecordBatch {
    let ends: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(TimestampMicrosecondArray::from(ends).with_timezone("UTC")),
        Arc::new(rows.iter().map(|_| 0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<UInt64Array>()),
    ];
    RecordBatch::try_new(schema(), columns).expect("the columns fit")
}

fn offsets(offset: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![offset]));
    RecordBatch::try_from_iter([("offset", column)]).expect("one column")
}

/// Readings left open after a number of steps.
fn open_after(steps: i64) -> u64 {
    (steps % 4) as u64
}

/// What the sample pipeline commits for `steps` steps from offset `from`. The rows depend on the
/// offsets alone, not on how they are cut into epochs.
pub(crate) fn cut(from: i64, steps: i64) -> Cut {
    let (mut rows, mut late, mut rejects) = (Vec::new(), Vec::new(), Vec::new());
    let mut counters = Counters::default();
    for step in from / STEP..from / STEP + steps {
        let emitted = open_after(step) + 7 - open_after(step + 1);
        let end = FIRST_END_US + step * 5_000_000;
        rows.push(predictions(&[(1, end, emitted / 2), (2, end + 5_000_000, emitted.div_ceil(2))]));
        late.push(offsets(step * STEP + 1));
        rejects.push(offsets(step * STEP + 2));
        counters.rows += 2;
        counters.n_readings += emitted;
        counters.open = open_after(step + 1);
    }
    let n = steps as u64;
    let to = from + steps * STEP;
    Cut {
        spans: vec![(partition(), Span { from, to })],
        watermark_ns: Some(to),
        tables: vec![(Table::Predictions, rows), (Table::Late, late), (Table::Rejects, rejects)],
        checkpoint: Some(format!("state at {to}").into_bytes()),
        model_sets: vec![1],
        counters: Counters {
            messages: 10 * n,
            readable: 9 * n,
            rejected: n,
            aggregated: 7 * n,
            late: n,
            late_closed: n,
            filtered: n,
            ..counters
        },
        ..Cut::default()
    }
}

/// Where the lane stands; its checkpoint must be the one of that place.
pub(crate) fn next_offset(lane: &Lane) -> i64 {
    let next = lane.positions().get(&partition()).copied().unwrap_or(0);
    let state = lane.checkpoint().expect("the checkpoint is whole");
    let state = state.map(|bytes| String::from_utf8(bytes).expect("it is text"));
    let expected = (next > 0).then(|| format!("state at {next}"));
    assert_eq!(state, expected, "the checkpoint must fit the position");
    assert_eq!(lane.watermark_ns(), (next > 0).then_some(next));
    next
}

/// One life of the process: takes the lane and commits to the end of the input.
pub(crate) fn live(lake: &Lake, writer: Writer, steps: i64) -> Result<(), LakeError> {
    let mut lane = lake.take(LANE, writer, NOW_US)?;
    loop {
        let from = lane.positions().get(&partition()).copied().unwrap_or(0);
        let left = (END - from) / STEP;
        if left == 0 {
            return Ok(());
        }
        lane.commit(cut(from, steps.min(left)), NOW_US)?;
    }
}

/// All rows of the published files of a table, as text.
pub(crate) fn rows(store: &dyn Store, table: Table) -> Vec<String> {
    let mut rows = Vec::new();
    for path in paths(store, table.folder()) {
        let bytes = store.get(&path).expect("the file is there");
        for batch in parquet::read(bytes).expect("the file is whole") {
            rows.extend((0..batch.num_rows()).map(|row| format!("{:?}", batch.slice(row, 1))));
        }
    }
    rows.sort();
    rows
}

/// The rows of each table after a run that nothing disturbs.
fn undisturbed() -> &'static [Vec<String>; 4] {
    static ROWS: OnceLock<[Vec<String>; 4]> = OnceLock::new();
    ROWS.get_or_init(|| {
        let store = MemoryStore::new();
        live(&open(&store), writer(0), 1).expect("nothing disturbs it");
        Table::ALL.map(|table| rows(store.as_ref(), table))
    })
}

/// The lake must be proven and hold exactly the rows of an undisturbed run, published.
pub(crate) fn assert_whole(store: &dyn Store, context: &str) {
    let report = crate::verify(store, &|_, _| ()).expect("the lake can be read");
    assert_eq!(report.problems, [], "{context}");
    assert_eq!(report.notes, [], "{context}");
    assert_eq!(report.rows, 8, "{context}");
    assert_eq!(report.readings, 36, "{context}");
    let mut staged = paths(store, "_tidegauge/staging/");
    staged.retain(|path| crate::paths::intent_of(path).is_none());
    assert_eq!(staged, [""; 0], "{context}");
    assert!(paths(store, "_tidegauge/state/").len() <= 2, "{context}");
    for (table, undisturbed) in Table::ALL.into_iter().zip(undisturbed()) {
        assert_eq!(&rows(store, table), undisturbed, "{context}");
    }
    let epochs: BTreeSet<_> = paths(store, crate::paths::LEDGER).into_iter().collect();
    assert_eq!(epochs.len() as u64, report.records, "{context}");
}

/// Writes a record anew, with a digest that fits: only its content can give it away.
pub(crate) fn rewrite(
    store: &MemoryStore,
    epoch: u64,
    change: impl FnOnce(&mut crate::Record),
) -> String {
    let path = crate::paths::record_path(LANE, epoch);
    store.edit(&path, |bytes| {
        let mut record = crate::format::record::decode(&path, bytes).expect("it is whole").value;
        change(&mut record);
        *bytes = crate::format::record::encode(&record);
    });
    path
}
