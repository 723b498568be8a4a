//! Quantiles of distributions, as far as the test of drift needs them.

/// What a chi square of so many degrees of freedom passes with this chance, which is below 0.5: Wilson and
/// Hilferty's cube root; within 1 % from 3 degrees on, within 4 % at one.
pub(super) fn chi_square(degrees: usize, chance: f64) -> f64 {
    let part = 2.0 / (9.0 * degrees as f64);
    degrees as f64 * (1.0 - part + normal(chance) * part.sqrt()).powi(3)
}

/// What a standard normal number passes with this chance, which is below 0.5: Abramowitz and Stegun 26.2.23,
/// off by less than 0.00045.
fn normal(chance: f64) -> f64 {
    let t = (-2.0 * chance.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        let cases =
            [(1, 0.001, 10.828), (9, 0.001, 27.877), (9, 0.0001, 33.720), (3, 0.01, 11.345)];
        for (degrees, chance, expected) in cases {
            let found = chi_square(degrees, chance);
            assert!((found / expected - 1.0).abs() < 0.04, "{degrees} {chance}: {found}");
        }
        assert!((normal(0.025) - 1.959_96).abs() < 5e-4);
    }
}
