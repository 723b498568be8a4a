//! The stack machine: one opcode at a time, none of which does anything but make values.
//!
//! Source of the opcodes: the module `pickletools` of CPython, which documents each of them.

mod bytes;

use std::collections::HashMap;

use super::names::{self, Call, JOBLIB_ARRAY};
use super::{MAX_VALUES, Object, Pickle, PickleError, Span, Value};

pub(super) fn run(input: &[u8]) -> Result<Pickle<'_>, PickleError> {
    let pickle = Pickle {
        input,
        decoded: Vec::new(),
        sequences: Vec::new(),
        dicts: Vec::new(),
        objects: Vec::new(),
        root: Value::None,
    };
    let mut machine = Machine {
        pickle,
        at: 0,
        opcode_at: 0,
        made: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    while !machine.step()? {}
    Ok(machine.pickle)
}

struct Machine<'a> {
    pickle: Pickle<'a>,
    at: usize,
    opcode_at: usize,
    /// Values put on the stack so far.
    made: usize,
    stack: Vec<Value>,
    /// Lengths of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
}

type Step = Result<(), PickleError>;

impl Machine<'_> {
    /// One opcode; true when it was STOP.
    fn step(&mut self) -> Result<bool, PickleError> {
        self.opcode_at = self.at;
        let opcode = self.byte()?;
        match opcode {
            b'.' => {
                self.pickle.root = self.pop()?;
                return Ok(true);
            }
            // PROTO
            0x80 => {
                let version = self.byte()?;
                if version > 5 {
                    return Err(self.malformed(format!("protocol {version} is newer than 5")));
                }
            }
            // FRAME: a hint for readers of slow files.
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.floor() < self.stack.len() {
                    self.stack.pop();
                } else if self.marks.pop().is_none() {
                    return Err(self.malformed("a POP of an empty stack"));
                }
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            _ => self.make(opcode)?,
        }
        Ok(false)
    }

    /// Opcodes for plain values, then those for everything else.
    fn make(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' | b'L' => self.integer_line()?,
            b'J' => Value::Int(i64::from(self.int32()?)),
            b'K' => Value::Int(self.unsigned(1)? as i64),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'F' => self.float_line()?,
            b'G' => {
                let bits = self.take(8)?.iter().fold(0, |bits, b| bits << 8 | u64::from(*b));
                Value::Float(f64::from_bits(bits))
            }
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            0x8c => self.unicode(1)?,
            b'X' => self.unicode(4)?,
            0x8d => self.unicode(8)?,
            // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8, SHORT_BINSTRING, BINSTRING
            b'C' | b'U' => Value::Bytes(self.counted(1)?),
            b'B' | b'T' => Value::Bytes(self.counted(4)?),
            0x8e | 0x96 => Value::Bytes(self.counted(8)?),
            b'V' => self.unicode_line()?,
            b'S' => self.string_line()?,
            b')' => self.tuple(Vec::new()),
            b']' => self.list(Vec::new()),
            b'}' => self.dict(Vec::new()),
            _ => return self.combine(opcode),
        };
        self.push(value)
    }

    /// Opcodes that take values from the stack.
    fn combine(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.tuple(items)
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.list(items)
            }
            b'd' => {
                let pairs = self.pop_to_mark()?;
                let pairs = self.pairs(pairs)?;
                self.dict(pairs)
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |value| self.pickle.text(value).map(String::from);
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err(self.malformed("STACK_GLOBAL of something that is no text"));
                };
                self.global(&module, &name)?
            }
            b'R' | 0x81 => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.instance(opcode, callable, args)?
            }
            0x92 => {
                let (_keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.instance(0x81, class, args)?
            }
            _ => return self.change(opcode),
        };
        self.push(value)
    }

    /// Opcodes that change a value under the top, and the memo.
    fn change(&mut self, opcode: u8) -> Step {
        match opcode {
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(items)
            }
            b'b' => self.build(),
            b'p' | b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'p' => self.memo_line()?,
                    b'q' => self.unsigned(1)?,
                    b'r' => self.unsigned(4)?,
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(key, top);
                Ok(())
            }
            b'g' | b'h' | b'j' => {
                let key = match opcode {
                    b'g' => self.memo_line()?,
                    b'h' => self.unsigned(1)?,
                    _ => self.unsigned(4)?,
                };
                match self.memo.get(&key) {
                    Some(value) => self.push(*value),
                    None => Err(self.malformed(format!("the memo has no {key}"))),
                }
            }
            // The rest: EXT*, PERSID, BINPERSID, INST, OBJ, sets, out-of-band buffers.
            _ => Err(self.malformed(format!("opcode 0x{opcode:02x} is not one that models use"))),
        }
    }

    fn global(&self, module: &str, name: &str) -> Result<Value, PickleError> {
        let full = names::allowed(module, name);
        full.map(Value::Global).ok_or_else(|| PickleError::Import(format!("{module}.{name}")))
    }

    /// REDUCE (`R`) and NEWOBJ (0x81).
    fn instance(&mut self, opcode: u8, callable: Value, args: Value) -> Result<Value, PickleError> {
        let Value::Global(class) = callable else {
            return Err(self.malformed("a call of something that is no name"));
        };
        let Value::Tuple(id) = args else {
            return Err(self.malformed(format!("{class} is called without a tuple")));
        };
        let first = self.pickle.sequences[id].first().copied();
        match (names::call(class), opcode, first) {
            (Call::Class, 0x81, _) | (Call::Object, _, _) => Ok(self.object(class, args)),
            (Call::Reconstruct, b'R', Some(Value::Global(class)))
                if names::call(class) == Call::Class =>
            {
                Ok(self.object(class, args))
            }
            (Call::Encode, b'R', Some(Value::Str(text))) => self.latin1(text),
            _ => Err(PickleError::Call(class.to_string())),
        }
    }

    /// BUILD: sets the state of the instance under the top.
    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let Value::Object(id) = self.top()? else {
            return Err(self.malformed("a state for something that is no instance"));
        };
        self.pickle.objects[id].state = Some(state);
        if self.pickle.objects[id].class == JOBLIB_ARRAY {
            let payload = self.joblib_payload(state)?;
            self.pickle.objects[id].payload = Some(payload);
        }
        Ok(())
    }

    /// joblib writes the bytes of an array right behind its description: a length of padding, the
    /// padding, the array (files before joblib 1.1 have no padding and don't name an alignment).
    fn joblib_payload(&mut self, state: Value) -> Result<Span, PickleError> {
        let bytes = super::super::numpy::joblib_bytes(&self.pickle, state)
            .ok_or_else(|| self.malformed("an array of joblib whose description is not known"))?;
        if self.pickle.get(state, "numpy_array_alignment_bytes").is_some_and(|a| a != Value::None) {
            let padding = self.byte()?;
            self.take(usize::from(padding))?;
        }
        self.spanned(bytes)
    }

    fn extend(&mut self, items: Vec<Value>) -> Step {
        match self.top()? {
            Value::List(id) => {
                self.pickle.sequences[id].extend(items);
                Ok(())
            }
            _ => Err(self.malformed("items for something that is no list")),
        }
    }

    fn set(&mut self, items: Vec<Value>) -> Step {
        let pairs = self.pairs(items)?;
        match self.top()? {
            Value::Dict(id) => self.pickle.dicts[id].extend(pairs),
            // An OrderedDict: nothing of it is ever looked at.
            Value::Object(_) => {}
            _ => return Err(self.malformed("entries for something that is no dictionary")),
        }
        Ok(())
    }

    fn pairs(&self, items: Vec<Value>) -> Result<Vec<(Value, Value)>, PickleError> {
        if !items.len().is_multiple_of(2) {
            return Err(self.malformed("a key without a value"));
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn push(&mut self, value: Value) -> Step {
        self.made += 1;
        if self.made > MAX_VALUES {
            return Err(PickleError::TooLarge { limit: MAX_VALUES, what: "values" });
        }
        self.stack.push(value);
        Ok(())
    }

    /// Where the part of the stack begins that the innermost mark leaves open.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn top(&self) -> Result<Value, PickleError> {
        let open = &self.stack[self.floor()..];
        open.last().copied().ok_or_else(|| self.malformed("the stack is empty"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, PickleError> {
        let open = self.stack.len() - self.floor();
        if open < count {
            return Err(self.malformed("the stack has too few values"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("there is no mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, items: Vec<Value>) -> Value {
        self.pickle.sequences.push(items);
        Value::Tuple(self.pickle.sequences.len() - 1)
    }

    fn list(&mut self, items: Vec<Value>) -> Value {
        self.pickle.sequences.push(items);
        Value::List(self.pickle.sequences.len() - 1)
    }

    fn dict(&mut self, pairs: Vec<(Value, Value)>) -> Value {
        self.pickle.dicts.push(pairs);
        Value::Dict(self.pickle.dicts.len() - 1)
    }

    fn object(&mut self, class: &'static str, args: Value) -> Value {
        self.pickle.objects.push(Object { class, args, state: None, payload: None });
        Value::Object(self.pickle.objects.len() - 1)
    }

    fn malformed(&self, what: impl Into<String>) -> PickleError {
        PickleError::Malformed { at: self.opcode_at, what: what.into() }
    }
}
