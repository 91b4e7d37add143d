//! Values files: those of `ci/` pass lint and the API server's dry run, those of `ci/refused/` the schema refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{CHART, RELEASE, documents, files, has_namespaces, kubectl};
use headroom_e2e::ControlPlane;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::{Helm, helm_binary};
use serde_json::json;

/// What each file is refused for: the value that Helm has to name.
const REFUSED: &[(&str, &str)] = &[
    ("account-without-name", "/controllers/serviceAccount/name"),
    ("all-loops", "/controllers/loops/0"),
    ("arguments-twice", "/scheduler/config/profiles/0/pluginConfig/0/name"),
    ("controllers-without-lease", "/controllers/leaderElection/enabled"),
    ("eviction-alone", "/controllers/nodeName"),
    ("fast-without-eviction", "/controllers/loops"),
    ("kubelets-unchecked-against-something", "/controllers/kubelet/caConfigMap"),
    ("leader-election-in-config", "leaderElection"),
    ("lease-by-argument", "/scheduler/extraArgs/0"),
    ("lifecycle-alone", "/controllers/nodeName"),
    ("lifecycle-on-the-pod-network", "/controllers/hostNetwork"),
    ("mode-by-argument", "/scheduler/extraArgs/0"),
    ("monitor-without-service", "/metrics/service/enabled"),
    ("no-loop", "/controllers/loops"),
    ("nothing", "/controllers/enabled"),
    ("null", "mode"),
    ("primary-alone", "/scheduler/nodeName"),
    ("primary-serves-nobody", "/scheduler/config/profiles"),
    ("primary-two-on-one-node", "/scheduler/replicas"),
    ("primary-without-lease", "/scheduler/leaderElection/enabled"),
    ("profiles-without-samples", "/controllers/loops"),
    ("recreate", "strategy"),
    ("replicas-without-lease", "/scheduler/replicas"),
    ("secondary-config-without-profiles", "profiles"),
    ("secondary-serves-default", "/scheduler/config/profiles/0/schedulerName"),
    ("secondary-unnamed-profile", "schedulerName"),
    ("stock-loop-beside-primary", "/controllers/loops/0"),
    ("stock-loop-in-shadow", "/controllers/loops/2"),
    ("unknown-loop", "/controllers/loops/0"),
    ("unknown-memory-argument", "floorMinByte"),
    ("unknown-mode", "/mode"),
    ("unknown-value", "replica"),
];

/// Stand-ins for the Prometheus operator's kinds.
fn monitoring() -> String {
    let crd = |kind: &str, plural: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
        .to_string()
    };
    [crd("ServiceMonitor", "servicemonitors"), crd("PrometheusRule", "prometheusrules")].join("\n---\n")
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn values_that_must_work_pass_lint_and_the_api_servers_dry_run() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().start().await.unwrap();
    let helm = Helm::new(&program, &cluster).unwrap();
    cluster.apply_yaml("monitoring", &monitoring()).await.unwrap();
    has_namespaces(&cluster).await;
    let mut seen = BTreeSet::new();
    let mut on_the_nodes_network = 0;
    for path in files("ci") {
        let (name, file) = (stem(&path), path.to_string_lossy().into_owned());
        let lint = helm.run(&["lint", CHART, "--strict", "--namespace", SYSTEM_NAMESPACE, "--values", &file]).await;
        let lint = lint.unwrap();
        assert!(lint.success, "{name}: {}", lint.said());

        let template = ["template", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, "--dry-run=server"];
        let rendered = helm.run(&[&template[..], &["--values", &file]].concat()).await.unwrap();
        assert!(rendered.success, "{name}: {}", rendered.said());
        let documents = documents(&rendered.stdout);
        assert!(documents.len() > 8, "{name}: {} documents", documents.len());
        seen.extend(documents.iter().map(|document| document["kind"].as_str().unwrap().to_owned()));
        // Pods are admitted only where their ServiceAccount is, which a dry run does not make.
        for pod in documents.iter().filter(|document| document["kind"] == "Pod") {
            let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
            // Marked as the release's, or Helm refuses the next values.
            let release = json!({"meta.helm.sh/release-name": RELEASE,
                                 "meta.helm.sh/release-namespace": SYSTEM_NAMESPACE});
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                "name": account, "namespace": SYSTEM_NAMESPACE, "annotations": release,
                "labels": {"app.kubernetes.io/managed-by": "Helm"}}});
            cluster.apply_yaml("ServiceAccount", &account.to_string()).await.unwrap();
        }

        // Two processes do not fit on one port of a node.
        for deployment in documents.iter().filter(|document| document["kind"] == "Deployment") {
            if deployment["spec"]["template"]["spec"]["hostNetwork"] == true {
                on_the_nodes_network += 1;
                assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"], 0, "{name}");
            }
        }

        let manifest = cluster.dir().join(format!("{name}.yaml"));
        std::fs::write(&manifest, &rendered.stdout).unwrap();
        let manifest = manifest.to_string_lossy();
        let applied =
            kubectl(&cluster, &["apply", "--dry-run=server", "--validate=strict", "--filename", &manifest]).await;
        assert!(applied.success, "{name}: {}", applied.said());
        let lines = applied.stdout.lines().filter(|line| line.ends_with("(server dry run)")).count();
        assert_eq!(lines, documents.len(), "{name}: {}", applied.said());
    }
    for kind in ["ServiceMonitor", "PrometheusRule", "NetworkPolicy", "PodDisruptionBudget", "Job", "Lease", "Pod"] {
        assert!(seen.contains(kind), "no values file renders a {kind}: {seen:?}");
    }
    assert!(on_the_nodes_network > 0);
}

#[tokio::test]
async fn values_that_do_not_fit_together_are_refused_with_a_line_that_names_them() {
    let program = helm_binary().unwrap();
    let home = tempfile::tempdir().unwrap();
    let helm = Helm::offline(&program, home.path());
    let expected: BTreeMap<&str, &str> = REFUSED.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for path in files("ci/refused") {
        let (name, file) = (stem(&path), path.to_string_lossy().into_owned());
        let value = expected.get(name.as_str()).unwrap_or_else(|| panic!("say in REFUSED what {name} is refused for"));
        let ran = helm.run(&["template", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, "--values", &file]).await;
        let ran = ran.unwrap();
        assert!(!ran.success, "{name} is not refused");
        assert!(ran.stderr.contains("values don't meet the specifications of the schema"), "{name}: {}", ran.said());
        assert!(ran.stderr.lines().any(|line| line.contains("at '") && line.contains(value)), "{name}: {}", ran.said());
        seen.insert(name);
    }
    let absent: Vec<&&str> = expected.keys().filter(|name| !seen.contains(**name)).collect();
    assert!(absent.is_empty(), "there is no file of {absent:?}");
}
