//! A lane's checkpoint: its windows, the models that its next epoch has, what its scorer remembers, and what
//! may become of anomalies.
//!
//! `TGLN`, u32 version, u64 length of the windows' bytes, these, u8 number of announced models, for each
//! u8 length and text of the view's name and u64 version, then in version 3 u64 length of the scorer's bytes,
//! these, and those of events; in version 2 the scorer's bytes; integers little-endian. Version 1 has no
//! models. Without events version 2 is written, without anything besides windows their bytes alone.

use anyhow::{Context, Result, bail};

const MAGIC: &[u8; 4] = b"TGLN";
const VERSION: u64 = 3;
const WITHOUT_EVENTS: u64 = 2;

/// What a checkpoint holds.
#[derive(Debug, PartialEq)]
pub(super) struct Parts<'a> {
    pub windows: &'a [u8],
    /// View and version of the models that the next epoch has.
    pub announced: Vec<(&'a str, u64)>,
    pub remembered: Option<&'a [u8]>,
    pub events: Option<&'a [u8]>,
}

/// The bytes of a checkpoint.
pub(super) fn join(
    windows: Vec<u8>,
    announced: &[(&str, u64)],
    remembered: Option<Vec<u8>>,
    events: Option<Vec<u8>>,
) -> Vec<u8> {
    if announced.is_empty() && remembered.is_none() && events.is_none() {
        return windows;
    }
    let version = if events.is_some() { VERSION } else { WITHOUT_EVENTS };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(version as u32).to_le_bytes());
    bytes.extend_from_slice(&(windows.len() as u64).to_le_bytes());
    bytes.extend(windows);
    bytes.push(announced.len() as u8);
    for (view, version) in announced {
        bytes.push(view.len() as u8);
        bytes.extend_from_slice(view.as_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
    }
    let remembered = remembered.unwrap_or_default();
    if events.is_some() {
        bytes.extend_from_slice(&(remembered.len() as u64).to_le_bytes());
    }
    bytes.extend(remembered);
    bytes.extend(events.unwrap_or_default());
    bytes
}

/// The parts of what [`join`] has made.
///
/// # Errors
/// When the bytes are cut off or of another version.
pub(super) fn split(bytes: &[u8]) -> Result<Parts<'_>> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Ok(Parts { windows: bytes, announced: vec![], remembered: None, events: None });
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
    let remembered = match version {
        VERSION => {
            let length = usize::try_from(rest.number(8)?).context("the checkpoint is cut off")?;
            rest.take(length)?
        }
        _ => std::mem::take(&mut rest.0),
    };
    let is_there = |bytes: &&[u8]| !bytes.is_empty();
    let (remembered, events) = (Some(remembered).filter(is_there), Some(rest.0).filter(is_there));
    Ok(Parts { windows, announced, remembered, events })
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
        let joined = join(windows.to_vec(), &ANNOUNCED, Some(memory.to_vec()), None);
        let apart = split(&joined).expect("whole");
        let announced = ANNOUNCED.to_vec();
        assert_eq!(apart, Parts { windows, announced, remembered: Some(memory), events: None });
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
        assert_eq!(join(windows.to_vec(), &[], None, None), windows);
        let nothing = Parts { windows, announced: Vec::new(), remembered: None, events: None };
        assert_eq!(split(windows).expect("windows only"), nothing);
        let version_1 = b"TGLN\x01\0\0\0\x04\0\0\0\0\0\0\0TGCPTGSH";
        let apart = split(version_1).expect("version 1");
        assert_eq!(apart, Parts { remembered: Some(b"TGSH"), ..nothing });
    }

    #[test]
    fn events_come_apart_and_without_them_nothing_is_written_otherwise() {
        let (windows, events) = (b"TGCP".as_slice(), b"TGEV and more".as_slice());
        for memory in [None, Some(b"TGSH".as_slice())] {
            let saved = memory.map(<[u8]>::to_vec);
            let joined = join(windows.to_vec(), &ANNOUNCED, saved.clone(), Some(events.to_vec()));
            let announced = ANNOUNCED.to_vec();
            let expected = Parts { windows, announced, remembered: memory, events: Some(events) };
            assert_eq!(split(&joined).expect("whole"), expected);
            assert!(split(&joined[..joined.len() - events.len() - 5]).is_err());
            assert_eq!(join(windows.to_vec(), &ANNOUNCED, saved, None)[4], 2);
        }
    }
}
