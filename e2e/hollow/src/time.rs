//! Time as the simulation sees it: milliseconds since the Unix epoch, always given by the caller.
//!
//! Only [`Clock`] reads a clock; everything else takes [`Millis`] as a parameter, so that tests move time by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;

/// Milliseconds since the Unix epoch.
pub(crate) type Millis = u64;

/// Wall clock at the start, advanced by the monotonic clock, so that a stepped system clock does not fire timers twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall: Millis,
    start: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: millis(wall), start: tokio::time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Millis {
        self.wall.saturating_add(millis(self.start.elapsed()))
    }

    /// The instant at which [`Clock::now`] reaches `at`.
    pub(crate) fn instant(&self, at: Millis) -> tokio::time::Instant {
        self.start + Duration::from_millis(at.saturating_sub(self.wall))
    }
}

/// A duration in whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn timestamp(at: Millis) -> Timestamp {
    i64::try_from(at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// RFC 3339 in UTC with whole seconds, as `metav1.Time` prints.
pub(crate) fn rfc3339(at: Millis) -> String {
    format!("{:.0}", timestamp(at - at % 1000))
}

/// RFC 3339 in UTC with six digits of a second, as `metav1.MicroTime` prints.
pub(crate) fn rfc3339_micro(at: Millis) -> String {
    format!("{:.6}", timestamp(at))
}

/// Milliseconds of an RFC 3339 time; `None` when it cannot be parsed or lies before 1970.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Millis> {
    text.parse::<Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_like_the_api_server() {
        let at = 1_795_383_044_987;
        assert_eq!(rfc3339(at), "2026-11-22T21:30:44Z");
        assert_eq!(rfc3339_micro(at), "2026-11-22T21:30:44.987000Z");
        assert_eq!(parse_rfc3339("2026-11-22T21:30:44Z"), Some(1_795_383_044_000));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
