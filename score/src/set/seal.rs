//! A digest of the whole file inside the file.
//!
//! *Why*: Parquet has no checksum that its readers insist on, and readers of damaged files may
//! panic or read other numbers. The digest stands as text in the footer; it is computed with zeros
//! in its own place, and compared before anything else is read.

use sha2::{Digest, Sha256};

use crate::entry::hex;

/// What stands before the digest's 64 hexadecimal digits.
const MARK: &str = "tidegauge-sha256:";

const DIGITS: usize = 64;

/// The text that keeps the digest's place until [`seal`].
pub(super) fn placeholder() -> String {
    format!("{MARK}{}", "0".repeat(DIGITS))
}

/// Writes the digest into its place.
///
/// # Panics
/// When the bytes don't hold [`placeholder`].
pub(super) fn seal(bytes: &mut [u8]) {
    let start = place(bytes).expect("the footer was given the placeholder");
    let digest = hex(&Sha256::digest(&*bytes));
    bytes[start..start + DIGITS].copy_from_slice(digest.as_bytes());
}

/// Whether the bytes are what was sealed; if not, what is wrong with them.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let start = place(bytes).ok_or("it is no model set, or only a part of one")?;
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..start]);
    hasher.update([b'0'; DIGITS]);
    hasher.update(&bytes[start + DIGITS..]);
    if hex(&hasher.finalize()).as_bytes() != &bytes[start..start + DIGITS] {
        return Err("its bytes are not those that were written (SHA-256)");
    }
    Ok(())
}

/// Where the digits stand: after the last mark, for notes may hold anything.
fn place(bytes: &[u8]) -> Option<usize> {
    let start = bytes.windows(MARK.len()).rposition(|w| w == MARK.as_bytes())? + MARK.len();
    (bytes.len() - start >= DIGITS).then_some(start)
}
