//! All MemoryProfiles, by workload: what a decider looks up of a pod.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    peak::History,
    workload::{Link, Workload, profile_name, workload_of},
};
use crate::{
    object::{MemoryProfile, ObjectKey, OwnerRef, Pod},
    str::Str,
};

/// Most profiles that are read; the learner makes fewer.
const MAX_PROFILES: usize = 20_000;

/// MemoryProfiles, and what is needed to find a pod's.
#[derive(Debug, Default)]
pub struct Profiles {
    /// By namespace and name of the workload; of each kind one.
    by_name: HashMap<Str, HashMap<Str, Vec<Arc<MemoryProfile>>>>,
    /// By their own namespace and name.
    all: HashMap<ObjectKey, Arc<MemoryProfile>>,
    /// Owners of ReplicaSets where the names alone lead elsewhere, by namespace and name; `None` is nobody.
    links: HashMap<Str, HashMap<Str, Option<OwnerRef>>>,
}

impl Profiles {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<MemoryProfile>> {
        self.all.values()
    }

    /// One came or changed. Answers whether it says anything else than before.
    ///
    /// Only the one profile counts that bears the name of its workload.
    pub fn set(&mut self, profile: Arc<MemoryProfile>) -> bool {
        let known = self.all.get(&profile.meta.key);
        if known.is_some_and(|known| same(known, &profile)) {
            // The metadata may have moved on.
            let key = profile.meta.key.clone();
            self.all.insert(key, profile);
            return false;
        }
        let gone = self.remove(&profile.meta.key.clone()).is_some();
        let named = profile_name(&profile.workload_kind, &profile.workload_name);
        if profile.meta.key.name != named.as_str() || self.all.len() >= MAX_PROFILES {
            return gone;
        }
        let names = self.by_name.entry(profile.meta.key.namespace.clone()).or_default();
        names.entry(profile.workload_name.clone()).or_default().push(profile.clone());
        self.all.insert(profile.meta.key.clone(), profile);
        true
    }

    /// One went.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<MemoryProfile>> {
        let gone = self.all.remove(key)?;
        if let Some(names) = self.by_name.get_mut(&key.namespace) {
            if let Some(kinds) = names.get_mut(&gone.workload_name) {
                kinds.retain(|profile| profile.meta.key != *key);
                if kinds.is_empty() {
                    names.remove(&gone.workload_name);
                }
            }
            if names.is_empty() {
                self.by_name.remove(&key.namespace);
            }
        }
        Some(gone)
    }

    /// A ReplicaSet came or changed. Those of Deployments are named after them and need not be kept. Answers whether its
    /// pods may be of another workload than before.
    pub fn set_replica_set(&mut self, key: &ObjectKey, owner: Option<&OwnerRef>) -> bool {
        let plain = owner.is_some_and(|o| {
            o.kind == "Deployment" && key.name.rsplit_once('-').is_some_and(|(base, _)| o.name == *base)
        });
        if plain {
            return self.remove_replica_set(key);
        }
        let names = self.links.entry(key.namespace.clone()).or_default();
        names.insert(key.name.clone(), owner.cloned()).is_none_or(|before| before.as_ref() != owner)
    }

    /// A ReplicaSet went. The answer as of [`Self::set_replica_set`].
    pub fn remove_replica_set(&mut self, key: &ObjectKey) -> bool {
        let Some(names) = self.links.get_mut(&key.namespace) else { return false };
        let known = names.remove(&key.name).is_some();
        if names.is_empty() {
            self.links.remove(&key.namespace);
        }
        known
    }

    /// The links alone, for an index made anew.
    #[must_use]
    pub fn without_profiles(&self) -> Self {
        Self { links: self.links.clone(), ..Self::default() }
    }

    /// The workload of a pod, as far as a decider knows.
    #[must_use]
    pub fn workload<'a>(&'a self, pod: &'a Pod) -> Option<Workload<'a>> {
        workload_of(pod, |owner| {
            let known = self.links.get(&pod.meta.key.namespace).and_then(|names| names.get(&owner.name));
            match known.filter(|_| owner.kind == "ReplicaSet") {
                None => Link::Unknown,
                Some(None) => Link::Nobody,
                Some(Some(owner)) => Link::Owner(owner),
            }
        })
    }

    /// Whether a profile speaks of this pod's workload.
    #[must_use]
    pub fn concerns(&self, profile: &MemoryProfile, pod: &Pod) -> bool {
        profile.meta.key.namespace == pod.meta.key.namespace
            && self.workload(pod).is_some_and(|w| profile.workload_name == *w.name && profile.workload_kind == *w.kind)
    }

    /// The profile of a pod's workload.
    #[must_use]
    pub fn of<'a>(&'a self, pod: &'a Pod) -> Option<&'a Arc<MemoryProfile>> {
        if self.all.is_empty() {
            return None;
        }
        let names = self.by_name.get(&pod.meta.key.namespace)?;
        let workload = self.workload(pod)?;
        let kinds = names.get(workload.name)?;
        kinds.iter().find(|profile| profile.workload_kind == *workload.kind)
    }

    /// What was learned of a pod's containers, by their place: init containers, then the others.
    pub fn histories<'a>(&'a self, pod: &'a Pod) -> impl Fn(usize) -> Option<History> + use<'a> {
        let profile = self.of(pod);
        move |index| {
            let profile = profile?;
            let (init, app) = (&pod.spec.init_containers, &pod.spec.containers);
            let container = init.get(index).or_else(|| app.get(index.checked_sub(init.len())?))?;
            profile.history(&container.name, &container.image).copied()
        }
    }
}

/// Whether two states of a profile say the same.
fn same(a: &MemoryProfile, b: &MemoryProfile) -> bool {
    a.workload_kind == b.workload_kind && a.workload_name == b.workload_name && a.containers == b.containers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::MIB,
        object::ProfileEntry,
        testing::{container, pod},
        time::Timestamp,
    };

    fn entry(name: &str, image: &str, mib: i64, observed: i64) -> ProfileEntry {
        let observed = Timestamp::from_secs(observed);
        let history = History { peak: mib * MIB, samples: 3, first_observed: observed, observed };
        ProfileEntry { name: name.into(), image: image.into(), history }
    }

    fn profile(kind: &str, name: &str, containers: Vec<ProfileEntry>) -> Arc<MemoryProfile> {
        let mut profile = MemoryProfile {
            workload_kind: kind.into(),
            workload_name: name.into(),
            containers: containers.into(),
            ..MemoryProfile::default()
        };
        profile.meta.key = ObjectKey::new("default", profile_name(kind, name).as_str());
        Arc::new(profile)
    }

    #[test]
    fn containers_are_found_by_name_and_image() {
        let mut all = Profiles::default();
        let entries = vec![entry("main", "a", 100, 1), entry("main", "b", 200, 2), entry("setup", "s", 50, 1)];
        assert!(all.set(profile("StatefulSet", "db", entries.clone())));
        assert!(!all.set(profile("StatefulSet", "db", entries)), "the same again");
        let of = |image: &str| {
            let p = pod("db-0")
                .owner("StatefulSet", "db", "u")
                .init(container("setup").image("s"))
                .container(container("main").image(image))
                .container(container("other"))
                .build();
            let histories = all.histories(&p);
            [0, 1, 2, 3].map(|index| histories(index).map(|h| h.peak / MIB))
        };
        assert_eq!(of("a"), [Some(50), Some(100), None, None]);
        assert_eq!(of("b"), [Some(50), Some(200), None, None]);
        assert_eq!(of("c"), [Some(50), Some(200), None, None], "the image seen last");
    }

    #[test]
    fn only_the_profile_of_the_right_name_counts() {
        let mut all = Profiles::default();
        let mut odd = (*profile("StatefulSet", "db", Vec::new())).clone();
        odd.meta.key.name = "statefulset-other".into();
        assert!(!all.set(Arc::new(odd)));
        assert!(all.is_empty());
    }

    #[test]
    fn links_correct_what_names_suggest() {
        let mut all = Profiles::default();
        all.set(profile("Deployment", "web", Vec::new()));
        all.set(profile("ReplicaSet", "web-1", Vec::new()));
        all.set(profile("Rollout", "web", Vec::new()));
        let p = pod("p").owner("ReplicaSet", "web-1", "u").label("pod-template-hash", "1").build();
        let kind = |all: &Profiles| all.of(&p).map(|found| found.workload_kind.to_string());
        assert_eq!(kind(&all).as_deref(), Some("Deployment"));
        let rs = ObjectKey::new("default", "web-1");
        all.set_replica_set(&rs, None);
        assert_eq!(kind(&all).as_deref(), Some("ReplicaSet"));
        let owner = |kind: &str| OwnerRef {
            api_version: if kind == "Rollout" { "argoproj.io/v1alpha1".into() } else { "apps/v1".into() },
            kind: kind.into(),
            name: "web".into(),
            uid: "u".into(),
            controller: true,
            block_owner_deletion: false,
        };
        all.set_replica_set(&rs, Some(&owner("Rollout")));
        assert_eq!(kind(&all).as_deref(), Some("Rollout"));
        all.set_replica_set(&rs, Some(&owner("Deployment")));
        assert_eq!((kind(&all).as_deref(), all.links.len()), (Some("Deployment"), 0));
        assert!(all.remove(&ObjectKey::new("default", "deployment-web")).is_some());
        assert_eq!((kind(&all), all.len()), (None, 2));
    }
}
