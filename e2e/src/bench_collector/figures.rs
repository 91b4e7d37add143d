//! What is measured, and how it is written down.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::bench::machine::{Machine, commit, first_line};
use crate::binaries::our_binary;
use crate::control_plane::assets::{Assets, Component};

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// What is to be measured.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Simulated nodes.
    pub nodes: u32,
    /// Pods on each; ten of them belong to one ReplicaSet.
    pub pods_per_node: u32,
    /// Length of the window, seconds.
    pub seconds: u64,
    /// The command line, for the page.
    pub command: String,
}

/// The API server's heap at one time, after a garbage collection, and its resident memory.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Heap {
    /// Live bytes.
    pub heap_bytes: u64,
    /// Resident, bytes.
    pub rss_bytes: u64,
}

/// What the window showed.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// From the start of the process until every node had a sample, seconds.
    pub all_sampled_after_seconds: f64,
    /// Length of the window, seconds.
    pub window_seconds: f64,
    /// CPU of the controllers, thousandths of a core.
    pub cpu_millicores: f64,
    /// Their resident memory at the end, bytes.
    pub rss_bytes: u64,
    /// Their highest resident memory since the start, bytes.
    pub peak_rss_bytes: u64,
    /// CPU of API server and etcd, thousandths of a core; the kubelets' leases and the bench's own looks are part of it.
    pub server_millicores: f64,
    /// Kubelets read per second.
    pub reads_per_second: f64,
    /// Reads that failed, in the whole window.
    pub failed_reads: u64,
    /// Requests of the controllers to the API server per second, watches not counted.
    pub requests_per_second: f64,
    /// Writes of NodeHeadroom per second.
    pub headroom_writes_per_second: f64,
    /// Writes of MemoryProfile per second.
    pub profile_writes_per_second: f64,
    /// Other writes per second (events).
    pub other_writes_per_second: f64,
    /// Bytes of JSON that the writes of both kinds carried, per minute.
    pub written_bytes_per_minute: f64,
    /// Objects of each kind at the end.
    pub headrooms: u64,
    /// See `headrooms`.
    pub profiles: u64,
    /// Size of one as JSON, bytes, on average.
    pub headroom_bytes: u64,
    /// See `headroom_bytes`.
    pub profile_bytes: u64,
    /// The empty API server.
    pub heap_empty: Heap,
    /// With the two definitions.
    pub heap_with_definitions: Heap,
    /// With nodes and pods, before the controllers started.
    pub heap_with_cluster: Heap,
    /// At the end: all objects there, and watched.
    pub heap_at_the_end: Heap,
}

/// Everything, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    pub(super) date: String,
    pub(super) machine: Machine,
    pub(super) headroom_commit: Option<String>,
    pub(super) headroom_controllers: Option<String>,
    pub(super) kube_apiserver: Option<String>,
    /// What was asked for.
    pub plan: Plan,
    /// What was seen.
    pub figures: Figures,
}

impl Report {
    pub(super) fn new(plan: Plan, figures: Figures) -> Self {
        let server = Assets::from_env().ok().and_then(|assets| assets.require(Component::ApiServer).ok());
        Self {
            schema: SCHEMA,
            date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: Machine::read(),
            headroom_commit: commit(),
            headroom_controllers: our_binary("headroom-controllers").ok().and_then(|p| first_line(&p, "--version")),
            kube_apiserver: server.and_then(|path| first_line(&path, "--version")),
            plan,
            figures,
        }
    }
}
