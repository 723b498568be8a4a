//! One undecoded message, borrowed from whoever fetched it.

/// What a source hands to the decoder. Its partition is known from the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Kafka's offset, or the byte at which the record begins in its file.
    pub offset: i64,
    /// When the broker or producer says that it arrived, milliseconds since the epoch; `None` for files
    /// and for brokers that don't say.
    pub timestamp_ms: Option<i64>,
    /// `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
}
