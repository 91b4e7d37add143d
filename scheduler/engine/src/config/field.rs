//! Errors at fields, in upstream's words (`apimachinery/pkg/util/validation/field`).

use std::{fmt::Display, time::Duration};

/// `Invalid value: 0: should be …`. Texts are given in quotes.
pub(crate) fn invalid(value: impl Display, detail: impl Display) -> String {
    format!("Invalid value: {value}: {detail}")
}

/// `Required value`, with a detail if there is one.
pub(crate) fn required(detail: &str) -> String {
    if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") }
}

/// `Duplicate value: "x"`.
pub(crate) fn duplicate(value: &str) -> String {
    format!("Duplicate value: {value:?}")
}

/// `Forbidden: …`.
pub(crate) fn forbidden(detail: &str) -> String {
    format!("Forbidden: {detail}")
}

/// A duration as Go prints it: `15s`, `1m30s`, `10m0s`, `1.5s`, `100ms`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, name) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{}{name}", decimal(nanos, unit));
    }
    let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, m) => format!("{m}m{seconds}s"),
        (h, m) => format!("{h}h{m}m{seconds}s"),
    }
}

/// A fraction without trailing zeros.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.to_string().len() - 1;
    format!("{whole}.{}", format!("{rest:0digits$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_prints() {
        for (millis, text) in [
            (0, "0s"),
            (15_000, "15s"),
            (90_000, "1m30s"),
            (600_000, "10m0s"),
            (7_200_000, "2h0m0s"),
            (1_500, "1.5s"),
            (100, "100ms"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(go_duration(Duration::from_micros(1_250)), "1.25ms");
        assert_eq!(go_duration(Duration::from_nanos(7)), "7ns");
    }

    #[test]
    fn words() {
        assert_eq!(invalid(0, "must be greater than 0"), "Invalid value: 0: must be greater than 0");
        assert_eq!((required(""), required("x")), ("Required value".to_owned(), "Required value: x".to_owned()));
        assert_eq!((duplicate("a"), forbidden("b")), ("Duplicate value: \"a\"".to_owned(), "Forbidden: b".to_owned()));
    }
}
