//! A cluster at rest, of objects alone: nodes without kubelets, and pods with all that a running pod's status has.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::bench::wire::{MERGE_PATCH, Wire, each};
use crate::bench::workload::NAMESPACE;
use crate::bench::{BenchError, Workload};
use crate::bench_memory::MemoryBenchError;
use crate::control_plane::{ControlPlane, Identity, RbacSet};
use crate::wait::eventually;

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");
/// Creating requests at once.
const IN_FLIGHT: usize = 50;
/// Pods of one owner.
const PODS_PER_OWNER: u32 = 10;
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A control plane and the bench's connection.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    pub(crate) wire: Wire,
}

impl Cluster {
    /// Starts one with our resources and rights.
    pub(crate) async fn start(name: &str, audit: bool) -> Result<Self, MemoryBenchError> {
        let plane = ControlPlane::builder().name(name).audit(audit).no_request_limits().start().await?;
        plane.apply_yaml("crds.yaml", CRDS).await?;
        plane.apply_rbac(RbacSet::Primary).await?;
        plane.create_namespace(NAMESPACE).await?;
        let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
        Ok(Self { plane, wire })
    }

    /// Creates Ready nodes in three zones.
    pub(crate) async fn nodes(&self, count: u32) -> Result<(), BenchError> {
        let wire = &self.wire;
        each(count, IN_FLIGHT, |index| async move {
            let zone = ["zone-0", "zone-1", "zone-2"][index as usize % 3];
            wire.post("/api/v1/nodes", Workload::node(index, zone).to_string()).await?;
            // Admission gives every new node the taint `not-ready`, which a controller takes away in a cluster.
            let path = format!("/api/v1/nodes/{}", Workload::node_name(index));
            let patch = Bytes::from_static(br#"{"spec":{"taints":null}}"#);
            wire.send(Method::PATCH, &path, MERGE_PATCH, patch).await.map(|_| ())
        })
        .await?;
        Ok(())
    }

    /// Creates pods that run, round robin over the nodes, ten of an owner.
    pub(crate) async fn running_pods(&self, size: Workload) -> Result<(), BenchError> {
        let wire = &self.wire;
        let pods = pods();
        let path = pods.as_str();
        each(size.pods, IN_FLIGHT, |index| async move {
            let mut pod = Workload::pod(index);
            let owner = index / PODS_PER_OWNER;
            pod["spec"]["nodeName"] = Workload::node_name(index % size.nodes.max(1)).into();
            pod["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("owner-{owner}"),
                "uid": format!("00000000-0000-4000-8000-{owner:012}"), "controller": true, "blockOwnerDeletion": true,
            }]);
            wire.post(path, pod.to_string()).await?;
            let path = format!("{path}/{}/status", Workload::pod_name(index));
            wire.send(Method::PATCH, &path, MERGE_PATCH, running(index).to_string().into()).await.map(|_| ())
        })
        .await?;
        Ok(())
    }

    /// Creates a pod that waits for a scheduler.
    pub(crate) async fn pending_pod(&self, name: &str) -> Result<(), BenchError> {
        Ok(self.wire.post(&pods(), pending(name).to_string()).await?)
    }

    /// Waits until no pod is without a node.
    pub(crate) async fn all_bound(&self) -> Result<(), MemoryBenchError> {
        let path = format!("{}?fieldSelector=spec.nodeName%3D&limit=1", pods());
        let (wire, path) = (&self.wire, path.as_str());
        eventually(PATIENCE, "every pod to be bound", || async move {
            let text = wire.text(path).await.map_err(|error| error.to_string())?;
            let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            let waiting = list["items"].as_array().is_some_and(|items| !items.is_empty());
            if waiting { Err("one is not".to_owned()) } else { Ok(()) }
        })
        .await?;
        Ok(())
    }
}

/// Where pods are made.
pub(crate) fn pods() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// A pod that waits, under this name.
pub(crate) fn pending(name: &str) -> Value {
    let mut pod = Workload::pod(1);
    pod["metadata"]["name"] = name.into();
    pod
}

/// The status of a running pod, as a patch.
fn running(index: u32) -> Value {
    let ip = format!("10.{}.{}.{}", 64 + index / 65_536, index / 256 % 256, index % 256);
    let since = "2026-11-22T10:00:09Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": since});
    let conditions: Vec<Value> =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition).into();
    json!({"status": {
        "phase": "Running", "hostIP": "192.0.2.10", "hostIPs": [{"ip": "192.0.2.10"}], "podIP": ip, "podIPs": [{"ip": ip}],
        "startTime": since, "conditions": conditions,
        "containerStatuses": [{
            "name": "main", "ready": true, "started": true, "restartCount": 0, "image": "registry.example.com/team/app:1",
            "imageID": "registry.example.com/team/app@sha256:0d4a2d9f9f0f4d0b3b4e1b7d0a6f5c4e3d2c1b0a99887766554433221100ffee",
            "containerID": format!("containerd://{index:064x}"), "state": {"running": {"startedAt": since}}, "lastState": {},
        }],
    }})
}
