//! Telling people: conditions and Events on nodes, and on pods that get no swap.

use hashbrown::HashSet;
use headroom_core::{
    Now, Str,
    intent::{EventRecord, EventType},
    memory::SwapBehavior,
    object::{Node, ObjectReference, Pod, Qos},
    quantity::human_bytes,
};

use super::{
    METRICS_AFTER, NodeHeadroomController,
    alerts::{Figures, News},
    assess::{self, Measured},
    rows,
};
use crate::{
    framework::{Outbox, World},
    memory_profile::about_pod,
};

/// Namespaces whose pods were told that they get no swap; beyond it no more are.
const MAX_NAMESPACES: usize = 1024;
/// Workloads that were told of a hint that cannot be read; beyond it no more are.
const MAX_HINTS: usize = 1024;
/// How much of such a hint is repeated, characters.
const SHOWN: usize = 64;

/// What was said once and is not said again by this process.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Namespaces with a BestEffort pod that gets no swap.
    namespaces: HashSet<Str>,
    /// UIDs of workloads, or of pods without one, with a hint that cannot be read.
    hints: HashSet<Str>,
}

impl NodeHeadroomController {
    /// Looks at a new sample of a node once.
    pub(super) fn tell(&mut self, name: &Str, node: &Node, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(target) = self.targets.get_mut(name) else { return };
        if let Some(failure) = target.failure.as_ref().filter(|_| target.failures >= METRICS_AFTER)
            && target.told_failure != Some(failure.reason())
        {
            target.told_failure = Some(failure.reason());
            let news = News { kind: EventType::Warning, reason: "KubeletNotReadable", note: failure.to_string() };
            out.event(about_node(node, news, now));
        }
        if !std::mem::take(&mut target.untold) {
            return;
        }
        let (Some(measured), Some(pressure)) = (&target.measured, &target.pressure) else { return };
        let capacity = node.capacity.memory;
        let protected = rows::is_protected(node, world);
        let eviction = target.config.as_ref().and_then(|c| c.eviction).map(|e| e.resolve(capacity));
        let memory =
            rows::node_memory(node, measured.swap_capacity, measured.behavior, eviction, measured.overhead, protected);
        let no_swap = node.swap_capacity.or(measured.swap_capacity) == Some(0);
        // Where nothing was measured the state is what is left of an older one.
        let shown = measured.psi.is_some() || measured.major_faults.is_some();
        let figures = Figures {
            at: measured.at,
            capacity,
            working_set: measured.working_set,
            swap: memory.swap,
            swap_used: measured.swap_used.or(no_swap.then_some(0)),
            pods_swap: matches!(measured.behavior, SwapBehavior::LimitedSwap | SwapBehavior::Unlimited),
            headroom: assess::headroom(measured, &memory, node, world, &self.params).map(|(headroom, _)| headroom),
            state: shown.then_some(pressure.state),
        };
        let (verdicts, mut news) = target.alerts.look(&figures, now.mono);
        for verdict in verdicts {
            target.conditions.set(verdict, now.wall);
        }
        if protected && memory.swap > 0 && !std::mem::replace(&mut target.told_of_swap, true) {
            let note = format!(
                "this node runs the control plane and has {} of swap: when it swaps, the datastore stalls and loses its \
                 leases; turn swap off here",
                human_bytes(memory.swap)
            );
            news.push(News { kind: EventType::Warning, reason: "ControlPlaneSwap", note });
        }
        for one in news {
            out.event(about_node(node, one, now));
        }
        self.said.bad_hints(measured, node, world, now, out);
        if measured.behavior == SwapBehavior::LimitedSwap && memory.swap > 0 {
            self.said.no_swap(measured, node, world, now, out);
        }
    }
}

impl Said {
    /// Hints that are no quantities are ignored (5.12 (4)): said once per workload.
    fn bad_hints(&mut self, measured: &Measured, node: &Node, world: &World, now: Now, out: &mut Outbox<'_>) {
        for pod in world.pods.on_node(node.name()) {
            let Some(hint) = rows::unreadable_hint(pod) else { continue };
            let workload = pod.meta.controller().map_or(&pod.meta.uid, |owner| &owner.uid);
            let sampled = measured.pods.iter().any(|seen| seen.uid == pod.meta.uid);
            if !sampled || self.hints.contains(workload) || self.hints.len() >= MAX_HINTS {
                continue;
            }
            self.hints.insert(workload.clone());
            let shown: String = hint.chars().take(SHOWN).collect();
            let note = format!("its annotation {}: {shown:?} is no size like 300Mi, and is ignored", rows::HINT);
            out.event(about_pod(pod, EventType::Warning, "InvalidMemoryHint", note, now));
        }
    }

    /// BestEffort pods get no swap from any kubelet: said once per namespace, with the way out.
    fn no_swap(&mut self, measured: &Measured, node: &Node, world: &World, now: Now, out: &mut Outbox<'_>) {
        for seen in &measured.pods {
            if self.namespaces.contains(seen.namespace.as_str()) || self.namespaces.len() >= MAX_NAMESPACES {
                continue;
            }
            let mut pods = world.pods.on_node(node.name());
            let Some(pod) = pods.find(|pod| pod.meta.uid == seen.uid && gets_no_swap(pod)) else { continue };
            let namespace = &pod.meta.key.namespace;
            self.namespaces.insert(namespace.clone());
            let note = format!(
                "it gets no swap on {} since it has no memory request, and has to stay in RAM; a LimitRange gives one to \
                 new pods of this namespace: echo '{{\"apiVersion\":\"v1\",\"kind\":\"LimitRange\",\"metadata\":\
                 {{\"name\":\"memory-request\"}},\"spec\":{{\"limits\":[{{\"type\":\"Container\",\"defaultRequest\":\
                 {{\"memory\":\"32Mi\"}}}}]}}}}' | kubectl apply -n {namespace} -f -",
                node.name()
            );
            out.event(about_pod(pod, EventType::Normal, "NoSwapBestEffort", note, now));
        }
    }
}

/// An ordinary pod without any request: those of the system and of DaemonSets are their vendors' business.
fn gets_no_swap(pod: &Pod) -> bool {
    let daemon = pod.meta.controller().is_some_and(|o| o.kind == "DaemonSet");
    let system = pod.meta.key.namespace == "kube-system" || pod.is_mirror();
    pod.qos() == Qos::BestEffort && pod.is_active() && !daemon && !system
}

fn about_node(node: &Node, news: News, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Node".into(),
            namespace: Str::default(),
            name: node.name().clone(),
            uid: node.meta.uid.clone(),
        },
        related: None,
        kind: news.kind,
        reason: news.reason,
        action: "Measuring",
        note: news.note,
        reporter: None,
        at: now.wall,
    }
}
