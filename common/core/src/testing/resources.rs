//! Builders of amounts of any resource.

use super::{ContainerBuilder, NodeBuilder, PodBuilder};
use crate::{
    quantity::{milli_value, value},
    resource::{ResourceList, Resources, names},
};

/// Amounts from `"cpu=500m,memory=1Gi,ephemeral-storage=1Gi,example.com/gpu=2"`; empty names none.
#[must_use]
pub fn amounts(text: &str) -> ResourceList {
    let mut list = ResourceList::default();
    let mut scalars = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (name, quantity) = part.split_once('=').expect("an amount is written as name=quantity");
        match name {
            names::CPU => list.milli_cpu = Some(milli_value(quantity).unwrap()),
            names::MEMORY => list.memory = Some(value(quantity).unwrap()),
            names::EPHEMERAL_STORAGE => list.ephemeral_storage = Some(value(quantity).unwrap()),
            names::PODS => list.pods = Some(value(quantity).unwrap()),
            other => scalars.push((other.into(), value(quantity).unwrap())),
        }
    }
    scalars.sort();
    list.scalars = scalars.into();
    list
}

impl ContainerBuilder {
    /// Requests of any resource, written as in [`amounts`].
    #[must_use]
    pub fn asks(mut self, text: &str) -> Self {
        self.0.requests = amounts(text);
        self
    }
}

impl PodBuilder {
    /// Adds a container for each text, with requests written as in [`amounts`].
    #[must_use]
    pub fn asks(self, containers: &[&str]) -> Self {
        containers.iter().fold(self, |p, text| p.container(super::container("c").asks(text)))
    }

    /// Requests of the pod level, written as in [`amounts`].
    #[must_use]
    pub fn asks_together(self, text: &str) -> Self {
        self.spec(|s| s.pod_requests = Some(Box::new(amounts(text))))
    }
}

impl NodeBuilder {
    /// Capacity and allocatable, written as in [`amounts`], and nothing else; 110 pods unless it says so.
    #[must_use]
    pub fn has(mut self, text: &str) -> Self {
        let list = amounts(text);
        let all = Resources { pods: list.pods.unwrap_or(110), ..Resources::from(&list) };
        self.0.capacity = all.clone();
        self.0.allocatable = all;
        self
    }
}
