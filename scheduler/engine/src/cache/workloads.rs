//! Selectors of Services, ReplicationControllers, ReplicaSets and StatefulSets, from which default topology spreading
//! takes its own (`plugins/helper/spread.go`, `DefaultSelector`).

use std::{cell::RefCell, sync::Arc};

use hashbrown::HashMap;
use headroom_core::{
    Str,
    object::{ObjectKey, WorkloadKind, WorkloadSelector},
    selector::{LabelSelector, Labels, Operator, Requirement},
};

use crate::framework::PodInfo;

/// Most answers kept.
const MAX_ANSWERS: usize = 1024;

/// What an answer depends on: namespace, labels, owner.
type Question = (Str, Labels, Option<(WorkloadKind, Str)>);

/// All of them.
#[derive(Debug, Default)]
pub struct Workloads {
    /// By namespace, then by name, so that merging has an order.
    services: HashMap<Str, Vec<Arc<WorkloadSelector>>>,
    owners: HashMap<(WorkloadKind, ObjectKey), Arc<WorkloadSelector>>,
    /// Forgotten whenever anything changes.
    answers: RefCell<HashMap<Question, Option<Arc<LabelSelector>>>>,
}

impl Workloads {
    /// One came or changed.
    pub fn set(&mut self, one: Arc<WorkloadSelector>) {
        let known = match one.kind {
            WorkloadKind::Service => {
                let all = self.services.entry(one.key.namespace.clone()).or_default();
                match all.binary_search_by(|s| s.key.name.cmp(&one.key.name)) {
                    Ok(at) => Some(std::mem::replace(&mut all[at], one.clone())),
                    Err(at) => {
                        all.insert(at, one.clone());
                        None
                    }
                }
            }
            kind => self.owners.insert((kind, one.key.clone()), one.clone()),
        };
        // Most updates are of the status.
        if known.is_none_or(|known| known.selector != one.selector) {
            self.answers.get_mut().clear();
        }
    }

    /// One went.
    pub fn remove(&mut self, kind: WorkloadKind, key: &ObjectKey) {
        if kind == WorkloadKind::Service {
            if let Some(all) = self.services.get_mut(&key.namespace) {
                all.retain(|s| s.key.name != key.name);
                if all.is_empty() {
                    self.services.remove(&key.namespace);
                }
            }
        } else {
            self.owners.remove(&(kind, key.clone()));
        }
        self.answers.get_mut().clear();
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.values().map(Vec::len).sum::<usize>() + self.owners.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.owners.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<WorkloadSelector>> {
        self.services.values().flatten().chain(self.owners.values())
    }

    /// The selector of pods that belong together with this one; absent when nothing says so.
    #[must_use]
    pub fn selector_of(&self, pod: &PodInfo) -> Option<Arc<LabelSelector>> {
        if self.is_empty() {
            return None;
        }
        let meta = &pod.pod.meta;
        let owner = meta
            .controller()
            .and_then(|o| WorkloadKind::of_owner(&o.api_version, &o.kind).map(|kind| (kind, o.name.clone())));
        let question = (meta.key.namespace.clone(), meta.labels.clone(), owner);
        if let Some(known) = self.answers.borrow().get(&question) {
            return known.clone();
        }
        let answer = Some(self.work_out(&question)).filter(|s| !s.is_empty()).map(Arc::new);
        let mut answers = self.answers.borrow_mut();
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(question, answer.clone());
        answer
    }

    fn work_out(&self, (namespace, labels, owner): &Question) -> LabelSelector {
        let services = self.services.get(namespace).map_or(&[][..], Vec::as_slice);
        let mut merged: Vec<(Str, Str)> = Vec::new();
        let merge = |merged: &mut Vec<(Str, Str)>, selector: &LabelSelector| {
            for r in &selector.requirements {
                if let (Operator::In, [value]) = (r.operator, &*r.values) {
                    merged.retain(|(key, _)| *key != r.key);
                    merged.push((r.key.clone(), value.clone()));
                }
            }
        };
        for service in services {
            if let Some(selector) = service.selector.as_ref().filter(|s| s.matches(labels)) {
                merge(&mut merged, selector);
            }
        }
        let mut more: &[Requirement] = &[];
        if let Some((kind, name)) = owner {
            let key = (*kind, ObjectKey::new(namespace.clone(), name.clone()));
            let selector = self.owners.get(&key).and_then(|o| o.selector.as_ref());
            match (kind, selector) {
                // Its selector is a set of labels like a Service's.
                (WorkloadKind::ReplicationController, Some(selector)) => merge(&mut merged, selector),
                (_, Some(selector)) if selector.is_valid() => more = &selector.requirements,
                _ => {}
            }
        }
        let mut all = LabelSelector::of_labels(&Labels::new(merged)).requirements.into_vec();
        all.extend(more.iter().cloned());
        LabelSelector { requirements: all.into() }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{pod, selector, workload};

    use super::*;

    #[test]
    fn services_and_owners_are_merged() {
        let mut all = Workloads::default();
        let p = |owner: Option<(&str, &str)>| {
            let p = pod("p").label("app", "web").label("tier", "front");
            PodInfo::new(owner.map_or(p.clone(), |(kind, name)| p.owner(kind, name, "u")).arc())
        };
        assert!(all.selector_of(&p(None)).is_none());
        all.set(Arc::new(workload(WorkloadKind::Service, "b", "app=web")));
        all.set(Arc::new(workload(WorkloadKind::Service, "a", "tier=front")));
        all.set(Arc::new(workload(WorkloadKind::Service, "other", "app=db")));
        all.set(Arc::new(WorkloadSelector { selector: None, ..workload(WorkloadKind::Service, "none", "") }));
        all.set(Arc::new(workload(WorkloadKind::ReplicationController, "rc", "rc=1")));
        all.set(Arc::new(workload(WorkloadKind::ReplicaSet, "rs", "app=web,x in (1|2)")));
        all.set(Arc::new(workload(WorkloadKind::StatefulSet, "ss", "!gone")));
        let of = |all: &Workloads, owner| all.selector_of(&p(owner)).map(|s| (*s).clone());
        assert_eq!(of(&all, None), Some(selector("app=web,tier=front")));
        let rc = Some(("ReplicationController", "rc"));
        assert_eq!(of(&all, rc), Some(selector("app=web,rc=1,tier=front")));
        assert_eq!(of(&all, Some(("ReplicaSet", "rs"))), Some(selector("app=web,tier=front,app=web,x in (1|2)")));
        assert_eq!(of(&all, Some(("StatefulSet", "ss"))), Some(selector("app=web,tier=front,!gone")));
        assert_eq!(of(&all, Some(("StatefulSet", "unknown"))), Some(selector("app=web,tier=front")));
        assert_eq!(of(&all, Some(("Job", "rs"))), Some(selector("app=web,tier=front")));
        all.remove(WorkloadKind::Service, &ObjectKey::new("default", "a"));
        assert_eq!(of(&all, None), Some(selector("app=web")), "what was known is forgotten");
        all.remove(WorkloadKind::Service, &ObjectKey::new("default", "b"));
        assert_eq!(of(&all, None), None);
        assert_eq!(all.len(), 5);
    }
}
