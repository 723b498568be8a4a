//! What a lake belongs to: one query with one key. A pipeline that differs is refused.

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType};

use crate::digest::Digest;

/// What a pipeline says of itself when it opens a lake.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The query's text.
    pub query: String,
    /// The columns that every file of predictions has (it may have more).
    pub schema: SchemaRef,
    /// The key columns.
    pub key: KeySchema,
    /// How lanes follow from partitions.
    pub lanes: LaneMode,
    /// The column of the event time.
    pub time: String,
    /// The columns of the readings' values.
    pub values: Vec<String>,
    /// Whether each aggregated reading is in exactly one window row: true for `tumble` without
    /// revisions. `verify` then checks that the rows' `n_readings` add up.
    pub counted_once: bool,
}

/// How lanes follow from partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneMode {
    /// A lane is one partition.
    PerPartition,
    /// One lane holds all partitions.
    Topic,
}

impl LaneMode {
    /// The word that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerPartition => "per-partition",
            Self::Topic => "topic",
        }
    }
}

/// A column's name and type, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type: `int64`, `uint64`, `float64`, `bool`, `string`, `timestamp_us`, or as Arrow shows
    /// it.
    pub kind: String,
}

/// The life of one query and key in a lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// From 1; in every record and file name.
    pub number: u64,
    /// The query's text, line ends as `\n`, without blanks around it.
    pub query: String,
    /// The digest of `query`.
    pub query_sha256: Digest,
    /// The columns that every file of predictions has.
    pub columns: Vec<Column>,
    /// The key columns in their order; kinds are `int64` and `string`.
    pub key: Vec<Column>,
    /// How lanes follow from partitions.
    pub lanes: LaneMode,
    /// The column of the event time.
    pub time: String,
    /// The columns of the readings' values.
    pub values: Vec<String>,
    /// Whether each aggregated reading is in exactly one window row.
    pub counted_once: bool,
    /// Microseconds since 1970.
    pub created_at_us: i64,
}

impl Generation {
    pub(crate) fn new(number: u64, identity: &Identity, created_at_us: i64) -> Self {
        let query = identity.query.replace("\r\n", "\n").trim().to_owned();
        let column = |name: &String, kind: String| Column { name: name.clone(), kind };
        let key = identity.key.columns().iter();
        let columns = identity.schema.fields().iter();
        Self {
            number,
            query_sha256: Digest::of(query.as_bytes()),
            query,
            columns: columns.map(|f| column(f.name(), type_text(f.data_type()))).collect(),
            key: key.map(|c| column(&c.name, c.kind.as_str().to_owned())).collect(),
            lanes: identity.lanes,
            time: identity.time.clone(),
            values: identity.values.clone(),
            counted_once: identity.counted_once,
            created_at_us,
        }
    }

    /// The key columns with their types.
    ///
    /// # Panics
    /// When there are none, which no lake was founded with.
    pub fn key_schema(&self) -> KeySchema {
        let column = |c: &Column| KeyColumn {
            name: c.name.clone(),
            kind: if c.kind == "int64" { KeyType::Int64 } else { KeyType::String },
        };
        KeySchema::new(self.key.iter().map(column).collect())
    }

    /// What differs in `new`, as `name: old -> new`; number and age do not count.
    pub(crate) fn differences(&self, new: &Self) -> Vec<String> {
        let (columns, of_new) = differing(&self.columns, &new.columns);
        let pairs = [
            ("query", self.query.clone(), new.query.clone()),
            ("columns", columns, of_new),
            ("key", columns_text(&self.key), columns_text(&new.key)),
            ("lanes", self.lanes.as_str().to_owned(), new.lanes.as_str().to_owned()),
            ("time", self.time.clone(), new.time.clone()),
            ("values", self.values.join(", "), new.values.join(", ")),
            ("each reading in one row", yes_no(self.counted_once), yes_no(new.counted_once)),
        ];
        let differs = pairs.into_iter().filter(|(_, old, new)| old != new);
        differs.map(|(name, old, new)| format!("{name}: {old} -> {new}")).collect()
    }
}

/// The type of a key column in files.
pub(crate) fn key_type(column: &Column) -> DataType {
    if column.kind == "int64" { DataType::Int64 } else { DataType::Utf8 }
}

/// A type's name that does not change with the version of Arrow, for the types that we write.
pub(crate) fn type_text(kind: &DataType) -> String {
    match kind {
        DataType::Int64 => "int64".to_owned(),
        DataType::UInt32 => "uint32".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            "timestamp_us".to_owned()
        }
        other => other.to_string(),
    }
}

fn columns_text(columns: &[Column]) -> String {
    let texts: Vec<_> = columns.iter().map(|c| format!("{} {}", c.name, c.kind)).collect();
    texts.join(", ")
}

/// The columns of each list that the other one does not have; of lists in another order, all.
fn differing(old: &[Column], new: &[Column]) -> (String, String) {
    let without = |all: &[Column], others: &[Column]| -> Vec<Column> {
        all.iter().filter(|column| !others.contains(column)).cloned().collect()
    };
    let (gone, added) = (without(old, new), without(new, old));
    if gone.is_empty() && added.is_empty() {
        return (columns_text(old), columns_text(new));
    }
    let text = |columns: &[Column]| match columns.is_empty() {
        true => "none".to_owned(),
        false => columns_text(columns),
    };
    (text(&gone), text(&added))
}

fn yes_no(value: bool) -> String {
    if value { "yes".to_owned() } else { "no".to_owned() }
}
