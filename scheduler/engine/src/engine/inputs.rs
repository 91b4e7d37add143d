//! Changes of the cluster: cache, queue, nominations (`pkg/scheduler/eventhandlers.go`).

use std::sync::Arc;

use headroom_core::{
    Now, Str,
    intent::Intent,
    object::{Kind, MemoryProfile, Namespace, Node, ObjectKey, Pod},
};

use super::{Engine, Mode, Report, queue_and_cx};
use crate::{
    cache::StorageObject,
    framework::{
        Actions, Change, ClusterEvent, EventResource, PodInfo,
        events::{node_update_actions, pod_update_actions},
    },
    queue::Among,
};

/// Most pods kept in quarantine; beyond it the oldest knowledge is forgotten.
pub(super) const MAX_QUARANTINED: usize = 256;

/// Most kinds of events of one input that are told: more than an object's change can have.
const MAX_HAPPENED: usize = 16;

impl Engine {
    /// Remembers the kind of an event until the next input.
    fn note(&mut self, event: ClusterEvent) {
        if self.happened.len() < MAX_HAPPENED && !self.happened.contains(&event) {
            self.happened.push(event);
        }
    }

    pub(super) fn happened_to(&mut self, resource: EventResource, action: Actions, change: &Change, now: Now) {
        self.note(ClusterEvent::new(resource, action));
        let (queue, cx) = queue_and_cx!(self, now);
        queue.on_event(ClusterEvent::new(resource, action), change, Among::All, &cx);
    }

    /// The place that was held for a nominated pod is free, for pods of at most its priority.
    fn nomination_ended(&mut self, old: PodInfo, now: Now) {
        let among = Among::UpTo(old.priority());
        let change = Change::Pod { old: Some(old), new: None };
        let (queue, cx) = queue_and_cx!(self, now);
        queue.on_event(ClusterEvent::new(EventResource::AssignedPod, Actions::DELETE), &change, among, &cx);
    }

    pub(super) fn pod_applied(&mut self, pod: Arc<Pod>, now: Now, out: &mut Vec<Intent>) {
        let uid = pod.meta.uid.clone();
        if pod.meta.is_terminating() {
            self.victim_seen_going(&uid);
        }
        if pod.is_terminal() {
            self.pod_gone(&uid, now, out);
            return;
        }
        match pod.node_name.clone().filter(|n| !n.is_empty()) {
            Some(node) => self.assigned_pod(pod, &node, now, out),
            None => self.waiting_pod(pod, now, out),
        }
    }

    fn assigned_pod(&mut self, pod: Arc<Pod>, node: &Str, now: Now, out: &mut Vec<Intent>) {
        let uid = pod.meta.uid.clone();
        let known = self.cache.pod(&uid).map(|c| c.info.clone());
        let info = self.cache.info(pod, known.as_ref());
        let first_seen = known.is_none() && self.queue.get(&uid).is_none();
        if self.mode == Mode::Shadow {
            self.shadow_bound(&info, node, first_seen);
        } else {
            self.confirm_binding(&info, node, now, out);
        }
        self.nominated.remove(&uid);
        let (queue, cx) = queue_and_cx!(self, now);
        queue.remove(&uid, &cx);
        let change = self.cache.set_pod(info.clone(), node);
        let (actions, was) = match change.old {
            // An assumed pod counted already; its confirmation is upstream's AssignedPodAdd all the same.
            Some(old) if !change.was_assumed => (pod_update_actions(&old, &info), Some(old)),
            _ => (vec![Actions::ADD], None),
        };
        let what = Change::Pod { old: was, new: Some(info) };
        for action in actions {
            self.happened_to(EventResource::AssignedPod, action, &what, now);
        }
    }

    fn waiting_pod(&mut self, pod: Arc<Pod>, now: Now, out: &mut Vec<Intent>) {
        let uid = pod.meta.uid.clone();
        if self.quarantined.contains(&uid) || self.shadow.has_looked_at(&uid) {
            return;
        }
        // A version from before our binding: what we know is newer. A binding in progress keeps the newest version.
        if self.cache.pod(&uid).is_some_and(|c| !c.assumed) {
            return;
        }
        let Some(profile) = self.profiles.find(&pod.spec.scheduler_name) else { return };
        let before = self.queue.get(&uid).map(|e| e.info.clone());
        // A list shows again what is known (kubernetes#96071).
        let same = |b: &PodInfo| b.pod.meta.resource_version == pod.meta.resource_version;
        if pod.meta.resource_version != 0 && before.as_ref().is_some_and(same) {
            return;
        }
        // Deleting pods are not taken up; those that wait stay until they are gone (and are skipped when popped).
        if before.is_none() && (pod.meta.is_terminating() || self.cache.pod(&uid).is_some()) {
            return;
        }
        let was_nominated = before.as_ref().and_then(|b| b.pod.status.nominated_node_name.clone());
        let info = self.cache.info(pod, before.as_ref());
        let is_nominated = info.pod.status.nominated_node_name.clone();
        let assumed = self.cache.pod(&uid).is_some();
        if !assumed {
            self.nominated.update(before.as_ref(), &info);
        }
        self.note(ClusterEvent::new(
            EventResource::UnscheduledPod,
            if before.is_some() { Actions::UPDATE_OTHER } else { Actions::ADD },
        ));
        let leaves = info.pod.meta.is_terminating() && !before.as_ref().is_some_and(|b| b.pod.meta.is_terminating());
        let (queue, cx) = queue_and_cx!(self, now);
        match &before {
            Some(_) => queue.update(info.clone(), &cx),
            None => queue.add(info.clone(), profile, &cx),
        }
        if assumed {
            if leaves {
                self.assumed_pod_leaves(&info, now, out);
            }
            return;
        }
        if let Some(old) = before
            && was_nominated.is_some()
            && was_nominated != is_nominated
        {
            self.nomination_ended(old, now);
        }
    }

    /// A pod was deleted, or has ended.
    pub(super) fn pod_gone(&mut self, uid: &Str, now: Now, out: &mut Vec<Intent>) {
        self.victim_seen_going(uid);
        self.quarantined.remove(uid);
        self.shadow.forget(uid);
        let nominated = self.nominated.remove(uid).is_some();
        let (queue, cx) = queue_and_cx!(self, now);
        let waiting = queue.remove(uid, &cx);
        self.drop_binding(uid, now, out);
        if let Some((cached, _)) = self.cache.remove_pod(uid) {
            let change = Change::Pod { old: Some(cached.info), new: None };
            self.happened_to(EventResource::AssignedPod, Actions::DELETE, &change, now);
            return;
        }
        if let Some(waiting) = waiting {
            self.note(ClusterEvent::new(EventResource::UnscheduledPod, Actions::DELETE));
            if nominated {
                self.nomination_ended(waiting.info, now);
            }
        }
    }

    pub(super) fn node_applied(&mut self, node: Arc<Node>, now: Now) {
        let old = self.cache.set_node(node.clone());
        let actions = old.as_ref().map_or_else(|| vec![Actions::ADD], |old| node_update_actions(old, &node));
        let change = Change::Node { old, new: Some(node) };
        for action in actions {
            self.happened_to(EventResource::Node, action, &change, now);
        }
    }

    pub(super) fn node_deleted(&mut self, name: &str, now: Now) {
        if let Some(old) = self.cache.remove_node(name) {
            let change = Change::Node { old: Some(old), new: None };
            self.happened_to(EventResource::Node, Actions::DELETE, &change, now);
        }
    }

    pub(super) fn namespace_applied(&mut self, namespace: Arc<Namespace>, now: Now) {
        let old = self.cache.set_namespace(namespace.clone());
        if old.is_none_or(|old| old.meta.labels != namespace.meta.labels) {
            let change = Change::Namespace { new: Some(namespace) };
            self.happened_to(EventResource::Namespace, Actions::UPDATE_OTHER, &change, now);
        }
    }

    pub(super) fn namespace_deleted(&mut self, name: &str, now: Now) {
        if self.cache.remove_namespace(name).is_some() {
            self.happened_to(EventResource::Namespace, Actions::DELETE, &Change::Namespace { new: None }, now);
        }
    }

    pub(super) fn storage_applied(&mut self, object: StorageObject, now: Now, out: &mut Vec<Intent>) {
        let old = self.cache.storage_mut().set(object.clone());
        // A list that is repeated shows what is known already.
        let version = object.meta().resource_version;
        if old.as_ref().is_some_and(|o| version != 0 && o.meta().resource_version >= version) {
            return;
        }
        let action = if old.is_some() { Actions::UPDATE_OTHER } else { Actions::ADD };
        let resource = object.resource();
        self.storage_changed(resource, action, Change::Storage { old, new: Some(object) }, now, out);
    }

    pub(super) fn storage_deleted(&mut self, kind: Kind, key: &ObjectKey, now: Now, out: &mut Vec<Intent>) {
        if let Some(old) = self.cache.storage_mut().remove(kind, key) {
            let resource = old.resource();
            let change = Change::Storage { old: Some(old), new: None };
            self.storage_changed(resource, Actions::DELETE, change, now, out);
        }
    }

    fn storage_changed(
        &mut self,
        resource: EventResource,
        action: Actions,
        change: Change,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        self.happened_to(resource, action, &change, now);
        if let Change::Storage { old, new } = &change {
            for uid in [old, new].into_iter().flatten().filter_map(StorageObject::claim_uid) {
                self.wake_claim_waiters(uid, now, out);
            }
        }
    }

    /// Pods that were rejected for want of memory hear of the nodes that have more of it now.
    pub(super) fn memory_news(&mut self, now: Now) {
        let (nodes, all) = self.cache.take_memory_news();
        if all {
            self.happened_to(EventResource::NodeHeadroom, Actions::UPDATE_OTHER, &Change::None, now);
            return;
        }
        for node in nodes {
            self.happened_to(EventResource::NodeHeadroom, Actions::UPDATE_OTHER, &Change::NodeHeadroom { node }, now);
        }
    }

    pub(super) fn profile_applied(&mut self, profile: Arc<MemoryProfile>, now: Now) {
        if self.cache.set_profile(profile.clone()) {
            self.happened_to(EventResource::MemoryProfile, Actions::UPDATE_OTHER, &Change::MemoryProfile(profile), now);
        }
    }

    pub(super) fn profile_deleted(&mut self, key: &ObjectKey, now: Now) {
        if let Some(gone) = self.cache.remove_profile(key) {
            self.happened_to(EventResource::MemoryProfile, Actions::DELETE, &Change::MemoryProfile(gone), now);
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Intent>) {
        let (queue, cx) = queue_and_cx!(self, now);
        queue.flush(&cx);
        self.binding_deadlines(now, out);
        self.extender_deadlines(now);
    }

    pub(super) fn foreign_binding(&mut self, info: &PodInfo, node: &Str, ours: Option<Str>, now: Now) {
        if !self.leading {
            return;
        }
        self.counters.foreign_bindings += 1;
        let pod = info.pod.meta.key.clone();
        self.report(Report::ForeignBinding { pod, node: node.clone(), ours, at: now.wall });
    }
}
