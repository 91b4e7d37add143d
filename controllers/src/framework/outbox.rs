//! Where a controller puts its intents.

use headroom_core::intent::{EventRecord, Intent, IntentId, Op};

/// Bits of an [`IntentId`] below the controller's number.
const SEQUENCE_BITS: u32 = 56;

/// Collects the intents of one call and gives each an id that leads back to the controller.
#[derive(Debug)]
pub struct Outbox<'a> {
    controller: u8,
    next: &'a mut u64,
    intents: &'a mut Vec<Intent>,
}

impl<'a> Outbox<'a> {
    /// For the controller with this number; `next` is the process's counter.
    pub fn new(controller: u8, next: &'a mut u64, intents: &'a mut Vec<Intent>) -> Self {
        Self { controller, next, intents }
    }

    /// Emits an operation; its outcome will carry the id.
    pub fn push(&mut self, op: Op) -> IntentId {
        *self.next = self.next.wrapping_add(1) & ((1 << SEQUENCE_BITS) - 1);
        let id = IntentId(u64::from(self.controller) << SEQUENCE_BITS | *self.next);
        self.intents.push(Intent { id, op });
        id
    }

    /// Emits an event; it has no outcome.
    pub fn event(&mut self, event: EventRecord) {
        self.push(Op::Event(event));
    }

    /// The number of the controller whose intent this was.
    #[must_use]
    pub const fn controller_of(id: IntentId) -> u8 {
        (id.0 >> SEQUENCE_BITS) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::{Kind, ObjectKey};

    #[test]
    fn ids_lead_back() {
        let (mut next, mut intents) = (0, Vec::new());
        let mut out = Outbox::new(7, &mut next, &mut intents);
        let a = out.push(Op::Get { kind: Kind::POD, key: ObjectKey::default() });
        let b = out.push(Op::Get { kind: Kind::POD, key: ObjectKey::default() });
        assert_ne!(a, b);
        assert_eq!((Outbox::controller_of(a), Outbox::controller_of(b)), (7, 7));
        assert_eq!(intents.len(), 2);
    }
}
