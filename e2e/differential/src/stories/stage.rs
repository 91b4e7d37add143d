//! A control plane on which stories are told, with the controllers that tell them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headroom_e2e::proxy::Proxy;
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, eventually, slots};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::excess::Excess;
use super::kubelets::Kubelets;
use super::store::Store;
use super::{Scene, State};
use crate::api::{patch, post, send};

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../../charts/headroom/files/crds.yaml");
/// What ours say when they can no longer read what the API server, or the proxy, sends: a story would be told in another way
/// from then on.
const DISTRUST: &str = "asking for JSON for the next hour";
/// How long a process may take to become healthy.
const START: Duration = Duration::from_secs(180);
/// Addresses of Services.
const RANGES: &str = "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112";
/// Nodes and their zones. Nobody looks after them.
const NODES: [(&str, &str); 3] = [("n1", "z1"), ("n2", "z1"), ("n3", "z2")];
/// A node beside those of stories about nodes, in a zone of its own, which always lives: where all zones are down, nobody
/// is evicted.
const KEEPER: &str = "keeper";

/// Whose controllers tell the stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The stock kube-controller-manager, only these loops.
    Stock,
    /// headroom-controllers, the same loops.
    Ours,
}

impl Manager {
    /// Whose rights the proxy passes on.
    fn identity(self) -> Identity {
        match self {
            // Its loops have a service account each; behind the proxy they share one identity, which may do everything.
            Self::Stock => Identity::Admin,
            Self::Ours => Identity::HeadroomControllers,
        }
    }

    /// Starts the controllers, with a kubeconfig other than their own if one is given.
    fn start(self, scene: Scene, cluster: &ControlPlane, kubeconfig: Option<&Path>) -> anyhow::Result<Process> {
        let kubeconfig = kubeconfig.map(|path| format!("--kubeconfig={}", path.display()));
        let mut flags = Vec::from_iter(kubeconfig.as_deref());
        flags.extend(scene.flags());
        Ok(match self {
            Self::Stock => {
                flags.extend(["--kube-api-qps=5000", "--kube-api-burst=5000", "--concurrent-rc-syncs=20"]);
                if kubeconfig.is_some() {
                    // One identity passes the proxy; JSON is what stock has been compared with so far.
                    flags.extend([
                        "--use-service-account-credentials=false",
                        "--kube-api-content-type=application/json",
                    ]);
                }
                cluster.start_stock_kcm(&scene.loops().join(","), &flags)?
            }
            Self::Ours => {
                let loops = format!("--controllers={}", scene.loops().join(","));
                flags.extend([&*loops, "--leader-elect=false"]);
                cluster.start_headroom_controllers(&flags)?
            }
        })
    }
}

/// A control plane with controllers, and what is seen of it.
pub struct Stage {
    pub(super) client: kube::Client,
    pub(super) store: Arc<Store>,
    pub(super) kubelets: Kubelets,
    scene: Scene,
    manager: Manager,
    controllers: Mutex<Process>,
    proxy: Option<Proxy>,
    version: String,
    // Dropped after the client's users; the control plane last.
    _tasks: JoinSet<()>,
    cluster: ControlPlane,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Stage {
    /// With controllers that talk to the API server themselves.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn direct(manager: Manager, scene: Scene) -> anyhow::Result<Self> {
        Self::start(manager, scene, false).await
    }

    /// With controllers behind a [`Proxy`], which spoils nothing yet.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn behind_proxy(manager: Manager, scene: Scene) -> anyhow::Result<Self> {
        Self::start(manager, scene, true).await
    }

    async fn start(manager: Manager, scene: Scene, proxied: bool) -> anyhow::Result<Self> {
        let cluster = cluster(scene).await?;
        let client = cluster.admin_client();
        let mut tasks = JoinSet::new();
        let kubelets = Kubelets::start(&client, &mut tasks);
        match scene {
            Scene::Services | Scene::Crowds => unattended_nodes(&client).await?,
            Scene::Nodes => keeper(&client, &kubelets).await?,
            Scene::Zones => {}
        }
        if manager == Manager::Ours {
            cluster.apply_yaml("crds.yaml", CRDS).await?;
            cluster.apply_rbac(RbacSet::Primary).await?;
        }
        let proxy = if proxied { Some(Proxy::start(&cluster, &manager.identity()).await?) } else { None };
        let controllers = manager.start(scene, &cluster, proxy.as_ref().map(Proxy::kubeconfig))?;
        cluster.wait_healthy(&controllers, "/healthz", START).await?;
        let version: Value = serde_json::from_str(&cluster.get("/version").await?)?;
        let store = Store::start(&client, matches!(scene, Scene::Nodes | Scene::Zones), &mut tasks);
        let version = version["gitVersion"].as_str().unwrap_or_default().to_owned();
        let controllers = Mutex::new(controllers);
        Ok(Self { client, store, kubelets, scene, manager, controllers, proxy, version, _tasks: tasks, cluster })
    }

    fn controllers(&self) -> MutexGuard<'_, Process> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which stories are told here.
    #[must_use]
    pub const fn scene(&self) -> Scene {
        self.scene
    }

    /// The version of Kubernetes.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Keeps the directory of the control plane, with all logs.
    pub fn keep(&self) {
        self.cluster.keep_directory();
    }

    /// The proxy, if the controllers are behind one.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Fails when the controllers have ended, or ask for another encoding than at first.
    ///
    /// # Errors
    /// With the end of their log.
    pub fn check(&self) -> anyhow::Result<()> {
        let controllers = self.controllers();
        controllers.expect_running("telling stories")?;
        trusts(&controllers)
    }

    /// Whether the machine was so slow since then that nodes may have been given up which live. What a story led to then says
    /// nothing about the controllers.
    #[must_use]
    pub fn was_too_slow_since(&self, then: Instant) -> bool {
        self.scene == Scene::Nodes && self.kubelets.were_late_since(then)
    }

    /// Kills the controllers whenever the proxy has stopped the world, and starts them anew; for ever.
    ///
    /// # Errors
    /// They did not start, or those before asked for another encoding than at first.
    pub async fn kill_and_restart(&self) -> anyhow::Result<std::convert::Infallible> {
        let Some(proxy) = &self.proxy else { std::future::pending().await };
        loop {
            proxy.stopped().await;
            // Nothing is waited for from here on: stories may end at any moment, and their controllers are then to be there.
            {
                let controllers = self.controllers();
                controllers.kill9();
                trusts(&controllers)?;
            }
            proxy.resume();
            *self.controllers() = self.manager.start(self.scene, &self.cluster, Some(proxy.kubeconfig()))?;
        }
    }

    /// How many pods ReplicationControllers had so far, those that they adopted included.
    #[must_use]
    pub fn made(&self) -> usize {
        self.store.made()
    }

    /// What of the pods that ReplicationControllers made was too many, from the first one on.
    #[must_use]
    pub fn excess(&self) -> Vec<Excess> {
        self.store.excess()
    }

    /// What stands in a namespace.
    pub(super) fn state(&self, namespace: &str) -> State {
        self.store.state(namespace)
    }

    /// Whether the controllers have done what a crowd's step asks for.
    pub(super) fn is_settled(&self, namespace: &str) -> bool {
        self.scene != Scene::Crowds || self.store.is_settled(namespace)
    }

    /// Whether the controllers have been told of everything that is seen here, and of what was written last.
    pub(super) fn is_told(&self, written: Option<(&str, u64)>) -> bool {
        self.proxy.as_ref().is_none_or(|proxy| {
            let seen = self.store.versions();
            let all = seen.iter().map(|(kind, version)| (*kind, *version)).chain(written);
            all.into_iter().all(|(kind, version)| proxy.has_told(kind, version))
        })
    }

    /// Makes the namespace of a story.
    pub(super) async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        if self.scene == Scene::Zones {
            // A story that failed has left its nodes, and here each one counts for all Services.
            self.delete("/api/v1/nodes").await?;
        }
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post(&self.client, &namespace).await??;
        Ok(())
    }

    /// Takes the nodes of a story away that has been told; before them the Services, where nodes are their matter.
    pub(super) async fn retire(&self, namespace: &str) -> anyhow::Result<()> {
        let services = if self.scene == Scene::Zones { self.store.list(namespace, "services") } else { Vec::new() };
        for service in services {
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            self.delete(&format!("/api/v1/namespaces/{namespace}/services/{name}")).await?;
        }
        for node in self.store.list(namespace, "nodes") {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            self.kubelets.silence(name);
            self.delete(&format!("/api/v1/nodes/{name}")).await?;
        }
        Ok(())
    }

    /// Deletes what may not be there any more: the last step may have deleted it.
    async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request = http::Request::delete(path).header("content-type", "application/json");
        let _ = send(&self.client, request, &json!({})).await?;
        Ok(())
    }
}

fn trusts(controllers: &Process) -> anyhow::Result<()> {
    let log = controllers.log();
    let said = log.lines().find(|line| line.contains(DISTRUST));
    said.map_or(Ok(()), |line| Err(anyhow::anyhow!("{}: {line}", controllers.name())))
}

async fn cluster(scene: Scene) -> anyhow::Result<ControlPlane> {
    // What is about seconds is told while nothing else in this process keeps the machine busy.
    let slots = slots(if scene == Scene::Nodes { usize::MAX } else { 1 }).await;
    // Both address families; the first is what Services get that do not say.
    let builder = ControlPlane::builder().name("stories").within(&slots).no_request_limits().api_server_arg(RANGES);
    // Pods are to stay as they were written.
    Ok(builder.service_account_admission(false).start().await?)
}

async fn unattended_nodes(client: &kube::Client) -> anyhow::Result<()> {
    for (name, zone) in NODES {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
            "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}}});
        post(client, &node).await??;
        report_ready(client, name).await?;
    }
    Ok(())
}

async fn keeper(client: &kube::Client, kubelets: &Kubelets) -> anyhow::Result<()> {
    // The namespace of the leases is made by the API server, which takes a moment.
    let enter = || async { kubelets.enter(client, KEEPER).await.map_err(|error| format!("{error:#}")) };
    eventually(START, "the first lease", enter).await?;
    let labels = json!({"topology.kubernetes.io/zone": KEEPER});
    post(client, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": KEEPER, "labels": labels}}))
        .await??;
    report_ready(client, KEEPER).await
}

async fn report_ready(client: &kube::Client, node: &str) -> anyhow::Result<()> {
    let status = json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}]});
    patch(client, &format!("/api/v1/nodes/{node}/status"), &json!({"status": status})).await?;
    Ok(())
}
