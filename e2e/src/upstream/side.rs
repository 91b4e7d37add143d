//! The two sides that are compared, each on a cluster of its own.

use std::fmt;
use std::time::Duration;

use headroom_hollow::Hollow;

use crate::control_plane::{ControlPlane, LOOPS, RbacSet, SchedulerOptions};
use crate::process::Process;
use crate::reserve::Slots;

use super::UpstreamError;

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");

/// The nodes: three, since several specs need two that are free.
pub(crate) const NODES: &str = "node=3:4Gi:cpu=4";

/// Pods that the specs look for on every node in kube-system, for a minute each time when they are not there.
const SYSTEM_PODS: [&str; 3] = ["kube-proxy", "fluentd-elasticsearch", "node-problem-detector"];

/// How long a process may take to become healthy.
const START: Duration = Duration::from_secs(60);

/// Who schedules and controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// kube-scheduler and kube-controller-manager.
    Stock,
    /// headroom-scheduler, headroom-controllers, and kube-controller-manager without the loops that those have.
    Headroom,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stock, Self::Headroom];

    /// What runs, for the page.
    pub(crate) fn description(self) -> String {
        match self {
            Self::Stock => "kube-scheduler, kube-controller-manager with all its default loops".to_owned(),
            Self::Headroom => format!(
                "headroom-scheduler in primary mode (no NodeHeadroom objects), headroom-controllers with {}, \
                 kube-controller-manager without those",
                LOOPS.join(", ")
            ),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stock => "stock",
            Self::Headroom => "headroom",
        })
    }
}

/// A running cluster.
pub(crate) struct Cluster {
    // Dropped in this order: nodes and processes before the control plane.
    hollow: Hollow,
    processes: Vec<Process>,
    pub(crate) plane: ControlPlane,
}

impl Cluster {
    /// Starts everything.
    pub(crate) async fn start(side: Side, slots: &Slots) -> Result<Self, UpstreamError> {
        let plane = ControlPlane::builder().name(format!("upstream-{side}")).within(slots).start().await?;
        plane.create_namespace("kube-node-lease").await?;
        let hollow = plane.start_hollow(plane.hollow_config(NODES)?).await?;

        let processes = match side {
            Side::Stock => {
                vec![plane.start_stock_kcm("*", &[])?, plane.start_stock_scheduler(&SchedulerOptions::default())?]
            }
            Side::Headroom => {
                plane.apply_yaml("crds.yaml", CRDS).await?;
                plane.apply_rbac(RbacSet::Primary).await?;
                let less: String = LOOPS.iter().map(|name| format!(",-{name}")).collect();
                vec![
                    plane.start_stock_kcm(&format!("*{less}"), &[])?,
                    plane.start_headroom_controllers(&[&format!("--controllers={}", LOOPS.join(","))])?,
                    plane.start_headroom_scheduler(&["--mode=primary", "--leader-elect=false"])?,
                ]
            }
        };
        for process in &processes {
            plane.wait_healthy(process, "/healthz", START).await?;
        }
        plane.create_namespace("kube-system").await?;
        let nodes = hollow.nodes();
        let pods: Vec<String> = nodes.iter().flat_map(|node| system_pods(&node.name)).collect();
        plane.apply_yaml("system pods", &pods.join("---\n")).await?;
        Ok(Self { hollow, processes, plane })
    }

    /// Fails when a process has ended.
    pub(crate) fn check(&self, during: &str) -> Result<(), UpstreamError> {
        self.processes.iter().try_for_each(|process| process.expect_running(during))?;
        Ok(())
    }

    /// Ends everything in order.
    pub(crate) async fn end(self) {
        for process in &self.processes {
            let _ = process.terminate(Duration::from_secs(10)).await;
        }
        self.hollow.stop().await;
    }
}

/// Manifests of the simulated system pods of a node. Like a DaemonSet's they tolerate everything.
fn system_pods(node: &str) -> impl Iterator<Item = String> + '_ {
    SYSTEM_PODS.iter().map(move |name| {
        format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: {name}-{node}, namespace: kube-system}}
spec:
  nodeName: {node}
  tolerations: [{{operator: Exists}}]
  containers: [{{name: {name}, image: simulated}}]
"
        )
    })
}
