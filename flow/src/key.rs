//! What names a sensor: one or several typed key columns.

use std::fmt;

use arrow::datatypes::{DataType, Field};

/// The type of one key column, as declared in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    Int64,
    String,
}

impl KeyType {
    /// The word that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int64 => "int64",
            Self::String => "string",
        }
    }

    pub fn data_type(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::String => DataType::Utf8,
        }
    }
}

/// One key column: its name in events, queries and files, and its type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyColumn {
    pub name: String,
    pub kind: KeyType,
}

/// The key columns in their declared order; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySchema {
    columns: Vec<KeyColumn>,
}

impl KeySchema {
    /// # Panics
    /// When `columns` is empty: the configuration refuses that before it comes here.
    pub fn new(columns: Vec<KeyColumn>) -> Self {
        assert!(!columns.is_empty(), "a sensor needs at least one key column");
        Self { columns }
    }

    pub fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// The Arrow fields of the key columns, not nullable.
    pub fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|c| Field::new(&c.name, c.kind.data_type(), false)).collect()
    }
}

/// One key value that borrows from the message it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPart<'a> {
    Int(i64),
    Str(&'a str),
}

/// One key value that owns its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyValue {
    Int(i64),
    Str(Box<str>),
}

impl KeyValue {
    pub fn kind(&self) -> KeyType {
        match self {
            Self::Int(_) => KeyType::Int64,
            Self::Str(_) => KeyType::String,
        }
    }

    pub fn as_part(&self) -> KeyPart<'_> {
        match self {
            Self::Int(value) => KeyPart::Int(*value),
            Self::Str(value) => KeyPart::Str(value),
        }
    }

    /// Reads a text as a value of `kind`; `None` when it is no such value.
    pub fn parse(text: &str, kind: KeyType) -> Option<Self> {
        match kind {
            KeyType::Int64 => text.parse().ok().map(Self::Int),
            KeyType::String => Some(Self::Str(text.into())),
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Str(value) => f.write_str(value),
        }
    }
}

/// All key values of one sensor, in the order of the [`KeySchema`]. Shown as `1/4`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorKey(pub Box<[KeyValue]>);

impl fmt::Display for SensorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            write!(f, "{value}")?;
        }
        Ok(())
    }
}
