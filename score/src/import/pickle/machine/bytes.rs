//! Bytes of the input, and the numbers and texts that they spell.

use super::super::text;
use super::super::{MAX_BYTES, PickleError, Span, Value};
use super::Machine;

/// Most bytes that texts of old protocols may decode to, all together.
const MAX_DECODED: usize = MAX_BYTES;

impl Machine<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&[u8], PickleError> {
        let span = self.spanned(count)?;
        Ok(&self.pickle.input[span.start..span.end])
    }

    pub(super) fn spanned(&mut self, count: usize) -> Result<Span, PickleError> {
        let (start, len) = (self.at, self.pickle.input.len());
        if count > len - start {
            return Err(PickleError::Truncated(len));
        }
        self.at += count;
        Ok(Span { decoded: false, start, end: start + count })
    }

    /// A little-endian number of up to 8 bytes.
    pub(super) fn unsigned(&mut self, bytes: usize) -> Result<u64, PickleError> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    pub(super) fn int32(&mut self) -> Result<i32, PickleError> {
        Ok(self.unsigned(4)? as u32 as i32)
    }

    /// Bytes behind their length.
    pub(super) fn counted(&mut self, length_bytes: usize) -> Result<Span, PickleError> {
        let count = self.unsigned(length_bytes)?;
        let count = usize::try_from(count).map_err(|_| PickleError::Truncated(self.at))?;
        self.spanned(count)
    }

    pub(super) fn unicode(&mut self, length_bytes: usize) -> Result<Value, PickleError> {
        let span = self.counted(length_bytes)?;
        match std::str::from_utf8(self.pickle.span(span)) {
            Ok(_) => Ok(Value::Str(span)),
            Err(_) => Err(self.malformed("a text that is not UTF-8")),
        }
    }

    /// LONG1 and LONG4: two's complement, little-endian.
    pub(super) fn long(&mut self, length_bytes: usize) -> Result<Value, PickleError> {
        let span = self.counted(length_bytes)?;
        let bytes = self.pickle.span(span);
        let Some(last) = bytes.last() else { return Ok(Value::Int(0)) };
        if bytes.len() > 8 {
            return Ok(Value::BigInt);
        }
        let sign = if *last >= 0x80 { -1i64 } else { 0 };
        Ok(Value::Int(bytes.iter().rev().fold(sign, |n, byte| n << 8 | i64::from(*byte))))
    }

    pub(super) fn line(&mut self) -> Result<String, PickleError> {
        let bytes = self.line_bytes()?;
        match std::str::from_utf8(self.pickle.span(bytes)) {
            Ok(text) => Ok(text.to_string()),
            Err(_) => Err(self.malformed("a line that is not UTF-8")),
        }
    }

    pub(super) fn line_bytes(&mut self) -> Result<Span, PickleError> {
        let rest = &self.pickle.input[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let count = end.ok_or(PickleError::Truncated(self.pickle.input.len()))?;
        let span = self.spanned(count)?;
        self.at += 1;
        Ok(span)
    }

    pub(super) fn integer_line(&mut self) -> Result<Value, PickleError> {
        let line = self.line()?;
        match line.as_str() {
            "00" => return Ok(Value::Bool(false)),
            "01" => return Ok(Value::Bool(true)),
            _ => {}
        }
        let digits = line.trim_end_matches('L');
        let valid = digits.strip_prefix('-').unwrap_or(digits).bytes().all(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(value) => Ok(Value::Int(value)),
            Err(_) if valid && digits.len() > 2 => Ok(Value::BigInt),
            Err(_) => Err(self.malformed(format!("{line:.20?} is no integer"))),
        }
    }

    pub(super) fn float_line(&mut self) -> Result<Value, PickleError> {
        let line = self.line()?;
        line.parse()
            .map(Value::Float)
            .map_err(|_| self.malformed(format!("{line:.20?} is no float")))
    }

    pub(super) fn memo_line(&mut self) -> Result<u64, PickleError> {
        let line = self.line()?;
        line.parse().map_err(|_| self.malformed(format!("{line:.20?} is no memo number")))
    }

    pub(super) fn unicode_line(&mut self) -> Result<Value, PickleError> {
        let span = self.line_bytes()?;
        let text = text::raw_unicode(self.pickle.span(span));
        let text = text.ok_or_else(|| self.malformed("a text with a bad escape"))?;
        self.decoded(text.as_bytes()).map(Value::Str)
    }

    pub(super) fn string_line(&mut self) -> Result<Value, PickleError> {
        let span = self.line_bytes()?;
        let bytes = text::quoted(self.pickle.span(span));
        let bytes = bytes.ok_or_else(|| self.malformed("a text with a bad quote or escape"))?;
        self.decoded(&bytes).map(Value::Bytes)
    }

    pub(super) fn latin1(&mut self, text: Span) -> Result<Value, PickleError> {
        let text = String::from_utf8_lossy(self.pickle.span(text)).into_owned();
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes = bytes.ok_or_else(|| self.malformed("bytes with a character over 255"))?;
        self.decoded(&bytes).map(Value::Bytes)
    }

    pub(super) fn decoded(&mut self, bytes: &[u8]) -> Result<Span, PickleError> {
        let start = self.pickle.decoded.len();
        let end = start + bytes.len();
        if end > MAX_DECODED {
            return Err(PickleError::TooLarge { limit: MAX_DECODED, what: "bytes of texts" });
        }
        self.pickle.decoded.extend_from_slice(bytes);
        Ok(Span { decoded: true, start, end })
    }
}
