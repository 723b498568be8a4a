//! numpy's arrays and numbers, from the descriptions that pickles hold of them.

use super::pickle::{Object, Pickle, Value};

/// Most dimensions that an array may have here.
const MAX_DIMENSIONS: usize = 8;

/// An array of numbers in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its length in each dimension.
    pub shape: Vec<usize>,
    /// Its numbers, converted to f64.
    pub data: Vec<f64>,
}

/// How one element is stored.
#[derive(Debug, Clone, Copy)]
struct Element {
    kind: u8,
    size: usize,
    big_endian: bool,
}

/// The array that a value describes.
///
/// # Errors
/// What is wrong, when it is no array of numbers or its bytes don't fit its shape.
pub fn array(pickle: &Pickle<'_>, value: Value) -> Result<Array, String> {
    let object = pickle.object(value).ok_or("it is no numpy array")?;
    let Raw { shape, dtype, column_major, bytes } =
        raw(pickle, object).ok_or("it is no numpy array that can be read")?;
    let element = element(pickle, dtype).ok_or("it is an array of something else than numbers")?;
    let count = count(&shape).ok_or("its shape is impossible")?;
    if Some(bytes.len()) != count.checked_mul(element.size) {
        return Err(format!("{} bytes don't fit the shape {shape:?}", bytes.len()));
    }
    let data: Vec<f64> = bytes.chunks_exact(element.size).map(|b| element.read(b)).collect();
    match (column_major, shape.as_slice()) {
        (true, [rows, columns]) => {
            let at = |i: usize| data[i % columns * rows + i / columns];
            Ok(Array { data: (0..count).map(at).collect(), shape })
        }
        (true, [_, _, _, ..]) => Err("it is column-major with more than two dimensions".into()),
        _ => Ok(Array { shape, data }),
    }
}

/// A number: a Python one, or a numpy scalar.
pub fn number(pickle: &Pickle<'_>, value: Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(value),
        Value::Int(value) => Some(value as f64),
        _ => {
            let object = pickle.object(value).filter(|o| o.class == "numpy scalar")?;
            let [dtype, bytes] = pickle.items(object.args)? else { return None };
            let (element, bytes) = (element(pickle, *dtype)?, pickle.bytes(*bytes)?);
            (bytes.len() == element.size).then(|| element.read(bytes))
        }
    }
}

/// The number of bytes of the array that joblib describes with this state.
pub(super) fn joblib_bytes(pickle: &Pickle<'_>, state: Value) -> Option<usize> {
    if pickle.entries(state) > 16 {
        return None;
    }
    let element = element(pickle, pickle.get(state, "dtype")?)?;
    count(&shape(pickle, pickle.get(state, "shape")?)?)?.checked_mul(element.size)
}

struct Raw<'a> {
    shape: Vec<usize>,
    dtype: Value,
    column_major: bool,
    bytes: &'a [u8],
}

/// The three ways in which arrays are described.
fn raw<'a>(pickle: &'a Pickle<'_>, object: &Object) -> Option<Raw<'a>> {
    match object.class {
        "numpy array" => {
            let items = pickle.items(object.state?)?;
            let [_, of, dtype, Value::Bool(column_major), bytes] = *items else { return None };
            let bytes = pickle.bytes(bytes)?;
            Some(Raw { shape: shape(pickle, of)?, dtype, column_major, bytes })
        }
        "numpy buffer" => {
            let items = pickle.items(object.args)?;
            let [bytes, dtype, of, order, ..] = *items else { return None };
            let column_major = column_major(pickle, order)?;
            let bytes = pickle.bytes(bytes)?;
            Some(Raw { shape: shape(pickle, of)?, dtype, column_major, bytes })
        }
        "joblib array" => {
            let state = object.state?;
            let dtype = pickle.get(state, "dtype")?;
            let column_major = column_major(pickle, pickle.get(state, "order")?)?;
            let shape = shape(pickle, pickle.get(state, "shape")?)?;
            Some(Raw { shape, dtype, column_major, bytes: pickle.span(object.payload?) })
        }
        _ => None,
    }
}

fn column_major(pickle: &Pickle<'_>, order: Value) -> Option<bool> {
    match pickle.text(order)? {
        "C" => Some(false),
        "F" => Some(true),
        _ => None,
    }
}

fn shape(pickle: &Pickle<'_>, value: Value) -> Option<Vec<usize>> {
    let items = pickle.items(value).filter(|items| items.len() <= MAX_DIMENSIONS)?;
    let length = |value: &Value| match value {
        Value::Int(length) => usize::try_from(*length).ok(),
        _ => None,
    };
    items.iter().map(length).collect()
}

fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length))
}

fn element(pickle: &Pickle<'_>, dtype: Value) -> Option<Element> {
    let object = pickle.object(dtype).filter(|o| o.class == "numpy.dtype")?;
    let name = pickle.text(*pickle.items(object.args)?.first()?)?;
    let (prefix, name) = match name.split_at_checked(1)? {
        (order @ ("<" | ">" | "=" | "|"), name) => (order, name),
        _ => ("<", name),
    };
    let state = object.state.and_then(|state| pickle.items(state)?.get(1).copied());
    let order = state.and_then(|order| pickle.text(order)).unwrap_or(prefix);
    let (kind, size) = match name {
        "f8" => (b'f', 8),
        "f4" => (b'f', 4),
        "i8" => (b'i', 8),
        "i4" => (b'i', 4),
        "i2" => (b'i', 2),
        "i1" => (b'i', 1),
        "u8" => (b'u', 8),
        "u4" => (b'u', 4),
        "u2" => (b'u', 2),
        "u1" | "b1" => (b'u', 1),
        _ => return None,
    };
    Some(Element { kind, size, big_endian: order == ">" })
}

impl Element {
    /// One element of exactly [`Element::size`] bytes.
    fn read(self, bytes: &[u8]) -> f64 {
        let fold = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
        let bits = match self.big_endian {
            true => bytes.iter().fold(0, fold),
            false => bytes.iter().rev().fold(0, fold),
        };
        match (self.kind, self.size) {
            (b'f', 8) => f64::from_bits(bits),
            (b'f', _) => f64::from(f32::from_bits(bits as u32)),
            (b'u', _) => bits as f64,
            (_, size) => {
                let unused = 64 - 8 * size as u32;
                (((bits << unused) as i64) >> unused) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests;
