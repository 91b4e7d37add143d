//! What would make a pod fit: changes that were tried on the snapshot with the engine that places pods, cheapest first.
//! What the engine did not confirm is not shown.

use std::sync::Arc;

use headroom_core::{
    Now, Str,
    object::{Node, ObjectKey, Pod, Qos},
    quantity::human_bytes,
    resource::ResourceList,
};
use headroom_engine::{
    Engine, Input,
    engine::{NodeExplanation, PodExplanation},
};
use serde::Serialize;

/// Most decisions that are simulated for one pod: a large cluster gets fewer answers, not a longer wait.
const MAX_TRIALS: usize = 200;
/// Requests are lowered in steps of this part of them...
const STEPS: i64 = 64;
/// ...and not below this many: what would be left is no advice.
const LEAST_STEPS: i64 = STEPS / 4;
/// What the LimitRange recipe gives a container that asks for nothing, bytes.
const DEFAULT_REQUEST: i64 = 32 << 20;

/// A change after which the pod would be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fix {
    /// `RequestMemory`, `LowerRequest`, `AllowSwap`, `MovePod` or `AddNode`.
    pub(crate) kind: &'static str,
    /// For people.
    pub(crate) text: String,
    /// Where the pod would go then.
    pub(crate) node: Str,
}

/// What the engine is asked with.
struct Trial<'a> {
    engine: &'a mut Engine,
    pod: &'a Pod,
    now: Now,
    left: usize,
    version: u64,
}

impl Trial<'_> {
    /// Where this pod would go.
    fn place(&mut self, pod: &Pod) -> Option<Str> {
        self.left = self.left.checked_sub(1)?;
        self.engine.explain(pod, self.now).result.node
    }

    fn tell(&mut self, input: Input) {
        // Nobody executes anything here.
        self.engine.handle(input, self.now, &mut Vec::new());
    }

    /// A version of an object that is newer than all before.
    fn newer(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn put(&mut self, pod: &Pod, node: Option<Str>) {
        let mut pod = pod.clone();
        pod.node_name = node;
        pod.meta.resource_version = self.newer();
        self.tell(Input::PodApplied(Arc::new(pod)));
    }

    fn remove(&mut self, pod: &Pod) {
        self.tell(Input::PodDeleted { key: pod.meta.key.clone(), uid: pod.meta.uid.clone() });
    }
}

/// The changes, cheapest first: what only the pod's own manifest needs, then the node's kubelet, then other pods, then
/// money. `pods` and `nodes` are those of the snapshot that the engine was filled from; it is left as it was.
pub(crate) fn find(
    engine: &mut Engine,
    explained: &PodExplanation,
    pod: &Pod,
    pods: &[Arc<Pod>],
    nodes: &[Arc<Node>],
    now: Now,
) -> Vec<Fix> {
    if explained.result.scheduled || !pod.spec.unsupported.is_empty() {
        return Vec::new();
    }
    let mut trial = Trial { engine, pod, now, left: MAX_TRIALS, version: u64::MAX / 2 };
    let mut fixes = Vec::new();
    fixes.extend(request_memory(&mut trial));
    fixes.extend(lower_request(&mut trial, Resource::Memory));
    fixes.extend(lower_request(&mut trial, Resource::Cpu));
    fixes.extend(allow_swap(&mut trial, explained, nodes));
    fixes.extend(move_pod(&mut trial, explained, pods));
    fixes.extend(add_node(&mut trial, nodes));
    fixes
}

#[derive(Debug, Clone, Copy)]
enum Resource {
    Cpu,
    Memory,
}

impl Resource {
    const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
        }
    }

    fn of(self, list: &mut ResourceList) -> &mut Option<i64> {
        match self {
            Self::Cpu => &mut list.milli_cpu,
            Self::Memory => &mut list.memory,
        }
    }

    /// This part of an amount, in whole MiB or tens of thousandths where there are so many.
    fn part(self, amount: i64, steps: i64) -> i64 {
        let exact = i64::try_from(i128::from(amount) * i128::from(steps) / i128::from(STEPS)).unwrap_or(amount);
        let unit = match self {
            Self::Cpu => 10,
            Self::Memory => 1 << 20,
        };
        if exact >= unit { exact - exact % unit } else { exact }
    }

    fn show(self, amount: i64) -> String {
        match self {
            Self::Cpu => format!("{amount}m"),
            Self::Memory => human_bytes(amount),
        }
    }
}

/// The pod with its requests changed.
fn with(pod: &Pod, change: impl Fn(&mut ResourceList, &mut ResourceList)) -> Pod {
    let mut changed = pod.clone();
    let spec = Arc::make_mut(&mut changed.spec);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut()) {
        change(&mut container.requests, &mut container.limits);
    }
    changed
}

fn total(pod: &Pod, resource: Resource) -> i64 {
    let asked = |c: &headroom_core::object::Container| resource.of(&mut c.requests.clone()).unwrap_or(0);
    pod.spec.containers.iter().map(asked).fold(0, i64::saturating_add)
}

/// A container that asks for no memory gets no swap, whether its pod declares nothing at all or CPU alone.
fn request_memory(trial: &mut Trial<'_>) -> Option<Fix> {
    let bare = |requests: &ResourceList, limits: &ResourceList| requests.memory.is_none() && limits.memory.is_none();
    if !trial.pod.spec.containers.iter().any(|c| bare(&c.requests, &c.limits)) {
        return None;
    }
    let changed = with(trial.pod, |requests, limits| {
        // As the API server does it, a request that is not set is the limit.
        if bare(requests, limits) {
            requests.memory = Some(DEFAULT_REQUEST);
        }
    });
    let node = trial.place(&changed)?;
    let request = human_bytes(DEFAULT_REQUEST);
    let text =
        format!("request {request} of memory, or set a LimitRange that does: it may swap then, and goes to {node}");
    Some(Fix { kind: "RequestMemory", text, node })
}

/// The largest requests with which it fits.
fn lower_request(trial: &mut Trial<'_>, resource: Resource) -> Option<Fix> {
    let asked = total(trial.pod, resource);
    if asked == 0 {
        return None;
    }
    let guaranteed = trial.pod.qos() == Qos::Guaranteed;
    let lowered = |pod: &Pod, steps: i64| {
        with(pod, |requests, limits| {
            let request = resource.of(requests);
            *request = request.map(|amount| resource.part(amount, steps));
            if guaranteed {
                *resource.of(limits) = *resource.of(requests);
            }
        })
    };
    let (mut fits, mut too_much) = (LEAST_STEPS, STEPS);
    let mut node = trial.place(&lowered(trial.pod, fits))?;
    while fits + 1 < too_much {
        let middle = fits.midpoint(too_much);
        match trial.place(&lowered(trial.pod, middle)) {
            Some(there) => (fits, node) = (middle, there),
            None => too_much = middle,
        }
    }
    let now = total(&lowered(trial.pod, fits), resource);
    let what = if guaranteed { "request and limit" } else { "request" };
    let (from, to) = (resource.show(asked), resource.show(now));
    let text = format!("lower its {} {what} from {from} to {to}: it goes to {node}", resource.name());
    Some(Fix { kind: "LowerRequest", text, node })
}

/// A node has swap, as it says itself or (kubelets before 1.33) its NodeHeadroom does, and its kubelet gives pods none.
fn allow_swap(trial: &mut Trial<'_>, explained: &PodExplanation, nodes: &[Arc<Node>]) -> Option<Fix> {
    let by_memory = |n: &NodeExplanation| n.rejections.iter().any(|r| r.rule.is_some()) && n.memory.is_some();
    for node in nodes {
        let memory = trial.engine.cache().node(node.name()).and_then(|row| row.memory.as_ref());
        let unused = memory.is_some_and(|memory| memory.node.swap > 0 && !memory.node.behavior.gives_swap());
        if !unused || !explained.nodes.iter().any(|n| n.name == *node.name() && by_memory(n)) {
            continue;
        }
        let mut changed = (**node).clone();
        changed.meta.annotations = changed.meta.annotations.with("headroom.dev/swap-behavior", "LimitedSwap");
        changed.meta.resource_version = trial.newer();
        trial.tell(Input::NodeApplied(Arc::new(changed)));
        let pod = trial.pod;
        let there = trial.place(pod);
        trial.tell(Input::NodeApplied(node.clone()));
        if let Some(there) = there {
            let text = format!("set the kubelet of {} to LimitedSwap: it goes to {there}", node.name());
            return Some(Fix { kind: "AllowSwap", text, node: there });
        }
    }
    None
}

/// Another pod goes elsewhere: the one that takes least, and only if there is a place for it.
fn move_pod(trial: &mut Trial<'_>, explained: &PodExplanation, pods: &[Arc<Pod>]) -> Option<Fix> {
    let hopeless = |node: &str| {
        let found = explained.nodes.iter().find(|n| n.name == *node);
        found.is_none_or(|n| n.rejections.iter().any(|r| r.code == "UnschedulableAndUnresolvable"))
    };
    let movable = |pod: &&Arc<Pod>| {
        let owner = pod.meta.controller().map(|owner| owner.kind.as_str());
        pod.is_active()
            && !pod.meta.is_terminating()
            && pod.meta.uid != trial.pod.meta.uid
            && !pod.is_mirror()
            && !matches!(owner, None | Some("DaemonSet" | "Node"))
            && pod.spec.priority <= trial.pod.spec.priority
            && pod.node_name.as_ref().is_some_and(|node| !hopeless(node))
    };
    let mut candidates: Vec<&Arc<Pod>> = pods.iter().filter(movable).collect();
    candidates.sort_by_key(|p| (total(p, Resource::Memory), total(p, Resource::Cpu), p.meta.key.clone()));
    for other in candidates {
        if trial.left < 2 {
            return None;
        }
        let pod = trial.pod;
        trial.remove(other);
        let there = trial.place(pod);
        let elsewhere = there.clone().and_then(|node| {
            // Is there room for the other one once this one is in?
            trial.put(pod, Some(node));
            let elsewhere = trial.place(other);
            trial.remove(pod);
            trial.put(pod, pod.node_name.clone());
            elsewhere
        });
        trial.put(other, other.node_name.clone());
        if let (Some(node), Some(elsewhere)) = (there, elsewhere) {
            let ObjectKey { namespace, name } = &other.meta.key;
            let text = format!("move pod {namespace}/{name} to {elsewhere}: it goes to {node}");
            return Some(Fix { kind: "MovePod", text, node });
        }
    }
    None
}

/// One more node like one that is there: the smallest that helps.
fn add_node(trial: &mut Trial<'_>, nodes: &[Arc<Node>]) -> Option<Fix> {
    let mut shapes: Vec<&Arc<Node>> = nodes.iter().filter(|n| !n.unschedulable).collect();
    shapes.sort_by_key(|n| (n.allocatable.memory, n.allocatable.milli_cpu, n.name().clone()));
    shapes.dedup_by_key(|n| (n.allocatable.memory, n.allocatable.milli_cpu));
    for like in shapes {
        let name = Str::from(format!("like-{}", like.name()));
        let mut added = (**like).clone();
        added.meta.key.name = name.clone();
        added.meta.uid = name.clone();
        added.meta.labels = added.meta.labels.with("kubernetes.io/hostname", &name);
        added.meta.resource_version = trial.newer();
        trial.tell(Input::NodeApplied(Arc::new(added)));
        let pod = trial.pod;
        let there = trial.place(pod);
        trial.tell(Input::NodeDeleted { name: name.clone() });
        if there.as_ref() == Some(&name) {
            let size = human_bytes(like.allocatable.memory);
            let text = format!("add a node like {} ({size}): it goes there", like.name());
            return Some(Fix { kind: "AddNode", text, node: name });
        }
    }
    None
}

#[cfg(test)]
mod tests;
