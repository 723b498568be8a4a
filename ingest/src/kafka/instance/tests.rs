//! Slots: kept, given back, never shared.

use super::*;

#[test]
fn the_lowest_free_slot_is_given_and_comes_back_after_its_holder_is_gone() {
    let state = tempfile::tempdir().expect("a directory");
    let claim = || Instance::claim(state.path(), "host", "file:///lake").expect("a slot");
    let first = claim();
    let second = claim();
    assert!(first.name().ends_with("-0"), "{}", first.name());
    assert!(second.name().ends_with("-1"), "{}", second.name());
    let name = first.name().to_owned();
    drop(first);
    assert_eq!(claim().name(), name);
}

#[test]
fn other_lakes_have_slots_of_their_own() {
    let state = tempfile::tempdir().expect("a directory");
    let one = Instance::claim(state.path(), "host", "file:///one").expect("a slot");
    let two = Instance::claim(state.path(), "host", "file:///two").expect("a slot");
    assert!(one.name().ends_with("-0") && two.name().ends_with("-0"));
    assert_ne!(one.name(), two.name());
}

#[test]
fn any_host_gives_a_legal_name() {
    let state = tempfile::tempdir().expect("a directory");
    for host in ["a b/ü", "", &"x".repeat(300)] {
        let instance = Instance::claim(state.path(), host, "lake").expect("a slot");
        assert!(is_instance_name(instance.name()), "{}", instance.name());
    }
}

#[test]
fn a_configured_name_is_checked() {
    assert_eq!(Instance::configured("pod-3").expect("is legal").name(), "pod-3");
    Instance::configured("pod 3").expect_err("a space is not legal");
    Instance::configured("").expect_err("nothing is not legal");
}

#[test]
fn the_state_directory_follows_the_environment() {
    let of = |pairs: &'static [(&str, &str)]| {
        state_directory(|name| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| v.into()))
    };
    assert_eq!(of(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/tidegauge"));
    assert_eq!(
        of(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]),
        Path::new("/h/.local/state/tidegauge")
    );
    assert_eq!(of(&[]), Path::new("/var/lib/tidegauge"));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let state = tempfile::tempdir().expect("a directory");
    let file = state.path().join("file");
    std::fs::write(&file, b"").expect("written");
    let error = Instance::claim(&file, "host", "lake").expect_err("a file is no directory");
    assert!(error.to_string().contains("file"), "{error}");
}
