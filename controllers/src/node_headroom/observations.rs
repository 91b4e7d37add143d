//! What a sample says of single containers: the memory-profile controller learns from it.

use std::time::Duration;

use headroom_core::{
    Str, Timestamp,
    memory::swap::{self, YOUNG_SECONDS},
    object::ObjectKey,
};

use super::summary::{ContainerStats, PodStats, Summary};

/// A container in a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerObservation {
    /// Its name.
    pub name: Str,
    /// Working set and swap together, in bytes.
    pub footprint: i64,
    /// When it started, on the clock of the sample's time.
    pub started: Option<Timestamp>,
}

impl ContainerObservation {
    /// Whether it had just started.
    #[must_use]
    pub fn is_young(&self, at: Timestamp) -> bool {
        let youth = Duration::from_secs(YOUNG_SECONDS.unsigned_abs());
        self.started.is_some_and(|started| at.since(started) < youth)
    }
}

/// A pod in a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodObservation {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Str,
    /// When the sample was taken.
    pub at: Timestamp,
    /// Its containers whose memory is known.
    pub containers: Box<[ContainerObservation]>,
}

/// The pods of a summary that was taken at `at`; `swap` is the size of the node's swap.
pub(super) fn of(summary: &Summary, at: Timestamp, swap: i64) -> Vec<PodObservation> {
    summary
        .pods
        .iter()
        .map(|pod| PodObservation {
            key: ObjectKey::new(pod.pod_ref.namespace.as_str(), pod.pod_ref.name.as_str()),
            uid: pod.pod_ref.uid.as_str().into(),
            at,
            containers: pod.containers.iter().filter_map(|c| container(pod, c, at, swap)).collect(),
        })
        .filter(|pod| !pod.containers.is_empty())
        .collect()
}

fn container(pod: &PodStats, stats: &ContainerStats, at: Timestamp, swap: i64) -> Option<ContainerObservation> {
    // The same plausibility as for pods: no machine has a pebibyte.
    let working_set = stats.memory.working_set_bytes.and_then(|b| i64::try_from(b).ok()).filter(|b| *b <= 1 << 50)?;
    let sane = |used: Option<u64>| used.and_then(|used| swap::used(used, swap));
    // Kubelets before 1.34 give the pod's swap at most: what no container accounts for is shared among the others.
    let swapped = sane(stats.swap.swap_usage_bytes).unwrap_or_else(|| {
        let (mut known, mut unknown) = (0_i64, 0_i64);
        for other in &pod.containers {
            match sane(other.swap.swap_usage_bytes) {
                Some(bytes) => known = known.saturating_add(bytes),
                None => unknown += 1,
            }
        }
        sane(pod.swap.swap_usage_bytes).unwrap_or(0).saturating_sub(known).max(0) / unknown.max(1)
    });
    // Its age is right on the kubelet's own clock.
    let age = stats.memory.time.zip(stats.start_time).map(|(looked, started)| looked.0.saturating_sub(started.0));
    Some(ContainerObservation {
        name: stats.name.as_str().into(),
        footprint: working_set.saturating_add(swapped),
        started: age.map(|age| Timestamp(at.0.saturating_sub(age.max(0)))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!("../../tests/fixtures/stats-summary.json");

    #[test]
    fn a_real_kubelets_containers() {
        let summary = Summary::parse(SAMPLE).unwrap();
        let at = summary.node.memory.time.unwrap();
        let all = of(&summary, at, 2_147_479_552);
        let hog = all.iter().find(|pod| pod.key.name == "hog300").unwrap();
        let stats = &summary.pods[1].containers[0];
        let working_set = i64::try_from(stats.memory.working_set_bytes.unwrap()).unwrap();
        assert_eq!(hog.containers[0].footprint, working_set + 50_880_512);
        let age = stats.memory.time.unwrap().0 - stats.start_time.unwrap().0;
        assert_eq!(hog.containers[0].started.unwrap().0, at.0 - age);
        assert!(!hog.containers[0].is_young(at));
        // An underflow, and a container without memory figures.
        let mut odd = summary.clone();
        odd.pods[1].containers[0].swap.swap_usage_bytes = Some(u64::MAX - 7);
        odd.pods[0].containers[0].memory.working_set_bytes = None;
        let all = of(&odd, at, 2_147_479_552);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].containers[0].footprint, working_set + 50_884_608, "the pod's own figure");
    }
}
