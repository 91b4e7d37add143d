//! Time as data: the core crates are given it and never read a clock (DESIGN.md 4.5).

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// A point in wall-clock time, in microseconds since the Unix epoch (the precision of Kubernetes' `MicroTime`; `Time`
/// has whole seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

const MICROS: i64 = 1_000_000;

impl Timestamp {
    /// From whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// The same moment at the precision of `metav1.Time`: whole seconds.
    #[must_use]
    pub const fn truncated(self) -> Self {
        Self::from_secs(self.secs())
    }

    /// Time elapsed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; microseconds only when there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.secs().div_euclid(86_400), self.secs().rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        match self.0.rem_euclid(MICROS) {
            0 => f.write_str("Z"),
            micros => write!(f, ".{micros:06}Z"),
        }
    }
}

/// Days since 1970-01-01 as (year, month, day) of the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years are counted from 1 March, so that the leap day is the last of its year; 146 097 days are 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// A point on a clock that never jumps, in microseconds since an arbitrary start. Deadlines and backoff use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// Time elapsed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// The time that a core is given with each input: the wall clock for what the API stores, the monotonic one for
/// everything that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For comparison with times in API objects.
    pub wall: Timestamp,
    /// For deadlines, backoff and ages of things of our own.
    pub mono: Mono,
}

impl Now {
    /// Both clocks at the given second: for tests and snapshots, where nothing jumps.
    #[must_use]
    pub fn at_secs(seconds: u32) -> Self {
        Self { wall: Timestamp::from_secs(i64::from(seconds)), mono: Mono(u64::from(seconds) * 1_000_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339() {
        assert_eq!(Timestamp::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_secs(951_782_400).to_string(), "2000-02-29T00:00:00Z");
        assert_eq!(Timestamp::from_secs(1_795_305_600).to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp(1_500_000).to_string(), "1970-01-01T00:00:01.500000Z");
    }

    #[test]
    fn never_negative_never_overflows() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MIN).since(Timestamp(i64::MAX)), Duration::ZERO);
        assert_eq!((Timestamp(i64::MAX) + Duration::MAX).0, i64::MAX);
        assert_eq!((Mono(u64::MAX) + Duration::from_secs(1)).0, u64::MAX);
        let _ = Timestamp(i64::MIN).to_string();
    }
}
