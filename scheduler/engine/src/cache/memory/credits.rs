//! What pods held that are in a node's sample and have left since: it is free until the next sample (memory-and-swap.md
//! 5.12, "Preemption"). One that comes back, or is taken off and put again since its spec changed, takes its own back.

use std::collections::BTreeSet;

use headroom_core::{Str, Timestamp, memory::PodUsage, object::Pod};

use super::{NodeMemoryInfo, sample_uid};
use crate::framework::PodInfo;

impl NodeMemoryInfo {
    /// When the sample was taken, if there is one.
    pub(super) fn sampled_at(&self) -> Option<Timestamp> {
        Some(self.headroom.as_ref()?.sample.as_ref()?.at)
    }

    /// Where a pod is in the sample, by its UID there.
    pub(super) fn place(&self, uid: &str) -> Option<u32> {
        let at = self.headroom.as_ref().filter(|h| h.sample.is_some())?.place(uid)?;
        u32::try_from(at).ok()
    }

    /// What the sample says of a pod, by its UID there.
    pub(super) fn usage(&self, uid: &str) -> Option<PodUsage> {
        self.headroom.as_ref().filter(|h| h.sample.is_some())?.usage(uid).copied()
    }

    /// A pod is gone. `rest` is who is left on the node: a mirror pod made anew stands for the same containers.
    pub(super) fn free(&mut self, pod: &Pod, rest: &[PodInfo]) {
        let uid = sample_uid(pod);
        let Some(usage) = self.usage(uid) else { return };
        if rest.iter().all(|other| sample_uid(&other.pod) != uid) && self.credited.insert(uid.clone()) {
            self.sums.credit(&usage);
        }
    }

    /// A pod is here: what the sample says of it is in use.
    pub(super) fn claim(&mut self, pod: &Pod) {
        let uid = sample_uid(pod);
        if self.credited.remove(uid)
            && let Some(usage) = self.usage(uid)
        {
            self.sums.debit(&usage);
        }
    }

    /// Takes over who left, from a state of the same node with the same sample.
    pub(super) fn carry(&mut self, credited: BTreeSet<Str>) {
        for uid in credited {
            if let Some(usage) = self.usage(&uid) {
                self.sums.credit(&usage);
                self.credited.insert(uid);
            }
        }
    }
}
