//! What dashboards and alerts read: our scheduler's metrics beside stock's after the same pods, and our controllers' beside
//! those of the stock manager with the same loops.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{
    LONG, PATIENT, asking, bound, control_plane, create, merge, node, object, pod, pods, start_controllers, waiting,
};
use headroom_e2e::bench::metric_sum;
use headroom_e2e::control_plane::LOOPS;
use headroom_e2e::{ControlPlane, RbacSet, SchedulerOptions, eventually};
use kube::api::DeleteParams;
use serde_json::json;

/// What docs/parity.md says of metrics.
const PARITY: &str = include_str!("../../../docs/parity.md");

/// Begin of the names of the families that are the loops' own.
const OF_LOOPS: [&str; 8] = [
    "workqueue_",
    "running_managed_controllers",
    "node_collector_",
    "taint_eviction_controller_",
    "pod_gc_collector_",
    "replicaset_controller_",
    "endpoint_slice_controller_",
    "endpoint_slice_mirroring_controller_",
];

/// Labels whose values dashboards select by.
const SELECTED: [&str; 4] = ["extension_point", "result", "queue", "work"];

/// A family as it is seen by whoever reads it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
    buckets: BTreeSet<String>,
    values: BTreeSet<(String, String)>,
}

/// The families of a component whose names begin so, from the text format. Values of labels hold neither quotes nor commas
/// here.
fn families(text: &str, beginnings: &[&str]) -> BTreeMap<String, Family> {
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            all.entry(name.to_owned()).or_default().kind = kind.to_owned();
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.rsplit_once('}').unwrap().0),
            None => (line.split(' ').next().unwrap(), ""),
        };
        let stems = ["", "_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end).unwrap_or(name));
        let Some(family) = stems.into_iter().find_map(|stem| all.contains_key(stem).then(|| stem.to_owned())) else {
            continue;
        };
        let family = all.get_mut(&family).unwrap();
        for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
            let value = value.trim_matches('"').to_owned();
            if label == "le" {
                // 0.1 and 1e-1 are the same.
                family.buckets.insert(value.parse::<f64>().unwrap().to_string());
                continue;
            }
            family.labels.insert(label.to_owned());
            if SELECTED.contains(&label) {
                family.values.insert((label.to_owned(), value));
            }
        }
    }
    all.retain(|name, family| !family.kind.is_empty() && beginnings.iter().any(|begin| name.starts_with(begin)));
    all
}

/// Pods that a scheduler places, rejects and holds at the gate.
async fn story(cluster: &ControlPlane, run: &str) {
    let pods = pods(cluster, "default");
    let mut gated = asking(json!({"cpu": "10m"}));
    merge(&mut gated, json!({"schedulingGates": [{"name": "example.com/wait"}]}));
    let named = |name: &str| format!("{run}-{name}");
    create(&pods, &pod(&named("gated"), gated)).await;
    create(&pods, &pod(&named("hopeless"), asking(json!({"cpu": "100"})))).await;
    waiting(&pods, &named("hopeless"), "Insufficient cpu").await;
    create(&pods, &pod(&named("plain"), asking(json!({"cpu": "10m"})))).await;
    bound(&pods, &named("plain")).await;
}

/// What a reader of stock's metrics would miss in ours, and is not said to be missing.
fn differences(
    of_stock: &BTreeMap<String, Family>,
    of_ours: &BTreeMap<String, Family>,
    said_to_be_missing: fn(&str) -> bool,
) -> Vec<String> {
    let mut different = Vec::new();
    for (name, stock) in of_stock {
        let Some(ours) = of_ours.get(name) else {
            if !said_to_be_missing(name) {
                different.push(format!("{name} is missing, and docs/parity.md does not say so"));
            }
            continue;
        };
        if (&stock.kind, &stock.labels, &stock.buckets) != (&ours.kind, &ours.labels, &ours.buckets) {
            different.push(format!("{name}: stock {stock:?}, ours {ours:?}"));
        }
        let missing: Vec<_> = stock.values.difference(&ours.values).collect();
        if !missing.is_empty() {
            different.push(format!("{name}: no series with {missing:?}"));
        }
    }
    different
}

#[tokio::test]
async fn what_stock_tells_ours_tells_under_the_same_names_or_the_docs_say_that_it_is_missing() {
    let cluster = control_plane(RbacSet::Primary).await;
    node(&cluster, "n1", json!({})).await;
    let stock = cluster.start_stock_scheduler(&SchedulerOptions::default()).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    story(&cluster, "stock").await;
    let scheduled = "result=\"scheduled\"} 1";
    let told = async |text: Result<String, headroom_e2e::HarnessError>| {
        let text = text.map_err(|error| error.to_string())?;
        if text.contains(scheduled) { Ok(text) } else { Err("not yet".to_owned()) }
    };
    let look = async || told(cluster.get_from(&stock, "/metrics").await).await;
    let of_stock = families(&eventually(LONG, "stock's metrics", look).await.unwrap(), &["scheduler_"]);
    stock.terminate(LONG).await.unwrap();

    let scheduler = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    story(&cluster, "ours").await;
    // Gauges and some counters are refreshed once a second.
    let look = async || {
        let of_ours = families(&told(cluster.metrics_by_token(&scheduler).await).await?, &["scheduler_"]);
        let missing = |name: &str| PARITY.contains(name.trim_start_matches("scheduler_"));
        let different = differences(&of_stock, &of_ours, missing);
        if different.is_empty() { Ok(()) } else { Err(different.join("\n")) }
    };
    eventually(LONG, "our metrics to be like stock's", look).await.unwrap();
    assert!(of_stock.len() > 15, "{:?}", of_stock.keys());
}

/// A pod that nobody will ever finish: collected by the first look at pods.
async fn garbage(cluster: &ControlPlane, run: &str) {
    let (pods, name) = (pods(cluster, "default"), format!("{run}-garbage"));
    let mut held = serde_json::to_value(pod(&name, json!({}))).unwrap();
    merge(&mut held, json!({"metadata": {"finalizers": ["example.com/held"]}}));
    create(&pods, &object(held)).await;
    pods.delete(&name, &DeleteParams::default()).await.unwrap();
}

/// A controller with its pods, a Service that leads to them, and Endpoints that are mirrored.
async fn work(cluster: &ControlPlane, run: &str) {
    let pod = json!({"metadata": {"labels": {"app": run}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/app"}]}});
    let custom = format!("{run}-custom");
    let objects = [
        json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": run},
            "spec": {"replicas": 2, "selector": {"app": run}, "template": pod}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": run},
            "spec": {"selector": {"app": run}, "ports": [{"port": 80}], "trafficDistribution": "PreferSameZone"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": custom}, "spec": {"ports": [{"port": 80}]}}),
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": custom},
            "subsets": [{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"port": 80}]}]}),
    ];
    for object in objects {
        cluster.apply_yaml("work", &object.to_string()).await.unwrap();
    }
}

/// What of the loops' families can be compared. The values of their labels depend on what went wrong meanwhile.
fn of_loops(text: &str) -> BTreeMap<String, Family> {
    let mut all = families(text, &OF_LOOPS);
    all.values_mut().for_each(|family| family.values.clear());
    all
}

/// The queues that are counted.
fn queues(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("workqueue_depth{name=\"")?.split('"').next()).collect()
}

/// Whether docs/parity.md names a family, or a pattern with a star that it fits, where it says what is missing.
fn loops_lack(name: &str) -> bool {
    let fits = |pattern: &str| match pattern.split_once('*') {
        Some((begin, end)) => name.starts_with(begin) && name.ends_with(end),
        None => name == pattern,
    };
    let missing = PARITY.split("Missing: ").skip(1).filter_map(|rest| rest.split("Ours: ").next());
    missing.flat_map(|text| text.split('`').skip(1).step_by(2)).any(fits)
}

#[tokio::test]
async fn what_the_stock_loops_tell_ours_tell_under_the_same_names_or_the_docs_say_that_it_is_missing() {
    let cluster = crate::common::control_plane_with_crds().await;
    node(&cluster, "n1", json!({})).await;
    garbage(&cluster, "stock").await;
    let stock = cluster.start_stock_kcm(&LOOPS.join(","), &[]).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    work(&cluster, "stock").await;
    // Families with labels appear with their first series.
    let look = async || {
        let text = cluster.get_from(&stock, "/metrics").await.map_err(|error| error.to_string())?;
        let series = [
            "endpoint_slice_controller_changes{operation=\"create\"}",
            "endpoint_slice_mirroring_controller_changes{operation=\"create\"}",
            "endpoint_slice_controller_syncs{",
            "node_collector_zone_size{",
            "pod_gc_collector_force_delete_pods_total{",
        ];
        match series.iter().find(|series| !text.contains(*series)) {
            None => Ok(text),
            Some(missing) => Err(format!("no {missing}")),
        }
    };
    let text = eventually(LONG, "stock's metrics", look).await.unwrap();
    let (of_stock, stock_queues) = (of_loops(&text), queues(&text));
    stock.terminate(LONG).await.unwrap();

    garbage(&cluster, "ours").await;
    let loops = format!("--controllers={}", LOOPS.join(","));
    let ours = start_controllers(&cluster, &[&loops]).await;
    work(&cluster, "ours").await;
    let look = async || {
        let text = cluster.metrics_by_token(&ours).await.map_err(|error| error.to_string())?;
        let different = differences(&of_stock, &of_loops(&text), loops_lack);
        if different.is_empty() { Ok(text) } else { Err(different.join("\n")) }
    };
    let text = eventually(LONG, "our metrics to be like stock's", look).await.unwrap();
    let our_queues = queues(&text);
    // Node lifecycle and taint eviction have two each.
    assert!(
        our_queues.len() == LOOPS.len() + 2 && our_queues.is_subset(&stock_queues),
        "{our_queues:?}, {stock_queues:?}"
    );
    assert!(of_stock.len() > 20, "{:?}", of_stock.keys());
    // A name alone tells nothing: keys have waited and were worked on, and work ends.
    for queue in
        ["replicationmanager", "endpoint", "endpoint_slice", "endpoint_slice_mirroring", "node_lifecycle_controller"]
    {
        let ended = async || {
            let text = cluster.metrics_by_token(&ours).await.map_err(|error| error.to_string())?;
            let of = |family: &str| metric_sum(&text, family, &[("name", queue)]);
            let [waits, works] =
                ["queue", "work"].map(|of_what| of(&format!("workqueue_{of_what}_duration_seconds_count")));
            let unfinished = of("workqueue_unfinished_work_seconds");
            if waits > 0.0 && works > 0.0 && unfinished == 0.0 {
                Ok(())
            } else {
                Err(format!("{queue}: {waits} waits, {works} works, {unfinished} s unfinished"))
            }
        };
        eventually(LONG, "the work to have been timed", ended).await.unwrap();
    }
    ours.expect_running("the scenario").unwrap();
}
