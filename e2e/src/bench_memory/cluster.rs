//! One side's cluster: a fresh control plane, simulated nodes, the whole stock controller manager, and either scheduler.

use std::time::Duration;

use headroom_api::NodeHeadroom;
use headroom_hollow::Hollow;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::control_plane::{ControlPlane, RbacSet, SchedulerOptions};
use crate::process::Process;
use crate::reserve::Slots;
use crate::upstream::Side;
use crate::wait::eventually;

use super::MemoryBenchError;

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");

/// How long a process may take to become healthy, and every node to be ready and measured.
const START: Duration = Duration::from_secs(60);

/// A running cluster.
pub(super) struct Cluster {
    // Dropped in this order: nodes and processes before the control plane.
    pub(super) hollow: Hollow,
    processes: Vec<Process>,
    pub(super) client: kube::Client,
    plane: ControlPlane,
}

impl Cluster {
    /// Starts everything; every node takes pods then and, on our side, has been measured.
    pub(super) async fn start(
        side: Side,
        scenario: &str,
        nodes: &str,
        slots: &Slots,
    ) -> Result<Self, MemoryBenchError> {
        let plane = ControlPlane::builder().name(format!("{scenario}-{side}")).within(slots).start().await?;
        plane.create_namespace("kube-node-lease").await?;
        plane.create_namespace("default").await?;
        let hollow = plane.start_hollow(plane.hollow_config(nodes)?).await?;

        let mut processes = vec![plane.start_stock_kcm("*", &[])?];
        match side {
            Side::Stock => processes.push(plane.start_stock_scheduler(&SchedulerOptions::default())?),
            Side::Headroom => {
                plane.apply_yaml("crds.yaml", CRDS).await?;
                plane.apply_rbac(RbacSet::Primary).await?;
                let trust = plane.trust_kubelets(&hollow)?;
                processes.push(plane.start_headroom_controllers(&["--leader-elect=false", &trust])?);
                processes.push(plane.start_headroom_scheduler(&["--mode=primary", "--leader-elect=false"])?);
            }
        }
        for process in &processes {
            plane.wait_healthy(process, "/healthz", START).await?;
        }
        let cluster = Self { hollow, processes, client: plane.admin_client(), plane };
        cluster.wait_for_nodes().await?;
        if side == Side::Headroom {
            cluster.wait_for_samples().await?;
        }
        Ok(cluster)
    }

    /// Waits until no node is tainted any more: admission taints every new node, node-lifecycle takes that away.
    async fn wait_for_nodes(&self) -> Result<(), MemoryBenchError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        eventually(START, "every node to take pods", || async {
            let all = nodes.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let tainted = |node: &&Node| node.spec.as_ref().is_some_and(|spec| spec.taints.is_some());
            match all.items.iter().filter(tainted).count() {
                0 => Ok(()),
                some => Err(format!("{some} of {} are tainted", all.items.len())),
            }
        })
        .await?;
        Ok(())
    }

    async fn wait_for_samples(&self) -> Result<(), MemoryBenchError> {
        let all: Api<NodeHeadroom> = Api::all(self.client.clone());
        let nodes = self.hollow.nodes().len();
        eventually(START, "a sample of every node", || async {
            let list = all.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let sampled = |node: &&NodeHeadroom| node.status.as_ref().is_some_and(|s| s.observed_at.is_some());
            let count = list.items.iter().filter(sampled).count();
            if count == nodes { Ok(()) } else { Err(format!("{count} of {nodes}")) }
        })
        .await?;
        Ok(())
    }

    /// Creates an object in the namespace `default`.
    pub(super) async fn create<K>(&self, object: Value) -> Result<K, MemoryBenchError>
    where
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        let object: K = serde_json::from_value(object)?;
        let api: Api<K> = Api::default_namespaced(self.client.clone());
        let name = object.meta().name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &object).await.map_err(MemoryBenchError::api(format!("create {name}")))
    }

    /// Every pod of the namespace `default`.
    pub(super) async fn pods(&self) -> Result<Vec<Pod>, MemoryBenchError> {
        let api: Api<Pod> = Api::default_namespaced(self.client.clone());
        Ok(api.list(&ListParams::default()).await.map_err(MemoryBenchError::api("list pods"))?.items)
    }

    /// Fails when a process has ended.
    pub(super) fn check(&self, during: &str) -> Result<(), MemoryBenchError> {
        self.processes.iter().try_for_each(|process| process.expect_running(during))?;
        Ok(())
    }

    /// Keeps logs and data for whoever looks for the cause of a failure.
    pub(super) fn keep(&self) {
        self.plane.keep_directory();
    }

    /// Ends everything in order.
    pub(super) async fn end(self) {
        for process in &self.processes {
            let _ = process.terminate(Duration::from_secs(10)).await;
        }
        self.hollow.stop().await;
    }
}

/// Where a pod is.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Why a pod waits: the message of its condition `PodScheduled`, once a scheduler has written it.
pub(super) fn waits_because(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    condition.message.as_deref()
}
