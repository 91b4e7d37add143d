//! Timelines against a small API server.

mod clocks;
mod profile;
mod rival;

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Timestamp,
    intent::{Found, WriteError, Written},
    object::{Lease, Meta, NodeCondition},
    taint::{Effect, Taint},
    testing::{NodeBuilder, node, pod},
};
use serde_json::{Value, json};

use super::*;
use crate::testkit::Rig;

const START: u32 = 1_000_000;

/// The controller, a world, and an API server that applies what is written.
struct Cluster {
    rig: Rig<NodeLifecycleController>,
    rv: u64,
    /// Kubelets that renew their leases every ten seconds.
    alive: Vec<String>,
    /// Answers nothing at all.
    api_down: bool,
    /// `managedFields` of every node, as a consistent read shows them; and how often somebody has looked.
    managed_fields: Value,
    looks: usize,
    /// Conditions, taints and pods as they came: (second, what).
    log: Vec<(u64, String)>,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, NodeLifecycleOptions::default(), |n| n)
    }

    fn with(nodes: usize, options: NodeLifecycleOptions, change: impl Fn(NodeBuilder) -> NodeBuilder) -> Self {
        let rig = Rig::new(NodeLifecycleController::new(options), START);
        let mut this = Self {
            rig,
            rv: 100,
            alive: Vec::new(),
            api_down: false,
            managed_fields: Value::Null,
            looks: 0,
            log: Vec::new(),
        };
        for i in 0..nodes {
            let name = format!("n{i}");
            this.rig.node(change(node(&name)).arc());
            this.alive.push(name);
        }
        this.renew();
        this.rig.start();
        this
    }

    fn second(&self) -> u64 {
        self.rig.now.mono.0 / 1_000_000 - u64::from(START)
    }

    fn renew(&mut self) {
        for name in self.alive.clone() {
            self.rv += 1;
            let meta =
                Meta { key: ObjectKey::new("kube-node-lease", &*name), resource_version: self.rv, ..Meta::default() };
            let renewed = Some(self.rig.now.wall);
            self.rig.lease(Arc::new(Lease { meta, renewed, ..Lease::default() }));
        }
    }

    fn kill(&mut self, name: &str) {
        self.alive.retain(|n| n != name);
    }

    fn node_row(&self, name: &str) -> Node {
        (*self.rig.world.nodes[name]).clone()
    }

    /// A kubelet posts its Ready condition.
    fn post(&mut self, name: &str, status: Status) {
        self.rv += 1;
        let (rv, at) = (self.rv, self.rig.now.wall.secs());
        let row = self.node_row(name);
        let posted = NodeBuilder::clone(&node(name)).condition("Ready", status, at).build();
        let row =
            Node { conditions: posted.conditions, meta: Meta { resource_version: rv, ..row.meta.clone() }, ..row };
        self.rig.node(Arc::new(row));
    }

    /// Answers everything that is asked, as an API server would.
    fn serve(&mut self) {
        loop {
            self.rig.settle();
            let ops = self.rig.take();
            if ops.is_empty() {
                return;
            }
            for (id, op) in ops {
                if self.api_down {
                    self.rig.answer(id, Err(WriteError::Unreachable("refused".into())));
                    continue;
                }
                let result = self.apply(op);
                self.rig.answer(id, result);
            }
        }
    }

    fn note(&mut self, what: String) {
        self.log.push((self.second(), what));
    }

    fn apply(&mut self, op: Op) -> Result<Written, WriteError> {
        self.rv += 1;
        let written = Written { uid: Some("u".into()), resource_version: self.rv, found: Vec::new() };
        match op {
            Op::Get { kind: Kind::LEASE, key } => {
                let Some(lease) = self.rig.world.leases.get(&key) else {
                    return Err(WriteError::NotFound("lease".into()));
                };
                let body = Arc::new(json!({"spec": {"renewTime": lease.renewed.unwrap().to_string()}}));
                let found = Found { key, uid: "l".into(), resource_version: lease.meta.resource_version, body };
                Ok(Written { found: vec![found], ..written })
            }
            Op::Get { kind: Kind::NODE, key } => {
                self.looks += 1;
                let body = Arc::new(json!({"metadata": {"managedFields": self.managed_fields}}));
                let found = Found { key, uid: "u".into(), resource_version: self.rv, body };
                Ok(Written { found: vec![found], ..written })
            }
            Op::Patch { kind: Kind::NODE, key, subresource, body, .. } => {
                let mut row = self.node_row(&key.name);
                if let Some(rv) = body["metadata"]["resourceVersion"].as_str()
                    && rv != row.meta.resource_version.to_string()
                {
                    return Err(WriteError::Conflict("object has been modified".into()));
                }
                row.meta.resource_version = self.rv;
                if subresource == "status" {
                    self.merge_conditions(&mut row, &body);
                    self.note(format!("{} conditions", key.name));
                } else if let Some(list) = body.pointer("/spec/taints").and_then(Value::as_array) {
                    row.taints = list.iter().map(taint_of).collect();
                    let names: Vec<_> = row
                        .taints
                        .iter()
                        .map(|t| format!("{}:{}", t.key.rsplit('/').next().unwrap(), t.effect.as_str()))
                        .collect();
                    self.note(format!("{} taints [{}]", key.name, names.join(" ")));
                } else {
                    self.note(format!("{} {}", key.name, body["metadata"]["labels"]));
                    return Ok(written);
                }
                self.rig.node(Arc::new(row));
                Ok(written)
            }
            Op::PodStatus { pod, patch, .. } => {
                let mut row = (**self.rig.world.pods.get(&pod).unwrap()).clone();
                row.status.conditions = patch.conditions.into();
                self.rig.pod(Arc::new(row));
                self.note(format!("{} not ready", pod.name));
                Ok(written)
            }
            other => panic!("{other:?}"),
        }
    }

    fn merge_conditions(&self, row: &mut Node, body: &Value) {
        let mut all = row.conditions.to_vec();
        for c in body["status"]["conditions"].as_array().unwrap() {
            let kind = c["type"].as_str().unwrap();
            let status = Status::parse(c["status"].as_str().unwrap());
            match all.iter_mut().find(|o| o.kind == *kind) {
                Some(old) => old.status = status,
                None => all.push(NodeCondition {
                    kind: kind.into(),
                    status,
                    reason: "".into(),
                    message: "".into(),
                    last_heartbeat: None,
                    last_transition: None,
                }),
            }
        }
        row.conditions = all.into();
    }

    /// Lets seconds pass; kubelets renew every ten.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.serve();
            self.rig.advance(Duration::from_secs(1));
            if self.second().is_multiple_of(10) && !self.api_down {
                self.renew();
            }
            self.serve();
        }
    }

    fn taken(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.log)
    }

    fn tainted(&self) -> usize {
        let tainted = |n: &&Arc<Node>| n.taints.iter().any(|t| t.effect == Effect::NoExecute);
        self.rig.world.nodes.values().filter(tainted).count()
    }
}

fn taint_of(t: &Value) -> Taint {
    Taint {
        key: t["key"].as_str().unwrap().into(),
        value: t["value"].as_str().unwrap_or_default().into(),
        effect: Effect::parse(t["effect"].as_str().unwrap()).unwrap(),
        time_added: None,
    }
}

#[test]
fn a_dead_kubelet_and_its_return() {
    let mut c = Cluster::new(3);
    c.rig.pod(pod("web").on("n1").ready(5, "10.0.0.1").arc());
    c.rig.pod(pod("other").on("n2").ready(5, "10.0.0.2").arc());
    c.rig.pod(pod("unready").on("n1").arc());
    c.run(100);
    assert_eq!(c.taken(), []);
    assert_eq!(
        c.rig.take_events(),
        (0..3)
            .map(|i| format!("RegisteredNode Node n{i} event: Registered Node n{i} in Controller"))
            .collect::<Vec<_>>()
    );
    c.kill("n1");
    c.run(62);
    let log = c.taken();
    let what: Vec<&str> = log.iter().map(|(_, w)| w.as_str()).collect();
    // Step 1 of the timeline: at most grace plus one period after the last sign of life; step 2 with it.
    assert_eq!(what, ["n1 conditions", "n1 taints [unreachable:NoSchedule unreachable:NoExecute]", "web not ready"]);
    assert!(log[0].0 > 150 && log[0].0 <= 155, "{log:?}");
    assert!(log.iter().all(|(at, _)| *at == log[0].0), "{log:?}");
    assert_eq!(
        c.rig.take_events(),
        ["NodeNotReady Node n1 status is now: NodeNotReady", "NodeNotReady Node is not ready"]
    );
    c.run(600);
    assert_eq!(c.taken(), [], "nothing more to say");
    // A pod that comes to the node late is marked too.
    c.rig.pod(pod("late").on("n1").ready(5, "10.0.0.3").arc());
    c.run(1);
    assert_eq!(c.taken().iter().map(|(_, w)| w.as_str()).collect::<Vec<_>>(), ["late not ready"]);
    // The kubelet comes back: only it makes the node Ready.
    c.alive.push("n1".into());
    c.run(20);
    assert_eq!(c.taken(), []);
    c.post("n1", Status::True);
    c.run(6);
    let what: Vec<_> = c.taken().into_iter().map(|(_, w)| w).collect();
    assert_eq!(what, ["n1 taints []"]);
    assert!(c.rig.world.nodes["n1"].taints.is_empty());
    assert_eq!(c.looks, 0, "what it has written itself needs no look");
}

#[test]
fn conditions_of_the_kubelet_itself() {
    let mut c = Cluster::new(3);
    c.rig.pod(pod("web").on("n1").ready(5, "10.0.0.1").arc());
    c.run(20);
    c.post("n1", Status::False);
    c.run(10);
    let what: Vec<_> = c.taken().into_iter().map(|(_, w)| w).collect();
    assert_eq!(what, ["n1 taints [not-ready:NoSchedule]", "n1 taints [not-ready:NoSchedule not-ready:NoExecute]"]);
    // Then it dies: the other key replaces the first without waiting for its turn.
    c.kill("n1");
    c.run(60);
    let what: Vec<_> = c.taken().into_iter().map(|(_, w)| w).collect();
    assert_eq!(what, ["n1 conditions", "n1 taints [unreachable:NoSchedule unreachable:NoExecute]"]);
    assert_eq!(c.rig.take_events().len(), 3, "it was not Ready before: no NodeNotReady");
}

#[test]
fn a_watch_that_lags_is_no_dead_kubelet() {
    let mut c = Cluster::new(3);
    c.run(43);
    c.kill("n1");
    for _ in 0..300 {
        // n1 renews, but its row stays as it is: only the live check sees it.
        c.rig.settle();
        for (id, op) in c.rig.take() {
            let result = match op {
                Op::Get { key, .. } => {
                    let body = Arc::new(json!({"spec": {"renewTime": c.rig.now.wall.to_string()}}));
                    let found = Found { key, uid: "l".into(), resource_version: 9, body };
                    Ok(Written { uid: None, resource_version: 9, found: vec![found] })
                }
                op => c.apply(op),
            };
            c.rig.answer(id, result);
        }
        c.rig.advance(Duration::from_secs(1));
        if c.second().is_multiple_of(10) {
            c.renew();
        }
    }
    assert_eq!(c.taken(), []);
}

#[test]
fn rates_and_zones() {
    // 1 of 20 ready every 10 s: two dead nodes are tainted ten seconds apart.
    let mut c = Cluster::new(20);
    c.run(30);
    c.kill("n1");
    c.kill("n2");
    c.run(62);
    let taints: Vec<u64> = c.taken().into_iter().filter(|(_, w)| w.contains("NoExecute")).map(|(at, _)| at).collect();
    assert_eq!(taints.len(), 1);
    c.run(15);
    let second = c.taken();
    assert_eq!(second.len(), 1);
    assert!((10..=15).contains(&(second[0].0 - taints[0])), "{} {}", second[0].0, taints[0]);

    for (nodes, dead, tainted) in [(1, 1, 0), (2, 1, 1), (3, 2, 2), (4, 3, 0), (5, 3, 0), (3, 3, 0), (6, 3, 3)] {
        let mut c = Cluster::new(nodes);
        c.run(30);
        for i in 0..dead {
            c.kill(&format!("n{i}"));
        }
        c.run(300);
        assert_eq!(c.tainted(), tainted, "{dead} of {nodes}");
        let conditions = c.taken().iter().filter(|(_, w)| w.ends_with("conditions")).count();
        assert_eq!(conditions, dead, "the conditions are written all the same");
    }
}

#[test]
fn nodes_that_die_together_count_together() {
    let mut c = Cluster::new(2);
    c.run(30);
    c.alive.clear();
    c.run(54);
    c.rig.advance(Duration::from_secs(1));
    // One answer at a time: the first is not evicted while the second is not known to be silent.
    let mut open = c.rig.take();
    while !open.is_empty() {
        let (id, op) = open.remove(0);
        let result = c.apply(op);
        c.rig.answer(id, result);
        assert_eq!(c.tainted(), 0);
        c.rig.settle();
        open.extend(c.rig.take());
    }
    assert_eq!(c.taken().iter().filter(|(_, what)| what.ends_with("conditions")).count(), 2);
}

#[test]
fn when_everything_is_down_the_taints_go() {
    let mut c = Cluster::new(2);
    c.run(30);
    c.kill("n0");
    c.run(80);
    assert_eq!(c.tainted(), 1);
    c.kill("n1");
    c.run(100);
    assert_eq!(c.tainted(), 0);
    // One is back: the other gets a new grace, and its taint not before that.
    c.alive.push("n1".into());
    c.renew();
    c.post("n1", Status::True);
    c.run(5);
    assert_eq!(c.tainted(), 0);
    c.run(30);
    assert_eq!(c.tainted(), 1);
    let mut measured = Measurements::default();
    c.rig.controller.measure(&c.rig.world, &mut measured);
    use super::measure::{EVICTIONS, UNHEALTHY, ZONE_HEALTH, ZONE_SIZE};
    let texts: Vec<_> = [&ZONE_SIZE, &UNHEALTHY, &ZONE_HEALTH].map(|m| measured.texts(m).concat()).into();
    assert_eq!(texts, ["=2", "=1", "=50"]);
    assert_eq!(measured.texts(&EVICTIONS), [format!("={}", c.rig.controller.zone_figures()[0].evictions)]);
    assert_ne!(measured.texts(&EVICTIONS), ["=0"]);
}

#[test]
fn excluded_nodes_do_not_count() {
    let mut c = Cluster::with(4, NodeLifecycleOptions::default(), |n| n);
    let mut row = c.node_row("n0");
    row.meta.labels = [(EXCLUDE_DISRUPTION, "")].into_iter().collect();
    c.rig.node(Arc::new(row));
    c.run(30);
    for i in 1..4 {
        c.kill(&format!("n{i}"));
    }
    c.run(200);
    assert_eq!(c.tainted(), 0, "of those that count, none is ready");
}

#[test]
fn a_node_that_never_reported_has_its_startup_grace() {
    let mut c = Cluster::with(2, NodeLifecycleOptions::default(), |n| n);
    c.rig.node(node("new").with(|n| n.conditions = Box::new([])).arc());
    c.run(59);
    assert_eq!(c.taken(), []);
    c.run(10);
    let log = c.taken();
    assert_eq!(log[0].1, "new conditions");
    assert!((60..=65).contains(&log[0].0), "{log:?}");
    assert_eq!(c.rig.world.nodes["new"].conditions.len(), 4);
}

#[test]
fn labels_cordons_and_removal() {
    let mut c = Cluster::new(2);
    let mut row = c.node_row("n0");
    row.meta.labels = [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "arm64")].into_iter().collect();
    row.unschedulable = true;
    c.rig.node(Arc::new(row));
    c.serve();
    let what: Vec<_> = c.taken().into_iter().map(|(_, w)| w).collect();
    assert_eq!(
        what,
        [
            "n0 taints [unschedulable:NoSchedule]",
            "n0 {\"beta.kubernetes.io/arch\":\"arm64\",\"beta.kubernetes.io/os\":\"linux\"}"
        ]
    );
    c.run(6);
    c.rig.take_events();
    c.rig.remove_node("n0");
    c.run(6);
    assert_eq!(c.rig.take_events(), ["RemovingNode Node n0 event: Removing Node n0 from Controller"]);
}

#[test]
fn conflicts_are_retried_from_the_new_row() {
    let mut c = Cluster::new(3);
    c.rig.settle();
    c.rig.node(node("n0").unschedulable().with(|n| n.meta.resource_version = 5).arc());
    c.rig.settle();
    let (id, _) = c.rig.take().remove(0);
    c.rig.answer(id, Err(WriteError::Conflict("x".into())));
    let other =
        node("n0").unschedulable().taint("theirs", "", Effect::NoSchedule).with(|n| n.meta.resource_version = 6);
    c.rig.node(other.arc());
    c.run(1);
    let what: Vec<_> = c.taken().into_iter().map(|(_, w)| w).collect();
    assert_eq!(what, ["n0 taints [theirs:NoSchedule unschedulable:NoSchedule]"]);
}

#[test]
fn nothing_happens_before_leading_or_before_the_leases_are_known() {
    let mut rig = Rig::new(NodeLifecycleController::new(NodeLifecycleOptions::default()), START);
    rig.node(node("n").condition("Ready", Status::False, 1).arc());
    rig.advance(Duration::from_secs(500));
    assert_eq!((rig.take(), rig.take_events()), (vec![], vec![]));
    rig.controller.started(&World::default(), rig.now, &mut Outbox::new(0, &mut 0, &mut Vec::new()));
    let world = World::default();
    let mut intents = Vec::new();
    assert!(!rig.controller.poll(&world, rig.now, &mut Outbox::new(0, &mut 0, &mut intents)));
    assert!(intents.is_empty());
    assert!(Timestamp(0) < rig.now.wall);
}
