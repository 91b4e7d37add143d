//! What a workload's containers were seen to use: a decaying maximum of working set and swap together, so that a pod
//! that was swapped out does not look small (memory-and-swap.md 5.2, 5.12 (9)).

use super::{MIB, SECOND, micros_between, params::Params, rounded, swap::YOUNG_SECONDS};
use crate::time::Timestamp;

/// Deciders age a peak in steps of this many seconds, so that decisions repeat and nothing is recomputed each second.
pub const DECAY_STEP_SECONDS: i64 = 300;
/// What remains of a peak when the image changed.
const NEW_IMAGE: f64 = 0.8;

/// What is known of one container of a workload: an entry of a `MemoryProfile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// The largest footprint, in bytes, as of [`Self::observed`]; it halves every `halfLifeSeconds`.
    pub peak: i64,
    /// How many samples it rests on.
    pub samples: u32,
    /// The first sample.
    pub first_observed: Timestamp,
    /// The newest sample.
    pub observed: Timestamp,
}

/// One sample of a container (or a pod's share of it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Working set and swap together, in bytes.
    pub footprint: i64,
    /// When it was taken.
    pub at: Timestamp,
    /// When the container started; unknown is taken as long ago.
    pub started: Option<Timestamp>,
}

/// `peak` after `micros`, by the half-life.
fn decay(peak: i64, micros: i64, params: &Params) -> i64 {
    if micros <= 0 {
        return peak;
    }
    let half_lives = micros as f64 / SECOND as f64 / params.half_life_seconds.max(1) as f64;
    rounded(peak as f64 * libm::exp2(-half_lives))
}

impl History {
    /// Whether there is enough of it to replace what the pod's author wrote.
    #[must_use]
    pub fn usable(&self, params: &Params) -> bool {
        self.samples >= params.history_samples
            || micros_between(self.first_observed, self.observed) >= params.history_seconds.saturating_mul(SECOND)
    }

    /// The peak at `now` for a decider, in steps of [`DECAY_STEP_SECONDS`].
    #[must_use]
    pub fn decayed(&self, now: Timestamp, params: &Params) -> i64 {
        let step = DECAY_STEP_SECONDS * SECOND;
        let elapsed = micros_between(self.observed, now).max(0);
        decay(self.peak.max(0), elapsed - elapsed % step, params)
    }

    /// When [`Self::decayed`] changes next.
    #[must_use]
    pub fn next_step(&self, now: Timestamp) -> Timestamp {
        let step = DECAY_STEP_SECONDS * SECOND;
        let elapsed = micros_between(self.observed, now).max(0);
        Timestamp(self.observed.0.saturating_add((elapsed - elapsed % step).saturating_add(step)))
    }

    /// The learner's step: `before` and a new sample.
    ///
    /// Samples of siblings come in any order of time; the older of the two is aged to the newer. A container younger
    /// than 30 s raises the peak but never lowers it, nor does it count as a sample.
    #[must_use]
    pub fn observe(before: Option<Self>, sample: &Observation, params: &Params) -> Self {
        let footprint = sample.footprint.max(0);
        let young = sample
            .started
            .is_some_and(|started| micros_between(started, sample.at) < YOUNG_SECONDS.saturating_mul(SECOND));
        let Some(before) = before else {
            return Self {
                peak: footprint,
                samples: u32::from(!young),
                first_observed: sample.at,
                observed: sample.at,
            };
        };
        let observed = before.observed.max(sample.at);
        let known = decay(before.peak.max(0), micros_between(before.observed, observed), params);
        let seen = decay(footprint, micros_between(sample.at, observed), params);
        if young && seen <= known {
            return before;
        }
        Self {
            peak: known.max(seen),
            samples: before.samples.saturating_add(u32::from(!young)),
            first_observed: before.first_observed.min(sample.at),
            observed,
        }
    }

    /// The image changed: the old peak counts less, and learning goes on.
    #[must_use]
    pub fn new_image(self) -> Self {
        Self { peak: rounded(self.peak.max(0) as f64 * NEW_IMAGE), ..self }
    }

    /// A container was OOM-killed: it wanted more than was seen. `last` is its last sample, else its limit counts;
    /// without either there is nothing to conclude. Being killed at a size is worth as much as having been watched: the
    /// history counts from then on.
    #[must_use]
    pub fn oom_killed(
        before: Option<Self>,
        last: Option<i64>,
        limit: Option<i64>,
        at: Timestamp,
        params: &Params,
    ) -> Option<Self> {
        let Some(x) = last.or(limit).map(|x| x.max(0)) else { return before };
        let wanted = rounded(x as f64 * 1.2).max(x.saturating_add(100 * MIB));
        let wanted = limit.map_or(wanted, |limit| wanted.min(limit.max(0)));
        let Some(before) = before else {
            return Some(Self { peak: wanted, samples: params.history_samples, first_observed: at, observed: at });
        };
        let observed = before.observed.max(at);
        let known = decay(before.peak.max(0), micros_between(before.observed, observed), params);
        let wanted = decay(wanted, micros_between(at, observed), params);
        Some(Self { peak: known.max(wanted), samples: before.samples.max(params.history_samples), observed, ..before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn sample(mib: i64, seconds: i64) -> Observation {
        Observation { footprint: mib * MIB, at: at(seconds), started: None }
    }

    #[test]
    fn decays_in_steps() {
        let params = Params::default();
        let history = History { peak: 400 * MIB, samples: 9, first_observed: at(0), observed: at(1000) };
        assert_eq!(history.decayed(at(0), &params), 400 * MIB);
        assert_eq!(history.decayed(at(1299), &params), 400 * MIB);
        let after_one = history.decayed(at(1300), &params);
        assert!(after_one < 400 * MIB);
        assert_eq!(history.decayed(at(1599), &params), after_one);
        assert_eq!(history.decayed(at(1000 + DAY), &params), 200 * MIB);
        assert_eq!(history.next_step(at(900)), at(1300));
        assert_eq!(history.next_step(at(1300)), at(1600));
    }

    #[test]
    fn older_samples_of_siblings_are_aged() {
        let params = Params::default();
        let first = History::observe(None, &sample(100, 10 * DAY), &params);
        let late = History::observe(Some(first), &sample(300, 9 * DAY), &params);
        assert_eq!((late.peak, late.samples), (150 * MIB, 2));
        assert_eq!((late.first_observed, late.observed), (at(9 * DAY), at(10 * DAY)));
    }

    #[test]
    fn young_containers_only_raise() {
        let params = Params::default();
        let known = History::observe(None, &sample(200, 0), &params);
        let young = |mib| Observation { started: Some(at(DAY)), ..sample(mib, DAY + 29) };
        assert_eq!(History::observe(Some(known), &young(50), &params), known);
        let raised = History::observe(Some(known), &young(300), &params);
        assert_eq!((raised.peak, raised.samples), (300 * MIB, 1));
        let old = Observation { started: Some(at(DAY)), ..sample(50, DAY + 30) };
        assert_eq!(History::observe(Some(known), &old, &params).samples, 2);
        assert_eq!(History::observe(None, &young(20), &params).samples, 0);
    }

    #[test]
    fn a_new_image_keeps_most_of_it() {
        let history = History { peak: 100 * MIB, ..History::default() };
        assert_eq!(history.new_image().peak, 80 * MIB);
    }

    #[test]
    fn an_oom_kill_raises() {
        let params = Params::default();
        let peak = |before: Option<i64>, last: Option<i64>, limit: Option<i64>| {
            let before = before.map(|mib| History { peak: mib * MIB, observed: at(9), ..History::default() });
            History::oom_killed(before, last.map(|x| x * MIB), limit.map(|x| x * MIB), at(9), &params)
                .map(|history| history.peak / MIB)
        };
        assert_eq!(peak(Some(150), Some(200), None), Some(300));
        assert_eq!(peak(Some(150), Some(1000), None), Some(1200));
        assert_eq!(peak(Some(150), Some(200), Some(256)), Some(256));
        assert_eq!(peak(Some(150), None, Some(256)), Some(256));
        assert_eq!(peak(Some(400), Some(200), Some(256)), Some(400));
        assert_eq!(peak(None, None, None), None);
        let fresh = History::oom_killed(None, Some(MIB), None, at(9), &params).unwrap();
        assert!(fresh.usable(&params));
        // Killed in its first 30 seconds, when no sample counts yet.
        let young = Observation { started: Some(at(8)), ..sample(20, 9) };
        let seen = History::observe(None, &young, &params);
        let killed = History::oom_killed(Some(seen), Some(20 * MIB), Some(64 * MIB), at(10), &params).unwrap();
        assert!(!seen.usable(&params) && killed.usable(&params));
        assert_eq!((killed.peak, killed.samples), (64 * MIB, 3));
        let often = History { samples: 40, ..killed };
        assert_eq!(History::oom_killed(Some(often), Some(MIB), None, at(10), &params).unwrap().samples, 40);
    }

    #[test]
    fn usable_by_samples_or_by_time() {
        let params = Params::default();
        let history = |samples, span| History { peak: 1, samples, first_observed: at(0), observed: at(span) };
        assert!(history(3, 0).usable(&params));
        assert!(!history(2, 299).usable(&params));
        assert!(history(0, 300).usable(&params));
    }
}
