//! Times against a table, and against a slow reader that shares no code with the fast one.

use proptest::prelude::*;

use super::*;

const DAY_NS: i128 = 86_400_000_000_000;

#[test]
fn texts_are_read_to_the_nanosecond() {
    let cases: [(&str, i64); 14] = [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2018-08-28 23:00:05.000", 1_535_497_205_000_000_000),
        ("2018-08-28 23:00:05", 1_535_497_205_000_000_000),
        ("2018-04-06T20:59:55.7096564Z", 1_523_048_395_709_656_400),
        ("2018-04-06t20:59:55.7096564z", 1_523_048_395_709_656_400),
        ("2018-04-06T20:59:55.7", 1_523_048_395_700_000_000),
        ("2018-04-06T22:59:55+02:00", 1_523_048_395_000_000_000),
        ("2018-04-06T15:29:55-05:30", 1_523_048_395_000_000_000),
        ("2018-04-06T20:59:55-00:00", 1_523_048_395_000_000_000),
        ("2020-02-29T00:00:00Z", 1_582_934_400_000_000_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
        ("1677-09-21T00:12:43.145224192Z", i64::MIN),
        ("2262-04-11T23:47:16.854775807Z", i64::MAX),
    ];
    for (text, time_ns) in cases {
        assert_eq!(parse_text(text), Some(Moment::At(time_ns)), "{text}");
    }
}

#[test]
fn years_beyond_64_bits_of_nanoseconds_are_before_or_after() {
    let cases = [
        ("0000-01-01T00:00:00Z", Moment::Before),
        ("1677-09-21T00:12:43.145224191Z", Moment::Before),
        ("2262-04-11T23:47:16.854775808Z", Moment::After),
        ("9999-12-31T23:59:59.999999999Z", Moment::After),
    ];
    for (text, moment) in cases {
        assert_eq!(parse_text(text), Some(moment), "{text}");
    }
}

#[test]
fn what_is_no_time_is_refused() {
    let cases = [
        "",
        "now",
        "2018-08-28",
        "2018-08-28T23:00Z",
        "2018-08-28T23:00:05.Z",
        "2018-08-28T23:00:05.1234567890Z",
        "2018-08-28T23:00:05,5Z",
        "2018-08-28T23:00:60Z",
        "2018-08-28T23:60:00Z",
        "2018-08-28T24:00:00Z",
        "2018-13-01T00:00:00Z",
        "2018-00-01T00:00:00Z",
        "2018-01-00T00:00:00Z",
        "2018-04-31T00:00:00Z",
        "2018-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2018-08-28T23:00:05+24:00",
        "2018-08-28T23:00:05+02:60",
        "2018-08-28T23:00:05+0200",
        "2018-08-28T23:00:05+02",
        "2018-08-28T23:00:05ZZ",
        "2018-08-28T23:00:05 Z",
        " 2018-08-28T23:00:05Z",
        "2018-08-28T23:00:05Z ",
        "2018-08-28_23:00:05Z",
        "2018/08/28T23:00:05Z",
        "-018-08-28T23:00:05Z",
        "12018-08-28T23:00:05Z",
        "2018-08-28T23:00:0５Z",
    ];
    for text in cases {
        assert_eq!(parse_text(text), None, "{text}");
    }
}

#[test]
fn epoch_numbers_are_exact_in_their_unit() {
    let cases = [
        ("0", 9, Moment::At(0)),
        ("-0", 9, Moment::At(0)),
        ("0e999999999999999999999", 9, Moment::At(0)),
        ("1535497205", 9, Moment::At(1_535_497_205_000_000_000)),
        ("1535497205.1", 9, Moment::At(1_535_497_205_100_000_000)),
        ("1535497205.123456789", 9, Moment::At(1_535_497_205_123_456_789)),
        ("1535497205.1234567899", 9, Moment::At(1_535_497_205_123_456_789)),
        ("1.5e3", 9, Moment::At(1_500_000_000_000)),
        ("1.5E+3", 6, Moment::At(1_500_000_000)),
        ("15e-1", 3, Moment::At(1500)),
        ("1e-10", 9, Moment::At(0)),
        ("-1e-10", 9, Moment::At(-1)),
        ("-1e-99", 9, Moment::At(-1)),
        ("-1.5", 9, Moment::At(-1_500_000_000)),
        ("1535497205123", 6, Moment::At(1_535_497_205_123_000_000)),
        ("1535497205123456", 3, Moment::At(1_535_497_205_123_456_000)),
        ("9223372036.854775807", 9, Moment::At(i64::MAX)),
        ("9223372036.854775808", 9, Moment::After),
        ("-9223372036.854775808", 9, Moment::At(i64::MIN)),
        ("-9223372036.854775809", 9, Moment::Before),
        ("1e999999999999999999999", 9, Moment::After),
        ("-1e30", 3, Moment::Before),
    ];
    for (text, exponent, moment) in cases {
        assert_eq!(parse_epoch(text, exponent), Some(moment), "{text}");
    }
    let long = format!("0.{}1e{}", "0".repeat(1 << 20), (1 << 20) + 1);
    assert_eq!(parse_epoch(&long, 9), Some(Moment::At(NANOS)));
}

#[test]
fn what_is_no_number_is_no_epoch() {
    for text in ["", "-", "+", ".", "e5", "1e", "1e+", "1 ", " 1", "0x10", "NaN", "inf", "1.2.3"] {
        assert_eq!(parse_epoch(text, 9), None, "{text}");
    }
}

/// Reads a time the slow way: characters, splits, and days counted year by year.
fn read_slowly(text: &str) -> Option<i128> {
    let all: Vec<char> = text.chars().collect();
    let number = |from: usize, to: usize| -> Option<i128> {
        let part: String = all.get(from..to)?.iter().collect();
        part.chars().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is = |at: usize, any: &str| all.get(at).is_some_and(|c| any.contains(*c));
    if !(is(4, "-") && is(7, "-") && is(10, "Tt ") && is(13, ":") && is(16, ":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = |y: i128| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if day < 1 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: i128 = (0..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    let months: i128 = lengths.iter().take(month as usize - 1).sum();
    // 719,528 days from 0000-01-01 to 1970-01-01.
    let days = years + months + day - 1 - 719_528;
    let rest: String = all[19..].iter().collect();
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone_at);
    let nanos: i128 = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(f) if (1..=9).contains(&f.len()) && f.chars().all(|c| c.is_ascii_digit()) => {
            format!("{f:0<9}").parse().ok()?
        }
        _ => return None,
    };
    let offset = match zone {
        "" | "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let two = |t: &str| t.len() == 2 && t.chars().all(|c| c.is_ascii_digit());
            let known = two(hours) && two(minutes) && hours <= "23" && minutes <= "59";
            let size =
                known.then(|| hours.parse::<i128>().ok().zip(minutes.parse::<i128>().ok()))??;
            (size.0 * 60 + size.1) * if zone.starts_with('-') { -1 } else { 1 }
        }
    };
    let clock = (hour * 60 + minute - offset) * 60 + second;
    Some(days * DAY_NS + clock * 1_000_000_000 + nanos)
}

fn expected(time_ns: Option<i128>) -> Option<Moment> {
    time_ns.map(|t| match i64::try_from(t) {
        Ok(t) => Moment::At(t),
        Err(_) if t < 0 => Moment::Before,
        Err(_) => Moment::After,
    })
}

#[test]
fn nothing_is_taken_for_a_minute_that_was_never_read() {
    assert_eq!(parse_text(&"\0".repeat(19)), None);
    let mut recent = Recent::default();
    assert_eq!(parse_near("2026-02-30T00:00:00Z", &mut recent), None);
    assert_eq!(parse_near("2026-02-30T00:00:01Z", &mut recent), None, "nor the second time");
}

proptest! {
    #[test]
    fn texts_are_read_the_same_whatever_was_read_before(
        texts in prop::collection::vec(
            "(2026-01-0[129]|1970-01-01|2026-02-3[01])[T ]00:0[01]:[0-6][0-9](\\.[0-9]{1,9})?(Z|\\+01:00)?", 1..10,
        ),
    ) {
        let mut recent = Recent::default();
        for text in texts {
            prop_assert_eq!(parse_near(&text, &mut recent), parse_text(&text), "{}", text);
        }
    }

    #[test]
    fn texts_are_read_as_by_the_slow_reader(
        head in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]",
        fraction in "(\\.[0-9]{0,10})?",
        zone in "(Z|z|[+-][0-2][0-9]:[0-6][0-9])?",
        edit in prop::option::weighted(0.3, (0_usize..36, any::<u8>())),
    ) {
        let mut text = head + &fraction + &zone;
        if let Some((at, byte)) = edit
            && at < text.len()
        {
            text.replace_range(at..=at, &char::from(byte).to_string());
        }
        prop_assert_eq!(parse_text(&text), expected(read_slowly(&text)), "{}", text);
    }

    #[test]
    fn any_text_is_read_as_by_the_slow_reader(text in any::<String>()) {
        prop_assert_eq!(parse_text(&text), expected(read_slowly(&text)));
    }

    #[test]
    fn epochs_are_the_floor_of_the_exact_product(
        mantissa in any::<i64>(),
        scale in -12_i32..=6,
        exponent in prop::sample::select(vec![3_u32, 6, 9]),
    ) {
        let text = format!("{mantissa}e{scale}");
        let power = scale + exponent as i32;
        let factor = 10_i128.pow(power.unsigned_abs());
        let mantissa = i128::from(mantissa);
        let exact = if power < 0 { mantissa.div_euclid(factor) } else { mantissa * factor };
        prop_assert_eq!(parse_epoch(&text, exponent), expected(Some(exact)), "{}", text);
    }
}
