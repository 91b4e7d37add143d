//! How many writes may be in flight: additive increase, multiplicative decrease; and how many events behind them. Pure.

use std::time::Duration;

use headroom_core::Mono;

/// Never fewer, or progress would stop.
const FEWEST: usize = 4;
/// Answers of 429 that come within this time of the first are one event: they were all under way together.
const SETTLE: Duration = Duration::from_secs(1);
/// Pause when the server does not say for how long.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// A write that takes longer than this waits for its turn more than it is worked on; well before a request's deadline.
const SLOW: Duration = Duration::from_secs(2);
/// Slowness alone (a webhook that takes its time) never leaves fewer.
const UNHURRIED: usize = 50;
/// Growth per round after slowness: it passes more quickly than a server's complaints may be forgotten.
const RECOVERY: usize = 16;
/// The longest pause that a server is granted.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So many events that wait are what a burst of writes has left behind.
const HEAP: usize = 256;

/// What events have to wait for, and how many wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EventLoad {
    /// Writes and status patches that are not sent yet.
    pub(super) ahead: usize,
    /// Writes in flight.
    pub(super) writes: usize,
    /// Events that wait.
    pub(super) waiting: usize,
    /// Whether one of them has waited for too long.
    pub(super) overdue: bool,
}

/// The adaptive limit.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    most: usize,
    /// Successes since the limit last grew.
    successes: usize,
    /// By how much it grows.
    step: usize,
    paused_until: Mono,
    settled_at: Mono,
}

impl Limiter {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { limit: most, most, successes: 0, step: 1, paused_until: Mono(0), settled_at: Mono(0) }
    }

    /// How many may be in flight.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// How many event requests may be in flight: `usual`, or `alone` when many wait and no write is under way that they
    /// could hold up. They never take the place that writes have given up for the server's sake.
    pub(super) fn events(&self, usual: usize, alone: usize, load: EventLoad) -> usize {
        let busy = load.ahead > 0 || load.writes > self.limit.div_ceil(4);
        let most = match (busy, load.overdue) {
            (true, false) => 0,
            (true, true) => 1,
            (false, _) if load.writes == 0 && load.waiting >= HEAP => alone,
            (false, _) => usual,
        };
        most.min(self.limit)
    }

    /// When requests may be started again; nothing when they may now.
    pub(super) fn paused_until(&self, now: Mono) -> Option<Mono> {
        (self.paused_until > now).then_some(self.paused_until)
    }

    pub(super) fn succeeded(&mut self) {
        if self.limit >= self.most {
            return;
        }
        self.successes += 1;
        // One more in flight per round of successes, or some more when nobody complained.
        if self.successes >= self.limit {
            self.successes = 0;
            self.limit = (self.limit + self.step).min(self.most);
        }
    }

    /// A write was answered after so long.
    pub(super) fn took(&mut self, time: Duration, now: Mono) {
        if time < SLOW {
            self.succeeded();
        } else {
            self.missed(time, now);
        }
    }

    /// So long there was no answer. On a slow server what is in flight would only wait there, until its deadline.
    pub(super) fn missed(&mut self, time: Duration, now: Mono) {
        if time >= SLOW && now >= self.settled_at && self.limit > UNHURRIED {
            self.settled_at = now + SETTLE;
            self.limit = (self.limit / 2).max(UNHURRIED);
            self.successes = 0;
            self.step = RECOVERY;
        }
    }

    /// The server asked for patience.
    pub(super) fn throttled(&mut self, retry_after: Option<u64>, now: Mono) {
        let pause = retry_after.map_or(SHORT_PAUSE, Duration::from_secs).min(LONGEST_PAUSE);
        self.paused_until = self.paused_until.max(now + pause);
        if now >= self.settled_at {
            self.settled_at = now + SETTLE;
            self.limit = (self.limit / 2).max(FEWEST.min(self.most));
            self.successes = 0;
            self.step = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Mono {
        Mono(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn halves_once_per_burst_and_grows_back() {
        let mut limiter = Limiter::new(100);
        for _ in 0..50 {
            limiter.throttled(None, at(0));
        }
        assert_eq!(limiter.limit(), 50);
        assert!(limiter.paused_until(at(50)).is_some() && limiter.paused_until(at(150)).is_none());
        limiter.throttled(Some(3), at(2000));
        assert_eq!(limiter.limit(), 25);
        assert_eq!(limiter.paused_until(at(2000)), Some(at(5000)));
        for _ in 0..25 {
            limiter.succeeded();
        }
        assert_eq!(limiter.limit(), 26);
        for _ in 0..100_000 {
            limiter.succeeded();
        }
        assert_eq!(limiter.limit(), 100);
    }

    /// What comes of each answer, in order: how many may be in flight, and for how long nothing is started.
    #[test]
    fn answers_of_429_and_what_they_do() {
        let mut limiter = Limiter::new(200);
        for (millis, retry_after, limit, pause_millis) in [
            (0, None, 100, 100),
            // All of these were under way together: one event, but the longest wish counts.
            (10, Some(2), 100, 2000),
            (20, Some(1), 100, 1990),
            (999, None, 100, 1011),
            (1000, Some(1), 50, 1010),
            (2500, Some(0), 25, 0),
            (4000, Some(60), 12, 10_000),
            (20_000, None, 6, 100),
            (30_000, None, 4, 100),
            (40_000, Some(1), 4, 1000),
        ] {
            limiter.throttled(retry_after, at(millis));
            let pause = limiter.paused_until(at(millis)).map_or(0, |end| end.since(at(millis)).as_millis());
            assert_eq!((limiter.limit(), pause), (limit, pause_millis), "at {millis} ms");
        }
        // Additively back, one per round of successes, never beyond where it began.
        for (successes, limit) in [(3, 4), (1, 5), (5, 6), (6 + 7, 8), (200 * 200, 200), (1000, 200)] {
            for _ in 0..successes {
                limiter.succeeded();
            }
            assert_eq!(limiter.limit(), limit, "after {successes} more");
        }
    }

    #[test]
    fn a_slow_server_gets_less_at_once_and_slow_requests_do_not_stop_the_rest() {
        let mut limiter = Limiter::new(200);
        for _ in 0..200 {
            limiter.took(SLOW, at(0));
        }
        assert_eq!(limiter.limit(), 100);
        for second in 1..20 {
            limiter.took(SLOW, at(second * 1000));
        }
        assert_eq!((limiter.limit(), limiter.paused_until(at(0))), (UNHURRIED, None));
        for _ in 0..UNHURRIED {
            limiter.took(SLOW / 2, at(20_000));
        }
        assert_eq!(limiter.limit(), UNHURRIED + RECOVERY);
        for _ in 0..2000 {
            limiter.took(SLOW / 2, at(20_000));
        }
        assert_eq!(limiter.limit(), 200);
        let mut few = Limiter::new(10);
        few.took(SLOW, at(0));
        assert_eq!(few.limit(), 10, "not above what was configured");
        let mut broken = Limiter::new(200);
        broken.missed(SLOW / 2, at(0));
        assert_eq!(broken.limit(), 200, "a broken connection is not a slow server");
    }

    #[test]
    fn events_go_behind_writes_and_a_heap_of_them_goes_at_once_when_there_are_none() {
        let heap = EventLoad { waiting: HEAP, ..EventLoad::default() };
        let overdue = EventLoad { overdue: true, ..heap };
        for (load, most) in [
            (EventLoad::default(), 10),
            (heap, 64),
            (EventLoad { waiting: HEAP - 1, ..heap }, 10),
            (EventLoad { waiting: 16_384, ..heap }, 64),
            // A lone write is not to find the server busy with events, and a quarter of what may be is no burst.
            (EventLoad { writes: 1, ..heap }, 10),
            (EventLoad { writes: 75, ..heap }, 10),
            (EventLoad { writes: 76, ..heap }, 0),
            (EventLoad { writes: 76, ..overdue }, 1),
            (EventLoad { ahead: 1, ..heap }, 0),
            (EventLoad { ahead: 1, ..overdue }, 1),
            (overdue, 64),
        ] {
            assert_eq!(Limiter::new(300).events(10, 64, load), most, "{load:?}");
        }
        let mut asked = Limiter::new(100);
        asked.throttled(None, at(0));
        assert_eq!(asked.events(10, 64, heap), 50, "not more than writes may be");
        for second in 1..10 {
            asked.throttled(None, at(second * 1000));
        }
        assert_eq!(asked.events(10, 64, heap), FEWEST);
    }

    #[test]
    fn never_stops_and_never_sleeps_for_long() {
        let mut limiter = Limiter::new(100);
        for second in 0..60 {
            limiter.throttled(Some(u64::MAX), at(second * 2000));
        }
        assert_eq!(limiter.limit(), FEWEST);
        assert!(limiter.paused_until(at(118_000 + 10_001)).is_none());
        let mut small = Limiter::new(2);
        small.throttled(None, at(0));
        assert_eq!(small.limit(), 2, "not above what was configured");
    }
}
