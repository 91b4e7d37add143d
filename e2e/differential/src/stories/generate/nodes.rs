//! Stories about three nodes: they fall silent, are not ready, are tainted and cordoned, come back or leave, with pods of a
//! ReplicationController on them that put up with it for different times.
//!
//! Whatever follows from a step follows within seconds, or not within the story: a toleration ends at once, after a second,
//! or long after the trouble is over, and then the story waits until its time has passed. At most two nodes are in trouble
//! at a time: of three that would be a zone that is down, and what happens then is a matter of who was first.

use serde_json::{Value, json};

use crate::generate::Rng;
use crate::stories::{Pick, Step};

const NODES: [&str; 3] = ["a", "b", "c"];
/// Key of the taint with which an administrator says that a node is down for good.
pub(in crate::stories) const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Key of a taint of users.
const MAINTENANCE: &str = "example.com/maintenance";
/// Seconds that are longer than any trouble.
const LONG: u32 = 15;
/// Seconds after which all that was tolerated for [`LONG`] would have been evicted.
const PAST: u32 = 18;

/// How long the pods of a story put up with a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Admission adds five minutes for nodes in trouble; other taints are not tolerated.
    Default,
    /// All taints, for so many seconds.
    Seconds(u32),
    /// All taints, for ever.
    Endless,
}

/// The steps of a story.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    let mut steps: Vec<Step> = NODES.iter().map(|name| Step::Enter((*name).to_owned(), kubelet(rng))).collect();
    let patience = rng.pick(&[
        Patience::Seconds(0),
        Patience::Seconds(1),
        Patience::Seconds(1),
        Patience::Seconds(LONG),
        Patience::Default,
        Patience::Endless,
    ]);
    let replicas = rng.between(2, 4);
    steps.push(controller(rng, patience, replicas));
    if rng.percent(50) {
        steps.push(Step::Create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc1"},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": 8080}]}})));
    }
    for number in 0..replicas {
        // Most of them where something will happen.
        let node = if number < 2 { "a" } else { "b" };
        steps.push(run(Pick::Fresh("rc-a".to_owned()), node));
    }
    if rng.percent(60) && patience != Patience::Seconds(LONG) {
        let patience = rng.pick(&[Patience::Seconds(0), Patience::Seconds(1), Patience::Default, Patience::Endless]);
        steps.push(Step::Create(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "bare", "labels": {"app": "a"}}, "spec": spec(rng, patience)})));
        steps.push(run(Pick::Name("bare".to_owned()), "a"));
    }
    if patience == Patience::Seconds(LONG) {
        in_time(rng, "a", &mut steps);
    } else {
        trouble(rng, "a", &mut steps);
        // Who was evicted goes on elsewhere, if there is one.
        steps.push(run(Pick::Fresh("rc-a".to_owned()), "c"));
        if rng.percent(40) {
            trouble(rng, "b", &mut steps);
        }
    }
    steps
}

/// Something happens to a node. It is over in the end, or the node is gone or dead for good.
fn trouble(rng: &mut Rng, node: &str, steps: &mut Vec<Step>) {
    let name = || node.to_owned();
    match rng.below(6) {
        // It dies, and is seen again.
        0 => steps.extend([Step::Silence(name()), recovery(node)]),
        // It dies for good, and an administrator says so.
        1 => {
            let taint = json!({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"});
            steps.extend([Step::Silence(name()), Step::Taint(name(), taint)]);
            if rng.percent(50) {
                steps.extend([Step::Untaint(name(), OUT_OF_SERVICE.to_owned()), recovery(node)]);
            }
        }
        // It goes, and its pods stay behind.
        2 => steps.push(Step::Leave(name())),
        // It is not ready, and perhaps dies of it.
        3 => {
            steps.push(Step::Report(name(), json!({"Ready": "False"})));
            if rng.percent(50) {
                steps.push(Step::Silence(name()));
            }
            steps.push(recovery(node));
        }
        // A user empties it.
        4 => steps.extend([maintenance(node), Step::Untaint(name(), MAINTENANCE.to_owned())]),
        // Its memory is short, and it is cordoned: nobody is evicted.
        _ => steps.extend([
            Step::Report(name(), json!({"MemoryPressure": "True"})),
            Step::Cordon(name(), true),
            recovery(node),
            Step::Cordon(name(), false),
        ]),
    }
}

/// Something happens to a node, and is over before the pods' patience is.
fn in_time(rng: &mut Rng, node: &str, steps: &mut Vec<Step>) {
    let name = || node.to_owned();
    match rng.below(3) {
        0 => steps.extend([Step::Silence(name()), recovery(node)]),
        1 => steps.extend([Step::Report(name(), json!({"Ready": "False"})), recovery(node)]),
        _ => steps.extend([maintenance(node), Step::Untaint(name(), MAINTENANCE.to_owned())]),
    }
    steps.push(Step::Wait(PAST));
}

fn recovery(node: &str) -> Step {
    Step::Report(node.to_owned(), json!({}))
}

fn maintenance(node: &str) -> Step {
    Step::Taint(node.to_owned(), json!({"key": MAINTENANCE, "value": "disk", "effect": "NoExecute"}))
}

fn run(pick: Pick, node: &str) -> Step {
    Step::Run(pick, node.to_owned(), true)
}

/// What a kubelet reports at first; some have never heard of a condition.
fn kubelet(rng: &mut Rng) -> Value {
    if rng.percent(20) { json!({"PIDPressure": null}) } else { json!({}) }
}

fn controller(rng: &mut Rng, patience: Patience, replicas: usize) -> Step {
    Step::Create(json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc-a"},
        "spec": {"replicas": replicas, "selector": {"app": "a"},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": spec(rng, patience)}}}))
}

fn spec(rng: &mut Rng, patience: Patience) -> Value {
    let mut spec = json!({"containers": [{"name": "main", "image": "registry.example/app:1",
        "ports": [{"name": "http", "containerPort": 8080}]}]});
    let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", MAINTENANCE];
    let tolerations = keys.map(|key| {
        let mut toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
        if let Patience::Seconds(seconds) = patience {
            toleration["tolerationSeconds"] = seconds.into();
        }
        toleration
    });
    if patience != Patience::Default {
        spec["tolerations"] = tolerations.to_vec().into();
    }
    // Without a kubelet a pod with a grace period stays for ever.
    if rng.percent(50) {
        spec["terminationGracePeriodSeconds"] = json!(0);
    }
    spec
}
