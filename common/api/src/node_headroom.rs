//! `NodeHeadroom`: what a node's memory and swap really look like, one object per Node.

#![expect(clippy::duplicated_attributes, reason = "the derive takes one printcolumn attribute per column")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, EmptySpec};

/// Memory and swap of the Node of the same name, as its kubelet measured them.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "headroom.dev",
    version = "v1alpha1",
    kind = "NodeHeadroom",
    plural = "nodeheadrooms",
    shortname = "nh",
    no_spec,
    status = "NodeHeadroomStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Memory and swap of the Node of the same name, as its kubelet measured them.",
    printcolumn(
        name = "RAM",
        type_ = "string",
        json_path = ".status.display.ram",
        description = "Working set / capacity"
    ),
    printcolumn(
        name = "Headroom",
        type_ = "string",
        json_path = ".status.display.headroom",
        description = "Memory that the node can still give"
    ),
    printcolumn(
        name = "Swap",
        type_ = "string",
        json_path = ".status.display.swap",
        description = "Swap used / capacity"
    ),
    printcolumn(
        name = "Behavior",
        type_ = "string",
        json_path = ".status.swap.behavior",
        description = "The kubelet's swap behavior"
    ),
    printcolumn(
        name = "Pressure",
        type_ = "number",
        format = "double",
        json_path = ".status.memory.pressure.some.avg60",
        description = "Share of time in which some task waited for memory, percent, over 60 s"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Calm, Elevated, Hot or Thrash"
    ),
    printcolumn(name = "Sample", type_ = "date", json_path = ".status.observedAt", description = "Age of the sample")
)]
pub struct NodeHeadroomFields {
    /// There is nothing to specify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<EmptySpec>,
}

/// Where a sample comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    /// The kubelet's `/stats/summary`.
    Kubelet,
    /// The `metrics.k8s.io` API.
    MetricsAPI,
    /// Nobody answers.
    #[default]
    None,
}

/// How hard the node's memory is pressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Not at all.
    #[default]
    Calm,
    /// Noticeably.
    Elevated,
    /// So that nothing new should be placed there.
    Hot,
    /// It is busy with swapping.
    Thrash,
}

/// What the kubelet does with swap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Behavior {
    /// Burstable pods get a share.
    LimitedSwap,
    /// Pods get none.
    NoSwap,
    /// Pods get all of it (removed from Kubernetes; other kubelets may do it).
    Unlimited,
    /// Not known.
    #[default]
    Unknown,
}

/// Averages of pressure stall information, in percent of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PsiAverages {
    /// Over 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg10: Option<f64>,
    /// Over 60 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg60: Option<f64>,
}

/// Pressure stall information of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Psi {
    /// Some task waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub some: Option<PsiAverages>,
    /// All tasks waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<PsiAverages>,
}

/// The node's RAM. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStatus {
    /// `status.capacity.memory` of the Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<i64>,
    /// `status.allocatable.memory` of the Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocatable_bytes: Option<i64>,
    /// Working set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<i64>,
    /// The kubelet's hard eviction threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction_hard_bytes: Option<i64>,
    /// Working set that belongs to no pod, when last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_overhead_bytes: Option<i64>,
    /// Major page faults per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_faults_per_second: Option<f64>,
    /// Pressure stall information; absent when the kernel does not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Psi>,
}

/// The node's swap. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwapStatus {
    /// What the kubelet does with it.
    #[serde(default)]
    pub behavior: Behavior,
    /// Size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<i64>,
    /// In use; absent when not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<i64>,
    /// Pages read from it per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_pages_per_second: Option<f64>,
    /// Pages written to it per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_pages_per_second: Option<f64>,
}

/// A pod in the sample. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSample {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Working set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<i64>,
    /// Swap in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_used_bytes: Option<i64>,
    /// Swap that it may still use, the sum over its containers; absent when that of any container is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_available_bytes: Option<i64>,
}

/// Texts for the columns of `kubectl get`, which cannot compute: for people only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisplayColumns {
    /// RAM used / total.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ram: String,
    /// Swap used / total.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub swap: String,
    /// Headroom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub headroom: String,
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeHeadroomStatus {
    /// Time of the sample, as the kubelet gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: Option<String>,
    /// Where the sample comes from.
    #[serde(default)]
    pub source: Source,
    /// How hard the memory is pressed.
    #[serde(default)]
    pub state: State,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub state_since: Option<String>,
    /// Whether the control plane's or etcd's protection applies.
    #[serde(default)]
    pub protected: bool,
    /// RAM.
    #[serde(default)]
    pub memory: MemoryStatus,
    /// Swap.
    #[serde(default)]
    pub swap: SwapStatus,
    /// Every pod in the sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uid"]))]
    pub pods: Vec<PodSample>,
    /// Memory that the node could still give at the time of the sample, in bytes; deciders recompute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom_bytes: Option<i64>,
    /// Swap that pods could still use at the time of the sample, in bytes; deciders recompute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessible_swap_bytes: Option<i64>,
    /// Poll interval in force, in seconds. A sample is fresh for 3 of them and stale after 12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<i64>,
    /// Texts for `kubectl get`.
    #[serde(default)]
    pub display: DisplayColumns,
    /// One each of `Fresh`, `ClockSkew`, `SwapThrashing`, `MemoryHeadroomLow`, `SwapNearlyFull` and `OOMRisk`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
