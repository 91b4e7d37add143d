//! What a container should request and be limited to, by what was seen of it (docs/rightsize.md). Pure arithmetic.
//!
//! The margin is the memory model's: what the scheduler takes a container to need beyond its learned peak is what is
//! suggested as its request, so that the two agree.

use clap::ValueEnum;
use headroom_core::{
    Timestamp,
    memory::{MIB, Params, peak::History},
    quantity::human_bytes,
};
use serde::Serialize;

use crate::top::table::age;

/// Sizes are whole multiples of this, upwards. Smaller differences are not worth a restart.
pub(super) const STEP: i64 = 4 * MIB;
/// Nor are those below this part of the request.
pub(super) const LEAST_CHANGE: f64 = 0.05;
/// So many half-lives of a peak have to be seen before it is known well: a week, in which a peak of every week is.
const HIGH_AFTER_HALF_LIVES: u64 = 7;

/// How much a suggestion rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Confidence {
    /// Too few samples to say anything
    #[value(skip)]
    None,
    /// Seen for less than a day, or not within the last one
    Low,
    /// Seen for a day or more
    Medium,
    /// Seen for a week or more
    High,
}

impl Confidence {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Of what was learned, at a time. A day and a week are one and seven half-lives of a peak.
    fn of(history: &History, at: Timestamp, params: &Params) -> Self {
        if !history.usable(params) {
            return Self::None;
        }
        let half_life = u64::try_from(params.half_life_seconds).unwrap_or(1).max(1);
        let seen = history.observed.since(history.first_observed).as_secs();
        let stale = at.since(history.observed).as_secs() > half_life;
        match seen / half_life {
            0 => Self::Low,
            _ if stale => Self::Low,
            1..HIGH_AFTER_HALF_LIVES => Self::Medium,
            _ => Self::High,
        }
    }
}

/// Request and limit of memory in bytes; absent where none is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sizes {
    pub(super) request_bytes: Option<i64>,
    pub(super) limit_bytes: Option<i64>,
}

impl Sizes {
    /// The request that counts: as the API server does it, one that is not set is the limit.
    pub(super) fn request(&self) -> i64 {
        self.request_bytes.or(self.limit()).unwrap_or(0).max(0)
    }

    /// The limit, if there is one: 0 is none, as for the kubelet.
    pub(super) fn limit(&self) -> Option<i64> {
        self.limit_bytes.filter(|limit| *limit > 0)
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// The request should be larger.
    Raise,
    /// It can be smaller.
    Lower,
    /// It is as it should be, or nothing can be said.
    Keep,
}

/// What is suggested for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggestion {
    pub(super) sizes: Sizes,
    pub(super) verdict: Verdict,
    pub(super) confidence: Confidence,
    /// Why it is kept although something else would be right; empty otherwise.
    pub(super) reason: String,
}

/// The size with the model's margin on top, a whole multiple of [`STEP`].
pub(super) fn with_margin(bytes: i64, params: &Params) -> i64 {
    let bytes = bytes.max(0);
    let part = (bytes as f64 * params.margin_fraction).ceil() as i64;
    let wanted = part.max(bytes.saturating_add(params.margin_min_bytes));
    let over = wanted % STEP;
    if over == 0 { wanted } else { wanted.saturating_add(STEP - over) }
}

/// What the container should declare instead of `now`. `in_use` is what a running one takes at the moment, if that is
/// known. A request is lowered only from `lower_from` on; it is raised whatever the confidence.
pub(super) fn suggest(
    now: Sizes,
    history: &History,
    in_use: Option<i64>,
    at: Timestamp,
    params: &Params,
    lower_from: Confidence,
) -> Suggestion {
    let confidence = Confidence::of(history, at, params);
    let keep = |reason: String| Suggestion { sizes: now, verdict: Verdict::Keep, confidence, reason };
    let span = age(history.observed.since(history.first_observed).as_secs());
    if confidence == Confidence::None {
        return keep(format!("seen too little: {} samples in {span}", history.samples));
    }
    let seen = seen(history, in_use);
    let wanted = with_margin(seen, params);
    let request = now.request();
    let band = STEP.max((request as f64 * LEAST_CHANGE) as i64);
    let verdict = if request < seen || wanted > request.saturating_add(band) {
        Verdict::Raise
    } else if wanted.saturating_add(band) < request {
        Verdict::Lower
    } else {
        return keep(String::new());
    };
    if verdict == Verdict::Lower && confidence < lower_from {
        let (wanted, least) = (human_bytes(wanted), lower_from.as_str());
        return keep(format!("{wanted} would do by what was seen in {span}, which is not of {least} confidence"));
    }
    let limit_bytes = now.limit().map(|limit| limit_beside(wanted, request, limit, params));
    Suggestion { sizes: Sizes { request_bytes: Some(wanted), limit_bytes }, verdict, confidence, reason: String::new() }
}

/// The most that was seen. A learned peak is taken as it stands, not as old as it is: what was seen once can come
/// again.
pub(super) fn seen(history: &History, in_use: Option<i64>) -> i64 {
    history.peak.max(in_use.unwrap_or(0)).max(0)
}

/// The limit for a new request. One that equals the request goes on doing so, since the container's class and its swap
/// depend on that. Another one is not lowered (it reserves nothing, and what it allows may be needed), and stays above
/// the request.
fn limit_beside(wanted: i64, request: i64, limit: i64, params: &Params) -> i64 {
    if limit <= request {
        wanted
    } else if wanted < limit {
        limit
    } else {
        with_margin(wanted, params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_800_000_000;

    /// A peak in MiB, seen for so many seconds until `ago` seconds before now.
    fn history(mib: i64, span: i64, ago: i64) -> History {
        let observed = NOW - ago;
        History {
            peak: mib * MIB,
            samples: 100,
            first_observed: Timestamp::from_secs(observed - span),
            observed: Timestamp::from_secs(observed),
        }
    }

    fn sizes(request: Option<i64>, limit: Option<i64>) -> Sizes {
        Sizes { request_bytes: request.map(|mib| mib * MIB), limit_bytes: limit.map(|mib| mib * MIB) }
    }

    fn suggested(now: Sizes, history: &History) -> Suggestion {
        suggest(now, history, None, Timestamp::from_secs(NOW), &Params::default(), Confidence::Medium)
    }

    #[test]
    fn the_margin_is_the_models_and_sizes_are_round() {
        let params = Params::default();
        for (seen, wanted) in [(0, 16), (10, 28), (60, 76), (100, 116), (112, 132), (300, 348), (1000, 1152)] {
            assert_eq!(with_margin(seen * MIB, &params), wanted * MIB, "{seen}");
        }
        assert_eq!(with_margin(1, &params) % STEP, 0);
    }

    #[test]
    fn requests_follow_what_was_seen() {
        use Verdict::{Keep, Lower, Raise};
        for (request, limit, peak, verdict, new_request, new_limit) in [
            // Lowered, with the limit left alone.
            (Some(256), Some(512), 112, Lower, Some(132), Some(512)),
            (Some(256), None, 112, Lower, Some(132), None),
            // A limit that equals its request stays equal, up and down.
            (Some(256), Some(256), 112, Lower, Some(132), Some(132)),
            (Some(64), Some(64), 112, Raise, Some(132), Some(132)),
            (None, Some(64), 112, Raise, Some(132), Some(132)),
            // Raised beyond the limit: the limit stays above it.
            (Some(64), Some(128), 112, Raise, Some(132), Some(152)),
            // Nothing declared.
            (None, None, 112, Raise, Some(132), None),
            // Near enough.
            (Some(128), Some(512), 112, Keep, Some(128), Some(512)),
            (Some(136), None, 112, Keep, Some(136), None),
            (Some(1160), None, 1000, Keep, Some(1160), None),
        ] {
            let made = suggested(sizes(request, limit), &history(peak, 9 * DAY, 60));
            let case = format!("{request:?} {limit:?} {peak}");
            assert_eq!((made.verdict, made.sizes), (verdict, sizes(new_request, new_limit)), "{case}");
            assert!(made.reason.is_empty(), "{case}");
        }
    }

    #[test]
    fn never_below_what_was_seen() {
        let params = Params::default();
        for peak in (0..2000).step_by(7) {
            for request in [0, 16, 64, 100, 500, 1999] {
                for limit in [None, Some(request), Some(request + 200)] {
                    let now = sizes(Some(request), limit);
                    let made = suggested(now, &history(peak, 9 * DAY, 60));
                    let of = format!("{request} {limit:?} {peak}: {made:?}");
                    assert!(made.sizes.request() >= peak * MIB, "{of}");
                    assert!(made.sizes.limit().is_none_or(|limit| limit >= made.sizes.request()), "{of}");
                    assert!(made.verdict == Verdict::Keep || made.sizes.request() >= with_margin(peak * MIB, &params));
                }
            }
        }
        // A peak of four days ago has not become smaller; what is in use now counts as well.
        let old = suggested(sizes(Some(64), None), &history(300, 9 * DAY, 4 * DAY));
        assert_eq!(old.sizes, sizes(Some(348), None));
        let at = Timestamp::from_secs(NOW);
        let busy = suggest(
            sizes(Some(64), None),
            &history(100, 9 * DAY, 60),
            Some(300 * MIB),
            at,
            &params,
            Confidence::Medium,
        );
        assert_eq!(busy.sizes, sizes(Some(348), None));
    }

    #[test]
    fn little_seen_raises_and_does_not_lower() {
        for (span, ago, confidence) in [
            (300, 60, Confidence::Low),
            (DAY, 60, Confidence::Medium),
            (6 * DAY, 60, Confidence::Medium),
            (7 * DAY, 60, Confidence::High),
            (7 * DAY, 2 * DAY, Confidence::Low),
        ] {
            let seen = history(112, span, ago);
            let lowered = suggested(sizes(Some(256), None), &seen);
            assert_eq!(lowered.confidence, confidence, "{span} {ago}");
            let lowers = confidence >= Confidence::Medium;
            assert_eq!(lowered.verdict == Verdict::Lower, lowers, "{span} {ago}");
            assert_eq!(lowered.reason.is_empty(), lowers, "{}", lowered.reason);
            assert_eq!(suggested(sizes(Some(64), None), &seen).verdict, Verdict::Raise, "{span} {ago}");
        }
        let unusable = History { samples: 2, ..history(112, 30, 60) };
        let nothing = suggested(sizes(Some(64), None), &unusable);
        assert_eq!((nothing.verdict, nothing.confidence), (Verdict::Keep, Confidence::None));
        assert_eq!(nothing.reason, "seen too little: 2 samples in 30s");
    }
}
