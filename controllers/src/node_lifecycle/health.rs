//! Node health as it is observed here, by our own clock: kubelets' times are compared with one another only
//! (`tryUpdateNodeHealth`; reference 4.3, trap 8).

use std::time::Duration;

use headroom_core::{
    Mono, Str, Timestamp,
    intent::IntentId,
    object::{Lease, Node, Status},
};

/// What of a Ready condition shows that it was posted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    heartbeat: Option<Timestamp>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Health {
    /// UID of the Node.
    pub(super) uid: Str,
    /// When a sign of life was last seen.
    pub(super) probe: Mono,
    /// The Ready condition at the last pass.
    seen: Option<Seen>,
    /// The newest renewal of its lease that was seen.
    pub(super) renewed: Option<Timestamp>,
    /// When its kubelet last answered this process.
    pub(super) answered: Option<Mono>,
    /// A dial of its kubelet is in flight, since then.
    pub(super) dial: Option<(u64, Mono)>,
    /// Since when it is not declared silent because it is only slow.
    pub(super) spared: Option<Mono>,
    /// A live check is in flight.
    pub(super) check: Option<IntentId>,
    /// When a live check first agreed that it is silent, while no other node was heard of either.
    pub(super) suspected: Option<Mono>,
    /// It has been silent for too long, and the live check agrees: its conditions are to be written.
    pub(super) dead: bool,
    /// Resource version of the node after we wrote its conditions: until the row has it, Ready is Unknown whatever the
    /// row says.
    pub(super) written_unknown: Option<u64>,
}

impl Health {
    /// A node seen for the first time: the clock starts now. Upstream starts it at the creation time when the node has
    /// no Ready condition; that compares the API server's clock with ours, and only shortens the startup grace after
    /// a restart.
    pub(super) fn new(node: &Node, now: Mono) -> Self {
        Self {
            uid: node.meta.uid.clone(),
            probe: now,
            seen: seen(node),
            renewed: None,
            answered: None,
            dial: None,
            spared: None,
            check: None,
            suspected: None,
            dead: false,
            written_unknown: None,
        }
    }

    /// Takes in what the node and its lease show now. Returns whether there was a sign of life.
    pub(super) fn look(&mut self, node: &Node, lease: Option<&Lease>, now: Mono) -> bool {
        let current = seen(node);
        let mut alive = match (self.seen, current) {
            (None, None) => false,
            (Some(before), Some(current)) => before.heartbeat != current.heartbeat,
            _ => true,
        };
        self.seen = current;
        // A lease without a time counts as the oldest there can be, as upstream's nil does.
        if let Some(lease) = lease {
            let renewed = lease.renewed.unwrap_or(Timestamp(i64::MIN));
            alive |= self.renew(renewed);
        }
        if alive {
            self.restart(now);
        }
        if self.written_unknown.is_some_and(|rv| node.meta.resource_version >= rv) {
            self.written_unknown = None;
        }
        alive
    }

    /// Takes in a renewal; whether it is news.
    pub(super) fn renew(&mut self, renewed: Timestamp) -> bool {
        let news = self.renewed.is_none_or(|before| before < renewed);
        if news {
            self.renewed = Some(renewed);
        }
        news
    }

    /// All clocks start afresh: a pause of ours or of the API server says nothing about the node.
    pub(super) fn restart(&mut self, now: Mono) {
        self.probe = now;
        self.suspected = None;
        self.spared = None;
        self.dead = false;
    }

    /// Whether the node has been silent for longer than it may.
    pub(super) fn expired(&self, grace: Duration, now: Mono) -> bool {
        now > self.probe + grace
    }

    /// Ready as far as is known: what we wrote ourselves counts before its row is there.
    pub(super) fn ready(&self, node: &Node) -> Option<Status> {
        if self.written_unknown.is_some() { Some(Status::Unknown) } else { ready(node) }
    }
}

/// The node's Ready condition.
pub(super) fn ready(node: &Node) -> Option<Status> {
    node.condition("Ready").map(|c| c.status)
}

fn seen(node: &Node) -> Option<Seen> {
    node.condition("Ready").map(|c| Seen { heartbeat: c.last_heartbeat })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::{object::Meta, testing::node};

    fn lease(renewed: i64) -> Lease {
        Lease { meta: Meta::default(), renewed: Some(Timestamp::from_secs(renewed)), ..Lease::default() }
    }

    #[test]
    fn signs_of_life() {
        let at = |s: u64| Mono(s * 1_000_000);
        let n = node("n").condition("Ready", Status::True, 100).build();
        let mut health = Health::new(&n, at(0));
        assert!(!health.look(&n, None, at(5)), "nothing has happened");
        assert!(health.look(&n, Some(&lease(7)), at(10)), "a first lease");
        assert!(!health.look(&n, Some(&lease(7)), at(15)));
        assert!(!health.look(&n, Some(&lease(6)), at(20)), "an older one is no sign of life");
        assert_eq!(health.probe, at(10));
        let later = node("n").condition("Ready", Status::True, 101).build();
        assert!(health.look(&later, Some(&lease(7)), at(25)), "a heartbeat");
        let bare = node("n").with(|n| n.conditions = Box::new([])).build();
        assert!(health.look(&bare, None, at(30)), "the condition vanished");
        assert!(!health.look(&bare, None, at(35)));
        assert!(health.look(&later, None, at(40)), "and came back");
        let grace = Duration::from_secs(50);
        assert!(!health.expired(grace, at(90)) && health.expired(grace, at(91)));
        // A remote clock that is years off changes nothing.
        assert!(health.look(&later, Some(&lease(4_000_000_000)), at(95)));
        assert!(!health.expired(grace, at(145)));
    }
}
