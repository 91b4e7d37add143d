//! Pods of nodes that are not ready: their `Ready` condition becomes False, so that no endpoints lead to them
//! (`MarkPodsNotReady`, `processPod`).

use headroom_core::{
    Now, Str,
    intent::{EventRecord, EventType, Op, Outcome, PodStatusPatch, WriteError},
    object::{ObjectKey, ObjectReference, Pod, PodCondition, Status},
};

use super::{COMPONENT, NodeLifecycleController, health, writes::Write};
use crate::framework::{Changed, Outbox, World};

impl NodeLifecycleController {
    /// A pod that comes to a node which is not ready is marked too: the cache may have lagged when the node was.
    pub(super) fn note_pod(&mut self, change: &Changed<'_, Pod>, world: &World) {
        let Some(pod) = change.new else { return };
        let Some(node) = &pod.node_name else { return };
        if change.old.is_some_and(|old| old.node_name.as_ref() == Some(node)) {
            return;
        }
        if self.node_ready(node, world) != Some(Status::True) {
            self.pods.add(pod.meta.key.clone());
        }
    }

    fn node_ready(&self, name: &Str, world: &World) -> Option<Status> {
        let node = world.nodes.get(name)?;
        self.health.get(name).map_or_else(|| health::ready(node), |health| health.ready(node))
    }

    pub(super) fn sync_pod(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        let wanted = world.pods.get(key).filter(|pod| {
            let node = pod.node_name.as_ref();
            // Without health of the node, or without a Ready condition, the next pass decides.
            let known = node.filter(|n| self.health.contains_key(*n)).and_then(|n| self.node_ready(n, world));
            known.is_some_and(|status| status != Status::True)
        });
        let Some(pod) = wanted else { return self.pods.forget(key) };
        let Some(ready) = pod.condition("Ready").filter(|c| c.status != Status::False) else {
            return self.pods.forget(key);
        };
        let condition =
            PodCondition { status: Status::False, last_transition: Some(now.wall.truncated()), ..ready.clone() };
        let patch = PodStatusPatch { conditions: vec![condition], nominated_node_name: None };
        let id = out.push(Op::PodStatus { pod: key.clone(), uid: pod.meta.uid.clone(), patch });
        self.in_flight.insert(id, Write::Pod(key.clone()));
    }

    pub(super) fn pod_written(
        &mut self,
        key: &ObjectKey,
        outcome: &Outcome,
        world: &World,
        now: Now,
        out: &mut Outbox<'_>,
    ) {
        match &outcome.result {
            Ok(_) => {
                self.pods.forget(key);
                let Some(pod) = world.pods.get(key) else { return };
                out.event(EventRecord {
                    regarding_api_version: "v1",
                    regarding: ObjectReference {
                        kind: "Pod".into(),
                        namespace: key.namespace.clone(),
                        name: key.name.clone(),
                        uid: pod.meta.uid.clone(),
                    },
                    related: None,
                    kind: EventType::Warning,
                    reason: "NodeNotReady",
                    action: "",
                    note: "Node is not ready".into(),
                    reporter: Some(COMPONENT.into()),
                    at: now.wall,
                });
            }
            Err(WriteError::NotFound(_) | WriteError::NotLeader) => self.pods.forget(key),
            Err(error) => {
                if self.pods.failures(key) == 0 {
                    tracing::warn!(pod = %key, "cannot be marked not ready: {error}");
                }
                self.pods.add_rate_limited(key.clone(), now.mono);
            }
        }
    }
}
