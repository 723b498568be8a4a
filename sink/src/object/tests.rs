//! Buckets of real servers, through a proxy that makes trouble.

mod settings;
mod trouble;

use tidegauge_flow::Store;

use super::*;
use crate::testing::paths;
use crate::testing::servers::servers;

#[test]
fn objects_are_written_listed_and_removed() {
    for server in servers() {
        let store = server.store(&server.fresh_url());
        store.put("t/b", b"1").expect("written");
        store.put("t/b", b"22").expect("written again");
        store.put_if_absent("t/date=1/c", b"3").expect("absent");
        let again = store.put_if_absent("t/date=1/c", b"4");
        assert!(matches!(again, Err(StoreError::Exists { path }) if path == "t/date=1/c"));
        assert_eq!(store.get("t/date=1/c").expect("there"), b"3");
        assert_eq!(store.size("t/b").expect("there"), Some(2));
        assert_eq!(store.size("t").expect("a folder is no object"), None);
        store.put("tt/b", b"of another folder").expect("written");
        assert_eq!(paths(store.as_ref(), "t/"), ["t/b", "t/date=1/c"]);
        assert_eq!(paths(store.as_ref(), ""), ["t/b", "t/date=1/c", "tt/b"]);
        assert_eq!(paths(store.as_ref(), "none/"), [""; 0]);
        store.delete("t/b").expect("removed");
        store.delete("t/b").expect("removing again is no error");
        assert!(matches!(store.get("t/b"), Err(StoreError::NotFound { path }) if path == "t/b"));
        assert!(!store.renames() && store.publish("tt/b", "t/b").is_err());
        for path in ["", "/a", "a//b", "a/", "../a", "a/./b"] {
            assert!(store.get(path).is_err() && store.put(path, b"x").is_err(), "{path:?}");
        }
        assert!(store.list("t").is_err(), "a folder ends in '/'");
    }
}

#[test]
fn a_listing_of_many_objects_is_whole() {
    for server in servers() {
        let store = server.store(&server.fresh_url());
        let put = |n: usize| store.put(&format!("t/{n:05}"), b"1").expect("written");
        // More than one page of either server would be 5000; the client asks for the rest by itself.
        (0..120).for_each(put);
        assert_eq!(paths(store.as_ref(), "t/").len(), 120);
    }
}

#[test]
fn fm_24_of_many_writers_of_one_object_exactly_one_wins() {
    for server in servers() {
        let url = server.fresh_url();
        for round in 0..10 {
            let path = format!("ledger/{round}");
            let wins: usize = std::thread::scope(|scope| {
                let put = |i: u8| server.store(&url).put_if_absent(&path, &[i; 1000]).is_ok();
                let threads: Vec<_> = (0..6).map(|i| scope.spawn(move || put(i))).collect();
                threads.into_iter().map(|t| usize::from(t.join().expect("no panic"))).sum()
            });
            assert_eq!(wins, 1, "{}", server.name);
            let bytes = server.store(&url).get(&path).expect("there");
            assert!(bytes.len() == 1000 && bytes.iter().all(|b| *b == bytes[0]), "of one writer");
        }
    }
}

#[test]
fn a_store_answers_on_threads_of_a_runtime_and_may_be_dropped_there() {
    for server in servers() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let store = server.store(&server.fresh_url());
            store.put("a", b"1").expect("written");
            assert_eq!(store.get("a").expect("there"), b"1");
        });
    }
}
