//! What stops the reading of files and the simulator. A bad message is no error but a reject.

use std::io;

use thiserror::Error;

/// Why an input can't be read, by what the caller can do about it.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The operating system refused; trying again may help.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The input is readable but is not what it has to be: the user has to change something.
    #[error("{path} {what}")]
    Unsuitable {
        /// The file or folder.
        path: String,
        /// What is wrong with it and what to do.
        what: String,
    },
    /// A saved position does not fit the file: it is another file than the one that was read.
    #[error("cannot resume {path} at byte {byte}: {what}")]
    WrongPosition {
        /// The file.
        path: String,
        /// The position that was asked for.
        byte: i64,
        /// Why it can't be one.
        what: String,
    },
    /// A setting has a value that it can't have.
    #[error("{setting} is {value}, it must be {rule}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value that it has.
        value: String,
        /// What it has to be.
        rule: String,
    },
}

impl IngestError {
    pub(crate) fn unsuitable(path: &str, what: impl Into<String>) -> Self {
        Self::Unsuitable { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn unreadable(path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unreadable { path, source }
    }
}
