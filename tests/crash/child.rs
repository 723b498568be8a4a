//! A life in a process of its own, which may crash.

use std::process::{Command, Stdio};

use crate::life::{Orders, live};

/// Where a child finds its orders.
const VARIABLE: &str = "TIDEGAUGE_TEST_LIFE";

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has read and committed all.
    Done,
    /// A failpoint aborted it.
    Crashed,
}

/// Runs a life in a child process: this very program, told to run [`child`] only.
pub fn spawn(orders: &Orders) -> Ended {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args(["--exact", "child::child", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, orders.to_text())
        .stdin(Stdio::null())
        .output()
        .expect("this program starts");
    if output.status.success() {
        return Ended::Done;
    }
    #[cfg(unix)]
    let aborted = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(6);
    #[cfg(not(unix))]
    let aborted = output.status.code() == Some(3);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(aborted, "{orders:?} ended with {}: {text}", output.status);
    Ended::Crashed
}

/// Nothing without orders; with them, the body of a child process.
#[test]
fn child() {
    if let Ok(text) = std::env::var(VARIABLE) {
        live(&Orders::from_text(&text)).expect("a life without trouble");
    }
}
