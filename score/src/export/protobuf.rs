//! Writing protocol buffers: fields one behind the other. Source: protobuf.dev, "Encoding".

/// A message that grows field by field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A number, as a varint: 7 bits a byte, the lowest first.
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value as u64);
        self
    }

    /// Bytes behind their length.
    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text.
    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// A message within this one.
    pub fn message(self, field: u32, inner: Message) -> Self {
        self.bytes(field, &inner.0)
    }

    /// One message after the other, in the same field.
    pub fn each(self, field: u32, inner: impl IntoIterator<Item = Message>) -> Self {
        inner.into_iter().fold(self, |outer, inner| outer.message(field, inner))
    }

    /// All of it.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
