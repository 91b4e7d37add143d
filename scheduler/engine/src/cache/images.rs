//! Which nodes have which container image (upstream's `imageStates`).

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{Str, object::ContainerImage};

use super::{NodeInfo, Slot};

/// Images, each with the slots of the nodes that have it.
#[derive(Debug, Default)]
pub struct ImageIndex {
    images: HashMap<Arc<ContainerImage>, Vec<Slot>>,
    by_name: HashMap<Str, Vec<Arc<ContainerImage>>>,
}

impl ImageIndex {
    /// What a node has changed.
    pub(super) fn set(&mut self, slot: Slot, old: &[Arc<ContainerImage>], new: &[Arc<ContainerImage>]) {
        if old == new {
            return;
        }
        for image in old {
            self.remove(slot, image);
        }
        for image in new {
            self.add(slot, image);
        }
    }

    fn add(&mut self, slot: Slot, image: &Arc<ContainerImage>) {
        if let Some(slots) = self.images.get_mut(image) {
            slots.push(slot);
            return;
        }
        self.images.insert(image.clone(), vec![slot]);
        for name in &image.names {
            let all = self.by_name.entry(name.clone()).or_default();
            if !all.contains(image) {
                all.push(image.clone());
            }
        }
    }

    fn remove(&mut self, slot: Slot, image: &Arc<ContainerImage>) {
        let Some(slots) = self.images.get_mut(image) else { return };
        if let Some(at) = slots.iter().position(|s| *s == slot) {
            slots.swap_remove(at);
        }
        if !slots.is_empty() {
            return;
        }
        self.images.remove(image);
        for name in &image.names {
            if let Some(all) = self.by_name.get_mut(name) {
                all.retain(|i| i != image);
                if all.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
    }

    /// Whether any node has an image of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The nodes that have an image of this name, each once, with its size there in bytes.
    #[must_use]
    pub fn nodes(&self, name: &str, rows: &[NodeInfo]) -> Vec<(Slot, i64)> {
        let Some(images) = self.by_name.get(name) else { return Vec::new() };
        let slots = |image: &Arc<ContainerImage>| self.images.get(image).map_or(&[][..], Vec::as_slice).iter().copied();
        let mut all: Vec<(Slot, i64)> =
            images.iter().flat_map(|image| slots(image).map(|slot| (slot, image.size))).collect();
        all.sort_unstable();
        let once = all.windows(2).all(|pair| pair[0].0 != pair[1].0);
        if !once {
            // Several images of one name on a node: the first that it reports counts.
            all.dedup_by_key(|(slot, _)| *slot);
            for (slot, size) in &mut all {
                let images = rows.get(*slot as usize).map_or(&[][..], |row| &row.node.images);
                if let Some(first) = images.iter().find(|i| i.names.iter().any(|n| n == name)) {
                    *size = first.size;
                }
            }
        }
        all
    }

    /// The first difference from what the nodes say.
    pub(super) fn difference(&self, rows: &[NodeInfo]) -> Option<String> {
        let mut fresh = Self::default();
        for (slot, row) in rows.iter().enumerate().filter(|(_, row)| row.exists) {
            fresh.set(slot as Slot, &[], &row.node.images);
        }
        if (self.images.len(), self.by_name.len()) != (fresh.images.len(), fresh.by_name.len()) {
            return Some(format!("{} images, {} expected", self.images.len(), fresh.images.len()));
        }
        fresh
            .by_name
            .keys()
            .find(|name| self.nodes(name, rows) != fresh.nodes(name, rows))
            .map(|name| format!("image {name} is elsewhere"))
    }
}
