//! `MemoryProfile` (`headroom.dev/v1alpha1`): what a workload's containers were seen to need.

use super::meta::Meta;
use crate::{memory::History, str::Str};

/// What is known of one container of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileEntry {
    /// Name of the container.
    pub name: Str,
    /// Image that was seen.
    pub image: Str,
    /// What was learned.
    pub history: History,
}

/// What a MemoryProfile says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryProfile {
    /// Metadata, with the owner.
    pub meta: Meta,
    /// `apiVersion` of the workload.
    pub workload_api_version: Str,
    /// Kind of the workload.
    pub workload_kind: Str,
    /// Name of the workload.
    pub workload_name: Str,
    /// Per container and image.
    pub containers: Box<[ProfileEntry]>,
}

impl MemoryProfile {
    /// What was learned of a container: of this image, else of the image seen last. What a new image means is the
    /// learner's business (memory-and-swap.md 5.12 (9)).
    #[must_use]
    pub fn history(&self, container: &str, image: &str) -> Option<&History> {
        let named = self.containers.iter().filter(|entry| entry.name == *container);
        named
            .clone()
            .find(|entry| entry.image == *image)
            .or_else(|| named.max_by_key(|entry| (entry.history.observed, entry.image.clone())))
            .map(|entry| &entry.history)
    }
}
