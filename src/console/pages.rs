//! Where a page ends, when the next one begins before a time.

/// Cuts rows, which are sorted by falling time, to a page. Gives the time before which the next page begins, when
/// there is one. What is of one moment stays on one page, unless it is more than a page: then what is over is
/// left out.
pub fn cut<T>(rows: &mut Vec<T>, limit: usize, time_us: impl Fn(&T) -> i64) -> Option<i64> {
    let over = time_us(rows.get(limit)?);
    let whole = rows.iter().take_while(|row| time_us(row) > over).count();
    rows.truncate(if whole == 0 { limit } else { whole });
    Some(if whole == 0 { over } else { over.saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All rows, how many are wanted, the page, what to ask for next.
    type Case = (&'static [i64], usize, &'static [i64], Option<i64>);

    #[test]
    fn pages_join_without_gap_or_overlap_but_for_moments_that_are_more_than_a_page() {
        let cases: [Case; 6] = [
            (&[9, 8, 7], 3, &[9, 8, 7], None),
            (&[9, 8, 7], 2, &[9, 8], Some(8)),
            (&[9, 8, 8, 7], 2, &[9], Some(9)),
            (&[9, 8, 8, 7], 3, &[9, 8, 8], Some(8)),
            (&[9, 9, 9, 8], 2, &[9, 9], Some(9)),
            (&[], 2, &[], None),
        ];
        for (all, limit, page, next) in cases {
            let mut rows = all.to_vec();
            assert_eq!(cut(&mut rows, limit, |row| *row), next, "{all:?} {limit}");
            assert_eq!(rows, page, "{all:?} {limit}");
        }
    }
}
