//! Event times out of texts and numbers: exact, without allocation.

use tidegauge_flow::time::{NANOS, days_from_civil};

/// A point in time, as far as nanoseconds in 64 bits (the years 1677 to 2262) can tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nanoseconds since the epoch.
    At(i64),
    /// Before all that 64 bits hold.
    Before,
    /// After all that 64 bits hold.
    After,
}

/// The minute that the last text lay in: neighbours mostly share it, so its date is not computed again.
#[derive(Debug)]
pub(crate) struct Recent {
    /// `YYYY-MM-DDThh:mm:` as it was written.
    text: [u8; MINUTE],
    /// Its begin, seconds since the epoch, without an offset.
    seconds: i64,
}

impl Default for Recent {
    /// The first minute of the epoch: as true as any.
    fn default() -> Self {
        Self { text: *b"1970-01-01T00:00:", seconds: 0 }
    }
}

/// Bytes of a text up to its minute.
const MINUTE: usize = 17;

/// As [`parse_text`].
pub(crate) fn parse_near(text: &str, recent: &mut Recent) -> Option<Moment> {
    let (minute, rest) = text.as_bytes().split_first_chunk::<MINUTE>()?;
    let (second, rest) = rest.split_first_chunk::<2>()?;
    if *minute != recent.text {
        *recent = Recent { text: *minute, seconds: minute_seconds(minute)? };
    }
    let second = two_digits(second[0], second[1]).filter(|second| *second <= 59)?;
    let (nanos, zone) = fraction(rest)?;
    let offset = offset_seconds(zone)?;
    Some(moment(recent.seconds + i64::from(second) - offset, nanos))
}

/// The begin of `YYYY-MM-DDThh:mm:`, seconds since the epoch.
fn minute_seconds(text: &[u8; MINUTE]) -> Option<i64> {
    let pair = |at: usize| two_digits(text[at], text[at + 1]);
    let separators = [text[4], text[7], text[13], text[16]];
    if separators != *b"--::" || !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = i64::from(pair(0)? * 100 + pair(2)?);
    let (month, day) = (pair(5)?, pair(8)?);
    let (hour, minute) = (pair(11)?, pair(14)?);
    let date_exists = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    if !date_exists || hour > 23 || minute > 59 {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60))
}

/// Reads `YYYY-MM-DD`, one of `T`, `t` or a space, `hh:mm:ss`, optionally `.` and one to nine
/// digits, optionally `Z`, `z` or `±hh:mm` (without: UTC). `None` for all else, dates that don't
/// exist and leap seconds included.
///
/// Source: RFC 3339, section 5.6; the offset may be absent and the separator a space because that
/// is how tables and spreadsheets write times.
pub(crate) fn parse_text(text: &str) -> Option<Moment> {
    parse_near(text, &mut Recent::default())
}

/// Reads a decimal number (optionally with a sign, a fraction and an exponent) of a unit that is
/// 10^`exponent` nanoseconds long; digits below one nanosecond are cut off downwards. `None` when
/// `text` is no such number.
pub(crate) fn parse_epoch(text: &str, exponent: u32) -> Option<Moment> {
    let number = Decimal::parse(text.as_bytes())?;
    Some(number.floor_scaled(i64::from(exponent)))
}

fn moment(seconds: i64, nanos: i64) -> Moment {
    // In 128 bits because the first second that 64 bits hold is held in part only.
    match i64::try_from(i128::from(seconds) * i128::from(NANOS) + i128::from(nanos)) {
        Ok(time_ns) => Moment::At(time_ns),
        Err(_) if seconds < 0 => Moment::Before,
        Err(_) => Moment::After,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens * 10 + ones))
}

fn days_in(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The nanoseconds of `.fff` and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let (mut value, mut count) = (0, 0);
    for digit in digits.iter().map(|b| b.wrapping_sub(b'0')).take_while(|digit| *digit <= 9) {
        if count == SCALES.len() {
            return None;
        }
        value = value * 10 + i64::from(digit);
        count += 1;
    }
    let scale = SCALES.get(count.checked_sub(1)?)?;
    Some((value * scale, &digits[count..]))
}

/// Nanoseconds of the last digit of a fraction with one digit, two, and so on.
const SCALES: [i64; 9] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
            let seconds = i64::from(hours * 3600 + minutes * 60);
            let known = hours <= 23 && minutes <= 59;
            known.then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// A decimal number as text: the value is 0.`digits` times 10^`point`.
struct Decimal<'a> {
    negative: bool,
    /// The digits before and after the point.
    digits: (&'a [u8], &'a [u8]),
    /// Where the point is, counted from the first digit, exponent applied.
    point: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let negative = text.first() == Some(&b'-');
        let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        let (whole, rest) = digits(text);
        let (part, rest) = match rest.strip_prefix(b".") {
            Some(rest) => digits(rest),
            None => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let point = exponent.saturating_add(whole.len() as i64);
        Some(Self { negative, digits: (whole, part), point })
    }

    /// The largest whole number that is not above the value times 10^`exponent`.
    fn floor_scaled(&self, exponent: i64) -> Moment {
        let (whole, part) = self.digits;
        let all = || whole.iter().chain(part).map(|d| i128::from(d - b'0'));
        let Some(zeros) = all().position(|d| d != 0) else {
            return Moment::At(0);
        };
        // Digits of the result, without leading zeros; 64 bits hold 19.
        let count = self.point.saturating_add(exponent).saturating_sub(zeros as i64);
        if count > 19 {
            return if self.negative { Moment::Before } else { Moment::After };
        }
        let count = count.max(0) as usize;
        let kept = all().skip(zeros).chain(std::iter::repeat(0)).take(count);
        let mut value = kept.fold(0, |value, d| value * 10 + d);
        if self.negative {
            let cut_off = all().skip(zeros + count).any(|d| d != 0);
            value = -value - i128::from(cut_off);
        }
        match i64::try_from(value) {
            Ok(time_ns) => Moment::At(time_ns),
            Err(_) if self.negative => Moment::Before,
            Err(_) => Moment::After,
        }
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|b| b.is_ascii_digit()).count())
}

/// The exponent after the `e`, cut to what no text of the permitted length can outweigh.
fn exponent(text: &[u8]) -> Option<i64> {
    let negative = text.first() == Some(&b'-');
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let (all, rest) = digits(text);
    if all.is_empty() || !rest.is_empty() {
        return None;
    }
    let add = |value: i64, d: &u8| value.saturating_mul(10).saturating_add(i64::from(d - b'0'));
    let value = all.iter().fold(0, add).min(i64::MAX / 4);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests;
