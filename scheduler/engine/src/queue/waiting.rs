//! What plugins see of the pods that wait.

use super::{Place, Queue, QueuedPod};
use crate::framework::PodInfo;

/// The pods of the queue that are not about to be tried: they back off, wait for an event, or are kept out by PreEnqueue.
#[derive(Debug, Clone, Copy)]
pub struct WaitingPods<'a> {
    queue: &'a Queue,
}

fn waits(entry: &QueuedPod) -> bool {
    matches!(entry.place, Place::Backoff | Place::Unschedulable)
}

impl<'a> WaitingPods<'a> {
    pub(crate) const fn new(queue: &'a Queue) -> Self {
        Self { queue }
    }

    /// All of them, of every profile, in no particular order. It goes through the whole queue: ask only when there is a
    /// reason to.
    pub fn iter(&self) -> impl Iterator<Item = &'a PodInfo> + use<'a> {
        let queue = self.queue;
        queue.iter().filter(|entry| waits(entry)).map(|entry| &entry.info)
    }

    /// The one with this UID.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&'a PodInfo> {
        let queue = self.queue;
        queue.get(uid).filter(|entry| waits(entry)).map(|entry| &entry.info)
    }
}
