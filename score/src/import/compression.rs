//! Compressed files as joblib writes them: what zlib and gzip packed is unpacked, within a bound.
//!
//! *Why not the others*: bzip2, xz and lz4 would each be one more dependency that reads what
//! strangers wrote; joblib writes any of its files again in a line of Python.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::MAX_BYTES;

/// How files begin that are compressed in a way that is not read, and its name.
const REFUSED: [(&[u8], &str); 7] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "lzma"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    // The files of joblib before 0.10.
    (b"ZF0x", "an old way of joblib"),
];

/// The content of a file: its bytes, or what they unpack to.
///
/// # Errors
/// When it is compressed in another way than by zlib or gzip, is damaged, or unpacks to more than
/// [`MAX_BYTES`].
pub fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    unpack_within(bytes, MAX_BYTES)
}

fn unpack_within(bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, String> {
    if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(format!(
            "it is compressed by {name}; zlib and gzip are read: write it with joblib.dump(model, \
             path, compress=3)"
        ));
    }
    match bytes {
        [0x1f, 0x8b, ..] => read("gzip", MultiGzDecoder::new(bytes), limit).map(Cow::Owned),
        [0x78, ..] => read("zlib", ZlibDecoder::new(bytes), limit).map(Cow::Owned),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

fn read(name: &str, decoder: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|e| format!("it is compressed by {name} and damaged: {e}"))?;
    if content.len() > limit {
        return Err(format!("it unpacks to more than {limit} bytes, which is all that is read"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
