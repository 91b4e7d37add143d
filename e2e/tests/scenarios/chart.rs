//! The chart with the real Helm on a real API server: every values file, the way from shadow to primary and back until
//! nothing is left, and the rights that are granted beside those that are used.

mod by_command;
mod crds;
mod helm_versions;
mod lifecycle;
mod loops;
mod notes;
mod one_loop;
mod pod_security;
mod primary_survives;
mod release;
mod rights;
mod values;
mod without_helm;

use std::path::{Path, PathBuf};

use crate::common::LONG;
use crate::docs::helm::CHART as NAMED;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::{Helm, Ran, finish};
use headroom_e2e::{ControlPlane, OwnPods, eventually};
use headroom_hollow::Hollow;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use serde_json::{Value, json};

/// Where the chart is.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/headroom");
pub(crate) const RELEASE: &str = "headroom";
/// Beginnings of the names of the processes' pods.
pub(crate) const SCHEDULER: &str = "headroom-scheduler-";
const CONTROLLERS: &str = "headroom-controllers-";
const SCHEDULER_USER: &str = "system:serviceaccount:kube-system:headroom-scheduler";
const CONTROLLERS_USER: &str = "system:serviceaccount:kube-system:headroom-controllers";

/// The YAML files of a directory of the chart, in the order of their names.
fn files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(CHART).join(directory)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{directory} is empty");
    files
}

/// A release on a cluster, and its pods.
pub(crate) struct Release<'a> {
    helm: Helm,
    pub(crate) pods: OwnPods<'a>,
}

impl<'a> Release<'a> {
    pub(crate) fn new(program: &Path, cluster: &'a ControlPlane) -> Self {
        Self { helm: Helm::new(program, cluster).unwrap(), pods: OwnPods::new(cluster, SYSTEM_NAMESPACE) }
    }

    /// A command of Helm about the release, while its pods are looked after.
    async fn helm(&self, verb: &[&str], flags: &[&str]) -> Ran {
        let arguments = [verb, &["--namespace", SYSTEM_NAMESPACE, "--timeout", "10m"][..], flags].concat();
        self.pods.during(self.helm.run(&arguments)).await.unwrap().unwrap()
    }

    /// One that has to succeed.
    async fn must(&self, verb: &[&str], flags: &[&str]) {
        let ran = self.helm(verb, flags).await;
        assert!(ran.success, "helm {verb:?} {flags:?}: {}\n{:?}", ran.said(), self.pods.ended());
    }

    pub(crate) async fn install(&self, flags: &[&str]) {
        self.must(&["install", RELEASE, CHART], &[&["--wait"][..], flags].concat()).await;
    }

    async fn upgrade(&self, flags: &[&str]) {
        self.must(&["upgrade", RELEASE, CHART], &[&["--wait", "--reset-then-reuse-values"][..], flags].concat()).await;
        self.ready().await;
    }

    /// Waits until both processes are ready and those before them have ended.
    pub(crate) async fn ready(&self) {
        self.pods.settled(LONG).await.unwrap();
        for prefix in [SCHEDULER, CONTROLLERS] {
            self.pods.ready(prefix, LONG).await.unwrap();
        }
    }

    /// The commands of the way back that Helm printed last.
    async fn way_back(&self) -> Vec<Vec<String>> {
        let printed = self.helm.run(&["get", "notes", RELEASE, "--namespace", SYSTEM_NAMESPACE]).await.unwrap();
        assert!(printed.success, "{}", printed.said());
        notes::commands(notes::back(&printed.stdout))
    }

    /// A command as it was printed: the one with this verb. What is printed leaves open is where the chart is.
    async fn printed(&self, commands: &[Vec<String>], verb: &str, flags: &[&str]) -> Ran {
        let mut with = commands.iter().filter(|words| words[1] == verb);
        let (Some(words), None) = (with.next(), with.next()) else { panic!("not one {verb} in {commands:?}") };
        let open = |word: &String| ["CHART", NAMED].contains(&word.as_str());
        let typed: Vec<&str> =
            words.iter().skip(1).map(|word| if open(word) { CHART } else { word.as_str() }).collect();
        self.helm(&typed, flags).await
    }

    /// `helm test`: every question of every pod is answered with yes.
    async fn test(&self) {
        let before = self.pods.ended().len();
        self.must(&["test", RELEASE], &[]).await;
        let ended = self.pods.ended().split_off(before);
        for component in ["scheduler", "controllers"] {
            let name = format!("headroom-test-{component}");
            let test =
                ended.iter().find(|end| end.pod == name).unwrap_or_else(|| panic!("{name} did not run: {ended:?}"));
            assert_eq!(test.code, Some(0), "{}", test.log);
            for question in ["ready", "rights", "lease"] {
                let yes = |line: &str| line.starts_with(question) && line.contains(" yes ");
                assert!(test.log.lines().any(yes), "{question}: {}", test.log);
            }
        }
    }
}

/// Runs kubectl as admin.
pub(crate) async fn kubectl(cluster: &ControlPlane, arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::from(cluster.kubectl().unwrap());
    command.args(arguments).kill_on_drop(true);
    finish("kubectl", Path::new("kubectl"), command).await.unwrap()
}

/// The documents of a manifest that are not empty.
fn documents(manifest: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Waits for the namespaces in which the chart makes roles, and which it does not make.
pub(crate) async fn has_namespaces(cluster: &ControlPlane) {
    let namespaces: Api<Namespace> = Api::all(cluster.admin_client());
    for name in [SYSTEM_NAMESPACE, "kube-node-lease"] {
        eventually(LONG, &format!("the namespace {name}"), || namespaces.get(name)).await.unwrap();
    }
}

/// Waits for the `default` ServiceAccount, which a controller manager makes.
pub(crate) async fn admits_pods(cluster: &ControlPlane) {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
}

/// The CA of the simulated kubelets, for `controllers.kubelet.caConfigMap=kubelet-ca`.
pub(crate) async fn kubelet_ca(cluster: &ControlPlane, hollow: &Hollow) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
                     "metadata": {"name": "kubelet-ca", "namespace": SYSTEM_NAMESPACE},
                     "data": {"ca.crt": hollow.ca_pem()}});
    cluster.apply_yaml("kubelet CA", &map.to_string()).await.unwrap();
}
