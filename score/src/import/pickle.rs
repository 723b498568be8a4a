//! Reading Python pickles without Python: a machine that builds inert values and runs nothing.
//!
//! *Why our own*: a pickle is a program. This reader knows the opcodes of protocols 0 to 5, but a
//! name that the program wants to import must be on a short list (`names`), and even then nothing
//! is called: an object is its class's name, its arguments and its state. What it means is for the
//! reader of the values to say.
//!
//! # Guarantees
//! Work and memory are bounded by the input's length and by [`MAX_VALUES`]; values live in an
//! arena, so neither depth nor cycles recurse; no input panics.

mod machine;
mod names;
mod text;

use thiserror::Error;

/// Most bytes that a pickle may have.
pub const MAX_BYTES: usize = 64 << 20;

/// Most values that a pickle may make.
pub const MAX_VALUES: usize = 1 << 22;

/// Why a pickle was not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PickleError {
    /// It imports something that a model has no use for.
    #[error(
        "it wants to import {0}, which is refused: only scikit-learn scalers and one-class SVMs"
    )]
    Import(String),
    /// It calls something that it may only name.
    #[error("it wants to call {0}, which is refused")]
    Call(String),
    /// It is cut off.
    #[error("it ends in the middle, at byte {0}")]
    Truncated(usize),
    /// It is not a pickle, or one that uses what this reader doesn't know.
    #[error("byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: String,
    },
    /// It is over a limit.
    #[error("it has more than {limit} {what}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
}

/// An inert value; the arena that it points into is a [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// An integer that is larger: no model needs its value.
    BigInt,
    /// A float.
    Float(f64),
    /// Bytes; also the texts of Python 2, which didn't know the difference.
    Bytes(Span),
    /// A text.
    Str(Span),
    /// A tuple.
    Tuple(usize),
    /// A list.
    List(usize),
    /// A dictionary.
    Dict(usize),
    /// A class or function that was named.
    Global(&'static str),
    /// An instance.
    Object(usize),
}

/// Where bytes stand: in the pickle itself or among those that were decoded from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    decoded: bool,
    start: usize,
    end: usize,
}

/// An instance: what was called, with which arguments, and the state that was then set.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The full name of the class or function.
    pub class: &'static str,
    /// The arguments, a tuple.
    pub args: Value,
    /// The state, if one was set.
    pub state: Option<Value>,
    /// Raw bytes that joblib writes behind an array's description.
    pub payload: Option<Span>,
}

/// A pickle that was read to its end.
#[derive(Debug, Clone)]
pub struct Pickle<'a> {
    input: &'a [u8],
    decoded: Vec<u8>,
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    objects: Vec<Object>,
    root: Value,
}

impl<'a> Pickle<'a> {
    /// # Errors
    /// When the bytes are no whole pickle, go over a limit, or name something that is refused.
    pub fn read(input: &'a [u8]) -> Result<Self, PickleError> {
        if input.len() > MAX_BYTES {
            return Err(PickleError::TooLarge { limit: MAX_BYTES, what: "bytes" });
        }
        machine::run(input)
    }

    /// The value that the pickle is.
    pub fn root(&self) -> Value {
        self.root
    }

    /// The instance, if the value is one.
    pub fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.objects.get(id),
            _ => None,
        }
    }

    /// The items, if the value is a list or a tuple.
    pub fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(id) | Value::Tuple(id) => self.sequences.get(id).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The value of a text key, if the value is a dictionary that has it; the last one counts.
    pub fn get(&self, dict: Value, key: &str) -> Option<Value> {
        let Value::Dict(id) = dict else { return None };
        let is_key = |k: &Value| match k {
            Value::Str(span) | Value::Bytes(span) => self.span(*span) == key.as_bytes(),
            _ => false,
        };
        let pairs = self.dicts.get(id)?;
        pairs.iter().rev().find(|(k, _)| is_key(k)).map(|(_, value)| *value)
    }

    /// How many entries a dictionary has; 0 for everything else.
    pub fn entries(&self, dict: Value) -> usize {
        match dict {
            Value::Dict(id) => self.dicts.get(id).map_or(0, Vec::len),
            _ => 0,
        }
    }

    /// The text, if the value is one.
    pub fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Str(span) | Value::Bytes(span) => std::str::from_utf8(self.span(span)).ok(),
            _ => None,
        }
    }

    /// The bytes, if the value is bytes.
    pub fn bytes(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Bytes(span) => Some(self.span(span)),
            _ => None,
        }
    }

    /// The bytes of a span of this pickle.
    pub fn span(&self, span: Span) -> &[u8] {
        let from = if span.decoded { &self.decoded } else { self.input };
        from.get(span.start..span.end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
