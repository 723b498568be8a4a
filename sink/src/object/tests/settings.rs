//! URLs, settings, and what a user hears when they are wrong.

use super::*;
use crate::testing::servers::PATIENCE;

fn refused(url: &str, options: &[(&str, &str)]) -> String {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let storage = Storage { options, patience: PATIENCE };
    ObjectStore::connect(url, &storage).expect_err("refused").to_string()
}

#[test]
fn a_url_that_cannot_be_meant_is_refused() {
    for (url, what) in [
        ("http://bucket/x", "is no URL of a bucket"),
        ("s3:/bucket", "is no URL of a bucket"),
        ("s3://", "names no bucket"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/a//b", "has an empty part"),
        ("s3://bucket/../b", "has characters"),
        ("az://container/x?sig=1", "has characters"),
        ("gs://bucket/a%20b", "has characters"),
    ] {
        let text = refused(url, &[]);
        assert!(text.contains(what) && text.contains(url), "{text}");
    }
    assert!(is_object_url("abfss://c@a.dfs.core.windows.net/x") && is_object_url("s3://b"));
    assert!(!is_object_url("lake") && !is_object_url("file:///lake") && !is_object_url("ftp://x"));
}

#[test]
fn secrets_are_never_shown() {
    let text = refused("s3://key:hunter2@bucket/x", &[]);
    assert!(text.contains("credentials do not belong into the URL"), "{text}");
    let unknown = refused("s3://bucket", &[("secret_acess_key", "hunter2")]);
    assert!(unknown.contains("\"secret_acess_key\", which is no setting of s3"), "{unknown}");
    let bad = refused("az://c", &[("account_name", "a"), ("account_key", "hunter2 is no base64")]);
    let options = [("secret_access_key".to_owned(), "hunter2".to_owned())].into();
    let shown = format!("{:?}", Storage { options, patience: PATIENCE });
    assert!(shown.contains("secret_access_key"), "{shown}");
    for text in [text, unknown, bad, shown] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_place_keeps_its_prefix_and_its_name() {
    let options = [("access_key_id", "k"), ("secret_access_key", "s")];
    let options = options.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let storage = Storage { options, patience: PATIENCE };
    for (url, prefix) in [("s3://b", ""), ("s3://b/", ""), ("s3://b/x/y/", "x/y/")] {
        let store = ObjectStore::connect(url, &storage).expect("valid");
        assert_eq!(
            (store.prefix.as_str(), store.url()),
            (prefix, url.trim_end_matches('/').to_owned())
        );
        let access = ObjectStore::file_access(url, &storage).expect("valid");
        assert_eq!(access.root, "s3://b");
    }
}

#[test]
fn fm_29_a_bucket_that_is_not_there_is_named() {
    for server in servers() {
        let url = server.fresh_url().replace("/tidegauge/", "/nobodys-bucket/");
        let store = server.store(&url);
        let errors = [
            store.put("a", b"1").expect_err("no bucket"),
            store.put_if_absent("a", b"1").expect_err("no bucket"),
            store.list("t/").expect_err("no bucket"),
        ];
        for text in errors.map(|error| error.to_string()) {
            let says =
                text.contains(&url) && text.contains("the bucket or container does not exist");
            assert!(says, "{}: {text}", server.name);
        }
    }
}

#[test]
fn fm_29_credentials_that_are_refused_are_an_error_at_once_and_not_shown() {
    for server in servers().into_iter().filter(|s| s.name.ends_with("AZURE")) {
        let mut storage = server.storage(&server.address);
        let wrong = "aHVudGVyMg==";
        storage.options.insert("account_key".to_owned(), wrong.to_owned());
        let store = server.store_with(&server.fresh_url(), &storage);
        let text = store.put("a", b"1").expect_err("refused").to_string();
        assert!(text.contains("the server refused us with 403"), "{text}");
        assert!(text.contains("AZURE_STORAGE_ACCOUNT_KEY") && !text.contains(wrong), "{text}");
    }
}

#[test]
fn fm_29_a_server_that_cannot_be_reached_is_given_up_within_bounds() {
    let patience = Patience { tries: 3, ..PATIENCE };
    let options = [
        ("endpoint", "http://127.0.0.1:1"),
        ("allow_http", "true"),
        ("access_key_id", "k"),
        ("secret_access_key", "s"),
    ];
    let options = options.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let store = ObjectStore::connect("s3://b/x", &Storage { options, patience }).expect("valid");
    let text = store.put_if_absent("a", b"1").expect_err("nobody is there").to_string();
    assert!(
        text.starts_with("cannot write s3://b/x/a: 3 tries failed, the last one because"),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
}
