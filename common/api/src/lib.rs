//! Custom resource types of group `headroom.dev`, version `v1alpha1`, and their schemas.
//!
//! The types are the fixed interface that people, scripts and the chart rely on: sizes are bytes (`i64`), times are
//! RFC 3339 strings in UTC, and a number that is not known is an absent field, never zero. Neither kind has a spec (an
//! empty one is accepted). The chart's YAML is generated from here: `cargo run --release -p headroom-api --example
//! crdgen` rewrites `charts/headroom/files/crds.yaml`, and a test compares the two.

mod crds;
mod memory_profile;
mod node_headroom;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    crds::{CRDS_FILE, CrdError, crds, crds_yaml},
    memory_profile::{ContainerProfile, MemoryProfile, MemoryProfileFields, MemoryProfileStatus, Workload},
    node_headroom::{
        Behavior, DisplayColumns, MemoryStatus, NodeHeadroom, NodeHeadroomFields, NodeHeadroomStatus, PodSample, Psi,
        PsiAverages, Source, State, SwapStatus,
    },
};

/// Group of the custom resources.
pub const GROUP: &str = "headroom.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";

/// Nothing: neither kind has anything to be wished for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmptySpec {}

/// A condition, shaped like `metav1.Condition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition, in CamelCase.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, for people, with what to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the status last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}
