//! The idle clock.

use std::time::{Duration, Instant};

use super::IdleClock;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn fm_05_busy_or_behind_is_not_idle() {
    let (mut idle, start) = (IdleClock::default(), Instant::now());
    idle.evidence(start, 5, 10);
    idle.evidence(start + S(60), 9, 10);
    assert_eq!(idle.take_move(S(30)), None, "behind");
    idle.evidence(start + S(61), 10, 10);
    idle.evidence(start + S(70), 10, 10);
    idle.busy(start + S(80));
    idle.evidence(start + S(95), 11, 11);
    assert_eq!(idle.take_move(S(30)), None, "a message came in between");
}

#[test]
fn fm_04_silence_moves_the_watermark_by_what_has_passed_and_no_second_twice() {
    let (mut idle, start) = (IdleClock::default(), Instant::now());
    idle.evidence(start, 10, 10);
    assert_eq!(idle.take_move(S(30)), None);
    idle.evidence(start + S(31), 10, 10);
    assert_eq!(idle.take_move(S(30)), Some(S(31)));
    assert_eq!(idle.take_move(S(30)), None, "no new evidence: an unreachable broker is none");
    idle.evidence(start + S(40), 10, 10);
    assert_eq!(idle.take_move(S(30)), Some(S(9)));
}
