//! When a failed login makes the next one wait.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::{Attempts, EVERY, FREE, PEERS_MAX};

fn peer(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + number))
}

#[test]
fn some_failures_are_free_and_then_each_has_to_wait() {
    let (attempts, begin) = (Attempts::default(), Instant::now());
    for _ in 0..FREE {
        assert_eq!(attempts.wait(peer(1), begin), None);
        attempts.failed(peer(1), begin);
    }
    assert_eq!(attempts.wait(peer(1), begin), Some(EVERY));
    assert_eq!(attempts.wait(peer(2), begin), None, "others are not held up");
    assert_eq!(attempts.wait(peer(1), begin + EVERY), None);
    attempts.failed(peer(1), begin + EVERY);
    assert_eq!(attempts.wait(peer(1), begin + EVERY), Some(EVERY));
    assert_eq!(attempts.wait(peer(1), begin + Duration::from_secs(3600)), None);
}

#[test]
fn addresses_are_not_remembered_without_end() {
    let (attempts, begin) = (Attempts::default(), Instant::now());
    for number in 0..PEERS_MAX as u32 + 100 {
        attempts.failed(peer(number), begin);
    }
    assert_eq!(attempts.with(|until| until.len()), PEERS_MAX);
}
