//! Checks that the options of several ways to fit share.

use crate::error::ScoreError;

/// # Errors
/// [`ScoreError::Option`] unless it is above 0 and below 1.
pub(crate) fn check_nu(name: &'static str, nu: f64) -> Result<(), ScoreError> {
    check(nu > 0.0 && nu < 1.0, name, nu, "it must be above 0 and below 1")
}

/// # Errors
/// [`ScoreError::Option`] unless it is above 0 and finite, where it is given.
pub(crate) fn check_gamma(name: &'static str, gamma: Option<f64>) -> Result<(), ScoreError> {
    let gamma = gamma.unwrap_or(1.0);
    check(gamma > 0.0 && gamma.is_finite(), name, gamma, "it must be above 0")
}

/// # Errors
/// [`ScoreError::Option`] unless it is above 0 and at most 0.1.
pub(crate) fn check_tolerance(name: &'static str, tolerance: f64) -> Result<(), ScoreError> {
    check(tolerance > 0.0 && tolerance <= 0.1, name, tolerance, "it must be in (0, 0.1]")
}

/// # Errors
/// [`ScoreError::Option`] with the value and what it may be, unless it is good.
pub(crate) fn check(
    good: bool,
    name: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> Result<(), ScoreError> {
    match good {
        true => Ok(()),
        false => Err(ScoreError::Option { name, value: value.to_string(), expected }),
    }
}
