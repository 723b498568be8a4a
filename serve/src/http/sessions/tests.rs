//! How long sessions last, and how many there are.

use std::time::{Duration, Instant};

use super::{IDLE, LIFE, Place, SESSIONS_MAX, Sessions};
use crate::http::keys::KeyHash;

#[test]
fn a_session_stands_for_its_key_until_it_is_idle_old_or_closed() {
    let (sessions, begin) = (Sessions::default(), Instant::now());
    let key = KeyHash::of("a");
    let id = sessions.open(key, begin).expect("random bytes");
    assert_eq!(sessions.key(Place::of(&id), begin + IDLE - Duration::from_secs(1)), Some(key));
    assert_eq!(sessions.key(Place::of("another"), begin), None);
    // Used just now, so idle from then on.
    assert_eq!(sessions.key(Place::of(&id), begin + IDLE), Some(key));
    assert_eq!(sessions.key(Place::of(&id), begin + 2 * IDLE), None);
    assert_eq!(sessions.key(Place::of(&id), begin), None, "what is over does not come back");

    let old = sessions.open(key, begin).expect("random bytes");
    let mut now = begin;
    while now < begin + LIFE - IDLE / 2 {
        assert_eq!(sessions.key(Place::of(&old), now), Some(key));
        now += IDLE / 2;
    }
    assert_eq!(sessions.key(Place::of(&old), begin + LIFE), None, "however much it is used");

    let closed = sessions.open(key, begin).expect("random bytes");
    assert!(sessions.holds(Place::of(&closed), begin));
    assert!(!sessions.holds(Place::of(&closed), begin + IDLE));
    sessions.close(Place::of(&closed));
    assert!(!sessions.holds(Place::of(&closed), begin));
    assert_eq!(sessions.key(Place::of(&closed), begin), None);
}

#[test]
fn the_least_used_session_makes_room() {
    let (sessions, begin) = (Sessions::default(), Instant::now());
    let key = KeyHash::of("a");
    let open = |after: u64| {
        sessions.open(key, begin + Duration::from_millis(after)).expect("random bytes")
    };
    let first = open(0);
    let second = open(1);
    for number in 2..SESSIONS_MAX as u64 {
        open(number);
    }
    let now = begin + Duration::from_secs(10);
    assert_eq!(
        sessions.key(Place::of(&first), now),
        Some(key),
        "used, so the second is now the least used"
    );
    sessions.open(key, now).expect("random bytes");
    assert_eq!(sessions.key(Place::of(&second), now), None);
    assert_eq!(sessions.key(Place::of(&first), now), Some(key));
    assert_eq!(sessions.with(|open| open.len()), SESSIONS_MAX);
}
