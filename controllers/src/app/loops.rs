//! All loops over one world, without any I/O: the process feeds inputs in and takes intents out.

use std::collections::VecDeque;

use headroom_core::{
    Mono, Now,
    intent::{Intent, Outcome},
    memory::Params,
    object::Kind,
};
use headroom_runtime::informer::Change;
use tracing::warn;

use super::{
    Options, inputs,
    inputs::Input,
    times::{QueueTimes, Times},
};
use crate::{
    endpoints::EndpointsController,
    endpointslice::EndpointSliceController,
    endpointslice_mirroring::EndpointSliceMirroringController,
    framework::{Controller, HeadroomRow, Measurements, Outbox, World, WorldEvent},
    memory_profile::MemoryProfileController,
    node_headroom::{Answer, CollectorCommand, NodeHeadroomController},
    node_lifecycle::{DialCommand, NodeLifecycleController},
    pod_gc::PodGcController,
    replication::Replication,
    selection,
    taint_eviction::{Policy, TaintEvictionController},
};

/// One loop.
enum Loop {
    Plain(Box<dyn Controller + Send>),
    Lifecycle(Box<NodeLifecycleController>),
    Headroom(Box<NodeHeadroomController>),
    Profile(Box<MemoryProfileController>),
}

impl Loop {
    fn as_mut(&mut self) -> &mut dyn Controller {
        match self {
            Self::Plain(c) => c.as_mut(),
            Self::Lifecycle(c) => c.as_mut(),
            Self::Headroom(c) => c.as_mut(),
            Self::Profile(c) => c.as_mut(),
        }
    }

    fn as_ref(&self) -> &dyn Controller {
        match self {
            Self::Plain(c) => c.as_ref(),
            Self::Lifecycle(c) => c.as_ref(),
            Self::Headroom(c) => c.as_ref(),
            Self::Profile(c) => c.as_ref(),
        }
    }
}

/// The loops and what they know.
pub(super) struct Loops {
    world: World,
    loops: Vec<(Loop, bool)>,
    leading: bool,
    next_id: u64,
    /// Kinds that are watched beside those that loops need.
    extra: &'static [Kind],
    /// Evictions are held back by what NodeHeadrooms say.
    brake: bool,
    /// Intents that the dispatcher had no room for yet.
    outgoing: VecDeque<Intent>,
    /// How long keys wait and are worked on.
    times: Times,
    /// The time that the queues know.
    told: Mono,
}

impl std::fmt::Debug for Loops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loops")
            .field("loops", &self.loops.len())
            .field("leading", &self.leading)
            .finish_non_exhaustive()
    }
}

impl Loops {
    /// The selected loops. `params` are those of the memory model; `seed` differs from process to process: names of
    /// pods and slices depend on it.
    #[must_use]
    pub(super) fn new(selected: &[&'static str], options: &Options, params: &Params, seed: u64) -> Self {
        let profile = options.node_lifecycle.profile;
        let both = selected.contains(&selection::NODE_LIFECYCLE) && selected.contains(&selection::TAINT_EVICTION);
        let policy = Policy {
            cap_default_tolerations: profile.caps_default_tolerations(),
            spare_ended: profile.spares_ended(),
            brake: profile.brakes() && both,
        };
        if profile.brakes() && !both {
            warn!(
                "--node-lifecycle-profile: evictions are not held back: that needs both {} and {} here",
                selection::NODE_LIFECYCLE,
                selection::TAINT_EVICTION
            );
        }
        let make = |name: &&'static str| -> Loop {
            match *name {
                selection::REPLICATION => Loop::Plain(Box::new(Replication::new(seed))),
                selection::ENDPOINTS => {
                    Loop::Plain(Box::new(EndpointsController::new(options.endpoints.endpoints_batch_period.0)))
                }
                selection::ENDPOINT_SLICE => {
                    Loop::Plain(Box::new(EndpointSliceController::new(options.endpoints.slice_config(), seed ^ 1)))
                }
                selection::ENDPOINT_SLICE_MIRRORING => {
                    Loop::Plain(Box::new(EndpointSliceMirroringController::new(&options.mirroring, seed ^ 2)))
                }
                selection::POD_GC => Loop::Plain(Box::new(PodGcController::new(&options.pod_gc))),
                selection::NODE_LIFECYCLE => {
                    Loop::Lifecycle(Box::new(NodeLifecycleController::new(options.node_lifecycle.clone())))
                }
                selection::TAINT_EVICTION => {
                    Loop::Plain(Box::new(TaintEvictionController::new(policy, params.clone())))
                }
                selection::MEMORY_PROFILE => Loop::Profile(Box::new(MemoryProfileController::new(params.clone()))),
                _ => Loop::Headroom(Box::new(NodeHeadroomController::new(
                    params.clone(),
                    options.node_headroom.interval.0,
                ))),
            }
        };
        Self {
            world: World::default(),
            loops: selected.iter().map(|name| (make(name), false)).collect(),
            leading: false,
            next_id: 0,
            extra: inputs::profile_kinds(profile, selected),
            brake: policy.brake,
            outgoing: VecDeque::new(),
            times: Times::default(),
            told: Mono::default(),
        }
    }

    /// The kinds that have to be watched.
    #[must_use]
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for (l, _) in &self.loops {
            for kind in inputs::needs(l.as_ref().name()) {
                if !kinds.contains(kind) {
                    kinds.push(*kind);
                }
            }
        }
        let extra: Vec<Kind> = self.extra.iter().filter(|kind| !kinds.contains(kind)).copied().collect();
        kinds.extend(extra);
        kinds
    }

    /// This process leads from now on.
    pub(super) fn lead(&mut self) {
        self.leading = true;
    }

    /// Takes an input in.
    pub(super) fn handle(&mut self, input: Input, now: Now) {
        if self.told != now.mono {
            self.told = now.mono;
            for (l, _) in &mut self.loops {
                l.as_mut().queues(&mut |_, queue| queue.clock(now.mono));
            }
        }
        let loops = &mut self.loops;
        let mut tell = |event: &WorldEvent<'_>, world: &World| {
            for (l, _) in loops.iter_mut() {
                l.as_mut().observe(event, world, now);
            }
        };
        macro_rules! change {
            ($change:expr, $kind:expr, $apply:ident, $remove:ident) => {
                match $change {
                    Change::Applied(row) => self.world.$apply(row, &mut tell),
                    Change::Deleted { key, .. } => self.world.$remove(&key, &mut tell),
                    Change::Synced => self.world.set_synced($kind, &mut tell),
                }
            };
        }
        match input {
            Input::Pod(c) => change!(c, Kind::POD, apply_pod, remove_pod),
            Input::Rc(c) => change!(c, Kind::REPLICATION_CONTROLLER, apply_rc, remove_rc),
            Input::Service(c) => change!(c, Kind::SERVICE, apply_service, remove_service),
            Input::Endpoints(c) => change!(c, Kind::ENDPOINTS, apply_endpoints, remove_endpoints),
            Input::Slice(c) => change!(c, Kind::ENDPOINT_SLICE, apply_slice, remove_slice),
            Input::Lease(c) => change!(c, Kind::LEASE, apply_lease, remove_lease),
            Input::Namespace(c) => change!(c, Kind::NAMESPACE, apply_namespace, remove_namespace),
            Input::Node(Change::Applied(row)) => self.world.apply_node(row, &mut tell),
            Input::Node(Change::Deleted { key, .. }) => self.world.remove_node(&key.name, &mut tell),
            Input::Node(Change::Synced) => self.world.set_synced(Kind::NODE, &mut tell),
            Input::Headroom(Change::Applied(row)) => {
                let kept = HeadroomRow {
                    meta: row.meta.clone(),
                    sample: row.sample.unwrap_or_default(),
                    overhead: row.system_overhead,
                    conditions: row.conditions.clone(),
                    details: self.brake.then_some(row),
                };
                self.world.apply_headroom(std::sync::Arc::new(kept), &mut tell);
            }
            Input::Headroom(Change::Deleted { key, .. }) => self.world.remove_headroom(&key.name, &mut tell),
            Input::Headroom(Change::Synced) => self.world.set_synced(Kind::NODE_HEADROOM, &mut tell),
            Input::Profile(c) => change!(c, Kind::MEMORY_PROFILE, apply_profile, remove_profile),
            Input::ReplicaSet(c) => change!(c, Kind::REPLICA_SET, apply_replica_set, remove_replica_set),
            Input::Job(c) => change!(c, Kind::JOB, apply_job, remove_job),
            Input::Outcome(outcome) => self.outcome(&outcome, now),
            Input::Answer(answer) => self.answered(answer, now),
            Input::Dialled(result) => {
                if let Some(c) = lifecycle(&mut self.loops) {
                    c.dialled(&result, &self.world, now);
                }
            }
        }
    }

    /// A kubelet has answered: the one loop measures, the other learns from what was measured, and a third one notes
    /// that it lives.
    fn answered(&mut self, answer: Answer, now: Now) {
        if let Answer::Kubelet(result) = &answer
            && result.heard()
            && let Some(lifecycle) = lifecycle(&mut self.loops)
        {
            lifecycle.kubelet_answered(&result.node, result.received_at.mono);
        }
        let headroom = self.loops.iter_mut().find_map(|(l, _)| match l {
            Loop::Headroom(c) => Some(c),
            _ => None,
        });
        let Some(headroom) = headroom else { return };
        match answer {
            Answer::Kubelet(result) => headroom.scraped(result, &self.world, now),
            Answer::Metrics(result) => return headroom.metrics_read(result, &self.world, now),
        }
        let observed = headroom.take_observations();
        for (l, _) in self.loops.iter_mut().filter(|(_, started)| *started) {
            if let Loop::Profile(c) = l {
                c.sampled(&observed, &self.world, now);
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome, now: Now) {
        let number = Outbox::controller_of(outcome.id);
        let Some((l, _)) = self.loops.get_mut(usize::from(number)) else {
            warn!(id = %outcome.id, "an outcome of no loop of ours");
            return;
        };
        let mut intents = Vec::new();
        l.as_mut().outcome(outcome, &self.world, now, &mut Outbox::new(number, &mut self.next_id, &mut intents));
        self.times.answered(outcome.id, &intents, now.mono);
        self.outgoing.extend(intents);
    }

    /// Works until nothing can be done at once, or the dispatcher has no room, but on at most `budget` keys of each loop.
    /// Returns whether there is more to do. The clock is asked before and after each key: to what a loop decides it is the
    /// time that it is given, as ever.
    pub(super) fn work(
        &mut self,
        clock: impl Fn() -> Now,
        budget: usize,
        mut submit: impl FnMut(Intent) -> Result<(), Intent>,
    ) -> bool {
        if !self.flush(&mut submit) {
            return false;
        }
        if !self.leading {
            return false;
        }
        let mut more = false;
        for number in 0..self.loops.len() {
            let mut left = budget;
            while self.poll_one(number, &clock) == Some(true) {
                if !self.flush(&mut submit) {
                    return false;
                }
                left = left.saturating_sub(1);
                if left == 0 {
                    // Whatever the loops behind this one have to do.
                    more = true;
                    break;
                }
            }
            if !self.flush(&mut submit) {
                return false;
            }
        }
        more
    }

    /// Starts the loop when its kinds are known, then works on one of its keys. Nothing while they are not.
    fn poll_one(&mut self, number: usize, clock: &impl Fn() -> Now) -> Option<bool> {
        let (l, started) = self.loops.get_mut(number)?;
        let controller = l.as_mut();
        if !*started && !inputs::needs(controller.name()).iter().all(|kind| self.world.is_synced(*kind)) {
            return None;
        }
        let now = clock();
        let mut intents = Vec::new();
        let mut out = Outbox::new(u8::try_from(number).unwrap_or(u8::MAX), &mut self.next_id, &mut intents);
        if !*started {
            *started = true;
            tracing::info!(controller = controller.name(), "started");
            controller.started(&self.world, now, &mut out);
        }
        let again = controller.poll(&self.world, now, &mut out);
        let times = &mut self.times;
        controller.queues(&mut |name, queue| {
            // Each poll takes one key at most.
            if let Some(waited) = queue.take_waited() {
                times.looked(name, waited, now.mono, clock().mono, &intents);
            }
        });
        self.outgoing.extend(intents);
        Some(again)
    }

    /// Hands intents over. Returns whether all found room.
    fn flush(&mut self, submit: &mut impl FnMut(Intent) -> Result<(), Intent>) -> bool {
        while let Some(intent) = self.outgoing.pop_front() {
            if let Err(intent) = submit(intent) {
                self.outgoing.push_front(intent);
                return false;
            }
        }
        true
    }

    /// What kubelets are to be asked.
    pub(super) fn take_commands(&mut self) -> Vec<CollectorCommand> {
        if !self.leading {
            return Vec::new();
        }
        self.loops
            .iter_mut()
            .find_map(|(l, _)| if let Loop::Headroom(c) = l { Some(c.take_commands()) } else { None })
            .unwrap_or_default()
    }

    /// Which kubelets are to be dialled.
    pub(super) fn take_dials(&mut self) -> Vec<DialCommand> {
        if !self.leading {
            return Vec::new();
        }
        lifecycle(&mut self.loops).map(NodeLifecycleController::take_dials).unwrap_or_default()
    }

    /// When there is work though nothing has changed.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        if !self.leading {
            return None;
        }
        self.loops.iter().filter(|(_, started)| *started).filter_map(|(l, _)| l.as_ref().next_deadline()).min()
    }

    /// What the loops count themselves.
    pub(super) fn measure(&self) -> Measurements {
        let mut into = Measurements::default();
        for (l, _) in &self.loops {
            l.as_ref().measure(&self.world, &mut into);
        }
        into
    }

    /// Of each queue its name, (depth, adds, retries), and its times.
    pub(super) fn queues(&mut self, mut each: impl FnMut(&'static str, (usize, u64, u64), &mut QueueTimes)) {
        for (l, _) in &mut self.loops {
            let times = &mut self.times;
            l.as_mut().queues(&mut |name, queue| each(name, queue.totals(), times.of(name)));
        }
    }
}

fn lifecycle(loops: &mut [(Loop, bool)]) -> Option<&mut NodeLifecycleController> {
    loops.iter_mut().find_map(|(l, _)| if let Loop::Lifecycle(c) = l { Some(&mut **c) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::{
        intent::WriteError,
        object::{Meta, ObjectKey, ReplicationController},
    };
    use headroom_runtime::process::parse_or_explain;
    use std::{sync::Arc, time::Duration};

    #[test]
    fn a_key_is_timed_until_its_writes_are_answered() {
        let flags = ["x", "--controllers=replicationcontroller-controller"].map(str::to_owned);
        let options: Options = parse_or_explain(flags).unwrap();
        let mut loops = Loops::new(&[selection::REPLICATION], &options, &Params::default(), 1);
        let at = |ms: u64| Now { mono: Mono(ms * 1000), ..Now::at_secs(0) };
        let told = |loops: &mut Loops, now: Now| {
            let mut all = Vec::new();
            loops.queues(|name, _, times| {
                let (waited, worked) = (times.waited().collect::<Vec<_>>(), times.worked().collect::<Vec<_>>());
                all.push((name, waited, worked, times.in_work(now.mono)));
            });
            all
        };
        let (name, ms, none) = ("replicationmanager", Duration::from_millis, Vec::<Duration>::new);
        loops.lead();
        let meta = Meta { key: ObjectKey::new("default", "web"), uid: "u".into(), ..Meta::default() };
        let rc = ReplicationController { meta, replicas: 1, ..ReplicationController::default() };
        loops.handle(Input::Rc(Change::Applied(Arc::new(rc))), at(10));
        loops.handle(Input::Rc(Change::Synced), at(11));
        loops.handle(Input::Pod(Change::Synced), at(11));
        let mut sent = Vec::new();
        loops.work(
            || at(15),
            64,
            |intent| {
                sent.push(intent);
                Ok(())
            },
        );
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(told(&mut loops, at(18)), [(name, vec![ms(5)], none(), (ms(3), ms(3)))]);
        let result = Err(WriteError::Unreachable("x".into()));
        loops.handle(Input::Outcome(Outcome { id: sent[0].id, result }), at(22));
        assert_eq!(told(&mut loops, at(30)), [(name, none(), vec![ms(7)], (ms(0), ms(0)))]);
    }

    #[test]
    fn a_profile_watches_more_and_the_brake_needs_both_loops() {
        for (controllers, profile, brake, headrooms) in [
            ("node-lifecycle-controller,taint-eviction-controller", "stock", false, false),
            ("node-lifecycle-controller,taint-eviction-controller", "fast", true, true),
            ("node-lifecycle-controller,taint-eviction-controller", "patient", true, true),
            ("node-lifecycle-controller", "fast", false, true),
            ("taint-eviction-controller", "patient", false, true),
            ("endpoints-controller", "fast", false, false),
        ] {
            let flags = [format!("--controllers={controllers}"), format!("--node-lifecycle-profile={profile}")];
            let options: Options = parse_or_explain(std::iter::once("x".to_owned()).chain(flags)).unwrap();
            let loops = Loops::new(&selection::select(&options.controllers).unwrap(), &options, &Params::default(), 1);
            let kinds = loops.kinds();
            assert_eq!(loops.brake, brake, "{controllers} {profile}");
            assert_eq!(kinds.contains(&Kind::NODE_HEADROOM), headrooms, "{controllers} {profile}");
            assert_eq!(kinds.contains(&Kind::MEMORY_PROFILE), headrooms, "{controllers} {profile}");
        }
    }
}
