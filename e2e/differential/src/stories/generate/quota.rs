//! Stories in which a quota stops a ReplicationController half way, and lets it go on.

use serde_json::json;

use crate::generate::Rng;
use crate::stories::{Pick, Step};

/// The steps of a story.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    let first = rng.below(4);
    let asked = first + rng.between(1, 4);
    let mut steps = vec![quota(), limit(first), controller(asked)];
    for _ in 0..first.min(rng.below(3)) {
        steps.push(Step::Run(Pick::Fresh("rc-a".to_owned()), "n1".to_owned(), rng.percent(75)));
    }
    // Less is asked for than there may be, more is allowed than is asked for, or the quota goes.
    match rng.below(4) {
        0 => steps.push(scale(first)),
        1 => steps.push(Step::Delete("ResourceQuota".to_owned(), "few".to_owned())),
        // Nobody counts what is given back: the quota only grows.
        _ => steps.push(limit(asked)),
    }
    if rng.percent(50) {
        steps.push(scale(0));
    }
    steps
}

fn quota() -> Step {
    Step::Create(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
        "spec": {"hard": {"pods": "0"}}}))
}

/// What the loop that counts for quotas would write; it does not run here.
fn limit(pods: usize) -> Step {
    Step::Status("ResourceQuota".to_owned(), "few".to_owned(), json!({"hard": {"pods": pods.to_string()}}))
}

fn controller(replicas: usize) -> Step {
    Step::Create(json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc-a"},
        "spec": {"replicas": replicas, "selector": {"app": "a"}, "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}]}}}}))
}

fn scale(replicas: usize) -> Step {
    Step::Patch("ReplicationController".to_owned(), "rc-a".to_owned(), json!({"spec": {"replicas": replicas}}))
}
