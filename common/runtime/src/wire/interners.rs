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
    specs: ValueInterner<PodSpec>,
    images: ValueInterner<ContainerImage>,
    // The shared part of these is inside the value; the outer `Arc` only serves the interner. A sweep may forget a set
    // that rows still hold, and the next equal one is then allocated once more: bounded, and cheap.
    labels: ValueInterner<Labels>,
    owners: ValueInterner<Arc<[OwnerRef]>>,
}

/// Interners for all informers of a process. Locked per object, never across an await.
pub type SharedInterners = Arc<Mutex<Interners>>;

/// Empty interners.
#[must_use]
pub fn shared_interners() -> SharedInterners {
    SharedInterners::default()
}

impl Interners {
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
        (*self.labels.intern(Labels::new(pairs))).clone()
    }

    /// Shared owners.
    pub(super) fn owners(&mut self, owners: Vec<OwnerRef>) -> Arc<[OwnerRef]> {
        if owners.is_empty() {
            return Arc::default();
        }
        (*self.owners.intern(owners.into())).clone()
    }
}
