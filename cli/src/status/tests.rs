//! For every owner a cluster, and what is printed.

use serde_json::{Value, json};

use super::{owners::Owner, *};
use crate::distribution::{
    facts::{
        CONTROLLERS_LEASE, MANAGER_LEASE, Raw, SCHEDULER_LEASE,
        tests::{at, component, lease, server},
    },
    ours::tests::deployment,
};

fn pod_of(program: &str, args: &[&str]) -> Value {
    let mut pod = component(program, args);
    pod["metadata"]["name"] = format!("{program}-x").into();
    pod
}

fn job(raw: Raw, name: &str) -> Job {
    jobs(&Facts::new(raw, at())).into_iter().find(|job| job.name == name).unwrap()
}

#[test]
fn who_schedules() {
    let elected = |renewer: &str| Raw { leases: vec![lease(SCHEDULER_LEASE, renewer)], ..Raw::default() };
    let k3s = |args: &[&str]| server("v1.36.4+k3s1", args);
    let alone = |leases: Vec<Value>| Raw { cluster: vec![k3s(&["server"])], leases, ..Raw::default() };
    let off = |deployments: Vec<Value>| Raw {
        cluster: vec![k3s(&["server", "--disable-scheduler"])],
        deployments,
        ..Raw::default()
    };
    for (raw, owner, evidence) in [
        (elected("kube-scheduler"), Owner::Stock, "kube-scheduler (cp_1) renewed the lease kube-scheduler 5s ago"),
        (elected("headroom-scheduler"), Owner::Headroom, "headroom-scheduler (cp_1) renewed"),
        (elected("somebody"), Owner::Unknown, "no lease, no pod, no event"),
        (alone(Vec::new()), Owner::Stock, "k3s on cp, without asking for the lease"),
        (alone(vec![lease(SCHEDULER_LEASE, "headroom-scheduler")]), Owner::Both, "headroom-scheduler (cp_1) renewed"),
        (off(vec![deployment("scheduler", &["--mode=shadow"])]), Owner::Nobody, "no stock scheduler is started"),
        (off(vec![deployment("scheduler", &["--mode=primary"])]), Owner::Unknown, "no stock scheduler is started"),
        (Raw::default(), Owner::Unknown, "no lease, no pod, no event of a binding is seen"),
    ] {
        let job = job(raw, "scheduler");
        assert_eq!(job.owner, owner, "{job:?}");
        assert!(job.evidence[0].starts_with(evidence), "{job:?}");
    }
}

#[test]
fn who_runs_a_loop() {
    let name = "endpoints-controller";
    let kcm = |list: &str| component("kube-controller-manager", &[&format!("--controllers={list}")]);
    let ours = |list: &str| pod_of("headroom-controllers", &[&format!("--controllers={list}")]);
    let seen = |manager: &str, time: &str| {
        json!({"kind": "Endpoints", "metadata": {"name": "web", "namespace": "shop",
               "managedFields": [{"manager": manager, "time": time}]}})
    };
    let lately = "2026-11-22T09:58:00Z";
    for (cluster, written, owner) in [
        (vec![kcm("*")], vec![], Owner::Stock),
        (vec![kcm("*,-endpoint"), ours(name)], vec![], Owner::Headroom),
        (vec![kcm("*"), ours(name)], vec![], Owner::Both),
        (vec![kcm("*,-endpoints-controller"), ours("x")], vec![], Owner::Nobody),
        (vec![ours(name)], vec![], Owner::Unknown),
        (vec![ours(name)], vec![seen("headroom-controllers", lately)], Owner::Headroom),
        (vec![], vec![seen("k3s", lately)], Owner::Stock),
        (vec![], vec![seen("k3s", "2026-11-22T01:00:00Z")], Owner::Unknown),
        (vec![], vec![seen("k3s", lately), seen("headroom-controllers", "2026-11-22T09:59:00Z")], Owner::Headroom),
    ] {
        let job = job(Raw { cluster, written, ..Raw::default() }, name);
        assert_eq!(job.owner, owner, "{job:?}");
        assert!(!job.evidence.is_empty(), "{job:?}");
    }
}

#[test]
fn our_controllers_without_pods_may_run_anything() {
    let kcm = component("kube-controller-manager", &["--controllers=*,-endpoints-controller"]);
    let leases = vec![lease(CONTROLLERS_LEASE, "headroom-controllers")];
    let found = job(Raw { cluster: vec![kcm], leases, ..Raw::default() }, "endpoints-controller");
    assert_eq!(found.owner, Owner::Unknown, "{found:?}");
}

#[test]
fn what_is_printed() {
    let raw = Raw {
        cluster: vec![server("v1.36.4+k0s", &[])],
        leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler"), lease(MANAGER_LEASE, "kube-controller-manager")],
        deployments: vec![deployment("scheduler", &["--mode=primary"])],
        ..Raw::default()
    };
    let status = status(&Facts::new(raw, at()));
    let unseen =
        |name: &str| format!("{name:34}  unknown\n    the stock manager runs, and no arguments of it are seen\n");
    let head = "k0s (kubelet v1.36.4+k0s on cp)\nheadroom-scheduler: primary\n\n\
                scheduler                           headroom\n    headroom-scheduler (cp_1) renewed the lease \
                kube-scheduler 5s ago\n";
    let rest: String = crate::doctor::control_loops::LOOPS.iter().map(|(name, _)| unseen(name)).collect();
    assert_eq!(printed(&status, Output::Table).unwrap(), format!("{head}{rest}"));
    let wide = printed(&status, Output::Wide).unwrap();
    assert!(wide.contains("    Deployment kube-system/headroom-scheduler has --mode=primary\n"), "{wide}");
    let json: Value = serde_json::from_str(&printed(&status, Output::Json).unwrap()).unwrap();
    assert_eq!((&json["kind"], &json["jobs"][0]["owner"]), (&json!("Status"), &json!("headroom")));
    assert_eq!((&json["schedulerMode"], &json["takenOver"]), (&json!("primary"), &json!({})));
    assert!(printed(&status, Output::Yaml).unwrap().starts_with("apiVersion: headroom.dev/v1alpha1\nkind: Status\n"));
}
