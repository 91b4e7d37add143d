//! What has to be put right before a takeover.

use serde_json::json;

use super::{helm, steps::Wish};
use crate::{
    distribution::{
        configuration::DEFAULT_SCHEDULER,
        facts::{CONTROLLERS_LEASE, Facts, SCHEDULER_LEASE, Who},
        ours::{OLD_FIRST, Ours, Rollout},
    },
    doctor::{control_loops, cut, text::arg},
};

/// What the values of an upgrade need for a scheduler that is to serve everybody.
const IN_VALUES: &str = "with a profile for default-scheduler in scheduler.config";

/// Loops that only a dead node would move: no canary shows whether somebody runs them.
const OF_NODES: [&str; 2] = ["node-lifecycle-controller", "taint-eviction-controller"];

/// Why not, a sentence each.
pub(super) fn refusals(facts: &Facts, wish: &Wish) -> Vec<String> {
    let mut refused = Vec::new();
    if let Some(offer) = facts.managed {
        refused.push(format!(
            "{offer} runs the control plane: its scheduler and loops cannot be turned off. Stay with mode=secondary"
        ));
    }
    if wish.scheduler {
        match facts.our_mode() {
            // One that has no replicas is told of below.
            None if facts.scheduler.is_some() => {}
            None => refused.push(
                "headroom-scheduler does not run: helm install headroom charts/headroom -n kube-system \
                 --set mode=secondary --set scheduler.nodeName=NODE (or, without Helm, apply what is in deploy/)"
                    .to_owned(),
            ),
            Some("primary") if facts.scheduler.is_none() && facts.holds(SCHEDULER_LEASE) == Some(Who::Stock) => {
                refused.push("headroom-scheduler cannot be changed here: restart it with --mode=secondary".to_owned());
            }
            Some(_) => {}
        }
        refused.extend(unclear(facts.scheduler.as_ref(), "scheduler"));
        // Behind the lease one that is in primary stays as it is.
        let stays = facts.our_mode() == Some("primary") && facts.stock_elects() == Some(true);
        let stuck = |ours| if stays { None } else { never_rolled_out(facts, ours) };
        refused.extend(facts.scheduler.as_ref().and_then(|ours| unfit_scheduler(facts, ours).or_else(|| stuck(ours))));
        refused.extend(serves_others(facts));
        if wish.keep_standby && facts.stock_elects() != Some(true) {
            refused.push(
                "--keep-standby needs a stock scheduler that asks for the lease kube-scheduler, and here nothing shows \
                 that it does: both would schedule"
                    .to_owned(),
            );
        }
    }
    if wish.loops.is_empty() {
        return refused;
    }
    let of_nodes: Vec<&String> = wish.loops.iter().filter(|name| OF_NODES.contains(&name.as_str())).collect();
    match &facts.controllers {
        _ if facts.holds(CONTROLLERS_LEASE) == Some(Who::Ours) => {}
        None => refused.push(
            "headroom-controllers does not run: helm install headroom charts/headroom -n kube-system (or, without \
             Helm, apply what is in deploy/)"
                .to_owned(),
        ),
        // Where more than a process is asked of it, that is told of below.
        Some(ours) if ours.replicas < 1 && of_nodes.is_empty() => refused.push(format!(
            "{}: it has no replicas. First: kubectl -n {} scale deployment {} --replicas=1",
            ours.full_name(),
            arg(&ours.namespace),
            arg(&ours.name)
        )),
        Some(_) => {}
    }
    refused.extend(unclear(facts.controllers.as_ref(), "controllers"));
    let unfit = |ours| if of_nodes.is_empty() { None } else { unsafe_ours(facts, ours, "controllers", true) };
    refused.extend(facts.controllers.as_ref().and_then(|ours| unfit(ours).or_else(|| never_rolled_out(facts, ours))));
    if of_nodes.is_empty() {
        return refused;
    }
    if control_loops::stock(&facts.look()).is_empty() && !wish.unproven {
        let names: Vec<&str> = of_nodes.iter().map(|name| name.as_str()).collect();
        refused.push(format!(
            "nothing here shows whether the stock manager runs {}: no pod of it is seen, and no canary moves it. Take \
             it out of its list yourself, make sure, and give --unproven",
            names.join(", ")
        ));
    }
    refused
}

/// Why it is not known which Deployment is meant.
fn unclear(ours: Option<&Ours>, component: &str) -> Option<String> {
    let ours = ours.filter(|ours| !ours.others.is_empty())?;
    Some(format!(
        "{}, {}: each looks like headroom-{component}, and one of them would be given its rights. Remove what is not \
         yours, or install it in kube-system",
        ours.full_name(),
        cut(&ours.others.join(", "))
    ))
}

/// Why a Deployment must not become what a cluster depends on, and the way to make it fit.
fn unsafe_ours(facts: &Facts, ours: &Ours, component: &str, needs_network: bool) -> Option<String> {
    let fits = !needs_network || (ours.host_network && ours.tolerates_all);
    let network = "it must use its node's network and tolerate every taint: nobody else removes them";
    let why = ours.unsafe_because().or((!fits).then_some(network))?;
    let way = if ours.release.is_none() && !fits {
        // The port stands in many places of it.
        "First give its pod template nodeName, hostNetwork: true, tolerations: [{operator: Exists}] and 10357 for 10257 \
         in --secure-port, ports and probes, and its strategy maxSurge 0 and maxUnavailable 1, since two processes do not \
         fit on one port: docs/take-over.md, \"Without Helm\", has it in a line"
            .to_owned()
    } else {
        let network = format!("{component}.hostNetwork=true");
        pin(facts, ours, component, needs_network.then_some(network.as_str()))
    };
    Some(format!("{}: {why}. {way}", ours.full_name()))
}

/// Why a change of ours would wait for ever, and the way to make it fit. One that may find a free node is not held up.
pub(crate) fn never_rolled_out(facts: &Facts, ours: &Ours) -> Option<String> {
    let why = match ours.rollout(facts.state.nodes.len()) {
        Rollout::Ends | Rollout::MayWait => return None,
        Rollout::WaitsForPort => "on its node's network a new process needs the port of the old one",
        Rollout::WaitsForNode => "no two of its pods share a node, and each node has one",
    };
    Some(format!(
        "{}: {why}, and its strategy makes the new pod first: no rollout would end. First: kubectl -n {} patch deployment {} \
         --patch '{OLD_FIRST}'",
        ours.full_name(),
        arg(&ours.namespace),
        arg(&ours.name)
    ))
}

/// Why our scheduler must not become the only one, or could not.
fn unfit_scheduler(facts: &Facts, ours: &Ours) -> Option<String> {
    let waits = facts.stock_elects() != Some(true) && facts.holds(SCHEDULER_LEASE) != Some(Who::Ours);
    let because =
        "nothing shows that the stock scheduler asks for the lease, so that it has to be silent before ours begins";
    unsafe_ours(facts, ours, "scheduler", false).or_else(|| unpinned(facts, ours, because, None).filter(|_| waits))
}

/// Why our scheduler would leave the pods of default-scheduler alone in `primary`: a takeover changes the mode and not the
/// profiles. With a configuration `secondary` runs only where no profile is that of default-scheduler.
fn serves_others(facts: &Facts) -> Option<String> {
    let ours = facts.scheduler.as_ref();
    if let Some(ours) = ours.filter(|ours| ours.mode() == "secondary" && ours.flag("config").is_some()) {
        let way = if ours.release.is_some() {
            // With memoryHeadroomArgs alone the chart writes the profile, and writes it for the mode.
            let shadow = helm::command(facts, ours, &["mode=shadow"]);
            format!("{shadow}, and, where scheduler.config has profiles, one for default-scheduler")
        } else {
            "give it --mode=shadow, and a profile for default-scheduler in its configuration".to_owned()
        };
        return Some(format!(
            "{}: its configuration has no profile for default-scheduler, or it would not run in secondary: all other pods \
             would wait. First: {way}",
            ours.full_name()
        ));
    }
    let file = facts.configuration.as_ref()?;
    // One that is not understood is told of in the plan.
    let names = file.serves().ok().filter(|names| names.iter().all(|name| name != DEFAULT_SCHEDULER))?;
    let way = match ours.map(|ours| (ours, ours.release.as_ref(), ours.configuration.as_ref())) {
        Some((ours, Some(_), _)) => format!("{}, {IN_VALUES}", helm::command(facts, ours, &[])),
        Some((ours, None, Some(place))) => {
            // What is in primary already is not changed, and so not started again.
            let again = if ours.mode() == "primary" { ", then start it again" } else { "" };
            let (namespace, name) = (arg(&ours.namespace), arg(&place.config_map));
            format!("kubectl -n {namespace} edit configmap {name}, with a profile for default-scheduler{again}")
        }
        _ => "give it a profile for default-scheduler, and start it again".to_owned(),
    };
    Some(format!(
        "{}: its configuration ({}) has no profile for default-scheduler, only for {}: all other pods would wait. First: \
         {way}",
        ours.map_or_else(|| "headroom-scheduler".to_owned(), Ours::full_name),
        file.place,
        cut(&names.join(", "))
    ))
}

/// Why new pods of ours would wait for ever while no scheduler is at work, and the way to make it fit: each replica that is
/// exchanged needs one, and two on two nodes watch over each other only as long as one of them schedules. `mode` is the
/// chart's that is to stay meanwhile, where it may not be that of the values.
pub(crate) fn unpinned(facts: &Facts, ours: &Ours, because: &str, mode: Option<&str>) -> Option<String> {
    if ours.is_pinned() {
        return None;
    }
    Some(format!(
        "{}: {because}, and nobody would schedule the pods of its rollout meanwhile. {}",
        ours.full_name(),
        pin(facts, ours, "scheduler", mode)
    ))
}

/// What pins a Deployment to a node. `besides` is a value of the chart's that is wanted as well.
fn pin(facts: &Facts, ours: &Ours, component: &str, besides: Option<&str>) -> String {
    if ours.release.is_none() {
        return format!("First: {}", patch(ours));
    }
    let (replicas, node) = (format!("{component}.replicas=1"), format!("{component}.nodeName=NODE"));
    let mut values = vec![node.as_str()];
    if ours.replicas != 1 {
        values.insert(0, &replicas);
    }
    values.extend(besides);
    format!("First: {}", helm::command(facts, ours, &values))
}

/// The same for one that is no release of Helm's: an upgrade would know nothing of it, or make a second one.
fn patch(ours: &Ours) -> String {
    let mut spec = json!({"template": {"spec": {"nodeName": "NODE"}}});
    if ours.replicas != 1 {
        spec["replicas"] = 1.into();
    }
    if ours.recreate && !ours.host_network {
        spec["strategy"] = json!({"type": "RollingUpdate"});
    } else if ours.recreate || ours.collides() {
        let old_first = json!({"maxSurge": 0, "maxUnavailable": 1});
        spec["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": old_first});
    }
    let patch = json!({"spec": spec});
    format!("kubectl -n {} patch deployment {} --patch '{patch}'", arg(&ours.namespace), arg(&ours.name))
}
