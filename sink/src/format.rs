//! The JSON objects of a lake as they lie in storage: `{"digest":"…","body":{…}}`.
//!
//! *Why a digest inside*: records are chained by hash, so an edit of any but the newest shows in
//! the next one; the digest over the body's exact bytes shows an edit of the newest as well. The
//! framing is exact to the byte, so that there is one body text to take the digest of.

pub(crate) mod alert;
mod events;
pub(crate) mod generation;
pub(crate) mod intent;
pub(crate) mod label;
pub(crate) mod mark;
mod parts;
pub(crate) mod record;
pub(crate) mod summary;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::LakeError;

/// The newest format of records that this version reads and writes.
pub(crate) const FORMAT: u32 = 3;

/// The format of data files. Records of format 3 name further ones, which are written as these are.
pub(crate) const FILE_FORMAT: u32 = 2;

const HEAD: &str = r#"{"digest":""#;
const MIDDLE: &str = r#"","body":"#;
const TAIL: &str = "}\n";

/// A decoded object, and whether its digest fits its body.
#[derive(Debug)]
pub(crate) struct Opened<T> {
    pub value: T,
    pub intact: bool,
}

impl<T> Opened<T> {
    /// The value, if it is as it was written.
    pub fn intact(self, path: &str) -> Result<T, LakeError> {
        if self.intact {
            return Ok(self.value);
        }
        Err(LakeError::damaged(path, "its digest does not fit its body: it was edited"))
    }
}

/// Puts a body into its frame.
pub(crate) fn seal(body: &impl Serialize) -> Vec<u8> {
    // Structs of numbers, strings and lists cannot fail to serialise.
    let body = serde_json::to_string(body).expect("a wire struct is always valid JSON");
    format!("{HEAD}{}{MIDDLE}{body}{TAIL}", Digest::of(body.as_bytes())).into_bytes()
}

/// Takes a body that has only ever had one format out of its frame.
///
/// # Errors
/// When the frame is not ours, the format is not `known`, or a field is missing or unknown.
pub(crate) fn open<T: DeserializeOwned>(
    path: &str,
    bytes: &[u8],
    known: u32,
) -> Result<Opened<T>, LakeError> {
    let frame = Frame::read(path, bytes)?;
    if frame.format != u64::from(known) {
        return Err(frame.unknown(known));
    }
    frame.open()
}

/// A frame whose format is known and whose body is not read yet.
pub(crate) struct Frame<'a> {
    pub format: u64,
    path: &'a str,
    body: &'a str,
    intact: bool,
}

impl<'a> Frame<'a> {
    /// # Errors
    /// When the frame is not ours.
    pub fn read(path: &'a str, bytes: &'a [u8]) -> Result<Self, LakeError> {
        let (digest, body) = split(bytes)
            .ok_or_else(|| LakeError::damaged(path, r#"it is not {"digest":"…","body":{…}}"#))?;
        let version = serde_json::from_str::<Version>(body);
        let format = version.map_err(|e| LakeError::damaged(path, e.to_string()))?.format;
        Ok(Self { format, path, body, intact: digest == Digest::of(body.as_bytes()) })
    }

    /// # Errors
    /// When a field is missing or unknown.
    pub fn open<T: DeserializeOwned>(&self) -> Result<Opened<T>, LakeError> {
        let value = serde_json::from_str(self.body);
        let value = value.map_err(|e| LakeError::damaged(self.path, e.to_string()))?;
        Ok(Opened { value, intact: self.intact })
    }

    /// The refusal of a format that is newer than `known`.
    pub fn unknown(&self, known: u32) -> LakeError {
        LakeError::UnknownFormat { path: self.path.to_owned(), found: self.format, known }
    }
}

/// Read before the rest: what other fields mean depends on it.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

fn split(bytes: &[u8]) -> Option<(Digest, &str)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix(HEAD)?;
    let (digest, rest) = text.split_at_checked(64)?;
    let body = rest.strip_prefix(MIDDLE)?.strip_suffix(TAIL)?;
    Some((Digest::parse(digest)?, body))
}
