//! `MemoryProfile`: what a workload's containers were seen to need.

#![expect(clippy::duplicated_attributes, reason = "the derive takes one printcolumn attribute per column")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EmptySpec;

/// Learned memory peaks of a workload's containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "headroom.dev",
    version = "v1alpha1",
    kind = "MemoryProfile",
    plural = "memoryprofiles",
    shortname = "mp",
    namespaced,
    no_spec,
    status = "MemoryProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Learned memory peaks of a workload's containers.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".status.workload.kind"),
    printcolumn(name = "Workload", type_ = "string", json_path = ".status.workload.name"),
    printcolumn(
        name = "Peak",
        type_ = "string",
        json_path = ".status.containers[*].peakBytes",
        description = "Learned peak per container, bytes"
    ),
    printcolumn(name = "Observed", type_ = "date", json_path = ".status.containers[0].observedAt")
)]
pub struct MemoryProfileFields {
    /// There is nothing to specify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<EmptySpec>,
}

/// Which workload a profile speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// `apiVersion`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name, in the profile's namespace.
    pub name: String,
}

/// What is known of one container of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProfile {
    /// Name of the container.
    pub name: String,
    /// Image that was seen.
    pub image: String,
    /// Peak of working set and swap as of `observedAt`, in bytes; it halves every 24 hours.
    pub peak_bytes: i64,
    /// How many samples went into it.
    pub samples: i64,
    /// First sample.
    #[schemars(extend("format" = "date-time"))]
    pub first_observed_at: String,
    /// Last sample.
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: String,
}

/// What was learned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryProfileStatus {
    /// Of which workload.
    #[serde(default)]
    pub workload: Workload,
    /// Per container and image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name", "image"]))]
    pub containers: Vec<ContainerProfile>,
}
