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
    /// Owners that were not read, the target first: others name them as theirs.
    named: Vec<Object>,
    /// The target and what it manages, down to what creates pods.
    owners: Vec<&'a Value>,
    /// Each with its owner, if that is known, or with the Deployment above a ReplicaSet that was not read.
    pods: Vec<(&'a Value, Option<&'a Value>)>,
}

/// The trace; `None` where there is no such object.
pub(super) fn build(world: &World<'_>, target: &Target, whys: &Whys, at: Timestamp) -> Option<Trace> {
    let members = members(world, target)?;
    let mut steps: Vec<Step> = members.named.iter().cloned().map(only_named).collect();
    steps.extend(members.owners.iter().map(|owner| created(world, owner)));
    let mut waiting = Vec::new();
    let mut pods = Pods::default();
    for (pod, owner) in &members.pods {
        let why = whys.get(whys_key(pod)).map(String::as_str);
        steps.extend(pod::steps(world, pod, owner.filter(|owner| is_owned(pod, owner)), why));
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

/// Whether there is such an object, or what is left of it.
pub(super) fn exists(world: &World<'_>, target: &Target) -> bool {
    members(world, target).is_some()
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
                let of = sets.iter().copied().chain([above]).find(|of| is_owned(pod, of));
                // What lies between a Deployment and its pods may be what a list lacks, or nobody may read.
                let of = of.or_else(|| is_through_unread(world, pod, above).then_some(above))?;
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
            // Or not even the ReplicaSets in between.
            let through =
                |pod: &Value| of == "Deployment" && deployment_by_name(world, pod) == Some(target.name.as_str());
            let pods = world.of("Pod").filter_map(|pod| {
                let set = owners.iter().copied().find(|set| is_owned(pod, set));
                (set.is_some() || named(&pod) || through(pod)).then_some((pod, set))
            });
            pods.collect()
        }
    };
    let mut named: Vec<Object> = Vec::new();
    if found.is_none() {
        named.push(Object::new(target.of.kind, &target.name));
    }
    if found.is_none() || target.of.kind == "Deployment" {
        let unread = pods.iter().filter(|(pod, owner)| owner.is_none_or(|owner| !is_owned(pod, owner)));
        for reference in unread.filter_map(|(pod, _)| controller(pod)) {
            let owner = Object::new(text(reference, "/kind"), text(reference, "/name"));
            if !named.contains(&owner) {
                named.push(owner);
            }
        }
    }
    (found.is_some() || !pods.is_empty() || !owners.is_empty()).then_some(Members { named, owners, pods })
}

/// The Deployment of a pod whose ReplicaSet is not there: ReplicaSets are named after their Deployment and the hash of the
/// template, which their pods have as a label.
fn deployment_by_name<'a>(world: &World<'_>, pod: &'a Value) -> Option<&'a str> {
    let set = controller(pod).filter(|owner| text(owner, "/kind") == "ReplicaSet")?;
    let hash = text(pod, "/metadata/labels/pod-template-hash");
    let set = text(set, "/name");
    let deployment = set.strip_suffix(hash)?.strip_suffix('-')?;
    let told = !hash.is_empty() && world.find("ReplicaSet", set).is_none();
    told.then_some(deployment)
}

/// Whether a pod whose ReplicaSet is not there is one of this Deployment. Names tell; where they do not, since the
/// ReplicaSet was adopted, the Deployment's selector does.
fn is_through_unread(world: &World<'_>, pod: &Value, deployment: &Value) -> bool {
    if kind(deployment) != "Deployment" {
        return false;
    }
    if let Some(named) = deployment_by_name(world, pod) {
        return named == name(deployment);
    }
    let set = controller(pod).filter(|owner| text(owner, "/kind") == "ReplicaSet");
    set.is_some_and(|set| world.find("ReplicaSet", text(set, "/name")).is_none())
        && list(deployment, "/spec/selector/matchExpressions").is_empty()
        && selects(deployment.pointer("/spec/selector/matchLabels"), pod)
}

/// An owner of which nothing is known but its name.
fn only_named(object: Object) -> Step {
    Step {
        object,
        event: Event::Created,
        when: None,
        took_seconds: None,
        source: "ownerReferences".to_owned(),
        note: "not among what was read; known by those that name it as their owner".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use headroom_runtime::wire::time::parse_rfc3339;
    use serde_json::json;

    use super::*;
    use crate::{
        snapshot,
        trace::{hint, table, target::parse},
    };

    #[test]
    fn a_saved_cluster_without_owners_is_traced_by_their_names() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sixty-dollars.yaml");
        let objects = snapshot::objects(&std::fs::read_to_string(path).unwrap()).unwrap();
        let traced = |within: &str, target: &str| {
            let target = parse(target).unwrap();
            build(&World::new(&objects, within), &target, &Whys::new(), parse_rfc3339("2026-11-29T10:00:00Z").unwrap())
        };
        let trace = traced("crawler", "deployment/fetcher").unwrap();
        let steps: Vec<String> = trace.steps.iter().map(|s| format!("{} {}", s.object, s.event.as_str())).collect();
        assert_eq!(steps[..2], ["deployment/fetcher Created", "rs/fetcher-6f7c9d Created"]);
        assert!(steps[2].starts_with("pod/fetcher-6f7c9d-"), "{steps:?}");
        assert_eq!((trace.pods.active, trace.pods.wanted, trace.steps[0].when), (4, None, None));
        let table = table::table(&trace);
        assert!(table.starts_with("deployment/fetcher in crawler: 4 pods, "), "{table}");
        assert!(table.contains("not among what was read; known by those that name it as their owner"), "{table}");
        let mysql = traced("crawler", "sts/mysql").unwrap();
        assert_eq!((mysql.steps[0].object.to_string(), mysql.pods.active), ("sts/mysql".to_owned(), 1));
        // What is in no namespace, and what is in another one.
        assert!(traced("default", "deployment/fetcher").is_none() && traced("crawler", "deployment/none").is_none());
        let said = |target: &str| hint(&objects, &parse(target).unwrap());
        assert_eq!(said("deployment/fetcher"), ": there is one in namespace \"crawler\" (-n)");
        assert!(
            said("deployment/none").starts_with(", which has no deployments at all, "),
            "{}",
            said("deployment/none")
        );
        assert_eq!(said("pod/none"), "");
    }

    #[test]
    fn a_deployment_has_its_pods_although_no_replica_set_was_read() {
        let pod = |name: &str, set: &str, hash: &str, app: &str| {
            json!({"kind": "Pod", "metadata": {"name": name, "creationTimestamp": "2026-11-29T10:00:01Z",
                   "labels": {"app": app, "pod-template-hash": hash},
                   "ownerReferences": [{"kind": "ReplicaSet", "name": set, "uid": set, "controller": true}]},
                   "spec": {"containers": [{"name": "c"}]}})
        };
        let mut objects = vec![
            json!({"kind": "Deployment",
                   "metadata": {"name": "web", "uid": "d", "creationTimestamp": "2026-11-29T10:00:00Z"},
                   "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}}),
            pod("web-6f7-a", "web-6f7", "6f7", "web"),
            pod("web-6f7-b", "web-6f7", "6f7", "web"),
            // Of a ReplicaSet that was adopted, and of other Deployments.
            pod("old-a", "old", "", "web"),
            pod("shop-6f7-a", "shop-6f7", "6f7", "shop"),
            pod("like-6f7-a", "like-6f7", "6f7", "web"),
        ];
        let target = parse("deployment/web").unwrap();
        let traced = |objects: &[Value]| {
            let at = parse_rfc3339("2026-11-29T10:01:00Z").unwrap();
            build(&World::new(objects, "default"), &target, &Whys::new(), at).unwrap()
        };
        let missing = |trace: &Trace| {
            let why = trace.waiting.iter().find(|wait| wait.next == Event::Created).map(|wait| wait.why.clone());
            why.unwrap_or_default()
        };
        let trace = traced(&objects);
        assert_eq!((trace.pods.wanted, trace.pods.active, missing(&trace)), (Some(3), 3, String::new()));
        let mut said: Vec<String> = trace.steps.iter().map(|s| format!("{} {:?}", s.object, s.took_seconds)).collect();
        said.sort();
        let (sets, pods) = (["rs/old", "rs/web-6f7"], ["pod/old-a", "pod/web-6f7-a", "pod/web-6f7-b"]);
        let expected = ["deployment/web"].iter().chain(&pods).chain(&sets).map(|object| format!("{object} None"));
        assert_eq!(said, expected.collect::<Vec<_>>());
        objects[0]["spec"]["replicas"] = json!(4);
        assert!(missing(&traced(&objects)).starts_with("1 pod missing: "));
        // A ReplicaSet that was read and is another's, or nobody's, tells of its pods itself.
        objects.push(json!({"kind": "ReplicaSet", "metadata": {"name": "web-6f7", "uid": "web-6f7"}}));
        assert_eq!(traced(&objects).pods.active, 1);
    }
}
