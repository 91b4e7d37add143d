//! `bench-controllers`: our controllers beside the stock kube-controller-manager with the same loops, one after the other, each
//! on a fresh control plane: how long ReplicationControllers take to get their pods, how long a Service takes to hear of
//! them, and what that costs.

mod cli;
mod deaths;
mod measure;
mod page;
mod services;

use std::io::Write;

use serde::Serialize;

use crate::bench::machine::Machine;
use crate::control_plane::Release;

pub use cli::{Arguments, main};
pub use deaths::{Death, Keeper};

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// What is to be measured.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Whose stock, API server and etcd; the report has stock's own words for it.
    #[serde(skip)]
    pub kubernetes: Release,
    /// Sizes of the ReplicationControllers, one after the other.
    pub replicas: Vec<u32>,
    /// Endpoints of the Service.
    pub endpoints: u32,
    /// Rounds.
    pub repeat: u32,
    /// Whether nodes are to die as well.
    pub deaths: bool,
    /// The command line, for the page.
    pub command: String,
}

/// Who runs the loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// kube-controller-manager with these loops only, its client limits lifted.
    Stock,
    /// headroom-controllers with the same loops.
    Headroom,
}

/// A ReplicationController that got its pods and lost them.
#[derive(Debug, Clone, Serialize)]
pub struct Replication {
    /// How many it asked for.
    pub replicas: u32,
    /// From its creation until all pods were there, seconds.
    pub created_seconds: f64,
    /// From its creation until its status said so, seconds.
    pub status_seconds: f64,
    /// From `replicas: 0` until all pods were gone, seconds.
    pub deleted_seconds: f64,
    /// CPU time of the process for all of it, milliseconds.
    pub cpu_milliseconds: f64,
    /// Resident memory when all pods were there, bytes.
    pub rss_bytes: u64,
}

/// A Service whose pods became ready.
#[derive(Debug, Clone, Serialize)]
pub struct Serving {
    /// How many.
    pub endpoints: u32,
    /// From the last pod's report until all addresses were ready in slices, seconds.
    pub all_ready_seconds: f64,
    /// From one pod's report until a slice said it, milliseconds: median and worst of [`services::FLIPS`].
    pub flip_milliseconds: f64,
    /// See `flip_milliseconds`.
    pub worst_flip_milliseconds: f64,
    /// Writes of EndpointSlices and Endpoints in the mass.
    pub writes: u64,
    /// CPU time of the process for the mass, milliseconds.
    pub cpu_milliseconds: f64,
}

/// One round of a contestant.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Who.
    pub contestant: Contestant,
    /// Resident memory before there was any object, bytes.
    pub idle_rss_bytes: u64,
    /// Each size.
    pub replication: Vec<Replication>,
    /// The Service.
    pub serving: Serving,
    /// Resident memory at its highest, bytes.
    pub peak_rss_bytes: u64,
}

/// Everything, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    pub(super) date: String,
    pub(super) machine: Machine,
    pub(super) headroom_commit: Option<String>,
    pub(super) headroom_controllers: Option<String>,
    pub(super) kube_controller_manager: Option<String>,
    /// What was asked for.
    pub plan: Plan,
    /// What was seen.
    pub rounds: Vec<Round>,
    /// Nodes that died, if they were to, or in an earlier run.
    pub deaths: Vec<Death>,
    /// That it was an earlier one: day, commit and machine.
    #[serde(rename = "deathsMeasuredAt", skip_serializing_if = "Option::is_none")]
    pub(super) deaths_measured_at: Option<String>,
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench-controllers: {line}");
}
