//! What is remembered of one replication controller between two looks at it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Mono, Str, Timestamp,
    expectations::{Expectations, Sight, What},
    intent::Found,
    object::{ObjectKey, Phase, Pod, ReplicationControllerStatus},
};

use crate::framework::PodIndex;

/// First pause after pods were rejected by a kubelet.
const FIRST_REJECTION_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after pods were rejected by a kubelet.
const LONGEST_REJECTION_PAUSE: Duration = Duration::from_mins(5);
/// Known UIDs beyond those in view before they are pruned.
const KNOWN_SLACK: usize = 4096;

/// Whether all pods that could be this replication controller's have been read from etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inventory {
    /// A consistent list must precede the next creation.
    Needed,
    /// The list is under way.
    Asked,
    /// As of this resource version.
    Done(u64),
}

/// Why pods could not be made or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) at: Timestamp,
}

/// The memory. It holds nothing that a consistent list and the view cannot replace.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) uid: Str,
    pub(super) inventory: Inventory,
    /// A pod of unknown origin was seen: take stock even if nothing is to be created.
    pub(super) suspicious: bool,
    /// A pod has gone from the view that was not seen to be ending: before the next creation, take stock.
    pub(super) vanished: bool,
    /// UIDs of pods that we made, or that were there before.
    known: HashSet<Str>,
    /// Intents whose outcome decides what comes next (all but status writes).
    pub(super) in_flight: usize,
    /// Before this a pod's change is no reason for a look.
    pub(super) next_look: Mono,
    pub(super) creating: BTreeSet<Str>,
    /// Names that may or may not exist by now, and whether one that does not can be used again.
    pub(super) in_doubt: BTreeMap<Str, bool>,
    /// Names that do not exist, to be used before new ones, from the end: those last in doubt, for which a late request
    /// could still arrive, stand there.
    pub(super) spare: Vec<Str>,
    /// Pods made by us that the view has not shown yet.
    pub(super) unseen_own: HashMap<ObjectKey, Str>,
    /// Deletions that may or may not have been done: repeated until they are answered.
    pub(super) deletes_in_doubt: HashMap<ObjectKey, Str>,
    pub(super) expected: Expectations,
    /// Size of the next batch of creations.
    pub(super) batch: usize,
    pub(super) batch_failed: bool,
    pub(super) failure: Option<Failure>,
    /// Nothing is created or deleted before this; nor adopted or released, if that is what failed.
    pub(super) retry_at: Option<Mono>,
    /// `retry_at` came of an adoption or a release.
    pub(super) claims_failed: bool,
    /// The generation that `retry_at` and `failure` speak of.
    pub(super) generation: i64,
    rejections: u32,
    rejected_until: Mono,
    /// The status as last written, and the version that this made.
    pub(super) status: Option<(u64, ReplicationControllerStatus)>,
    pub(super) status_in_flight: bool,
}

impl Book {
    /// A new page: nothing is known, so a list precedes the first creation.
    pub(super) fn new(uid: Str, pods: &PodIndex) -> Self {
        let known = pods.owned_by(&uid).map(|p| p.meta.uid.clone()).collect();
        Self {
            uid,
            inventory: Inventory::Needed,
            suspicious: false,
            vanished: false,
            known,
            in_flight: 0,
            next_look: Mono::default(),
            creating: BTreeSet::new(),
            in_doubt: BTreeMap::new(),
            spare: Vec::new(),
            unseen_own: HashMap::new(),
            deletes_in_doubt: HashMap::new(),
            expected: Expectations::default(),
            batch: 1,
            batch_failed: false,
            failure: None,
            retry_at: None,
            claims_failed: false,
            generation: 0,
            rejections: 0,
            rejected_until: Mono::default(),
            status: None,
            status_in_flight: false,
        }
    }

    /// Pods that exist, or may, and that the view does not show.
    pub(super) fn unseen(&self) -> usize {
        let made = self.expected.iter().filter(|(_, e)| e.what == What::Exists).count();
        made + self.creating.len() + self.in_doubt.len()
    }

    /// Whether the pod's deletion was answered, or may have been done.
    pub(super) fn is_deleted(&self, pod: &Pod) -> bool {
        self.expected.get(&pod.meta.key).is_some_and(|e| e.what == What::Gone && e.uid == pod.meta.uid)
    }

    /// Whether an adoption or release of the pod was answered that the view does not show.
    pub(super) fn is_claim_unseen(&self, pod: &Pod) -> bool {
        self.expected
            .get(&pod.meta.key)
            .is_some_and(|e| matches!(e.what, What::Version(n) if pod.meta.resource_version < n))
    }

    /// A pod was made by us.
    pub(super) fn created(&mut self, key: ObjectKey, uid: Str, pods: &PodIndex, now: Mono) {
        self.known.insert(uid.clone());
        if sight(pods.get(&key)).is_uid(&uid) {
            return;
        }
        self.unseen_own.insert(key.clone(), uid.clone());
        self.expected.expect(key, uid, What::Exists, false, now);
    }

    /// Settles what the view shows by now.
    pub(super) fn settle(&mut self, pods: &PodIndex) {
        self.expected.settle(|key| sight(pods.get(key)));
        let Self { expected, unseen_own, deletes_in_doubt, .. } = self;
        unseen_own.retain(|key, _| expected.get(key).is_some());
        deletes_in_doubt.retain(|key, uid| {
            pods.get(key).map_or_else(|| expected.get(key).is_some(), |p| p.meta.uid == *uid && p.is_active())
        });
        if self.known.len() > KNOWN_SLACK {
            let alive: HashSet<_> = pods.owned_by(&self.uid).map(|p| p.meta.uid.clone()).collect();
            if self.known.len() > 2 * alive.len() + KNOWN_SLACK {
                self.known = alive;
                self.known.extend(self.unseen_own.values().cloned());
                // What was forgotten could come back in a late event: take stock anew before crying wolf.
                self.inventory = Inventory::Needed;
            }
        }
    }

    /// Takes in a consistent list that nothing of ours overtook.
    pub(super) fn listed(&mut self, version: u64, found: &[Found], pods: &PodIndex, now: Mono) {
        let by_key: HashMap<&ObjectKey, &Str> = found.iter().map(|f| (&f.key, &f.uid)).collect();
        self.expected.listed(now, |key| by_key.get(key).map(|uid| uid.as_str()));
        for (name, reusable) in std::mem::take(&mut self.in_doubt) {
            match found.iter().find(|f| f.key.name == name) {
                Some(f) => {
                    self.unseen_own.insert(f.key.clone(), f.uid.clone());
                }
                None if reusable => self.spare.push(name),
                None => {}
            }
        }
        for f in found {
            self.known.insert(f.uid.clone());
            let tracked = self.expected.get(&f.key).is_some_and(|e| e.uid == f.uid);
            if !tracked && !sight(pods.get(&f.key)).is_uid(&f.uid) {
                self.expected.expect(f.key.clone(), f.uid.clone(), What::Exists, false, now);
            }
        }
        self.inventory = Inventory::Done(version);
        (self.suspicious, self.vanished) = (false, false);
        self.settle(pods);
    }

    /// A pod of this replication controller is seen for the first time. Returns whether somebody else has made it since
    /// we took stock.
    pub(super) fn first_sight(&mut self, pod: &Pod) -> bool {
        let name = &pod.meta.key.name;
        let ours = self.creating.contains(name) || self.in_doubt.contains_key(name) || self.spare.contains(name);
        if !self.known.insert(pod.meta.uid.clone()) || ours {
            return false;
        }
        if let Inventory::Done(version) = self.inventory
            && version > 0
        {
            // An older one that the list did not have was gone by then.
            return pod.meta.resource_version > version;
        }
        // It may come from before our time. After a look at everything, the next one cannot.
        self.inventory = Inventory::Needed;
        self.suspicious = true;
        false
    }

    /// A pod of ours was turned away by a kubelet. The first time is free; pods that are rejected one round after
    /// another are replaced ever more slowly.
    pub(super) fn rejected(&mut self, now: Mono) {
        if now < self.rejected_until {
            return;
        }
        let pause = FIRST_REJECTION_PAUSE.saturating_mul(1u32.checked_shl(self.rejections).unwrap_or(u32::MAX));
        self.rejections = self.rejections.saturating_add(1).min(31);
        self.rejected_until = now + pause.min(LONGEST_REJECTION_PAUSE);
    }

    /// A pod of ours runs: kubelets take them again.
    pub(super) const fn accepted(&mut self) {
        self.rejections = 0;
    }

    /// The spec has changed: what was learned from rejections does not count any more.
    pub(super) fn new_generation(&mut self, generation: i64) {
        self.generation = generation;
        self.retry_at = None;
        self.rejections = 0;
        self.rejected_until = Mono::default();
    }

    /// One of the pods has gone: what was refused for want of quota may be granted now (upstream tries again at every change
    /// of a pod). Returns whether that was waited for.
    pub(super) fn made_room(&mut self) -> bool {
        let refused = !self.claims_failed && self.failure.as_ref().is_some_and(|f| f.reason == super::FAILED_CREATE);
        refused && self.retry_at.take().is_some()
    }

    /// When pods may be created, if not now.
    pub(super) fn create_gate(&self, now: Mono) -> Option<Mono> {
        (self.rejected_until > now).then_some(self.rejected_until)
    }
}

/// Whether the kubelet refused the pod at admission: it ended without having started (kubelet's lifecycle handlers and
/// resource managers give these reasons).
pub(super) fn is_rejected(pod: &Pod) -> bool {
    pod.status.phase == Phase::Failed
        && pod.status.containers().iter().all(|c| c.started_at.is_none())
        && (pod.status.reason().starts_with("OutOf")
            || matches!(
                pod.status.reason(),
                "UnexpectedAdmissionError"
                    | "NodeAffinity"
                    | "NodeName"
                    | "NodePorts"
                    | "Taints"
                    | "PodOSSelectorNodeLabelDoesNotMatch"
                    | "PodOSNotSupported"
                    | "PodFeatureUnsupported"
                    | "SysctlForbidden"
                    | "AppArmor"
                    | "TopologyAffinityError"
                    | "InvalidNodeInfo"
                    | "UnknownReason"
                    | "Evicted"
            ))
}

/// What the view shows under a key.
pub(super) fn sight<'a>(pod: Option<&'a std::sync::Arc<Pod>>) -> Sight<'a> {
    pod.map_or(Sight::Absent, |p| Sight::Present {
        uid: &p.meta.uid,
        resource_version: p.meta.resource_version,
        terminating: !p.is_active(),
    })
}

/// Asks a sight for its UID.
trait IsUid {
    fn is_uid(&self, uid: &Str) -> bool;
}

impl IsUid for Sight<'_> {
    fn is_uid(&self, uid: &Str) -> bool {
        matches!(self, Self::Present { uid: u, .. } if *uid == **u)
    }
}
