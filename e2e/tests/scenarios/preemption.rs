//! Preemption on a real control plane, by ours and by the stock scheduler, each on a cluster of its own: the same victims,
//! conditions, nominations and events.

use crate::common::{
    LONG, STOCK_LEASE, asking, assert_nothing_forbidden, both, bound, control_plane, create, delete, event, node, pod,
    pods, scheduled_condition, start_scheduler, waiting, writes_of,
};
use headroom_e2e::{ControlPlane, Identity, RbacSet, SchedulerOptions, eventually};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

async fn priority_class(cluster: &ControlPlane, name: &str, value: i32, policy: &str) {
    let classes: Api<PriorityClass> = Api::all(cluster.admin_client());
    let class = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": policy});
    classes.create(&PostParams::default(), &crate::common::object(class)).await.unwrap();
}

/// A pod that takes most of a node, with a grace period that ends when the test says so.
fn large(name: &str, class: &str, over: Value) -> Pod {
    let base = json!({"priorityClassName": class, "terminationGracePeriodSeconds": 300});
    pod(name, both(both(asking(json!({"cpu": "1500m"})), base), over))
}

/// Waits until a field of a pod has this value.
async fn shows(pods: &Api<Pod>, name: &str, pointer: &str, wanted: &Value) {
    eventually(LONG, &format!("{pointer} of {name} to be {wanted}"), || async {
        let pod = serde_json::to_value(pods.get(name).await.map_err(|e| e.to_string())?).unwrap();
        let found = pod.pointer(pointer).cloned().unwrap_or(Value::Null);
        if found == *wanted { Ok(()) } else { Err(pod["status"].to_string()) }
    })
    .await
    .unwrap();
}

/// The condition of a type, without its time.
async fn condition(pods: &Api<Pod>, name: &str, kind: &str) -> Value {
    eventually(LONG, &format!("condition {kind} of {name}"), || async {
        let pod = serde_json::to_value(pods.get(name).await.map_err(|e| e.to_string())?).unwrap();
        let all = pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut found = all.into_iter().find(|c| c["type"] == kind).ok_or_else(|| pod["status"].to_string())?;
        found.as_object_mut().unwrap().remove("lastTransitionTime");
        Ok::<_, String>(found)
    })
    .await
    .unwrap()
}

/// An event without what is bound to the cluster.
async fn told(cluster: &ControlPlane, name: &str, reason: &str, uids: &[(String, &str)]) -> Value {
    let mut event = event(cluster, "default", name, reason).await;
    event.as_object_mut().unwrap().retain(|key, _| {
        !matches!(key.as_str(), "metadata" | "eventTime" | "series" | "reportingInstance")
            && !key.starts_with("deprecated")
    });
    // Stock 1.36 leaves it out: the object that it gives to its recorder is of a type that this one does not know.
    // Ours says who preempts, as stock did before.
    if let Some(related) = event.as_object_mut().and_then(|fields| fields.remove("related")) {
        assert_eq!(related["uid"], uids[0].0, "{name}: {related}");
    }
    if let Some(fields) = event["regarding"].as_object_mut() {
        fields.remove("resourceVersion");
    }
    let text = uids.iter().fold(event.to_string(), |text, (uid, name)| text.replace(uid, name));
    serde_json::from_str(&text).unwrap()
}

/// Two nodes, each with a pod of low priority: the less important one is protected by a budget. Everything that the
/// scheduler writes.
async fn scenario(cluster: &ControlPlane) -> Vec<(String, Value)> {
    priority_class(cluster, "high", 1000, "PreemptLowerPriority").await;
    priority_class(cluster, "polite", 1000, "Never").await;
    priority_class(cluster, "low", 100, "PreemptLowerPriority").await;
    priority_class(cluster, "lowest", 10, "PreemptLowerPriority").await;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(cluster.admin_client(), "default");
    let budget = json!({"metadata": {"name": "guard"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}});
    budgets.create(&PostParams::default(), &crate::common::object(budget)).await.unwrap();
    let status = json!({"status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1,
        "expectedPods": 1, "observedGeneration": 1}});
    budgets.patch_status("guard", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    let pods = pods(cluster, "default");
    for (name, on) in [("guarded", "a"), ("plain", "b")] {
        node(cluster, on, json!({"status": {"allocatable": {"cpu": "2"}}})).await;
        let class = if name == "guarded" { "lowest" } else { "low" };
        let mut victim = large(name, class, json!({"nodeName": on}));
        victim.metadata.labels = Some([("app".to_owned(), name.to_owned())].into());
        create(&pods, &victim).await;
    }
    // A pod that only needs to be bound: once it is, the scheduler knows all of the above.
    create(&pods, &pod("small", json!({}))).await;
    bound(&pods, "small").await;

    let mut seen = Vec::new();
    // Who cannot be helped.
    for (name, class, over) in [
        ("huge", "high", asking(json!({"cpu": "100"}))),
        ("polite", "polite", json!({})),
        ("equal", "lowest", json!({})),
        ("nowhere", "high", json!({"nodeSelector": {"disk": "none"}})),
    ] {
        create(&pods, &large(name, class, over)).await;
        waiting(&pods, name, "preemption: ").await;
        seen.push((format!("{name} waits"), scheduled_condition(&pods, name).await.unwrap()["message"].clone()));
        delete(&pods, name).await;
    }

    create(&pods, &large("urgent", "high", json!({}))).await;
    shows(&pods, "urgent", "/status/nominatedNodeName", &json!("b")).await;
    let uid = async |name: &str| pods.get(name).await.unwrap().metadata.uid.unwrap();
    let uids = [(uid("urgent").await, "UID-URGENT"), (uid("plain").await, "UID-PLAIN")];
    seen.push(("urgent waits".to_owned(), condition(&pods, "urgent", "PodScheduled").await));
    seen.push(("urgent is told".to_owned(), told(cluster, "urgent", "FailedScheduling", &uids).await));
    seen.push(("the victim's condition".to_owned(), condition(&pods, "plain", "DisruptionTarget").await));
    seen.push(("the victim is told".to_owned(), told(cluster, "plain", "Preempted", &uids).await));
    shows(&pods, "plain", "/metadata/deletionGracePeriodSeconds", &json!(300)).await;

    // Whoever is less important finds the place taken, although the victim's end has made room.
    create(&pods, &large("late", "lowest", json!({}))).await;
    waiting(&pods, "late", "preemption: ").await;
    delete(&pods, "plain").await;
    assert_eq!(bound(&pods, "urgent").await, "b");
    shows(&pods, "urgent", "/status/nominatedNodeName", &Value::Null).await;
    let guarded = pods.get("guarded").await.unwrap();
    assert!(guarded.metadata.deletion_timestamp.is_none(), "the budget was not respected");
    seen
}

#[tokio::test]
async fn a_pod_of_high_priority_takes_the_place_that_stock_would_give_it() {
    let ours = async {
        let cluster = control_plane(RbacSet::Primary).await;
        let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
        let seen = scenario(&cluster).await;
        scheduler.expect_running("the scenario").unwrap();
        let user = Identity::HeadroomScheduler.user();
        assert_nothing_forbidden(&cluster, &user);
        let deleted: Vec<_> = writes_of(&cluster, &user).into_iter().filter(|e| e.verb == "delete").collect();
        assert_eq!(deleted.len(), 1, "one victim, one deletion");
        seen
    };
    let stock = async {
        let cluster = control_plane(RbacSet::Primary).await;
        let scheduler = cluster.start_stock_scheduler(&SchedulerOptions::default()).unwrap();
        cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
        scenario(&cluster).await
    };
    let (ours, stock) = (ours.await, stock.await);
    for ((what, mine), (_, theirs)) in ours.iter().zip(&stock) {
        assert_eq!(mine, theirs, "{what}: ours, then the stock scheduler's");
    }
    assert_eq!(ours.len(), stock.len());
}
