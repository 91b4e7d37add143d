//! Schedulers and controllers that would not do in the place of stock, though they run.

use super::*;
use crate::distribution::ours::tests::{configured, surging};

#[test]
fn one_whose_rollouts_never_end_is_refused() {
    let surge = |mut raw: Raw| {
        raw.deployments = raw.deployments.into_iter().map(surging).collect();
        raw
    };
    let patch = |component: &str| {
        format!(
            "First: kubectl -n kube-system patch deployment headroom-{component} --patch 'spec: {{strategy: \
             {{rollingUpdate: {{maxSurge: 0, maxUnavailable: 1}}}}}}'"
        )
    };
    for (raw, wish, component) in [
        (k3s(), wish(true, &[]), "scheduler"),
        (kubeadm(), wish(true, &[]), "scheduler"),
        (kubeadm(), wish(false, &["endpoints-controller"]), "controllers"),
        (kubeadm(), wish(false, &["taint-eviction-controller"]), "controllers"),
    ] {
        let refused = take(&facts(surge(raw)), &wish).unwrap_err();
        assert!(refused.len() == 1 && refused[0].ends_with(&patch(component)), "{refused:?}");
        assert!(refused[0].contains("no rollout would end"), "{refused:?}");
    }
    // One that is not pinned either is put right at once.
    let mut both = surge(k3s());
    both.deployments[0]["metadata"]["labels"] = Value::Null;
    both.deployments[0]["spec"]["template"]["spec"]["nodeName"] = Value::Null;
    let refused = take(&facts(both), &wish(true, &[])).unwrap_err();
    let spec =
        r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1},"type":"RollingUpdate"},"template":"#;
    assert!(refused.len() == 1 && refused[0].contains(spec), "{refused:?}");
}

#[test]
fn one_that_is_not_rolled_out_or_finds_another_node_is_not_refused() {
    // Where stock asks for the lease, ours that is in primary stays as it is.
    let primary = |raw: Raw| Raw { deployments: vec![surging(deployment("scheduler", &["--mode=primary"]))], ..raw };
    assert!(take(&facts(primary(kubeadm())), &wish(true, &[])).is_ok());
    let refused = take(&facts(primary(k3s())), &wish(true, &[])).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("no rollout would end"), "{refused:?}");

    // Two that live apart, behind the lease.
    let of = |nodes: usize| {
        let mut raw = kubeadm();
        raw.deployments = raw.deployments.into_iter().map(surging).map(two_apart).collect();
        for i in 1..nodes {
            let mut other = raw.cluster[0].clone();
            other["metadata"]["name"] = format!("n{i}").into();
            raw.cluster.push(other);
        }
        take(&facts(raw), &wish(true, &[]))
    };
    let refused = of(2).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("needs the port of the old one"), "{refused:?}");
    assert!(of(3).is_ok());
}

/// Helm does not know of a takeover that was not made lasting.
#[test]
fn what_helm_is_to_change_first_takes_no_takeover_back() {
    let list = "--controllers=node-headroom-controller,endpoints-controller";
    let mut raw = kubeadm();
    raw.deployments = vec![deployment("scheduler", &["--mode=primary"]), deployment("controllers", &[list])];
    raw.deployments[1]["spec"]["template"]["spec"]["hostNetwork"] = false.into();
    let of = |raw: Raw| take(&facts(raw), &wish(false, &["taint-eviction-controller"])).unwrap_err();
    let first = "--reset-then-reuse-values --set controllers.nodeName=NODE --set controllers.hostNetwork=true";
    let loops =
        "--set controllers.mode=primary --set 'controllers.loops={node-headroom-controller,endpoints-controller}'";
    let mut apart = Raw { deployments: raw.deployments.clone(), ..kubeadm() };
    apart.deployments[0]["metadata"]["annotations"]["meta.helm.sh/release-name"] = "other".into();
    for (raw, kept) in [(raw, format!("--set mode=primary {loops}")), (apart, loops.to_owned())] {
        let refused = of(raw);
        assert!(refused.len() == 1 && refused[0].ends_with(&format!("{first} {kept}")), "{refused:?}");
    }
}

#[test]
fn what_secondary_serves_is_not_what_primary_does() {
    let of = |args: &[&str], name: &str| {
        let mut by_name = component("web", &[]);
        by_name["metadata"]["namespace"] = "shop".into();
        by_name["spec"]["schedulerName"] = name.into();
        let mut raw = k3s();
        raw.cluster.push(by_name);
        raw.deployments = vec![deployment("scheduler", args)];
        take(&facts(raw), &wish(true, &[]))
    };
    let notes = |mode: &str, name: &str| of(&[format!("--mode={mode}").as_str()], name).unwrap().notes;
    let told = notes("secondary", "headroom-scheduler");
    assert!(told.len() == 1 && told[0].contains("here are 1. They run on."), "{told:?}");
    assert!(notes("secondary", "default-scheduler").is_empty() && notes("shadow", "headroom-scheduler").is_empty());

    let config = "--config=/etc/headroom/config.yaml";
    let refused = of(&["--mode=secondary", config], "default-scheduler").unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("no profile for default-scheduler"), "{refused:?}");
    let way = "--set mode=shadow, and, where scheduler.config has profiles, one for default-scheduler";
    assert!(refused[0].ends_with(way), "{refused:?}");
    assert!(of(&["--mode=shadow", config], "default-scheduler").is_ok());
}

#[test]
fn a_configuration_that_leaves_default_scheduler_out_is_seen_before() {
    let of = |mode: &str, profiles: &str, helm: bool| {
        let mut ours = configured(deployment("scheduler", &[&format!("--mode={mode}")]));
        if !helm {
            ours["metadata"]["labels"] = Value::Null;
        }
        let text =
            format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{profiles}\n");
        let configuration = Some(json!({"data": {"scheduler.yaml": text}}));
        Raw { deployments: vec![ours], configuration, ..k3s() }
    };
    let others = "profiles: [{schedulerName: fast}, {schedulerName: slow}]";
    let what = "kube-system/headroom-scheduler: its configuration (ConfigMap kube-system/headroom-scheduler, \
                scheduler.yaml) has no profile for default-scheduler, only for fast, slow: all other pods would wait. First: ";
    let edit = "kubectl -n kube-system edit configmap headroom-scheduler, with a profile for default-scheduler";
    for (mode, helm, way) in [
        (
            "shadow",
            true,
            "helm upgrade headroom charts/headroom -n kube-system --reset-then-reuse-values, with a profile for \
             default-scheduler in scheduler.config"
                .to_owned(),
        ),
        ("shadow", false, edit.to_owned()),
        ("primary", false, format!("{edit}, then start it again")),
    ] {
        let refused = take(&facts(of(mode, others, helm)), &wish(true, &[])).unwrap_err();
        assert_eq!(refused, [format!("{what}{way}")], "{mode}");
    }
    // Not asked for.
    let loops = Raw {
        deployments: vec![of("shadow", others, true).deployments.remove(0), deployment("controllers", &[])],
        ..of("shadow", others, true)
    };
    assert!(take(&facts(loops), &wish(false, &["endpoints-controller"])).is_ok());
    for profiles in ["", "profiles: [{schedulerName: fast}, {schedulerName: default-scheduler}]", "profiles: [{}]"] {
        let plan = take(&facts(of("shadow", profiles, true)), &wish(true, &[])).unwrap();
        assert!(plan.notes.is_empty(), "{:?}", plan.notes);
    }
    // What cannot be read or understood is said.
    let unread = Raw { configuration: None, ..of("shadow", others, true) };
    for (raw, why) in [
        (unread, "it is in no ConfigMap that can be read here"),
        (of("shadow", "profiles: 1", true), "ConfigMap kube-system/headroom-scheduler, scheduler.yaml: "),
    ] {
        let notes = take(&facts(raw), &wish(true, &[])).unwrap().notes;
        let about = "Whether kube-system/headroom-scheduler has a profile for default-scheduler in its \
                     --config=/etc/headroom/config/scheduler.yaml is not known: ";
        assert!(notes.len() == 1 && notes[0].starts_with(about) && notes[0].contains(why), "{notes:?}");
    }
    // A file that is given to --dry-run counts instead.
    let mut given = facts(of("shadow", "", true));
    let text = format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{others}\n");
    given.configuration = Some(ConfigFile { place: "--config x.yaml".to_owned(), text });
    let refused = take(&given, &wish(true, &[])).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("its configuration (--config x.yaml)"), "{refused:?}");
}
