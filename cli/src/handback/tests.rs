//! Clusters that were taken over, and the way back to the letter.

use serde_json::{Value, json};

use super::steps::{Wish, give};
use crate::distribution::{
    change::{Api, Change},
    facts::{
        Facts, Raw, SCHEDULER_LEASE,
        tests::{at, component, lease, server},
    },
    ours::tests::deployment,
    record::{LoopsRecord, Record, SchedulerRecord},
};

const CONFIG: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

/// kubeadm, after a takeover of the scheduler and of one loop.
fn kubeadm() -> Raw {
    let controllers = "--controllers=node-headroom-controller,memory-profile-controller,endpoints-controller";
    let record = Record {
        scheduler: Some(SchedulerRecord { mode: "shadow".to_owned(), elects: true, keep_standby: false }),
        loops: Some(LoopsRecord {
            names: vec!["endpoints-controller".to_owned()],
            controllers: None,
            stock: Some("*,bootstrapsigner,tokencleaner".to_owned()),
            cluster_configuration: Some(CONFIG.to_owned()),
        }),
    };
    let list = "--controllers=*,bootstrapsigner,tokencleaner,-endpoints-controller";
    let config = format!(
        "{CONFIG}controllerManager:\n  extraArgs:\n  - name: controllers\n    value: \"*,bootstrapsigner,tokencleaner,-endpoints-controller\"\n"
    );
    Raw {
        cluster: vec![server("v1.36.4", &[]), component("kube-controller-manager", &[list])],
        leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler")],
        deployments: vec![deployment("scheduler", &["--mode=primary"]), deployment("controllers", &[controllers])],
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

#[test]
fn plans_to_the_letter() {
    for (raw, expected) in [(kubeadm(), include_str!("golden/kubeadm.txt")), (k3s(), include_str!("golden/k3s.txt"))] {
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
fn a_part_leaves_the_rest_written_down() {
    let wish = Wish { scheduler: true, ..Wish::default() };
    let plan = give(&Facts::new(kubeadm(), at()), &wish).unwrap();
    let last = plan.steps.last().unwrap();
    let [Change::Api(Api::Patch { patch, .. })] = last.changes.as_slice() else { panic!("{last:?}") };
    let left = Record::from_object(patch);
    assert_eq!((left.scheduler, left.loops.map(|loops| loops.names.len())), (None, Some(1)));
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
