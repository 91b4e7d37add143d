//! What becomes of placement by memory when something of it is missing: the rules only advise, our resources are
//! deleted and come back, nobody measures any more, some nodes cannot be read, rights are taken away. Pods are placed
//! all the time, as docs/memory.md says, and it is told once.

use std::cell::Cell;
use std::time::Duration;

use crate::common::{
    LONG, STOCK_LEASE, asking, assert_nothing_forbidden, bound, caller, control_plane_with_crds as control_plane,
    create, create_many, decided, delete, event, explain, explained, get, hollow, measured, pod, pods,
    start_controllers, start_scheduler, wait_for_log, waiting,
};
use headroom_api::NodeHeadroom;
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::proxy::{Faults, Proxy};
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, eventually};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const MIB: i64 = 1 << 20;
/// What the log says when no sample counts any more, and when one does again.
const LOST: &str = "no node has a usable memory sample";
const BACK: &str = "nodes have usable memory samples again";
/// Why pods wait for memory.
const TOO_LITTLE: &str = "node(s) had too little memory headroom";

/// The flag that names a scheduler configuration with these arguments of MemoryHeadroom; `explain` takes it as well.
fn configuration(cluster: &ControlPlane, arguments: &str) -> String {
    let kubeconfig = cluster.kubeconfig(&Identity::HeadroomScheduler).unwrap();
    let file = cluster.dir().join("memory.yaml");
    let text = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
         clientConnection: {{kubeconfig: {}}}\nprofiles:\n- schedulerName: default-scheduler\n  pluginConfig:\n  \
         - {{name: MemoryHeadroom, args: {{{arguments}}}}}\n",
        kubeconfig.display()
    );
    std::fs::write(&file, text).unwrap();
    format!("--config={}", file.display())
}

/// A pod that declares nothing and is expected to take so much.
fn expecting(name: &str, memory: &str) -> Pod {
    let mut pod = pod(name, json!({}));
    pod.metadata.annotations = Some([("headroom.dev/memory-hint".to_owned(), memory.to_owned())].into());
    pod
}

/// Sets the label with which a namespace decides for itself; null takes it away.
async fn enforce(cluster: &ControlPlane, namespace: &str, how: Value) {
    let namespaces: Api<Namespace> = Api::all(cluster.admin_client());
    let label = Patch::Merge(json!({"metadata": {"labels": {"headroom.dev/enforcement": how}}}));
    namespaces.patch(namespace, &PatchParams::default(), &label).await.unwrap();
}

/// Where a pod went, or the reason for which it waits.
async fn decision(pods: &Api<Pod>, name: &str) -> Result<String, String> {
    eventually(LONG, &format!("a decision about {name}"), || async {
        let pod = pods.get(name).await.map_err(|error| error.to_string())?;
        let node = pod.spec.and_then(|spec| spec.node_name);
        let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
        let waits = conditions.into_iter().find(|c| c.type_ == "PodScheduled" && c.status == "False");
        match (node, waits) {
            (Some(node), _) => Ok(Ok(node)),
            (None, Some(waits)) => Ok(Err(waits.message.unwrap_or_default())),
            (None, None) => Err("none yet".to_owned()),
        }
    })
    .await
    .unwrap()
}

/// Waits until the metrics of the scheduler have this line.
async fn tells(cluster: &ControlPlane, scheduler: &Process, line: &str) {
    eventually(LONG, line, || async {
        let metrics = cluster.metrics_by_token(scheduler).await.map_err(|error| error.to_string())?;
        if metrics.lines().any(|told| told == line) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .unwrap();
}

/// Fails unless a process has said this once.
fn assert_said_once(process: &Process, text: &str) {
    let log = process.log();
    assert_eq!(log.matches(text).count(), 1, "{} says {text:?}:\n{log}", process.name());
}

/// Fails unless a process is ready at this moment.
async fn assert_ready(cluster: &ControlPlane, process: &Process) {
    let anyone = caller(cluster, process, None).await;
    if let Err(error) = get(&anyone, "/readyz").await {
        panic!("{} is not ready: {error}: {}", process.name(), process.log_tail());
    }
}

#[tokio::test]
async fn advice_never_keeps_a_pod_waiting_and_namespaces_decide_for_themselves() {
    let cluster = control_plane().await;
    // H is 652 and 92 MiB: room for five pods of 128 MiB, and for none.
    let nodes = "roomy=1:1Gi:system=290Mi:version=v1.36.4+k3s1,full=1:1Gi:system=850Mi:version=v1.36.4+k3s1";
    let hollow = hollow(&cluster, nodes).await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let controllers = start_controllers(&cluster, &[&trust]).await;
    let headroom = measured(&cluster, 2).await;
    assert_eq!((headroom["roomy-1"], headroom["full-1"]), (652, 92));
    for namespace in ["strict", "advised"] {
        cluster.create_namespace(namespace).await.unwrap();
    }
    enforce(&cluster, "strict", json!("filter")).await;
    enforce(&cluster, "advised", json!("score")).await;

    let config = configuration(&cluster, "enforcement: Score");
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary", &config]).await;
    let default = pods(&cluster, "default");
    // The emptier it looks to stock, the more it would take; what has no headroom comes last.
    for number in 0..5 {
        let name = format!("fits-{number}");
        create(&default, &pod(&name, json!({}))).await;
        assert_eq!(bound(&default, &name).await, "roomy-1", "{name}");
    }
    // Now neither has any. Nobody waits for that.
    for name in ["over-1", "over-2"] {
        create(&default, &pod(name, json!({}))).await;
        bound(&default, name).await;
    }
    let advice = explained(&cluster, "over-2", &[&config]).await;
    for node in advice["nodes"].as_array().unwrap() {
        let memory = &node["memory"];
        assert_eq!((&node["feasible"], &memory["rule"], &memory["fits"]), (&json!(true), &json!("ram"), &Value::Null));
        let scores = node["scores"].as_array().unwrap();
        let score = scores.iter().find(|score| score["plugin"] == "MemoryHeadroom").unwrap();
        assert_eq!(score["score"], 0, "what is advised against scores nothing: {node:#}");
    }
    create(&default, &expecting("larger-than-any-node", "2Gi")).await;
    bound(&default, "larger-than-any-node").await;

    // A namespace that wants refusals has them, until it does not.
    let strict = pods(&cluster, "strict");
    create(&strict, &expecting("refused", "2Gi")).await;
    waiting(&strict, "refused", &format!("0/2 nodes are available: 2 {TOO_LITTLE}")).await;
    enforce(&cluster, "strict", Value::Null).await;
    bound(&strict, "refused").await;

    // The other way round: all are refused but those of the namespace that wants advice.
    assert!(scheduler.terminate(LONG).await.unwrap().success());
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    create(&default, &expecting("refused", "2Gi")).await;
    waiting(&default, "refused", TOO_LITTLE).await;
    let advised = pods(&cluster, "advised");
    create(&advised, &expecting("advised", "2Gi")).await;
    bound(&advised, "advised").await;
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    scheduler.expect_running("the scenario").unwrap();
    controllers.expect_running("the scenario").unwrap();
    hollow.stop().await;
}

/// Both kinds are looked for once a minute, so that this takes a little longer than that.
#[tokio::test]
async fn resources_that_are_deleted_cost_nothing_but_the_memory_rules_and_are_used_again_when_they_are_back() {
    const KINDS: [&str; 2] = ["nodeheadrooms.headroom.dev", "memoryprofiles.headroom.dev"];
    let cluster = control_plane().await;
    let hollow = hollow(&cluster, "worker=2:1Gi:system=500Mi:version=v1.36.4+k3s1").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let controllers = start_controllers(&cluster, &["--node-headroom-interval=5s", &trust]).await;
    measured(&cluster, 2).await;
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let pods = pods(&cluster, "default");
    create(&pods, &expecting("large", "600Mi")).await;
    waiting(&pods, "large", TOO_LITTLE).await;

    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.admin_client());
    for kind in KINDS {
        definitions.delete(kind, &DeleteParams::default()).await.unwrap();
    }
    // Without a NodeHeadroom the plugin says nothing, and pods go where stock would put them.
    bound(&pods, "large").await;
    let missing = KINDS.map(|kind| format!("{kind} is not installed: going on without"));
    for process in [&scheduler, &controllers] {
        for said in &missing {
            wait_for_log(process, said).await;
        }
        assert_ready(&cluster, process).await;
    }
    create(&pods, &pod("meanwhile", json!({}))).await;
    bound(&pods, "meanwhile").await;
    // Samples that do not exist are not samples that nobody takes any more.
    tells(&cluster, &scheduler, "headroom_memory_degraded 0").await;
    let events: Api<Event> = Api::namespaced(cluster.admin_client(), "kube-system");
    let told = events.list(&ListParams::default()).await.unwrap().items;
    assert!(told.iter().all(|event| event.reason.as_deref() != Some("MemoryDegraded")), "{told:?}");

    cluster.apply_yaml("CRDs", include_str!("../../../charts/headroom/files/crds.yaml")).await.unwrap();
    let tried = Cell::new(0);
    // Each is decided about at once: none is held up by what is missing, nor by its return.
    let refused = async || {
        let name = format!("probe-{:03}", tried.replace(tried.get() + 1));
        create(&pods, &expecting(&name, "600Mi")).await;
        let decision = decision(&pods, &name).await;
        delete(&pods, &name).await;
        match decision {
            Ok(node) => Err(format!("{name} went to {node}")),
            Err(message) => Ok(message),
        }
    };
    let message = eventually(LONG, "memory to be used again", refused).await.unwrap();
    assert!(message.contains(TOO_LITTLE), "{message}");
    measured(&cluster, 2).await;
    create(&pods, &pod("afterwards", json!({}))).await;
    bound(&pods, "afterwards").await;
    for process in [&scheduler, &controllers] {
        missing.iter().for_each(|said| assert_said_once(process, said));
        process.expect_running("the loss of the resources").unwrap();
    }
    // Neither is it told for each node and each workload that it has no object.
    let log = controllers.log();
    for (all, one) in [
        ("NodeHeadrooms cannot be written", "NodeHeadroom cannot be written"),
        ("MemoryProfiles cannot be written", "MemoryProfile cannot be written"),
    ] {
        assert!(log.matches(all).count() <= 1 && !log.contains(one), "{all}:\n{log}");
    }
    // The first new object had no sample for a moment.
    assert!(!scheduler.log().contains(LOST), "{}", scheduler.log());
    // The controllers are forbidden to make objects while the definition goes: that is no right which they lack.
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    hollow.stop().await;
}

/// Kubelets are read every second, so that samples are stale after 16 s, not after 3 min: soon, and later than a machine that
/// stands still for seconds makes them.
#[tokio::test]
async fn without_the_controllers_samples_age_until_nothing_is_refused_and_that_is_told_once() {
    let cluster = control_plane().await;
    let hollow = hollow(&cluster, "worker=2:1Gi:system=500Mi:version=v1.36.4+k3s1").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let flags = ["--node-headroom-interval=1s", trust.as_str()];
    let controllers = start_controllers(&cluster, &flags).await;
    assert_eq!(measured(&cluster, 2).await.into_values().collect::<Vec<_>>(), [442; 2]);
    // At one second between samples the limits are a fifteenth of what stands here: 3 s and 16 s. They grow with the
    // interval in force, which slow writes stretch.
    let config = configuration(&cluster, "freshSeconds: 45, staleSeconds: 240");
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary", &config]).await;
    let pods = pods(&cluster, "default");
    create(&pods, &expecting("large", "600Mi")).await;
    waiting(&pods, "large", &format!("0/2 nodes are available: 2 {TOO_LITTLE}")).await;

    let status = controllers.terminate(LONG).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", controllers.log_tail());
    // What a sample is worth at which age, at times of its own: nobody has to wait for them.
    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    let mut all_are_stale = Timestamp::UNIX_EPOCH;
    for node in headrooms.list(&ListParams::default()).await.unwrap().items {
        let name = node.name_any();
        let status = node.status.unwrap();
        let taken: Timestamp = status.observed_at.unwrap().parse().unwrap();
        let interval = u64::try_from(status.interval_seconds.unwrap()).unwrap();
        let stale = 16 * interval + 5;
        all_are_stale = all_are_stale.max(taken + Duration::from_secs(stale));
        let mut left = Vec::new();
        for (age, sample) in [(2, "Fresh"), (5 * interval, "Aging"), (stale, "Stale")] {
            let at = format!("--at={}", taken + Duration::from_secs(age));
            let explanation = explained(&cluster, "large", &[&config, &at]).await;
            let nodes = explanation["nodes"].as_array().unwrap();
            let memory = &nodes.iter().find(|node| node["name"] == name.as_str()).unwrap()["memory"];
            assert_eq!((&memory["sample"], &memory["sampleAgeSeconds"]), (&json!(sample), &json!(age)), "{name}");
            left.push(memory["headroomBytes"].as_i64().unwrap());
        }
        assert!(left[0] > left[1], "while it ages the node is taken to fill: {left:?}");
    }
    let at = format!("--at={all_are_stale}");
    let degraded = explained(&cluster, "large", &[&config, &at]).await;
    assert_eq!((&degraded["degraded"], &degraded["result"]["scheduled"]), (&json!(true), &json!(true)), "{degraded:#}");

    // The scheduler comes to the same, by its own clock, and goes on.
    wait_for_log(&scheduler, LOST).await;
    event(&cluster, "kube-system", STOCK_LEASE, "MemoryDegraded").await;
    tells(&cluster, &scheduler, "headroom_memory_degraded 1").await;
    bound(&pods, "large").await;
    create(&pods, &expecting("another", "600Mi")).await;
    bound(&pods, "another").await;
    assert_ready(&cluster, &scheduler).await;
    assert_said_once(&scheduler, LOST);

    // Somebody measures again: that is told, and memory counts.
    let controllers = start_controllers(&cluster, &flags).await;
    wait_for_log(&scheduler, BACK).await;
    event(&cluster, "kube-system", STOCK_LEASE, "MemoryDegradedEnded").await;
    tells(&cluster, &scheduler, "headroom_memory_degraded 0").await;
    create(&pods, &expecting("third", "600Mi")).await;
    waiting(&pods, "third", TOO_LITTLE).await;
    assert_said_once(&scheduler, LOST);
    assert_said_once(&scheduler, BACK);
    scheduler.expect_running("the time without samples").unwrap();
    controllers.expect_running("the end").unwrap();
    hollow.stop().await;
}

/// The kubelets of half of the nodes do not answer. A measured node has H = 1024 - 280 - 82 = 662 MiB; one of which
/// nothing is known has 1024 - 256 (what the system is taken to use on a node of this size) - 82 = 686. Both have room
/// for five pods of 128 MiB.
#[tokio::test]
async fn nodes_without_samples_take_what_requests_say_beside_those_that_are_measured() {
    let cluster = control_plane().await;
    let hollow = hollow(&cluster, "worker=4:1Gi:system=280Mi:version=v1.36.4+k3s1").await;
    for silent in ["worker-3", "worker-4"] {
        hollow.kill(silent).unwrap();
    }
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let controllers = start_controllers(&cluster, &[&trust]).await;
    let headroom = measured(&cluster, 2).await;
    assert_eq!((headroom["worker-1"], headroom["worker-2"]), (662, 662));
    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    let silent = async || {
        let all = headrooms.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let unread = |node: &&NodeHeadroom| {
            let mut conditions = node.status.iter().flat_map(|status| &status.conditions);
            conditions.any(|c| c.kind == "Fresh" && c.status == "False" && c.reason == "Unreachable")
        };
        let names: Vec<String> = all.iter().filter(unread).map(ResourceExt::name_any).collect();
        if names == ["worker-3", "worker-4"] { Ok(()) } else { Err(format!("{names:?}")) }
    };
    eventually(LONG, "the conditions of the nodes that cannot be read", silent).await.unwrap();

    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let pods = pods(&cluster, "default");
    // A request that is the limit: what it is expected to take does not change with what is seen of it.
    let needs = asking(json!({"memory": "128Mi"}));
    create(&pods, &pod("first", needs.clone())).await;
    let chosen = bound(&pods, "first").await;
    assert!(
        ["worker-1", "worker-2"].contains(&chosen.as_str()),
        "what is known comes before what is guessed: {chosen}"
    );
    create_many(pods.clone(), "more", 20, needs).await;
    let (on, waits) = decided(&pods, 21).await;
    assert_eq!(on.values().copied().collect::<Vec<_>>(), [5; 4], "{on:?}, {waits:?}");
    let (last, message) = waits.first_key_value().unwrap();
    assert!(message.contains(&format!("0/4 nodes are available: 4 {TOO_LITTLE}")), "{message}");

    let explanation = explained(&cluster, last, &[]).await;
    assert_eq!((&explanation["degraded"], &explanation["result"]["scheduled"]), (&json!(false), &json!(false)));
    let nodes = explanation["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    for (number, node) in nodes.iter().enumerate() {
        let memory = &node["memory"];
        let is_measured = number < 2;
        assert_eq!(memory["sample"], if is_measured { "Fresh" } else { "None" }, "{node:#}");
        assert_eq!(memory["sampleAgeSeconds"].is_i64(), is_measured, "{node:#}");
        assert_eq!((&node["feasible"], &memory["rule"]), (&json!(false), &json!("ram")), "{node:#}");
        let left = memory["headroomBytes"].as_i64().unwrap();
        assert!((0..128 * MIB).contains(&left), "{left} of {node:#}");
    }
    // The table has no age for what was never measured.
    let table = explain(&cluster, last, &[]).await;
    for (name, ending) in [("worker-1 ", 's'), ("worker-3 ", '-')] {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.ends_with(ending), "{table}");
    }
    assert_nothing_forbidden(&cluster, &Identity::HeadroomControllers.user());
    scheduler.expect_running("the scenario").unwrap();
    controllers.expect_running("the scenario").unwrap();
    hollow.stop().await;
}

/// The watch of NodeHeadrooms is cut by a proxy: rights count when a watch begins.
#[tokio::test]
async fn rights_that_are_taken_away_are_missed_once_and_used_again_when_they_are_back() {
    let cluster = control_plane().await;
    let hollow = hollow(&cluster, "worker=2:1Gi:system=500Mi:version=v1.36.4+k3s1").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let controllers = start_controllers(&cluster, &["--node-headroom-interval=1s", &trust]).await;
    measured(&cluster, 2).await;
    let proxy = Proxy::start(&cluster, &Identity::HeadroomScheduler).await.unwrap();
    let through = format!("--kubeconfig={}", proxy.kubeconfig().display());
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary", &through]).await;
    let pods = pods(&cluster, "default");
    create(&pods, &expecting("before", "600Mi")).await;
    waiting(&pods, "before", TOO_LITTLE).await;

    let roles: Api<ClusterRole> = Api::all(cluster.admin_client());
    let mut role = roles.get("headroom-scheduler").await.unwrap();
    if let Some(rules) = &mut role.rules {
        rules.retain(|rule| !rule.api_groups.iter().flatten().any(|group| group == "headroom.dev"));
    }
    roles.replace("headroom-scheduler", &PostParams::default(), &role).await.unwrap();
    // Each watch ends with its next event; those of NodeHeadrooms come every other second.
    proxy.set(Faults { cut: 1000, ..Faults::default() });
    let rule = "cannot watch nodeheadrooms: an RBAC rule is missing: apiGroups: [\"headroom.dev\"], \
                resources: [\"nodeheadrooms\"], verbs: [list, watch]";
    wait_for_log(&scheduler, rule).await;
    proxy.set(Faults::default());
    // It asks again and again, and says nothing more.
    let user = Identity::HeadroomScheduler.user();
    let asked = async || {
        let events = cluster.audit_events().map_err(|error| error.to_string())?;
        let refusal = |event: &&AuditEvent| {
            let about = event.object_ref.as_ref().is_some_and(|of| of.resource == "nodeheadrooms");
            about && event.user.username == user && event.code() == 403
        };
        let refused = events.iter().filter(refusal).count();
        if refused >= 3 { Ok(()) } else { Err(format!("refused {refused} times")) }
    };
    eventually(LONG, "it to ask again", asked).await.unwrap();
    assert_ready(&cluster, &scheduler).await;
    create(&pods, &pod("meanwhile", json!({}))).await;
    bound(&pods, "meanwhile").await;

    cluster.apply_rbac(RbacSet::Primary).await.unwrap();
    wait_for_log(&scheduler, "watching nodeheadrooms again").await;
    create(&pods, &expecting("after", "600Mi")).await;
    waiting(&pods, "after", TOO_LITTLE).await;
    assert_said_once(&scheduler, rule);
    // Nor does the library that watches say it each time.
    assert!(!scheduler.log().contains("error with 403"), "{}", scheduler.log());
    scheduler.expect_running("the loss of its rights").unwrap();
    controllers.expect_running("the scenario").unwrap();
    hollow.stop().await;
}
