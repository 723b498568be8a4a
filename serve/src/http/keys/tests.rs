//! The file of keys: what is written, what is refused, what stays.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{KeyFile, KeyHash, Made, PREFIX, Role, Secret, add, init, remove};

#[test]
fn a_key_is_random_and_the_file_holds_its_hash_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    let (first, second) = (Secret::random().expect("random"), Secret::random().expect("random"));
    assert_ne!(first.text(), second.text());
    assert!(first.text().starts_with(PREFIX));
    assert_eq!(first.text().len(), PREFIX.len() + 64);
    add(&path, Role::View, "grafana", &first, "2026-01-01T00:00:00Z").expect("a key is added");
    add(&path, Role::View, "grafana", &second, "2026-01-02T00:00:00Z").expect("a second one too");
    let text = fs::read_to_string(&path).expect("the file");
    for secret in [&first, &second] {
        assert!(!text.contains(&secret.text()[PREFIX.len()..]), "{text}");
        assert!(text.contains(&secret.hash().text()), "{text}");
    }
    assert_eq!(format!("{first:?}"), "Secret", "not in any log");
    let keys = KeyFile::read(&path).expect("it can be read").keys;
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].hash, KeyHash::of(&first.text()));
    assert_eq!((keys[1].name.as_str(), keys[1].role), ("grafana", Role::View));
    let mode = fs::metadata(&path).expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o640);
    let gone = remove(&path, |key| key.hash.id() == first.hash().id()).expect("it is there");
    assert_eq!(gone.len(), 1);
    assert_eq!(KeyFile::read(&path).expect("it can be read").keys, keys[1..]);
    let error = remove(&path, |key| key.name == "nobody").expect_err("there is none");
    assert!(error.to_string().ends_with("has no such key"), "{error}");
}

#[test]
fn what_is_no_file_of_keys_is_refused_without_being_shown() {
    let key = |role: &str, hash: &str| {
        format!("[[key]]\nname = \"a\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\ncreated = \"\"\n")
    };
    let hash = "0".repeat(64);
    let cases = [
        ("tgk_secret".to_owned(), "not as `tidegauge keys` writes it at line 1"),
        (format!("\n{}more = 1\n", key("view", &hash)), "not as `tidegauge keys` writes it"),
        (key("admin", &hash), "key 1 has no role of view, score, operate"),
        (key("view", "tgk_secret"), "key 1 has no sha256 of 64 hexadecimal digits"),
        (key("view", &"é".repeat(32)), "key 1 has no sha256"),
        (key("view", &hash).replace("\"a\"", "\"a b\""), "key 1 has no proper name"),
        (key("view", &hash).repeat(1001), "more than 1000 keys"),
        (format!("#{}", "x".repeat(2 << 20)), "more than 1048576 bytes"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    for (text, expected) in cases {
        fs::write(&path, text).expect("the file can be written");
        let error = KeyFile::read(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
        assert!(!error.contains("secret"), "{error}");
    }
    let secret = Secret::random().expect("random");
    let error = add(&path, Role::View, "a b", &secret, "").expect_err("no name").to_string();
    assert!(error.contains("\"a b\""), "{error}");
}

#[test]
fn a_folder_of_keys_is_made_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = init(folder.path(), "2026-01-01T00:00:00Z").expect("they are made");
    assert!(made.iter().all(|made| matches!(made, Made::New(_))), "{made:?}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
    let texts = Role::ALL.map(|role| read(role.as_str()));
    let keys = KeyFile::read(&folder.path().join("keys.toml")).expect("the keys").keys;
    for (role, text) in Role::ALL.iter().zip(&texts) {
        let hash = KeyHash::of(text.trim());
        assert!(keys.iter().any(|key| key.role == *role && key.hash == hash), "{role:?}");
    }
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name)).expect("a file").permissions().mode() & 0o777
    };
    assert_eq!((mode("view"), mode("score"), mode("operate")), (0o640, 0o600, 0o600));

    let again = init(folder.path(), "2026-01-02T00:00:00Z").expect("they are there");
    assert!(again.iter().all(|made| matches!(made, Made::Kept(_))), "{again:?}");
    assert_eq!(Role::ALL.map(|role| read(role.as_str())), texts);
    fs::remove_file(folder.path().join("keys.toml")).expect("it was there");
    let error = init(folder.path(), "").expect_err("keys without hashes").to_string();
    assert!(error.contains("keys.toml is missing"), "{error}");
}

#[test]
fn roles_may_what_they_are_for_and_operate_may_all() {
    let may = |role: Role| Role::ALL.map(|what| role.may(what));
    assert_eq!(may(Role::View), [true, false, false]);
    assert_eq!(may(Role::Score), [false, true, false]);
    assert_eq!(may(Role::Operate), [true, true, true]);
}
