//! What pods take in RAM, as far as it is measured today: for the shares of nodes that do not exist yet as well.

use std::collections::HashMap;

use headroom_core::{Str, object::Pod, requests::pod_requests};

use crate::cluster::{Cluster, WorkloadName, workload};

/// Annotation of a static pod with the UID that samples have of it.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// RAM of pods, bytes.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    pods: HashMap<Str, i64>,
    /// The most that a pod of each workload takes.
    workloads: HashMap<WorkloadName, i64>,
}

/// The UID under which samples have a pod.
fn sample_uid(pod: &Pod) -> &Str {
    pod.meta.annotations.get(CONFIG_HASH).unwrap_or(&pod.meta.uid)
}

impl Uses {
    /// As the samples of a cluster have it.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        let samples = cluster.samples.values().flat_map(|sample| sample.pods.iter());
        let pods: HashMap<Str, i64> = samples.map(|(uid, usage)| (uid.clone(), usage.working_set.max(0))).collect();
        let mut workloads: HashMap<WorkloadName, i64> = HashMap::new();
        for pod in &cluster.pods {
            if let (Some(bytes), Some(name)) = (pods.get(sample_uid(pod)), workload(pod)) {
                let most = workloads.entry(name).or_default();
                *most = (*most).max(*bytes);
            }
        }
        Self { pods, workloads }
    }

    /// Of a pod: what is measured of it, or of the static pod that it is a copy of; else the most that is measured of a
    /// pod of its workload; else what it requests.
    #[must_use]
    pub fn pod(&self, pod: &Pod) -> i64 {
        let measured = self.pods.get(sample_uid(pod)).copied();
        let alike = || self.workloads.get(&workload(pod)?).copied();
        measured.or_else(alike).unwrap_or_else(|| pod_requests(&pod.spec).memory)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headroom_core::{
        Now,
        memory::{MIB, PodUsage},
        object::{Meta, NodeHeadroom, ObjectKey},
        testing::pod,
    };
    use headroom_engine::Input;

    use super::*;
    use crate::{cluster::copy, world::Scheduler};

    fn sample(node: &str, pods: &[(&str, i64)]) -> Input {
        let usage = |(uid, mib): &(&str, i64)| {
            ((*uid).into(), PodUsage { working_set: mib * MIB, swap: None, swap_available: None })
        };
        Input::SampleApplied(Arc::new(NodeHeadroom {
            meta: Meta { key: ObjectKey::new("", node), ..Meta::default() },
            pods: pods.iter().map(usage).collect(),
            ..NodeHeadroom::default()
        }))
    }

    #[test]
    fn measured_of_it_of_its_like_or_requested() {
        let agent = |name: &str| pod(name).requests("1m", "8Mi").owner("DaemonSet", "agent", "agent");
        let mirror = pod("etcd-s").requests("1m", "100Mi").owner("Node", "s", "s");
        let mirror = mirror.annotation(CONFIG_HASH, "hash").on("s").build();
        let cluster = Cluster::new(
            [
                sample("s", &[("hash", 70), ("uid-agent-1", 20)]),
                sample("w", &[("uid-agent-2", 24), ("uid-gone", 500)]),
                Input::PodApplied(agent("agent-1").on("s").arc()),
                Input::PodApplied(agent("agent-2").on("w").arc()),
                Input::PodApplied(Arc::new(mirror.clone())),
            ],
            &Scheduler::standard(),
            Now::at_secs(1_800_000_000),
        );
        let uses = Uses::of(&cluster);
        let mib = |pod: &Pod| uses.pod(pod) / MIB;
        assert_eq!((mib(&agent("agent-1").build()), mib(&agent("agent-2").build())), (20, 24));
        // On a machine that does not exist yet: as much as on that where it takes most.
        assert_eq!(mib(&copy(&agent("agent-1").build(), "agent-on-new")), 24);
        assert_eq!((mib(&mirror), mib(&copy(&mirror, "etcd-on-new"))), (70, 70));
        assert_eq!(mib(&pod("other").requests("1m", "64Mi").build()), 64);
    }
}
