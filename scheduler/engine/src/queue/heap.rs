//! A binary heap of slots from which any can be removed (`pkg/scheduler/backend/heap`).
//!
//! The order is given with each call, since it looks into the queue's own entries.

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Heap {
    items: Vec<u32>,
    /// Place in `items` plus one, by slot; 0 = absent.
    places: Vec<u32>,
}

pub(super) type Less<'a> = &'a dyn Fn(u32, u32) -> bool;

impl Heap {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn peek(&self) -> Option<u32> {
        self.items.first().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.items.iter().copied()
    }

    fn place(&self, slot: u32) -> Option<usize> {
        self.places.get(slot as usize).and_then(|p| (*p as usize).checked_sub(1))
    }

    fn set(&mut self, at: usize, slot: u32) {
        self.items[at] = slot;
        self.places[slot as usize] = at as u32 + 1;
    }

    /// Adds a slot, or moves it to where it belongs now.
    pub(super) fn push(&mut self, slot: u32, less: Less<'_>) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, 0);
        }
        let at = match self.place(slot) {
            Some(at) => at,
            None => {
                self.items.push(slot);
                self.set(self.items.len() - 1, slot);
                self.items.len() - 1
            }
        };
        let at = self.up(at, less);
        self.down(at, less);
    }

    pub(super) fn pop(&mut self, less: Less<'_>) -> Option<u32> {
        let top = self.peek()?;
        self.remove(top, less);
        Some(top)
    }

    /// Removes a slot; false when it is not there.
    pub(super) fn remove(&mut self, slot: u32, less: Less<'_>) -> bool {
        let Some(at) = self.place(slot) else { return false };
        self.places[slot as usize] = 0;
        if let Some(last) = self.items.pop()
            && last != slot
        {
            self.set(at, last);
            let at = self.up(at, less);
            self.down(at, less);
        }
        true
    }

    fn up(&mut self, mut at: usize, less: Less<'_>) -> usize {
        let slot = self.items[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if !less(slot, self.items[parent]) {
                break;
            }
            self.set(at, self.items[parent]);
            at = parent;
        }
        self.set(at, slot);
        at
    }

    fn down(&mut self, mut at: usize, less: Less<'_>) {
        let slot = self.items[at];
        loop {
            let mut child = 2 * at + 1;
            if child >= self.items.len() {
                break;
            }
            if child + 1 < self.items.len() && less(self.items[child + 1], self.items[child]) {
                child += 1;
            }
            if !less(self.items[child], slot) {
                break;
            }
            self.set(at, self.items[child]);
            at = child;
        }
        self.set(at, slot);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is added and removed, what is popped comes in order and is exactly what is left.
        #[test]
        fn pops_in_order(ops in proptest::collection::vec((0_u32..20, any::<bool>(), 0_u64..5), 0..60)) {
            let mut keys = [0_u64; 20];
            let mut heap = Heap::default();
            let mut model = std::collections::BTreeSet::new();
            for (slot, add, key) in ops {
                if add {
                    if !model.contains(&slot) {
                        keys[slot as usize] = key;
                    }
                    let less = |a: u32, b: u32| (keys[a as usize], a) < (keys[b as usize], b);
                    heap.push(slot, &less);
                    model.insert(slot);
                } else {
                    let less = |a: u32, b: u32| (keys[a as usize], a) < (keys[b as usize], b);
                    prop_assert_eq!(heap.remove(slot, &less), model.remove(&slot));
                }
            }
            let less = |a: u32, b: u32| (keys[a as usize], a) < (keys[b as usize], b);
            let mut expected: Vec<_> = model.into_iter().collect();
            expected.sort_by_key(|s| (keys[*s as usize], *s));
            let popped: Vec<_> = std::iter::from_fn(|| heap.pop(&less)).collect();
            prop_assert_eq!(popped, expected);
        }
    }
}
