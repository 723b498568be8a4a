//! Bars for long work: on a terminal only, on standard error.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `length` steps, drawn as indicatif's `template` says.
pub fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
