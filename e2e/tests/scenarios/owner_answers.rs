//! What an owner asks, on a real API server: `trace` of a ReplicationController that runs, and `rightsize` with its
//! patches and resizes.

use std::{collections::BTreeMap, process::Stdio};

use crate::common::{LONG, STOCK_LEASE, asking, object, pod, pods, start_controllers, start_scheduler};
use headroom_api::MemoryProfile;
use headroom_e2e::{ControlPlane, Identity, eventually, our_binary};
use k8s_openapi::api::core::v1::{Pod, ReplicationController, Service, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

const LOOPS: &str = "--controllers=node-headroom-controller,memory-profile-controller,\
                     replicationcontroller-controller,endpointslice-controller";

fn headroom(cluster: &ControlPlane, arguments: &[&str]) -> Command {
    let mut command = Command::new(our_binary("kubectl-headroom").unwrap());
    command.args(arguments).arg("--kubeconfig").arg(cluster.kubeconfig(&Identity::Admin).unwrap());
    command.kill_on_drop(true);
    command
}

/// Exit status, what it prints, and what it remarks.
async fn asked(cluster: &ControlPlane, arguments: &[&str]) -> (i32, String, String) {
    let output = timeout(LONG, headroom(cluster, arguments).output()).await.expect("it does not end").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The one line that somebody without any rights is told.
async fn refused(cluster: &ControlPlane, arguments: &[&str]) -> String {
    let nobody = Identity::Custom { user: "nobody".to_owned(), groups: Vec::new() };
    let mut command = Command::new(our_binary("kubectl-headroom").unwrap());
    command.args(arguments).arg("--kubeconfig").arg(cluster.kubeconfig(&nobody).unwrap()).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.expect("it does not end").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let seen = (output.status.code(), output.stdout.len(), said.lines().count());
    assert_eq!(seen, (Some(1), 0, 1), "{arguments:?}: {said}");
    said
}

/// A document that it prints.
async fn document(cluster: &ControlPlane, arguments: &[&str]) -> Value {
    let (code, out, err) = asked(cluster, &[arguments, &["-o", "json"]].concat()).await;
    assert_eq!(code, 0, "{arguments:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

fn replication_controller(name: &str, replicas: i32) -> ReplicationController {
    object(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"app": name}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": {"hollow.headroom.dev/memory": "300Mi"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": "registry.example/app", "resources": {"requests": {"memory": "32Mi"}}}]},
        }},
    }))
}

/// The events of each pod of a trace, in order.
fn chains(trace: &Value) -> BTreeMap<String, Vec<String>> {
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in trace["steps"].as_array().unwrap().iter().filter(|step| step["object"]["kind"] == "Pod") {
        let name = step["object"]["name"].as_str().unwrap().to_owned();
        chains.entry(name).or_default().push(step["event"].as_str().unwrap().to_owned());
    }
    chains
}

#[tokio::test]
async fn a_replication_controller_is_traced_from_its_creation_to_its_slices() {
    const CHAIN: [&str; 5] = ["Created", "Scheduled", "Started", "Ready", "InEndpointSlice"];
    let cluster = crate::common::control_plane_with_crds().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
    let hollow = crate::common::hollow(&cluster, "worker=2:2Gi:swap=2Gi").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let _scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let _controllers = start_controllers(&cluster, &[LOOPS, "--node-headroom-interval=1s", &trust]).await;

    let services: Api<Service> = Api::default_namespaced(cluster.admin_client());
    let service =
        object(json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}));
    services.create(&PostParams::default(), &service).await.unwrap();
    let controllers: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    controllers.create(&PostParams::default(), &replication_controller("web", 3)).await.unwrap();

    let trace = eventually(LONG, "three pods to go the whole chain", || async {
        let trace = document(&cluster, &["trace", "rc/web"]).await;
        let whole = chains(&trace).into_values().filter(|chain| *chain == CHAIN).count();
        // Events are written after what they tell of.
        let told = trace.to_string().matches("event Scheduled").count();
        if whole == 3 && told == 3 && trace["waiting"] == json!([]) { Ok(trace) } else { Err(trace.to_string()) }
    })
    .await
    .unwrap();
    assert_eq!((&trace["kind"], &trace["target"]["name"]), (&json!("Trace"), &json!("web")));
    assert_eq!(trace["pods"], json!({"wanted": 3, "active": 3, "ready": 3}));
    let steps = trace["steps"].as_array().unwrap();
    assert_eq!(steps[0]["object"], json!({"kind": "ReplicationController", "name": "web"}));
    for step in steps {
        let (source, precise) = match step["event"].as_str().unwrap() {
            "Created" => ("creationTimestamp", "second"),
            "Scheduled" => ("event Scheduled", "exact"),
            "Started" => ("containerStatuses", "second"),
            "Ready" => ("condition Ready", "second"),
            _ => ("managedFields", "notLater"),
        };
        assert_eq!((&step["source"], &step["when"]["precision"]), (&json!(source), &json!(precise)), "{step}");
    }
    let scheduled: Vec<&str> =
        steps.iter().filter(|s| s["event"] == "Scheduled").map(|s| s["note"].as_str().unwrap()).collect();
    assert!(scheduled.iter().all(|note| note.starts_with("to worker-") && note.contains("; ")), "{scheduled:?}");

    // The same for people, as a picture, by its Service, and for a pod that fits nowhere.
    let (code, table, _) = asked(&cluster, &["trace", "rc/web", "--sort"]).await;
    assert!(code == 0 && table.starts_with("rc/web in default: 3 of 3 pods, 3 ready;"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let (code, svg, _) = asked(&cluster, &["trace", "svc/web", "-o", "svg"]).await;
    assert!(code == 0 && svg.starts_with("<svg ") && svg.contains(">svc/web</text>"), "{svg}");
    let huge = pod("huge", asking(json!({"memory": "64Gi"})));
    crate::common::create(&pods(&cluster, "default"), &huge).await;
    crate::common::waiting(&pods(&cluster, "default"), "huge", "Insufficient memory").await;
    let waits = document(&cluster, &["trace", "pod/huge"]).await["waiting"][0].take();
    assert_eq!((&waits["for"], &waits["source"]), (&json!("Scheduled"), &json!("condition PodScheduled")), "{waits}");
    assert!(waits["why"].as_str().unwrap().contains("Insufficient memory"), "{waits}");
    let (code, _, err) = asked(&cluster, &["trace", "rc/none"]).await;
    assert!(
        code == 3 && err.lines().count() == 1 && err.contains("there is no ReplicationController \"none\""),
        "{err}"
    );

    // A saved cluster tells the same, but for what only managedFields say.
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("cluster.json");
    let (code, _, err) = asked(&cluster, &["snapshot", "-f", saved.to_str().unwrap()]).await;
    assert!(code == 0 && err.is_empty(), "{err}");
    let mut command = Command::new(our_binary("kubectl-headroom").unwrap());
    command.args(["trace", "rc/web", "-o", "json", "--snapshot"]).arg(&saved).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.expect("it does not end").unwrap();
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    let events = |trace: &Value| {
        let sorted = chains(trace).into_iter().map(|(pod, mut chain)| {
            chain.sort();
            (pod, chain)
        });
        sorted.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(events(&again), events(&trace), "{again}");
    assert_eq!(again.to_string().matches("event Scheduled").count(), 3, "{again}");

    // What happens is told while it does: a fourth pod goes the same way.
    let mut following = headroom(&cluster, &["trace", "rc/web", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut ready = 0;
    let known: Vec<String> = chains(&trace).into_keys().collect();
    let follow = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("InSlice") {
                ready += 1;
                if ready == 3 {
                    let scale = Patch::Merge(json!({"spec": {"replicas": 4}}));
                    controllers.patch("web", &PatchParams::default(), &scale).await.unwrap();
                }
                if !known.iter().any(|name| line.contains(name.as_str())) {
                    return;
                }
            }
        }
        panic!("it ended")
    };
    timeout(LONG, follow).await.expect("the fourth pod is not told of");
    following.kill().await.unwrap();
    hollow.stop().await;
}

/// The pods of a ReplicationController.
async fn pods_of(cluster: &ControlPlane, name: &str) -> Vec<Pod> {
    let all = pods(cluster, "default").list(&ListParams::default().labels(&format!("app={name}"))).await.unwrap();
    all.items
}

/// What the containers of these pods have, as their kubelet would say it.
async fn kubelet_says(cluster: &ControlPlane, of: &[Pod], memory: &str) {
    for pod in of {
        let mut statuses = serde_json::to_value(pod.status.as_ref().unwrap()).unwrap()["containerStatuses"].take();
        for status in statuses.as_array_mut().unwrap() {
            status["resources"] = json!({"requests": {"memory": memory}});
        }
        let patch = Patch::Merge(json!({"status": {"containerStatuses": statuses}}));
        pods(cluster, "default").patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
    }
}

fn requested(pod: &Pod) -> String {
    let pod = serde_json::to_value(pod).unwrap();
    pod["spec"]["containers"][0]["resources"]["requests"]["memory"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_seen_becomes_requests_of_templates_and_of_pods_that_run() {
    let cluster = crate::common::control_plane_with_crds().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
    for (arguments, expected) in [
        (&["plan"][..], "cannot list nodes: nodes is forbidden"),
        (&["plan", "--remove", "worker-1"][..], "cannot list nodes: nodes is forbidden"),
        (&["trace", "rc/web", "-n", "default"][..], "you may not list pods in namespace \"default\""),
        (&["rightsize", "-A"][..], "you may not list memoryprofiles.headroom.dev cluster-wide"),
    ] {
        let said = refused(&cluster, arguments).await;
        assert!(said.contains(expected) && said.contains("ask for that right"), "{arguments:?}: {said}");
    }
    let (code, _, said) = asked(&cluster, &["plan"]).await;
    assert!(code == 1 && said.lines().count() == 1 && said.contains("there are no nodes: nothing to plan"), "{said}");

    let hollow = crate::common::hollow(&cluster, "worker=2:2Gi:swap=2Gi").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let _scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let _controllers = start_controllers(&cluster, &[LOOPS, "--node-headroom-interval=1s", &trust]).await;
    let (code, _, said) = asked(&cluster, &["plan", "--remove", "worker-9"]).await;
    let known = "there is no node \"worker-9\": there are worker-1, worker-2";
    assert!(code == 3 && said.lines().count() == 1 && said.contains(known), "{said}");
    let rcs: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    rcs.create(&PostParams::default(), &replication_controller("web", 2)).await.unwrap();
    let profiles: Api<MemoryProfile> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "a peak of 300Mi", || async {
        let profile = profiles.get("replicationcontroller-web").await.map_err(|error| error.to_string())?;
        let known = profile.status.unwrap_or_default().containers;
        let learned = known.first().is_some_and(|c| c.samples >= 3 && c.peak_bytes >= 300 << 20);
        if learned { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await
    .unwrap();

    // Asked, it changes nothing.
    let report = document(&cluster, &["rightsize", "rc/web"]).await;
    let container = &report["workloads"][0]["containers"][0];
    assert_eq!((&container["verdict"], &container["now"]["requestBytes"]), (&json!("raise"), &json!(32 << 20)));
    let wanted = container["suggested"]["requestBytes"].as_i64().unwrap();
    let seen = container["seenBytes"].as_i64().unwrap();
    assert!(wanted >= seen + (16 << 20) && wanted % (4 << 20) == 0, "{container}");
    let suggested = format!("{}Mi", wanted >> 20);
    let (code, table, _) = asked(&cluster, &["rightsize"]).await;
    assert!(
        code == 0 && table.contains(&format!("32Mi>{suggested}")) && table.contains("kubectl -n default patch"),
        "{table}"
    );
    let before = pods_of(&cluster, "web").await;
    assert!(before.iter().all(|pod| requested(pod) == "32Mi"));
    let (code, _, err) = asked(&cluster, &["rightsize", "rc/none"]).await;
    assert!(code == 3 && err.contains("there is no ReplicationController \"none\""), "{err}");

    // These kubelets do not say what containers have: the API server takes them for ones that cannot resize.
    let (code, out, err) = asked(&cluster, &["rightsize", "rc/web", "--in-place"]).await;
    assert!(code == 1 && err.contains("not resized: ") && err.contains("without support for resize"), "{err}");
    assert!(!out.contains("not resized: "), "{out}");
    hollow.stop().await;
    kubelet_says(&cluster, &pods_of(&cluster, "web").await, "32Mi").await;
    let (code, out, err) = asked(&cluster, &["rightsize", "rc/web", "--in-place"]).await;
    assert!(code == 0 && out.contains("its kubelet has not answered within"), "{out}{err}");
    assert!(out.contains("the template of rc/web is as it was"), "{out}");
    let resized = pods_of(&cluster, "web").await;
    assert!(resized.iter().all(|pod| requested(pod) == suggested), "{resized:?}");
    let uids = |pods: &[Pod]| pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect::<Vec<_>>();
    assert_eq!(uids(&resized), uids(&before), "the same pods");
    let (code, out, _) = asked(&cluster, &["rightsize", "rc/web", "--in-place"]).await;
    assert!(code == 0 && out.matches("has these sizes already").count() == 2, "{out}");

    // The template: pods of a ReplicationController stay.
    let (code, out, err) = asked(&cluster, &["rightsize", "rc/web", "--apply"]).await;
    assert!(code == 0 && out.contains("rc/web in default: patched, which restarts nothing"), "{out}{err}");
    let template = serde_json::to_value(rcs.get("web").await.unwrap()).unwrap();
    let container = &template["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"], json!({"requests": {"memory": suggested}}));
    assert_eq!(container["image"], "registry.example/app", "the rest is as it was");
    assert_eq!(uids(&pods_of(&cluster, "web").await), uids(&before));
    let report = document(&cluster, &["rightsize", "rc/web"]).await;
    assert_eq!(report["workloads"][0]["patch"], Value::Null, "nothing is left to do: {report}");
}
