//! What the demo plays on: control plane, nodes, the stock manager without our loops, and both our processes.

use std::{path::PathBuf, time::Duration};

use headroom_hollow::Hollow;

use super::{DemoResult, show::Narrator};
use crate::{
    ControlPlane, HarnessError, Identity, Process, RbacSet,
    control_plane::{LOOPS, assets::Component},
    our_binary,
};

/// Three workers of 1 GiB with swap, and one of 2 GiB without.
const NODES: &str = "worker=3:1Gi:swap=2Gi:cpu=2:system=220Mi,plain=1:2Gi:swap=none:cpu=2:system=260Mi";
/// How long a process may take to become healthy.
const START: Duration = Duration::from_secs(180);

pub(super) struct Stage {
    // Dropped in this order: nodes and processes before the control plane.
    pub(super) hollow: Hollow,
    pub(super) scheduler: Process,
    pub(super) controllers: Process,
    stock: Process,
    pub(super) plane: ControlPlane,
    pub(super) client: kube::Client,
}

impl Stage {
    pub(super) async fn build(say: &Narrator) -> DemoResult<Self> {
        say.step("starting etcd and kube-apiserver");
        let plane = ControlPlane::builder().name("demo").start().await?;
        say.line(&format!("ready after {:.1} s at {}", plane.ready_after().as_secs_f64(), plane.url()));
        plane.apply_yaml("headroom CRDs", include_str!("../../../charts/headroom/files/crds.yaml")).await?;
        plane.apply_rbac(RbacSet::Primary).await?;
        plane.create_namespace("default").await?;
        plane.create_namespace("kube-node-lease").await?;

        say.step("registering 3 nodes of 1 GiB with 2 GiB swap, 1 of 2 GiB without");
        let mut config = plane.hollow_config(NODES)?;
        // A kubelet renews its lease every 10 s and is given up after 24 s (profile fast); here everything is five to ten times faster.
        config.lease_interval = Duration::from_secs(1);
        let hollow = plane.start_hollow(config).await?;
        let trust = plane.trust_kubelets(&hollow)?;

        let less: String = LOOPS.iter().map(|name| format!(",-{name}")).collect();
        say.step("starting kube-controller-manager without seven loops, ours with them");
        say.line("kube-controller-manager --controllers=*");
        for name in LOOPS {
            say.line(&format!("                                      ,-{name}"));
        }
        let stock = plane.start_stock_kcm(&format!("*{less}"), &[])?;
        let controllers = plane.start_headroom_controllers(&[
            "--controllers=*",
            "--node-lifecycle-profile=fast",
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=6s",
            "--node-headroom-interval=3s",
            &trust,
            "--log-format=json",
        ])?;
        say.note("profile fast, sped up: measured every 3s instead of 15s, a silent node is");
        say.note("given up after 6s instead of 24s, and its pods leave after 5s, not 60s");
        say.step("starting headroom-scheduler in primary mode, no kube-scheduler");
        let scheduler = plane.start_headroom_scheduler(&["--mode=primary", "-v=2", "--log-format=json"])?;
        for process in [&stock, &controllers, &scheduler] {
            plane.wait_healthy(process, "/healthz", START).await?;
        }
        let client = plane.admin_client();
        Ok(Self { hollow, scheduler, controllers, stock, plane, client })
    }

    pub(super) fn kubeconfig(&self) -> Result<PathBuf, HarnessError> {
        self.plane.kubeconfig(&Identity::Admin)
    }

    /// The directories of a kubectl of the right version, where there is one, and of our plugin for it, as in `PATH`.
    pub(super) fn programs(&self) -> Result<String, HarnessError> {
        let kubectl = self.plane.assets().require(Component::Kubectl).ok();
        let programs = kubectl.into_iter().chain([our_binary("kubectl-headroom")?]);
        let directories = programs.filter_map(|program| Some(program.parent()?.display().to_string()));
        Ok(directories.collect::<Vec<_>>().join(":"))
    }

    pub(super) fn keep_logs(&self) {
        self.plane.keep_directory();
    }

    /// Ends our processes in an orderly way; what does not end by itself is killed with the control plane.
    pub(super) async fn end(self) {
        for process in [&self.scheduler, &self.controllers, &self.stock] {
            let _ = process.terminate(Duration::from_secs(10)).await;
        }
        self.hollow.stop().await;
    }
}
