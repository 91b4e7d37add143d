//! Pods on nodes by what selectors look at: for pods that ask for so much that it cannot all be kept (`cache::lazy`).

use hashbrown::HashMap;
use headroom_core::{Str, selector::Labels};

use super::{NodeInfo, PodMatch, Slot};

/// Pods of one namespace with equal labels.
#[derive(Debug)]
struct Group<'a> {
    namespace: &'a Str,
    labels: &'a Labels,
    slots: Vec<(Slot, u32)>,
}

/// The pods of all nodes. Most share their labels with many others, so that a selector is compared a few times only.
#[derive(Debug)]
pub struct LabelGroups<'a>(Vec<Group<'a>>);

impl<'a> LabelGroups<'a> {
    pub(super) fn of(nodes: impl Iterator<Item = (Slot, &'a NodeInfo)>) -> Self {
        let mut places: HashMap<(&Str, &Labels), usize> = HashMap::new();
        let mut groups: Vec<Group<'a>> = Vec::new();
        for (slot, row) in nodes {
            for pod in &row.pods {
                let (namespace, labels) = (&pod.pod.meta.key.namespace, &pod.pod.meta.labels);
                let at = *places.entry((namespace, labels)).or_insert_with(|| {
                    groups.push(Group { namespace, labels, slots: Vec::new() });
                    groups.len() - 1
                });
                let slots = &mut groups[at].slots;
                match slots.last_mut() {
                    Some((last, count)) if *last == slot => *count += 1,
                    _ => slots.push((slot, 1)),
                }
            }
        }
        Self(groups)
    }

    /// Pods that are meant, by slot. A slot may come more than once.
    pub fn counts<'s>(&'s self, of: &'s PodMatch) -> impl Iterator<Item = (Slot, u32)> + use<'s, 'a> {
        let meant = self.0.iter().filter(|group| of.matches(group.namespace, group.labels));
        meant.flat_map(|group| group.slots.iter().copied())
    }
}
