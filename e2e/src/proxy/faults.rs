//! What may go wrong, and the dice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::target::{Target, Verb};

/// How often things go wrong. The default is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Decides what.
    pub seed: u64,
    /// What is asked for in protobuf comes in JSON, as from a server that has no protobuf for it.
    pub json: bool,
    /// Watches lag between half of this and all of it, each watch by its own time.
    pub lag: Duration,
    /// Lists that may be old (`resourceVersion=0`) are up to so old: an API server that has fallen behind may answer them.
    pub old: Duration,
    /// So is what a watch begins with when the client asked for a consistent beginning. No API server should do that.
    pub inconsistent: bool,
    /// Of 1,000 events of a watch, so many are its last: half of the line is sent, then the stream ends or breaks.
    pub cut: u32,
    /// Of 1,000 watches that go on from a version, so many are told that it is too old.
    pub expired: u32,
    /// Of 1,000 requests, so many are refused and not carried out.
    pub refused: u32,
    /// Of 1,000 writes, so many are carried out and their answer is lost. Of as many lists it ends in its middle.
    pub lost: u32,
    /// Of 1,000 requests, so many are never answered, writes carried out or not: their connection lives until the client gives
    /// up.
    pub unanswered: u32,
    /// So many of them in all, at most: clients wait for long.
    pub unanswered_at_most: u32,
}

impl Faults {
    /// A rough day: every second watch is told that it is too old, one request in ten is refused, one answer in ten lost, and
    /// of a hundred requests one is not answered at all, until there were six. With even seeds all of it is in JSON.
    #[must_use]
    pub fn rough(seed: u64) -> Self {
        Self {
            seed,
            json: seed.is_multiple_of(2),
            lag: Duration::from_millis(800),
            old: Duration::from_secs(10),
            inconsistent: false,
            cut: 3,
            expired: 500,
            refused: 100,
            lost: 100,
            unanswered: 10,
            unanswered_at_most: 6,
        }
    }

    /// What becomes of a request.
    pub(super) fn fate(&self, target: &Target, dice: &Dice) -> Fate {
        // Discovery and questions about callers are not what this is about.
        if target.resource.is_empty() || matches!(target.resource.as_str(), "tokenreviews" | "subjectaccessreviews") {
            return Fate::Pass;
        }
        let roll = dice.below(1000);
        let is_write = target.verb == Verb::Write;
        if roll < self.refused {
            return match dice.below(5) {
                // Only what can conflict does.
                0 if is_write && !target.creates => Fate::Refuse(Refusal::Conflict),
                0 | 1 => Fate::Refuse(Refusal::TooMany),
                2 => Fate::Refuse(Refusal::Internal),
                3 => Fate::Refuse(Refusal::Unavailable),
                _ => Fate::Refuse(Refusal::TooLate),
            };
        }
        let lost = self.refused.saturating_add(self.lost);
        if is_write && roll < lost {
            return match dice.below(4) {
                0 => Fate::Lose(Loss::Internal),
                1 => Fate::Lose(Loss::TooLate),
                2 => Fate::Lose(Loss::Half),
                _ => Fate::Lose(Loss::Reset),
            };
        }
        // The same roll decides: what becomes of other requests of a seed stays as it was.
        if target.verb == Verb::List && roll < lost {
            return Fate::Lose(Loss::Half);
        }
        if (lost..lost.saturating_add(self.unanswered)).contains(&roll) {
            let is_done = is_write && dice.below(2) == 0;
            return if is_done { Fate::Lose(Loss::Silence) } else { Fate::Ignore };
        }
        if target.resumed && dice.below(1000) < self.expired {
            return if dice.below(2) == 0 { Fate::Expire(Expiry::Answer) } else { Fate::Expire(Expiry::Event) };
        }
        Fate::Pass
    }

    /// How long a watch lags.
    pub(super) fn lag(&self, dice: &Dice) -> Duration {
        let half = u64::try_from(self.lag.as_millis() / 2).unwrap_or(u64::MAX);
        if half == 0 { Duration::ZERO } else { Duration::from_millis(half.saturating_add(dice.next() % half)) }
    }

    /// How old a list may be that may be old.
    pub(super) fn age(&self, dice: &Dice) -> Duration {
        let most = u64::try_from(self.old.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(dice.next() % most.max(1))
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// Answered by the proxy, not carried out.
    Refuse(Refusal),
    /// Neither answered nor carried out.
    Ignore,
    /// Carried out, not answered as it should be.
    Lose(Loss),
    /// A watch from a version that is too old.
    Expire(Expiry),
}

impl Fate {
    /// Whether the client waits until it gives up.
    pub(super) fn is_silence(self) -> bool {
        matches!(self, Self::Ignore | Self::Lose(Loss::Silence))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Conflict,
    TooMany,
    Internal,
    Unavailable,
    /// 504 after a while.
    TooLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Internal,
    TooLate,
    /// The answer ends in its middle.
    Half,
    /// The stream breaks without an answer.
    Reset,
    /// Nothing comes.
    Silence,
}

/// The two ways in which API servers say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    Answer,
    Event,
}

/// Numbers from a seed (SplitMix64), whoever asks.
#[derive(Debug, Default)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    /// Begins anew.
    pub(super) fn seed(&self, seed: u64) {
        self.0.store(seed, Ordering::Relaxed);
    }

    pub(super) fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn fates(faults: Faults, method: &Method, uri: &str) -> Vec<Fate> {
        let dice = Dice::default();
        dice.seed(faults.seed);
        let target = Target::of(method, &uri.parse().unwrap());
        (0..1000).map(|_| faults.fate(&target, &dice)).collect()
    }

    #[test]
    fn nothing_goes_wrong_unless_told() {
        for uri in ["/api/v1/pods?watch=true&resourceVersion=5", "/api/v1/namespaces/a/pods"] {
            assert!(fates(Faults::default(), &Method::GET, uri).iter().all(|fate| *fate == Fate::Pass));
        }
        assert_eq!(Faults::default().lag(&Dice::default()), Duration::ZERO);
    }

    #[test]
    fn the_same_seed_gives_the_same_day_and_everything_turns_up() {
        let uri = "/api/v1/namespaces/a/pods/b";
        let writes = fates(Faults::rough(7), &Method::PATCH, uri);
        assert_eq!(writes, fates(Faults::rough(7), &Method::PATCH, uri));
        assert_ne!(writes, fates(Faults::rough(8), &Method::PATCH, uri));
        let creations = fates(Faults::rough(7), &Method::POST, "/api/v1/namespaces/a/pods");
        assert!(!creations.contains(&Fate::Refuse(Refusal::Conflict)));
        for fate in [
            Fate::Pass,
            Fate::Refuse(Refusal::Conflict),
            Fate::Refuse(Refusal::TooMany),
            Fate::Refuse(Refusal::Internal),
            Fate::Refuse(Refusal::Unavailable),
            Fate::Refuse(Refusal::TooLate),
            Fate::Lose(Loss::Internal),
            Fate::Lose(Loss::TooLate),
            Fate::Lose(Loss::Half),
            Fate::Lose(Loss::Reset),
            Fate::Lose(Loss::Silence),
            Fate::Ignore,
        ] {
            assert!(writes.contains(&fate), "{fate:?}");
        }
    }

    #[test]
    fn reads_are_not_in_conflict_only_lists_are_cut_and_only_resumed_watches_expire() {
        let one = fates(Faults::rough(1), &Method::GET, "/api/v1/namespaces/a/pods/b");
        assert!(one.iter().all(|fate| !matches!(fate, Fate::Lose(_) | Fate::Expire(_))));
        let lists = fates(Faults::rough(1), &Method::GET, "/api/v1/pods");
        let cut = lists.iter().filter(|fate| **fate == Fate::Lose(Loss::Half)).count();
        assert!((50..150).contains(&cut), "{cut}");
        let whole = |fates: &[Fate]| -> Vec<Fate> {
            fates.iter().map(|fate| if *fate == Fate::Lose(Loss::Half) { Fate::Pass } else { *fate }).collect()
        };
        assert_eq!(whole(&lists), one, "no other request has another fate because of that");
        assert!(!lists.contains(&Fate::Refuse(Refusal::Conflict)) && lists.contains(&Fate::Ignore));
        let watches = fates(Faults::rough(1), &Method::GET, "/api/v1/pods?watch=true&resourceVersion=5");
        assert!(watches.contains(&Fate::Expire(Expiry::Answer)) && watches.contains(&Fate::Expire(Expiry::Event)));
        assert!(watches.iter().any(|fate| fate.is_silence()));
        let reviews = fates(Faults::rough(1), &Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews");
        assert!(reviews.iter().all(|fate| *fate == Fate::Pass));
    }

    #[test]
    fn lags_lie_between_half_and_all() {
        let dice = Dice::default();
        let faults = Faults { lag: Duration::from_secs(1), ..Faults::default() };
        let lags: Vec<_> = (0..200).map(|_| faults.lag(&dice)).collect();
        assert!(lags.iter().all(|lag| (500..1000).contains(&lag.as_millis())));
        assert!(lags.iter().any(|lag| lag.as_millis() < 600) && lags.iter().any(|lag| lag.as_millis() > 900));
    }
}
