//! A lane's checkpoint: its windows, and what its scorer remembers of sensors.
//!
//! A scorer that remembers nothing leaves the windows' bytes as they are. Otherwise: `TGLN`, u32
//! version, u64 length of the windows' bytes, these, then the scorer's; integers little-endian.

use anyhow::{Result, bail};

const MAGIC: &[u8; 4] = b"TGLN";
const VERSION: u32 = 1;
const HEAD: usize = 16;

/// The bytes of a checkpoint.
pub(super) fn join(windows: Vec<u8>, remembered: Option<Vec<u8>>) -> Vec<u8> {
    let Some(remembered) = remembered else { return windows };
    let mut bytes = Vec::with_capacity(HEAD + windows.len() + remembered.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(windows.len() as u64).to_le_bytes());
    bytes.extend(windows);
    bytes.extend(remembered);
    bytes
}

/// The windows' bytes, and the scorer's if there are any.
///
/// # Errors
/// When the bytes are cut off or of another version.
pub(super) fn split(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    if !bytes.starts_with(MAGIC) {
        return Ok((bytes, None));
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        bail!("the checkpoint is cut off");
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let version = number(&head[4..8]);
    if version != u64::from(VERSION) {
        bail!("the checkpoint has version {version}, this program reads {VERSION}");
    }
    let length = usize::try_from(number(&head[8..]));
    match length.ok().and_then(|length| rest.split_at_checked(length)) {
        Some((windows, remembered)) => Ok((windows, Some(remembered))),
        None => bail!("the checkpoint is cut off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_comes_apart_and_what_is_cut_off_is_refused() {
        let joined = join(b"TGCP windows".to_vec(), Some(b"TGSH".to_vec()));
        let apart = split(&joined).expect("whole");
        assert_eq!(apart, (b"TGCP windows".as_slice(), Some(b"TGSH".as_slice())));
        assert_eq!(join(b"TGCP".to_vec(), None), b"TGCP");
        assert_eq!(split(b"TGCP").expect("windows only"), (b"TGCP".as_slice(), None));
        for length in 4..joined.len() - 4 {
            assert!(split(&joined[..length]).is_err(), "{length}");
        }
        let mut newer = joined;
        newer[4] = 9;
        let error = split(&newer).expect_err("newer").to_string();
        assert!(error.contains("version 9"), "{error}");
    }
}
