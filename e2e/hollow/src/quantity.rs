//! Kubernetes quantities (`100m`, `1Gi`, `1e3`) in the two units that the simulation needs.
//!
//! Deliberately not `headroom-core`'s parser: the simulated kubelets are the yardstick that the product is measured
//! against, so both read quantities on their own.

/// Parses a quantity into whole base units (bytes, pods), rounded up as the API machinery does.
pub(crate) fn parse_units(text: &str) -> Option<i64> {
    parse_nano(text).map(|nano| clamp(ceil_div(nano, 1_000_000_000)))
}

/// Parses a quantity into thousandths (CPU millicores), rounded up.
pub(crate) fn parse_millis(text: &str) -> Option<i64> {
    parse_nano(text).map(|nano| clamp(ceil_div(nano, 1_000_000)))
}

/// Parses a size that cannot be negative, in bytes.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    parse_units(text).and_then(|bytes| u64::try_from(bytes).ok())
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn ceil_div(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by > 0 { quotient.saturating_add(1) } else { quotient }
}

/// Billionths, saturating; `None` when the text is no quantity.
fn parse_nano(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (multiplier, exponent) = scale(suffix)?;
    // Ten significant digits after the point are more than the API server keeps.
    let fraction = fraction.get(..fraction.len().min(12))?;
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.saturating_mul(10).saturating_add(i128::from(digit - b'0'));
    }
    let power = 9 + exponent - i32::try_from(fraction.len()).ok()?;
    let mut value = mantissa.saturating_mul(multiplier);
    for _ in 0..power.unsigned_abs().min(60) {
        value = if power >= 0 { value.saturating_mul(10) } else { ceil_div(value, 10) };
    }
    Some(if negative { -value } else { value })
}

fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        other => {
            let digits = other.strip_prefix(['e', 'E'])?;
            (1, digits.parse::<i32>().ok().filter(|e| (-40..=40).contains(e))?)
        }
    })
}

/// Prints bytes the way people write them (`1Gi`, `200Mi`), exactly.
pub(crate) fn format_bytes(bytes: u64) -> String {
    for (unit, suffix) in [(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_usual_forms() {
        assert_eq!(parse_units("1Gi"), Some(1 << 30));
        assert_eq!(parse_units("128974848"), Some(128_974_848));
        assert_eq!(parse_units("129e6"), Some(129_000_000));
        assert_eq!(parse_units("0.5Mi"), Some(512 << 10));
        assert_eq!(parse_units("1500m"), Some(2));
        assert_eq!(parse_millis("100m"), Some(100));
        assert_eq!(parse_millis("2"), Some(2000));
        assert_eq!(parse_millis("0.1"), Some(100));
        assert_eq!(parse_millis("1u"), Some(1));
        assert_eq!(parse_units("-1"), Some(-1));
    }

    #[test]
    fn refuses_nonsense_and_saturates() {
        for bad in ["", "Mi", "1.2.3", "1x", "e3", "1e999", "--1", "1 Gi"] {
            assert_eq!(parse_units(bad), None, "{bad}");
        }
        assert_eq!(parse_units("99999999999999999999999999999999999999999999Ei"), Some(i64::MAX));
        assert_eq!(parse_bytes("-5"), None);
    }

    #[test]
    fn prints_round_sizes() {
        assert_eq!(format_bytes(2 << 30), "2Gi");
        assert_eq!(format_bytes(1000), "1000");
    }
}
