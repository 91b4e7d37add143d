//! What the chart's dashboard and alerts ask Prometheus for is there: every metric and every label of every query.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};

use headroom_docs::root;
use serde_json::Value;

/// Labels that Prometheus or the ServiceMonitor puts on every series.
const OF_THE_TARGET: [&str; 5] = ["job", "namespace", "pod", "instance", "le"];
/// Words of the query language that stand where a metric could.
const WORDS: [&str; 10] =
    ["sum", "max", "by", "rate", "increase", "histogram_quantile", "absent", "vector", "or", "label_values"];
/// What Prometheus itself writes about every target.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Upstream's names among those that are asked for, by the component of Kubernetes 1.36 that has them: queries with these
/// work for stock components too. kube-scheduler's are compared with a real one by the scenario `metrics` as well.
const UPSTREAM: [(&str, &str); 17] = [
    ("process_cpu_seconds_total", "all components"),
    ("process_resident_memory_bytes", "all components"),
    ("rest_client_requests_total", "all components"),
    ("rest_client_request_duration_seconds", "all components"),
    ("leader_election_master_status", "kube-scheduler, kube-controller-manager"),
    ("scheduler_schedule_attempts_total", "kube-scheduler"),
    ("scheduler_pending_pods", "kube-scheduler"),
    ("scheduler_unschedulable_pods", "kube-scheduler"),
    ("scheduler_preemption_attempts_total", "kube-scheduler"),
    ("scheduler_pod_scheduling_sli_duration_seconds", "kube-scheduler"),
    ("workqueue_adds_total", "kube-controller-manager"),
    ("workqueue_depth", "kube-controller-manager"),
    ("running_managed_controllers", "kube-controller-manager"),
    ("endpoint_slice_controller_changes", "kube-controller-manager: endpointslice-controller"),
    ("node_collector_zone_size", "kube-controller-manager: node-lifecycle-controller"),
    ("node_collector_unhealthy_nodes_in_zone", "kube-controller-manager: node-lifecycle-controller"),
    ("taint_eviction_controller_pod_deletions_total", "kube-controller-manager: taint-eviction-controller"),
];

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    metrics: BTreeSet<String>,
    /// `__name__=~"…"`.
    patterns: BTreeSet<String>,
    /// Labels that are selected or grouped by.
    labels: BTreeSet<String>,
}

/// The words of a text that could be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    text.split(move |c: char| !part(c)).filter(name)
}

/// Takes out what stands between two signs, and returns the rest and what was taken out.
fn without(text: &str, open: char, close: char) -> (String, Vec<String>) {
    let (mut rest, mut parts) = (String::new(), Vec::new());
    let mut left = text;
    while let Some((before, after)) = left.split_once(open) {
        let (inside, behind) = after.split_once(close).unwrap_or((after, ""));
        rest.push_str(before);
        rest.push(' ');
        parts.push(inside.to_owned());
        left = behind;
    }
    rest.push_str(left);
    (rest, parts)
}

fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    let (query, selectors) = without(query, '{', '}');
    for selector in &selectors {
        if let Some(pattern) = selector.split("__name__=~\"").nth(1).and_then(|rest| rest.split('"').next()) {
            asked.patterns.insert(pattern.to_owned());
        }
        let (names, _) = without(selector, '"', '"');
        asked.labels.extend(words(&names).filter(|name| *name != "__name__").map(str::to_owned));
    }
    let (query, _) = without(&query, '[', ']');
    let mut rest = String::new();
    for (i, part) in query.split(" by ").enumerate() {
        let grouped = part.trim_start().strip_prefix('(').filter(|_| i > 0).and_then(|part| part.split_once(')'));
        let (labels, behind) = grouped.unwrap_or(("", part));
        asked.labels.extend(words(labels).filter(|name| *name != "__name__").map(str::to_owned));
        rest.push_str(behind);
        rest.push(' ');
    }
    // The second argument is a label.
    if let Some(arguments) = rest.trim().strip_prefix("label_values(") {
        let (metric, label) = arguments.split_once(',').unwrap_or((arguments, ""));
        asked.labels.extend(words(label).map(str::to_owned));
        rest = metric.to_owned();
    }
    let metrics = words(&rest).filter(|word| !WORDS.contains(word) && !OF_PROMETHEUS.contains(word));
    asked.metrics.extend(metrics.map(str::to_owned));
    asked
}

/// Every `expr` and `query` in the dashboard.
fn queries_of_the_dashboard(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(query) if name == "expr" || (name == "query" && query.contains('(')) => {
                        found.push(query.clone());
                    }
                    _ => queries_of_the_dashboard(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries_of_the_dashboard(item, found)),
        _ => {}
    }
}

/// Every `expr` in the template of the alerts, its actions (`{{ … }}`) taken out, and the metrics that these put in.
fn queries_of_the_alerts(template: &str) -> (Vec<String>, BTreeSet<String>) {
    let mut queries: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in template.lines() {
        let expr = line.trim_start().strip_prefix("expr:");
        // A block of lines ends with the next field.
        goes_on &=
            expr.is_none() && !line.trim_start().starts_with("for:") && !line.trim_start().starts_with("labels:");
        match (expr, goes_on) {
            (Some(expr), _) => {
                queries.push(plain(expr.trim().trim_start_matches("|-")));
                goes_on = expr.trim() == "|-";
            }
            (None, true) => queries.last_mut().unwrap().push_str(&plain(line)),
            (None, false) => {}
        }
    }
    let metrics = template.split('"').skip(1).step_by(2).filter(|word| word.ends_with("_yielded"));
    (queries, metrics.map(str::to_owned).collect())
}

/// A line of a template without its actions.
fn plain(line: &str) -> String {
    let mut parts = line.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once("}}").map_or("", |(_, behind)| behind));
    }
    text
}

/// Labels by metric, as both processes have them.
fn families() -> BTreeMap<String, BTreeSet<String>> {
    let all = headroom_scheduler::metric_families().unwrap().into_iter();
    let all = all.chain(headroom_controllers::app::metric_families().unwrap());
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for family in all {
        let ends: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        for end in ends {
            families.entry(format!("{}{end}", family.name)).or_default().extend(family.labels.iter().cloned());
        }
    }
    families
}

/// What is wrong with the queries of a file.
fn wrong(file: &str, queries: &[String]) -> Vec<String> {
    let families = families();
    let mut wrong = Vec::new();
    for query in queries {
        let asked = asked(query);
        if asked.metrics.is_empty() && asked.patterns.is_empty() && !words(query).any(|word| word == "up") {
            // The chart puts the metric in: these are looked at by themselves.
            assert!(query.contains("max({"), "{file}: no metric is seen in {query}");
            continue;
        }
        for metric in &asked.metrics {
            if !families.contains_key(metric) {
                wrong.push(format!("{file}: neither process has {metric}: {query}"));
            }
        }
        for pattern in &asked.patterns {
            let (start, end) = pattern.split_once(".*").unwrap_or((pattern.as_str(), ""));
            if !families.keys().any(|name| name.starts_with(start) && name.ends_with(end)) {
                wrong.push(format!("{file}: no metric matches {pattern}: {query}"));
            }
        }
        let named = || asked.metrics.iter().filter_map(|metric| families.get(metric));
        let has = |label: &&String| OF_THE_TARGET.contains(&label.as_str()) || named().all(|has| has.contains(*label));
        for label in asked.labels.iter().filter(|label| !has(label)) {
            wrong.push(format!("{file}: it has no label {label}: {query}"));
        }
    }
    wrong
}

fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("charts/headroom/files/dashboard.json")).unwrap();
    let mut queries = Vec::new();
    queries_of_the_dashboard(&serde_json::from_str(&text).unwrap(), &mut queries);
    queries
}

fn alerts() -> (Vec<String>, BTreeSet<String>) {
    let path = root().join("charts/headroom/templates/prometheusrule.yaml");
    queries_of_the_alerts(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_and_labels_that_there_are() {
    let (alerts, put_in) = alerts();
    let dashboard = dashboard();
    assert!(dashboard.len() > 20 && alerts.len() > 10, "{} and {} queries", dashboard.len(), alerts.len());
    let yields: BTreeSet<String> = families().into_keys().filter(|name| name.ends_with("_yielded")).collect();
    assert_eq!(put_in, yields, "prometheusrule.yaml: an alert for each loop that yields, and for no other");
    let wrong = [wrong("dashboard.json", &dashboard), wrong("prometheusrule.yaml", &alerts)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is asked for is either ours by its name, or stands above with the stock component that has it.
#[test]
fn names_without_headroom_are_upstreams() {
    let known: BTreeMap<&str, &str> = UPSTREAM.into_iter().collect();
    let queries = [dashboard(), alerts().0].concat();
    let asked: BTreeSet<String> = queries.iter().flat_map(|query| asked(query).metrics).collect();
    let family = |metric: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.into_iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric).to_owned()
    };
    let upstream: BTreeSet<String> =
        asked.iter().filter(|metric| !metric.starts_with("headroom_")).map(|metric| family(metric)).collect();
    let unknown: Vec<&String> = upstream.iter().filter(|name| !known.contains_key(name.as_str())).collect();
    assert!(unknown.is_empty(), "which stock component has {unknown:?}? It belongs into UPSTREAM of this test");
    let unused: Vec<&&str> = known.keys().filter(|name| !upstream.contains(**name)).collect();
    assert!(unused.is_empty(), "nothing asks for {unused:?}");
}

#[test]
fn queries_are_taken_apart() {
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("rate(a_total{job=~\"$x|$y\"}[$__rate_interval])", &["a_total"], &["job"]),
        (
            "histogram_quantile(0.99, sum by (le, verb) (rate(b_bucket{x!=\"1\"}[5m])))",
            &["b_bucket"],
            &["le", "verb", "x"],
        ),
        ("(sum(c{ }) or vector(0)) < 1", &["c"], &[]),
        ("max by (plugin) (d) > 0", &["d"], &["plugin"]),
        ("label_values(e{manager=\"m\"}, job)", &["e"], &["job", "manager"]),
        ("absent(up{ } == 1)", &[], &[]),
    ];
    for (query, metrics, labels) in cases {
        let expected = Asked { metrics: set(metrics), patterns: BTreeSet::new(), labels: set(labels) };
        assert_eq!(asked(query), expected, "{query}");
    }
    let pattern = asked("max by (__name__) ({__name__=~\"f_.*_g\",job=\"j\"})");
    assert_eq!((pattern.patterns, pattern.labels), (set(&["f_.*_g"]), set(&["job"])));
    let template = "  expr: |-\n    sum(a{ {{- $x -}} , r=\"1\"})\n      > b\n  for: 5m\n  expr: max({{ $m }}{ {{- $x -}} }) > 0\n";
    let (queries, _) = queries_of_the_alerts(template);
    assert_eq!(queries, ["    sum(a{  , r=\"1\"})      > b", "max({  }) > 0"]);
}
