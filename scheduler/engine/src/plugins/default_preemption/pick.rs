//! Which of the nodes on which room could be made (`pickOneNodeForPreemption`).

use std::cmp::Reverse;

use headroom_core::Timestamp;

use super::{Candidate, victims::started};

/// What candidates are compared by, in upstream's order; the largest wins.
type Rank = (Reverse<usize>, Reverse<i32>, Reverse<i64>, Reverse<usize>, Timestamp);

fn rank(c: &Candidate, now: Timestamp) -> Rank {
    let highest = c.victims.iter().map(super::PodInfo::priority).max().unwrap_or(i32::MIN);
    // Priorities are shifted so that none is negative: a few pods of a low priority are better than many of it.
    let sum = c.victims.iter().map(|v| i64::from(v.priority()) + (i64::from(i32::MAX) + 1)).sum();
    let earliest = c.victims.iter().filter(|v| v.priority() == highest).map(|v| started(v, now)).min();
    (Reverse(c.violations), Reverse(highest), Reverse(sum), Reverse(c.victims.len()), earliest.unwrap_or(now))
}

/// The best candidate. Among equals the first one given: upstream's choice is arbitrary there.
pub(super) fn pick(candidates: Vec<Candidate>, now: Timestamp) -> Option<Candidate> {
    let mut best: Option<(Rank, Candidate)> = None;
    for candidate in candidates {
        let rank = rank(&candidate, now);
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
