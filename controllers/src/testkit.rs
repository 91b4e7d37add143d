//! Drives a pure controller in tests: a world, a clock, and what came out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "for tests")]

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Now,
    intent::{EventRecord, Intent, IntentId, Op, Outcome, WriteError, Written},
    object::{EndpointSlice, Endpoints, Kind, Lease, MemoryProfile, Node, ObjectKey, Pod, Service},
};

use crate::framework::{Controller, HeadroomRow, Outbox, World, WorldEvent};

/// A controller in a world of its own.
pub(crate) struct Rig<C> {
    pub(crate) controller: C,
    pub(crate) world: World,
    pub(crate) now: Now,
    next: u64,
    intents: Vec<Intent>,
    pub(crate) events: Vec<EventRecord>,
}

impl<C: Controller> Rig<C> {
    /// At this second; everything is synced and the controller leads from the first [`Self::start`] on.
    pub(crate) fn new(controller: C, second: u32) -> Self {
        let (now, world) = (Now::at_secs(second), World::default());
        Self { controller, world, now, next: 0, intents: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn start(&mut self) {
        let ours = [Kind::NODE_HEADROOM, Kind::MEMORY_PROFILE, Kind::REPLICA_SET, Kind::JOB];
        let of_services = [Kind::SERVICE, Kind::ENDPOINTS, Kind::ENDPOINT_SLICE];
        for kind in [Kind::NODE, Kind::POD, Kind::LEASE].into_iter().chain(ours).chain(of_services) {
            let (c, now) = (&mut self.controller, self.now);
            self.world.set_synced(kind, |e, w| c.observe(e, w, now));
        }
        self.with(C::started);
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut C, &World, Now, &mut Outbox<'_>) -> T) -> T {
        let mut intents = Vec::new();
        let mut out = Outbox::new(1, &mut self.next, &mut intents);
        let result = f(&mut self.controller, &self.world, self.now, &mut out);
        for intent in intents {
            match intent.op {
                Op::Event(event) => self.events.push(event),
                _ => self.intents.push(intent),
            }
        }
        result
    }

    /// Polls until there is nothing to do at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let again = self.with(C::poll);
            if !again && self.controller.next_deadline().is_none_or(|d| d > self.now.mono) {
                return;
            }
        }
        panic!("the controller never comes to rest");
    }

    /// Lets time pass without a poll in between.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.now = Now { wall: self.now.wall + time, mono: self.now.mono + time };
    }

    /// Lets time pass, polling at every deadline.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now.mono + time;
        loop {
            self.settle();
            let next = self.controller.next_deadline().filter(|d| *d <= end);
            let to = next.unwrap_or(end);
            self.jump(to.since(self.now.mono));
            if next.is_none() {
                return self.settle();
            }
        }
    }

    /// The operations since the last look.
    pub(crate) fn take(&mut self) -> Vec<(IntentId, Op)> {
        std::mem::take(&mut self.intents).into_iter().map(|i| (i.id, i.op)).collect()
    }

    /// Reasons and notes of the events since the last look.
    pub(crate) fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events).iter().map(|e| format!("{} {}", e.reason, e.note)).collect()
    }

    pub(crate) fn answer(&mut self, id: IntentId, result: Result<Written, WriteError>) {
        self.with(|c, world, now, out| c.outcome(&Outcome { id, result }, world, now, out));
    }

    pub(crate) fn ok(&mut self, id: IntentId, uid: &str, resource_version: u64) {
        self.answer(id, Ok(Written { uid: Some(uid.into()), resource_version, found: Vec::new() }));
    }

    pub(crate) fn node(&mut self, row: Arc<Node>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_node(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_node(name, |e: &WorldEvent<'_>, w| c.observe(e, w, now));
    }

    pub(crate) fn pod(&mut self, row: Arc<Pod>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_pod(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_pod(&mut self, key: &ObjectKey) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_pod(key, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn lease(&mut self, row: Arc<Lease>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_lease(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn service(&mut self, row: Arc<Service>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_service(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_service(&mut self, key: &ObjectKey) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_service(key, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn endpoints(&mut self, row: Arc<Endpoints>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_endpoints(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_endpoints(&mut self, key: &ObjectKey) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_endpoints(key, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn slice(&mut self, row: Arc<EndpointSlice>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_slice(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_slice(&mut self, key: &ObjectKey) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_slice(key, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn profile(&mut self, row: Arc<MemoryProfile>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_profile(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_profile(&mut self, key: &ObjectKey) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_profile(key, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn headroom(&mut self, row: Arc<HeadroomRow>) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.apply_headroom(row, |e, w| c.observe(e, w, now));
    }

    pub(crate) fn remove_headroom(&mut self, name: &str) {
        let (c, now) = (&mut self.controller, self.now);
        self.world.remove_headroom(name, |e, w| c.observe(e, w, now));
    }
}
