//! For every check a cluster that has it and one that just has not; and what holds for all of them.

use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::{Value, json};

use super::{finding::Finding, *};

mod control_loops;
mod installed;
mod machines;
mod memory;
mod nodes;
mod output;
mod samples;
mod schedulers;
mod swap;
mod workloads;

const MIB: i64 = 1 << 20;

/// The time of all tests.
fn at() -> Timestamp {
    parse_rfc3339("2026-11-22T10:00:00Z").unwrap()
}

/// The object with these fields changed; lists are replaced.
fn with(mut object: Value, patch: Value) -> Value {
    fn merge(object: &mut Value, patch: Value) {
        match (object, patch) {
            (Value::Object(fields), Value::Object(patch)) => {
                for (name, value) in patch {
                    merge(fields.entry(name).or_insert(Value::Null), value);
                }
            }
            (object, patch) => *object = patch,
        }
    }
    merge(&mut object, patch);
    object
}

/// A node of 1 GiB that is well.
fn node(name: &str) -> Value {
    let amounts = json!({"cpu": "2", "memory": "1Gi", "pods": "110"});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
           "status": {"capacity": amounts, "allocatable": amounts,
                      "addresses": [{"type": "InternalIP", "address": "10.0.0.5"}],
                      "conditions": [{"type": "Ready", "status": "True"}],
                      "nodeInfo": {"kubeletVersion": "v1.36.4"}}})
}

/// A Ready condition that has stood for 12 minutes.
fn ready(status: &str, message: &str) -> Value {
    json!({"status": {"conditions": [{"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": message,
                                      "lastTransitionTime": "2026-11-22T09:48:00Z"}]}})
}

fn k3s() -> Value {
    json!({"status": {"nodeInfo": {"kubeletVersion": "v1.36.4+k3s1"}}})
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": "2026-11-22T09:00:00Z"})
}

/// A sample of ten seconds ago in which all is well, with 2 GiB of swap for pods.
fn sample(name: &str) -> Value {
    json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": name},
           "status": {"observedAt": "2026-11-22T09:59:50Z", "source": "Kubelet", "state": "Calm", "intervalSeconds": 15,
                      "memory": {"capacityBytes": 1024 * MIB, "workingSetBytes": 500 * MIB, "evictionHardBytes": 20 * MIB,
                                 "pressure": {"some": {"avg10": 0.1, "avg60": 0.2}}},
                      "swap": {"behavior": "LimitedSwap", "capacityBytes": 2048 * MIB, "usedBytes": 0},
                      "conditions": [condition("Fresh", "True", "Sampled", "")]}})
}

/// A pod that runs on the node `a`.
fn pod(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-22T09:00:00Z"},
           "spec": {"nodeName": "a", "containers": [asks("c", json!({"requests": {"memory": "64Mi"}}))]},
           "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"},
                                                         {"type": "Ready", "status": "True"}]}})
}

fn asks(name: &str, resources: Value) -> Value {
    json!({"name": name, "image": "example.com/i:1", "resources": resources})
}

fn containers(containers: Value) -> Value {
    json!({"spec": {"containers": containers}})
}

fn owned_by(kind: &str, name: &str) -> Value {
    json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "o", "controller": true}]}})
}

/// A pod that runs a program in kube-system.
fn process(program: &str, args: &[&str]) -> Value {
    let container = json!({"name": "main", "image": format!("registry.k8s.io/{program}:v1"), "args": args});
    with(pod("kube-system", program), containers(json!([container])))
}

/// The Deployment of a program of ours as `deploy/` has it.
fn by_hand(component: &str) -> Value {
    let name = format!("headroom-{component}");
    let container = json!({"name": component, "image": format!("{name}:0.1.0")});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "kube-system"},
           "spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}}})
}

/// The same as a release of Helm has it.
fn by_helm(component: &str, namespace: &str, release: &str) -> Value {
    let metadata = json!({"namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "Helm"},
                          "annotations": {"meta.helm.sh/release-name": release}});
    with(by_hand(component), json!({"metadata": metadata}))
}

/// What these checks find.
fn diagnosis(ids: &[&str], objects: Vec<Value>) -> Diagnosis {
    let rules: Vec<&'static Rule> = checks::all().into_iter().filter(|rule| ids.contains(&rule.id)).collect();
    assert_eq!(rules.len(), ids.len(), "{ids:?}");
    let state = State::from_objects(objects);
    assert_eq!(state.notes, Vec::<String>::new());
    diagnosed(&state, at(), &rules, &[])
}

fn findings(id: &str, objects: Vec<Value>) -> Vec<Finding> {
    diagnosis(&[id], objects).findings
}

/// Subjects and summaries of what a check finds.
fn found(id: &str, objects: Vec<Value>) -> Vec<String> {
    findings(id, objects).iter().map(|finding| format!("{}: {}", finding.subject, finding.summary)).collect()
}

/// What there is to do about the only finding, in one text.
fn fix(id: &str, objects: Vec<Value>) -> String {
    let findings = findings(id, objects);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings[0].fix.0.join("\n")
}

/// One cluster has it, the other just has not.
fn tells_apart(id: &str, has: Vec<Value>, expected: &str, has_not: Vec<Value>) {
    assert_eq!(found(id, has), [expected]);
    assert_eq!(found(id, has_not), Vec::<String>::new(), "{id}");
}

/// Nothing is wrong with it.
fn healthy() -> Vec<Value> {
    vec![
        node("a"),
        with(node("b"), k3s()),
        sample("a"),
        sample("b"),
        pod("shop", "web"),
        with(pod("shop", "job"), json!({"status": {"phase": "Succeeded"}})),
        json!({"kind": "Namespace", "metadata": {"name": "shop"}}),
        json!({"kind": "Secret", "metadata": {"name": "not-read"}}),
    ]
}

#[test]
fn a_healthy_cluster_has_no_findings() {
    let all: Vec<&str> = checks::all().iter().map(|rule| rule.id).collect();
    for objects in [healthy(), Vec::new()] {
        let found = diagnosis(&all, objects).findings;
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn every_check_has_a_name_of_its_own_and_an_order() {
    let rules = checks::all();
    let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id).collect();
    assert!(rules.windows(2).all(|two| (two[0].severity, two[0].id) < (two[1].severity, two[1].id)), "{ids:?}");
    assert!(ids.iter().all(|id| id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rules.len());
    for rule in rules {
        assert!(!rule.reads.is_empty() && !rule.why.is_empty() && !rule.title.is_empty(), "{}", rule.id);
        assert!(rule.reads.iter().all(|kind| !rule.also.contains(kind)), "{}", rule.id);
    }
}

#[test]
fn every_kind_that_is_read_is_one_that_is_asked_for() {
    let expected = [
        "certificatesigningrequests",
        "deployments",
        "events",
        "leases",
        "namespaces",
        "nodeheadrooms",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "poddisruptionbudgets",
        "pods",
        "volumeattachments",
    ];
    assert_eq!(checks::kinds(), expected);
}

/// docs/doctor.md has a section for each check, in order, with what it says why.
#[test]
fn the_docs_list_every_check() {
    // Asked for when it runs: what was compiled for another checkout may be in use.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let docs = std::fs::read_to_string(format!("{here}/../docs/doctor.md")).unwrap();
    let sections: Vec<(&str, &str)> = docs.split("\n### ").skip(1).map(|s| s.split_once('\n').unwrap()).collect();
    let heads: Vec<String> = sections.iter().map(|(head, _)| (*head).to_owned()).collect();
    let rules = checks::all();
    let expected: Vec<String> = rules.iter().map(|rule| format!("{} ({})", rule.id, rule.severity.as_str())).collect();
    assert_eq!(heads, expected);
    for (rule, (_, section)) in rules.iter().zip(&sections) {
        let words = section.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(rule.why), "{}: {words}", rule.id);
        assert!(words.contains("Fix: "), "{}", rule.id);
    }
}

#[test]
fn hostile_objects_do_no_harm() {
    let all: Vec<&'static Rule> = checks::all();
    let kinds = ["Node", "Pod", "NodeHeadroom", "Event", "Lease", "CertificateSigningRequest", "PersistentVolume"];
    let kinds =
        kinds.into_iter().chain(["PodDisruptionBudget", "VolumeAttachment", "Namespace", "Deployment", "NoKind"]);
    let odd = [json!(null), json!(-1), json!("x"), json!([]), json!({"name": []}), json!([[{}]]), json!(1e308)];
    let mut objects = vec![json!(null), json!([]), json!("text"), json!({})];
    for kind in kinds {
        for value in &odd {
            objects.push(json!({"kind": kind, "metadata": value, "spec": value, "status": value}));
            objects.push(json!({"kind": kind, "metadata": {"name": "a", "namespace": "n", "labels": value,
                "annotations": {"k3s.io/node-args": "[[[[", "k3s.io/node-env": "1", "headroom.dev/swap-media": "\u{1b}[2J"},
                "creationTimestamp": value, "deletionTimestamp": value, "ownerReferences": value},
                "reason": "CgroupV1", "involvedObject": value, "lastTimestamp": value,
                "spec": {"containers": value, "nodeName": "a\nb", "volumes": value, "renewTime": value},
                "status": {"conditions": value, "containerStatuses": value, "capacity": value, "phase": value,
                           "observedAt": "0000-00-00T00:00:00Z", "intervalSeconds": i64::MIN, "swap": value}}));
        }
    }
    for extreme in [i64::MIN, -1, 0, i64::MAX] {
        objects.push(node("a"));
        objects.push(with(
            sample("a"),
            json!({"status": {"intervalSeconds": extreme, "observedAt": "9999-12-31T23:59:59Z",
                "memory": {"capacityBytes": extreme, "workingSetBytes": extreme, "evictionHardBytes": extreme},
                "swap": {"capacityBytes": extreme, "usedBytes": extreme},
                "pods": [{"namespace": "n", "name": "p", "uid": "u", "workingSetBytes": extreme}]}}),
        ));
        let state = State::from_objects(objects.clone());
        for at in [Timestamp(i64::MIN), Timestamp(0), at(), Timestamp(i64::MAX)] {
            let diagnosis = diagnosed(&state, at, &all, &[]);
            for output in [Output::Table, Output::Wide, Output::Json, Output::Yaml] {
                let text = printed(&diagnosis, output).unwrap();
                assert!(!text.contains('\u{1b}'), "{text:?}");
            }
        }
    }
}

#[test]
fn what_is_pasted_does_what_it_says() {
    let name = "a;reboot #$(reboot)`reboot`'\"\n reboot";
    let mut objects = vec![with(node("x"), ready("Unknown", "")), node("x")];
    objects[0]["metadata"]["name"] = name.into();
    objects.push(with(pod("shop", "db-0"), json!({"spec": {"nodeName": name}, "metadata": {"name": name}})));
    let all: Vec<&'static Rule> = checks::all();
    let diagnosis = diagnosed(&State::from_objects(objects), at(), &all, &[]);
    assert!(!diagnosis.findings.is_empty());
    for finding in &diagnosis.findings {
        for line in &finding.fix.0 {
            assert!(!line.contains('\n'), "{line:?}");
            assert!(line.starts_with("# ") || !line.contains("reboot"), "{line}");
        }
        assert!(!finding.summary.contains('\n'), "{:?}", finding.summary);
    }
}

#[test]
fn many_findings_of_one_kind_are_counted() {
    let mut objects: Vec<Value> = (0..130).map(|i| with(node(&format!("n{i:03}")), ready("False", "x"))).collect();
    objects.push(node("well"));
    let diagnosis = diagnosis(&["node-not-ready"], objects);
    assert_eq!((diagnosis.findings.len(), diagnosis.omitted("node-not-ready")), (100, 30));
    assert_eq!(diagnosis.findings[99].subject.name, "n099");
    let table = table::table(&diagnosis);
    assert!(table.contains("\n  - and 125 more\n"), "{table}");
    assert!(table.ends_with("\n130 errors, 0 warnings, 0 info\n"), "{table}");
    assert!(table::wide(&diagnosis).ends_with("\nand 30 more of node-not-ready\n"));
}
