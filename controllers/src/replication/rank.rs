//! Which pods go first when there are too many (`ActivePodsWithRanks.Less`, reference 1.9).

use std::{cmp::Ordering, sync::Arc};

use hashbrown::HashSet;
use headroom_core::{
    Str, Timestamp,
    object::{Phase, Pod, Status},
};

use super::plan::Victim;

/// Annotation with a pod's cost of deletion.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts the pods that go first to the front.
///
/// Upstream's order is not transitive (equal ready times are decided by restarts, different ones of one bucket by UID),
/// and the standard library's sort may panic on such an order; a plain merge sort does not mind.
pub(super) fn sort(pods: &mut Vec<Arc<Pod>>, now: Timestamp) {
    let mut width = 1;
    let mut from = std::mem::take(pods);
    while width < from.len() {
        let mut to = Vec::with_capacity(from.len());
        for pair in from.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some(l), Some(r)) = (left.first(), right.first()) {
                if compare(r, l, now) == Ordering::Less {
                    to.push(r.clone());
                    right = &right[1..];
                } else {
                    to.push(l.clone());
                    left = &left[1..];
                }
            }
            to.extend_from_slice(left);
            to.extend_from_slice(right);
        }
        from = to;
        width *= 2;
    }
    *pods = from;
}

/// `Less` when `a` goes first. Step 5 of the reference (pods of the same owner on one node) never decides for
/// replication controllers: their rank is always 0 (reference 1.12).
pub(super) fn compare(a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    let (ready_a, ready_b) = (ready_since(a), ready_since(b));
    a.node_name
        .is_some()
        .cmp(&b.node_name.is_some())
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| ready_a.is_some().cmp(&ready_b.is_some()))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| match (ready_a, ready_b) {
            (Some(x), Some(y)) => younger(x, y, a, b, now),
            _ => Ordering::Equal,
        })
        .then_with(|| restarts(b, false).cmp(&restarts(a, false)))
        .then_with(|| restarts(b, true).cmp(&restarts(a, true)))
        .then_with(|| younger(a.meta.created, b.meta.created, a, b, now))
}

/// For each ready victim its age in multiples of the youngest ready pod's, rounded down as upstream
/// (`reportSortingDeletionAgeRatioMetric`); nothing when the youngest is no millisecond old.
pub(super) fn age_ratios(
    claimed: &[Arc<Pod>],
    victims: &[Victim],
    now: Timestamp,
) -> impl Iterator<Item = f64> + use<> {
    let age = |pod: &Pod| now.0.saturating_sub(pod.meta.created.0) / 1000;
    let ready = || claimed.iter().filter(|p| p.is_ready());
    let youngest = ready().map(|p| age(p)).min().filter(|age| *age > 0);
    let chosen: HashSet<&Str> = victims.iter().map(|v| &v.uid).collect();
    let ratios = youngest
        .map(|youngest| ready().filter(|p| chosen.contains(&p.meta.uid)).map(|p| (age(p) / youngest) as f64).collect());
    ratios.unwrap_or_else(Vec::new).into_iter()
}

const fn phase(pod: &Pod) -> u8 {
    match pod.status.phase {
        Phase::Pending => 0,
        Phase::Unknown => 1,
        _ => 2,
    }
}

/// Absent when not ready; zero when ready since nobody knows when.
fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = pod.condition("Ready").filter(|c| c.status == Status::True)?;
    Some(ready.last_transition.unwrap_or_default())
}

/// Zero times first, then the younger by powers of two of the age in nanoseconds, then the smaller UID, so that which
/// of many pods goes is not simply the newest (logarithmic scale-down).
fn younger(x: Timestamp, y: Timestamp, a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    if x == y {
        return Ordering::Equal;
    }
    if x.0 == 0 || y.0 == 0 {
        return (y.0 == 0).cmp(&(x.0 == 0));
    }
    bucket(x, now).cmp(&bucket(y, now)).then_with(|| a.meta.uid.as_str().cmp(b.meta.uid.as_str()))
}

fn bucket(t: Timestamp, now: Timestamp) -> i64 {
    let nanos = now.0.saturating_sub(t.0).saturating_mul(1000);
    nanos.checked_ilog2().map_or(-1, i64::from)
}

/// Anything that is not a plain 32-bit integer costs nothing. Leading zeros are refused, but not after a minus
/// (`validFirstDigit`).
fn cost(pod: &Pod) -> i32 {
    let Some(text) = pod.meta.annotations.get(DELETION_COST) else { return 0 };
    if text.starts_with('+') || (text.starts_with('0') && text.as_str() != "0") {
        return 0;
    }
    text.parse().unwrap_or(0)
}

/// Most restarts among the app containers, or among the sidecars.
fn restarts(pod: &Pod, sidecars: bool) -> i32 {
    let is_sidecar = |name: &str| pod.spec.init_containers.iter().any(|c| c.restartable && c.name == *name);
    let containers = pod.status.containers().iter().filter(|c| is_sidecar(&c.name) == sidecars);
    containers.map(|c| c.restart_count).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::{
        object::ContainerStatus,
        testing::{PodBuilder, container, pod},
    };

    fn restarted(builder: PodBuilder, name: &str, restart_count: i32) -> PodBuilder {
        builder.with(|p| {
            let mut all = p.status.containers().to_vec();
            all.push(ContainerStatus { name: name.into(), restart_count, started_at: None, oom_killed_at: None });
            p.status.change_incidents(|incidents| incidents.containers = all.into());
        })
    }

    const NOW: i64 = 100_000;

    fn ready(name: &str, age: i64) -> PodBuilder {
        pod(name).on("n").ready(NOW - age, "10.0.0.1").created(NOW - 50_000)
    }

    /// Translated from `TestSortingActivePodsWithRanks`: each pod goes before the next one.
    #[test]
    fn the_order_of_upstreams_table() {
        let h = 3600;
        let running = |name: &str| pod(name).on("n").phase(Phase::Running).created(NOW - 50_000);
        let pods = [
            pod("unassigned").build(),
            pod("assigned-pending").on("n").build(),
            pod("assigned-unknown").on("n").phase(Phase::Unknown).build(),
            running("not-ready").created(0).build(),
            running("ready-no-time")
                .condition("Ready", Status::True, 0)
                .with(|p| p.status.conditions[0].last_transition = None)
                .build(),
            ready("ready-2h", 2 * h).build(),
            ready("ready-5h", 5 * h).uid("a").build(),
            ready("ready-8h", 8 * h).uid("b").build(),
        ];
        for (i, a) in pods.iter().enumerate() {
            for b in &pods[i + 1..] {
                let t = Timestamp::from_secs(NOW);
                assert_eq!(compare(a, b, t), Ordering::Less, "{} {}", a.meta.key, b.meta.key);
                assert_eq!(compare(b, a, t), Ordering::Greater, "{} {}", b.meta.key, a.meta.key);
            }
        }
    }

    #[test]
    fn costs_restarts_and_creation() {
        let t = Timestamp::from_secs(NOW);
        let same = |name: &str| ready(name, 7200).container(container("main")).uid("u");
        let cost = |c: &str| same("p").annotation(DELETION_COST, c).build();
        assert_eq!(compare(&cost("10"), &cost("100"), t), Ordering::Less);
        assert_eq!(compare(&cost("-1"), &cost("0"), t), Ordering::Less);
        for invalid in ["", "+5", "05", "x", "99999999999", "-0"] {
            assert_eq!(compare(&cost(invalid), &cost("0"), t), Ordering::Equal, "{invalid}");
        }
        assert_eq!(compare(&cost("-05"), &cost("-5"), t), Ordering::Equal);
        assert_eq!(compare(&cost("-05"), &cost("-4"), t), Ordering::Less);
        let (few, many) = (restarted(same("a"), "main", 1).build(), restarted(same("b"), "main", 2).build());
        assert_eq!(compare(&many, &few, t), Ordering::Less);
        let sidecar = |n| {
            let with = same("a").spec(|s| s.init_containers = Box::new([container("side").restartable().build()]));
            restarted(restarted(with, "main", 1), "side", n).build()
        };
        assert_eq!(compare(&sidecar(3), &sidecar(2), t), Ordering::Less);
        let created = |age: i64| same("c").created(NOW - age).build();
        assert_eq!(compare(&created(100), &created(9000), t), Ordering::Less);
        assert_eq!(compare(&created(NOW), &created(100), t), Ordering::Less, "zero first");
    }

    #[test]
    fn an_order_with_cycles_does_not_panic_and_loses_nothing() {
        let mut pods: Vec<_> = (0..300)
            .map(|i: i64| {
                let p = ready(&format!("p{i}"), 5000 + i % 3).uid(&format!("u{}", (i * 7919) % 300));
                Arc::new(restarted(p, "main", i32::try_from(i % 5).unwrap()).build())
            })
            .collect();
        sort(&mut pods, Timestamp::from_secs(NOW));
        let names: std::collections::HashSet<_> = pods.iter().map(|p| p.meta.key.clone()).collect();
        assert_eq!((pods.len(), names.len()), (300, 300));
    }

    #[test]
    fn ages_in_multiples_of_the_youngest() {
        let aged = |name: &str, seconds: i64, ready: bool| {
            let builder = pod(name).created(1000 - seconds);
            if ready { builder.ready(900, "10.0.0.1").arc() } else { builder.arc() }
        };
        let all = [aged("a", 10, true), aged("b", 35, true), aged("c", 5, false)];
        let victims: Vec<_> =
            all[1..].iter().map(|p| Victim { key: p.meta.key.clone(), uid: p.meta.uid.clone() }).collect();
        let now = Timestamp::from_secs(1000);
        assert_eq!(age_ratios(&all, &victims, now).collect::<Vec<_>>(), [3.0], "what is not ready does not count");
        assert_eq!(age_ratios(&all, &victims, Timestamp::from_secs(990)).count(), 0, "the youngest has no age");
    }
}
