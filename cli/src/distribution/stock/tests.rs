//! Each distribution's changes, as they are shown.

use std::{fs, process::Command};

use super::*;
use crate::distribution::{
    facts::{
        Raw,
        tests::{at, component, server},
    },
    record::LoopsRecord,
};

const BOTH: [&str; 2] = ["replicationcontroller-controller", "endpoints-controller"];

fn left_out(scheduler: bool, loops: &[&str]) -> LeftOut {
    LeftOut { scheduler, loops: loops.iter().map(|name| (*name).to_owned()).collect() }
}

fn shown(changes: &[Change]) -> String {
    changes.iter().flat_map(Change::lines).collect::<Vec<_>>().join("\n")
}

#[test]
fn lists() {
    let of = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    for (list, without, expected) in [
        ("*", &BOTH[..], "*,-replicationcontroller-controller,-endpoints-controller"),
        ("*,bootstrapsigner,tokencleaner", &BOTH[1..], "*,bootstrapsigner,tokencleaner,-endpoints-controller"),
        ("*, endpoint ,-endpoints-controller", &BOTH[1..], "*,-endpoints-controller"),
        ("", &BOTH[1..], "-endpoints-controller"),
    ] {
        assert_eq!(subtract(list, &of(without)), expected);
    }
    for (list, expected) in [
        ("node-headroom-controller, endpoints-controller,podgc", "node-headroom-controller,podgc"),
        ("endpoint", ""),
        ("*,-podgc", "*,-podgc,-endpoints-controller"),
    ] {
        assert_eq!(strike(list, &of(&BOTH[1..])), expected, "of ours");
    }
    let back = "endpoints-controller".to_owned();
    for (list, expected) in [
        ("*,-endpoints-controller,-podgc", "*,-podgc"),
        ("*,-endpoint", "*"),
        ("podgc,-endpoints-controller", "podgc,endpoints-controller"),
    ] {
        assert_eq!(restore(list, &[&back]), expected);
    }
}

#[test]
fn k3s_reads_one_file() {
    let facts = Facts::new(Raw { cluster: vec![server("v1.36.4+k3s1", &["server"])], ..Raw::default() }, at());
    let none = LeftOut::default();
    let both = left_out(true, &BOTH);
    let expected = "# on cp, as root:
--- /dev/null
+++ /etc/rancher/k3s/config.yaml.d/headroom.yaml
+# For Headroom, which does what is left out here: docs/how-to/k3s.md
+disable-scheduler: true
+kube-controller-manager-arg+:
+- \"controllers+=-replicationcontroller-controller,-endpoints-controller\"
systemctl restart k3s";
    let (changes, known) = loops(&facts, &none, &both);
    assert_eq!((shown(&changes).as_str(), known), (expected, None));
    let back = scheduler(&facts, &both, &left_out(false, &BOTH));
    let text = shown(&[back]);
    assert!(text.contains("-disable-scheduler: true") && text.contains("+- \"controllers+="), "{text}");
    let gone = shown(&[scheduler(&facts, &left_out(true, &[]), &none)]);
    assert!(gone.contains("+++ /dev/null"), "{gone}");
}

const CONFIG: &str = "apiVersion: kubeadm.k8s.io/v1beta4\ncontrollerManager: {}\nkind: ClusterConfiguration\n";

fn kubeadm_cluster(list: &[&str]) -> Facts {
    let kubeadm = Some(json!({"metadata": {"resourceVersion": "7"}, "data": {"ClusterConfiguration": CONFIG}}));
    let cluster = vec![server("v1.36.4", &[]), component("kube-controller-manager", list)];
    Facts::new(Raw { cluster, kubeadm, ..Raw::default() }, at())
}

#[test]
fn kubeadm_has_a_manifest_and_a_config_map() {
    let facts = kubeadm_cluster(&["--controllers=*,bootstrapsigner,tokencleaner"]);
    let (changes, known) = loops(&facts, &LeftOut::default(), &left_out(false, &BOTH[1..]));
    let expected = "ConfigMap kube-system/kubeadm-config, controllerManager.extraArgs:
  controllers: \"*,bootstrapsigner,tokencleaner,-endpoints-controller\"
# on cp, as root:
--- /etc/kubernetes/manifests/kube-controller-manager.yaml
+++ /etc/kubernetes/manifests/kube-controller-manager.yaml
-    - --controllers=*,bootstrapsigner,tokencleaner
+    - --controllers=*,bootstrapsigner,tokencleaner,-endpoints-controller";
    assert_eq!((shown(&changes).as_str(), known.as_deref()), (expected, Some(DEFAULT_LIST)));
    let Change::Api(Api::Patch { patch, undo, read_as, .. }) = &changes[0] else { panic!("{changes:?}") };
    assert_eq!(read_as.as_deref(), Some("7"));
    let config: Value = serde_saphyr::from_str(patch["data"]["ClusterConfiguration"].as_str().unwrap()).unwrap();
    let argument = json!([{"name": "controllers", "value": "*,bootstrapsigner,tokencleaner,-endpoints-controller"}]);
    assert_eq!(config["controllerManager"]["extraArgs"], argument);
    assert_eq!(undo["data"]["ClusterConfiguration"], CONFIG);
    let stop = shown(&[scheduler(&facts, &LeftOut::default(), &left_out(true, &[]))]);
    assert!(stop.contains("mv /etc/kubernetes/manifests/kube-scheduler.yaml /etc/kubernetes/headroom/"), "{stop}");
    let start = shown(&[scheduler(&facts, &left_out(true, &[]), &LeftOut::default())]);
    assert!(start.contains("mv -n /etc/kubernetes/headroom/kube-scheduler.yaml /etc/kubernetes/manifests/"), "{start}");
}

#[test]
fn kubeadm_without_the_argument_and_without_pods() {
    let facts = kubeadm_cluster(&["--leader-elect=true"]);
    let (changes, _) = loops(&facts, &LeftOut::default(), &left_out(false, &BOTH[1..]));
    let text = shown(&changes);
    assert!(text.contains("     - kube-controller-manager\n+    - --controllers=*,-endpoints-controller"), "{text}");
    let mut of_a_tenant = component("kube-controller-manager", &["--controllers=*,-endpoints-controller,x"]);
    of_a_tenant["metadata"]["namespace"] = "tenant".into();
    let cluster = vec![server("v1.36.4", &[]), of_a_tenant];
    let kubeadm = || Some(json!({"data": {"ClusterConfiguration": CONFIG}}));
    let facts = Facts::new(Raw { cluster, kubeadm: kubeadm(), ..Raw::default() }, at());
    let (changes, _) = loops(&facts, &LeftOut::default(), &left_out(false, &BOTH[1..]));
    assert!(shown(&changes).contains("# add ") && !shown(&changes).contains("controller,x"), "{changes:?}");
    let raw = Raw { kubeadm: kubeadm(), ..Raw::default() };
    let (changes, _) = loops(&Facts::new(raw, at()), &LeftOut::default(), &left_out(false, &BOTH[1..]));
    assert!(shown(&changes).contains("# add      ,-endpoints-controller"), "{changes:?}");
}

#[test]
fn kubeadm_gets_its_list_back_and_keeps_what_an_upgrade_wrote() {
    let taken = with_controllers(CONFIG, "*,-endpoints-controller").unwrap();
    let given_back = |config: &str| {
        let kubeadm = Some(json!({"data": {"ClusterConfiguration": config}}));
        let cluster = vec![
            server("v1.36.4", &[]),
            component("kube-controller-manager", &["--controllers=*,-endpoints-controller"]),
        ];
        let mut facts = Facts::new(Raw { cluster, kubeadm, ..Raw::default() }, at());
        facts.record.loops = Some(LoopsRecord {
            names: vec![BOTH[1].to_owned()],
            // The argument was not there.
            stock: Some(String::new()),
            cluster_configuration: Some(CONFIG.to_owned()),
            ..LoopsRecord::default()
        });
        let (changes, _) = loops(&facts, &left_out(false, &BOTH[1..]), &LeftOut::default());
        let Change::Api(Api::Patch { patch, .. }) = &changes[0] else { panic!("{changes:?}") };
        patch["data"]["ClusterConfiguration"].as_str().unwrap().to_owned()
    };
    assert_eq!(given_back(&taken), CONFIG, "to the letter");
    let upgraded = given_back(&format!("{}\nkubernetesVersion: v1.37.0\n", taken.trim_end()));
    let upgraded: Value = serde_saphyr::from_str(&upgraded).unwrap();
    assert_eq!(upgraded["kubernetesVersion"], "v1.37.0");
    assert_eq!(upgraded["controllerManager"]["extraArgs"], json!([]));
}

/// What kubeadm writes.
const MANAGER: &str = include_str!("../kubeadm/kube-controller-manager.yaml");
const SCHEDULER: &str = include_str!("../kubeadm/kube-scheduler.yaml");
const CLUSTER_CONFIGURATION: &str = include_str!("../kubeadm/cluster-configuration.yaml");

/// The command in a manifest, as the mirror pod shows it.
fn command(manifest: &str) -> Vec<String> {
    let manifest: Value = serde_saphyr::from_str(manifest).unwrap();
    serde_json::from_value(manifest["spec"]["containers"][0]["command"].clone()).unwrap()
}

#[test]
fn kubeadms_own_files_are_changed_and_come_back_to_the_byte() {
    let root = tempfile::tempdir().unwrap();
    let manifests = root.path().join("etc/kubernetes/manifests");
    fs::create_dir_all(&manifests).unwrap();
    let (manager, scheduler_there) =
        (manifests.join("kube-controller-manager.yaml"), manifests.join("kube-scheduler.yaml"));
    fs::write(&manager, MANAGER).unwrap();
    fs::write(&scheduler_there, SCHEDULER).unwrap();
    let facts = |manager: &str| {
        let words = command(manager);
        let args: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let kubeadm = Some(json!({"data": {"ClusterConfiguration": CLUSTER_CONFIGURATION}}));
        let cluster = vec![server("v1.36.4", &[]), component("kube-controller-manager", &args)];
        Facts::new(Raw { cluster, kubeadm, ..Raw::default() }, at())
    };
    let apply = |changes: &[Change]| {
        for change in changes {
            if let Change::Hosts(work) = change {
                work.apply(root.path()).unwrap();
            }
        }
    };
    let (none, taken) = (LeftOut::default(), left_out(true, &BOTH));
    let of_loops = left_out(false, &BOTH);

    let before = facts(MANAGER);
    let (changes, known) = loops(&before, &none, &of_loops);
    assert_eq!((changes.len(), known.as_deref()), (2, Some(DEFAULT_LIST)));
    apply(&changes);
    apply(&[scheduler(&before, &of_loops, &taken)]);
    let changed = fs::read_to_string(&manager).unwrap();
    let list = "--controllers=*,bootstrapsigner,tokencleaner";
    let less = "--controllers=*,bootstrapsigner,tokencleaner,-replicationcontroller-controller,-endpoints-controller";
    assert_eq!(changed, MANAGER.replace(list, less));
    assert_eq!(command(&changed).len(), command(MANAGER).len());
    let left: Vec<_> = fs::read_dir(&manifests).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["kube-controller-manager.yaml"], "the kubelet runs whatever lies there");
    assert_eq!(fs::read_to_string(root.path().join("etc/kubernetes/headroom/kube-scheduler.yaml")).unwrap(), SCHEDULER);

    let mut after = facts(&changed);
    after.record.loops = Some(LoopsRecord { stock: known, ..LoopsRecord::default() });
    apply(&[scheduler(&after, &taken, &of_loops)]);
    apply(&loops(&after, &of_loops, &none).0);
    let as_before = || {
        assert_eq!(fs::read_to_string(&manager).unwrap(), MANAGER);
        assert_eq!(fs::read_to_string(&scheduler_there).unwrap(), SCHEDULER);
    };
    as_before();

    // By what is typed when nothing of ours answers.
    apply(&changes);
    apply(&[scheduler(&before, &of_loops, &taken)]);
    let there = format!("{}/etc/kubernetes", root.path().display());
    let type_in = |taken: &LeftOut| {
        let mut lines = all_back(&before, taken, Some(DEFAULT_LIST));
        assert_eq!(lines.iter().filter(|line| line.starts_with("kubectl ")).count(), 1, "{lines:?}");
        lines.retain(|line| !line.starts_with("kubectl "));
        let script = lines.join("\n").replace("/etc/kubernetes", &there);
        assert!(Command::new("sh").args(["-ec", script.as_str()]).status().unwrap().success(), "{script}");
    };
    type_in(&taken);
    as_before();
    assert!(!root.path().join("etc/kubernetes/kube-controller-manager.yaml").exists());

    // Whoever made the change by hand may have quoted it.
    for argument in ["'{}'", "\"{}\"", "{} # for Headroom"] {
        let line = |list: &str| MANAGER.replace(list_of(MANAGER), &argument.replace("{}", list));
        fs::write(&manager, line(&less.replace(",-", ", -"))).unwrap();
        type_in(&of_loops);
        assert_eq!(fs::read_to_string(&manager).unwrap(), line(list));
    }
}

/// The argument, as it stands in the manifest.
fn list_of(manifest: &str) -> &str {
    manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix("- ").filter(|word| word.starts_with("--controllers=")))
        .unwrap()
}

#[test]
fn what_is_typed_without_ours() {
    let shown = |facts: &Facts, taken: &LeftOut, first: Option<&str>| all_back(facts, taken, first).join("\n");
    let both = left_out(true, &BOTH[1..]);
    let facts = kubeadm_cluster(&["--controllers=*,-endpoints-controller"]);
    assert_eq!(shown(&facts, &LeftOut::default(), Some("*")), "");
    let text = shown(&facts, &both, Some(""));
    assert!(text.contains("sed -i '/--controllers=/d' ") && text.contains("extraArgs: no controllers\n"), "{text}");
    for unknown in [None, Some("*,';reboot'")] {
        let text = shown(&facts, &both, unknown);
        assert!(text.contains("# take out ,-endpoints-controller\n") && !text.contains("sed"), "{text}");
    }
    let raw = |k0s| Raw { cluster: vec![server("v1.36.4+k0s", &[])], k0s, ..Raw::default() };
    let facts = Facts::new(raw(Some(json!({"spec": {}}))), at());
    let text = shown(&facts, &both, Some("*,-podgc"));
    assert!(text.contains(r#"{"controllers":"*,-podgc"}"#) && text.contains("k0s install controller"), "{text}");
    let text = shown(&Facts::new(raw(None), at()), &left_out(false, &BOTH[1..]), None);
    assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
}

#[test]
fn older_kubeadm_has_a_map() {
    let old = "apiVersion: kubeadm.k8s.io/v1beta3\ncontrollerManager:\n  extraArgs:\n    v: \"2\"\n";
    let changed: Value = serde_saphyr::from_str(&with_controllers(old, "*,-x").unwrap()).unwrap();
    assert_eq!(changed["controllerManager"]["extraArgs"], json!({"v": "2", "controllers": "*,-x"}));
    assert_eq!(with_controllers("[", "*"), None);
    assert_eq!(with_controllers("a: 1", "*"), None);
}

#[test]
fn k0s_has_an_object_or_a_file() {
    let raw = |k0s| Raw { cluster: vec![server("v1.36.4+k0s", &[])], k0s, ..Raw::default() };
    let dynamic = Facts::new(raw(Some(json!({"metadata": {"resourceVersion": "8"}, "spec": {}}))), at());
    let (changes, _) = loops(&dynamic, &LeftOut::default(), &left_out(false, &BOTH[1..]));
    let Change::Api(Api::Patch { patch, undo, read_as, .. }) = &changes[0] else { panic!("{changes:?}") };
    assert_eq!(read_as.as_deref(), Some("8"));
    let value = |patch: &Value| patch["spec"]["controllerManager"]["extraArgs"]["controllers"].clone();
    assert_eq!(value(patch), "*,bootstrapsigner,tokencleaner,-endpoints-controller");
    assert_eq!(value(undo), Value::Null);
    let (changes, _) = loops(&Facts::new(raw(None), at()), &LeftOut::default(), &left_out(false, &BOTH[1..]));
    assert!(shown(&changes).contains("/etc/k0s/k0s.yaml"), "{changes:?}");
    let stop = shown(&[scheduler(&dynamic, &LeftOut::default(), &left_out(true, &[]))]);
    assert!(stop.contains("--disable-components=kube-scheduler"), "{stop}");
}
