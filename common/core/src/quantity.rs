//! Kubernetes quantities ("100m", "64Mi", "1e3") as integers.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource`: a decimal number with a binary (`Ki` … `Ei`), decimal (`n` … `E`) or
//! exponent suffix; fractions are rounded up, away from zero, to the unit asked for; values beyond `i64` are capped.

use thiserror::Error;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Neither digits nor a known suffix.
    #[error("{0:?} is not a quantity: expected a number with an optional suffix, like 100m, 64Mi or 2")]
    Malformed(String),
}

/// The whole value, fractions rounded up ("100m" → 1, "1Ki" → 1024).
///
/// # Errors
/// [`QuantityError::Malformed`] when the text is not a quantity.
pub fn value(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 0)
}

/// Thousandths of the value ("100m" → 100, "2" → 2000): the unit in which CPU is counted.
///
/// # Errors
/// [`QuantityError::Malformed`] when the text is not a quantity.
pub fn milli_value(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 3)
}

/// Numbers longer than this are refused, so that a hostile quantity costs nothing.
const LONGEST: usize = 64;

fn scaled(text: &str, decimals: i32) -> Result<i64, QuantityError> {
    let malformed = || QuantityError::Malformed(text.chars().take(LONGEST).collect());
    if text.len() > LONGEST {
        return Err(malformed());
    }
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(malformed());
    }
    let (binary, mut exponent) = suffix_of(suffix).ok_or_else(malformed)?;
    exponent = exponent.saturating_add(decimals);

    // mantissa * 10^(exponent - fraction digits) * 2^binary, with i128 to spare; more digits than i128 holds cannot
    // change a capped result, so they saturate.
    let mut mantissa: i128 = 0;
    let mut dropped = false;
    let mut scale = exponent;
    for (digits, is_fraction) in [(whole, false), (fraction, true)] {
        for b in digits.bytes() {
            if mantissa > i128::MAX / 4096 / 10 - 10 {
                dropped |= b != b'0';
                scale += i32::from(!is_fraction);
                continue;
            }
            mantissa = mantissa * 10 + i128::from(b - b'0');
            scale -= i32::from(is_fraction);
        }
    }
    for _ in 0..binary {
        mantissa = mantissa.saturating_mul(2);
    }
    let mut up = dropped;
    while scale > 0 && mantissa != 0 && mantissa <= i128::from(i64::MAX) {
        mantissa *= 10;
        scale -= 1;
    }
    while scale < 0 && mantissa != 0 {
        up |= mantissa % 10 != 0;
        mantissa /= 10;
        scale += 1;
    }
    if mantissa == 0 && number.bytes().any(|b| b.is_ascii_digit() && b != b'0') {
        up = true;
    }
    let magnitude = i64::try_from(mantissa.saturating_add(i128::from(up))).unwrap_or(i64::MAX);
    Ok(if negative { -magnitude } else { magnitude })
}

/// The suffix as (power of two, power of ten).
fn suffix_of(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let parsed: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
            (0, parsed.clamp(-100, 100))
        }
    })
}

/// Bytes as people read them: the largest binary unit with at most one decimal ("81.9Mi", "2Gi", "0").
#[must_use]
pub fn human_bytes(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["", "Ki", "Mi", "Gi", "Ti"];
    let mut unit = 0;
    let mut tenths = i128::from(bytes) * 10;
    // Stay in Mi up to 10Gi: on machines of 1 GiB the difference matters.
    let limit = |unit: usize| if unit == 2 { 102_400 } else { 10_240 };
    while unit + 1 < UNITS.len() && tenths.abs() >= limit(unit) {
        tenths /= 1024;
        unit += 1;
    }
    let (whole, rest) = (tenths / 10, (tenths % 10).abs());
    let sign = if tenths < 0 && whole == 0 { "-" } else { "" };
    if rest == 0 || unit == 0 || whole.abs() >= 100 {
        format!("{sign}{whole}{}", UNITS[unit])
    } else {
        format!("{sign}{whole}.{rest}{}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, whole, milli) in [
            ("0", 0, 0),
            ("2", 2, 2000),
            ("100m", 1, 100),
            ("0.1", 1, 100),
            (".5", 1, 500),
            ("1.5", 2, 1500),
            ("64Mi", 64 << 20, (64 << 20) * 1000),
            ("1.5Gi", 3 << 29, (3 << 29) * 1000),
            ("1e3", 1000, 1_000_000),
            ("1E3", 1000, 1_000_000),
            ("1k", 1000, 1_000_000),
            ("500u", 1, 1),
            ("1n", 1, 1),
            ("-1500m", -2, -1500),
            ("+5", 5, 5000),
            ("0.0000000000000000001", 1, 1),
        ] {
            assert_eq!(value(text), Ok(whole), "{text}");
            assert_eq!(milli_value(text), Ok(milli), "{text} milli");
        }
    }

    #[test]
    fn caps_instead_of_overflowing() {
        for text in ["9223372036854775808", "8Ei", "1e99", "99999999999999999999999999999999999999999999", "1e+100"] {
            assert_eq!(value(text), Ok(i64::MAX), "{text}");
        }
        assert_eq!(value("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(milli_value("9223372036854775"), Ok(9_223_372_036_854_775_000));
        assert_eq!(value("1e-99"), Ok(1));
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "-", ".", "Mi", "1.2.3", "1 Gi", "1gi", "abc", "1e", "0x10", "١", &"9".repeat(65)] {
            assert!(value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prints_for_people() {
        assert_eq!(human_bytes(0), "0");
        assert_eq!(human_bytes(85_899_346), "81.9Mi");
        assert_eq!(human_bytes(1 << 30), "1024Mi");
        assert_eq!(human_bytes(16 << 30), "16Gi");
        assert_eq!(human_bytes(-(5 << 19)), "-2.5Mi");
        assert_eq!(human_bytes(i64::MIN), "-8388608Ti");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = value(&text);
            let _ = milli_value(&text);
        }

        #[test]
        fn whole_numbers_are_exact(n in 0..i64::MAX / 1000) {
            proptest::prop_assert_eq!(value(&n.to_string()), Ok(n));
            proptest::prop_assert_eq!(milli_value(&n.to_string()), Ok(n * 1000));
        }
    }
}
