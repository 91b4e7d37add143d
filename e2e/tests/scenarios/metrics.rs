//! What dashboards and alerts read: our scheduler's metrics beside stock's after the same pods.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{LONG, PATIENT, asking, bound, control_plane, create, merge, node, pod, pods, waiting};
use headroom_e2e::{ControlPlane, RbacSet, SchedulerOptions, eventually};
use serde_json::json;

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

/// The families of a component, from the text format. Values of labels hold neither quotes nor commas here.
fn families(text: &str) -> BTreeMap<String, Family> {
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
    all.retain(|_, family| !family.kind.is_empty());
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

/// What a reader of stock's metrics would miss in ours, and docs/parity.md does not say.
fn differences(of_stock: &BTreeMap<String, Family>, of_ours: &BTreeMap<String, Family>) -> Vec<String> {
    let docs = include_str!("../../../docs/parity.md");
    let mut different = Vec::new();
    for (name, stock) in of_stock.iter().filter(|(name, _)| name.starts_with("scheduler_")) {
        let Some(ours) = of_ours.get(name) else {
            if !docs.contains(name.trim_start_matches("scheduler_")) {
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
    let of_stock = families(&eventually(LONG, "stock's metrics", look).await.unwrap());
    stock.terminate(LONG).await.unwrap();

    let scheduler = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    story(&cluster, "ours").await;
    // Gauges and some counters are refreshed once a second.
    let look = async || {
        let of_ours = families(&told(cluster.metrics_by_token(&scheduler).await).await?);
        let different = differences(&of_stock, &of_ours);
        if different.is_empty() { Ok(()) } else { Err(different.join("\n")) }
    };
    eventually(LONG, "our metrics to be like stock's", look).await.unwrap();
    assert!(of_stock.keys().filter(|name| name.starts_with("scheduler_")).count() > 15, "{:?}", of_stock.keys());
}
