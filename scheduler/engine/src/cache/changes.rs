//! Which slots changed last: what is kept per slot is brought up to date without looking at all of them.

use super::Slot;

/// How many changes are remembered. Who missed more looks at every slot.
const REMEMBERED: usize = 1024;

/// The last changes of generations.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The change with number `n` stands at `n % REMEMBERED`.
    ring: Vec<Slot>,
    /// How many there were ever.
    count: u64,
}

impl Changes {
    /// As if so many had been and none were remembered.
    pub(super) const fn after(count: u64) -> Self {
        Self { ring: Vec::new(), count }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn push(&mut self, slot: Slot) {
        if self.ring.is_empty() {
            // `u32::MAX` is no slot: changes before the first one are not remembered.
            self.ring.resize(REMEMBERED, Slot::MAX);
        }
        self.ring[(self.count % REMEMBERED as u64) as usize] = slot;
        self.count += 1;
    }

    /// The slots that changed since there were `count` changes, some of them repeatedly; absent when it is not known any
    /// more.
    pub(super) fn since(&self, count: u64) -> Option<impl Iterator<Item = Slot> + use<'_>> {
        let missed = self.count.checked_sub(count)?;
        if missed > REMEMBERED as u64 {
            return None;
        }
        let slots = (count..self.count).map(|n| self.ring.get((n % REMEMBERED as u64) as usize).copied());
        // A gap can only be at the beginning.
        match slots.clone().next() {
            Some(None | Some(Slot::MAX)) => None,
            _ => Some(slots.flatten()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(changes: &Changes, count: u64) -> Option<Vec<Slot>> {
        changes.since(count).map(Iterator::collect)
    }

    #[test]
    fn the_last_changes_are_known() {
        let mut changes = Changes::default();
        assert_eq!(since(&changes, 0), Some(vec![]));
        assert_eq!(since(&changes, 1), None);
        for slot in 0..REMEMBERED as Slot {
            changes.push(slot);
        }
        assert_eq!(since(&changes, 0).map(|all| all.len()), Some(REMEMBERED));
        assert_eq!(since(&changes, REMEMBERED as u64 - 2), Some(vec![1022, 1023]));
        changes.push(7);
        assert_eq!(since(&changes, 0), None);
        assert_eq!(since(&changes, REMEMBERED as u64), Some(vec![7]));
    }

    #[test]
    fn what_was_before_is_not() {
        let mut changes = Changes::after(10);
        assert_eq!((since(&changes, 9), since(&changes, 10)), (None, Some(vec![])));
        changes.push(3);
        assert_eq!((since(&changes, 9), since(&changes, 10)), (None, Some(vec![3])));
    }
}
