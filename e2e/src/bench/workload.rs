//! The workloads: nodes and pods as upstream's scheduler_perf makes them, made different in ten ways.

use std::fmt;
use std::str::FromStr;

use headroom_bare::names::{self, TEMPLATES};
use serde_json::{Value, json};

use super::BenchError;

pub(crate) use headroom_bare::names::NAMESPACE;

/// One pod in so many has the label `watched`. Prime to [`TEMPLATES`], so that they are spread evenly in the order of
/// creation as well as in that of names, in which lists have them.
pub(crate) const WATCHED_EVERY: u32 = 11;

/// CPU of a node, millicores (scheduler_perf's node template: 4 CPU, 32Gi, 110 pods).
pub(crate) const NODE_MILLICPU: u64 = 4000;

/// Memory of a node, MiB.
pub(crate) const NODE_MEMORY_MIB: u64 = 32 * 1024;

/// Pods that a node takes.
pub(crate) const NODE_PODS: u64 = 110;

/// Memory request of every pod, MiB (scheduler_perf's default pod).
pub(crate) const POD_MEMORY_MIB: u64 = 500;

/// Most pods per node, so that every pod fits whatever the order: the biggest template would fit 58 times by CPU and
/// 65 times by memory.
const MAX_PODS_PER_NODE: u32 = 55;

/// Most nodes and pods, upstream's scalability limits.
const MAX_NODES: u32 = 5000;
const MAX_PODS: u32 = 150_000;

/// So many nodes, and so many pods pending when the scheduler starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload {
    /// Nodes.
    pub nodes: u32,
    /// Pods.
    pub pods: u32,
}

impl Workload {
    /// The small cluster of the issue.
    pub const SMALL: Self = Self { nodes: 100, pods: 5000 };
    /// The big one.
    pub const BIG: Self = Self { nodes: 1000, pods: 10_000 };
    /// As many nodes as Kubernetes supports.
    pub const HUGE: Self = Self { nodes: 5000, pods: 10_000 };
    /// A smoke test.
    pub const QUICK: Self = Self { nodes: 20, pods: 500 };
    /// The cluster of the idle measurement.
    pub const IDLE: Self = Self { nodes: 5, pods: 100 };

    /// The name of a node.
    pub(crate) fn node_name(index: u32) -> String {
        names::node(index)
    }

    /// The name of a pod.
    pub(crate) fn pod_name(index: u32) -> String {
        names::pod(index)
    }

    /// A Ready node. Admission adds the taint `not-ready`, which has to be taken away afterwards.
    pub(crate) fn node(index: u32, zone: &str) -> Value {
        let name = Self::node_name(index);
        let amounts = json!({
            "cpu": format!("{NODE_MILLICPU}m"),
            "memory": format!("{NODE_MEMORY_MIB}Mi"),
            "pods": NODE_PODS.to_string(),
            "ephemeral-storage": "100Gi",
        });
        let condition =
            |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason});
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/region": "region-1",
                "topology.kubernetes.io/zone": zone,
            }},
            "status": {
                "capacity": amounts,
                "allocatable": amounts,
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                    condition("Ready", "True", "KubeletReady"),
                ],
                "nodeInfo": {
                    "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.36.4",
                    "kubeProxyVersion": "", "containerRuntimeVersion": "containerd://2.1.0", "osImage": "Linux",
                    "kernelVersion": "6.12.0", "machineID": name, "systemUUID": name, "bootID": name,
                },
            },
        })
    }

    /// Whether the pod has the label `watched`.
    pub(crate) const fn is_watched(index: u32) -> bool {
        index.is_multiple_of(WATCHED_EVERY)
    }

    /// CPU request of a pod, millicores: 50 to 68 by template.
    pub(crate) fn pod_millicpu(index: u32) -> u64 {
        50 + 2 * u64::from(index % TEMPLATES)
    }

    /// A pending pod of about 1 KB of JSON, owned by nobody and selected by no Service: no scheduler has to spread it.
    pub(crate) fn pod(index: u32) -> Value {
        let template = index % TEMPLATES;
        let app = format!("app-{template}");
        let env = |name: &str, value: &str| json!({"name": name, "value": value});
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": Self::pod_name(index),
                "namespace": NAMESPACE,
                "labels": {
                    "app.kubernetes.io/name": app,
                    "app.kubernetes.io/instance": format!("{app}-production"),
                    "app.kubernetes.io/part-of": "bench",
                },
            },
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "main",
                    "image": format!("registry.example.com/team/{app}:1.{template}.0"),
                    "args": ["--listen=:8080", "--log-format=json"],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "env": [env("APP_NAME", &app), env("LOG_LEVEL", "info"), env("REGION", "region-1")],
                    "resources": {
                        "requests": {
                            "cpu": format!("{}m", Self::pod_millicpu(index)),
                            "memory": format!("{POD_MEMORY_MIB}Mi"),
                        },
                        "limits": {"memory": format!("{POD_MEMORY_MIB}Mi")},
                    },
                }],
            },
        });
        if Self::is_watched(index) {
            pod["metadata"]["labels"]["watched"] = "true".into();
        }
        pod
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.nodes, self.pods)
    }
}

impl FromStr for Workload {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, BenchError> {
        let wrong = |reason: String| BenchError::Workload { text: text.to_owned(), reason };
        let (nodes, pods) = text
            .split_once('x')
            .and_then(|(nodes, pods)| Some((nodes.parse::<u32>().ok()?, pods.parse::<u32>().ok()?)))
            .ok_or_else(|| wrong("write NODESxPODS, for example 100x5000".to_owned()))?;
        if !(1..=MAX_NODES).contains(&nodes) || !(2..=MAX_PODS).contains(&pods) {
            return Err(wrong(format!("1 to {MAX_NODES} nodes and 2 to {MAX_PODS} pods are possible")));
        }
        if pods > nodes.saturating_mul(MAX_PODS_PER_NODE) {
            return Err(wrong(format!("not all pods would fit: at most {MAX_PODS_PER_NODE} per node")));
        }
        Ok(Self { nodes, pods })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_read_and_checked() {
        assert_eq!("100x5000".parse::<Workload>().unwrap(), Workload::SMALL);
        assert_eq!(Workload::BIG.to_string().parse::<Workload>().unwrap(), Workload::BIG);
        for wrong in ["", "100", "x", "0x10", "1x1", "10x551", "-1x5", "99999999999x1", "5001x10", "5000x150001"] {
            let error = wrong.parse::<Workload>().unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn all_templates_fit_as_often_as_allowed() {
        let biggest = (0..TEMPLATES).map(Workload::pod_millicpu).max().unwrap();
        let most = u64::from(MAX_PODS_PER_NODE);
        assert!(most * biggest <= NODE_MILLICPU && most * POD_MEMORY_MIB <= NODE_MEMORY_MIB && most <= NODE_PODS);
    }

    #[test]
    fn watched_pods_are_spread_evenly_in_both_orders() {
        let mut by_name: Vec<u32> = (0..5000).collect();
        by_name.sort_by_key(|index| Workload::pod_name(*index));
        for order in [(0..5000).collect(), by_name] {
            let at: Vec<usize> = (0..5000).filter(|i| Workload::is_watched(order[*i])).collect();
            assert!(at[0] < 11 && at[at.len() - 1] >= 5000 - 11, "{} {}", at[0], at[at.len() - 1]);
            assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= 21), "{at:?}");
            let labels = |index: u32| Workload::pod(index)["metadata"]["labels"].get("watched").is_some();
            assert!((0..30).all(|index| labels(index) == Workload::is_watched(index)));
        }
    }

    #[test]
    fn names_differ_and_pods_are_about_one_kilobyte() {
        assert_ne!(Workload::pod_name(1), Workload::pod_name(11));
        let size = Workload::pod(7).to_string().len();
        assert!((600..1400).contains(&size), "{size}");
    }
}
