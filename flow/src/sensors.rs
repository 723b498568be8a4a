//! The lane's directory of sensors: each distinct key once, under a dense number.
//!
//! *Why*: a sensor's key is hashed once, at decode; windows, models and histories then index plain
//! vectors by the number. Numbers are given in order of first sight and never reused, so a checkpoint
//! is the keys in that order.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, Schema};
use arrow::error::ArrowError;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::key::{KeyPart, KeySchema, KeyType, KeyValue, SensorKey};

/// A sensor's dense number within one lane, from 0.
pub type SensorId = u32;

/// Interns sensor keys. See the module's documentation.
#[derive(Debug)]
pub struct Sensors {
    schema: Arc<KeySchema>,
    columns: Vec<KeyStore>,
    index: HashTable<SensorId>,
    hasher: DefaultHashBuilder,
    len: u32,
    limit: u32,
}

#[derive(Debug)]
enum KeyStore {
    Int(Vec<i64>),
    /// The texts, and the bytes of all of them.
    Str(Vec<Box<str>>, usize),
}

impl Sensors {
    /// An empty directory that will hold at most `limit` sensors.
    pub fn new(schema: Arc<KeySchema>, limit: u32) -> Self {
        let columns = schema.columns().iter().map(|c| KeyStore::new(c.kind)).collect();
        let hasher = DefaultHashBuilder::default();
        Self { schema, columns, index: HashTable::new(), hasher, len: 0, limit }
    }

    pub fn schema(&self) -> &Arc<KeySchema> {
        &self.schema
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of the sensor with this key, given one if it is new; `None` when it is new and the
    /// directory is full. Known keys cost one hash and no allocation.
    ///
    /// # Panics
    /// When the parts don't fit the schema: decoding has checked them.
    pub fn intern(&mut self, parts: &[KeyPart<'_>]) -> Option<SensorId> {
        assert_eq!(parts.len(), self.columns.len(), "key parts must match the key columns");
        let hash = self.hash(parts);
        let columns = &self.columns;
        let same = |id: &SensorId| columns.iter().zip(parts).all(|(c, p)| c.equals(*id, *p));
        if let Some(id) = self.index.find(hash, same) {
            return Some(*id);
        }
        if self.len >= self.limit {
            return None;
        }
        let id = self.len;
        for (column, part) in self.columns.iter_mut().zip(parts) {
            column.push(*part);
        }
        let (columns, hasher) = (&self.columns, &self.hasher);
        self.index.insert_unique(hash, id, |&other| {
            hash_parts(hasher, columns.iter().map(|c| c.get(other)))
        });
        self.len += 1;
        Some(id)
    }

    /// The number of a known sensor.
    pub fn find(&self, key: &SensorKey) -> Option<SensorId> {
        let parts: Vec<_> = key.0.iter().map(KeyValue::as_part).collect();
        if parts.len() != self.columns.len() {
            return None;
        }
        let same = |id: &SensorId| self.columns.iter().zip(&parts).all(|(c, p)| c.equals(*id, *p));
        self.index.find(self.hash(&parts), same).copied()
    }

    /// # Panics
    /// When `id` was not given by this directory.
    pub fn key(&self, id: SensorId) -> SensorKey {
        let value = |c: &KeyStore| match c.get(id) {
            KeyPart::Int(v) => KeyValue::Int(v),
            KeyPart::Str(v) => KeyValue::Str(v.into()),
        };
        SensorKey(self.columns.iter().map(value).collect())
    }

    /// A number that other directories give to the same key as well, and hardly ever to another.
    ///
    /// # Panics
    /// When `id` was not given by this directory.
    pub fn fingerprint(&self, id: SensorId) -> u64 {
        // Not the index's own hasher: that one has a seed of its own.
        let mut state = std::hash::DefaultHasher::new();
        self.columns.iter().for_each(|column| column.get(id).hash(&mut state));
        state.finish()
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        // Entry, control byte, and the table is at most 7/8 full.
        let index = self.index.capacity() * 5 * 8 / 7;
        index + self.columns.iter().map(KeyStore::memory_bytes).sum::<usize>()
    }

    /// Bytes that may be held more after so many new sensors, about: tables double when they are full.
    pub fn growth_bytes(&self, sensors: usize) -> usize {
        let len = self.len as usize;
        let doubles = (len + sensors).next_power_of_two() > len.next_power_of_two();
        if doubles { self.memory_bytes() } else { 0 }
    }

    /// The key columns of the given sensors, one Arrow array per key column, `ids.len()` rows each.
    pub fn columns(&self, ids: &[SensorId]) -> Vec<ArrayRef> {
        self.columns.iter().map(|c| c.take(ids)).collect()
    }

    /// One key column of the given sensors.
    pub fn column(&self, column: usize, ids: &[SensorId]) -> ArrayRef {
        self.columns[column].take(ids)
    }

    /// All keys, row i being sensor i: what a checkpoint keeps.
    pub fn to_batch(&self) -> Result<RecordBatch, ArrowError> {
        let ids: Vec<SensorId> = (0..self.len).collect();
        RecordBatch::try_new(Arc::new(Schema::new(self.schema.fields())), self.columns(&ids))
    }

    /// The directory that [`Sensors::to_batch`] was taken from, numbers included.
    ///
    /// # Errors
    /// When the batch has other columns than `schema`, holds a key twice or more than `limit` keys.
    pub fn from_batch(
        schema: Arc<KeySchema>,
        limit: u32,
        batch: &RecordBatch,
    ) -> Result<Self, ArrowError> {
        let refuse = |what: String| Err(ArrowError::SchemaError(what));
        if batch.schema().fields().iter().map(|f| f.as_ref().clone()).ne(schema.fields()) {
            return refuse(format!("sensor keys have the columns {:?}", batch.schema().fields()));
        }
        let mut sensors = Self::new(schema, limit);
        for row in 0..batch.num_rows() {
            let parts: Vec<KeyPart<'_>> = batch.columns().iter().map(|c| part_at(c, row)).collect();
            if sensors.intern(&parts) != Some(row as SensorId) {
                return refuse(format!("sensor {row} is a duplicate or over the limit of {limit}"));
            }
        }
        Ok(sensors)
    }

    fn hash(&self, parts: &[KeyPart<'_>]) -> u64 {
        hash_parts(&self.hasher, parts.iter().copied())
    }
}

fn hash_parts<'a>(hasher: &DefaultHashBuilder, parts: impl Iterator<Item = KeyPart<'a>>) -> u64 {
    let mut state = hasher.build_hasher();
    for part in parts {
        match part {
            KeyPart::Int(value) => state.write_i64(value),
            KeyPart::Str(value) => {
                state.write(value.as_bytes());
                state.write_u8(0xff);
            }
        }
    }
    state.finish()
}

/// One key value of a key column that has the type of its schema.
fn part_at(column: &ArrayRef, row: usize) -> KeyPart<'_> {
    match column.as_primitive_opt::<Int64Type>() {
        Some(ints) => KeyPart::Int(ints.value(row)),
        None => KeyPart::Str(column.as_string::<i32>().value(row)),
    }
}

impl KeyStore {
    fn new(kind: KeyType) -> Self {
        match kind {
            KeyType::Int64 => Self::Int(Vec::new()),
            KeyType::String => Self::Str(Vec::new(), 0),
        }
    }

    fn get(&self, id: SensorId) -> KeyPart<'_> {
        match self {
            Self::Int(values) => KeyPart::Int(values[id as usize]),
            Self::Str(values, _) => KeyPart::Str(&values[id as usize]),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Int(values) => values.capacity() * size_of::<i64>(),
            Self::Str(values, bytes) => values.capacity() * size_of::<Box<str>>() + bytes,
        }
    }

    fn equals(&self, id: SensorId, part: KeyPart<'_>) -> bool {
        self.get(id) == part
    }

    fn push(&mut self, part: KeyPart<'_>) {
        match (self, part) {
            (Self::Int(values), KeyPart::Int(value)) => values.push(value),
            (Self::Str(values, bytes), KeyPart::Str(value)) => {
                // A small allocation takes 16 bytes more than it holds, about.
                *bytes += value.len() + 16;
                values.push(value.into());
            }
            (_, part) => panic!("the key part {part:?} has another type than its column"),
        }
    }

    fn take(&self, ids: &[SensorId]) -> ArrayRef {
        match self {
            Self::Int(v) => Arc::new(ids.iter().map(|&i| v[i as usize]).collect::<Int64Array>()),
            Self::Str(v, _) => {
                Arc::new(StringArray::from_iter_values(ids.iter().map(|&i| v[i as usize].as_ref())))
            }
        }
    }
}

#[cfg(test)]
mod tests;
