//! When a NodeHeadroom is written: on material change, at most once per poll interval, and as a heartbeat
//! (DESIGN.md 6). Sizes in bytes, times in seconds.

use std::time::Duration;

use super::{
    MIB, SECOND, headroom::STANDARD_INTERVAL_SECONDS, micros_between, node::PodUsage, pressure::PressureState, rounded,
};
use crate::time::Timestamp;

/// Most writes per second over the whole cluster.
const MOST_WRITES_PER_SECOND: i64 = 10;
/// Longest interval, whatever the size of the cluster: a sample must not get older than an hour between two looks.
const LONGEST_INTERVAL_SECONDS: i64 = 600;
/// Least change of a node that is material.
const NODE_STEP: i64 = 16 * MIB;
/// The same as a fraction of the capacity.
const NODE_FRACTION: f64 = 0.02;
/// Least change of a pod that is material.
const POD_STEP: i64 = 4 * MIB;
/// The same as a fraction of what was published.
const POD_FRACTION: f64 = 0.05;
/// Writes that take longer slow the pace down.
const SLOW_WRITE: Duration = Duration::from_millis(100);
/// Most by which slow writes stretch the interval.
const MOST_SLOWDOWN: i64 = 4;
/// Polls come a little early or late; a write is not put off by a whole interval for that.
const JITTER_SECONDS: i64 = 1;

/// How often a node is polled and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pace {
    /// Between two polls of a node, and the least between two writes (`intervalSeconds`).
    pub interval_seconds: i64,
    /// Between two writes when nothing changes.
    pub heartbeat_seconds: i64,
}

impl Pace {
    /// For a cluster of this size and the configured interval (usually 15 s): everything grows together beyond the
    /// number of nodes at which every node could be written in every interval.
    #[must_use]
    pub fn new(nodes: usize, interval_seconds: i64) -> Self {
        let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
        let least = nodes / MOST_WRITES_PER_SECOND + i64::from(nodes % MOST_WRITES_PER_SECOND != 0);
        Self::of(interval_seconds.max(least))
    }

    fn of(interval_seconds: i64) -> Self {
        let interval_seconds = interval_seconds.clamp(1, LONGEST_INTERVAL_SECONDS);
        Self { interval_seconds, heartbeat_seconds: interval_seconds * 2 }
    }

    /// The same when writes take this long on average.
    #[must_use]
    pub fn slowed(self, write: Duration) -> Self {
        let times = i64::try_from(write.as_micros().div_ceil(SLOW_WRITE.as_micros())).unwrap_or(i64::MAX);
        Self::of(self.interval_seconds.saturating_mul(times.clamp(1, MOST_SLOWDOWN)))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::of(STANDARD_INTERVAL_SECONDS)
    }
}

/// What of a NodeHeadroom decides whether it is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// `W`.
    pub working_set: Option<i64>,
    /// `U`.
    pub swap_used: Option<i64>,
    /// The state.
    pub state: PressureState,
    /// Which pods are in the sample ([`set_hash`] of their UIDs).
    pub pods: u64,
    /// Everything else by which readers decide, hashed: behaviour, sizes, source, conditions.
    pub facts: u64,
}

/// Why a NodeHeadroom is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Due {
    /// It was not written yet.
    First,
    /// Something that readers decide by has changed.
    Material,
    /// Readers are to see that the sample is fresh.
    Heartbeat,
}

/// Whether the node is to be written now: `before` is what was written last and when; `capacity` and `swap` are the
/// node's. A change that came too early is written at the next poll at which it is still there.
#[must_use]
pub fn due(
    before: Option<(&Digest, Timestamp)>,
    current: &Digest,
    capacity: i64,
    swap: i64,
    now: Timestamp,
    pace: &Pace,
) -> Option<Due> {
    let Some((before, at)) = before else { return Some(Due::First) };
    // A clock that went back must not silence the node.
    let gap = micros_between(at, now).saturating_abs();
    let passed = |seconds: i64, slack: i64| gap >= (seconds - slack.min(seconds)).saturating_mul(SECOND);
    if !passed(pace.interval_seconds, JITTER_SECONDS) {
        return None;
    }
    if material(before, current, capacity, swap) {
        return Some(Due::Material);
    }
    // Half an interval early rather than half a one late: the fresh limit is three intervals.
    passed(pace.heartbeat_seconds, pace.interval_seconds / 2).then_some(Due::Heartbeat)
}

/// Whether readers would decide otherwise: `|ΔW|` or `|ΔU|` of at least 16 MiB and 2 % of the capacity, the state, the
/// set of pods, or anything else but numbers.
#[must_use]
pub fn material(before: &Digest, current: &Digest, capacity: i64, swap: i64) -> bool {
    moved(before.working_set, current.working_set, step(NODE_STEP, NODE_FRACTION, capacity))
        || moved(before.swap_used, current.swap_used, step(NODE_STEP, NODE_FRACTION, swap))
        || before.state != current.state
        || before.pods != current.pods
        || before.facts != current.facts
}

fn step(least: i64, fraction: f64, of: i64) -> i64 {
    least.max(rounded(of as f64 * fraction))
}

fn moved(before: Option<i64>, current: Option<i64>, step: i64) -> bool {
    match (before, current) {
        (Some(before), Some(current)) => current.saturating_sub(before).saturating_abs() >= step,
        (before, current) => before.is_some() != current.is_some(),
    }
}

/// What to publish of a pod: what stands there, unless it has moved by 4 MiB and 5 %, so that a write of a node with
/// many quiet pods changes little.
#[must_use]
pub fn settled_usage(before: Option<&PodUsage>, current: PodUsage) -> PodUsage {
    let Some(before) = before else { return current };
    let apart = |was: Option<i64>, is: Option<i64>| moved(was, is, step(POD_STEP, POD_FRACTION, was.unwrap_or(0)));
    let changed = apart(Some(before.working_set), Some(current.working_set))
        || apart(before.swap, current.swap)
        || apart(before.swap_available, current.swap_available);
    if changed { current } else { *before }
}

/// A hash of a set that does not depend on its order: the wrapping sum of the FNV-1a hashes of its members.
pub fn set_hash<'a>(members: impl IntoIterator<Item = &'a str>) -> u64 {
    members.into_iter().fold(0, |sum: u64, member| sum.wrapping_add(fnv(member.as_bytes())))
}

/// FNV-1a, for [`Digest::facts`].
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(working_set: i64) -> Digest {
        Digest { working_set: Some(working_set * MIB), swap_used: Some(0), ..Digest::default() }
    }

    fn due_after(seconds: i64, change: impl Fn(&mut Digest)) -> Option<Due> {
        let before = digest(500);
        let mut current = before;
        change(&mut current);
        let at = Timestamp::from_secs(1000);
        due(
            Some((&before, at)),
            &current,
            1024 * MIB,
            2048 * MIB,
            Timestamp::from_secs(1000 + seconds),
            &Pace::default(),
        )
    }

    #[test]
    fn what_is_material() {
        assert_eq!(due_after(15, |_| ()), None);
        assert_eq!(due_after(15, |d| d.working_set = Some(520 * MIB)), None);
        assert_eq!(due_after(15, |d| d.working_set = Some(521 * MIB)), Some(Due::Material));
        assert_eq!(due_after(15, |d| d.working_set = Some(479 * MIB)), Some(Due::Material));
        assert_eq!(due_after(15, |d| d.swap_used = Some(40 * MIB)), None);
        assert_eq!(due_after(15, |d| d.swap_used = Some(41 * MIB)), Some(Due::Material));
        assert_eq!(due_after(15, |d| d.swap_used = None), Some(Due::Material));
        assert_eq!(due_after(15, |d| d.state = PressureState::Hot), Some(Due::Material));
        assert_eq!(due_after(15, |d| d.pods = 7), Some(Due::Material));
        assert_eq!(due_after(15, |d| d.facts = 7), Some(Due::Material));
        assert_eq!(due(None, &digest(1), 0, 0, Timestamp(0), &Pace::default()), Some(Due::First));
    }

    #[test]
    fn at_most_once_per_interval_and_at_least_every_second_one() {
        assert_eq!(due_after(10, |d| d.state = PressureState::Hot), None);
        assert_eq!(due_after(14, |d| d.state = PressureState::Hot), Some(Due::Material));
        assert_eq!(due_after(22, |_| ()), None);
        assert_eq!(due_after(29, |_| ()), Some(Due::Heartbeat));
        assert_eq!(due_after(-40, |_| ()), Some(Due::Heartbeat));
    }

    #[test]
    fn the_pace_follows_the_size_of_the_cluster() {
        let pace = |nodes| {
            let pace = Pace::new(nodes, 15);
            (pace.interval_seconds, pace.heartbeat_seconds)
        };
        assert_eq!(pace(5), (15, 30));
        assert_eq!(pace(150), (15, 30));
        assert_eq!(pace(151), (16, 32));
        assert_eq!(pace(1000), (100, 200));
        assert_eq!(pace(usize::MAX), (600, 1200));
        for nodes in (1..6000).step_by(7) {
            assert!(nodes as i64 <= 10 * Pace::new(nodes, 15).interval_seconds, "{nodes}");
        }
    }

    #[test]
    fn slow_writes_slow_the_pace() {
        let at = |millis| Pace::default().slowed(Duration::from_millis(millis)).interval_seconds;
        assert_eq!((at(0), at(100), at(101), at(250), at(60_000)), (15, 15, 30, 45, 60));
        assert_eq!(Pace::default().slowed(Duration::MAX).interval_seconds, 60);
    }

    #[test]
    fn quiet_pods_keep_their_numbers() {
        let usage = |mib: i64| PodUsage { working_set: mib * MIB, swap: None, swap_available: None };
        assert_eq!(settled_usage(None, usage(5)), usage(5));
        assert_eq!(settled_usage(Some(&usage(50)), usage(53)), usage(50));
        assert_eq!(settled_usage(Some(&usage(50)), usage(54)), usage(54));
        assert_eq!(settled_usage(Some(&usage(200)), usage(209)), usage(200));
        let swapped = PodUsage { swap: Some(0), ..usage(50) };
        assert_eq!(settled_usage(Some(&usage(50)), swapped), swapped);
    }

    #[test]
    fn sets_have_no_order() {
        assert_eq!(set_hash(["a", "b"]), set_hash(["b", "a"]));
        assert_ne!(set_hash(["a", "b"]), set_hash(["a", "c"]));
        assert_ne!(set_hash(["a"]), set_hash(["a", "a"]));
    }
}
