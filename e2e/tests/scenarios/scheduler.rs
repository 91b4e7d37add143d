//! The scheduler on a real control plane: what it binds, what it says, and that stock says the same.

use crate::common::{
    LONG, OUR_LEASE, STOCK_LEASE, affinity, asking, assert_bound_once, assert_nothing_forbidden, both, bound, caller,
    change_node, code, control_plane, create, create_many, delete, event, get, holder, host_port, node, on_node, pod,
    pods, reader_token, scheduled_condition, start_scheduler, wait_placed, waiting, writes_of,
};
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, SchedulerOptions, eventually};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

#[tokio::test]
async fn pods_are_placed_as_they_wish_and_told_so() {
    let cluster = control_plane(RbacSet::Primary).await;
    let fast = json!({"metadata": {"labels": {"disk": "ssd"}}});
    let databases = json!({"spec": {"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}});
    let zone = json!({"metadata": {"labels": {"zone": "b"}}});
    tokio::join!(node(&cluster, "fast", fast), node(&cluster, "databases", databases), node(&cluster, "far", zone));

    let pods = pods(&cluster, "default");
    create(&pods, &pod("before", json!({}))).await;
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let tolerant = json!({"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "db"}]});
    for pod in [
        pod("plain", json!({})),
        pod("selects", json!({"nodeSelector": {"disk": "ssd"}})),
        pod("leans", affinity(json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}]))),
        pod("tolerates", both(on_node("databases"), tolerant)),
        pod("port-1", host_port(8080)),
        pod("port-2", host_port(8080)),
        pod("gated", json!({"schedulingGates": [{"name": "example.com/wait"}]})),
        pod("elsewhere", json!({"schedulerName": "another-scheduler"})),
        pod("last", asking(json!({"cpu": "100m", "memory": "64Mi"}))),
    ] {
        create(&pods, &pod).await;
    }
    for name in ["before", "plain", "last"] {
        let on = bound(&pods, name).await;
        assert!(on == "fast" || on == "far", "{name} is on {on}");
    }
    assert_eq!(bound(&pods, "selects").await, "fast");
    assert_eq!(bound(&pods, "leans").await, "far");
    assert_eq!(bound(&pods, "tolerates").await, "databases");
    let mut ports = [bound(&pods, "port-1").await, bound(&pods, "port-2").await];
    ports.sort();
    assert_eq!(ports, ["far", "fast"]);

    // The pods behind them in the queue are bound: these two were passed over.
    let gated = scheduled_condition(&pods, "gated").await.unwrap();
    assert_eq!((gated["status"].as_str(), gated["reason"].as_str()), (Some("False"), Some("SchedulingGated")));
    assert_eq!(scheduled_condition(&pods, "elsewhere").await, None);
    let open = Patch::Merge(json!({"spec": {"schedulingGates": null}}));
    pods.patch("gated", &PatchParams::default(), &open).await.unwrap();
    bound(&pods, "gated").await;

    let condition = scheduled_condition(&pods, "plain").await.unwrap();
    assert_eq!(condition["status"], "True");
    let on = bound(&pods, "plain").await;
    let told = event(&cluster, "default", "plain", "Scheduled").await;
    assert_eq!(told["note"], format!("Successfully assigned default/plain to {on}"));
    assert_eq!((&told["type"], &told["action"]), (&json!("Normal"), &json!("Binding")));
    assert_eq!(told["reportingController"], "default-scheduler");
    assert_eq!(told["regarding"]["uid"], json!(pods.get("plain").await.unwrap().metadata.uid.unwrap()));

    serves_health_to_all_and_the_rest_to_the_allowed(&cluster, &scheduler).await;

    let identity = holder(&cluster, STOCK_LEASE).await;
    assert!(identity.contains('_'), "{identity}");
    assert!(scheduler.terminate(LONG).await.unwrap().success());
    assert_eq!(holder(&cluster, STOCK_LEASE).await, "", "the lease was not released");
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    assert_bound_once(&cluster, "default", 9);
}

async fn serves_health_to_all_and_the_rest_to_the_allowed(cluster: &ControlPlane, scheduler: &Process) {
    let nobody = caller(cluster, scheduler, None).await;
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(get(&nobody, path).await.unwrap(), "ok", "{path}");
    }
    let verbose = get(&nobody, "/readyz?verbose").await.unwrap();
    assert!(verbose.contains("[+]informers ok\n") && verbose.contains("[+]leaderElection ok\n"), "{verbose}");

    let stranger = caller(cluster, scheduler, Some(&reader_token(cluster, "stranger", &[]).await)).await;
    let paths = ["/metrics", "/metrics/resources", "/configz", "/debug/engine"];
    let reader = caller(cluster, scheduler, Some(&reader_token(cluster, "reader", &paths).await)).await;
    let impostor = caller(cluster, scheduler, Some("not-a-token")).await;
    for path in paths {
        assert_eq!(code(&get(&nobody, path).await), 401, "{path}");
        assert_eq!(code(&get(&impostor, path).await), 401, "{path}");
        assert_eq!(code(&get(&stranger, path).await), 403, "{path}");
    }
    assert_eq!(code(&get(&reader, "/debug/shadow").await), 403, "a path of which nothing was granted");
    assert_eq!(code(&get(&nobody, "/nothing").await), 404);

    let metrics = eventually(LONG, "9 pods in the metrics", || async {
        let metrics = get(&reader, "/metrics").await.map_err(|error| error.to_string())?;
        let nine = "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 9\n";
        if metrics.contains(nine) { Ok(metrics) } else { Err(metrics) }
    })
    .await
    .unwrap();
    for name in [
        "scheduler_pending_pods{queue=\"active\"}",
        "scheduler_framework_extension_point_duration_seconds",
        "leader_election_master_status{name=\"kube-scheduler\"} 1",
        "scheduler_event_handling_duration_seconds_count{event=\"NodeAdd\"} 3\n",
        "scheduler_event_handling_duration_seconds_count{event=\"UnschedulablePodAdd\"}",
        "scheduler_inflight_events{event=\"PodPopped\"} 0\n",
        "kubernetes_build_info{",
        "process_resident_memory_bytes",
        "rest_client_requests_total",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    let resources = get(&reader, "/metrics/resources").await.unwrap();
    let request = resources.lines().find(|line| line.contains("_request{") && line.contains("\"last\"")).unwrap();
    assert!(request.ends_with("resource=\"cpu\",unit=\"cores\"} 0.1"), "{resources}");
    let configz: Value = serde_json::from_str(&get(&reader, "/configz").await.unwrap()).unwrap();
    assert_eq!(configz["componentconfig"]["mode"], "primary", "{configz}");
}

/// What cannot be placed on the nodes of `messages_are_the_stock_schedulers_letter_by_letter`.
fn hopeless() -> Vec<(&'static str, Value)> {
    let everything = json!({"tolerations": [{"operator": "Exists"}]});
    let expression = |key: &str, operator: &str, values: Value| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
    let field = |name: &str| json!({"key": "metadata.name", "operator": "In", "values": [name]});
    vec![
        ("cpu", asking(json!({"cpu": "100"}))),
        ("memory", asking(json!({"memory": "1Ti"}))),
        ("cpu-and-memory", asking(json!({"cpu": "100", "memory": "1Ti"}))),
        ("storage", asking(json!({"ephemeral-storage": "1Ti"}))),
        ("device", asking(json!({"example.com/gpu": "1"}))),
        ("all-resources", asking(json!({"cpu": "100", "memory": "1Ti", "example.com/gpu": "1"}))),
        ("free-cpu", both(asking(json!({"cpu": "1"})), on_node("busy"))),
        ("init", json!({"initContainers": [{"name": "i", "image": "i", "resources": {"requests": {"cpu": "100"}}}]})),
        ("pod-level", json!({"resources": {"requests": {"cpu": "100"}}})),
        ("too-many-pods", on_node("full")),
        ("port", both(host_port(8080), on_node("busy"))),
        ("taint", on_node("tainted")),
        ("cordon", on_node("cordoned")),
        ("tolerates-all", both(asking(json!({"cpu": "100"})), everything.clone())),
        (
            "tolerates-one",
            both(
                both(asking(json!({"cpu": "100"})), on_node("tainted")),
                json!({"tolerations": [
            {"key": "dedicated", "operator": "Equal", "value": "other", "effect": "NoSchedule"}]}),
            ),
        ),
        ("selector", json!({"nodeSelector": {"disk": "none"}})),
        ("affinity", affinity(expression("zone", "In", json!(["nowhere"])))),
        ("affinity-numbers", affinity(expression("generation", "Gt", json!(["9"])))),
        ("field", affinity(json!([{"matchFields": [field("absent")]}]))),
        ("field-and-cpu", both(affinity(json!([{"matchFields": [field("busy")]}])), asking(json!({"cpu": "100"})))),
        ("fields-conflict", affinity(json!([{"matchFields": [field("busy"), field("full")]}]))),
    ]
}

/// Ours and stock at the same time on the same objects, each with its copy of every pod.
#[tokio::test]
async fn messages_are_the_stock_schedulers_letter_by_letter() {
    let cluster = control_plane(RbacSet::Primary).await;
    let sides = [("ours", "headroom-scheduler"), ("stock", "default-scheduler")];
    for (namespace, _) in sides {
        cluster.create_namespace(namespace).await.unwrap();
    }
    let stock = cluster.start_stock_scheduler(&SchedulerOptions::default()).unwrap();
    let ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;
    cluster.wait_healthy(&stock, "/readyz", LONG).await.unwrap();

    // Without any node.
    let copies = |name: &str, spec: Value| {
        sides.map(|(namespace, scheduler)| {
            let api = pods(&cluster, namespace);
            let pod = pod(name, both(spec.clone(), json!({"schedulerName": scheduler})));
            async move { create(&api, &pod).await }
        })
    };
    for copy in copies("early", on_node("roomy")) {
        copy.await;
    }
    let [early, _] = same_condition(&cluster, "early").await;
    assert_eq!(early["message"], "no nodes available to schedule pods");

    // The pods that stand on the nodes come before the pods that are compared, and the node that early waits for comes
    // last: once both schedulers have bound it, both know all of this.
    let taint = |key: &str, effect: &str| json!({"key": key, "value": "x", "effect": effect});
    node(&cluster, "full", json!({"status": {"allocatable": {"pods": "1"}}})).await;
    node(&cluster, "tainted", json!({"spec": {"taints": [taint("dedicated", "NoSchedule")]}})).await;
    node(&cluster, "gone", json!({"spec": {"taints": [taint("example.com/maintenance", "NoExecute")]}})).await;
    node(&cluster, "cordoned", json!({"spec": {"unschedulable": true}})).await;
    node(&cluster, "busy", json!({"status": {"allocatable": {"cpu": "2", "memory": "2Gi"}}})).await;
    let standing = pods(&cluster, "default");
    create(&standing, &pod("fills", json!({"nodeName": "full"}))).await;
    create(&standing, &pod("takes-port", both(host_port(8080), json!({"nodeName": "busy"})))).await;
    create(&standing, &pod("takes-cpu", both(asking(json!({"cpu": "1500m"})), json!({"nodeName": "busy"})))).await;
    node(&cluster, "roomy", json!({"metadata": {"labels": {"generation": "3"}}})).await;
    for (namespace, _) in sides {
        assert_eq!(bound(&pods(&cluster, namespace), "early").await, "roomy");
    }
    same_event(&cluster, "early", "Scheduled").await;

    let cases = hopeless();
    for (name, spec) in &cases {
        for copy in copies(name, spec.clone()) {
            copy.await;
        }
    }
    let mut texts = Vec::new();
    for (name, _) in &cases {
        let [ours, _] = same_condition(&cluster, name).await;
        let text = ours["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("0/6 nodes are available: "), "{name}: {text}");
        println!("{name}: {text}");
        texts.push(text);
        same_event(&cluster, name, "FailedScheduling").await;
    }
    for said in
        ["Insufficient cpu", "Insufficient memory", "Too many pods", "unschedulable", "untolerated taint", "ports"]
    {
        assert!(texts.iter().any(|text| text.contains(said)), "no case made them say {said:?}");
    }
    // Each kept to its own pods.
    assert_bound_once(&cluster, "ours", 1);
    assert_bound_once(&cluster, "stock", 1);
    let strays = writes_of(&cluster, &Identity::HeadroomScheduler.user());
    assert!(strays.iter().all(|event| event.object_ref.as_ref().is_none_or(|of| of.namespace != "stock")));
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    ours.expect_running("the comparison").unwrap();
}

/// Waits for the condition of both copies of a pod and compares all of it but the time.
async fn same_condition(cluster: &ControlPlane, name: &str) -> [Value; 2] {
    let mut found = Vec::new();
    for namespace in ["ours", "stock"] {
        let api = pods(cluster, namespace);
        waiting(&api, name, "").await;
        let mut condition = scheduled_condition(&api, name).await.unwrap();
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
        found.push(condition);
    }
    assert_eq!(found[0], found[1], "{name}: ours, then the stock scheduler's");
    found.try_into().unwrap()
}

/// Waits for an event of both copies of a pod and compares all that is not bound to the copy.
async fn same_event(cluster: &ControlPlane, name: &str, reason: &str) {
    let mut found = Vec::new();
    for (namespace, scheduler) in [("ours", "headroom-scheduler"), ("stock", "default-scheduler")] {
        let mut event = event(cluster, namespace, name, reason).await;
        let fields = event.as_object_mut().unwrap();
        // Name and times differ by nature; a series begins when a pod is tried again, which is a matter of timing.
        fields.retain(|key, _| {
            !matches!(key.as_str(), "metadata" | "eventTime" | "series") && !key.starts_with("deprecated")
        });
        let regarding = fields["regarding"].as_object_mut().unwrap();
        for field in ["uid", "resourceVersion"] {
            regarding.remove(field);
        }
        let text =
            event.to_string().replace(scheduler, "SCHEDULER").replace(&format!("\"{namespace}\""), "\"NAMESPACE\"");
        found.push(text.replace(&format!("{namespace}/{name}"), "NAMESPACE/POD"));
    }
    assert_eq!(found[0], found[1], "{name}: ours, then the stock scheduler's");
}

#[tokio::test]
async fn what_waits_knows_why_and_is_placed_as_soon_as_it_fits() {
    let cluster = control_plane(RbacSet::Primary).await;
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let pods = pods(&cluster, "default");

    // A node comes.
    create(&pods, &pod("first", asking(json!({"cpu": "3"})))).await;
    waiting(&pods, "first", "no nodes available").await;
    node(&cluster, "n1", json!({})).await;
    assert_eq!(bound(&pods, "first").await, "n1");

    // A pod goes.
    create(&pods, &pod("second", asking(json!({"cpu": "2"})))).await;
    let why = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
               available: 1 No preemption victims found for incoming pod.";
    assert_eq!(waiting(&pods, "second", "cpu").await, why);
    delete(&pods, "first").await;
    assert_eq!(bound(&pods, "second").await, "n1");

    // A taint goes, a label comes, a node is uncordoned, a node grows.
    let taint = json!({"spec": {"taints": [{"key": "example.com/off", "effect": "NoSchedule"}]}});
    node(&cluster, "n2", taint).await;
    for (name, wish, why, change) in [
        ("untainted", on_node("n2"), "untolerated taint", json!({"spec": {"taints": null}})),
        (
            "labelled",
            json!({"nodeSelector": {"disk": "ssd"}}),
            "didn't match Pod's node affinity/selector",
            json!({"metadata": {"labels": {"disk": "ssd"}}}),
        ),
    ] {
        create(&pods, &pod(name, wish)).await;
        waiting(&pods, name, why).await;
        change_node(&cluster, "n2", change).await;
        assert_eq!(bound(&pods, name).await, "n2");
    }
    change_node(&cluster, "n2", json!({"spec": {"unschedulable": true}})).await;
    create(&pods, &pod("uncordoned", on_node("n2"))).await;
    // A scheduler may see the pod before the cordon: then it is bound, and there is nothing to wait for.
    eventually(LONG, "the pod to wait or to be bound", || async {
        let known = scheduled_condition(&pods, "uncordoned").await.unwrap_or_default();
        if known["status"] == "True" || known["reason"] == "Unschedulable" { Ok(()) } else { Err(known.to_string()) }
    })
    .await
    .unwrap();
    change_node(&cluster, "n2", json!({"spec": {"unschedulable": false}})).await;
    assert_eq!(bound(&pods, "uncordoned").await, "n2");
    create(&pods, &pod("grown", both(asking(json!({"cpu": "6"})), on_node("n2")))).await;
    waiting(&pods, "grown", "Insufficient cpu").await;
    let nodes: Api<Node> = Api::all(cluster.admin_client());
    let grow = Patch::Merge(json!({"status": {"allocatable": {"cpu": "8"}, "capacity": {"cpu": "8"}}}));
    nodes.patch_status("n2", &PatchParams::default(), &grow).await.unwrap();
    assert_eq!(bound(&pods, "grown").await, "n2");

    // What is not supported is told instead of being bound wrongly; what can be met is bound.
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}});
    let spread = |when: &str| {
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
               "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"a": "b"}}}]})
    };
    let device = json!({"resourceClaims": [{"name": "r", "resourceClaimName": "r"}]});
    create(&pods, &pod("device", device)).await;
    let why = waiting(&pods, "device", "dynamic resource allocation").await;
    assert!(why.contains("this scheduler does not support"), "{why}");
    assert_eq!(why.matches("support").count(), 1, "says it twice: {why}");
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    for (name, wish) in [("apart", apart), ("spread", spread("DoNotSchedule")), ("soft", spread("ScheduleAnyway"))] {
        create(&pods, &pod(name, wish)).await;
        bound(&pods, name).await;
    }
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    scheduler.expect_running("the scenario").unwrap();
}

#[tokio::test]
async fn shadow_compares_and_writes_nothing_but_its_lease_and_events() {
    const PODS: usize = 20;
    let cluster = control_plane(RbacSet::Shadow).await;
    for name in ["n1", "n2", "n3"] {
        node(&cluster, name, json!({})).await;
    }
    let shadow = start_scheduler(&cluster, OUR_LEASE, &["--mode=shadow"]).await;
    let pods = pods(&cluster, "default");
    create(&pods, &pod("hopeless", asking(json!({"cpu": "100"})))).await;
    let stock = cluster.start_stock_scheduler(&SchedulerOptions::default()).unwrap();
    waiting(&pods, "hopeless", "Insufficient cpu").await;
    create_many(pods.clone(), "web", PODS, asking(json!({"cpu": "100m", "memory": "64Mi"}))).await;
    wait_placed(&pods, PODS).await;

    let reader = caller(&cluster, &shadow, Some(&reader_token(&cluster, "reader", &["/debug/shadow"]).await)).await;
    let report = eventually(LONG, "a comparison for each pod", || async {
        let text = get(&reader, "/debug/shadow").await.map_err(|error| error.to_string())?;
        let report: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let total: u64 =
            ["agrees", "differs", "wouldWait", "notCompared"].iter().filter_map(|key| report[key].as_u64()).sum();
        if total == PODS as u64 { Ok(report) } else { Err(text) }
    })
    .await
    .unwrap();
    assert_eq!(report["wouldWait"], 0, "{report}");

    assert!(shadow.terminate(LONG).await.unwrap().success());
    assert!(stock.is_running());
    let user = Identity::HeadroomScheduler.user();
    let writes = writes_of(&cluster, &user);
    assert!(!writes.is_empty());
    for event in writes {
        let of = event.object_ref.clone().unwrap();
        let place = (of.resource.as_str(), of.namespace.as_str());
        let fine = match place {
            ("leases", "kube-system") => of.name == OUR_LEASE || event.verb == "create",
            // About its lease, hence in the lease's namespace: no pod of a user has an event of ours.
            ("events", "kube-system") | ("tokenreviews" | "subjectaccessreviews", "") => true,
            _ => false,
        };
        assert!(fine, "shadow wrote: {} {}", event.verb, event.request_uri);
    }
    assert_nothing_forbidden(&cluster, &user);
}
