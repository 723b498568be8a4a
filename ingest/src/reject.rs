//! Messages that could not be read: kept whole, with the reason, as files of the same commit.

use std::sync::Arc;

use arrow::array::{
    BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use tidegauge_flow::Partition;

use crate::message::Message;

/// Why a message was rejected. A closed set: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A null payload.
    Tombstone,
    /// No bytes, or white space only.
    Empty,
    /// More bytes than `message_bytes_max`.
    TooLarge,
    NotUtf8,
    /// Not the configured format: a syntax error, trailing bytes, a bare NaN.
    Malformed,
    TooDeep,
    /// JSON, but no object.
    NotAnObject,
    MissingField,
    /// A mapped field appears twice.
    DuplicateField,
    /// A mapped field has a value of another type than configured.
    WrongType,
    /// A key or time field is null.
    NullField,
    /// A key's text is longer than `key_bytes_max`.
    KeyTooLong,
    /// A time that can't be read as one.
    BadTime,
    /// A time before `earliest`.
    TooOld,
    /// A time more than `early` after the message's arrival.
    TooEarly,
    /// NaN or an infinity.
    NotFinite,
    /// A new sensor while the lane holds `sensors_max`.
    TooManySensors,
    /// The query cannot be computed on it.
    Query,
}

impl Reason {
    pub const ALL: [Self; 18] = [
        Self::Tombstone,
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::Malformed,
        Self::TooDeep,
        Self::NotAnObject,
        Self::MissingField,
        Self::DuplicateField,
        Self::WrongType,
        Self::NullField,
        Self::KeyTooLong,
        Self::BadTime,
        Self::TooOld,
        Self::TooEarly,
        Self::NotFinite,
        Self::TooManySensors,
        Self::Query,
    ];

    /// The word in files and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
            Self::NotAnObject => "not_an_object",
            Self::MissingField => "missing_field",
            Self::DuplicateField => "duplicate_field",
            Self::WrongType => "wrong_type",
            Self::NullField => "null_field",
            Self::KeyTooLong => "key_too_long",
            Self::BadTime => "bad_time",
            Self::TooOld => "too_old",
            Self::TooEarly => "too_early",
            Self::NotFinite => "not_finite",
            Self::TooManySensors => "too_many_sensors",
            Self::Query => "query",
        }
    }
}

/// One message that was not readable, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub reason: Reason,
    /// The field that was wrong, where one was.
    pub field: Option<Arc<str>>,
}

impl Reject {
    pub fn new(reason: Reason) -> Self {
        Self { reason, field: None }
    }

    pub fn field(reason: Reason, field: &Arc<str>) -> Self {
        Self { reason, field: Some(field.clone()) }
    }
}

/// The rejects of one epoch, as the columns of their file.
#[derive(Debug, Default)]
pub struct Rejects {
    input: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMillisecondBuilder,
    reason: StringBuilder,
    field: StringBuilder,
    payload: BinaryBuilder,
    len: usize,
    bytes: usize,
}

impl Rejects {
    pub fn push(&mut self, partition: &Partition, message: &Message<'_>, reject: &Reject) {
        self.input.append_value(&partition.input);
        self.partition.append_value(partition.number);
        self.offset.append_value(message.offset);
        self.timestamp.append_option(message.timestamp_ms);
        self.reason.append_value(reject.reason.as_str());
        self.field.append_option(reject.field.as_deref());
        self.payload.append_option(message.payload);
        self.len += 1;
        self.bytes += message.payload.map_or(0, <[u8]>::len);
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns of the table `rejects`.
    pub fn schema() -> SchemaRef {
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("input", DataType::Utf8, false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            Field::new("timestamp", timestamp, true),
            Field::new("reason", DataType::Utf8, false),
            Field::new("field", DataType::Utf8, true),
            Field::new("payload", DataType::Binary, true),
        ]))
    }

    /// Takes all rejects as one batch of [`Rejects::schema`]; `None` when there are none.
    pub fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.len == 0 {
            return Ok(None);
        }
        let mut taken = std::mem::take(self);
        let columns = vec![
            Arc::new(taken.input.finish()) as _,
            Arc::new(taken.partition.finish()) as _,
            Arc::new(taken.offset.finish()) as _,
            Arc::new(taken.timestamp.finish().with_timezone("UTC")) as _,
            Arc::new(taken.reason.finish()) as _,
            Arc::new(taken.field.finish()) as _,
            Arc::new(taken.payload.finish()) as _,
        ];
        RecordBatch::try_new(Self::schema(), columns).map(Some)
    }
}
