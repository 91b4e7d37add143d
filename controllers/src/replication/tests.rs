//! The loop, driven by hand.

mod claims;
mod overlap;
mod rival;
mod writes;

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Now, Timestamp,
    intent::{Found, Intent, IntentId, Op, Outcome, WriteError, Written},
    object::{Kind, Meta, ObjectKey, Phase, Pod, ReplicationController, Status},
    testing::{PodBuilder, pod},
};
use serde_json::{Value, json};

use super::Replication;
use crate::framework::{Controller, Outbox, World};

/// A replication controller `default/<name>` that selects `app=<name>`.
pub(crate) fn rc(name: &str, replicas: i32) -> ReplicationController {
    let labels = [("app", name)].into_iter().collect::<headroom_core::selector::Labels>();
    ReplicationController {
        meta: Meta {
            key: ObjectKey::new("default", name),
            uid: format!("uid-{name}").into(),
            resource_version: 1,
            generation: 1,
            ..Meta::default()
        },
        replicas,
        selector: labels.clone(),
        template_labels: labels,
        template: format!(r#"{{"metadata":{{"labels":{{"app":"{name}"}}}},"spec":{{"containers":[]}}}}"#).into(),
        ..ReplicationController::default()
    }
}

/// A pod of `rc("web", _)`.
fn ours(name: &str) -> PodBuilder {
    pod(name).label("app", "web").owner("ReplicationController", "web", "uid-web").rv(2)
}

struct Rig {
    world: World,
    c: Replication,
    now: Now,
    next: u64,
    /// Not yet answered.
    open: Vec<Intent>,
    events: Vec<String>,
    rv: u64,
}

impl Rig {
    fn new(rc: ReplicationController, pods: Vec<PodBuilder>) -> Self {
        let mut rig = Self {
            world: World::default(),
            c: Replication::new(1),
            now: Now::at_secs(1_000_000),
            next: 0,
            open: vec![],
            events: vec![],
            rv: 100,
        };
        rig.apply_rc(rc);
        for p in pods {
            rig.apply(p);
        }
        let Rig { world, c, now, next, open, .. } = &mut rig;
        c.started(world, *now, &mut Outbox::new(1, next, open));
        rig.run();
        rig
    }

    fn apply_rc(&mut self, rc: ReplicationController) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_rc(Arc::new(rc), |e, w| c.observe(e, w, now));
    }

    fn apply(&mut self, p: PodBuilder) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_pod(p.arc(), |e, w| c.observe(e, w, now));
    }

    fn remove(&mut self, name: &str) {
        let (c, now) = (&mut self.c, self.now);
        self.world.remove_pod(&ObjectKey::new("default", name), |e, w| c.observe(e, w, now));
    }

    fn run(&mut self) {
        for _ in 0..1000 {
            let Rig { world, c, now, next, open, .. } = self;
            let more = c.poll(world, *now, &mut Outbox::new(1, next, open));
            self.open.retain(|i| match &i.op {
                Op::Event(e) => {
                    self.events.push(format!("{} {}", e.reason, e.note));
                    false
                }
                _ => true,
            });
            if !more {
                return;
            }
        }
        panic!("never comes to rest");
    }

    fn advance(&mut self, d: Duration) {
        self.now = Now { wall: self.now.wall + d, mono: self.now.mono + d };
        self.run();
    }

    fn answer(&mut self, id: IntentId, result: Result<Written, WriteError>) {
        let Rig { world, c, now, next, open, .. } = self;
        c.outcome(&Outcome { id, result }, world, *now, &mut Outbox::new(1, next, open));
        self.run();
    }

    /// Answers what matches, and returns how much that was.
    fn reply(&mut self, pick: impl Fn(&Op) -> Option<Result<Written, WriteError>>) -> usize {
        let open = std::mem::take(&mut self.open);
        let mut answers = vec![];
        for i in open {
            match pick(&i.op) {
                Some(result) => answers.push((i.id, result)),
                None => self.open.push(i),
            }
        }
        let n = answers.len();
        for (id, result) in answers {
            self.answer(id, result);
        }
        n
    }

    fn ok(&mut self, uid: Option<&str>) -> Result<Written, WriteError> {
        self.rv += 1;
        Ok(Written { uid: uid.map(Into::into), resource_version: self.rv, found: vec![] })
    }

    /// Answers lists with these pods.
    fn stock(&mut self, names: &[&str]) -> usize {
        let found: Vec<_> = names.iter().map(|n| found(n)).collect();
        let rv = self.rv;
        self.reply(|op| {
            let Op::List { labels, .. } = op else { return None };
            assert_eq!(labels, "app=web");
            Some(Ok(Written { uid: None, resource_version: rv, found: found.clone() }))
        })
    }

    fn creates(&self) -> Vec<String> {
        let name = |i: &Intent| match &i.op {
            Op::Create { key, .. } => Some(key.name.to_string()),
            _ => None,
        };
        self.open.iter().filter_map(name).collect()
    }

    fn deletes(&self) -> Vec<String> {
        let name = |i: &Intent| match &i.op {
            Op::Delete { key, uid, .. } => {
                assert!(uid.is_some(), "deletions carry the UID");
                Some(key.name.to_string())
            }
            _ => None,
        };
        self.open.iter().filter_map(name).collect()
    }

    /// The status last asked for.
    fn status(&self) -> Option<Value> {
        self.open.iter().rev().find_map(|i| match &i.op {
            Op::Patch { subresource: "status", body, .. } => Some(body["status"].clone()),
            _ => None,
        })
    }

    /// Answers status writes.
    fn status_ok(&mut self) {
        while self.status().is_some() {
            self.rv += 1;
            let rv = self.rv;
            self.reply(|op| {
                matches!(op, Op::Patch { subresource: "status", .. })
                    .then(|| Ok(Written { uid: None, resource_version: rv, found: vec![] }))
            });
        }
    }

    /// Every creation succeeds and is not seen.
    fn create_all(&mut self) -> Vec<usize> {
        let mut batches = vec![];
        loop {
            self.status_ok();
            let names = self.creates();
            if names.is_empty() {
                return batches;
            }
            batches.push(names.len());
            self.reply(|op| match op {
                Op::Create { key, .. } => Some(Ok(Written {
                    uid: Some(format!("uid-{}", key.name).into()),
                    resource_version: 500,
                    found: vec![],
                })),
                _ => None,
            });
        }
    }
}

fn found(name: &str) -> Found {
    Found {
        key: ObjectKey::new("default", name),
        uid: format!("uid-{name}").into(),
        resource_version: 50,
        body: Arc::new(Value::Null),
    }
}

fn forbidden(op: &Op) -> Option<Result<Written, WriteError>> {
    matches!(op, Op::Create { .. }).then(|| Err(WriteError::Forbidden("exceeded quota: q".into())))
}
