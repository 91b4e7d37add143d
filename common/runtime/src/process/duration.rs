//! Durations as Go prints and parses them: flags and configuration files of Kubernetes use nothing else.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a duration: expected numbers with units, like 15s, 1m30s or 250ms")]
pub struct DurationError(String);

/// A non-negative duration in Go's syntax ("1h2m3.5s", "0").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub Duration);

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let bad = || DurationError(text.chars().take(40).collect());
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest.is_empty() || text.len() > 40 {
            return Err(bad());
        }
        let mut nanos: f64 = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            let unit = match &rest[..end] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 6e10,
                "h" => 3.6e12,
                _ => return Err(bad()),
            };
            nanos += number * unit;
            rest = &rest[end..];
        }
        if !nanos.is_finite() || nanos > 9.2e18 {
            return Err(bad());
        }
        Ok(Self(Duration::try_from_secs_f64(nanos / 1e9).map_err(|_| bad())?))
    }
}

impl fmt::Display for GoDuration {
    /// As Go does: "1m30s", "250ms", "0s".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        if total == 0 {
            return match self.0.subsec_micros() {
                0 => f.write_str("0s"),
                us if us % 1000 == 0 => write!(f, "{}ms", us / 1000),
                us => write!(f, "{us}µs"),
            };
        }
        let (h, m) = (total / 3600, total / 60 % 60);
        if h > 0 {
            write!(f, "{h}h")?;
        }
        if h > 0 || m > 0 {
            write!(f, "{m}m")?;
        }
        let seconds = format!("{}.{:09}", total % 60, self.0.subsec_nanos());
        write!(f, "{}s", seconds.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl From<GoDuration> for Duration {
    fn from(d: GoDuration) -> Self {
        d.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        for (text, millis, printed) in [
            ("15s", 15_000, "15s"),
            ("1m30s", 90_000, "1m30s"),
            ("2h", 7_200_000, "2h0m0s"),
            ("250ms", 250, "250ms"),
            ("1.5s", 1_500, "1.5s"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("1h0m0.5s", 3_600_500, "1h0m0.5s"),
        ] {
            let d: GoDuration = text.parse().unwrap();
            assert_eq!(d.0, Duration::from_millis(millis), "{text}");
            assert_eq!(d.to_string(), printed);
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "5", "s", "5 s", "-5s", "5x", "1..5s", "1e9999s", "9999999999999999h", "∞s"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text:?}");
        }
    }
}
