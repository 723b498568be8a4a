//! The store in a directory: whole objects, no escape, clear errors.

mod power;

use std::fs::{self, File};
use std::time::Duration;

use tempfile::TempDir;
use tidegauge_flow::NoFailpoint;

use super::*;
use crate::testing::{END, LANE, NOW_US, identity, live, writer};

fn store() -> (TempDir, LocalStore) {
    let folder = TempDir::new().expect("a temporary folder");
    let store = LocalStore::create(folder.path().join("a/lake")).expect("it is made");
    (folder, store)
}

fn paths(store: &LocalStore, prefix: &str) -> Vec<String> {
    store.list(prefix).expect("it is listed").into_iter().map(|entry| entry.path).collect()
}

#[test]
fn objects_are_written_listed_moved_and_removed() {
    let (_folder, store) = store();
    store.put("t/b", b"1").expect("written");
    store.put("t/b", b"22").expect("written again");
    store.put_if_absent("t/a/c", b"3").expect("absent");
    let again = store.put_if_absent("t/a/c", b"4");
    assert!(matches!(again, Err(StoreError::Exists { path }) if path == "t/a/c"));
    assert_eq!(store.get("t/a/c").expect("there"), b"3");
    assert_eq!(store.size("t/b").expect("there"), Some(2));
    assert_eq!(store.size("t").expect("a folder is no object"), None);
    assert_eq!(paths(&store, "t/"), ["t/a/c", "t/b"]);
    assert_eq!(paths(&store, "none/"), [""; 0]);

    store.publish("t/b", "p/d=1/b").expect("moved");
    store.publish("t/b", "p/d=1/b").expect("moving again is no error");
    assert_eq!(paths(&store, ""), ["p/d=1/b", "t/a/c"]);
    let neither = store.publish("t/x", "p/x");
    assert!(matches!(neither, Err(StoreError::NotFound { path }) if path == "t/x"));

    store.delete("t/a/c").expect("removed");
    store.delete("t/a/c").expect("removing again is no error");
    let gone = store.get("t/a/c");
    assert!(matches!(gone, Err(StoreError::NotFound { path }) if path == "t/a/c"));
}

#[test]
fn paths_that_leave_the_root_are_refused() {
    let (folder, store) = store();
    fs::write(folder.path().join("secret"), b"s").expect("written");
    for path in ["", "/etc/passwd", "../secret", "a/../../secret", "a//b", "a/", ".", "a/.tmp-1"] {
        let text = store.get(path).expect_err("refused").to_string();
        assert!(text.starts_with(&format!("cannot use {path:?}")), "{text}");
        assert!(store.put(path, b"x").is_err() && store.delete(path).is_err(), "{path}");
        assert!(store.publish("x", path).is_err(), "{path}");
    }
    assert!(store.list("a").is_err() && store.list("../").is_err());
}

#[test]
fn fm_27_half_written_files_are_seen_by_nobody_and_swept_later() {
    let (_folder, store) = store();
    store.put("t/a", b"1").expect("written");
    let half = store.root.join("t/.tmp-0123456789abcdef");
    fs::write(&half, b"half").expect("a crash leaves it");
    assert_eq!(paths(&store, ""), ["t/a"]);
    let now = fs::metadata(&half).and_then(|found| found.modified()).expect("it is there");
    assert_eq!(store.sweep(now).expect("swept"), 0, "someone may be writing it");
    assert_eq!(store.sweep(now + Duration::from_secs(1)).expect("swept"), 1);
    assert!(!half.exists());
    assert_eq!(paths(&store, ""), ["t/a"]);
}

#[test]
fn fm_27_a_write_that_fails_names_the_object_and_leaves_nothing() {
    let (_folder, store) = store();
    fs::write(store.root.join("t"), b"in the way").expect("written");
    for result in [store.put("t/a", b"1"), store.put_if_absent("t/a", b"1")] {
        let text = result.expect_err("t is a file").to_string();
        assert!(text.starts_with("cannot write t/a: "), "{text}");
    }
    store.put("x", b"1").expect("written");
    fs::create_dir(store.root.join("y")).expect("made");
    assert!(store.put("y", b"1").is_err(), "a folder is not replaced");
    let left: Vec<_> = fs::read_dir(&store.root).expect("there").flatten().collect();
    assert_eq!(left.len(), 3, "no temporary file stays: {left:?}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written_is_a_clear_error() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, store) = store();
    fs::set_permissions(&store.root, fs::Permissions::from_mode(0o555)).expect("ours");
    // The super-user may write anyway; then there is nothing to see.
    let enforced = File::create(store.root.join("probe")).is_err();
    let written = store.put_if_absent("a", b"1");
    fs::set_permissions(&store.root, fs::Permissions::from_mode(0o755)).expect("ours");
    match written {
        Err(e) if enforced => assert!(e.to_string().starts_with("cannot write a: "), "{e}"),
        written => assert!(!enforced && written.is_ok(), "{written:?}"),
    }
}

#[cfg(unix)]
#[test]
fn fm_27_a_table_on_another_file_system_is_published_to() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let (_folder, store) = store();
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let memory = Path::new("/dev/shm");
    // Where there is no second file system at hand, the test still runs, on one.
    let other = if device(memory).is_some() { memory } else { &store.root };
    let other = TempDir::new_in(other).expect("a temporary folder");
    symlink(other.path(), store.root.join("predictions")).expect("linked");
    store.put("staging/a", b"1").expect("written");
    store.publish("staging/a", "predictions/date=1/a").expect("moved");
    store.publish("staging/a", "predictions/date=1/a").expect("moving again is no error");
    assert_eq!(store.get("predictions/date=1/a").expect("there"), b"1");
    assert_eq!(paths(&store, "predictions/"), ["predictions/date=1/a"]);
    assert_eq!(paths(&store, "staging/"), [""; 0]);
}

#[test]
fn a_mistyped_directory_is_not_made_by_opening_it() {
    let (folder, _) = store();
    let missing = folder.path().join("lkae");
    assert!(matches!(LocalStore::open(&missing), Err(StoreError::NotFound { .. })));
    assert!(!missing.exists());
    fs::write(&missing, b"a file").expect("written");
    assert!(matches!(LocalStore::open(&missing), Err(StoreError::Failed { .. })));
    assert!(LocalStore::create(&missing).is_err());
}

#[test]
fn a_folder_that_someone_removed_is_made_again() {
    let (_folder, store) = store();
    store.put("t/u/a", b"1").expect("written");
    fs::remove_dir_all(store.root.join("t")).expect("removed");
    store.put("t/u/b", b"2").expect("made again");
    store.publish("t/u/b", "p/b").expect("moved");
    store.put("t/u/b", b"3").expect("written");
    fs::remove_dir_all(store.root.join("p")).expect("removed");
    store.publish("t/u/b", "p/b").expect("made again");
    assert_eq!(paths(&store, ""), ["p/b"]);
}

#[test]
fn of_many_writers_of_one_object_exactly_one_wins() {
    let (_folder, store) = store();
    let wins: usize = std::thread::scope(|scope| {
        let put = |i: u8| store.put_if_absent("ledger/1", &[i; 1000]).is_ok();
        let threads: Vec<_> = (0..8).map(|i| scope.spawn(move || put(i))).collect();
        threads.into_iter().map(|t| usize::from(t.join().expect("no panic"))).sum()
    });
    assert_eq!(wins, 1);
    let bytes = store.get("ledger/1").expect("there");
    assert!(bytes.len() == 1000 && bytes.iter().all(|b| *b == bytes[0]), "whole and of one writer");
}

#[test]
fn a_pipeline_runs_in_a_directory_and_is_proven() {
    let (_folder, store) = store();
    let store = std::sync::Arc::new(store);
    let shared = std::sync::Arc::<LocalStore>::clone(&store);
    let lake = crate::Lake::open(shared, std::sync::Arc::new(NoFailpoint), &identity(), NOW_US);
    let lake = lake.expect("it opens");
    live(&lake, writer(1), 1).expect("nothing disturbs it");
    let lane = lake.take(LANE, writer(2), NOW_US).expect("free");
    assert_eq!(lane.positions().values().copied().collect::<Vec<_>>(), [END]);
    let report = crate::verify(store.as_ref(), &|_, _| ()).expect("a lake");
    assert_eq!(report.problems, []);
    assert_eq!((report.lanes, report.records, report.rows), (1, 6, 8));
}
