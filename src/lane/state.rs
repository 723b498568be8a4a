//! A lane's checkpoint: its windows, the models that its next epoch has, and what its scorer remembers.
//!
//! `TGLN`, u32 version, u64 length of the windows' bytes, these, u8 number of announced models, for each
//! u8 length and text of the view's name and u64 version, then the scorer's bytes; integers
//! little-endian. Version 1 has no models. Without anything besides windows it is their bytes alone.

use anyhow::{Context, Result, bail};

const MAGIC: &[u8; 4] = b"TGLN";
const VERSION: u64 = 2;

/// What a checkpoint holds.
#[derive(Debug, PartialEq)]
pub(super) struct Parts<'a> {
    pub windows: &'a [u8],
    /// View and version of the models that the next epoch has.
    pub announced: Vec<(&'a str, u64)>,
    pub remembered: Option<&'a [u8]>,
}

/// The bytes of a checkpoint.
pub(super) fn join(
    windows: Vec<u8>,
    announced: &[(&str, u64)],
    remembered: Option<Vec<u8>>,
) -> Vec<u8> {
    if announced.is_empty() && remembered.is_none() {
        return windows;
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(VERSION as u32).to_le_bytes());
    bytes.extend_from_slice(&(windows.len() as u64).to_le_bytes());
    bytes.extend(windows);
    bytes.push(announced.len() as u8);
    for (view, version) in announced {
        bytes.push(view.len() as u8);
        bytes.extend_from_slice(view.as_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
    }
    bytes.extend(remembered.unwrap_or_default());
    bytes
}

/// The parts of what [`join`] has made.
///
/// # Errors
/// When the bytes are cut off or of another version.
pub(super) fn split(bytes: &[u8]) -> Result<Parts<'_>> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Ok(Parts { windows: bytes, announced: Vec::new(), remembered: None });
    };
    let mut rest = Rest(rest);
    let version = rest.number(4)?;
    if !(1..=VERSION).contains(&version) {
        bail!("the checkpoint has version {version}, this program reads {VERSION}");
    }
    let length = usize::try_from(rest.number(8)?).context("the checkpoint is cut off")?;
    let windows = rest.take(length)?;
    let count = if version == 1 { 0 } else { rest.number(1)? };
    let announced = (0..count).map(|_| rest.announced()).collect::<Result<_>>()?;
    let remembered = Some(rest.0).filter(|bytes| !bytes.is_empty());
    Ok(Parts { windows, announced, remembered })
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("the checkpoint is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn announced(&mut self) -> Result<(&'a str, u64)> {
        let length = self.number(1)? as usize;
        let view = std::str::from_utf8(self.take(length)?).context("the checkpoint is damaged")?;
        Ok((view, self.number(8)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOUNCED: [(&str, u64); 2] = [("champion", 7), ("onset", u64::MAX)];

    #[test]
    fn what_is_joined_comes_apart_and_what_is_cut_off_is_refused() {
        let (windows, memory) = (b"TGCP windows".as_slice(), b"TGSH".as_slice());
        let joined = join(windows.to_vec(), &ANNOUNCED, Some(memory.to_vec()));
        let apart = split(&joined).expect("whole");
        let announced = ANNOUNCED.to_vec();
        assert_eq!(apart, Parts { windows, announced, remembered: Some(memory) });
        for length in 4..joined.len() - memory.len() {
            assert!(split(&joined[..length]).is_err(), "{length}");
        }
        let mut newer = joined;
        newer[4] = 9;
        let error = split(&newer).expect_err("newer").to_string();
        assert!(error.contains("version 9"), "{error}");
    }

    #[test]
    fn checkpoints_without_models_are_read_as_they_were_written() {
        let windows = b"TGCP".as_slice();
        assert_eq!(join(windows.to_vec(), &[], None), windows);
        let nothing = Parts { windows, announced: Vec::new(), remembered: None };
        assert_eq!(split(windows).expect("windows only"), nothing);
        let version_1 = b"TGLN\x01\0\0\0\x04\0\0\0\0\0\0\0TGCPTGSH";
        let apart = split(version_1).expect("version 1");
        assert_eq!(apart, Parts { remembered: Some(b"TGSH"), ..nothing });
    }
}
