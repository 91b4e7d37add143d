//! Clusters that were taken over, and the way back to the letter.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::steps::{Wish, give};
use crate::distribution::{
    change::{Api, Change},
    facts::{
        CONTROLLERS_LEASE, Facts, Raw, SCHEDULER_LEASE,
        tests::{at, component, lease, server},
    },
    ours::tests::{deployment, two_apart},
    record::{LoopsRecord, Record, SchedulerRecord},
};
use crate::takeover::plan::{Check, Plan};

const CONFIG: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

/// kubeadm, after a takeover of the scheduler and of one loop.
fn kubeadm() -> Raw {
    let controllers = [
        "--controllers=node-headroom-controller,memory-profile-controller,endpoints-controller",
        "--endpoint-updates-batch-period=500ms",
    ];
    let record = Record {
        scheduler: Some(SchedulerRecord { mode: "shadow".to_owned(), elects: true, keep_standby: false }),
        loops: Some(LoopsRecord {
            names: vec!["endpoints-controller".to_owned()],
            controllers: None,
            stock: Some("*,bootstrapsigner,tokencleaner".to_owned()),
            cluster_configuration: Some(CONFIG.to_owned()),
            flags: BTreeMap::from([("endpoint-updates-batch-period".to_owned(), "500ms".to_owned())]),
        }),
    };
    let list = "--controllers=*,bootstrapsigner,tokencleaner,-endpoints-controller";
    let config = format!(
        "{CONFIG}controllerManager:\n  extraArgs:\n  - name: controllers\n    value: \"*,bootstrapsigner,tokencleaner,-endpoints-controller\"\n"
    );
    Raw {
        cluster: vec![server("v1.36.4", &[]), component("kube-controller-manager", &[list])],
        leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler")],
        deployments: vec![deployment("scheduler", &["--mode=primary"]), deployment("controllers", &controllers)],
        kubeadm: Some(json!({"data": {"ClusterConfiguration": config}})),
        record: Some(record.object()),
        ..Raw::default()
    }
}

/// k3s with SQLite, after a takeover of the scheduler.
fn k3s() -> Raw {
    let scheduler = SchedulerRecord { mode: "secondary".to_owned(), elects: false, keep_standby: false };
    let record = Record { scheduler: Some(scheduler), loops: None };
    Raw {
        cluster: vec![server("v1.36.4+k3s1", &["server", "--disable-scheduler", "true"])],
        leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler")],
        deployments: vec![deployment("scheduler", &["--mode=primary"])],
        record: Some(record.object()),
        ..Raw::default()
    }
}

/// Processes of ours and no Deployments, after a takeover of the scheduler and of loops.
fn processes(elects: bool, loops: &[&str], stock: Option<&str>) -> Raw {
    let record = Record {
        scheduler: Some(SchedulerRecord { mode: "secondary".to_owned(), elects, keep_standby: false }),
        loops: Some(LoopsRecord {
            names: loops.iter().map(|name| (*name).to_owned()).collect(),
            stock: stock.map(str::to_owned),
            ..LoopsRecord::default()
        }),
    };
    let leases = vec![lease(SCHEDULER_LEASE, "headroom-scheduler"), lease(CONTROLLERS_LEASE, "headroom-controllers")];
    Raw { leases, record: Some(record.object()), ..Raw::default() }
}

/// k0s with several controllers and a ClusterConfig that is an object.
fn k0s() -> Raw {
    let (before, loops) =
        ("*,bootstrapsigner,tokencleaner", ["replicationcontroller-controller", "endpoints-controller"]);
    let list = format!("{before},-{},-{}", loops[0], loops[1]);
    Raw {
        cluster: vec![server("v1.36.4+k0s", &[])],
        k0s: Some(json!({"spec": {"controllerManager": {"extraArgs": {"controllers": list}}}})),
        ..processes(true, &loops, Some(before))
    }
}

#[test]
fn plans_to_the_letter() {
    for (raw, expected) in [
        (kubeadm(), include_str!("golden/kubeadm.txt")),
        (k3s(), include_str!("golden/k3s.txt")),
        (k0s(), include_str!("golden/k0s.txt")),
        (processes(false, &["endpointslice-mirroring-controller"], None), include_str!("golden/any.txt")),
    ] {
        let text = give(&Facts::new(raw, at()), &Wish::default()).unwrap().text();
        assert_eq!(text, expected, "\n{text}");
    }
}

#[test]
fn what_was_before_comes_back() {
    let plan = give(&Facts::new(kubeadm(), at()), &Wish::default()).unwrap();
    let patches: Vec<&Value> = plan
        .steps
        .iter()
        .flat_map(|step| &step.changes)
        .filter_map(|change| match change {
            Change::Api(Api::Patch { patch, .. }) => Some(patch),
            _ => None,
        })
        .collect();
    assert_eq!(patches[2]["data"]["ClusterConfiguration"], CONFIG);
    let of_ours = |patch: &Value| patch["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    assert_eq!((of_ours(patches[0]), of_ours(patches[1])), (json!(["--mode=shadow"]), json!([])));
}

#[test]
fn k0s_has_its_own_list_again() {
    let plan = give(&Facts::new(k0s(), at()), &Wish::default()).unwrap();
    let changes = plan.steps.iter().flat_map(|step| &step.changes);
    let patches: Vec<&Value> = changes
        .filter_map(|change| match change {
            Change::Api(Api::Patch { path, patch, .. }) if path.ends_with("/clusterconfigs/k0s") => Some(patch),
            _ => None,
        })
        .collect();
    let nothing_of_ours = json!({"spec": {"controllerManager": {"extraArgs": {"controllers": null}}}});
    assert_eq!(patches, [&nothing_of_ours]);
}

#[test]
fn a_part_leaves_the_rest_written_down() {
    let wish = Wish { scheduler: true, ..Wish::default() };
    let plan = give(&Facts::new(kubeadm(), at()), &wish).unwrap();
    let last = plan.steps.last().unwrap();
    let [Change::Api(Api::Patch { patch, .. })] = last.changes.as_slice() else { panic!("{last:?}") };
    let left = Record::from_object(patch);
    let loops = left.loops.unwrap();
    assert_eq!((left.scheduler, loops.names.len(), loops.flags.len()), (None, 1, 1));
}

#[test]
fn the_upgrade_that_makes_it_last_keeps_what_ours_go_on_with() {
    const FIRST: &str = "helm upgrade headroom charts/headroom -n kube-system --reset-then-reuse-values \\";
    let of = |raw: Raw, wish: Wish| give(&Facts::new(raw, at()), &wish).unwrap();
    let loops = of(kubeadm(), Wish { loops: vec!["endpoints-controller".to_owned()], ..Wish::default() });
    let expected = [
        FIRST,
        "  --set mode=primary \\",
        "  --set controllers.mode= \\",
        "  --set 'controllers.loops={node-headroom-controller,memory-profile-controller}' \\",
        "  --set-json 'controllers.extraArgs=[]'",
    ];
    assert_eq!(loops.lasting, expected, "and nobody may uninstall what still schedules");
    let scheduler = of(kubeadm(), Wish { scheduler: true, ..Wish::default() });
    let expected = [
        FIRST,
        "  --set mode=shadow \\",
        "  --set controllers.mode=primary \\",
        "  --set 'controllers.loops={node-headroom-controller,memory-profile-controller,endpoints-controller}' \\",
        r#"  --set-json 'controllers.extraArgs=["--endpoint-updates-batch-period=500ms"]'"#,
    ];
    assert_eq!(scheduler.lasting, expected);
    assert!(
        scheduler.lasting_text().contains("Before helm uninstall or any upgrade:\n  helm upgrade"),
        "{scheduler:?}"
    );
    let mut without = kubeadm();
    for deployment in &mut without.deployments {
        deployment["metadata"]["labels"] = Value::Null;
    }
    assert_eq!(of(without, Wish::default()).lasting_text(), "");
}

#[test]
fn loops_that_were_ours_before_the_takeover_are_given_back_as_well() {
    let list = |of: &str| format!("--controllers=node-headroom-controller,{of}");
    let raw = |wish: Wish| {
        let loops = LoopsRecord {
            names: vec!["pod-garbage-collector-controller".to_owned()],
            controllers: Some("node-headroom-controller,endpoints-controller".to_owned()),
            ..LoopsRecord::default()
        };
        let both = list("endpoints-controller,pod-garbage-collector-controller");
        let raw = Raw {
            deployments: vec![deployment("controllers", &[both.as_str()])],
            record: Some(Record { scheduler: None, loops: Some(loops) }.object()),
            ..Raw::default()
        };
        let plan = give(&Facts::new(raw, at()), &wish).unwrap();
        let lines: Vec<String> = plan.steps[0].changes.iter().flat_map(Change::lines).collect();
        lines.join("\n")
    };
    let deployment = "Deployment kube-system/headroom-controllers: ";
    assert_eq!(raw(Wish::default()), format!("{deployment}--controllers=node-headroom-controller"));
    let one = Wish { loops: vec!["pod-garbage-collector-controller".to_owned()], ..Wish::default() };
    assert_eq!(raw(one), format!("{deployment}{}", list("endpoints-controller")));
}

#[test]
fn two_that_no_node_pins_wait_for_a_stock_scheduler_that_asks_for_the_lease() {
    let apart = |mut raw: Raw| {
        raw.deployments = raw.deployments.into_iter().map(two_apart).collect();
        give(&Facts::new(raw, at()), &Wish::default())
    };
    assert!(apart(kubeadm()).is_ok());
    let refused = apart(k3s()).unwrap_err();
    let expected = "--set scheduler.replicas=1 --set scheduler.nodeName=NODE --set mode=primary";
    assert!(refused.len() == 1 && refused[0].ends_with(expected) && !refused[0].contains('\n'), "{refused:?}");
    // Without Helm its mode is not touched.
    let mut without = k3s();
    without.deployments = without.deployments.into_iter().map(two_apart).collect();
    without.deployments[0]["metadata"]["labels"] = Value::Null;
    let refused = give(&Facts::new(without, at()), &Wish::default()).unwrap_err();
    let expected = r#"headroom-scheduler --patch '{"spec":{"replicas":1,"template":{"spec":{"nodeName":"NODE"}}}}'"#;
    assert!(refused.len() == 1 && refused[0].ends_with(expected), "{refused:?}");
    // Whoever has started stock has somebody who schedules them.
    let started = Raw { cluster: vec![server("v1.36.4+k3s1", &["server"])], ..k3s() };
    assert!(apart(started).is_ok());
}

#[test]
fn a_static_pod_is_given_back_by_its_manifest() {
    let mut pod = component("headroom-scheduler", &["--leader-elect=true"]);
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let raw = |deployments: Vec<Value>| Raw {
        cluster: vec![server("v1.36.4", &[]), pod.clone()],
        leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler")],
        deployments,
        ..Raw::default()
    };
    let manifest = "On cp, as root, put the copy of the stock manifest back: \
                    cp /root/kube-scheduler.stock.yaml /etc/kubernetes/manifests/kube-scheduler.yaml";
    let refused = give(&Facts::new(raw(Vec::new()), at()), &Wish::default()).unwrap_err();
    assert!(refused.len() == 1 && refused[0].ends_with(manifest), "{refused:?}");
    let with_loops = || raw(vec![deployment("controllers", &["--controllers=endpoints-controller"])]);
    let refused = give(&Facts::new(with_loops(), at()), &Wish::default()).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains(manifest), "{refused:?}");
    assert!(refused[0].ends_with(": kubectl headroom handback --loops '*'"), "{refused:?}");
    let loops = Wish { loops: vec!["endpoints-controller".to_owned()], ..Wish::default() };
    assert!(give(&Facts::new(with_loops(), at()), &loops).is_ok());
    // Beside a Deployment of the scheduler it is somebody else's.
    let deployed = raw(vec![deployment("scheduler", &["--mode=primary"])]);
    assert!(give(&Facts::new(deployed, at()), &Wish::default()).is_ok());
}

#[test]
fn a_stock_scheduler_that_is_there_is_not_started() {
    let lines = |plan: &Plan| -> Vec<String> {
        plan.steps.iter().flat_map(|step| &step.changes).flat_map(Change::lines).collect()
    };
    // As an upgrade of kubeadm leaves it: an older manifest must not come over the new one.
    let mut raw = kubeadm();
    raw.cluster.push(component("kube-scheduler", &["--leader-elect=true"]));
    let plan = give(&Facts::new(raw, at()), &Wish::default()).unwrap();
    assert!(plan.steps[0].title.starts_with("Ours gives the lease up"), "{plan:?}");
    assert!(lines(&plan).iter().all(|line| !line.contains("kube-scheduler.yaml")), "{plan:?}");
    assert!(plan.notes[0].starts_with("kube-scheduler is there already on cp: "), "{:?}", plan.notes);
    // Of two hosts one was upgraded.
    let mut raw = kubeadm();
    raw.cluster.push(component("kube-scheduler", &["--leader-elect=true"]));
    let mut second = server("v1.36.4", &[]);
    second["metadata"]["name"] = "cp2".into();
    raw.cluster.push(second);
    let plan = give(&Facts::new(raw, at()), &Wish { scheduler: true, ..Wish::default() }).unwrap();
    assert_eq!(lines(&plan)[0], "# on cp2, as root:");
    let printed = lines(&plan)[2].clone();
    assert_eq!(printed, "  mv -n /etc/kubernetes/headroom/kube-scheduler.yaml /etc/kubernetes/manifests/");
    // Where none asks for the lease no silence is waited for either.
    let raw = Raw { cluster: vec![server("v1.36.4+k3s1", &["server"])], ..k3s() };
    let plan = give(&Facts::new(raw, at()), &Wish::default()).unwrap();
    let asked: Vec<&Check> = plan.steps.iter().flat_map(|step| &step.checks).collect();
    assert!(!asked.iter().any(|check| matches!(check, Check::Quiet { .. })), "{plan:?}");
    assert!(lines(&plan).iter().all(|line| !line.contains("k3s")), "{plan:?}");
}

#[test]
fn without_a_record_the_safe_order_is_taken() {
    // Started by hand: whether stock asks for the lease is not known.
    let raw = Raw { record: None, ..k3s() };
    let plan = give(&Facts::new(raw, at()), &Wish::default()).unwrap();
    assert!(plan.steps[0].title.starts_with("Ours leaves default-scheduler alone"), "{plan:?}");
    let none = give(&Facts::new(Raw::default(), at()), &Wish::default()).unwrap_err();
    assert!(none[0].starts_with("Headroom does nothing of that"), "{none:?}");
}
