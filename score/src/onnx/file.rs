//! What an ONNX file says of itself, read from its bytes without a runtime.
//!
//! Source: `onnx.proto` of ONNX, and protobuf.dev, "Encoding". Only the ends of the graph are looked at, and
//! whether all of its numbers are in the file: what it names of other files would be read from this machine.

/// Messages within messages that are followed, at most.
const MAX_DEPTH: usize = 64;

/// Inputs and outputs that a graph may have, at most.
const MAX_PORTS: usize = 256;

/// `TensorProto.DataType` of float and double.
const FLOAT: u64 = 1;
const DOUBLE: u64 = 11;

/// The ends of a model's graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Signature {
    /// The program that wrote it.
    pub producer: String,
    /// (key, value) in the file's order.
    pub metadata: Vec<(String, String)>,
    /// What has to be given; constants are left out.
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

/// The lengths, `None` where any is possible; `None` when no shape is declared.
pub(crate) type Shape = Option<Vec<Option<usize>>>;

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Port {
    pub name: String,
    pub element: Element,
    pub shape: Shape,
}

/// What a tensor is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Element {
    Float,
    Double,
    /// Another number or text.
    #[default]
    Other,
}

impl Signature {
    /// # Errors
    /// What is wrong with the bytes, or that numbers of the model lie in other files.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        check_inside(Message::Model, bytes, 0)?;
        let mut signature = Self::default();
        let mut graph = None;
        for field in Fields(bytes) {
            match field? {
                (2, Value::Bytes(name)) => signature.producer = text(name)?,
                (7, Value::Bytes(_)) if graph.is_some() => return Err("it has two graphs".into()),
                (7, Value::Bytes(inner)) => graph = Some(inner),
                (14, Value::Bytes(pair)) => signature.metadata.push(property(pair)?),
                _ => {}
            }
        }
        let graph = graph.ok_or("it has no graph: it is no ONNX model")?;
        let mut constants = Vec::new();
        for field in Fields(graph) {
            match field? {
                (5, Value::Bytes(tensor)) => constants.push(name_of(tensor, 8)?),
                (11, Value::Bytes(input)) => signature.inputs.push(port(input)?),
                (12, Value::Bytes(output)) => signature.outputs.push(port(output)?),
                _ => {}
            }
            if signature.inputs.len().max(signature.outputs.len()) > MAX_PORTS {
                return Err(format!("it has more than {MAX_PORTS} inputs or outputs"));
            }
        }
        // Files of before 2019 list constants among the inputs.
        let constants: std::collections::HashSet<String> = constants.into_iter().collect();
        signature.inputs.retain(|input| !constants.contains(&input.name));
        Ok(signature)
    }

    /// The value of a metadata property.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The messages that lead to tensors.
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

impl Message {
    /// What a field of this message is, if it leads to tensors.
    fn inner(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Function, 11) | (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// That no tensor's numbers lie in another file.
fn check_inside(message: Message, bytes: &[u8], depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("its graphs lie more than {MAX_DEPTH} messages deep"));
    }
    for field in Fields(bytes) {
        match (message, field?) {
            (Message::Tensor, (13, _) | (14, Value::Number(1..))) => {
                let name = name_of(bytes, 8)?;
                let say = "save it again with all numbers inside";
                return Err(format!("the numbers of its {name:?} lie in another file: {say}"));
            }
            (message, (field, Value::Bytes(inner))) => {
                if let Some(message) = message.inner(field) {
                    check_inside(message, inner, depth + 1)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A `ValueInfoProto`.
fn port(bytes: &[u8]) -> Result<Port, String> {
    let mut port = Port::default();
    let mut kinds = 0;
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(name)) => port.name = text(name)?,
            (2, Value::Bytes(kind)) => {
                for field in Fields(kind) {
                    match field? {
                        (1, Value::Bytes(tensor)) => {
                            (port.element, port.shape) = tensor_type(tensor)?;
                            kinds += 1;
                        }
                        // The only other field of a type that is no other type.
                        (6, _) => {}
                        _ => kinds += 2,
                    }
                }
            }
            _ => {}
        }
    }
    match kinds {
        1 => Ok(port),
        _ => Err(format!("its {:?} is no tensor", port.name)),
    }
}

/// A `TypeProto.Tensor`.
fn tensor_type(bytes: &[u8]) -> Result<(Element, Shape), String> {
    let (mut element, mut shape) = (Element::Other, None);
    for field in Fields(bytes) {
        match field? {
            (1, Value::Number(FLOAT)) => element = Element::Float,
            (1, Value::Number(DOUBLE)) => element = Element::Double,
            (1, _) => element = Element::Other,
            (2, Value::Bytes(dimensions)) => {
                let mut lengths = Vec::new();
                for field in Fields(dimensions) {
                    if let (1, Value::Bytes(dimension)) = field? {
                        lengths.push(length(dimension)?);
                    }
                }
                shape = Some(lengths);
            }
            _ => {}
        }
    }
    Ok((element, shape))
}

/// A `TensorShapeProto.Dimension`: its length when it is a number above 0.
fn length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut length = None;
    for field in Fields(bytes) {
        match field? {
            // -1 and 0 stand for any number in some files.
            (1, Value::Number(value)) => {
                length =
                    usize::try_from(value).ok().filter(|n| (1..=i64::MAX as usize).contains(n));
            }
            (2, _) => length = None,
            _ => {}
        }
    }
    Ok(length)
}

fn property(bytes: &[u8]) -> Result<(String, String), String> {
    Ok((name_of(bytes, 1)?, name_of(bytes, 2)?))
}

/// The text in a field; empty when it is not there.
fn name_of(bytes: &[u8], wanted: u64) -> Result<String, String> {
    let mut found = String::new();
    for field in Fields(bytes) {
        match field? {
            (field, Value::Bytes(name)) if field == wanted => found = text(name)?,
            _ => {}
        }
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(String::from).map_err(|_| "a name in it is no text".into())
}

/// The content of a field.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed,
}

/// The fields of a message, one after the other; nothing after an error.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| {
            let field = self.field();
            if field.is_none() {
                self.0 = &[];
            }
            field.ok_or_else(|| "it is no ONNX model, or only a part of one".to_string())
        })
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        // Field numbers begin at 1.
        (tag >> 3 > 0).then_some((tag >> 3, value))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
