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

/// Reads `YYYY-MM-DD`, one of `T`, `t` or a space, `hh:mm:ss`, optionally `.` and one to nine
/// digits, optionally `Z`, `z` or `±hh:mm` (without: UTC). `None` for all else, dates that don't
/// exist and leap seconds included.
///
/// Source: RFC 3339, section 5.6; the offset may be absent and the separator a space because that
/// is how tables and spreadsheets write times.
pub(crate) fn parse_text(text: &str) -> Option<Moment> {
    let (head, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let pair = |at: usize| two_digits(head[at], head[at + 1]);
    let separators = [head[4], head[7], head[13], head[16]];
    if separators != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = i64::from(pair(0)? * 100 + pair(2)?);
    let (month, day) = (pair(5)?, pair(8)?);
    let (hour, minute, second) = (pair(11)?, pair(14)?, pair(17)?);
    let date_exists = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    if !date_exists || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let offset = offset_seconds(zone)?;
    let clock = i64::from(hour * 3600 + minute * 60 + second);
    Some(moment(days_from_civil(year, month, day) * 86_400 + clock - offset, nanos))
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
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return None;
    }
    let (digits, zone) = digits.split_at(count);
    let value = digits.iter().fold(0, |value, d| value * 10 + i64::from(d - b'0'));
    Some((value * 10_i64.pow(9 - count as u32), zone))
}

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
