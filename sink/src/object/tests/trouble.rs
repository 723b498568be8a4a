//! Throttling, failing, slow and silent servers: nothing is lost, nothing is there twice.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::LakeError;
use crate::testing::proxy::{Proxy, Trouble};
use crate::testing::servers::{PATIENCE, Server};
use crate::testing::{assert_whole, live, open_with, writer};

/// A store behind a proxy.
fn behind(server: &Server, proxy: &Proxy, url: &str) -> Arc<ObjectStore> {
    server.store_with(url, &server.storage(&proxy.address))
}

fn life(store: &Arc<ObjectStore>, seed: u64, steps: i64) -> Result<(), LakeError> {
    let lake = open_with(store, Arc::new(tidegauge_flow::NoFailpoint))?;
    live(&lake, writer(seed), steps)
}

/// A conditional write, told by its head.
fn is_conditional(head: &str) -> bool {
    head.to_ascii_lowercase().contains("\r\nif-none-match:")
}

#[test]
fn fm_23_fm_29_trouble_at_each_conditional_write_is_settled() {
    std::thread::scope(|scope| {
        for server in servers() {
            scope.spawn(move || Trouble::ALL.map(|trouble| at_each_write(&server, trouble)));
        }
    });
}

fn at_each_write(server: &Server, trouble: Trouble) {
    // After two for the probe: the generation, the opening record, an epoch.
    for nth in 3..=5 {
        let mut seen = 0;
        let proxy = Proxy::start(&server.address, move |head, _| {
            seen += u64::from(is_conditional(head));
            (is_conditional(head) && seen == nth).then_some(trouble)
        });
        let url = server.fresh_url();
        let context = format!("{}: {trouble:?} at write {nth}", server.name);
        life(&behind(server, &proxy, &url), 1, 2).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(proxy.troubles(), 1, "{context}");
        let store = server.store(&url);
        assert_whole(store.as_ref(), &context);
        assert_eq!(paths(store.as_ref(), "_tidegauge/ledger/").len(), 3, "{context}");
    }
}

#[test]
fn fm_29_a_storm_of_trouble_loses_no_acknowledged_record_and_doubles_none() {
    std::thread::scope(|scope| {
        for server in servers() {
            scope.spawn(move || (0..4).for_each(|seed| storm(&server, seed)));
        }
    });
}

fn storm(server: &Server, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let proxy = Proxy::start(&server.address, move |_, _| {
        let trouble = Trouble::ALL[random.random_range(0..Trouble::ALL.len())];
        random.random_bool(0.2).then_some(trouble)
    });
    let url = server.fresh_url();
    let store = behind(server, &proxy, &url);
    // A life may end when its patience does; the next one goes on.
    let ended = (1..20).any(|n| life(&store, seed * 100 + n, 1).is_ok());
    assert!(ended && proxy.troubles() > 3, "{} seed {seed}", server.name);
    assert_whole(server.store(&url).as_ref(), &format!("{} seed {seed}", server.name));
}

#[test]
fn fm_29_a_server_that_only_refuses_ends_the_lane_clearly_and_the_next_life_goes_on() {
    let cases = [
        (401, "the server refused us with 401 (Injected): check the credentials"),
        (403, "the server refused us with 403 (Injected): check the credentials"),
        (404, "the bucket or container does not exist"),
        (400, "the server answered 400 (Injected): check the region"),
        (429, "tries failed, the last one because the server answered 429 (Injected)"),
        (503, "tries failed, the last one because the server answered 503 (Injected)"),
    ];
    for (server, (status, expected)) in servers().iter().flat_map(|s| cases.map(|c| (s, c))) {
        let proxy = Proxy::start(&server.address, move |head, n| {
            // From the second epoch on, more or less.
            (n > 24 && head.starts_with("PUT")).then_some(Trouble::Answer(status, Some(0)))
        });
        let url = server.fresh_url();
        let mut storage = server.storage(&proxy.address);
        storage.patience = Patience { tries: 3, ..PATIENCE };
        let text = life(&server.store_with(&url, &storage), 1, 1).expect_err("it ends").to_string();
        assert!(text.contains(expected), "{}: {text}", server.name);
        life(&server.store(&url), 2, 1).expect("it goes on");
        assert_whole(server.store(&url).as_ref(), &format!("{} after {status}", server.name));
    }
}

#[test]
fn fm_26_an_object_of_any_size_is_one_request_and_no_upload_in_parts() {
    // More than the parts in which clients send by default.
    let large = vec![7; 9 << 20];
    for server in servers() {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let proxy = Proxy::start(&server.address, move |head, _| {
            let line = head.lines().next().unwrap_or_default().to_owned();
            seen.lock().expect("unharmed").push(line);
            None
        });
        let store = behind(&server, &proxy, &server.fresh_url());
        store.put("state", &large).expect("written");
        store.put_if_absent("record", &large).expect("written");
        let requests = requests.lock().expect("unharmed").clone();
        let of_parts = |line: &String| line.contains("upload") || line.contains("comp=block");
        assert_eq!(requests.len(), 2, "{}: {requests:?}", server.name);
        assert!(!requests.iter().any(of_parts), "{}: {requests:?}", server.name);
        assert_eq!(store.get("state").expect("read").len(), large.len(), "{}", server.name);
    }
}

#[test]
fn fm_29_patience_is_bounded_and_a_request_to_wait_is_heard() {
    for server in servers() {
        let proxy = Proxy::start(&server.address, |_, _| Some(Trouble::Answer(503, Some(1))));
        let mut storage = server.storage(&proxy.address);
        storage.patience = Patience { tries: 3, ..PATIENCE };
        let store = server.store_with(&server.fresh_url(), &storage);
        let began = Instant::now();
        store.put("a", b"1").expect_err("it never does it");
        assert_eq!(proxy.requests(), 3, "{}", server.name);
        assert!(
            began.elapsed() >= Duration::from_secs(2),
            "it asked us to wait a second each time"
        );
        storage.patience = Patience { tries: 100, total: Duration::from_secs(2), ..PATIENCE };
        let store = server.store_with(&server.fresh_url(), &storage);
        store.put("a", b"1").expect_err("it never does it");
        assert!(proxy.requests() < 10, "the time is bounded too: {}", proxy.requests());
    }
}

#[test]
fn a_server_that_ignores_conditions_founds_no_lake() {
    for server in servers() {
        let proxy = Proxy::start(&server.address, |head, _| {
            is_conditional(head).then_some(Trouble::Forget)
        });
        let store = server.store_with(&server.fresh_url(), &server.storage(&proxy.address));
        let refused = open_with(&store, Arc::new(tidegauge_flow::NoFailpoint));
        // Azure signs the header, so there the lie cannot be staged.
        if server.name.ends_with("S3") {
            let text = refused.expect_err("it is not trusted").to_string();
            assert!(
                text.contains("cannot trust s3://") && text.contains("If-None-Match"),
                "{text}"
            );
        }
    }
}

/// A store whose server gives these answers, one after the other, and the last one for ever.
fn answering(answers: &'static [Trouble]) -> (Proxy, ObjectStore) {
    let proxy = Proxy::start("127.0.0.1:1", move |_, n| {
        let last = answers.len() - 1;
        Some(answers[usize::try_from(n - 1).map_or(last, |n| n.min(last))])
    });
    let endpoint = format!("http://{}", proxy.address);
    let options = [
        ("endpoint", endpoint.as_str()),
        ("allow_http", "true"),
        ("access_key_id", "k"),
        ("secret_access_key", "s"),
    ];
    let options = options.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let storage = Storage { options, patience: PATIENCE };
    let store = ObjectStore::connect("s3://bucket/x", &storage).expect("valid");
    (proxy, store)
}

#[test]
fn fm_23_it_exists_is_believed_only_when_no_earlier_try_may_have_made_it() {
    const THERE: Trouble = Trouble::Answer(412, None);
    let sure: [&'static [Trouble]; 2] = [&[THERE], &[Trouble::Answer(429, None), THERE]];
    for answers in sure {
        let (_proxy, store) = answering(answers);
        let answer = store.put_if_absent("a", b"1");
        assert!(matches!(answer, Err(StoreError::Exists { .. })), "{answers:?}: {answer:?}");
    }
    let unsure: [&'static [Trouble]; 4] = [
        &[Trouble::Answer(500, None), THERE],
        &[Trouble::Answer(503, Some(0)), Trouble::Answer(429, None), THERE],
        &[Trouble::CutBefore, THERE],
        // Another request for the name is under way; then it is there.
        &[Trouble::Answer(409, None), Trouble::Answer(404, None), Trouble::CutBefore, THERE],
    ];
    for answers in unsure {
        let (_proxy, store) = answering(answers);
        let answer = store.put_if_absent("a", b"1");
        assert!(matches!(answer, Err(StoreError::Ambiguous { .. })), "{answers:?}: {answer:?}");
    }
}

#[test]
fn fm_29_requests_to_a_server_that_never_comes_back_end() {
    let (proxy, store) = answering(&[Trouble::Answer(500, None)]);
    let text = store.get("a").expect_err("it never answers well").to_string();
    assert!(text.contains("12 tries failed") && text.contains("500 (Injected)"), "{text}");
    assert_eq!(proxy.requests(), 12);
}
