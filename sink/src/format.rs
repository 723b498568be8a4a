//! The JSON objects of a lake as they lie in storage: `{"digest":"…","body":{…}}`.
//!
//! *Why a digest inside*: records are chained by hash, so an edit of any but the newest shows in
//! the next one; the digest over the body's exact bytes shows an edit of the newest as well. The
//! framing is exact to the byte, so that there is one body text to take the digest of.

pub(crate) mod generation;
pub(crate) mod record;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::LakeError;

/// The format of records and generations that this version writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

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

/// Takes a body out of its frame.
///
/// # Errors
/// When the frame is not ours, the format is not ours, or a field is missing or unknown.
pub(crate) fn open<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<Opened<T>, LakeError> {
    let (digest, body) = split(bytes)
        .ok_or_else(|| LakeError::damaged(path, r#"it is not {"digest":"…","body":{…}}"#))?;
    let bad = |e: serde_json::Error| LakeError::damaged(path, e.to_string());
    let found = serde_json::from_str::<Version>(body).map_err(bad)?.format;
    if found != u64::from(FORMAT) {
        return Err(LakeError::UnknownFormat { path: path.to_owned(), found, known: FORMAT });
    }
    let value = serde_json::from_str(body).map_err(bad)?;
    Ok(Opened { value, intact: digest == Digest::of(body.as_bytes()) })
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
