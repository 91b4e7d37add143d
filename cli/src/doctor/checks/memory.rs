//! Memory that is short, and requests that do not say what is used.

use std::collections::BTreeMap;

use headroom_api::{NodeHeadroomStatus, State};
use headroom_core::{Timestamp, quantity::human_bytes, requests::effective_requests};
use headroom_runtime::wire::time::parse_rfc3339;

use super::Rule;
use crate::{
    doctor::{
        finding::{Fix, Out, Severity, Subject},
        look::{Look, condition, settable, workload},
        state::{NodeFacts, PodFacts},
        text::{arg, counted, cut, lasting, mebibytes},
    },
    top::table::{age, of},
};

pub(super) static RULES: [Rule; 4] = [
    Rule {
        id: "node-under-pressure",
        severity: Severity::Warning,
        title: "a node is short of memory now",
        why: "Nothing is placed on a node that is Hot or in Thrash, and what runs there is slow. Swap that is nearly \
              full and headroom below zero come before the kernel kills.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: under_pressure,
    },
    Rule {
        id: "oom-killed",
        severity: Severity::Warning,
        title: "containers were killed for memory",
        why: "A kill leaves no event on the pod, only a restart. It came at the container's own limit, or it hit the \
              container because the node had nothing left.",
        reads: &["pods"],
        also: &[],
        check: oom_killed,
    },
    Rule {
        id: "requests-far-above-use",
        severity: Severity::Info,
        title: "a node is full by requests alone",
        why: "80 % or more of the node are requested and its pods use half of that or less. Requests are a promise \
              that every scheduler keeps: pods wait although there is RAM.",
        reads: &["nodes", "pods", "nodeheadrooms"],
        also: &[],
        check: above_use,
    },
    Rule {
        id: "requests-far-below-use",
        severity: Severity::Info,
        title: "pods use twice what they request",
        why: "70 % of the RAM are in use and pods use twice their requests or more. Other schedulers and autoscalers \
              see room that is not there, and when memory ends the kubelet evicts first what is furthest above its \
              request.",
        reads: &["nodes", "pods", "nodeheadrooms"],
        also: &[],
        check: below_use,
    },
];

/// Conditions of a NodeHeadroom that are told when they are true.
const ALERTS: [&str; 4] = ["SwapThrashing", "MemoryHeadroomLow", "SwapNearlyFull", "OOMRisk"];
/// How long a kill is told, seconds.
const DAY: u64 = 86_400;

fn under_pressure(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.sample(node) else { continue };
        let mut words = Vec::new();
        if status.state >= State::Hot {
            let since = status.state_since.as_deref().and_then(parse_rfc3339);
            words.push(format!("{:?}{}", status.state, lasting(since, look.at)));
        }
        let alerts = ALERTS.into_iter().filter(|kind| condition(status, kind).is_some_and(|c| c.status == "True"));
        words.extend(alerts.map(str::to_owned));
        if words.is_empty() {
            continue;
        }
        let summary = format!(
            "{}; RAM {}, swap {}",
            words.join(", "),
            of(status.memory.working_set_bytes, status.memory.capacity_bytes),
            of(status.swap.used_bytes, status.swap.capacity_bytes),
        );
        let name = arg(node.name());
        let fix = Fix::default()
            .say("who takes it? scale that down, give it a limit, or move it:")
            .run(format!("kubectl headroom top pods -A --node {name} --sort-by total"))
            .say("let nothing new come, and see what is said of it:")
            .run(format!("kubectl cordon {name}"))
            .run(format!("kubectl describe nodeheadroom {name}"));
        out.push(Subject::node(node.name()), summary, fix);
    }
}

/// The last kill of a workload's container.
struct Killed<'a> {
    at: Timestamp,
    pod: &'a PodFacts,
    container: &'a str,
    pods: usize,
}

fn oom_killed(look: &Look<'_>, out: &mut Out<'_>) {
    let mut all: BTreeMap<Subject, Killed<'_>> = BTreeMap::new();
    for pod in look.pods() {
        let kills = pod.row.status.containers().iter().filter_map(|c| Some((c.oom_killed_at?, &*c.name)));
        let Some((at, container)) = kills.max().filter(|(at, _)| at.0 > 0 && look.age(*at) < DAY) else { continue };
        let entry = all.entry(workload(&pod.row)).or_insert(Killed { at, pod, container, pods: 0 });
        entry.pods += 1;
        if at > entry.at {
            (entry.at, entry.pod, entry.container) = (at, pod, container);
        }
    }
    for (subject, killed) in all {
        let spec = &killed.pod.row.spec;
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter());
        let limit = containers.find(|c| c.name == *killed.container).and_then(|c| c.limits.memory);
        let at_limit =
            limit.map_or_else(|| "it has no limit".to_owned(), |limit| format!("limit {}", human_bytes(limit)));
        let summary = format!(
            "container {} was killed {} ago ({at_limit}){}",
            cut(killed.container),
            age(look.age(killed.at)),
            if killed.pods > 1 { format!(", {} were hit", counted(killed.pods, "pod")) } else { String::new() },
        );
        out.push(subject.clone(), summary, after_kill(&subject, &killed, limit));
    }
}

fn after_kill(subject: &Subject, killed: &Killed<'_>, limit: Option<i64>) -> Fix {
    let key = &killed.pod.row.meta.key;
    let (namespace, container) = (arg(&key.namespace), arg(killed.container));
    let fix = Fix::default().run(format!("kubectl -n {namespace} describe pod {}", arg(&key.name)));
    match (limit, settable(subject)) {
        (Some(limit), Some(target)) => fix
            .say("at its limit? give it more, for example twice as much:")
            .run(format!("kubectl -n {namespace} set resources {target} \\"))
            .run(format!("  -c {container} --limits=memory={}", mebibytes(limit.saturating_mul(2)))),
        (Some(_), None) => fix.say("at its limit? raise resources.limits.memory where the pod is made"),
        (None, _) => {
            let node = killed.pod.row.node_name.as_deref().map_or("NAME", arg);
            fix.say("the node had nothing left: who takes it?")
                .run(format!("kubectl headroom top pods -A --node {node} --sort-by ram"))
        }
    }
}

/// Requests of the pods on a node, and what those of them that are in its sample use; bytes.
fn requested_and_used(look: &Look<'_>, node: &NodeFacts, status: &NodeHeadroomStatus) -> (i128, i128) {
    let pods = look.pods_on(node.name()).filter(|pod| !pod.row.is_terminal());
    let requested = pods.map(|pod| i128::from(effective_requests(&pod.row).memory.max(0))).sum();
    let used = status.pods.iter().map(|pod| i128::from(pod.working_set_bytes.unwrap_or(0).max(0))).sum();
    (requested, used)
}

fn shown(bytes: i128) -> String {
    human_bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn above_use(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.sample(node) else { continue };
        let (requested, used) = requested_and_used(look, node, status);
        let allocatable = i128::from(node.row.allocatable.memory);
        if allocatable <= 0 || used == 0 || requested * 10 < allocatable * 8 || used * 2 > requested {
            continue;
        }
        let summary = format!("{} of {} are requested, {} are used", shown(requested), shown(allocatable), shown(used));
        let fix = Fix::default()
            .say("compare with requests, and lower those that are far above:")
            .run(format!("kubectl headroom top pods -A --node {} --sort-by ram", arg(node.name())))
            .run(format!("kubectl describe node {}", arg(node.name())))
            .run("kubectl -n NAMESPACE set resources deployment/NAME --requests=memory=SIZE");
        out.push(Subject::node(node.name()), summary, fix);
    }
}

fn below_use(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.sample(node) else { continue };
        let (requested, used) = requested_and_used(look, node, status);
        let ram = i128::from(node.row.capacity.memory);
        let working_set = i128::from(status.memory.working_set_bytes.unwrap_or(0));
        if ram <= 0 || requested == 0 || used < requested * 2 || working_set * 10 < ram * 7 {
            continue;
        }
        let summary = format!("{} are requested, {} are used, RAM {}", shown(requested), shown(used), shown(ram));
        let fix = Fix::default()
            .say("compare with requests, and raise those that are far below:")
            .run(format!("kubectl headroom top pods -A --node {} --sort-by ram", arg(node.name())))
            .run("kubectl get memoryprofiles -A")
            .run("kubectl -n NAMESPACE set resources deployment/NAME --requests=memory=SIZE");
        out.push(Subject::node(node.name()), summary, fix);
    }
}
