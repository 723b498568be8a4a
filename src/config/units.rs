//! Durations and sizes with units: `10s`, `1h30m`, `500ms`, `64 MiB`.

use std::time::Duration;

/// A duration as one or several numbers with units; the units are ns, us, ms, s, m, h, d.
pub fn duration(text: &str) -> Option<Duration> {
    let mut total: u128 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let nanos: f64 = match &after[..end] {
            "ns" => 1.0,
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => return None,
        };
        total = total.checked_add((number * nanos).round() as u128)?;
        rest = after[end..].trim_start();
    }
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// A size in bytes; the units are B, KiB, MiB, GiB and kB, MB, GB.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    let factor: f64 = match unit.trim() {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let bytes = (number * factor).round();
    (bytes < 2f64.powi(63)).then_some(bytes as u64)
}

/// A duration as people read it.
pub fn show(duration: Duration) -> String {
    format!("{duration:?}")
}

fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'));
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    let value: f64 = digits.replace('_', "").parse().ok()?;
    Some((value, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_a_unit_they_know() {
        let cases = [
            ("10s", Some(10_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5 s", Some(1_500)),
            ("500ms", Some(500)),
            ("2d", Some(172_800_000)),
            ("0s", Some(0)),
            ("10", None),
            ("", None),
            ("-1s", None),
            ("10 parsecs", None),
            ("s", None),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
        let cases = [
            ("64 MiB", Some(64 << 20)),
            ("1kB", Some(1000)),
            ("12", Some(12)),
            ("1 TB", None),
            ("MiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
