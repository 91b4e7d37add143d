//! Machines that go, come and stay: what stands against it besides pods without a place.

use serde_json::json;

use super::{
    small::{node, pod, saved},
    *,
};

fn sixty() -> String {
    std::fs::read_to_string(SIXTY).unwrap()
}

/// The nodes and the reason of the one problem.
fn problem(plan: &Plan) -> (Vec<&str>, &str) {
    let [one] = plan.problems.as_slice() else { panic!("{:?}", plan.problems) };
    (one.nodes.iter().map(String::as_str).collect(), &one.reason)
}

#[test]
fn the_last_of_the_control_plane_cannot_go() {
    let all = ["--catalog", "digitalocean-2019", "--remove", "etcd", "--remove", "rancher"];
    let none = plan(&all);
    assert!(!none.fits && none.pending.is_empty());
    let reason = "no control plane and no etcd would be left without etcd and rancher";
    assert_eq!(problem(&none), (vec!["etcd", "rancher"], reason));
    assert_eq!(none.summary, format!("without etcd, without rancher: {reason}; $40 a month, $60 now"));
    let json: serde_json::Value = serde_json::from_str(&printed(&none, Output::Json).unwrap()).unwrap();
    assert_eq!((&json["problems"][0]["reason"], &json["fits"]), (&Value::from(reason), &Value::from(false)));
    // One of two may; not the only one with a datastore.
    assert!(plan(&["--remove", "etcd"]).problems.is_empty());
    let text = sixty();
    let (before, rancher) = text.split_at(text.find("name: rancher").unwrap());
    let one = rancher.replacen("      node-role.kubernetes.io/etcd: \"true\"\n", "", 1);
    assert_ne!(one, rancher);
    let without = plan_of(&format!("{before}{one}"), &["--remove", "etcd"]);
    assert_eq!(problem(&without), (vec!["etcd"], "no etcd would be left without etcd"));
}

#[test]
fn a_machine_holds_its_own_system_at_least() {
    let plan = plan(&["--resize", "etcd=s-1vcpu-512mb-10gb", "--catalog", "digitalocean"]);
    let reason = "s-1vcpu-512mb-10gb is too small for etcd: the system takes 520Mi of 491Mi";
    assert_eq!((problem(&plan), plan.fits), ((vec!["etcd"], reason), false));
    assert_eq!(plan.summary, format!("etcd on s-1vcpu-512mb-10gb: {reason}; $64 a month, $72 now"));
}

#[test]
fn machines_of_one_type_are_too_small_together() {
    // What the system takes on any worker is taken for what it takes on new ones.
    let text = sixty().replace("systemOverheadBytes: 281018368", "systemOverheadBytes: 1610612736");
    let plan = plan_of(&text, &["--add", "s-1vcpu-1gb=2", "--catalog", "digitalocean-2019"]);
    let reason = "s-1vcpu-1gb is too small for a node: the system takes 1536Mi of 983Mi";
    assert_eq!((problem(&plan), plan.fits), ((vec!["new-1", "new-2"], reason), false));
}

#[test]
fn the_loss_of_a_node_counts_with_every_question() {
    let pending = |args: &[&str]| {
        let plan = plan(&[args, &["--fail-on", "loss"]].concat());
        assert!(plan.fits && plan.losses.len() == plan.nodes.len(), "{args:?}");
        let lost = plan.losses.iter().filter(|loss| !loss.pending.is_empty());
        lost.map(|loss| loss.node.clone()).collect::<Vec<_>>()
    };
    // No other machine has the CPU that the backend asks for, until there is one; the fetchers have one node each.
    assert_eq!(pending(&["--remove", "crawl-4"]), ["app", "crawl-1", "crawl-2", "crawl-3"]);
    assert_eq!(pending(&["--add", "s-2vcpu-4gb=1"]), [""; 0]);
    let cheapest = ["--cheapest", "--catalog", "digitalocean-2019"];
    assert_eq!(pending(&cheapest), ["app", "crawl-1", "crawl-2", "crawl-3"]);
    assert!(plan(&["--remove", "crawl-4"]).losses.is_empty());
}

#[test]
fn nodes_that_are_to_stay_may_be_too_many() {
    let all = ["--cheapest", "--catalog", "digitalocean-2019", "--keep", "rancher"];
    let kept = plan(&all);
    assert!(kept.fits && kept.nodes.iter().any(|node| node.name == "rancher" && node.exists), "{:?}", kept.nodes);
    // It is the one server that is planned.
    assert!(kept.nodes.iter().all(|node| node.name != "etcd" && !node.name.starts_with("new-server")));
    let none = plan(&[&all[..], &["--keep", "etcd", "--max-nodes", "1"]].concat());
    let line = "no set can have at most 1 machine: 2 are needed whatever is chosen: \
                etcd (it is to stay), rancher (it is to stay)";
    assert_eq!((none.summary.as_str(), none.fits), (line, false));
}

#[test]
fn the_size_decides_where_the_label_names_no_type() {
    for kind in ["k3s", "rke2", ""] {
        let mut text = sixty();
        for machine in ["s-1vcpu-1gb", "s-1vcpu-2gb", "s-2vcpu-4gb"] {
            let label = |value: &str| format!("node.kubernetes.io/instance-type: \"{value}\"");
            text = text.replace(&label(machine), &label(kind));
        }
        let plan = plan_of(&text, &["--catalog", "digitalocean-2019"]);
        assert_eq!(plan.price_per_month.map(|price| price.0), Some(6000), "{kind:?}");
        assert!(plan.nodes.iter().all(|node| node.machine_concluded));
        assert!(plan.assumptions.iter().any(|line| line.contains("names no type")), "{:?}", plan.assumptions);
        // What provider it is, nothing tells.
        assert!(plan_of(&text, &[]).catalogue.is_none());
    }
}

#[test]
fn pods_that_cannot_leave_are_named_whether_a_set_is_found_or_not() {
    let terms = json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}]}]);
    let (size, modes) = (json!({"storage": "1Gi"}), json!(["ReadWriteOnce"]));
    let mut a = node("a");
    a["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "s-1vcpu-2gb".into();
    let mut db = pod("db", "100m", Some("a"));
    db["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let objects = [
        a,
        db,
        pod("web", "100m", Some("a")),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
            "spec": {"capacity": size, "accessModes": modes, "storageClassName": "local", "local": {"path": "/v"},
                     "claimRef": {"namespace": "default", "name": "data", "uid": "claim"},
                     "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
            "status": {"phase": "Bound"}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "default", "uid": "claim",
                         "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"accessModes": modes, "storageClassName": "local", "volumeName": "v",
                     "resources": {"requests": size}},
            "status": {"phase": "Bound"}}),
    ];
    let note = "1 pod that cannot leave is down with its node, whatever other machines there are: default/db";
    let stays = "default/db: its claim data is a local volume of a";
    // One machine holds both; the other pod survives its loss on a second one.
    for (args, machines, said) in [
        (&[][..], Some(1), false),
        (&["--survive", "1"][..], Some(2), true),
        (&["--survive", "1", "--max-nodes", "1"][..], None, true),
    ] {
        let all = [&["--cheapest", "--catalog", "digitalocean-2019"][..], args].concat();
        let plan = plan_of(&saved(&objects), &all);
        let json: Value = serde_json::from_str(&printed(&plan, Output::Json).unwrap()).unwrap();
        assert_eq!((plan.fits, plan.cheapest.is_some()), (machines.is_some(), machines.is_some()), "{args:?}");
        assert_eq!(plan.assumptions.iter().any(|line| line == note), said, "{args:?} {:?}", plan.assumptions);
        let table = printed(&plan, Output::Table).unwrap();
        assert!(table.contains(stays), "{args:?} {table}");
        let immovable = match machines {
            Some(machines) => {
                assert_eq!(plan.nodes.len(), machines, "{args:?}");
                assert!(json["noSet"].is_null(), "{args:?}");
                &json["cheapest"]["immovable"]
            }
            None => {
                // The node that stays costs so much, and is not enough.
                assert_eq!(json["noSet"]["lowerBoundPerMonth"], json!(10.0), "{json}");
                assert!(table.contains("No set of these machines that costs less than $10 would do."), "{table}");
                &json["noSet"]["immovable"]
            }
        };
        assert_eq!(immovable[0]["name"], json!("db"), "{args:?} {json}");
    }
}

/// A catalogue whose cheaper machines are Arm.
const ARM_OR_NOT: &str = "
apiVersion: headroom.dev/v1alpha1
kind: MachineCatalog
name: mine
provider: a shop
date: '2026-11-29'
source: a test's own
currency: USD
swap: false
usableMemory: 1.0
machines:
- {name: board, cpu: '2', memory: 4Gi, price: 5, arch: arm64}
- {name: server, cpu: '2', memory: 4Gi, price: 6}
";

#[test]
fn images_are_assumed_to_exist_for_other_machines_than_todays() {
    let catalogue = file(ARM_OR_NOT);
    let of = |arch: Option<&str>, kind: &str, cpu: &str, selects: bool| {
        let nodes = ["a", "b"].map(|name| {
            let mut node = node(name);
            node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = kind.into();
            if let Some(arch) = arch {
                node["metadata"]["labels"]["kubernetes.io/arch"] = arch.into();
            }
            node
        });
        let mut first = pod("first", cpu, Some("a"));
        if selects {
            first["spec"]["nodeSelector"] = json!({"kubernetes.io/arch": "amd64"});
        }
        let objects = [&nodes[..], &[first, pod("second", cpu, Some("b"))]].concat();
        let plan = plan_of(&saved(&objects), &["--cheapest", "--catalog", catalogue.path().to_str().unwrap()]);
        let said = plan.assumptions.iter().find(|line| line.starts_with("images are assumed"));
        (plan.price_per_month.map(|price| price.0), said.cloned())
    };
    let arm = Some("images are assumed to exist for arm64".to_owned());
    for (arch, kind, cpu, selects, expected) in [
        (Some("amd64"), "server", "100m", false, (Some(500), arm.clone())),
        // What a node does not say is taken to be what catalogues do not say.
        (None, "server", "100m", false, (Some(500), arm.clone())),
        (Some("arm64"), "board", "100m", false, (Some(500), None)),
        // The cheaper one is no place for who asks for the other.
        (Some("amd64"), "server", "100m", true, (Some(600), None)),
        // One of each.
        (Some("amd64"), "server", "1500m", true, (Some(1100), arm)),
    ] {
        assert_eq!(of(arch, kind, cpu, selects), expected, "{arch:?} {kind} {cpu} {selects}");
    }
}
