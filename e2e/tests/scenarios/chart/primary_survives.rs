//! Primary on one node, two and three, with the pods of the chart: our scheduler's pod is deleted, its node drained, and the
//! power of everything cut. Scheduling and the search for dead nodes come back by themselves. The test is the kubelets, which
//! start containers again, and the administrator who drains a node and lets it in again; nothing else helps.

use std::time::Duration;

use super::{RELEASE, Release, SCHEDULER, admits_pods};
use crate::common::{
    LONG, STOCK_LEASE, asking, both, bound, change_node, create, evict, holder, on_node, patient_stock, pod, pods,
};
use headroom_e2e::control_plane::{LOOPS, SYSTEM_NAMESPACE};
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{ControlPlane, Process, eventually};
use headroom_hollow::{Hollow, HollowConfig};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const ONE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/headroom/ci/primary-one-node-values.yaml");
const THREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/headroom/ci/primary-three-nodes-values.yaml");
const CONTROLLERS_LEASE: &str = "headroom-controllers";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// What makes the chart's minutes seconds: who stands by looks often, and silence is noticed. Leases last longer than the chart
/// says, for a machine that stands still for seconds must not end their holders: nobody here starts a process again that ends
/// by itself. The kubelets' certificates are not checked, since those that come back after the power cut have new ones.
const FASTER: &[&str] = &[
    "--set=scheduler.leaderElection.leaseDuration=40s",
    "--set=scheduler.leaderElection.renewDeadline=30s",
    "--set=scheduler.leaderElection.retryPeriod=500ms",
    "--set=controllers.leaderElection.leaseDuration=40s",
    "--set=controllers.leaderElection.renewDeadline=30s",
    "--set=controllers.leaderElection.retryPeriod=500ms",
    "--set=controllers.extraArgs={--node-monitor-period=1s,--node-monitor-grace-period=8s}",
    "--set=controllers.kubelet.insecureTls=true",
    "--set=controllers.kubelet.interval=1s",
];

/// A cluster whose only scheduler is ours, and its machines.
struct Machines<'a> {
    cluster: &'a ControlPlane,
    release: Release<'a>,
    config: HollowConfig,
    hollow: Hollow,
    /// The stock controller manager: everything but our loops. It holds the Deployments.
    rest: Process,
    rest_runs: String,
}

fn small() -> Value {
    both(asking(json!({"cpu": "10m", "memory": "16Mi"})), json!({"terminationGracePeriodSeconds": 1}))
}

/// Everything that the stock manager does, without the loops that a values file gives to ours.
fn rest_of(values: &str) -> String {
    let text = std::fs::read_to_string(values).unwrap();
    let ours = LOOPS.iter().filter(|name| text.contains(&format!("- {name}\n")));
    ours.fold("*".to_owned(), |list, name| format!("{list},-{name}"))
}

impl<'a> Machines<'a> {
    /// The chart in primary on simulated nodes. Where its pods are not pinned they need a scheduler at first: the stock one,
    /// which goes once ours stands by.
    async fn new(
        cluster: &'a ControlPlane,
        program: &std::path::Path,
        nodes: &str,
        values: &str,
        flags: &[&str],
    ) -> Self {
        let rest_runs = rest_of(values);
        let rest = cluster.start_stock_kcm(&rest_runs, &[]).unwrap();
        admits_pods(cluster).await;
        let mut config = cluster.hollow_config(nodes).unwrap();
        config.lease_interval = Duration::from_secs(1);
        config.start_delay = Duration::from_millis(100);
        // A real kubelet waits for a process; ours end within this.
        config.stop_duration = Duration::from_secs(3);
        // Nobody but ours takes the taint off new nodes.
        let hollow = cluster.start_hollow(config.clone()).await.unwrap();
        let release = Release::new(program, cluster);
        let machines = Self { cluster, release, config, hollow, rest, rest_runs };

        let pinned = values == ONE;
        let stock = (!pinned).then(|| cluster.start_stock_scheduler(&patient_stock()).unwrap());
        let values = ["--values", values];
        machines.release.install(&[&values[..], FASTER, flags].concat()).await;
        machines.release.ready().await;
        if let Some(stock) = stock {
            assert!(!holder(cluster, STOCK_LEASE).await.starts_with(SCHEDULER), "the stock scheduler holds it");
            stock.terminate(LONG).await.unwrap();
        }
        machines.schedules("installed").await;
        machines
    }

    /// Waits for something while the containers of our pods run.
    async fn until<T, F: Future<Output = Result<T, String>>>(&self, what: &str, probe: impl FnMut() -> F) -> T {
        self.release.pods.during(eventually(LONG, what, probe)).await.unwrap().unwrap()
    }

    /// A new pod gets a node; returns it.
    async fn schedules(&self, name: &str) -> String {
        let pods = pods(self.cluster, "default");
        create(&pods, &pod(name, small())).await;
        self.release.pods.during(bound(&pods, name)).await.unwrap()
    }

    /// Waits until every replica is available and answers.
    async fn complete(&self) {
        let deployments: Api<Deployment> = Api::namespaced(self.cluster.admin_client(), SYSTEM_NAMESPACE);
        self.until("every replica to be there", || async {
            let all = deployments.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
            let lacks = |deployment: &&Deployment| {
                let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let available = deployment.status.as_ref().and_then(|status| status.available_replicas);
                available.unwrap_or(0) < wanted
            };
            let lacking: Vec<String> = all.iter().filter(lacks).map(ResourceExt::name_any).collect();
            if all.len() == 2 && lacking.is_empty() { Ok(()) } else { Err(format!("{} of {lacking:?}", all.len())) }
        })
        .await;
        self.release.ready().await;
    }

    /// The pod that holds a lease, once one does.
    async fn leader(&self, lease: &str) -> Pod {
        let pods = pods(self.cluster, SYSTEM_NAMESPACE);
        self.until(&format!("a pod to hold {lease}"), || async {
            let held_by = holder(self.cluster, lease).await;
            let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
            // The pod's name, `_`, and what tells its processes apart.
            let holds = |pod: &Pod| held_by.starts_with(&format!("{}_", pod.name_any()));
            all.into_iter().find(holds).ok_or(held_by)
        })
        .await
    }

    /// Waits until these pods are gone.
    async fn gone(&self, these: &[Pod]) {
        let all: Api<Pod> = Api::all(self.cluster.admin_client());
        self.until("pods to be gone", || async {
            let there = all.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
            let stays = |pod: &&Pod| there.iter().any(|other| other.uid() == pod.uid());
            let left: Vec<String> = these.iter().filter(stays).map(ResourceExt::name_any).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    }

    /// Waits until a node is as it should be, or silent and known to be.
    async fn node_is(&self, name: &str, well: bool) {
        let nodes: Api<Node> = Api::all(self.cluster.admin_client());
        let what = format!("{name} to be {}", if well { "ready without taints" } else { "found dead" });
        self.until(&what, || async {
            let node = nodes.get(name).await.map_err(|error| error.to_string())?;
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            let mut conditions = node.status.and_then(|status| status.conditions).unwrap_or_default().into_iter();
            let ready = conditions.find(|condition| condition.type_ == "Ready").map(|condition| condition.status);
            let is = match ready.as_deref() {
                Some("True") => well && taints.is_empty(),
                Some("Unknown") => !well && taints.iter().any(|taint| taint.key == UNREACHABLE),
                _ => false,
            };
            if is { Ok(()) } else { Err(format!("Ready is {ready:?}, {taints:?}")) }
        })
        .await;
    }

    /// A node that goes silent is found, and taken back when it reports again. Its processes run on: it is the kubelet that
    /// is silent. Where there are enough nodes it is one without a leader, else not the one of our controllers, and on one
    /// node there is no choice.
    async fn finds_dead_nodes(&self) {
        let mut led = Vec::new();
        for lease in [CONTROLLERS_LEASE, STOCK_LEASE] {
            led.push(self.leader(lease).await.spec.and_then(|spec| spec.node_name).unwrap_or_default());
        }
        let names: Vec<String> = self.hollow.nodes().into_iter().map(|node| node.name).collect();
        let free = names.iter().find(|name| !led.contains(name));
        let silent = free.or_else(|| names.iter().find(|name| **name != led[0])).unwrap_or(&names[0]);
        self.node_is(silent, true).await;
        self.hollow.kill(silent).unwrap();
        self.node_is(silent, false).await;
        self.hollow.revive(silent).unwrap();
        self.node_is(silent, true).await;
        self.complete().await;
    }

    async fn scheduler_pod_is_deleted(&self) {
        let leader = self.leader(STOCK_LEASE).await;
        let pods = pods(self.cluster, SYSTEM_NAMESPACE);
        pods.delete(&leader.name_any(), &DeleteParams::default()).await.unwrap();
        self.gone(&[leader]).await;
        self.schedules("after-the-deletion").await;
        self.complete().await;
    }

    /// Cordons the scheduler's node and evicts everything on it, as `kubectl drain` does.
    async fn node_is_drained(&self) {
        let node = self.leader(STOCK_LEASE).await.spec.and_then(|spec| spec.node_name).unwrap();
        change_node(self.cluster, &node, json!({"spec": {"unschedulable": true}})).await;
        let client = self.cluster.admin_client();
        let on_it = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let evicted = Api::<Pod>::all(client.clone()).list(&on_it).await.unwrap().items;
        assert!(evicted.iter().any(|pod| pod.name_any().starts_with(SCHEDULER)), "none of ours is on {node}");
        for pod in &evicted {
            self.until(&format!("{} to be evicted", pod.name_any()), || async {
                match evict(&client, pod).await {
                    Ok(()) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    // A disruption budget lets them go one by one: 429.
                    Err(error) => Err(error.to_string()),
                }
            })
            .await;
        }
        self.gone(&evicted).await;
        if self.hollow.nodes().len() > 1 {
            assert_ne!(self.schedules("during-the-drain").await, node, "it is cordoned");
        } else {
            // What is pinned is back although nothing may be scheduled there.
            self.complete().await;
        }
        change_node(self.cluster, &node, json!({"spec": {"unschedulable": null}})).await;
        self.node_is(&node, true).await;
        let pods = pods(self.cluster, "default");
        create(&pods, &pod("after-the-drain", both(small(), on_node(&node)))).await;
        assert_eq!(self.release.pods.during(bound(&pods, "after-the-drain")).await.unwrap(), node);
        self.complete().await;
    }

    /// Everything stops at once and starts again: our processes, the stock manager, etcd, the API server, the kubelets.
    async fn power_is_cut(self) -> Self {
        let Self { cluster, release, config, hollow, rest, rest_runs } = self;
        release.pods.cut_power();
        rest.kill9();
        hollow.stop().await;
        cluster.cut_power().await.unwrap();
        let rest = cluster.start_stock_kcm(&rest_runs, &[]).unwrap();
        let hollow = cluster.start_hollow(config.clone()).await.unwrap();
        let machines = Self { cluster, release, config, hollow, rest, rest_runs };
        machines.schedules("after-the-power-cut").await;
        machines.complete().await;
        machines
    }

    async fn ends(self) {
        self.rest.expect_running("the test").unwrap();
        self.release.must(&["uninstall", RELEASE], &["--no-hooks"]).await;
        self.release.pods.settled(LONG).await.unwrap();
        self.hollow.stop().await;
    }
}

async fn survives(nodes: &str, values: &str, flags: &[&str]) {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().start().await.unwrap();
    let machines = Machines::new(&cluster, &program, nodes, values, flags).await;
    machines.scheduler_pod_is_deleted().await;
    machines.node_is_drained().await;
    machines.finds_dead_nodes().await;
    let machines = machines.power_is_cut().await;
    machines.finds_dead_nodes().await;
    machines.ends().await;
}

#[tokio::test]
async fn on_one_node() {
    survives("server=1:1Gi", ONE, &[]).await;
}

#[tokio::test]
async fn on_two_nodes() {
    survives("worker=2:1Gi", THREE, &["--set=controllers.nodeLifecycleProfile=stock"]).await;
}

#[tokio::test]
async fn on_three_nodes() {
    survives("worker=3:1Gi", THREE, &[]).await;
}
