//! The answer as it is printed: `kind: Plan` of `headroom.dev/v1alpha1`.

use headroom_core::object::ObjectKey;
use serde::Serialize;

use crate::{catalogue::Price, moves::Move};

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// `headroom.dev/v1alpha1`.
    pub api_version: &'static str,
    /// `Plan`.
    pub kind: &'static str,
    /// The time of the cluster, RFC 3339.
    pub at: String,
    /// `Now`, `Fit`, `Change` or `Cheapest`.
    pub question: &'static str,
    /// Whether the answer is yes.
    pub fits: bool,
    /// The answer in one line.
    pub summary: String,
    /// The catalogue that prices are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<CatalogueReference>,
    /// What is paid per month, as far as prices are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_month: Option<Price>,
    /// The nodes of the answer.
    pub nodes: Vec<NodeRoom>,
    /// How many more pods of each workload find a place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadRoom>,
    /// What the loss of each node leaves without a place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Where the pods that were asked about would go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<Placement>,
    /// Pods that would wait.
    pub pending: Vec<Waiting>,
    /// What else stands against it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The cheapest set of machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cheapest: Option<Cheapest>,
    /// What is known where no set of machines was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_set: Option<NoSet>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

/// Where prices are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogueReference {
    /// Name.
    pub name: String,
    /// The day of the prices.
    pub date: String,
    /// Where the figures come from.
    pub source: String,
    /// What stands before a price.
    pub currency: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRoom {
    /// Name.
    pub name: String,
    /// `control-plane` or `worker`.
    pub role: &'static str,
    /// Its machine type, when it is known.
    pub machine: Option<String>,
    /// The type is concluded from its size.
    pub machine_concluded: bool,
    /// What it costs.
    pub price_per_month: Option<Price>,
    /// Its RAM.
    pub ram_bytes: i64,
    /// What the system takes.
    pub overhead_bytes: i64,
    /// Whether that was measured.
    pub overhead_measured: bool,
    /// The system's part of the price.
    pub overhead_per_month: Option<Price>,
    /// What the control plane takes in static pods, beside the system's share.
    pub control_plane_bytes: i64,
    /// Their part of the price.
    pub control_plane_per_month: Option<Price>,
    /// What Headroom itself takes.
    pub headroom_agent_bytes: i64,
    /// Headroom's part of the price.
    pub headroom_agent_per_month: Option<Price>,
    /// Pods on it.
    pub pods: usize,
    /// Memory that they request.
    pub requested_memory_bytes: i64,
    /// CPU that they request, thousandths of a core.
    pub requested_milli_cpu: i64,
    /// CPU that there is.
    pub allocatable_milli_cpu: i64,
    /// Memory that it can still give, by the model; absent when nothing is measured anywhere.
    pub headroom_bytes: Option<i64>,
    /// Swap that its pods may still use.
    pub accessible_swap_bytes: Option<i64>,
    /// Cordoned.
    pub unschedulable: bool,
    /// It is there already.
    pub exists: bool,
}

/// How many more pods of a workload find a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRoom {
    /// Namespace.
    pub namespace: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Pods that it has.
    pub replicas: usize,
    /// How many more find a place; not counted further than [`crate::today::MAX_MORE`].
    pub more: usize,
    /// Why not one more than these; absent where counting ended.
    pub reason: Option<String>,
}

/// What the loss of a node leaves without a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// The node.
    pub node: String,
    /// Pods on it that need another place.
    pub pods: usize,
    /// Whether it runs the control plane.
    pub control_plane: bool,
    /// Those that find none.
    pub pending: Vec<Waiting>,
}

/// A pod without a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What the scheduler says.
    pub reason: String,
    /// What would have to give: each was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<String>,
    /// It has no place today either, so that the change that was asked about is not why.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits_now: bool,
}

impl Waiting {
    /// With the scheduler's words.
    #[must_use]
    pub fn new(pod: &ObjectKey, reason: String) -> Self {
        Self {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            reason,
            fixes: Vec::new(),
            waits_now: false,
        }
    }
}

/// What stands against a plan, pods without a place apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The nodes that it is about.
    pub nodes: Vec<String>,
    /// What it is.
    pub reason: String,
}

/// Where a pod goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Where it is.
    pub from: Option<String>,
    /// Where it goes.
    pub to: String,
}

/// Machines of one type and role.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineCount {
    /// Type, when it is known.
    pub machine: Option<String>,
    /// `control-plane` or `worker`.
    pub role: &'static str,
    /// How many.
    pub count: usize,
    /// How many of them are there already.
    pub exist: usize,
    /// What one costs.
    pub price_per_month: Option<Price>,
    /// Swap of each, bytes.
    pub swap_bytes: i64,
}

/// The cheapest set of machines that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cheapest {
    /// What is paid today, as far as prices are known.
    pub today_per_month: Price,
    /// Nodes of today whose price is not known.
    pub unpriced_nodes: usize,
    /// What this set costs.
    pub price_per_month: Price,
    /// No set of machines of the catalogue can cost less.
    pub lower_bound_per_month: Price,
    /// The two are the same.
    pub optimal: bool,
    /// Pods have to be steered: left alone, the scheduler places them otherwise.
    pub steered: bool,
    /// Sets that were tried with the engine.
    pub sets_tried: usize,
    /// The machines.
    pub machines: Vec<MachineCount>,
    /// How to get there, in order.
    pub moves: Vec<Move>,
    /// Pods that cannot leave their node, and why.
    pub immovable: Vec<Waiting>,
}

/// What is known of sets of machines where none was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NoSet {
    /// No set of machines of the catalogue can cost less; absent where that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_bound_per_month: Option<Price>,
    /// Sets that were tried with the engine.
    pub sets_tried: usize,
    /// Pods that cannot leave their node, and why.
    pub immovable: Vec<Waiting>,
}

impl Cheapest {
    /// Whether all is known of what is paid today, so that there is a difference.
    #[must_use]
    pub const fn today_is_known(&self) -> bool {
        self.unpriced_nodes == 0
    }
}
