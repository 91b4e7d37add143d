//! What a kubelet looks at before it runs a pod that names its node, of which no scheduler was asked (`generalFilter`,
//! pkg/kubelet/lifecycle/predicate.go; `AdmissionCheck`, pkg/scheduler).

use std::sync::Arc;

use headroom_core::{
    object::{Node, Pod},
    taint::{Effect, first_untolerated},
};

use crate::{
    cache::NodeInfo,
    framework::{PodInfo, Reason},
    plugins::{
        node_affinity, node_ports,
        node_resources_fit::{is_extended, lacking},
        taint_toleration,
    },
};

/// Why the kubelet of this node refuses the pod, in the words of the plugins that it shares with the scheduler; empty where
/// it takes it. The node's pods count as running there.
///
/// Unlike a scheduler it looks past taints that only keep pods away (`NoSchedule`), and past extended resources that the node
/// does not have at all; Kubernetes' own (huge pages) it refuses. A pod that is refused has failed for good: its controller
/// makes another one.
///
/// Not here: a kubelet evicts pods for a critical one that lacks nothing but room (`CriticalPodAdmissionHandler`,
/// pkg/kubelet/preemption), admits none while it evicts by pressure, and looks at the operating system.
#[must_use]
pub fn refusals(pod: &Arc<Pod>, node: &NodeInfo) -> Vec<Reason> {
    let info = PodInfo::new(pod.clone());
    let is_missing = |resource: &str| is_extended(resource) && !has(&node.node, resource);
    let (mut reasons, _) = lacking(&info.spec.requests, node.pods.len(), &node.requested, &node.node, is_missing);
    if !node_affinity::matches_pod(&info, &node.node) {
        reasons.push(node_affinity::REASON.into());
    }
    if node.ports.conflicts(&info.spec.ports) {
        reasons.push(node_ports::REASON.into());
    }
    // Static pods are not asked for their tolerations.
    if !pod.is_mirror() && first_untolerated(&node.node.taints, &pod.spec.tolerations, &[Effect::NoExecute]).is_some() {
        reasons.push(taint_toleration::REASON.into());
    }
    reasons
}

/// Whether the node lists a resource, be it none of it.
fn has(node: &Node, resource: &str) -> bool {
    node.allocatable.scalars.iter().any(|(name, _)| name.as_str() == resource)
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        resource::ResourceList,
        testing::{PodBuilder, container, node, pod},
    };

    use super::*;

    /// A pod that asks for so much of an extended resource.
    fn asks(name: &str, amount: i64) -> PodBuilder {
        let requests = ResourceList { scalars: Box::new([(name.into(), amount)]), ..ResourceList::default() };
        pod("p").container(container("c")).spec(|spec| spec.containers[0].requests = requests)
    }

    fn on_disk(bytes: i64) -> PodBuilder {
        let requests = ResourceList { ephemeral_storage: Some(bytes), ..ResourceList::default() };
        pod("p").container(container("c")).spec(|spec| spec.containers[0].requests = requests)
    }

    fn with_port(port: u16) -> PodBuilder {
        pod("p").container(container("c").port("", 1, port))
    }

    #[test]
    fn what_a_kubelet_looks_at() {
        let gpu = "example.com/gpu";
        let built = node("n").capacity("2", "4Gi", 3).extended(gpu, 1).label("disk", "ssd");
        let built = built.taint("keep", "", Effect::NoSchedule).taint("rather", "", Effect::PreferNoSchedule);
        let mut calm = NodeInfo::new(built.clone().with(|node| node.allocatable.ephemeral_storage = 1 << 30).arc());
        calm.add(PodInfo::new(pod("there").container(container("c").requests("1500m", "1Gi").port("", 1, 80)).arc()));
        let mut full = calm.clone();
        for name in ["more", "still-more"] {
            full.add(PodInfo::new(pod(name).arc()));
        }
        let drained = NodeInfo::new(built.taint("out", "", Effect::NoExecute).arc());
        let (ports, affinity, taints) = (node_ports::REASON, node_affinity::REASON, taint_toleration::REASON);
        for (pod, node, expected) in [
            (pod("p").requests("500m", "3Gi"), &calm, vec![]),
            (pod("p").requests("501m", "3Gi"), &calm, vec!["Insufficient cpu"]),
            (pod("p").requests("1", "4Gi"), &calm, vec!["Insufficient cpu", "Insufficient memory"]),
            (pod("p"), &full, vec!["Too many pods"]),
            (on_disk(1 << 30), &calm, vec![]),
            (on_disk((1 << 30) + 1), &calm, vec!["Insufficient ephemeral-storage"]),
            (asks(gpu, 1), &calm, vec![]),
            (asks(gpu, 2), &calm, vec!["Insufficient example.com/gpu"]),
            // Nobody on the node gives it out, and nobody there asks for it.
            (asks("example.com/fpga", 1), &calm, vec![]),
            (asks("hugepages-2Mi", 1), &calm, vec!["Insufficient hugepages-2Mi"]),
            (pod("p").node_selector("disk", "ssd"), &calm, vec![]),
            (pod("p").node_selector("disk", "hdd"), &calm, vec![affinity]),
            (with_port(81), &calm, vec![]),
            (with_port(80), &calm, vec![ports]),
            (with_port(80).node_selector("disk", "hdd"), &calm, vec![affinity, ports]),
            (pod("p"), &drained, vec![taints]),
            (pod("p").tolerates("out", Some(Effect::NoExecute), None), &drained, vec![]),
            (pod("p").tolerates("out", Some(Effect::NoSchedule), None), &drained, vec![taints]),
            (pod("p").annotation("kubernetes.io/config.mirror", "hash"), &drained, vec![]),
        ] {
            let pod = pod.arc();
            assert_eq!(refusals(&pod, node), expected, "{pod:?}");
        }
    }
}
