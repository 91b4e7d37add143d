//! Objects of a namespace, a name and a time in, a trace out. Nothing is read here.

use std::collections::{BTreeMap, BTreeSet};

use headroom_core::Timestamp;
use serde_json::Value;

use super::{
    json::{controller, is_owned, kind, list, name, selects, text, time, uid},
    model::{Event, Moment, Object, Pods, Step, Trace},
    pod::{self, has_ended, is_ready},
    target::Target,
    wait,
    world::{World, service_of},
};
use crate::doctor::text::cut;

/// Why pods are where they are, by UID, else by name: one line each.
pub(super) type Whys = BTreeMap<String, String>;

/// What pods are known by in [`Whys`].
pub(super) fn whys_key(pod: &Value) -> &str {
    match uid(pod) {
        "" => name(pod),
        uid => uid,
    }
}

/// The objects of a trace above its pods, and the pods.
struct Members<'a> {
    /// The target and what it manages, down to what creates pods.
    owners: Vec<&'a Value>,
    /// Each with its owner, if that is known.
    pods: Vec<(&'a Value, Option<&'a Value>)>,
}

/// The trace; `None` where there is no such object.
pub(super) fn build(world: &World<'_>, target: &Target, whys: &Whys, at: Timestamp) -> Option<Trace> {
    let members = members(world, target)?;
    let mut steps: Vec<Step> = members.owners.iter().map(|owner| created(world, owner)).collect();
    let mut waiting = Vec::new();
    let mut pods = Pods::default();
    for (pod, owner) in &members.pods {
        let why = whys.get(whys_key(pod)).map(String::as_str);
        steps.extend(pod::steps(world, pod, *owner, why));
        waiting.extend(wait::of_pod(world, pod, at));
        let active = !has_ended(pod) && pod.pointer("/metadata/deletionTimestamp").is_none();
        pods.active += usize::from(active);
        pods.ready += usize::from(active && is_ready(pod));
    }
    for owner in &members.owners {
        // A Deployment has its pods through ReplicaSets, which say why pods are missing.
        if kind(owner) == "Deployment" && world.of("ReplicaSet").any(|set| is_owned(set, owner)) {
            continue;
        }
        let own = members.pods.iter().filter(|(pod, of)| {
            !has_ended(pod)
                && pod.pointer("/metadata/deletionTimestamp").is_none()
                && of.is_some_and(|of| std::ptr::eq(of, *owner))
        });
        waiting.extend(wait::of_owner(world, owner, own.count(), at));
    }
    pods.wanted = world.find(target.of.kind, &target.name).and_then(wait::wanted);
    let mut trace = Trace {
        api_version: "headroom.dev/v1alpha1",
        kind: "Trace",
        at,
        namespace: world.namespace.to_owned(),
        target: Object::new(target.of.kind, &target.name),
        pods,
        steps,
        waiting,
    };
    trace.in_order();
    Some(trace)
}

/// The pods that a trace of this target is about.
pub(super) fn pods<'a>(world: &World<'a>, target: &Target) -> Vec<&'a Value> {
    members(world, target).map(|members| members.pods.into_iter().map(|(pod, _)| pod).collect()).unwrap_or_default()
}

fn members<'a>(world: &World<'a>, target: &Target) -> Option<Members<'a>> {
    let found = world.find(target.of.kind, &target.name);
    let mut owners: Vec<&Value> = found.into_iter().filter(|object| kind(object) != "Pod").collect();
    let pods: Vec<(&Value, Option<&Value>)> = match (target.of.kind, found) {
        ("Pod", Some(pod)) => vec![(pod, owner(world, pod))],
        ("Pod", None) => Vec::new(),
        ("Service", Some(service)) => {
            owners.extend(world.of("EndpointSlice").filter(|slice| service_of(slice) == target.name));
            let listed: BTreeSet<&str> = owners.iter().flat_map(|slice| targets(slice)).collect();
            let selector = service.pointer("/spec/selector");
            let pods = world.of("Pod").filter(|pod| selects(selector, pod) || listed.contains(name(pod)));
            pods.map(|pod| (pod, owner(world, pod))).collect()
        }
        (_, Some(above)) => {
            let sets: Vec<&Value> = world.of("ReplicaSet").filter(|set| is_owned(set, above)).collect();
            let pods = world.of("Pod").filter_map(|pod| {
                let of = sets.iter().copied().chain([above]).find(|of| is_owned(pod, of))?;
                Some((pod, Some(of)))
            });
            let pods: Vec<(&Value, Option<&Value>)> = pods.collect();
            // Old ReplicaSets without pods are history.
            owners.extend(sets.into_iter().filter(|set| {
                let has_pods = pods.iter().any(|(_, of)| of.is_some_and(|of| std::ptr::eq(of, *set)));
                has_pods || wait::wanted(set).is_some_and(|wanted| wanted > 0)
            }));
            pods
        }
        // A saved cluster may lack the owner and have what it owns.
        (of, None) => {
            let named = |object: &&Value| {
                controller(object).is_some_and(|c| text(c, "/kind") == of && text(c, "/name") == target.name)
            };
            owners.extend(world.of("ReplicaSet").filter(named));
            let pods = world.of("Pod").filter_map(|pod| {
                let set = owners.iter().copied().find(|set| is_owned(pod, set));
                (set.is_some() || named(&pod)).then_some((pod, set))
            });
            pods.collect()
        }
    };
    (found.is_some() || !pods.is_empty() || !owners.is_empty()).then_some(Members { owners, pods })
}

fn owner<'a>(world: &World<'a>, pod: &Value) -> Option<&'a Value> {
    world.of(text(controller(pod)?, "/kind")).find(|owner| is_owned(pod, owner))
}

/// Names of the pods of a slice.
fn targets(slice: &Value) -> Vec<&str> {
    let targets = list(slice, "/endpoints").iter().filter(|e| text(e, "/targetRef/kind") == "Pod");
    targets.map(|endpoint| text(endpoint, "/targetRef/name")).collect()
}

/// The creation of an object above the pods; how long it took after what is above it.
fn created(world: &World<'_>, object: &Value) -> Step {
    let when = time(object, "/metadata/creationTimestamp").map(Moment::second);
    let above = match kind(object) {
        "EndpointSlice" => world.find("Service", service_of(object)),
        _ => owner(world, object),
    };
    // A ReplicaSet of a later rollout answers that change of its Deployment, whose time is not kept for sure.
    let first = above.and_then(|above| time(above, "/metadata/creationTimestamp")).map(Moment::second);
    let took_seconds = when.zip(first).map(|(when, first)| when.since(first)).filter(|_| !later_revision(object));
    let note = match kind(object) {
        "EndpointSlice" => format!("of service {}", cut(service_of(object))),
        "ReplicaSet" => revision(object).map(|revision| format!("revision {}", cut(revision))).unwrap_or_default(),
        _ => String::new(),
    };
    let object = Object::new(kind(object), name(object));
    Step { object, event: Event::Created, when, took_seconds, source: "creationTimestamp".to_owned(), note }
}

fn revision(set: &Value) -> Option<&str> {
    let revision = text(set, "/metadata/annotations/deployment.kubernetes.io~1revision");
    (!revision.is_empty()).then_some(revision)
}

fn later_revision(object: &Value) -> bool {
    kind(object) == "ReplicaSet" && revision(object).is_some_and(|revision| revision != "1")
}
