//! The probes' states.

use super::Health;

#[test]
fn a_new_process_lives_and_says_that_it_is_starting() {
    let health = Health::new();
    assert_eq!(health.liveness(), Ok(()));
    assert_eq!(health.readiness(), Err("starting".to_owned()));
}

#[test]
fn readiness_comes_and_goes_with_its_reason() {
    let health = Health::new();
    health.ready();
    assert_eq!(health.readiness(), Ok(()));
    health.not_ready("no broker answers");
    assert_eq!(health.readiness(), Err("no broker answers".to_owned()));
    assert_eq!(health.liveness(), Ok(()), "a broker that is away needs no restart");
    health.ready();
    assert_eq!(health.readiness(), Ok(()));
}

#[test]
fn the_first_reason_of_death_stays_and_ends_readiness() {
    let health = Health::new();
    health.ready();
    health.dead("lane sensors-0 stopped");
    health.dead("lane sensors-1 stopped");
    health.ready();
    assert_eq!(health.liveness(), Err("lane sensors-0 stopped".to_owned()));
    assert_eq!(health.readiness(), Err("lane sensors-0 stopped".to_owned()));
}
