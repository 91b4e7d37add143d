//! The loop against a simulated API server, whatever goes wrong.
//!
//! The watch delivers each object's changes in order, but between objects in any order, late, twice, or several as one;
//! writes are done late, done with the answer lost, lost, or refused; the process restarts at any point with what the
//! watch has delivered so far (a list from a stale cache). What must hold: no creation that is carried out makes more
//! pods than were wanted at any time since the controller decided on it, and in the end there are as many as wanted.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use headroom_core::{
    Now, Str,
    intent::{Found, Intent, Op, Outcome, WriteError, Written},
    object::{Kind, ObjectKey, Phase, Pod, ReplicationController},
    selector::Labels,
    testing::pod,
};
use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::json;

use super::{Replication, tests::rc};
use crate::framework::{Controller, Outbox, World};

/// A repeatable source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides.max(1)
    }
}

/// The state of one key as the watch will tell it.
type Told<T> = Option<Arc<T>>;

struct Sent {
    intent: Intent,
    /// Version of the replication controller in view when it was decided.
    basis: u64,
}

struct Sim {
    dice: Dice,
    // The server.
    rv: u64,
    uids: u64,
    rc: ReplicationController,
    wanted: Vec<(u64, usize)>,
    pods: BTreeMap<ObjectKey, Pod>,
    pod_watch: BTreeMap<ObjectKey, VecDeque<Told<Pod>>>,
    rc_watch: VecDeque<Arc<ReplicationController>>,
    // The process.
    world: World,
    c: Replication,
    now: Now,
    next: u64,
    sent: Vec<Sent>,
    answered: Vec<Outcome>,
    calm: bool,
    creations: usize,
}

impl Sim {
    fn new(seed: u64, replicas: i32, orphans: usize) -> Self {
        let mut sim = Self {
            dice: Dice(seed | 1),
            rv: 10,
            uids: 0,
            rc: rc("web", replicas),
            wanted: vec![],
            pods: BTreeMap::new(),
            pod_watch: BTreeMap::new(),
            rc_watch: VecDeque::new(),
            world: World::default(),
            c: Replication::new(seed),
            now: Now::at_secs(1_000_000),
            next: 0,
            sent: vec![],
            answered: vec![],
            calm: false,
            creations: 0,
        };
        sim.rc_changed(|_| {});
        for i in 0..orphans {
            let p = pod(&format!("orphan-{i}")).label("app", "web").build();
            sim.put(p);
        }
        sim.restart();
        sim
    }

    fn rc_changed(&mut self, change: impl FnOnce(&mut ReplicationController)) {
        self.rv += 1;
        change(&mut self.rc);
        self.rc.meta.resource_version = self.rv;
        self.wanted.push((self.rv, usize::try_from(self.rc.replicas).unwrap()));
        self.rc_watch.push_back(Arc::new(self.rc.clone()));
    }

    fn put(&mut self, mut p: Pod) {
        self.rv += 1;
        p.meta.resource_version = self.rv;
        self.pod_watch.entry(p.meta.key.clone()).or_default().push_back(Some(Arc::new(p.clone())));
        self.pods.insert(p.meta.key.clone(), p);
    }

    fn take(&mut self, key: &ObjectKey) {
        self.rv += 1;
        self.pods.remove(key);
        self.pod_watch.entry(key.clone()).or_default().push_back(None);
    }

    fn active(&self) -> usize {
        let ours = |p: &&Pod| p.is_active() && p.meta.controller().is_some_and(|o| o.uid == self.rc.meta.uid);
        self.pods.values().filter(ours).count()
    }

    /// A new process: only the view as far as it was delivered survives (the cache it lists from).
    fn restart(&mut self) {
        // What was sent and not carried out dies with its connection.
        self.sent.clear();
        self.answered.clear();
        let seed = self.dice.roll(1 << 30) as u64;
        self.c = Replication::new(seed);
        if self.rc_watch.len() > 1 || self.world.rcs.is_empty() {
            self.deliver_rc();
        }
        let (c, next, mut sent) = (&mut self.c, &mut self.next, vec![]);
        c.started(&self.world, self.now, &mut Outbox::new(1, next, &mut sent));
    }

    fn deliver_rc(&mut self) {
        if let Some(row) = self.rc_watch.pop_front() {
            let (c, now) = (&mut self.c, self.now);
            self.world.apply_rc(row, |e, w| c.observe(e, w, now));
        }
    }

    fn deliver_pod(&mut self) {
        let keys: Vec<_> = self.pod_watch.iter().filter(|(_, q)| !q.is_empty()).map(|(k, _)| k.clone()).collect();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.dice.roll(keys.len())].clone();
        let (skip, twice) = (self.dice.roll(4) == 0, self.dice.roll(5) == 0);
        let Some(queue) = self.pod_watch.get_mut(&key) else { return };
        if skip && queue.len() > 1 {
            // Several changes as one.
            queue.pop_front();
        }
        let Some(state) = queue.pop_front() else { return };
        let (c, now) = (&mut self.c, self.now);
        for _ in 0..=usize::from(twice) {
            match &state {
                Some(p) => self.world.apply_pod(p.clone(), |e, w| c.observe(e, w, now)),
                None => self.world.remove_pod(&key, |e, w| c.observe(e, w, now)),
            }
        }
    }

    fn poll(&mut self) {
        let basis = self.world.rcs.values().next().map_or(0, |rc| rc.meta.resource_version);
        let mut out = vec![];
        self.c.poll(&self.world, self.now, &mut Outbox::new(1, &mut self.next, &mut out));
        self.sent
            .extend(out.into_iter().filter(|i| !matches!(i.op, Op::Event(_))).map(|intent| Sent { intent, basis }));
    }

    /// Carries one intent out, or not.
    fn carry_out(&mut self) -> Result<(), TestCaseError> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let Sent { intent, basis } = self.sent.swap_remove(self.dice.roll(self.sent.len()));
        let fate = if self.calm { 0 } else { self.dice.roll(10) };
        let result = match fate {
            1 => Err(WriteError::Unknown("lost on the way there".into())),
            2 => Err(WriteError::Forbidden("quota".into())),
            3 => Err(WriteError::Unreachable("refused".into())),
            5 if matches!(intent.op, Op::Delete { .. } | Op::Patch { .. }) => {
                Err(WriteError::Conflict("the object has been modified".into()))
            }
            _ => self.perform(&intent.op, basis)?,
        };
        let result = match fate {
            4 if !matches!(intent.op, Op::List { .. } | Op::Get { .. }) => {
                Err(WriteError::Unknown("lost on the way back".into()))
            }
            _ => result,
        };
        self.answered.push(Outcome { id: intent.id, result });
        Ok(())
    }

    fn perform(&mut self, op: &Op, basis: u64) -> Result<Result<Written, WriteError>, TestCaseError> {
        let done = |uid: Option<Str>, rv| Ok(Written { uid, resource_version: rv, found: vec![] });
        Ok(match op {
            Op::Create { key, body, .. } => {
                if self.pods.contains_key(key) {
                    return Ok(Err(WriteError::AlreadyExists("there".into())));
                }
                self.uids += 1;
                let uid = format!("u{}", self.uids);
                prop_assert_eq!(&body["metadata"]["name"], &json!(key.name));
                let p = pod(&key.name).label("app", "web").owner("ReplicationController", "web", "uid-web").uid(&uid);
                self.put(p.build());
                self.creations += 1;
                let before = self.wanted.iter().rev().find(|(v, _)| *v <= basis).map_or(0, |(_, n)| *n);
                let since = self.wanted.iter().filter(|(v, _)| *v > basis).map(|(_, n)| *n).max().unwrap_or(0);
                let (active, allowed) = (self.active(), before.max(since));
                prop_assert!(active <= allowed, "{} active, {} wanted", active, allowed);
                done(Some(uid.into()), self.rv)
            }
            Op::Delete { key, uid, .. } => match self.pods.get(key).cloned() {
                None => Err(WriteError::NotFound("no pod".into())),
                Some(p) if uid.as_ref() != Some(&p.meta.uid) => {
                    Err(WriteError::Conflict("Precondition failed: UID in precondition".into()))
                }
                Some(mut p) => {
                    p.meta.set_deleted(self.now.wall);
                    self.put(p);
                    done(None, self.rv)
                }
            },
            Op::List { .. } => {
                let found = |p: &Pod| Found {
                    key: p.meta.key.clone(),
                    uid: p.meta.uid.clone(),
                    resource_version: p.meta.resource_version,
                    body: Arc::default(),
                };
                Ok(Written { uid: None, resource_version: self.rv, found: self.pods.values().map(found).collect() })
            }
            Op::Get { .. } => Ok(Written {
                uid: None,
                resource_version: self.rv,
                found: vec![Found {
                    key: self.rc.meta.key.clone(),
                    uid: self.rc.meta.uid.clone(),
                    resource_version: self.rc.meta.resource_version,
                    body: Arc::new(json!({"metadata": {}})),
                }],
            }),
            Op::Patch { kind: Kind::POD, key, .. } => match self.pods.get(key).cloned() {
                None => Err(WriteError::NotFound("no pod".into())),
                Some(mut p) => {
                    if p.meta.owners.is_empty() {
                        let owned = pod("x").owner("ReplicationController", "web", "uid-web").build();
                        p.meta.owners = owned.meta.owners;
                        self.put(p);
                    }
                    done(None, self.rv)
                }
            },
            Op::Patch { body, .. } => {
                if body["metadata"]["resourceVersion"] != json!(self.rc.meta.resource_version.to_string()) {
                    return Ok(Err(WriteError::Conflict("changed".into())));
                }
                let count = |f: &str| i32::try_from(body["status"][f].as_i64().unwrap()).unwrap();
                let (all, labeled) = (count("replicas"), count("fullyLabeledReplicas"));
                let (ready, available) = (count("readyReplicas"), count("availableReplicas"));
                self.rc_changed(|rc| {
                    rc.status.replicas = all;
                    rc.status.fully_labeled_replicas = labeled;
                    rc.status.ready_replicas = ready;
                    rc.status.available_replicas = available;
                    rc.status.observed_generation = body["status"]["observedGeneration"].as_i64().unwrap();
                });
                done(None, self.rv)
            }
            other => return Err(TestCaseError::fail(format!("unexpected {other:?}"))),
        })
    }

    fn answer(&mut self) {
        if self.answered.is_empty() {
            return;
        }
        let outcome = self.answered.swap_remove(self.dice.roll(self.answered.len()));
        let basis = self.world.rcs.values().next().map_or(0, |rc| rc.meta.resource_version);
        let mut out = vec![];
        self.c.outcome(&outcome, &self.world, self.now, &mut Outbox::new(1, &mut self.next, &mut out));
        self.sent
            .extend(out.into_iter().filter(|i| !matches!(i.op, Op::Event(_))).map(|intent| Sent { intent, basis }));
    }

    fn advance(&mut self, d: Duration) {
        self.now = Now { wall: self.now.wall + d, mono: self.now.mono + d };
    }

    fn random_pod(&mut self, keep: impl Fn(&Pod) -> bool) -> Option<Pod> {
        let fit: Vec<_> = self.pods.values().filter(|p| keep(p)).cloned().collect();
        (!fit.is_empty()).then(|| fit[self.dice.roll(fit.len())].clone())
    }

    fn step(&mut self) -> Result<(), TestCaseError> {
        match self.dice.roll(40) {
            0..8 => self.deliver_pod(),
            8..10 => self.deliver_rc(),
            10..20 => self.poll(),
            20..28 => self.carry_out()?,
            28..34 => self.answer(),
            34 => {
                let n = self.dice.roll(12);
                self.rc_changed(|rc| {
                    rc.replicas = i32::try_from(n).unwrap();
                    rc.meta.generation += 1;
                });
            }
            35 => {
                // Somebody deletes a pod, or a node loses it.
                if let Some(p) = self.random_pod(Pod::is_active) {
                    self.take(&p.meta.key);
                }
            }
            36 => {
                if let Some(p) = self.random_pod(|p| p.meta.is_terminating()) {
                    self.take(&p.meta.key);
                }
            }
            37 => {
                let fails = self.dice.roll(3) == 0;
                if let Some(mut p) = self.random_pod(Pod::is_active) {
                    p.status.phase = if fails { Phase::Failed } else { Phase::Running };
                    self.put(p);
                }
            }
            38 => {
                let ms = self.dice.roll(20_000) as u64;
                self.advance(Duration::from_millis(ms));
            }
            _ => {
                if self.dice.roll(8) == 0 {
                    self.restart();
                }
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more, and everything arrives.
    fn come_to_rest(&mut self) -> Result<(), TestCaseError> {
        self.calm = true;
        for _ in 0..600 {
            for _ in 0..20 {
                while self.pod_watch.values().any(|q| !q.is_empty()) {
                    self.deliver_pod();
                }
                while !self.rc_watch.is_empty() {
                    self.deliver_rc();
                }
                self.poll();
                while !self.sent.is_empty() {
                    self.carry_out()?;
                }
                while !self.answered.is_empty() {
                    self.answer();
                }
            }
            self.advance(Duration::from_secs(5));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(20), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_too_many_and_in_the_end_enough(
        seed in any::<u64>(), replicas in 0i32..12, orphans in 0usize..4, steps in 50usize..1500,
    ) {
        let mut sim = Sim::new(seed, replicas, orphans);
        for _ in 0..steps {
            sim.step()?;
        }
        sim.come_to_rest()?;
        prop_assert_eq!(sim.c.yielded(), None);
        let wanted = usize::try_from(sim.rc.replicas).unwrap();
        prop_assert_eq!(sim.active(), wanted);
        prop_assert_eq!(usize::try_from(sim.rc.status.replicas).unwrap(), wanted);
        prop_assert_eq!(sim.rc.status.observed_generation, sim.rc.meta.generation);
    }
}

#[test]
fn the_selector_of_the_simulation_selects() {
    let labels: Labels = [("app", "web")].into_iter().collect();
    assert!(rc("web", 1).selector.selects(&labels));
}

/// A watch that shows nothing for minutes while pods come and go.
#[test]
fn a_dead_watch_does_not_overshoot() {
    let mut sim = Sim::new(3, 5, 0);
    sim.calm = true;
    for second in 0..600u64 {
        for _ in 0..10 {
            sim.poll();
            while !sim.sent.is_empty() {
                sim.carry_out().unwrap();
            }
            while !sim.answered.is_empty() {
                sim.answer();
            }
        }
        assert!(sim.active() <= 5, "{} after {second} s", sim.active());
        if second == 100
            && let Some(p) = sim.random_pod(Pod::is_active)
        {
            sim.take(&p.meta.key);
        }
        sim.advance(Duration::from_secs(1));
    }
    assert_eq!(sim.active(), 5, "the lost one was replaced by what a list said");
    assert_eq!(sim.creations, 6);
}
