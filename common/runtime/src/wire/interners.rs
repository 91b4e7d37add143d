//! One allocation per distinct string, label set, owner list and pod template.

use std::sync::{Arc, Mutex};

use headroom_core::{
    Interner, Str,
    object::{ContainerImage, OwnerRef, PodSpec},
    selector::Labels,
    str::ValueInterner,
};

use super::de::Pairs;

/// What conversions share. One per process, so that pods, slices and endpoints share their names.
#[derive(Debug, Default)]
pub struct Interners {
    strings: Interner,
    specs: ValueInterner<Arc<PodSpec>>,
    images: ValueInterner<Arc<ContainerImage>>,
    labels: ValueInterner<Labels>,
    owners: ValueInterner<Arc<[OwnerRef]>>,
    /// Whether all that is converted is for deciding where pods go.
    scheduling: bool,
}

/// Interners for all informers of a process. Locked per object, never across an await.
pub type SharedInterners = Arc<Mutex<Interners>>;

/// Empty interners.
#[must_use]
pub fn shared_interners() -> SharedInterners {
    SharedInterners::default()
}

/// The same for a scheduler's process.
#[must_use]
pub fn scheduling_interners() -> SharedInterners {
    Arc::new(Mutex::new(Interners::for_scheduling()))
}

impl Interners {
    /// For who only decides where pods go: conversions leave out what that does not take, the addresses of pods and what
    /// became of their containers.
    #[must_use]
    pub fn for_scheduling() -> Self {
        Self { scheduling: true, ..Self::default() }
    }

    /// Whether what a decision does not take is left out.
    pub(super) const fn scheduling(&self) -> bool {
        self.scheduling
    }

    /// The shared string.
    pub fn str(&mut self, text: &str) -> Str {
        self.strings.intern(text)
    }

    /// The shared template.
    pub fn pod_spec(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        self.specs.intern(spec)
    }

    /// The shared image.
    pub(super) fn image(&mut self, image: ContainerImage) -> Arc<ContainerImage> {
        self.images.intern(image)
    }

    /// Shared labels from pairs in any order, those whose key passes `keep`.
    pub(super) fn labels(&mut self, pairs: Pairs, keep: impl Fn(&str) -> bool) -> Labels {
        let pairs: Vec<_> = pairs
            .0
            .unwrap_or_default()
            .into_iter()
            .filter(|(key, _)| keep(key))
            .map(|(key, value)| (self.strings.intern(&key), self.strings.intern(&value)))
            .collect();
        if pairs.is_empty() {
            return Labels::default();
        }
        self.labels.intern(Labels::new(pairs))
    }

    /// Shared owners.
    pub(super) fn owners(&mut self, owners: Vec<OwnerRef>) -> Arc<[OwnerRef]> {
        if owners.is_empty() {
            return Arc::default();
        }
        self.owners.intern(Arc::<[OwnerRef]>::from(owners))
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::str::Shared;

    use super::*;

    /// More than a sweep leaves alone.
    const MANY: usize = 5000;

    #[test]
    fn owners_stay_shared_however_many_there_are() {
        let mut interners = Interners::default();
        let mut of = |i: usize| {
            let owner = OwnerRef {
                api_version: "apps/v1".into(),
                kind: "ReplicaSet".into(),
                name: format!("web-{i}").into(),
                uid: format!("uid-{i}").into(),
                controller: true,
                block_owner_deletion: true,
            };
            interners.owners(vec![owner])
        };
        let held: Vec<_> = (0..MANY).map(&mut of).collect();
        for _ in 0..2 {
            for (i, owners) in held.iter().enumerate() {
                assert!(Arc::ptr_eq(owners, &of(i)), "owner {i}");
            }
        }
    }

    #[test]
    fn labels_stay_shared_however_many_there_are() {
        let mut interners = Interners::default();
        let mut of =
            |i: usize| interners.labels(Pairs(Some(vec![("app".into(), format!("web-{i}").into())])), |_| true);
        let held: Vec<_> = (0..MANY).map(&mut of).collect();
        let again: Vec<_> = (0..MANY).map(&mut of).collect();
        assert_eq!(held, again);
        // Two of them and the interner's own.
        assert!(held.iter().all(|labels| labels.holders() == 3));
    }
}
