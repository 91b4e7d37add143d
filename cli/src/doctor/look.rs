//! A state at a time, with what several checks ask of it.

use std::collections::BTreeMap;

use headroom_api::{Behavior, Condition, NodeHeadroomStatus};
use headroom_core::{
    Timestamp,
    memory::{
        node::{protected, swap_capacity},
        overrides,
    },
    object::{NodeCondition, ObjectKey, Pod, Status},
};
use headroom_runtime::wire::time::parse_rfc3339;

use super::{
    finding::Subject,
    state::{NodeFacts, PodFacts, Program, State},
};

/// A sample that is older than this many intervals is stale (docs/memory.md).
const STALE_INTERVALS: u64 = 12;
/// Seconds between samples where a NodeHeadroom does not say.
const INTERVAL: u64 = 15;
/// Longest interval that is believed, seconds.
const MAX_INTERVAL: u64 = 86_400;
/// Labels of nodes that protection is for.
const PROTECTED_ROLES: [&str; 3] =
    ["node-role.kubernetes.io/etcd", "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// What the checks look at.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(super) state: &'a State,
    pub(super) at: Timestamp,
    on: BTreeMap<&'a str, Vec<&'a PodFacts>>,
}

impl<'a> Look<'a> {
    pub(crate) fn new(state: &'a State, at: Timestamp) -> Self {
        let mut on: BTreeMap<&str, Vec<&PodFacts>> = BTreeMap::new();
        for pod in state.pods.values() {
            if let Some(node) = pod.row.node_name.as_deref() {
                on.entry(node).or_default().push(pod);
            }
        }
        Self { state, at, on }
    }

    /// All nodes, by name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &'a NodeFacts> {
        self.state.nodes.values()
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a NodeFacts> {
        self.state.nodes.get(name)
    }

    /// All pods, by namespace and name.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &'a PodFacts> {
        self.state.pods.values()
    }

    /// The pods that are bound to a node.
    pub(super) fn pods_on(&self, node: &str) -> impl Iterator<Item = &'a PodFacts> {
        self.on.get(node).into_iter().flatten().copied()
    }

    /// The pods that run a program.
    pub(crate) fn running(&self, program: Program) -> impl Iterator<Item = &'a PodFacts> {
        self.pods().filter(move |pod| pod.program == Some(program) && pod.runs())
    }

    /// Pods that are neither done nor about to go, by the claims that they use.
    pub(super) fn users(&self) -> BTreeMap<ObjectKey, Vec<&'a PodFacts>> {
        let mut users: BTreeMap<ObjectKey, Vec<&PodFacts>> = BTreeMap::new();
        for pod in self.pods().filter(|pod| pod.row.is_active()) {
            for claim in pod.claims() {
                users.entry(claim).or_default().push(pod);
            }
        }
        users
    }

    /// Whole seconds since a time; zero when it is not known.
    pub(super) fn age(&self, since: Timestamp) -> u64 {
        if since.0 > 0 { self.at.since(since).as_secs() } else { 0 }
    }

    /// What is published of a node.
    pub(super) fn published(&self, node: &NodeFacts) -> Option<&'a NodeHeadroomStatus> {
        self.state.samples.get(node.name())?.status.as_ref()
    }

    /// The same, while its sample can be relied on.
    pub(super) fn sample(&self, node: &NodeFacts) -> Option<&'a NodeHeadroomStatus> {
        self.published(node).filter(|status| self.sample_age(status).is_some_and(|age| age <= stale_after(status)))
    }

    /// Age of a sample in seconds, if there is one.
    pub(super) fn sample_age(&self, status: &NodeHeadroomStatus) -> Option<u64> {
        let observed = status.observed_at.as_deref().and_then(parse_rfc3339)?;
        Some(self.at.since(observed).as_secs())
    }

    /// Swap of a node, bytes.
    pub(super) fn swap(&self, node: &NodeFacts) -> i64 {
        let published = self.published(node).and_then(|status| status.swap.capacity_bytes);
        swap_capacity(node.row.swap_capacity, published)
    }

    /// Whether pods on the node get some of its swap.
    pub(super) fn gives_swap(&self, node: &NodeFacts) -> bool {
        let gives = match overrides::swap_behavior(&node.row.meta) {
            Some(said) => said.gives_swap(),
            None => self
                .published(node)
                .is_some_and(|status| matches!(status.swap.behavior, Behavior::LimitedSwap | Behavior::Unlimited)),
        };
        gives && self.swap(node) > 0
    }

    /// Whether the node runs the control plane, as the memory model sees it.
    pub(super) fn is_protected(&self, node: &NodeFacts) -> bool {
        let meta = &node.row.meta;
        let label = PROTECTED_ROLES.iter().any(|role| meta.labels.has(role));
        let mirror = self.pods_on(node.name()).any(|pod| {
            let component = pod.row.meta.labels.get("component");
            pod.row.is_mirror() && component.is_some_and(|c| matches!(&**c, "etcd" | "kube-apiserver"))
        });
        protected(overrides::protected(meta), label, mirror)
    }
}

/// Seconds after which a sample does not count.
pub(super) fn stale_after(status: &NodeHeadroomStatus) -> u64 {
    let interval = status.interval_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(INTERVAL);
    interval.clamp(1, MAX_INTERVAL) * STALE_INTERVALS
}

/// The condition of this type.
pub(super) fn condition<'a>(status: &'a NodeHeadroomStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

/// The Ready condition of a node whose kubelet no longer says anything.
pub(super) fn silent(node: &NodeFacts) -> Option<&NodeCondition> {
    node.row.condition("Ready").filter(|ready| ready.status == Status::Unknown)
}

/// The Ready condition of a node that is not ready, for whatever reason.
pub(super) fn not_ready(node: &NodeFacts) -> Option<&NodeCondition> {
    node.row.condition("Ready").filter(|ready| ready.status != Status::True)
}

/// The name of the systemd unit in which the node's kubelet runs.
pub(super) fn unit(node: &NodeFacts) -> &'static str {
    let version = &*node.row.kubelet_version;
    let server = node.args.first().is_some_and(|word| word == "server")
        || PROTECTED_ROLES.iter().any(|role| node.row.meta.labels.has(role));
    match (server, version) {
        (true, v) if v.contains("+k3s") => "k3s",
        (false, v) if v.contains("+k3s") => "k3s-agent",
        (true, v) if v.contains("+rke2") => "rke2-server",
        (false, v) if v.contains("+rke2") => "rke2-agent",
        (true, v) if v.contains("+k0s") => "k0scontroller",
        (false, v) if v.contains("+k0s") => "k0sworker",
        _ => "kubelet",
    }
}

/// Whether it is one of k3s.
pub(crate) fn is_k3s(node: &NodeFacts) -> bool {
    node.row.kubelet_version.contains("+k3s")
}

/// Whether k3s runs the control plane on this node, and its flags are known.
pub(crate) fn is_server_of_k3s(node: &NodeFacts) -> bool {
    is_k3s(node) && node.args.first().is_some_and(|word| word == "server")
}

/// What a pod is one of: the Deployment, the StatefulSet and so on; the pod itself if nobody made it.
pub(super) fn workload(pod: &Pod) -> Subject {
    let key = &pod.meta.key;
    let Some(owner) = pod.meta.controller() else { return Subject::namespaced("Pod", key) };
    let hash = pod.meta.labels.get("pod-template-hash").filter(|_| owner.kind == "ReplicaSet");
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(&**hash)?.strip_suffix('-'));
    match deployment {
        Some(name) => Subject::new("Deployment", &key.namespace, name),
        None => Subject::new(&owner.kind, &key.namespace, &owner.name),
    }
}

/// A workload as `kubectl set resources` takes it; none where its template cannot be changed by that.
pub(super) fn settable(workload: &Subject) -> Option<String> {
    let kind = match workload.kind.as_str() {
        "Deployment" => "deployment",
        "StatefulSet" => "statefulset",
        "DaemonSet" => "daemonset",
        "ReplicationController" => "replicationcontroller",
        "ReplicaSet" => "replicaset",
        _ => return None,
    };
    Some(format!("{kind}/{}", super::text::arg(&workload.name)))
}

/// Whether a pod is an ordinary one: those of the system, of DaemonSets and of kubelets are their vendors' business.
pub(super) fn is_ordinary(pod: &Pod) -> bool {
    let daemon = pod.meta.controller().is_some_and(|owner| owner.kind == "DaemonSet");
    pod.is_active() && !daemon && !pod.is_mirror() && pod.meta.key.namespace != *"kube-system"
}

/// The name of a flag without its dashes, and its value where one stands behind `=`. The name is as helps have it: the stock
/// components and ours take `_` for `-`.
pub(crate) fn name_and_value(flag: &str) -> (String, Option<&str>) {
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    (name.replace('_', "-"), value)
}

/// Values of a flag in the order in which they stand: `--name=value` or `--name value`; `true` where none follows. `name` is
/// as helps have it.
pub(crate) fn flag<'a>(args: &'a [String], name: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    for (i, word) in args.iter().enumerate() {
        let value = match word.strip_prefix("--").map(name_and_value) {
            Some((given, value)) if given == name => value,
            _ => continue,
        };
        let next = || args.get(i + 1).filter(|next| !next.starts_with("--")).map_or("true", String::as_str);
        values.push(value.unwrap_or_else(next));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_in_both_forms() {
        let args: Vec<String> =
            ["server", "--a=1", "--ab", "2", "--a", "3", "--on", "--c=", "--a"].map(String::from).into();
        assert_eq!(flag(&args, "a"), ["1", "3", "true"]);
        assert_eq!(flag(&args, "ab"), ["2"]);
        assert_eq!(flag(&args, "on"), ["true"]);
        assert_eq!(flag(&args, "c"), [""]);
        assert!(flag(&args, "d").is_empty());
    }

    #[test]
    fn names_of_flags_in_both_spellings() {
        let args: Vec<String> = ["--leader_elect=false", "--leader-elect", "a_b", "--leader_elect_x", "leader_elect=1"]
            .map(String::from)
            .into();
        assert_eq!(flag(&args, "leader-elect"), ["false", "a_b"]);
        assert_eq!(flag(&args, "leader-elect-x"), ["leader_elect=1"]);
        assert_eq!(name_and_value("a_b=c_d=e"), ("a-b".to_owned(), Some("c_d=e")));
    }
}
