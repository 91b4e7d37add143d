//! Containers that were killed for want of memory: their peak was higher than any sample showed.

use std::sync::Arc;

use headroom_core::{
    Now, Str, Timestamp,
    intent::{EventRecord, EventType},
    object::{ContainerStatus, ObjectKey, ObjectReference, Pod},
    quantity::human_bytes,
};

use super::MemoryProfileController;
use crate::framework::{Outbox, World};

/// Kills that wait to be told; beyond it they are not.
const MAX_KILLS: usize = 256;
/// A kill that is seen this late, in seconds, is no news for people any more.
const OLD_SECONDS: i64 = 600;

/// A kill that was seen to happen.
#[derive(Debug)]
pub(super) struct Kill {
    pod: Arc<Pod>,
    container: Str,
    at: Timestamp,
}

/// The newest kill of any of a pod's containers, init containers included.
pub(super) fn newest(pod: &Pod) -> Option<Timestamp> {
    pod.status.containers().iter().filter_map(|c| c.oom_killed_at).max()
}

impl MemoryProfileController {
    pub(super) fn pod_changed(&mut self, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>, now: Now) {
        let Some(pod) = new else {
            if let Some(gone) = old {
                self.last.remove(&gone.meta.uid);
            }
            return;
        };
        if newest(pod).is_none() {
            return;
        }
        self.pods.add(pod.meta.key.clone());
        // What happened before this process looked was told by another one, or is old.
        let Some(old) = old.filter(|old| old.meta.uid == pod.meta.uid && self.leading) else { return };
        let before =
            |name: &Str| old.status.containers().iter().find(|c| c.name == *name).and_then(|c| c.oom_killed_at);
        for status in pod.status.containers() {
            if let Some(at) = status.oom_killed_at.filter(|at| Some(*at) > before(&status.name))
                && now.wall.secs().saturating_sub(at.secs()) <= OLD_SECONDS
                && self.kills.len() < MAX_KILLS
            {
                self.kills.push(Kill { pod: pod.clone(), container: status.name.clone(), at });
            }
        }
    }

    /// Raises the peaks of a pod's workload by the kills of its containers.
    pub(super) fn look_for_kills(&mut self, key: &ObjectKey, world: &World, now: Now) {
        let Some(pod) = world.pods.get(key).cloned() else { return };
        for ContainerStatus { name, oom_killed_at, .. } in pod.status.containers() {
            let Some(at) = oom_killed_at else { continue };
            let Some((image, limit)) = container(&pod, name) else { continue };
            let last = self.last_footprint(&pod, name);
            let Some(workload) = self.workload(&pod, world, now) else { return };
            let Some(state) = self.workloads.get_mut(&workload) else { return };
            if state.learned.oom_killed((name, &image), *at, last, limit, &self.params) {
                self.queue.add(workload);
            }
        }
    }

    fn last_footprint(&self, pod: &Pod, container: &str) -> Option<i64> {
        let footprints = self.last.get(&pod.meta.uid)?;
        footprints.iter().find(|(name, _)| *name == *container).map(|(_, bytes)| *bytes)
    }

    /// Tells of kills on their pods. The recorder bounds how many events a pod gets.
    pub(super) fn tell_kills(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) {
        for Kill { pod, container: name, at } in std::mem::take(&mut self.kills) {
            let limit = container(&pod, &name).and_then(|(_, limit)| limit);
            let mut note = format!("container {name} was killed for want of memory at {}", at.truncated());
            match (self.last_footprint(&pod, &name), limit) {
                (Some(last), Some(limit)) => {
                    note += &format!(", last seen with {} of its limit {}", human_bytes(last), human_bytes(limit));
                }
                (Some(last), None) => note += &format!(", last seen with {} and without a limit", human_bytes(last)),
                (None, Some(limit)) => note += &format!("; its limit is {}", human_bytes(limit)),
                (None, None) => {}
            }
            if self.workload(&pod, world, now).is_some() {
                note += "; what its workload is taken to need is raised";
            }
            out.event(about_pod(&pod, EventType::Warning, "OOMKilled", note, now));
        }
    }
}

/// Image and limit of a container.
fn container(pod: &Pod, name: &str) -> Option<(Str, Option<i64>)> {
    let mut all = pod.spec.init_containers.iter().chain(pod.spec.containers.iter());
    let found = all.find(|c| c.name == *name)?;
    Some((found.image.clone(), found.limits.memory.filter(|limit| *limit > 0)))
}

/// An event on a pod.
pub(crate) fn about_pod(pod: &Pod, kind: EventType, reason: &'static str, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Pod".into(),
            namespace: pod.meta.key.namespace.clone(),
            name: pod.meta.key.name.clone(),
            uid: pod.meta.uid.clone(),
        },
        related: None,
        kind,
        reason,
        action: "Measuring",
        note,
        reporter: None,
        at: now.wall,
    }
}
