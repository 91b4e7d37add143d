//! RFC 3339 times, as `metav1.Time` and `MicroTime` print them.

use headroom_core::Timestamp;

/// A time like `2026-11-22T10:00:00Z`, `2026-11-22T10:00:00.123456Z` or with an offset; digits beyond microseconds are
/// dropped. `None` when the text is not one.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let b = text.as_bytes();
    if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    if b[13] != b':' || b[16] != b':' {
        return None;
    }
    let (year, month, day) = (digits(&b[..4])?, digits(&b[5..7])?, digits(&b[8..10])?);
    let (hour, minute, second) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &b[19..];
    let mut micros = 0;
    if rest.first() == Some(&b'.') {
        let end = rest[1..].iter().position(|c| !c.is_ascii_digit()).map_or(rest.len(), |i| i + 1);
        if end == 1 {
            return None;
        }
        for i in 0..6 {
            micros = micros * 10 + rest.get(1 + i).filter(|_| 1 + i < end).map_or(0, |c| i64::from(c - b'0'));
        }
        rest = &rest[end..];
    }
    let offset_minutes = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let minutes = digits(&[*h1, *h2])? * 60 + digits(&[*m1, *m2])?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + (minute - offset_minutes) * 60 + second;
    Some(Timestamp(seconds * 1_000_000 + micros))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar: the inverse of the core's printing, with years counted
/// from 1 March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_prints() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-22T00:00:00Z", 1_795_305_600_000_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("1970-01-01T00:00:01.5Z", 1_500_000),
            ("1970-01-01T00:00:01.123456789Z", 1_123_456),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1969-12-31T16:00:00-08:00", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
        ] {
            assert_eq!(parse_rfc3339(text), Some(Timestamp(micros)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-13-22T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-22T25:00:00Z",
            "2026-11-22T00:00:00",
            "2026-11-22T00:00:00.Z",
            "2026-11-22T00:00:00+2",
            "2026-11-22T00:00:00ZZ",
            "２026-11-22T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse_rfc3339(&text);
        }

        #[test]
        fn reads_what_the_core_prints(micros in -62_135_596_800_000_000_i64..253_402_300_799_000_000) {
            let t = Timestamp(micros);
            proptest::prop_assert_eq!(parse_rfc3339(&t.to_string()), Some(t));
        }
    }
}
