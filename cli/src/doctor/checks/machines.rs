//! What hangs on machines that are gone.

use headroom_core::{
    object::{AccessModes, ObjectKey, PersistentVolume},
    selector::NodeSelectorTerm,
};

use super::Rule;
use crate::{
    doctor::{
        finding::{Fix, Out, Severity, Subject},
        look::{Look, not_ready, silent},
        state::PodFacts,
        text::{arg, cut, lasting, some_of},
    },
    top::table::age,
};

pub(super) static RULES: [Rule; 4] = [
    Rule {
        id: "statefulset-waits-for-dead-node",
        severity: Severity::Error,
        title: "a StatefulSet's pod cannot end",
        why: "A pod that is to go is gone when its kubelet says so, and this kubelet says nothing. A StatefulSet makes \
              no second pod of the same name before that: both could write to one volume. Somebody who knows that the \
              machine is off has to say it.",
        reads: &["nodes", "pods"],
        also: &[],
        check: statefulset_waits,
    },
    Rule {
        id: "volume-held-by-dead-node",
        severity: Severity::Error,
        title: "a volume is attached to a dead node",
        why: "A volume for one node at a time is detached when its node confirms it, or six minutes after its pod is \
              gone. As long as the old pod is not gone the new one does not start.",
        reads: &["nodes", "pods", "persistentvolumes", "volumeattachments"],
        also: &[],
        check: volume_held,
    },
    Rule {
        id: "volume-on-missing-node",
        severity: Severity::Error,
        title: "a volume's node does not exist",
        why: "A local volume (k3s' local-path, for one) is a directory on one machine. Its claim is bound to it for \
              good, so that no other node will do for the pod.",
        reads: &["nodes", "pods", "persistentvolumes", "persistentvolumeclaims"],
        also: &[],
        check: volume_missing,
    },
    Rule {
        id: "pod-on-missing-node",
        severity: Severity::Warning,
        title: "a pod's node does not exist",
        why: "Nothing runs there. The pod garbage collector deletes such pods within a minute; as long as they are \
              there they count as replicas, and nobody makes others in their place.",
        reads: &["nodes", "pods"],
        also: &[],
        check: pod_on_missing_node,
    },
];

/// Seconds that things may take by themselves before they are told.
const PATIENCE: u64 = 60;

/// A cluster without any node is one whose nodes were not saved: nothing is known of missing ones.
fn none_saved(look: &Look<'_>) -> bool {
    look.state.nodes.is_empty()
}

/// How to say that a machine is gone.
fn out_of_service(fix: Fix, node: &str) -> Fix {
    let node = arg(node);
    fix.say("only when the machine is certainly off: its pods go, its volumes are let go")
        .run(format!("kubectl taint node {node} \\"))
        .run("  node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
        .say("it comes back: the same with a minus at the end; it is gone for good:")
        .run(format!("kubectl delete node {node}"))
}

fn statefulset_waits(look: &Look<'_>, out: &mut Out<'_>) {
    for pod in look.pods() {
        let row = &pod.row;
        let (Some(ends), Some(owner)) = (row.meta.deleted(), row.meta.controller()) else { continue };
        let Some(node) = row.node_name.as_deref().and_then(|name| look.node(name)) else { continue };
        let Some(ready) = not_ready(node) else { continue };
        if owner.kind != "StatefulSet" || look.age(ends) < PATIENCE {
            continue;
        }
        let summary = format!(
            "was to be gone {} ago; node {} has not been ready{}, and StatefulSet {} waits",
            age(look.age(ends)),
            cut(node.name()),
            lasting(ready.last_transition, look.at),
            cut(&owner.name),
        );
        let fix = Fix::default().run(format!("kubectl describe node {}", arg(node.name())));
        out.push(Subject::namespaced("Pod", &row.meta.key), summary, out_of_service(fix, node.name()));
    }
}

fn volume_held(look: &Look<'_>, out: &mut Out<'_>) {
    if none_saved(look) {
        return;
    }
    let users = look.users();
    for attachment in look.state.attachments.values() {
        let node = &attachment.node_name;
        let dead = look.node(node).is_none_or(|node| silent(node).is_some());
        let volume = attachment.volume_name.as_deref().and_then(|name| look.state.volumes.get(name));
        let (true, Some(volume)) = (dead, volume) else { continue };
        let Some(claim) = claim_of(volume) else { continue };
        let waits = |pod: &&&PodFacts| {
            pod.row.node_name.as_ref() != Some(node)
                && !pod.row.is_ready()
                && look.age(pod.row.meta.created) >= PATIENCE
        };
        let waiting = users.get(&claim).and_then(|pods| pods.iter().find(waits));
        let Some(pod) = waiting.filter(|_| !volume.access_modes.contains(AccessModes::READ_WRITE_MANY)) else {
            continue;
        };
        let summary = format!(
            "its volume {} is attached to node {}, which is dead; pod {} waits for it",
            cut(volume.name()),
            cut(node),
            pod.full_name(),
        );
        let fix = Fix::default().run(format!("kubectl get volumeattachment {}", arg(&attachment.meta.key.name)));
        let fix = match look.node(node) {
            Some(_) => out_of_service(fix, node),
            None => fix
                .say("the Node is deleted already: after six minutes it is detached; at once, if the machine is off:")
                .run(format!("kubectl delete volumeattachment {}", arg(&attachment.meta.key.name))),
        };
        out.push(Subject::namespaced("PersistentVolumeClaim", &claim), summary, fix);
    }
}

/// The claim that a volume is bound to.
fn claim_of(volume: &PersistentVolume) -> Option<ObjectKey> {
    let claim = volume.claim_ref.as_ref()?;
    Some(ObjectKey { namespace: claim.namespace.clone(), name: claim.name.clone() })
}

fn volume_missing(look: &Look<'_>, out: &mut Out<'_>) {
    if none_saved(look) {
        return;
    }
    for (key, pods) in look.users() {
        let Some(pod) = pods.iter().find(|pod| pod.row.node_name.is_none()) else { continue };
        let Some(claim) = look.state.claims.get(&key).filter(|claim| !claim.volume_name.is_empty()) else { continue };
        let Some(volume) = look.state.volumes.get(claim.volume_name.as_str()) else { continue };
        let Some(affinity) = &volume.node_affinity else { continue };
        if look.nodes().any(|node| affinity.matches(node.name(), &node.row.meta.labels)) {
            continue;
        }
        let places: Vec<String> = affinity.terms.iter().flat_map(places).collect();
        let where_it_is = if places.is_empty() { "no node".to_owned() } else { some_of(&places) };
        let summary = format!(
            "its volume {} is on {where_it_is}, which is not in the cluster; pod {} waits for it",
            cut(volume.name()),
            pod.full_name(),
        );
        let (namespace, name) = (arg(&key.namespace), arg(&key.name));
        let fix = Fix::default()
            .say("the data is on that machine: bring it back under the same name")
            .say("only to give the data up: claim and pod are made anew, empty; restore a backup then")
            .run(format!("kubectl -n {namespace} delete pvc {name} --wait=false"))
            .run(format!("kubectl -n {namespace} delete pod {}", arg(&pod.row.meta.key.name)));
        out.push(Subject::namespaced("PersistentVolumeClaim", &key), summary, fix);
    }
}

/// The values that a term asks for, such as names of nodes.
fn places(term: &NodeSelectorTerm) -> Vec<String> {
    let requirements = term.match_expressions.iter().chain(term.match_fields.iter());
    requirements.flat_map(|requirement| requirement.values.iter().map(ToString::to_string)).collect()
}

fn pod_on_missing_node(look: &Look<'_>, out: &mut Out<'_>) {
    if none_saved(look) {
        return;
    }
    for pod in look.pods().filter(|pod| !pod.row.is_terminal()) {
        let meta = &pod.row.meta;
        let Some(node) = pod.row.node_name.as_deref().filter(|name| look.node(name).is_none()) else { continue };
        if look.age(meta.created) < PATIENCE {
            continue;
        }
        let summary = format!("is bound to node {}, which does not exist", cut(node));
        let (namespace, name) = (arg(&meta.key.namespace), arg(&meta.key.name));
        let fix = Fix::default()
            .say(
                "still there after a minute? does kube-controller-manager run pod-garbage-collector-controller, or \
                 headroom-controllers?",
            )
            .run("kubectl -n kube-system get pods")
            .say("by hand, when the machine is certainly off:")
            .run(format!("kubectl -n {namespace} delete pod {name} --grace-period=0 --force"));
        out.push(Subject::namespaced("Pod", &meta.key), summary, fix);
    }
}
