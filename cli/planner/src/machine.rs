//! Machines as nodes: those of a catalogue, which do not exist yet, and those that are there, each with a fresh and
//! calm sample: the working set is what the system takes, what pods take is added by the model as they are placed, no
//! swap is in use (memory-and-swap.md 5.1, 5.4).

mod role;

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    Now, Str,
    memory::{
        NodeMemory, PressureState, Sample, SwapBehavior, headroom::system_reserve, node::swap_capacity, overrides,
    },
    object::{Meta, Node, NodeCondition, NodeHeadroom, ObjectKey, Status},
    resource::Resources,
    taint::{Effect, Taint},
};

pub use self::role::Role;
use self::role::lasting;
use crate::{
    catalogue::{Offer, Price},
    cluster::{CONTROL_PLANE_ROLES, Cluster, HOSTNAME, is_control_plane},
};

/// Label with the provider's name of a machine's type.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// The same before Kubernetes 1.17.
pub const OLD_INSTANCE_TYPE: &str = "beta.kubernetes.io/instance-type";
/// Label with what a machine's processor runs.
pub const ARCH: &str = "kubernetes.io/arch";
/// The same before Kubernetes 1.14.
pub const OLD_ARCH: &str = "beta.kubernetes.io/arch";
/// How far RAM may be from that of a type (per thousand) for a node without the label to be taken for one of it.
const LIKE_PER_MILLE: i64 = 60;

/// What distributions write as the type of every machine, whatever it is: it names none.
const NO_TYPES: [&str; 3] = ["", "k3s", "rke2"];

/// The machine type that a node says it is of.
#[must_use]
pub fn labelled_type(node: &Node) -> Option<&Str> {
    let said = |label: &str| node.meta.labels.get(label).filter(|value| !NO_TYPES.contains(&value.as_str()));
    said(INSTANCE_TYPE).or_else(|| said(OLD_INSTANCE_TYPE))
}

/// The offer that a node is one of: by its label, else the cheapest with its CPU and about its RAM. The second value
/// says that it was concluded.
#[must_use]
pub fn offer_of<'a>(node: &Node, offers: &'a [Offer]) -> Option<(&'a Offer, bool)> {
    if let Some(label) = labelled_type(node) {
        return offers.iter().find(|offer| offer.name == *label).map(|offer| (offer, false));
    }
    let near = |offer: &&Offer| {
        let difference = offer.memory.abs_diff(node.capacity.memory);
        offer.milli_cpu == node.capacity.milli_cpu
            && u128::from(difference) * 1000 <= u128::from(offer.memory.unsigned_abs()) * LIKE_PER_MILLE as u128
    };
    offers.iter().find(near).map(|offer| (offer, true))
}

/// What the system of a node takes, bytes, and whether that was measured.
#[must_use]
pub fn overhead(node: &Node, sample: Option<&NodeHeadroom>) -> (i64, bool) {
    let measured = sample.and_then(|sample| {
        sample.system_overhead.or_else(|| {
            let working_set = sample.sample.as_ref()?.valid_working_set(node.capacity.memory)?;
            let pods = sample.pods.iter().map(|(_, usage)| usage.working_set);
            Some(headroom_core::memory::headroom::measured_overhead(working_set, pods))
        })
    });
    match measured {
        Some(bytes) => (bytes.clamp(0, node.capacity.memory.max(0)), true),
        None => (ladder(node.capacity.memory, is_control_plane(node)), false),
    }
}

/// What the system is taken to use where nothing of the kind was measured.
fn ladder(capacity: i64, control_plane: bool) -> i64 {
    system_reserve(&NodeMemory { capacity, allocatable: capacity, control_plane, ..NodeMemory::default() })
}

/// One machine of a plan.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The node.
    pub node: Arc<Node>,
    /// Its fresh and calm sample.
    pub sample: Arc<NodeHeadroom>,
    /// Its type, when it is known.
    pub kind: Option<Str>,
    /// What it costs, when it is known.
    pub price: Option<Price>,
    /// Whether it runs the control plane.
    pub control_plane: bool,
    /// Whether it is there already.
    pub exists: bool,
    /// Swap that has to be set up on a machine that is there.
    pub more_swap: bool,
    /// Whether what the system takes was measured, on it or on one of its role.
    pub overhead_measured: bool,
}

impl Machine {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Str {
        self.node.name()
    }

    /// A machine of a catalogue.
    #[must_use]
    pub fn new(offer: &Offer, name: &str, role: &Role, swap: i64, now: Now) -> Self {
        let swap = if offer.swap && !role.control_plane { swap.max(0) } else { 0 };
        let pods = role.pods.map_or(offer.pods, |pods| pods.min(offer.pods));
        let resources = |memory: i64| Resources {
            milli_cpu: offer.milli_cpu,
            memory,
            // Catalogues do not say how large disks are: they are taken to be large enough.
            ephemeral_storage: i64::MAX / 4,
            pods,
            scalars: Vec::new(),
        };
        let given = i128::from(offer.memory) * i128::from(role.allocatable_per_mille) / 1000;
        let arch = offer.arch.as_str();
        let mut labels = role.labels.with(HOSTNAME, name).with(INSTANCE_TYPE, &offer.name).with(ARCH, arch);
        if role.old_arch {
            labels = labels.with(OLD_ARCH, arch);
        }
        let node = Node {
            meta: Meta {
                key: ObjectKey::new("", name),
                uid: format!("plan/{name}").into(),
                labels,
                resource_version: 1,
                created: now.wall,
                ..Meta::default()
            },
            taints: role.taints.clone().into(),
            capacity: resources(offer.memory),
            allocatable: resources(i64::try_from(given).unwrap_or(0)),
            conditions: Box::new([NodeCondition {
                kind: "Ready".into(),
                status: Status::True,
                reason: Str::default(),
                message: Str::default(),
                last_heartbeat: Some(now.wall),
                last_transition: Some(now.wall),
            }]),
            swap_capacity: Some(swap),
            kubelet_version: role.kubelet_version.clone(),
            ..Node::default()
        };
        let eviction = role.eviction_on(offer.memory);
        let sample = calm(&node, role.overhead_on(offer.memory), swap, eviction, now);
        Self {
            node: Arc::new(node),
            sample: Arc::new(sample),
            kind: Some(offer.name.clone()),
            price: Some(offer.price),
            control_plane: role.control_plane,
            exists: false,
            more_swap: false,
            overhead_measured: role.overhead.is_some(),
        }
    }

    /// A node that stays, with at least so much swap if its type can have any.
    #[must_use]
    pub fn kept(cluster: &Cluster, node: &Arc<Node>, offer: Option<&Offer>, swap: i64) -> Self {
        let known = cluster.samples.get(node.name());
        let has = swap_capacity(node.swap_capacity, known.and_then(|k| k.swap_capacity));
        let behavior = overrides::swap_behavior(&node.meta).or_else(|| known.and_then(|k| k.swap_behavior));
        let gives = behavior.is_some_and(SwapBehavior::gives_swap) && has > 0;
        let control_plane = is_control_plane(node);
        let mut sample_swap = if gives { has } else { 0 };
        let more_swap = !control_plane && offer.is_some_and(|offer| offer.swap) && swap > sample_swap;
        let mut staying = (**node).clone();
        if !control_plane {
            // Plans are for a cluster in order: nobody has cordoned anything.
            staying.unschedulable = false;
        }
        staying.taints = staying.taints.iter().filter(|taint| lasting(taint)).cloned().collect();
        if more_swap {
            sample_swap = swap;
            staying.swap_capacity = Some(swap);
            // What the kubelet does now is what has to be changed.
            staying.meta.annotations = staying.meta.annotations.with(overrides::SWAP_BEHAVIOR, "LimitedSwap");
        }
        let (system, overhead_measured) = overhead(node, known.map(|k| &**k));
        let eviction = known.and_then(|k| k.eviction_hard);
        let sample = calm(&staying, system, sample_swap, eviction, cluster.now);
        Self {
            node: Arc::new(staying),
            sample: Arc::new(sample),
            kind: offer.map(|offer| offer.name.clone()).or_else(|| labelled_type(node).cloned()),
            price: offer.map(|offer| offer.price),
            control_plane,
            exists: true,
            more_swap,
            overhead_measured,
        }
    }
}

/// A sample of a node on which nothing but the system runs.
fn calm(node: &Node, system: i64, swap: i64, eviction_hard: Option<i64>, now: Now) -> NodeHeadroom {
    NodeHeadroom {
        meta: Meta { key: node.meta.key.clone(), resource_version: 1, ..Meta::default() },
        sample: Some(Sample {
            at: now.wall,
            working_set: Some(system.min(node.capacity.memory)),
            swap_used: Some(0),
            state: PressureState::Calm,
            state_since: Some(now.wall),
            ..Sample::default()
        }),
        capacity: Some(node.capacity.memory),
        eviction_hard,
        system_overhead: Some(system),
        swap_behavior: Some(if swap > 0 { SwapBehavior::LimitedSwap } else { SwapBehavior::NoSwap }),
        swap_capacity: Some(swap),
        ..NodeHeadroom::default()
    }
}

/// The taint that keeps pods off a control plane of its own.
#[must_use]
pub fn control_plane_taint() -> Taint {
    Taint { key: CONTROL_PLANE_ROLES[0].into(), value: Str::default(), effect: Effect::NoSchedule, time_added: None }
}

/// Names for new nodes, that no node has yet.
#[derive(Debug, Clone, Default)]
pub struct Names {
    counts: BTreeMap<&'static str, usize>,
}

impl Names {
    /// The next one.
    pub fn next(&mut self, prefix: &'static str, cluster: &Cluster) -> String {
        let count = self.counts.entry(prefix).or_default();
        loop {
            *count += 1;
            let name = format!("new-{prefix}{count}");
            if !cluster.nodes.contains_key(name.as_str()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{memory::MIB, testing::node};
    use headroom_engine::Input;

    use super::*;
    use crate::{catalogue::Arch, world::Scheduler};

    fn offer(name: &str, mib: i64) -> Offer {
        Offer {
            name: name.into(),
            milli_cpu: 1000,
            memory: mib * MIB,
            pods: 110,
            price: Price(500),
            swap: true,
            arch: Arch::default(),
        }
    }

    fn sampled(name: &str, system: i64) -> Input {
        Input::SampleApplied(Arc::new(NodeHeadroom {
            meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
            system_overhead: Some(system),
            eviction_hard: Some(50 * MIB),
            ..NodeHeadroom::default()
        }))
    }

    fn cluster() -> Cluster {
        let worker = |name: &str| node(name).capacity("1", "1000Mi", 30).label("zone", "z");
        let server = node("s").label(CONTROL_PLANE_ROLES[0], "true").label("zone", "z");
        let inputs = vec![
            Input::NodeApplied(worker("a").label("disk", "ssd").label(INSTANCE_TYPE, "small").arc()),
            Input::NodeApplied(worker("b").arc()),
            Input::NodeApplied(server.arc()),
            sampled("a", 250 * MIB),
            sampled("b", 270 * MIB),
        ];
        Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000))
    }

    #[test]
    fn a_new_machine_is_like_those_of_its_role() {
        let cluster = cluster();
        let role = Role::of(&cluster, false);
        assert_eq!((role.overhead, role.pods, role.labels.len()), (Some(270 * MIB), Some(30), 1));
        let machine = Machine::new(&offer("small", 1000), "new-small-1", &role, 512 * MIB, cluster.now);
        let labels = &machine.node.meta.labels;
        assert!(labels.has("zone") && !labels.has("disk"));
        assert_eq!(labels.get(INSTANCE_TYPE).map(|l| &**l), Some("small"));
        let sample = machine.sample.sample.unwrap();
        assert_eq!((sample.working_set, sample.swap_used), (Some(270 * MIB), Some(0)));
        assert!(machine.overhead_measured && machine.sample.eviction_hard == Some(50 * MIB));
        assert_eq!(machine.sample.swap_behavior, Some(SwapBehavior::LimitedSwap));
        // Control planes never swap; one that was not measured is taken for a k3s server.
        let server = Machine::new(&offer("small", 4000), "n", &Role::of(&cluster, true), 512 * MIB, cluster.now);
        assert_eq!((server.node.swap_capacity, server.sample.system_overhead), (Some(0), Some(1450 * MIB)));
        assert!(!server.overhead_measured);
        assert!(is_control_plane(&server.node));
    }

    #[test]
    fn a_new_machine_runs_what_its_type_does() {
        /// What today's two workers say, and what a new machine says then, under either label.
        type Row<'a> = ([&'a [(&'a str, &'a str)]; 2], Arch, [Option<&'a str>; 2]);
        let rows: [Row<'_>; 6] = [
            ([&[], &[]], Arch::Amd64, [Some("amd64"), None]),
            ([&[(ARCH, "amd64")], &[(ARCH, "amd64")]], Arch::Arm64, [Some("arm64"), None]),
            ([&[(ARCH, "arm64")], &[(ARCH, "arm64")]], Arch::Amd64, [Some("amd64"), None]),
            ([&[(OLD_ARCH, "amd64")], &[(OLD_ARCH, "amd64")]], Arch::Arm64, [Some("arm64"), Some("arm64")]),
            ([&[(OLD_ARCH, "amd64")], &[(OLD_ARCH, "arm")]], Arch::Arm, [Some("arm"), Some("arm")]),
            ([&[(OLD_ARCH, "amd64")], &[]], Arch::Arm, [Some("arm"), None]),
        ];
        for (labels, arch, expected) in rows {
            let nodes = labels.iter().zip(["a", "b"]).map(|(labels, name)| {
                let with = labels.iter().fold(node(name), |node, (key, value)| node.label(key, value));
                Input::NodeApplied(with.arc())
            });
            let cluster = Cluster::new(nodes.collect::<Vec<_>>(), &Scheduler::standard(), Now::at_secs(1_800_000_000));
            let offer = Offer { arch, ..offer("small", 1000) };
            let machine = Machine::new(&offer, "new", &Role::of(&cluster, false), 0, cluster.now);
            let says = [ARCH, OLD_ARCH].map(|label| machine.node.meta.labels.get(label).map(Str::as_str));
            assert_eq!(says, expected, "{labels:?} {arch:?}");
        }
    }

    #[test]
    fn types_of_nodes() {
        let cluster = cluster();
        let offers = [offer("small", 700), offer("medium", 1020), offer("like-medium", 1030)];
        let of =
            |name: &str| offer_of(&cluster.nodes[name], &offers).map(|(o, concluded)| (o.name.to_string(), concluded));
        assert_eq!(of("a"), Some(("small".to_owned(), false)));
        assert_eq!(of("b"), Some(("medium".to_owned(), true)));
        assert_eq!(of("s"), None);
    }

    #[test]
    fn what_a_distribution_writes_on_every_node_is_no_type() {
        let offers = [offer("small", 700), offer("k3s", 1000), offer("medium", 1020)];
        for (new, old, expected) in [
            ("k3s", None, None),
            ("rke2", None, None),
            ("", None, None),
            ("k3s", Some("k3s"), None),
            ("k3s", Some("small"), Some("small")),
            ("small", Some("k3s"), Some("small")),
            ("other", None, Some("other")),
        ] {
            let builder = node("n").capacity("1", "1020Mi", 30).label(INSTANCE_TYPE, new);
            let n = old.map_or_else(|| builder.clone(), |old| builder.clone().label(OLD_INSTANCE_TYPE, old)).build();
            assert_eq!(labelled_type(&n).map(Str::as_str), expected, "{new:?} {old:?}");
            // The size decides then: `k3s` is the first that is near.
            let by_size = offer_of(&n, &offers).map(|(offer, concluded)| (offer.name.as_str(), concluded));
            let by_label = |label: &str| offers.iter().find(|o| o.name == *label).map(|o| (o.name.as_str(), false));
            assert_eq!(by_size, expected.map_or(Some(("k3s", true)), by_label), "{new:?} {old:?}");
        }
    }

    #[test]
    fn a_kept_node_can_get_swap() {
        let cluster = cluster();
        let small = offer("small", 1000);
        let kept = |name: &str, swap| Machine::kept(&cluster, &cluster.nodes[name], Some(&small), swap);
        assert!(kept("a", 512 * MIB).more_swap && !kept("a", 0).more_swap && !kept("s", 512 * MIB).more_swap);
        assert_eq!(kept("a", 512 * MIB).sample.swap_capacity, Some(512 * MIB));
    }

    #[test]
    fn names_are_new() {
        let mut names = Names::default();
        let cluster = cluster();
        assert_eq!((names.next("", &cluster), names.next("", &cluster)), ("new-1".to_owned(), "new-2".to_owned()));
        assert_eq!(names.next("server-", &cluster), "new-server-1");
    }
}
