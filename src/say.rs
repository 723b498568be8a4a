//! Lines on standard output that outlive their reader.
//!
//! *Why not `println!`*: it panics when the reader is gone (`| head`), and a command's exit code must
//! tell how the command went, not how much of it was read.

use std::fmt::Arguments;
use std::io::Write;

/// Prints a line to standard output, or nothing when nobody reads it any more.
macro_rules! say {
    () => { $crate::say::line(format_args!("")) };
    ($($arg:tt)*) => { $crate::say::line(format_args!($($arg)*)) };
}
pub(crate) use say;

pub fn line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
