//! The state machine of the election, pure: what was seen, when, and what to write next.

use std::time::Duration;

use headroom_core::{Mono, Now, Timestamp};

/// Waits between attempts to acquire are stretched by up to this factor more (client-go's `JitterFactor`).
pub(super) const JITTER: f64 = 1.2;

/// The three times of leader election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations {
    /// How long the others wait after the last renewal that they saw.
    pub lease: Duration,
    /// How long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// Wait between attempts.
    pub retry_period: Duration,
}

impl Default for Durations {
    /// Upstream's: 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// What stands in a Lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Empty: nobody.
    pub(super) holder: String,
    pub(super) duration_seconds: i32,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
}

/// What to do about the Lease now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none: create it.
    Create(Record),
    /// It is ours, or free: replace it, on top of this resource version.
    Replace(Record, String),
    /// Somebody else holds it.
    Wait,
}

/// The election as this process sees it.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    durations: Durations,
    seen: Option<Seen>,
    /// When the request of the last successful renewal was sent.
    renewed: Option<Mono>,
}

#[derive(Debug)]
struct Seen {
    record: Record,
    version: String,
    /// When this version was first seen.
    at: Mono,
}

impl Election {
    pub(super) const fn new(identity: String, durations: Durations) -> Self {
        Self { identity, durations, seen: None, renewed: None }
    }

    /// Whether we have written ourselves in and that has not run out.
    pub(super) fn is_leading(&self, now: Mono) -> bool {
        self.renewed.is_some_and(|at| now < at + self.durations.renew_deadline)
    }

    /// Whether we have led and do not any more.
    pub(super) fn is_lost(&self, now: Mono) -> bool {
        self.renewed.is_some() && !self.is_leading(now)
    }

    /// A renewal on top of what we wrote last, without reading first (client-go's fast path). `None` when it is not
    /// known to be ours.
    pub(super) fn renew(&self, now: Now) -> Option<Step> {
        let seen = self.seen.as_ref().filter(|seen| seen.record.holder == self.identity)?;
        Some(Step::Replace(self.record(Some(&seen.record), now), seen.version.clone()))
    }

    /// The Lease was read: what now?
    pub(super) fn look(&mut self, found: Option<(Record, String)>, now: Now) -> Step {
        let Some((record, version)) = found else {
            self.seen = None;
            return Step::Create(self.record(None, now));
        };
        match &mut self.seen {
            Some(seen) if seen.version == version => {}
            seen => *seen = Some(Seen { record: record.clone(), version: version.clone(), at: now.mono }),
        }
        let at = self.seen.as_ref().map_or(now.mono, |seen| seen.at);
        let theirs = !record.holder.is_empty() && record.holder != self.identity;
        let length = Duration::from_secs(u64::try_from(record.duration_seconds).unwrap_or(0));
        if theirs && now.mono < at + length {
            return Step::Wait;
        }
        Step::Replace(self.record(Some(&record), now), version)
    }

    /// The write that was sent at `sent` succeeded, and made this version. Returns until when we may act on it.
    pub(super) fn written(&mut self, record: Record, version: String, sent: Mono) -> Mono {
        self.seen = Some(Seen { record, version, at: sent });
        self.renewed = Some(sent);
        sent + self.durations.renew_deadline
    }

    /// What a graceful stop leaves behind: nobody holds it, and the next one need not wait.
    pub(super) fn release(&self, now: Now) -> Option<Step> {
        let seen = self.seen.as_ref().filter(|seen| seen.record.holder == self.identity)?;
        let record = Record {
            holder: String::new(),
            duration_seconds: 1,
            acquired: Some(now.wall),
            renewed: Some(now.wall),
            transitions: seen.record.transitions,
        };
        Some(Step::Replace(record, seen.version.clone()))
    }

    /// Who was last seen to hold it.
    pub(super) fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| &seen.record.holder)
    }

    fn record(&self, old: Option<&Record>, now: Now) -> Record {
        let (acquired, transitions) = match old {
            Some(old) if old.holder == self.identity => (old.acquired, old.transitions),
            Some(old) => (Some(now.wall), old.transitions.saturating_add(1)),
            None => (Some(now.wall), 0),
        };
        Record {
            holder: self.identity.clone(),
            duration_seconds: i32::try_from(self.durations.lease.as_secs().max(1)).unwrap_or(i32::MAX),
            acquired,
            renewed: Some(now.wall),
            transitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> Now {
        Now::at_secs(second)
    }

    fn election(name: &str) -> Election {
        Election::new(name.to_owned(), Durations::default())
    }

    /// A Lease as the API server keeps it: replaced only on top of its current version.
    #[derive(Default)]
    struct Server(Option<(Record, u64)>);

    impl Server {
        fn read(&self) -> Option<(Record, String)> {
            self.0.as_ref().map(|(r, v)| (r.clone(), v.to_string()))
        }

        fn write(&mut self, e: &mut Election, step: Step, now: Now) -> bool {
            let (record, ok) = match step {
                Step::Create(record) => (record, self.0.is_none()),
                Step::Replace(record, version) => {
                    let ok = self.0.as_ref().is_some_and(|(_, v)| v.to_string() == version);
                    (record, ok)
                }
                Step::Wait => return false,
            };
            if ok {
                let version = self.0.as_ref().map_or(1, |(_, v)| v + 1);
                self.0 = Some((record.clone(), version));
                e.written(record, version.to_string(), now.mono);
            }
            ok
        }

        fn attempt(&mut self, e: &mut Election, now: Now) -> bool {
            let step = e.look(self.read(), now);
            self.write(e, step, now)
        }
    }

    #[test]
    fn the_first_one_gets_it_and_the_second_waits_until_it_saw_no_renewal_for_the_lease_duration() {
        let (mut server, mut a, mut b) = (Server::default(), election("a"), election("b"));
        assert!(server.attempt(&mut a, at(100)));
        assert!(a.is_leading(at(109).mono) && !a.is_leading(at(110).mono) && a.is_lost(at(110).mono));
        // b's wall clock may be anything: only when b saw the change counts.
        assert!(!server.attempt(&mut b, at(105)));
        assert!(!server.attempt(&mut b, at(119)), "first seen at 105: valid until 120");
        assert!(server.attempt(&mut b, at(120)));
        assert_eq!(server.0.as_ref().map(|(r, _)| (r.holder.as_str(), r.transitions)), Some(("b", 1)));
        // a had given up ten seconds before that.
        assert!(!a.is_leading(at(110).mono));
    }

    #[test]
    fn a_renewal_moves_the_deadline_and_keeps_the_acquire_time() {
        let (mut server, mut a, mut b) = (Server::default(), election("a"), election("b"));
        server.attempt(&mut a, at(0));
        for second in (2..60).step_by(2) {
            assert!(!server.attempt(&mut b, at(second)), "{second}");
            let step = a.renew(at(second)).unwrap();
            assert!(server.write(&mut a, step, at(second)));
        }
        let (record, _) = server.0.unwrap();
        assert_eq!((record.acquired, record.transitions), (Some(at(0).wall), 0));
        assert!(a.is_leading(at(67).mono));
    }

    #[test]
    fn of_two_that_see_it_expire_one_gets_it() {
        let (mut server, mut a) = (Server::default(), election("a"));
        server.attempt(&mut a, at(0));
        let (mut b, mut c) = (election("b"), election("c"));
        for e in [&mut b, &mut c] {
            assert_eq!(e.look(server.read(), at(1)), Step::Wait);
        }
        let (for_b, for_c) = (b.look(server.read(), at(16)), c.look(server.read(), at(16)));
        assert!(server.write(&mut b, for_b, at(16)));
        assert!(!server.write(&mut c, for_c, at(16)), "its version is gone");
        assert!(!c.is_leading(at(16).mono));
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let (mut server, mut a, mut b) = (Server::default(), election("a"), election("b"));
        server.attempt(&mut a, at(0));
        assert!(!server.attempt(&mut b, at(1)));
        let step = a.release(at(2)).unwrap();
        assert!(server.write(&mut a, step, at(2)));
        assert!(server.attempt(&mut b, at(3)));
        assert!(b.release(at(4)).is_some() && election("c").release(at(4)).is_none());
    }

    #[test]
    fn timing_is_checked() {
        assert!(Durations::default().validate().is_ok());
        let wrong = Durations { lease: Duration::from_secs(10), ..Durations::default() };
        assert!(wrong.validate().is_err_and(|e| e.to_string().contains("leaseDuration")));
        let wrong = Durations { retry_period: Duration::from_secs(9), ..Durations::default() };
        assert!(wrong.validate().is_err_and(|e| e.to_string().contains("retryPeriod")));
        let wrong = Durations { retry_period: Duration::ZERO, ..Durations::default() };
        assert!(wrong.validate().is_err_and(|e| e.to_string().contains("zero")));
    }
}
