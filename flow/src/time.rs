//! Event time: nanoseconds since 1970-01-01T00:00:00Z, and how it is shown.

/// Nanoseconds per second.
pub const NANOS: i64 = 1_000_000_000;

/// Days since the epoch of a date of the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from((month + 9) % 12);
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// Year, month and day of a day since the epoch: the inverse of [`days_from_civil`].
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The date of an event time, as `2026-01-31`.
pub fn date_text(time_ns: i64) -> String {
    let (year, month, day) = civil_from_days(time_ns.div_euclid(86_400 * NANOS));
    format!("{year:04}-{month:02}-{day:02}")
}

/// An event time as RFC 3339 in UTC, with as many fraction digits as it needs.
pub fn rfc3339(time_ns: i64) -> String {
    let seconds = time_ns.div_euclid(NANOS).rem_euclid(86_400);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{:09}", time_ns.rem_euclid(NANOS));
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}T{hour:02}:{minute:02}:{second:02}{dot}{fraction}Z", date_text(time_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_goes_there_and_back() {
        for days in -200_000..200_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn times_are_shown_in_utc_with_the_digits_they_need() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_535_497_205_100_000_000, "2018-08-28T23:00:05.1Z"),
            (1_582_934_400 * NANOS, "2020-02-29T00:00:00Z"),
        ];
        for (time_ns, text) in cases {
            assert_eq!(rfc3339(time_ns), text);
        }
    }
}
