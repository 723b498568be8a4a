//! Real disks that are full or read-only, and a process that may open no more files.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::{Project, data};

/// A file system in memory below a project; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` when this user may not mount, which the test says.
    fn new(project: &Project, options: &str) -> Option<Self> {
        let place = project.path("disk");
        std::fs::create_dir(&place).expect("a folder");
        let mounted = Self::mount(&["-t", "tmpfs", "-o", options, "tmpfs"], &place);
        if !mounted {
            println!("skipped: this user may not mount a file system");
        }
        mounted.then_some(Self(place))
    }

    fn mount(args: &[&str], place: &PathBuf) -> bool {
        let mut mount = Command::new("mount");
        let status = mount.args(args).arg(place).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn remount(&self, options: &str) {
        assert!(Self::mount(&["-o", &format!("remount,{options}")], &self.0), "{options}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn readings() -> String {
    data("seedlike/readings.csv").display().to_string()
}

/// The lake must be proven and hold what a lake on a good disk holds.
fn assert_whole(project: &Project, lake: &str) {
    assert!(project.ok(&["verify", lake]).contains("proven"), "{lake}");
    project.ok(&Project::scoring(&readings()));
    assert_eq!(project.predictions(lake), project.predictions("lake"));
}

#[test]
fn fm_27_a_full_disk_stops_with_a_clear_line_and_goes_on_when_there_is_room() {
    let project = Project::new("127.0.0.1:1");
    let mut refused = 0;
    // More and more room: it ends at other places.
    let Some(disk) = Mounted::new(&project, "size=4k") else { return };
    let readings = readings();
    let score = ["score", &readings, "-c", "tidegauge.toml", "-o", "disk/lake"];
    for pages in 1..60 {
        disk.remount(&format!("size={}k", pages * 4));
        let output = project.output(&score);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        if output.status.success() {
            break;
        }
        refused += 1;
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("make room on the disk of disk/lake and start again"), "{said}");
    }
    assert!(refused > 3, "{refused} runs ended for lack of room");
    disk.remount("size=64m");
    project.ok(&score);
    assert_whole(&project, "disk/lake");
}

#[test]
fn fm_27_a_read_only_disk_stops_with_a_clear_line_and_goes_on_when_it_is_writable() {
    let project = Project::new("127.0.0.1:1");
    let Some(disk) = Mounted::new(&project, "size=64m") else { return };
    let readings = readings();
    let score = ["score", &readings, "-c", "tidegauge.toml", "-o", "disk/lake"];
    project.ok(&score);
    disk.remount("ro");
    let said = project.fails(1, &score);
    assert!(said.contains("disk/lake is mounted read-only; mount it for writing"), "{said}");
    assert!(project.ok(&["verify", "disk/lake"]).contains("proven"), "reading goes on");
    disk.remount("rw");
    project.ok(&score);
    assert_whole(&project, "disk/lake");
}

#[test]
fn fm_27_too_few_open_files_stop_with_a_clear_line_and_lose_nothing() {
    let project = Project::new("127.0.0.1:1");
    let (binary, readings) = (env!("CARGO_BIN_EXE_tidegauge"), readings());
    let (mut refused, mut ended) = (0, false);
    for limit in 4..80 {
        let line = format!(
            "ulimit -n {limit}; exec '{binary}' score '{readings}' -c tidegauge.toml -o few"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(project.path(""));
        command.env("XDG_STATE_HOME", project.path("state"));
        let output = command.stdin(Stdio::null()).output().expect("a shell starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{limit} files: {said}");
        ended = output.status.success();
        if ended {
            break;
        }
        assert!(!said.trim().is_empty(), "{limit} files: it says nothing");
        refused += u32::from(said.contains("raise the limit of open files"));
    }
    assert!(ended && refused > 0, "{refused} runs were told to raise the limit");
    assert_whole(&project, "few");
}
