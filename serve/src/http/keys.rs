//! API keys: what they may do, and the file that holds their hashes.
//!
//! *Why a fast hash*: a key is 256 random bits. Nobody finds it by trying, however fast they try, so
//! there is nothing that a slow hash would protect; SHA-256 keeps the file from holding the keys.

mod file;

use std::fmt::{self, Write};

use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

pub use self::file::{KeyEntry, KeyFile, Made, add, init, remove};

/// How a key begins, so that people and secret scanners know it for one.
pub const PREFIX: &str = "tgk_";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read everything, change nothing.
    View,
    /// Have readings scored, and nothing else.
    Score,
    /// Everything.
    Operate,
}

/// A key as its holder has it. It is shown once, and never written to a log.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// What the file holds of a key.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// Why a key file cannot be used or made.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not one of keys.
    #[error("{path} is no file of keys: {what}")]
    Content {
        /// Which file.
        path: String,
        /// What is wrong in it.
        what: String,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Wrong(String),
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::View, Self::Score, Self::Operate];

    /// The word for it in files, answers and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Score => "score",
            Self::Operate => "operate",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether a key of this role may do what another role is for.
    pub fn may(self, what: Self) -> bool {
        self == Self::Operate || self == what
    }
}

impl Secret {
    /// A new key, from the system's source of randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random() -> Result<Self, KeysError> {
        Ok(Self(random_bytes()?))
    }

    /// The key as it is sent.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", hex(&self.0))
    }

    /// What the file holds of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.text())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl KeyHash {
    /// Of a text that someone gives for a key.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// 64 hexadecimal digits.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// The first of them: enough to tell keys of one name apart.
    pub fn id(&self) -> String {
        hex(&self.0[..6])
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// Takes the same time wherever they differ.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

/// 256 bits that nobody can guess.
pub(super) fn random_bytes() -> Result<[u8; 32], KeysError> {
    let mut bytes = [0; 32];
    let got = OsRng.try_fill_bytes(&mut bytes);
    got.map_err(|error| KeysError::Wrong(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a text takes what is written");
    }
    text
}

#[cfg(test)]
mod tests;
