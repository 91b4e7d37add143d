//! Objects as the API server has them, with what was decided on top and not yet written
//! (`volumebinding/passive_assume_cache.go`).

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::object::{Meta, ObjectKey, PersistentVolume, PersistentVolumeClaim};

/// What can be assumed.
pub trait Assumable {
    /// Its metadata.
    fn meta(&self) -> &Meta;
}

impl Assumable for PersistentVolume {
    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Assumable for PersistentVolumeClaim {
    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// Objects of one kind. An object may be assumed to be other than the API server has it, as long as the API server's
/// has the version from which the assumption was made: any newer version ends the assumption.
#[derive(Debug, Clone)]
pub struct AssumeCache<T> {
    stored: HashMap<ObjectKey, Arc<T>>,
    assumed: HashMap<ObjectKey, Arc<T>>,
}

impl<T> Default for AssumeCache<T> {
    fn default() -> Self {
        Self { stored: HashMap::new(), assumed: HashMap::new() }
    }
}

impl<T: Assumable> AssumeCache<T> {
    /// The API server has this. Answers what it had before; the newer of two versions of one object stays.
    pub fn set(&mut self, object: Arc<T>) -> Option<Arc<T>> {
        let (key, version) = (object.meta().key.clone(), object.meta().resource_version);
        if let Some(known) = self.stored.get(&key)
            && known.meta().uid == object.meta().uid
            && known.meta().resource_version > version
            && version != 0
        {
            return Some(known.clone());
        }
        if self.assumed.get(&key).is_some_and(|a| a.meta().resource_version != version) {
            self.assumed.remove(&key);
        }
        self.stored.insert(key, object)
    }

    /// The API server has it no more. Answers what it was.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<T>> {
        self.assumed.remove(key);
        self.stored.remove(key)
    }

    /// The object as it is assumed to be, or as the API server has it.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<T>> {
        let stored = self.stored.get(key)?;
        let assumed = self.assumed.get(key);
        Some(assumed.filter(|a| a.meta().resource_version == stored.meta().resource_version).unwrap_or(stored))
    }

    /// The object as the API server has it.
    #[must_use]
    pub fn stored(&self, key: &ObjectKey) -> Option<&Arc<T>> {
        self.stored.get(key)
    }

    /// Takes the object to be like this. False when its version is not the one that the API server has.
    pub fn assume(&mut self, object: Arc<T>) -> bool {
        let meta = object.meta();
        let fits = self.stored.get(&meta.key).is_some_and(|s| s.meta().resource_version == meta.resource_version);
        if fits {
            self.assumed.insert(meta.key.clone(), object);
        }
        fits
    }

    /// The assumption that was made from this version is dropped. One that was made from another stays.
    pub fn restore(&mut self, key: &ObjectKey, version: u64) {
        if self.assumed.get(key).is_some_and(|a| a.meta().resource_version == version) {
            self.assumed.remove(key);
        }
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stored.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// How many are assumed to be other than they are.
    #[must_use]
    pub fn assumed_count(&self) -> usize {
        self.assumed.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use headroom_core::testing::volume;
    use proptest::prelude::*;

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey::new("", "pv")
    }

    fn pv(version: u64, class: &str) -> Arc<PersistentVolume> {
        volume("pv").rv(version).class(class).arc()
    }

    /// Upstream's `TestAssumePV`, `TestRestorePV`, `TestAssumeUpdatePVCCache`: what is seen after each step.
    #[test]
    fn assumed_objects_are_seen_until_a_newer_version_comes() {
        let mut c = AssumeCache::default();
        assert!(!c.assume(pv(5, "x")), "unknown objects are not assumed");
        c.set(pv(5, "api"));
        assert!(!c.assume(pv(4, "x")) && !c.assume(pv(6, "x")), "only the version that is stored");
        assert!(c.assume(pv(5, "assumed")));
        assert_eq!(
            (c.get(&key()).unwrap().class.as_str(), c.stored(&key()).unwrap().class.as_str()),
            ("assumed", "api")
        );
        c.set(pv(5, "api"));
        assert_eq!(c.get(&key()).unwrap().class.as_str(), "assumed", "a resync is no news");
        c.set(pv(6, "newer"));
        assert_eq!(c.get(&key()).unwrap().class.as_str(), "newer");
        c.set(pv(4, "old"));
        assert_eq!(c.get(&key()).unwrap().class.as_str(), "newer", "versions do not go back");
        assert!(c.assume(pv(6, "again")));
        c.restore(&key(), 5);
        assert_eq!(c.get(&key()).unwrap().class.as_str(), "again", "another version's assumption stays");
        c.restore(&key(), 6);
        assert_eq!(c.get(&key()).unwrap().class.as_str(), "newer");
        c.assume(pv(6, "again"));
        c.remove(&key());
        assert!(c.get(&key()).is_none() && c.assumed_count() == 0);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Set(u8, u64),
        Remove(u8),
        Assume(u8, u64),
        Restore(u8, u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        let name = 0..3_u8;
        prop_oneof![
            (name.clone(), 1..8_u64).prop_map(|(n, v)| Act::Set(n, v)),
            name.clone().prop_map(Act::Remove),
            (name.clone(), 1..8_u64).prop_map(|(n, v)| Act::Assume(n, v)),
            (name, 1..8_u64).prop_map(|(n, v)| Act::Restore(n, v)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        /// Against the plainest model: per name the newest version, and whether an assumption on just it stands.
        #[test]
        fn equals_its_model(acts in proptest::collection::vec(act(), 0..60)) {
            let mut c = AssumeCache::default();
            let mut model: BTreeMap<u8, (u64, bool)> = BTreeMap::new();
            let named = |n: u8, version, class: &str| volume(&format!("pv{n}")).rv(version).class(class).arc();
            let key = |n: u8| ObjectKey::new("", format!("pv{n}"));
            for a in acts {
                match a {
                    Act::Set(n, v) => {
                        c.set(named(n, v, "api"));
                        let entry = model.entry(n).or_insert((v, false));
                        if v > entry.0 {
                            *entry = (v, false);
                        }
                    }
                    Act::Remove(n) => {
                        c.remove(&key(n));
                        model.remove(&n);
                    }
                    Act::Assume(n, v) => {
                        let done = c.assume(named(n, v, "assumed"));
                        let may = model.get(&n).is_some_and(|(stored, _)| *stored == v);
                        prop_assert_eq!(done, may);
                        if may {
                            model.insert(n, (v, true));
                        }
                    }
                    Act::Restore(n, v) => {
                        c.restore(&key(n), v);
                        if let Some(entry) = model.get_mut(&n).filter(|e| e.0 == v) {
                            entry.1 = false;
                        }
                    }
                }
                prop_assert_eq!(c.len(), model.len());
                prop_assert_eq!(c.assumed_count(), model.values().filter(|e| e.1).count());
                for n in 0..3 {
                    let got = c.get(&key(n)).map(|o| (o.meta.resource_version, o.class == *"assumed"));
                    prop_assert_eq!(got, model.get(&n).copied());
                }
            }
        }
    }
}
