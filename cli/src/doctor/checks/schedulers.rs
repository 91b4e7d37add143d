//! Who schedules, and whether Headroom itself is well.

use std::collections::BTreeMap;

use super::Rule;
use crate::{
    distribution::ours::{OLD_FIRST, Rollout},
    doctor::{
        finding::{Fix, Out, Severity, Subject},
        look::{Look, flag, is_k3s},
        state::{NodeFacts, PodFacts, Program},
        text::{arg, counted, cut, some_of},
    },
    top::table::age,
};

pub(super) static RULES: [Rule; 5] = [
    Rule {
        id: "two-schedulers",
        severity: Severity::Error,
        title: "two schedulers serve one name",
        why: "Only the lease kube-scheduler keeps two schedulers of the default name apart. Where one of them does not \
              ask for it (--leader-elect=false, or k3s with SQLite) both decide by what they know, and put more on a \
              node than it has.",
        reads: &["pods"],
        also: &["nodes"],
        check: two_schedulers,
    },
    Rule {
        id: "foreign-binding",
        severity: Severity::Error,
        title: "somebody else bound our pod",
        why: "headroom-scheduler saw a pod of its queue bound by another. Two schedulers serve one name: both put more \
              on a node than it has.",
        reads: &["events"],
        also: &[],
        check: foreign_binding,
    },
    Rule {
        id: "nobody-schedules",
        severity: Severity::Error,
        title: "no scheduler looks at waiting pods",
        why: "A pod that a scheduler could not place has a condition that says why. These have none: nobody serves \
              their schedulerName, or who does has lost its lease or its rights.",
        reads: &["pods"],
        also: &[],
        check: nobody_schedules,
    },
    Rule {
        id: "headroom-not-ready",
        severity: Severity::Error,
        title: "a pod of Headroom is not ready",
        why: "What it does is not done meanwhile, unless another one of its kind stands by.",
        reads: &["pods"],
        also: &[],
        check: headroom_not_ready,
    },
    Rule {
        id: "update-waits-for-port",
        severity: Severity::Warning,
        title: "an update of Headroom would hang",
        why: "On its node's network a new process needs the port of the old one, and where no two share a node, a node of \
              its own. The Deployment lets the old pod go only when the new one is ready, and so neither comes to pass: no \
              change of it is ever rolled out, not even that of a takeover or a handback.",
        reads: &["deployments"],
        also: &["nodes"],
        check: update_waits_for_port,
    },
];

/// Seconds that pods may take for what is normal.
const PATIENCE: u64 = 60;

/// Whether it takes part in an election; true where nothing is said.
pub(crate) fn elects(args: &[String]) -> bool {
    flag(args, "leader-elect").last().is_none_or(|value| *value != "false")
}

/// Whether k3s runs the stock scheduler on this node without an election: as its one server, with SQLite.
pub(crate) fn k3s_schedules_alone(node: &NodeFacts) -> bool {
    let given = |name: &str| flag(&node.args, name).last().is_some_and(|value| *value != "false");
    let set = |name: &str| node.variables.iter().any(|variable| variable == name);
    is_k3s(node)
        && node.args.first().is_some_and(|word| word == "server")
        && !given("disable-scheduler")
        && !["cluster-init", "server", "datastore-endpoint"].into_iter().any(given)
        && !["K3S_CLUSTER_INIT", "K3S_URL", "K3S_DATASTORE_ENDPOINT"].into_iter().any(set)
}

fn two_schedulers(look: &Look<'_>, out: &mut Out<'_>) {
    // Without arguments nothing is known: a saved cluster leaves them out.
    let known = |program| look.running(program).filter(|pod| !pod.args.is_empty());
    let is_primary = |pod: &&PodFacts| flag(&pod.args, "mode").last().is_none_or(|mode| *mode == "primary");
    let ours: Vec<&PodFacts> = known(Program::Scheduler).filter(is_primary).collect();
    let Some(first) = ours.first() else { return };
    let stop = || {
        let fix = Fix::default()
            .say("stop the stock one: k3s: disable-scheduler: true in /etc/rancher/k3s/config.yaml, restart it;")
            .say("kubeadm: move kube-scheduler.yaml out of /etc/kubernetes/manifests");
        look_on(look, fix)
    };
    for stock in known(Program::StockScheduler) {
        let loose = [Some(stock), ours.iter().copied().find(|pod| !elects(&pod.args))];
        let Some(loose) = loose.into_iter().flatten().find(|pod| !elects(&pod.args)) else { continue };
        let summary = format!(
            "runs beside {} in primary, and {} does not elect a leader",
            first.full_name(),
            if loose.row.meta.key == stock.row.meta.key { "it".to_owned() } else { loose.full_name() },
        );
        out.push(Subject::namespaced("Pod", &stock.row.meta.key), summary, stop());
    }
    for node in look.nodes().filter(|node| k3s_schedules_alone(node)) {
        let summary = format!("its k3s schedules without an election, and so does {} in primary", first.full_name());
        out.push(Subject::node(node.name()), summary, stop());
    }
}

/// Adds how ours leaves the work to others.
fn look_on(look: &Look<'_>, fix: Fix) -> Fix {
    if look.has_static_scheduler() {
        return fix.say("or end Headroom's static pod: put the stock kube-scheduler.yaml back in its place");
    }
    let fix = fix.say("or let Headroom look on:");
    look.change(fix, Program::Scheduler, "--set mode=shadow", "--mode=shadow in its args:")
}

fn foreign_binding(look: &Look<'_>, out: &mut Out<'_>) {
    for told in look.state.told.iter().filter(|told| told.reason == "ForeignBinding") {
        let ago = told.at.map(|at| format!(" ({} ago)", age(look.age(at)))).unwrap_or_default();
        let fix = Fix::default()
            .say("who holds the lease, and which schedulers run?")
            .run("kubectl -n kube-system get leases")
            .run("kubectl get pods -A | grep -i scheduler")
            .say("stop one of them");
        out.push(Subject::namespaced(&told.kind, &told.key), format!("{}{ago}", told.message), look_on(look, fix));
    }
}

fn nobody_schedules(look: &Look<'_>, out: &mut Out<'_>) {
    let mut waiting: BTreeMap<&str, (Vec<String>, u64)> = BTreeMap::new();
    for pod in look.pods() {
        let row = &pod.row;
        let seconds = look.age(row.meta.created);
        let looked_at = row.node_name.is_some() || row.condition("PodScheduled").is_some();
        if looked_at || !row.is_active() || !row.spec.scheduling_gates.is_empty() || seconds < PATIENCE {
            continue;
        }
        let scheduler: &str =
            if row.spec.scheduler_name.is_empty() { "default-scheduler" } else { &row.spec.scheduler_name };
        let (pods, longest) = waiting.entry(scheduler).or_default();
        pods.push(row.meta.key.to_string());
        *longest = seconds.max(*longest);
    }
    for (scheduler, (pods, longest)) in waiting {
        let wait = if pods.len() == 1 { "waits" } else { "wait" };
        let summary =
            format!("{} {wait} for it, up to {}: {}", counted(pods.len(), "pod"), age(longest), some_of(&pods));
        let fix = match scheduler {
            "default-scheduler" => Fix::default()
                .say("does a scheduler run, and is the lease renewed?")
                .run("kubectl -n kube-system get pods | grep -i scheduler")
                .run("kubectl -n kube-system get lease kube-scheduler")
                .say("headroom-scheduler serves this name in primary only; k3s: take disable-scheduler away"),
            "headroom-scheduler" => by_our_name(look),
            other => Fix::default()
                .say(format!("does a scheduler of the name {} run?", arg(other)))
                .run("kubectl get pods -A | grep -i scheduler")
                .say("else take schedulerName out of the template; pods that are there keep it"),
        };
        out.push(Subject::new("Scheduler", "", scheduler), summary, fix);
    }
}

/// What to do about pods that ask for ours by name. Where it may be the cluster's only scheduler nothing changes its mode:
/// all other pods would have nobody.
fn by_our_name(look: &Look<'_>) -> Fix {
    let fix =
        look.list_pods(Fix::default(), Program::Scheduler).run("kubectl -n kube-system get lease headroom-scheduler");
    let modes = look.modes();
    let all = |mode: &str| !modes.is_empty() && modes.iter().all(|known| *known == mode);
    if all("secondary") {
        return fix.say("it runs in secondary, which serves this name: does it lead, and what does its log say?");
    }
    let fix = fix.say("this name is served in secondary alone:");
    if !all("shadow") {
        return fix.say("take schedulerName out of the template; pods that are there keep it");
    }
    let fix = look.upgrade(fix, Program::Scheduler, "--set mode=secondary");
    let remark = "no rights for that; take schedulerName out of the template, or render the chart with mode=secondary";
    look.without_helm(fix, Program::Scheduler, remark, &[])
}

fn update_waits_for_port(look: &Look<'_>, out: &mut Out<'_>) {
    let nodes = look.state.nodes.len();
    for (_, ours) in &look.state.ours {
        let summary = match ours.rollout(nodes) {
            Rollout::Ends => continue,
            Rollout::MayWait => {
                "uses its node's network, and its strategy makes the new pod first: an update may never end, unless \
                 another node has room"
            }
            Rollout::WaitsForPort => "uses its node's network, and its strategy makes the new pod first",
            Rollout::WaitsForNode => "has a pod on every node, no two on one, and its strategy makes the new pod first",
        };
        let (namespace, name) = (arg(&ours.namespace), arg(&ours.name));
        let fix = Fix::default()
            .run(format!("kubectl -n {namespace} patch deployment {name} -p \\"))
            .run(format!("  '{OLD_FIRST}'"));
        out.push(Subject::new("Deployment", &ours.namespace, &ours.name), summary, fix);
    }
}

fn headroom_not_ready(look: &Look<'_>, out: &mut Out<'_>) {
    for pod in look.pods() {
        let row = &pod.row;
        let ours = matches!(pod.program, Some(Program::Scheduler | Program::Controllers));
        if !ours || !row.is_active() || row.is_ready() || look.age(row.meta.created) < PATIENCE {
            continue;
        }
        let state: &str = if pod.waits.is_empty() { row.status.phase.as_str() } else { &pod.waits };
        let restarts = row.status.containers().iter().map(|c| i64::from(c.restart_count)).max().unwrap_or(0);
        let after = if restarts > 0 { format!(" after {restarts} restarts") } else { String::new() };
        let (namespace, name) = (arg(&row.meta.key.namespace), arg(&row.meta.key.name));
        let fix = Fix::default().run(format!("kubectl -n {namespace} describe pod {name}"));
        let fix = if restarts > 0 {
            fix.run(format!("kubectl -n {namespace} logs {name} --previous --tail 50"))
        } else {
            fix.run(format!("kubectl -n {namespace} logs {name} --tail 50"))
        };
        let fix = match pod.program.filter(|_| pod.waits.contains("Image")) {
            None => fix,
            Some(program) if look.is_without_helm(program) => {
                fix.say("there are no published images: import them on every node (docs/images.md)")
            }
            Some(_) => {
                fix.say("there are no published images: set image.registry, or import them (charts/headroom/README.md)")
            }
        };
        out.push(Subject::namespaced("Pod", &row.meta.key), format!("{}{after}", cut(state)), fix);
    }
}
