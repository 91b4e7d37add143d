//! What people say of their pods, and what comes of it.

use std::collections::BTreeMap;

use headroom_core::{
    memory::overrides::{self, PROTECTED, SWAP_BEHAVIOR, SWAP_MEDIA},
    object::{Meta, Pod, Qos},
    quantity,
};

use super::Rule;
use crate::doctor::{
    finding::{Fix, Out, Severity, Subject},
    look::{Look, is_ordinary, settable, workload},
    state::PodFacts,
    text::{arg, counted, cut, mebibytes, some_of},
};

pub(super) static RULES: [Rule; 4] = [
    Rule {
        id: "pdb-blocks-every-move",
        severity: Severity::Warning,
        title: "a budget lets no pod go, ever",
        why: "As many pods must stay as there are. Every eviction is refused: a drain of the node does not end, and \
              nothing can make room by moving them. Deleting the pods goes past the budget.",
        reads: &["poddisruptionbudgets"],
        also: &[],
        check: budget_blocks,
    },
    Rule {
        id: "annotation-ignored",
        severity: Severity::Warning,
        title: "a headroom.dev/ value means nothing",
        why: "What cannot be read is ignored, without a word: the node or the pod is treated as if nothing had been \
              said.",
        reads: &["nodes"],
        also: &["pods", "namespaces"],
        check: annotation_ignored,
    },
    Rule {
        id: "besteffort-never-swaps",
        severity: Severity::Info,
        title: "pods without memory request",
        why: "Under LimitedSwap a container's share of the swap follows from its memory request. Without one it gets \
              none, stays in RAM whole, and is the first to be killed.",
        reads: &["nodes", "pods", "nodeheadrooms"],
        also: &[],
        check: best_effort,
    },
    Rule {
        id: "request-equals-limit",
        severity: Severity::Info,
        title: "memory request and limit are equal",
        why: "Such a container gets no swap. It happens by accident: where only a limit is given the API server takes \
              it for the request, too. Guaranteed pods, where it is meant, are not told.",
        reads: &["nodes", "pods", "nodeheadrooms"],
        also: &[],
        check: request_equals_limit,
    },
];

/// Annotations of pods.
const HINT: &str = "headroom.dev/memory-hint";
const SWAP: &str = "headroom.dev/swap";
const ALLOW_PROTECTED: &str = "headroom.dev/allow-protected-nodes";
/// Label of namespaces.
const ENFORCEMENT: &str = "headroom.dev/enforcement";
/// Pods from this priority on get no swap from the kubelet whatever they ask for.
const CRITICAL: i32 = 2_000_000_000;

fn budget_blocks(look: &Look<'_>, out: &mut Out<'_>) {
    for (key, budget) in &look.state.budgets {
        if budget.expected <= 0 || budget.desired < budget.expected || budget.allowed > 0 {
            continue;
        }
        let summary = format!("{} of {} pods must stay", budget.desired, budget.expected);
        let (namespace, name) = (arg(&key.namespace), arg(&key.name));
        let fix = Fix::default()
            .say("run one replica more than it asks for, or let one go at a time:")
            .run(format!("kubectl -n {namespace} patch pdb {name} --type merge -p \\"))
            .run("  '{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":1}}'");
        out.push(Subject::namespaced("PodDisruptionBudget", key), summary, fix);
    }
}

/// A name, its value, and what it might have been.
type Ignored<'a> = (&'static str, &'a str, &'static str);

fn ignored_on_node(meta: &Meta) -> Vec<Ignored<'_>> {
    let said = |key: &'static str| overrides::said(meta, key);
    let behavior = said(SWAP_BEHAVIOR).filter(|_| overrides::swap_behavior(meta).is_none());
    let media = said(SWAP_MEDIA).filter(|_| overrides::swap_media(meta).is_none());
    let protected = said(PROTECTED).filter(|_| overrides::protected(meta).is_none());
    [
        (SWAP_BEHAVIOR, behavior, "LimitedSwap, NoSwap, Unlimited or Unknown"),
        (SWAP_MEDIA, media, "ssd, hdd or zram"),
        (PROTECTED, protected, "true or false"),
    ]
    .into_iter()
    .filter_map(|(key, value, allowed)| Some((key, value?, allowed)))
    .collect()
}

fn ignored_on_pod(pod: &Pod) -> Vec<Ignored<'_>> {
    let said = |key: &'static str| pod.meta.annotations.get(key).map(|value| &**value);
    let hint = said(HINT).filter(|text| quantity::value(text).ok().is_none_or(|bytes| bytes < 0));
    let swap = said(SWAP).filter(|value| *value != "never");
    let allow = said(ALLOW_PROTECTED).filter(|value| !matches!(*value, "true" | "false"));
    [(HINT, hint, "a size like 300Mi"), (SWAP, swap, "never"), (ALLOW_PROTECTED, allow, "true")]
        .into_iter()
        .filter_map(|(key, value, allowed)| Some((key, value?, allowed)))
        .collect()
}

fn annotation_ignored(look: &Look<'_>, out: &mut Out<'_>) {
    let tell = |(key, value, allowed): Ignored<'_>| format!("{key}: \"{}\" is none of: {allowed}", cut(value));
    for node in look.nodes() {
        for ignored in ignored_on_node(&node.row.meta) {
            let name = arg(node.name());
            let fix = Fix::default()
                .say("take it away, as an annotation or as a label, or give it one of these values:")
                .run(format!("kubectl annotate node {name} {}-", ignored.0))
                .run(format!("kubectl label node {name} {}-", ignored.0));
            out.push(Subject::node(node.name()), tell(ignored), fix);
        }
    }
    for namespace in look.state.namespaces.values() {
        let name = &namespace.meta.key.name;
        let Some(value) = namespace.meta.labels.get(ENFORCEMENT) else { continue };
        if matches!(value.to_ascii_lowercase().as_str(), "filter" | "score") {
            continue;
        }
        let fix = Fix::default().run(format!("kubectl label namespace {} {ENFORCEMENT}-", arg(name)));
        out.push(Subject::new("Namespace", "", name), tell((ENFORCEMENT, value.as_str(), "filter or score")), fix);
    }
    let mut workloads: BTreeMap<(Subject, &str), String> = BTreeMap::new();
    for pod in look.pods().filter(|pod| pod.row.is_active()) {
        for ignored in ignored_on_pod(&pod.row) {
            workloads.entry((workload(&pod.row), ignored.0)).or_insert_with(|| tell(ignored));
        }
    }
    for ((subject, _), summary) in workloads {
        let fix = Fix::default().say("where the pod is made: spec.template.metadata.annotations");
        out.push(subject, summary, fix);
    }
}

/// Ordinary pods on nodes that give pods swap.
fn with_swap<'a>(look: &Look<'a>) -> Vec<&'a PodFacts> {
    let nodes = look.nodes().filter(|node| look.gives_swap(node));
    let pods = nodes.flat_map(|node| look.pods_on(node.name()));
    pods.filter(|pod| is_ordinary(&pod.row) && pod.row.spec.priority < CRITICAL).collect()
}

fn best_effort(look: &Look<'_>, out: &mut Out<'_>) {
    let mut namespaces: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pod in with_swap(look) {
        if pod.row.qos() == Qos::BestEffort {
            let key = &pod.row.meta.key;
            namespaces.entry(&key.namespace).or_default().push(key.name.to_string());
        }
    }
    for (namespace, pods) in namespaces {
        let summary = format!("{} without memory request: {}", counted(pods.len(), "pod"), some_of(&pods));
        let fix = Fix::default()
            .say("a default for containers that say nothing; pods get it when they are made anew:")
            .run("echo '{\"apiVersion\":\"v1\",\"kind\":\"LimitRange\",\"metadata\":{\"name\":\"memory\"},'\\")
            .run("'\"spec\":{\"limits\":[{\"type\":\"Container\",\"defaultRequest\":{\"memory\":\"32Mi\"}}]}}' |")
            .run(format!("kubectl apply -n {} -f -", arg(namespace)));
        out.push(Subject::new("Namespace", "", namespace), summary, fix);
    }
}

fn request_equals_limit(look: &Look<'_>, out: &mut Out<'_>) {
    let mut workloads: BTreeMap<Subject, (&str, i64)> = BTreeMap::new();
    for pod in with_swap(look) {
        let row = &pod.row;
        if row.qos() != Qos::Burstable || row.meta.annotations.get(SWAP).is_some_and(|value| *value == "never") {
            continue;
        }
        let containers = row.spec.containers.iter().filter(|c| c.requests.memory == c.limits.memory);
        let equal = containers.filter_map(|c| Some((&*c.name, c.limits.memory.filter(|bytes| *bytes > 0)?)));
        if let Some(first) = equal.min() {
            workloads.entry(workload(row)).or_insert(first);
        }
    }
    for (subject, (container, limit)) in workloads {
        let summary = format!("container {}: request and limit are both {}", cut(container), mebibytes(limit));
        let fix = match settable(&subject) {
            Some(target) => Fix::default()
                .say("a request below the limit, what it needs when it is idle, lets the rest be swapped:")
                .run(format!("kubectl -n {} set resources {target} \\", arg(&subject.namespace)))
                .run(format!("  -c {} --requests=memory={}", arg(container), mebibytes(limit / 2))),
            None => Fix::default().say("give the container a request below its limit where the pod is made"),
        };
        out.push(subject, summary, fix);
    }
}
