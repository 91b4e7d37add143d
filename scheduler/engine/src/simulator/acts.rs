//! Random courses of events: what property tests and fuzzing feed to a [`Simulator`], and what must hold whatever
//! happens.

use std::sync::Arc;

use headroom_core::{
    Str,
    intent::WriteError,
    object::{ObjectKey, Pod, WorkloadKind},
    testing::{budget, workload},
};

pub(crate) use super::templates::{machine, template};
use super::{
    Fault, Simulator,
    templates::{PODS, a_claim, a_class, a_namespace, a_volume, sample},
};
use crate::{Decision, DecisionResult, Input, Mode, cache::StorageObject};

/// One thing that happens. The numbers choose among a few names and many shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A pod comes, or its labels change.
    Pod(u8, u8),
    /// A pod goes.
    DeletePod(u8),
    /// A node comes or changes.
    Node(u8, u8),
    /// A node goes.
    DeleteNode(u8),
    /// A NodeHeadroom comes or changes.
    Sample(u8, u8, u16),
    /// It goes.
    NoSample(u8),
    /// A Service or ReplicaSet comes or goes.
    Service(u8),
    /// So many seconds pass.
    Advance(u16),
    /// So many pods are decided.
    Decide(u8),
    /// What was asked for is done.
    Deliver,
    /// Somebody else binds a pod, often one that we have decided on; it may have changed meanwhile.
    Foreign(u8, u8),
    /// What happens to the next bind.
    Fault(u8),
    /// A budget comes, changes or goes.
    Budget(u8, u8),
    /// Terminating pods end.
    Ends,
    /// What happens to the next deletion.
    Refused(u8),
    /// A claim comes or changes.
    Claim(u8, u8),
    /// A volume comes or changes.
    Volume(u8, u8),
    /// A storage class or the CSI drivers of a node come or change.
    Class(u8, u8),
    /// Some object of storage goes.
    DeleteStorage(u8),
    /// The PV controller does its work; it may make volumes.
    BindClaims(bool),
    /// A namespace comes or its labels change.
    Namespace(u8, u8),
    /// A namespace goes.
    DeleteNamespace(u8),
}

/// How often each happens, out of the sum.
const WEIGHTS: [u8; 22] = [14, 2, 3, 1, 3, 1, 1, 2, 10, 6, 1, 1, 1, 2, 1, 3, 3, 1, 1, 4, 1, 1];

impl From<[u8; 4]> for Act {
    /// Any four bytes are an act.
    fn from([tag, a, b, c]: [u8; 4]) -> Self {
        let mut at = tag % WEIGHTS.iter().sum::<u8>();
        let mut which = 0;
        while at >= WEIGHTS[which] {
            at -= WEIGHTS[which];
            which += 1;
        }
        match which {
            0 => Self::Pod(a, b),
            1 => Self::DeletePod(a),
            2 => Self::Node(a % 8, b),
            3 => Self::DeleteNode(a % 8),
            4 => Self::Sample(a % 8, b, u16::from_le_bytes([b, c])),
            5 => Self::NoSample(a % 8),
            6 => Self::Service(a % 8),
            7 => Self::Advance(u16::from_le_bytes([a, b]) % 400),
            8 => Self::Decide(a % 10),
            9 => Self::Deliver,
            10 => Self::Foreign(a, b),
            11 => Self::Fault(a % 6),
            12 => Self::Budget(a % 3, b),
            13 => Self::Ends,
            14 => Self::Refused(a % 4),
            15 => Self::Claim(a, b),
            16 => Self::Volume(a, b),
            17 => Self::Class(a, b),
            18 => Self::DeleteStorage(a),
            19 => Self::BindClaims(a % 2 == 0),
            20 => Self::Namespace(a, b),
            _ => Self::DeleteNamespace(a),
        }
    }
}

/// What every course begins with: a small node, a larger one and another small one; classes; a claim and a volume.
const FURNITURE: [Act; 9] = [
    Act::Node(0, 37),
    Act::Node(1, 41),
    Act::Node(2, 42),
    Act::Class(0, 1),
    Act::Class(1, 1),
    Act::Class(3, 1),
    Act::Claim(1, 25),
    Act::Claim(4, 24),
    Act::Volume(0, 160),
];

impl Act {
    /// A course from any bytes, at most `most` acts long.
    pub fn course(bytes: &[u8], most: usize) -> Vec<Self> {
        bytes.as_chunks().0.iter().take(most).map(|four: &[u8; 4]| Self::from(*four)).collect()
    }
}

/// Does it.
pub fn perform(s: &mut Simulator, act: Act) {
    match act {
        Act::Pod(i, t) => {
            let mut p = template(i, t).build();
            if let Some(known) = s.pods.get(&p.meta.uid) {
                // The spec of a pod does not change; its labels do, and its gates go.
                p = (**known).clone();
                p.meta.labels = [("v", "x"), ("set", "y")].into_iter().collect();
                if !p.spec.scheduling_gates.is_empty() {
                    Arc::make_mut(&mut p.spec).scheduling_gates = Box::new([]);
                }
            }
            s.pod(p);
        }
        Act::DeletePod(i) => s.delete_pod(&format!("uid-p{}", i % PODS)),
        Act::Node(i, v) => s.node(machine(i, v).build()),
        Act::DeleteNode(i) => s.delete_node(&format!("n{i}")),
        Act::Sample(i, v, w) => {
            let row = sample(s, i, v, w);
            s.sample(row);
        }
        Act::NoSample(i) => s.input(Input::SampleDeleted { name: format!("n{i}").into() }),
        Act::Service(n) => match n {
            0 => s.input(Input::SelectorDeleted {
                kind: WorkloadKind::Service,
                key: ObjectKey::new("default", "service"),
            }),
            1 => s.input(Input::SelectorApplied(Arc::new(workload(WorkloadKind::ReplicaSet, "rs", "app")))),
            n => {
                let text = ["app=a", "app=b"][usize::from(n) % 2];
                s.input(Input::SelectorApplied(Arc::new(workload(WorkloadKind::Service, "service", text))));
            }
        },
        Act::Advance(seconds) => s.advance(u32::from(seconds)),
        Act::Decide(n) => {
            for _ in 0..n {
                s.step();
            }
        }
        Act::Deliver => s.deliver(),
        Act::Foreign(p, how) => bind_past_us(s, p, how),
        Act::Budget(i, v) => {
            if v.is_multiple_of(4) {
                let key = ObjectKey::new("default", format!("b{i}"));
                s.input(Input::BudgetDeleted { key });
            } else {
                let set = ["x", "y", "z"][usize::from(i) % 3];
                s.budget(budget(&format!("b{i}"), "set", set, i32::from(v % 3)));
            }
        }
        Act::Ends => s.finish_deletions(),
        Act::Refused(f) => s.deletion_faults.push_back(match f {
            0 => Some(WriteError::Forbidden("x".into())),
            1 => Some(WriteError::NotFound("x".into())),
            2 => Some(WriteError::Unknown("x".into())),
            _ => None,
        }),
        Act::Fault(f) => s.faults.push_back(match f {
            0 => Some(Fault::LostAfter),
            1 => Some(Fault::LostBefore),
            2 => Some(Fault::Refused(WriteError::Busy)),
            3 => Some(Fault::Refused(WriteError::Conflict("x".into()))),
            _ => None,
        }),
        Act::Claim(i, v) => s.storage(a_claim(i, v)),
        Act::Volume(i, v) => s.storage(a_volume(i, v)),
        Act::Class(i, v) => s.storage(a_class(i, v)),
        Act::DeleteStorage(i) => s.delete_storage(usize::from(i)),
        Act::BindClaims(provision) => s.bind_claims(provision),
        Act::Namespace(i, v) => s.input(Input::NamespaceApplied(Arc::new(a_namespace(i, v)))),
        Act::DeleteNamespace(i) => {
            s.input(Input::NamespaceDeleted { name: ["default", "other"][usize::from(i) % 2].into() });
        }
    }
}

/// The node for which a pod is assumed.
fn assumed_on(s: &Simulator, pod: &Pod) -> Option<Str> {
    let known = s.engine.cache().pod(&pod.meta.uid).filter(|known| known.assumed)?;
    s.engine.cache().any_row(known.slot).map(|row| row.name.clone())
}

/// Somebody else binds a pod: to some node, or, one of those that are assumed, to some node as well, or to ours after it
/// has changed in one of the ways that matter.
fn bind_past_us(s: &mut Simulator, p: u8, how: u8) {
    let some_node: Str = format!("n{}", how % 8).into();
    let unbound = s.pods.values().filter(|pod| pod.node_name.is_none());
    let assumed: Vec<_> = unbound.filter_map(|pod| Some((pod.clone(), assumed_on(s, pod)?))).collect();
    let (pod, node, change) = match assumed.get(usize::from(p) % assumed.len().max(1)) {
        Some((pod, ours)) if how >= 64 => {
            let change = how / 8 % 4;
            (pod.clone(), if change == 0 { some_node } else { ours.clone() }, change)
        }
        _ => match s.pods.get(format!("uid-p{}", p % PODS).as_str()) {
            Some(pod) if pod.node_name.is_none() => (pod.clone(), some_node, 0),
            _ => return,
        },
    };
    let mut bound = (*pod).clone();
    bound.node_name = Some(node);
    match change {
        1 => bound.meta.labels = [("set", "x"), ("app", "b"), ("seen", "late")].into_iter().collect(),
        // As after a resize in place: its sums are others.
        2 => Arc::make_mut(&mut bound.spec).overhead.memory = Some(33 << 20),
        3 => bound.meta.set_deleted(s.now.wall),
        _ => {}
    }
    s.pod(bound);
}

/// A decision without the word which path it took.
pub(crate) fn essence(d: &Decision) -> Decision {
    let mut d = d.clone();
    if let DecisionResult::Assumed { class, .. } = &mut d.result {
        *class = false;
    }
    d
}

/// Lets two clusters go through the same, one with classes of pods and one with the plain path alone; after every step
/// both must have decided the same, and the books must be what counting anew gives.
///
/// # Errors
/// What differs, and after which act.
pub fn both_paths(course: &[Act]) -> Result<[Simulator; 2], String> {
    let (mut with, mut without) = (Simulator::new(Mode::Primary), Simulator::new(Mode::Primary));
    without.engine.set_classes_enabled(false);
    for act in FURNITURE {
        perform(&mut with, act);
        perform(&mut without, act);
    }
    let mut seen = 0;
    for (step, act) in course.iter().enumerate() {
        perform(&mut with, *act);
        perform(&mut without, *act);
        let at = |what: String| format!("after step {step}, {act:?}: {what}");
        let of = |s: &Simulator| s.decisions[seen.min(s.decisions.len())..].iter().map(essence).collect::<Vec<_>>();
        let (ours, plain) = (of(&with), of(&without));
        if ours != plain {
            return Err(at(format!("classes decide {ours:?}, the plain path {plain:?}")));
        }
        seen = with.decisions.len();
        for s in [&with, &without] {
            if let Some(wrong) = s.inconsistency() {
                return Err(at(wrong));
            }
        }
    }
    for (what, same) in [
        ("bindings", with.binds == without.binds),
        ("deletions", with.deletions == without.deletions),
        ("volumes and claims", written(&with) == written(&without)),
        ("classes, of which the plain path must have none,", without.engine.stats().classes == 0),
    ] {
        if !same {
            return Err(format!("at the end the {what} are different"));
        }
    }
    Ok([with, without])
}

/// What was written to volumes and claims. Versions are left out: they count writes of all objects, whose order within
/// one step is nobody's business.
fn written(s: &Simulator) -> Vec<String> {
    let of = |object: &StorageObject| match object {
        StorageObject::Volume(v) => format!("{} {:?}", v.meta.key, v.claim_ref),
        StorageObject::Claim(c) => format!("{} {} {:?}", c.meta.key, c.volume_name, c.meta.annotations),
        other => format!("{other:?}"),
    };
    s.stored.values().map(of).collect()
}
