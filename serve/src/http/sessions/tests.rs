//! How long sessions last, and how many there are.

use std::time::{Duration, Instant};

use super::{IDLE, LIFE, SESSIONS_MAX, Sessions};
use crate::http::keys::KeyHash;

#[test]
fn a_session_stands_for_its_key_until_it_is_idle_old_or_closed() {
    let (sessions, begin) = (Sessions::default(), Instant::now());
    let key = KeyHash::of("a");
    let id = sessions.open(key, begin).expect("random bytes");
    assert_eq!(sessions.key(&id, begin + IDLE - Duration::from_secs(1)), Some(key));
    assert_eq!(sessions.key("another", begin), None);
    // Used just now, so idle from then on.
    assert_eq!(sessions.key(&id, begin + IDLE), Some(key));
    assert_eq!(sessions.key(&id, begin + 2 * IDLE), None);
    assert_eq!(sessions.key(&id, begin), None, "what is over does not come back");

    let old = sessions.open(key, begin).expect("random bytes");
    let mut now = begin;
    while now < begin + LIFE - IDLE / 2 {
        assert_eq!(sessions.key(&old, now), Some(key));
        now += IDLE / 2;
    }
    assert_eq!(sessions.key(&old, begin + LIFE), None, "however much it is used");

    let closed = sessions.open(key, begin).expect("random bytes");
    sessions.close(&closed);
    assert_eq!(sessions.key(&closed, begin), None);
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
    assert_eq!(sessions.key(&first, now), Some(key), "used, so the second is now the least used");
    sessions.open(key, now).expect("random bytes");
    assert_eq!(sessions.key(&second, now), None);
    assert_eq!(sessions.key(&first, now), Some(key));
    assert_eq!(sessions.with(|open| open.len()), SESSIONS_MAX);
}
