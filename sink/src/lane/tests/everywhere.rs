//! The same lake on every store: a directory, a disk without power, S3, Azure.

use std::sync::Arc;

use tempfile::TempDir;
use tidegauge_flow::{NoFailpoint, Place, Store};

use crate::error::LakeError;
use crate::local::powerless::{PowerlessDisk, Survives};
use crate::record::Table;
use crate::testing::servers::servers;
use crate::testing::{
    LANE, NOW_US, STEP, StopAt, assert_whole, cut, identity, live, next_offset, paths, writer,
};
use crate::{Lake, LocalStore, Reader, probe, verify};

/// A place for one lake. Each call opens it as a process of its own would.
type Open<'a> = Box<dyn Fn() -> Arc<dyn Store> + 'a>;

/// Everything that a lake goes through, each part in a place of its own.
fn same_lake(fresh: &dyn Fn() -> Open<'static>) {
    a_life(&*fresh());
    fenced(&*fresh());
    let renames = fresh()().renames();
    let places = Place::ALL.into_iter().filter(|place| renames || *place != Place::MidPublish);
    places.for_each(|place| crash(&*fresh(), place));
    a_file_is_deleted(&*fresh());
}

fn lake(store: Arc<dyn Store>) -> Lake {
    Lake::open(store, Arc::new(NoFailpoint), &identity(), NOW_US).expect("it opens")
}

fn a_life(open: &dyn Fn() -> Arc<dyn Store>) {
    probe(open().as_ref()).expect("conditional writes are honoured");
    live(&lake(open()), writer(1), 1).expect("nothing disturbs it");
    assert_whole(open().as_ref(), "a life");
    let reader: Reader = Lake::read(open()).expect("there is a lake");
    assert_eq!(reader.lanes().expect("listed"), [LANE]);
    for table in Table::ALL {
        let files = reader.files(table).expect("the ledger is whole");
        assert_eq!(files.len(), paths(open().as_ref(), table.folder()).len());
        for file in files {
            assert_eq!(reader.place(&file).expect("there"), file.path);
            reader.fetch(&file).expect("as it was written");
        }
    }
}

fn fenced(open: &dyn Fn() -> Arc<dyn Store>) {
    let mut old = lake(open()).take(LANE, writer(1), NOW_US).expect("free");
    old.commit(cut(0, 1), NOW_US).expect("it is ours");
    let mut new = lake(open()).take(LANE, writer(2), NOW_US).expect("taken from the old one");
    let before = paths(open().as_ref(), "");
    let lost = old.commit(cut(STEP, 1), NOW_US);
    assert!(matches!(lost, Err(LakeError::Fenced { epoch: 3, .. })), "{lost:?}");
    assert_eq!(paths(open().as_ref(), ""), before, "the loser leaves nothing behind");
    assert_eq!(next_offset(&new), STEP);
    new.commit(cut(STEP, 3), NOW_US).expect("it is the new one's");
    assert_whole(open().as_ref(), "after fencing");
}

fn crash(open: &dyn Fn() -> Arc<dyn Store>, place: Place) {
    let failpoint = StopAt::new(place, 1);
    let dying = Lake::open(open(), failpoint, &identity(), NOW_US).expect("it opens");
    let end = live(&dying, writer(1), 2);
    assert!(matches!(end, Err(LakeError::Interrupted(at)) if at.0 == place), "{end:?}");
    live(&lake(open()), writer(2), 3).expect("the second life is not disturbed");
    assert_whole(open().as_ref(), &format!("after a crash at {place:?}"));
}

fn a_file_is_deleted(open: &dyn Fn() -> Arc<dyn Store>) {
    live(&lake(open()), writer(1), 2).expect("nothing disturbs it");
    let path = paths(open().as_ref(), "predictions/").remove(0);
    let bytes = open().get(&path).expect("there");
    open().delete(&path).expect("deleted");
    let report = verify(open().as_ref(), &|_, _| ()).expect("a lake");
    assert!(report.problems.iter().any(|p| p.path == path && p.what == "it is missing"));
    open().put(&path, &bytes).expect("put back");
    assert_whole(open().as_ref(), "after the file was put back");
}

#[test]
fn the_same_lake_in_a_directory() {
    let folder = TempDir::new().expect("a temporary folder");
    let root = folder.path().to_owned();
    same_lake(&move || {
        let root = root.join(format!("{:016x}", rand::random::<u64>()));
        Box::new(move || Arc::new(LocalStore::create(&root).expect("it is made")))
    });
}

#[test]
fn fm_27_the_same_lake_on_a_disk_that_loses_power_whenever_a_process_opens_it() {
    same_lake(&|| {
        let disk = PowerlessDisk::default();
        Box::new(move || {
            disk.lose_power(Survives::Nothing);
            disk.store().expect("it opens")
        })
    });
}

#[test]
fn the_same_lake_on_object_stores() {
    std::thread::scope(|scope| {
        for server in servers() {
            scope.spawn(move || {
                same_lake(&|| {
                    let (server, url) = (server.clone(), server.fresh_url());
                    Box::new(move || server.store(&url))
                });
            });
        }
    });
}
