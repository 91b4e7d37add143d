//! Clusters and the plans that follow from them, to the letter.

use serde_json::{Value, json};

use super::{
    plan::Check,
    steps::{Wish, take},
    *,
};
use crate::distribution::{
    change::{Api, Change},
    facts::{
        CONTROLLERS_LEASE, OUR_LEASE, Raw, SCHEDULER_LEASE,
        tests::{at, component, lease, server},
    },
    ours::tests::{deployment, two_apart},
    record::{LoopsRecord, Record, SchedulerRecord},
};

mod unfit;

fn facts(raw: Raw) -> Facts {
    Facts::new(raw, at())
}

fn wish(scheduler: bool, loops: &[&str]) -> Wish {
    Wish { scheduler, loops: loops.iter().map(|name| (*name).to_owned()).collect(), ..Wish::default() }
}

fn kubeadm_config() -> Value {
    json!({"data": {"ClusterConfiguration": "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"}})
}

/// k3s with SQLite, and ours as `secondary`.
fn k3s() -> Raw {
    Raw {
        cluster: vec![server("v1.36.4+k3s1", &["server"])],
        deployments: vec![deployment("scheduler", &["--mode=secondary"])],
        ..Raw::default()
    }
}

fn kubeadm() -> Raw {
    Raw {
        cluster: vec![
            server("v1.36.4", &[]),
            component("kube-scheduler", &["--leader-elect=true"]),
            component(
                "kube-controller-manager",
                &["--controllers=*,bootstrapsigner,tokencleaner", "--node-monitor-grace-period=40s"],
            ),
        ],
        leases: vec![lease(SCHEDULER_LEASE, "kube-scheduler")],
        deployments: vec![deployment("scheduler", &["--mode=shadow"]), deployment("controllers", &[])],
        kubeadm: Some(kubeadm_config()),
        ..Raw::default()
    }
}

/// No Deployments: processes, known by their leases.
fn processes() -> Raw {
    let leases = vec![
        lease(SCHEDULER_LEASE, "kube-scheduler"),
        lease(OUR_LEASE, "headroom-scheduler"),
        lease(CONTROLLERS_LEASE, "headroom-controllers"),
    ];
    Raw { leases, ..Raw::default() }
}

#[test]
fn plans_to_the_letter() {
    let k0s = Raw {
        cluster: vec![server("v1.36.4+k0s", &[])],
        k0s: Some(json!({"spec": {"controllerManager": {}}})),
        ..processes()
    };
    let of_k0s =
        ["replicationcontroller-controller", "endpointslice-mirroring-controller", "pod-garbage-collector-controller"];
    for (raw, wish, expected) in [
        (k3s(), wish(true, &[]), include_str!("golden/k3s.txt")),
        (
            kubeadm(),
            wish(true, &["endpoints-controller", "node-lifecycle-controller"]),
            include_str!("golden/kubeadm.txt"),
        ),
        (processes(), Wish { keep_standby: true, ..wish(true, &[]) }, include_str!("golden/any-standby.txt")),
        (k0s, wish(false, &of_k0s), include_str!("golden/k0s.txt")),
    ] {
        let text = take(&facts(raw), &wish).unwrap().text();
        assert_eq!(text, expected, "\n{text}");
    }
}

#[test]
fn what_was_before_is_written_down() {
    let plan = take(&facts(kubeadm()), &wish(true, &["endpoints-controller"])).unwrap();
    let Change::Api(Api::Create { object, .. }) = &plan.steps[0].changes[0] else { panic!("{plan:?}") };
    let record = Record::from_object(object);
    let scheduler = SchedulerRecord { mode: "shadow".to_owned(), elects: true, keep_standby: false };
    assert_eq!(record.scheduler, Some(scheduler));
    let loops = record.loops.unwrap();
    assert_eq!((loops.names, loops.controllers), (vec!["endpoints-controller".to_owned()], None));
    assert_eq!(loops.stock.as_deref(), Some("*,bootstrapsigner,tokencleaner"));
    let config = kubeadm_config()["data"]["ClusterConfiguration"].as_str().map(str::to_owned);
    assert_eq!(loops.cluster_configuration, config);
}

#[test]
fn never_both_at_once() {
    // Where stock does not ask for the lease, ours that is primary already leaves it alone first.
    let mut raw = k3s();
    raw.deployments = vec![deployment("scheduler", &["--mode=primary"])];
    let plan = take(&facts(raw), &wish(true, &[])).unwrap();
    let modes: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|step| &step.changes)
        .flat_map(Change::lines)
        .filter(|line| line.contains("--mode="))
        .collect();
    let line = |mode: &str| format!("Deployment kube-system/headroom-scheduler: --mode={mode}");
    assert_eq!(modes, [line("secondary"), line("primary")]);
    // Whatever is taken over, the silence is proven, or the lease is ours, before ours begins.
    for (raw, wish) in [(k3s(), wish(true, &[])), (kubeadm(), wish(true, &["endpoints-controller"]))] {
        let plan = take(&facts(raw), &wish).unwrap();
        let checks: Vec<&Check> = plan.steps.iter().flat_map(|step| &step.checks).collect();
        let first = |of: fn(&Check) -> bool| checks.iter().position(|check| of(check));
        let proven = first(|check| matches!(check, Check::Quiet { .. } | Check::Leads(_))).unwrap();
        let answered = first(|check| matches!(check, Check::Answered { .. })).unwrap();
        assert!(proven < answered, "{checks:?}");
    }
}

#[test]
fn what_is_refused() {
    let with = |mut raw: Raw, change: fn(&mut Raw)| {
        change(&mut raw);
        facts(raw)
    };
    let loose = |raw: &mut Raw| {
        for deployment in &mut raw.deployments {
            deployment["spec"]["template"]["spec"]["nodeName"] = Value::Null;
        }
    };
    let on_the_pod_network = |raw: &mut Raw| {
        for deployment in &mut raw.deployments {
            deployment["spec"]["template"]["spec"]["hostNetwork"] = Value::Bool(false);
        }
    };
    let managed = |raw: &mut Raw| {
        raw.cluster[0]["metadata"]["labels"]["doks.digitalocean.com/node-id"] = "1".into();
    };
    let standby = Wish { keep_standby: true, ..wish(true, &[]) };
    let taint = || wish(false, &["taint-eviction-controller"]);
    for (facts, wish, expected) in [
        (facts(Raw::default()), wish(true, &[]), "headroom-scheduler does not run"),
        (facts(Raw::default()), wish(false, &["endpoints-controller"]), "headroom-controllers does not run"),
        (with(k3s(), managed), wish(true, &[]), "DigitalOcean Kubernetes runs the control plane"),
        (with(k3s(), loose), wish(true, &[]), "--set scheduler.nodeName=NODE"),
        (facts(k3s()), standby, "--keep-standby needs"),
        (with(kubeadm(), on_the_pod_network), taint(), "--set controllers.hostNetwork=true"),
        (facts(processes()), taint(), "give --unproven"),
        (
            facts(Raw { leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler")], ..Raw::default() }),
            wish(true, &[]),
            "Headroom does that already",
        ),
    ] {
        let refused = take(&facts, &wish).unwrap_err();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].contains(expected) && !refused[0].contains('\n'), "{refused:?}");
    }
    let unproven = Wish { unproven: true, ..taint() };
    assert!(take(&facts(processes()), &unproven).is_ok());
}

#[test]
fn those_without_helm_are_told_what_to_change() {
    let without = |change: fn(&mut Value)| {
        let mut raw = kubeadm();
        for deployment in &mut raw.deployments {
            deployment["metadata"]["labels"] = Value::Null;
            deployment["spec"]["template"]["spec"]["nodeName"] = Value::Null;
            change(deployment);
        }
        facts(raw)
    };
    let nodes = || wish(false, &["taint-eviction-controller"]);
    let pinned = r#""template":{"spec":{"nodeName":"NODE"}}}}'"#;
    type Edit = fn(&mut Value);
    let changes: [(Edit, &str); 3] = [
        (|_| (), ""),
        (|o| o["spec"]["replicas"] = 0.into(), r#""replicas":1,"#),
        (
            |o| o["spec"]["strategy"]["type"] = "Recreate".into(),
            r#""strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1},"type":"RollingUpdate"},"#,
        ),
    ];
    for (component, wish) in [("scheduler", wish(true, &[])), ("controllers", nodes())] {
        let first = format!("First: kubectl -n kube-system patch deployment headroom-{component} --patch '");
        for (change, spec) in changes {
            let refused = take(&without(change), &wish).unwrap_err();
            let expected = format!(r#"{first}{{"spec":{{{spec}{pinned}"#);
            assert!(refused.len() == 1 && refused[0].ends_with(&expected), "{refused:?}");
        }
    }
    // Another port stands in more places than a patch is good for.
    let refused =
        take(&without(|o| o["spec"]["template"]["spec"]["hostNetwork"] = false.into()), &nodes()).unwrap_err();
    assert!(refused.len() == 1 && !refused[0].contains("helm"), "{refused:?}");
    assert!(refused[0].contains("10357 for 10257") && refused[0].ends_with("has it in a line"), "{refused:?}");
    // One that was scaled to nothing is not pinned alone.
    let mut scaled = k3s();
    scaled.deployments[0]["spec"]["replicas"] = 0.into();
    let refused = take(&facts(scaled), &wish(true, &[])).unwrap_err();
    let expected = "--set scheduler.replicas=1 --set scheduler.nodeName=NODE";
    assert!(refused.len() == 1 && refused[0].ends_with(expected), "{refused:?}");
    let mut scaled = kubeadm();
    scaled.deployments[1]["spec"]["replicas"] = 0.into();
    let refused = take(&facts(scaled), &wish(false, &["endpoints-controller"])).unwrap_err();
    let expected = "First: kubectl -n kube-system scale deployment headroom-controllers --replicas=1";
    assert!(refused.len() == 1 && refused[0].ends_with(expected), "{refused:?}");
}

#[test]
fn two_that_no_node_pins_need_a_stock_scheduler_that_asks_for_the_lease() {
    let apart = |mut raw: Raw| {
        raw.deployments = raw.deployments.into_iter().map(two_apart).collect();
        facts(raw)
    };
    // Each replica that is exchanged is a pod of default-scheduler: behind the lease one of the two sides serves it.
    assert!(take(&apart(kubeadm()), &wish(true, &[])).is_ok());
    let refused = take(&apart(k3s()), &wish(true, &[])).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let expected = "nobody would schedule the pods of its rollout meanwhile. First: helm upgrade headroom charts/headroom -n \
                    kube-system --reset-then-reuse-values --set scheduler.replicas=1 --set scheduler.nodeName=NODE";
    assert!(
        refused[0].starts_with("kube-system/headroom-scheduler: ") && refused[0].ends_with(expected),
        "{refused:?}"
    );
    // Nothing has to be exchanged where ours holds the lease.
    let raw = Raw { leases: vec![lease(SCHEDULER_LEASE, "headroom-scheduler")], ..k3s() };
    assert_eq!(
        take(&apart(raw), &wish(true, &[])).unwrap_err(),
        ["Headroom does that already: kubectl headroom status"]
    );
}

#[test]
fn helm_is_told_of_all_that_ours_do_then() {
    let list = "--controllers=node-headroom-controller,endpoints-controller";
    let raw = || Raw {
        deployments: vec![deployment("scheduler", &["--mode=primary"]), deployment("controllers", &[list])],
        ..kubeadm()
    };
    let plan = take(&facts(raw()), &wish(false, &["pod-garbage-collector-controller"])).unwrap();
    let expected = [
        "helm upgrade headroom charts/headroom -n kube-system --reset-then-reuse-values \\",
        "  --set mode=primary \\",
        "  --set controllers.mode=primary \\",
        "  --set 'controllers.loops={node-headroom-controller,endpoints-controller,pod-garbage-collector-controller}'",
    ];
    assert_eq!(plan.lasting, expected, "what an earlier takeover gave ours stays");
    assert!(plan.text().contains(&plan.lasting_text()));
    // Two releases are two upgrades, and without Helm there is none.
    let mut apart = raw();
    apart.deployments[1]["metadata"]["annotations"]["meta.helm.sh/release-name"] = "other".into();
    let plan = take(&facts(apart), &wish(true, &[])).unwrap();
    let upgrades: Vec<&String> = plan.lasting.iter().filter(|line| line.starts_with("helm upgrade ")).collect();
    assert!(upgrades.len() == 2 && upgrades[1].starts_with("helm upgrade other "), "{:?}", plan.lasting);
    let mut without = raw();
    for deployment in &mut without.deployments {
        deployment["metadata"]["labels"] = Value::Null;
    }
    assert_eq!(take(&facts(without), &wish(true, &[])).unwrap().lasting_text(), "");
}

#[test]
fn the_way_back_without_ours_is_that_of_all_takeovers() {
    let record = |elects: bool, loops: Option<LoopsRecord>| {
        let scheduler = SchedulerRecord { mode: "secondary".to_owned(), elects, keep_standby: false };
        Some(Record { scheduler: Some(scheduler), loops }.object())
    };
    let ours = |list: &str| vec![deployment("scheduler", &["--mode=primary"]), deployment("controllers", &[list])];
    let leases = || vec![lease(SCHEDULER_LEASE, "headroom-scheduler")];
    let own = "--controllers=node-headroom-controller";
    let raw = Raw {
        cluster: vec![server("v1.36.4+k3s1", &["server", "--disable-scheduler", "true"])],
        leases: leases(),
        deployments: ours(own),
        record: record(false, None),
        ..Raw::default()
    };
    let plan = take(&facts(raw), &wish(false, &["endpoints-controller"])).unwrap();
    let expected = [
        "kubectl -n kube-system scale deployment headroom-scheduler --replicas=0",
        "kubectl -n kube-system scale deployment headroom-controllers --replicas=0",
        "# on cp, as root:",
        "rm /etc/rancher/k3s/config.yaml.d/headroom.yaml &&",
        "  systemctl restart k3s",
    ];
    assert_eq!(plan.dead_man, expected);
    // Behind a lease ours may stand by.
    let before = LoopsRecord {
        names: vec!["pod-garbage-collector-controller".to_owned()],
        stock: Some("*,bootstrapsigner".to_owned()),
        ..LoopsRecord::default()
    };
    let manager = "--controllers=*,bootstrapsigner,-pod-garbage-collector-controller";
    let raw = Raw {
        cluster: vec![server("v1.36.4", &[]), component("kube-controller-manager", &[manager])],
        leases: leases(),
        deployments: ours(&format!("{own},pod-garbage-collector-controller")),
        record: record(true, Some(before)),
        kubeadm: Some(kubeadm_config()),
        ..Raw::default()
    };
    let plan = take(&facts(raw), &wish(false, &["endpoints-controller"])).unwrap();
    let lines = &plan.dead_man;
    assert_eq!(lines.iter().filter(|line| line.contains("--replicas=0")).count(), 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("/--controllers=*,bootstrapsigner/' ")), "{lines:?}");
    assert!(lines.last().unwrap().ends_with("kube-scheduler.yaml /etc/kubernetes/manifests/"), "{lines:?}");
}

#[test]
fn flags() {
    #[derive(Debug, clap::Parser)]
    struct Top {
        #[command(flatten)]
        options: Options,
    }
    let parse = |args: &[&str]| {
        let args = std::iter::once("takeover").chain(args.iter().copied());
        <Top as clap::Parser>::try_parse_from(args).map(|top| top.options.manner)
    };
    let all = parse(&["--loops", "*"]).unwrap();
    assert_eq!(all.loops().len(), LOOPS.len());
    let two = parse(&["--loops", "podgc,endpoints-controller,podgc", "--timeout", "1m30s"]).unwrap();
    assert_eq!(two.loops(), ["endpoints-controller", "pod-garbage-collector-controller"]);
    assert_eq!(two.timeout.0.as_secs(), 90);
    assert!(parse(&[]).unwrap().loops().is_empty());
    let line = parse(&["--loops", "deployment-controller"]).unwrap_err().to_string();
    assert!(line.contains("is no loop that Headroom has"), "{line}");
    assert!(parse(&["--config", "x"]).is_err(), "without --dry-run");
}

#[test]
fn nobody_is_given_rights_by_the_look_of_a_deployment() {
    let there = |namespace: &str| {
        let mut object = deployment("scheduler", &["--mode=secondary"]);
        object["metadata"]["namespace"] = namespace.into();
        object
    };
    let raw = Raw { deployments: vec![there("a-tenant"), there("headroom")], ..k3s() };
    let refused = take(&facts(raw), &wish(true, &[])).unwrap_err();
    assert!(
        refused[0].starts_with("a-tenant/headroom-scheduler, headroom/headroom-scheduler: each looks"),
        "{refused:?}"
    );
}
