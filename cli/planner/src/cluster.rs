//! The rows of a cluster, and what becomes of its pods when a node goes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headroom_core::{
    Now, Str,
    memory::{Link, workload_of},
    object::{
        AccessModes, Node, NodeHeadroom, ObjectKey, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec,
        PreemptionPolicy, VolumeKind,
    },
    selector::NodeSelectorTerm,
    taint::{Effect, first_untolerated},
};
use headroom_engine::{ConfigError, Input, cache::StorageObject};

use crate::world::{Scheduler, World};

/// Label of a node's own name.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// Labels of nodes that run the control plane.
pub const CONTROL_PLANE_ROLES: [&str; 3] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master", "node-role.kubernetes.io/etcd"];

/// Who brings a pod to its node, and so what becomes of it without that node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// A DaemonSet: it goes with the node.
    Daemon,
    /// The kubelet: it goes with the node.
    Static,
    /// The scheduler: it needs another place.
    Free,
}

/// Who brings this pod to its node.
#[must_use]
pub fn bond(pod: &Pod) -> Bond {
    let owner = pod.meta.controller().map(|owner| owner.kind.as_str());
    match owner {
        _ if pod.is_mirror() => Bond::Static,
        Some("Node") => Bond::Static,
        Some("DaemonSet") => Bond::Daemon,
        _ => Bond::Free,
    }
}

/// Whether a node runs the control plane.
#[must_use]
pub fn is_control_plane(node: &Node) -> bool {
    CONTROL_PLANE_ROLES.iter().any(|role| node.meta.labels.has(role))
}

/// Kind and name of what a pod is one of, in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadName {
    /// Namespace.
    pub namespace: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// The workload of a pod, if anything recreates it.
#[must_use]
pub fn workload(pod: &Pod) -> Option<WorkloadName> {
    let workload = workload_of(pod, |_| Link::Unknown)?;
    Some(WorkloadName {
        namespace: pod.meta.key.namespace.to_string(),
        kind: workload.kind.to_owned(),
        name: workload.name.to_owned(),
    })
}

/// What made a pod: its workload, or else the Job that it is of, which nothing makes again.
#[must_use]
pub fn made_by(pod: &Pod) -> Option<WorkloadName> {
    let job = || {
        let owner = pod.meta.controller().filter(|owner| owner.kind == "Job")?;
        Some(WorkloadName {
            namespace: pod.meta.key.namespace.to_string(),
            kind: owner.kind.to_string(),
            name: owner.name.to_string(),
        })
    };
    workload(pod).or_else(job)
}

/// A cluster at one time.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// The time.
    pub now: Now,
    /// Its nodes, by name.
    pub nodes: BTreeMap<Str, Arc<Node>>,
    /// Their NodeHeadrooms, by name.
    pub samples: BTreeMap<Str, Arc<NodeHeadroom>>,
    /// Pods that have not ended and are not about to, by namespace and name. They never preempt, and are served by a
    /// profile of the scheduler that is asked.
    pub pods: Vec<Arc<Pod>>,
    /// Everything else that the scheduler reads.
    pub others: Vec<Input>,
    claims: HashMap<ObjectKey, Arc<PersistentVolumeClaim>>,
    volumes: HashMap<Str, Arc<PersistentVolume>>,
}

impl Cluster {
    /// From what the scheduler's informers would have sent.
    #[must_use]
    pub fn new(inputs: impl IntoIterator<Item = Input>, scheduler: &Scheduler, now: Now) -> Self {
        let mut this = Self { now, ..Self::default() };
        let mut prepare = Prepare { profiles: scheduler.profiles(), specs: HashMap::new() };
        for input in inputs {
            match input {
                Input::NodeApplied(node) => {
                    this.nodes.insert(node.name().clone(), node);
                }
                Input::SampleApplied(sample) => {
                    this.samples.insert(sample.meta.key.name.clone(), sample);
                }
                Input::PodApplied(pod) if pod.is_active() => this.pods.push(prepare.pod(&pod)),
                Input::PodApplied(_) => {}
                Input::StorageApplied(object) => {
                    match &object {
                        StorageObject::Claim(claim) => {
                            this.claims.insert(claim.meta.key.clone(), claim.clone());
                        }
                        StorageObject::Volume(volume) => {
                            this.volumes.insert(volume.name().clone(), volume.clone());
                        }
                        _ => {}
                    }
                    this.others.push(Input::StorageApplied(object));
                }
                other => this.others.push(other),
            }
        }
        this.pods.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
        this
    }

    /// A pod that somebody asks about, as those of the cluster are.
    #[must_use]
    pub fn prepared(pod: &Arc<Pod>, scheduler: &Scheduler) -> Arc<Pod> {
        Prepare { profiles: scheduler.profiles(), specs: HashMap::new() }.pod(pod)
    }

    /// The pods of a node.
    pub fn pods_on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.pods.iter().filter(move |pod| pod.node_name.as_deref() == Some(node))
    }

    /// The pods without a node that want one. Of DaemonSets these are only those that are made for a node which is there,
    /// and not on it yet.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let wants = move |pod: &Pod| match bond(pod) {
            Bond::Free => self.node_of(pod).is_none(),
            Bond::Daemon => pod.node_name.is_none() && made_for(pod).is_none_or(|node| self.nodes.contains_key(node)),
            Bond::Static => false,
        };
        self.pods.iter().filter(move |pod| wants(pod))
    }

    /// The pods of DaemonSets that wait for room on this node, which they are made for. What gates hold back waits for more
    /// than that.
    pub fn awaited(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(move |pod| {
            let free = pod.node_name.is_none() && pod.spec.scheduling_gates.is_empty();
            free && bond(pod) == Bond::Daemon && made_for(pod).is_some_and(|name| *name == *node)
        })
    }

    /// The node of a pod, if it exists.
    #[must_use]
    pub fn node_of<'a>(&'a self, pod: &Pod) -> Option<&'a Arc<Node>> {
        self.nodes.get(pod.node_name.as_ref()?)
    }

    /// The engine with the cluster as it is.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot be used.
    pub fn world(&self, scheduler: &Scheduler) -> Result<World, ConfigError> {
        let mut world = World::new(scheduler, &self.others, self.now)?;
        for (name, node) in &self.nodes {
            world.add_node(node, self.samples.get(name));
        }
        for pod in &self.pods {
            if let Some(node) = self.node_of(pod) {
                world.put(pod, node.name());
            }
        }
        world.tell(Input::Tick);
        Ok(world)
    }

    /// The claims that a pod names with their volumes, as far as they are known. Those of ephemeral volumes go with it.
    fn claims_of(&self, pod: &Pod) -> Vec<(&Arc<PersistentVolumeClaim>, Option<&Arc<PersistentVolume>>)> {
        let key = |name: Str| ObjectKey { namespace: pod.meta.key.namespace.clone(), name };
        let names = pod.spec.volumes.iter().filter_map(|volume| match &volume.kind {
            VolumeKind::PersistentVolumeClaim(name) => Some(key(name.clone())),
            _ => None,
        });
        let found = names.filter_map(|key| self.claims.get(&key));
        found.map(|claim| (claim, self.volumes.get(&claim.volume_name))).collect()
    }

    /// Why the pod cannot leave its node, if it cannot: its data is on that machine.
    #[must_use]
    pub fn immovable(&self, pod: &Pod) -> Option<String> {
        let here = self.node_of(pod)?;
        let held =
            self.claims_of(pod).into_iter().find(|(_, volume)| volume.is_some_and(|v| self.is_local(v, here)))?;
        Some(format!("its claim {} is a local volume of {}", held.0.meta.key.name, here.name()))
    }

    /// Whether a volume is on the machine of this node: its affinity says so by the node's name, or selects no other node,
    /// by whatever key its driver has. A zone with one node in it is no machine.
    fn is_local(&self, volume: &PersistentVolume, here: &Node) -> bool {
        let Some(affinity) = volume.node_affinity.as_ref().filter(|_| volume.reaches(&here.meta.labels)) else {
            return false;
        };
        let by_name = |term: &NodeSelectorTerm| {
            !term.match_fields.is_empty() || term.match_expressions.iter().any(|r| r.key == *HOSTNAME)
        };
        let by_machine = |term: &NodeSelectorTerm| {
            term.matches("", &here.meta.labels) && !term.match_expressions.iter().all(|r| is_of_place(&r.key))
        };
        let no_other = || self.nodes.values().all(|n| n.name() == here.name() || !volume.reaches(&n.meta.labels));
        affinity.terms.iter().any(by_name) || (affinity.terms.iter().any(by_machine) && no_other())
    }

    /// Why moving the pod is felt, if it is. `replicas` is how many pods its workload has.
    #[must_use]
    pub fn interruption(&self, pod: &Pod, replicas: usize) -> Option<&'static str> {
        let Some(owner) = pod.meta.controller() else {
            return Some("bare pod: somebody has to create it again");
        };
        if owner.kind == "Job" {
            return Some("pod of a Job: what it does begins anew");
        }
        let once = |claim: &PersistentVolumeClaim| {
            claim.access_modes.contains(AccessModes::READ_WRITE_ONCE)
                || claim.access_modes.contains(AccessModes::READ_WRITE_ONCE_POD)
        };
        if self.claims_of(pod).iter().any(|(claim, _)| once(claim)) {
            return Some("ReadWriteOnce volume: it is detached first");
        }
        (replicas <= 1).then_some("single replica")
    }

    /// How many pods each workload has.
    #[must_use]
    pub fn replicas(&self) -> BTreeMap<WorkloadName, usize> {
        let mut replicas = BTreeMap::new();
        for name in self.pods.iter().filter_map(|pod| workload(pod)) {
            *replicas.entry(name).or_default() += 1;
        }
        replicas
    }

    /// One pod of each DaemonSet, as it stands on any node.
    #[must_use]
    pub fn daemons(&self) -> Vec<&Arc<Pod>> {
        let mut daemons: BTreeMap<WorkloadName, &Arc<Pod>> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| bond(pod) == Bond::Daemon) {
            if let Some(name) = workload(pod) {
                // Two generations of one DaemonSet are told apart by nothing here; the first by name stands for both.
                daemons.entry(name).or_insert(pod);
            }
        }
        daemons.into_values().collect()
    }
}

/// Whether a label says where a machine stands, as drivers of network storage have it: `topology.kubernetes.io/zone`,
/// `topology.ebs.csi.aws.com/zone`, `csi.hetzner.cloud/location`, `region`.
fn is_of_place(key: &str) -> bool {
    let word = key.rsplit('/').next().unwrap_or(key);
    ["zone", "region", "location"].iter().any(|place| word.contains(place))
}

/// Makes pods ready to be asked about. Pods of one template go on to share its spec.
struct Prepare {
    profiles: Vec<Str>,
    specs: HashMap<*const PodSpec, (Arc<PodSpec>, Arc<PodSpec>)>,
}

impl Prepare {
    fn pod(&mut self, pod: &Arc<Pod>) -> Arc<Pod> {
        let (_, spec) = self.specs.entry(Arc::as_ptr(&pod.spec)).or_insert_with(|| {
            let mut spec = (*pod.spec).clone();
            spec.preemption_policy = PreemptionPolicy::Never;
            if !self.profiles.contains(&spec.scheduler_name)
                && let Some(first) = self.profiles.first()
            {
                spec.scheduler_name = first.clone();
            }
            // The original is kept, so that its address stands for nothing else.
            (pod.spec.clone(), Arc::new(spec))
        });
        let mut ready = (**pod).clone();
        ready.spec = spec.clone();
        ready.node_name = ready.node_name.filter(|node| !node.is_empty());
        ready.status.nominated_node_name = None;
        Arc::new(ready)
    }
}

/// The node that a pod of a DaemonSet is made for.
fn made_for(pod: &Pod) -> Option<&Str> {
    let required = pod.spec.affinity.as_ref()?.node.as_ref()?.required.as_ref()?;
    let mut fields = required.terms.iter().flat_map(|term| term.match_fields.iter());
    fields.find(|field| field.key == *"metadata.name")?.values.first()
}

/// Whether a DaemonSet of this pod wants a pod on that node (`daemon.NodeShouldRunDaemonPod`, resources apart).
#[must_use]
pub fn daemon_wants(pod: &Pod, node: &Node) -> bool {
    let labels = &node.meta.labels;
    let required = pod.spec.affinity.as_ref().and_then(|a| a.node.as_ref()).and_then(|n| n.required.as_ref());
    let in_general = |term: &NodeSelectorTerm| {
        // The DaemonSet controller pins each pod to its node; what is left is what the template says.
        let general =
            NodeSelectorTerm { match_expressions: term.match_expressions.clone(), ..NodeSelectorTerm::default() };
        general.match_expressions.is_empty() || general.matches(node.name(), labels)
    };
    pod.spec.node_selector.selects(labels)
        && required.is_none_or(|selector| selector.terms.iter().any(in_general))
        && first_untolerated(&node.taints, &pod.spec.tolerations, &[Effect::NoSchedule, Effect::NoExecute]).is_none()
}

/// The pod that a DaemonSet would have on another node.
#[must_use]
pub fn daemon_on(pod: &Pod, node: &Str) -> Arc<Pod> {
    copy(pod, &format!("{}-on-{node}", pod.meta.controller().map_or("daemon", |owner| &*owner.name)))
}

/// Another pod of the same template.
#[must_use]
pub fn copy(pod: &Pod, name: &str) -> Arc<Pod> {
    let mut copy = pod.clone();
    copy.meta.key.name = name.into();
    copy.meta.uid = format!("plan/{}/{name}", pod.meta.key.namespace).into();
    copy.node_name = None;
    copy.status = headroom_core::object::PodStatus::default();
    Arc::new(copy)
}

#[cfg(test)]
pub(crate) mod tests;
