//! Builders of rows for tests: `pod("a").requests("100m", "64Mi").on("node-1").build()`.
//!
//! They panic on malformed input, which is what a test wants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "builders for tests")]

mod between_pods;
pub mod hostile;
mod resources;
mod storage;

use std::sync::Arc;

pub use self::{
    between_pods::{selector, spread, term, workload},
    resources::amounts,
    storage::{
        ClaimBuilder, VolumeBuilder, allowed_in, claim, csi_capacity, csi_driver, csi_node, immediate_class, volume,
        volume_attachment, waiting_class,
    },
};
use crate::{
    object::{
        Container, ContainerImage, ContainerPort, DnsName, Meta, Node, NodeAddress, NodeCondition, ObjectKey, OwnerRef,
        Phase, Pod, PodCondition, PodDisruptionBudget, PodSpec, Protocol, Status,
    },
    quantity::{milli_value, value},
    resource::{ResourceList, Resources},
    selector::{LabelSelector, Labels, Operator, Requirement},
    str::Str,
    taint::{Effect, Taint, Toleration, TolerationOperator},
    time::Timestamp,
};

fn list(cpu: &str, memory: &str) -> ResourceList {
    ResourceList {
        milli_cpu: (!cpu.is_empty()).then(|| milli_value(cpu).unwrap()),
        memory: (!memory.is_empty()).then(|| value(memory).unwrap()),
        ..ResourceList::default()
    }
}

fn with_label(labels: &Labels, key: &str, value: &str) -> Labels {
    let mut pairs: Vec<_> = labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    pairs.push((key.into(), value.into()));
    Labels::new(pairs)
}

fn with<T: Clone>(list: &[T], one: T) -> Box<[T]> {
    list.iter().cloned().chain([one]).collect()
}

fn meta(namespace: &str, name: &str) -> Meta {
    Meta {
        key: ObjectKey::new(namespace, name),
        uid: format!("uid-{name}").into(),
        resource_version: 1,
        generation: 1,
        ..Meta::default()
    }
}

/// Builds a container. Empty quantities mean "not set".
#[derive(Debug, Clone)]
pub struct ContainerBuilder(Container);

/// A container without requests.
#[must_use]
pub fn container(name: &str) -> ContainerBuilder {
    ContainerBuilder(Container {
        name: name.into(),
        image: format!("registry.example/{name}:1").into(),
        ..Container::default()
    })
}

impl ContainerBuilder {
    /// Requests.
    #[must_use]
    pub fn requests(mut self, cpu: &str, memory: &str) -> Self {
        self.0.requests = list(cpu, memory);
        self
    }

    /// Limits.
    #[must_use]
    pub fn limits(mut self, cpu: &str, memory: &str) -> Self {
        self.0.limits = list(cpu, memory);
        self
    }

    /// Image.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.0.image = image.into();
        self
    }

    /// Makes an init container a sidecar.
    #[must_use]
    pub const fn restartable(mut self) -> Self {
        self.0.restartable = true;
        self
    }

    /// Adds a port.
    #[must_use]
    pub fn port(mut self, name: &str, container_port: u16, host_port: u16) -> Self {
        let mut ports = self.0.ports.into_vec();
        ports.push(ContainerPort {
            name: name.into(),
            container_port,
            host_port,
            host_ip: Str::default(),
            protocol: Protocol::Tcp,
        });
        self.0.ports = ports.into();
        self
    }

    /// The container.
    #[must_use]
    pub fn build(self) -> Container {
        self.0
    }
}

/// Builds a pod in namespace `default`, UID `uid-<name>`, with one container `main` unless others are given.
#[derive(Debug, Clone)]
pub struct PodBuilder {
    pod: Pod,
    spec: PodSpec,
}

/// A pending pod without requests.
#[must_use]
pub fn pod(name: &str) -> PodBuilder {
    PodBuilder {
        pod: Pod { meta: meta("default", name), ..Pod::default() },
        spec: PodSpec {
            scheduler_name: "default-scheduler".into(),
            termination_grace_seconds: 30,
            ..PodSpec::default()
        },
    }
}

impl PodBuilder {
    /// Namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.pod.meta.key.namespace = namespace.into();
        self
    }

    /// UID.
    #[must_use]
    pub fn uid(mut self, uid: &str) -> Self {
        self.pod.meta.uid = uid.into();
        self
    }

    /// Resource version.
    #[must_use]
    pub const fn rv(mut self, rv: u64) -> Self {
        self.pod.meta.resource_version = rv;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.pod.meta.labels = with_label(&self.pod.meta.labels, key, value);
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.pod.meta.annotations = with_label(&self.pod.meta.annotations, key, value);
        self
    }

    /// Created at this second.
    #[must_use]
    pub const fn created(mut self, second: i64) -> Self {
        self.pod.meta.created = Timestamp::from_secs(second);
        self
    }

    /// Being deleted, with its grace period ending at this second.
    #[must_use]
    pub fn deleted(mut self, second: i64) -> Self {
        self.pod.meta.set_deleted(Timestamp::from_secs(second));
        self
    }

    /// What DNS calls it.
    #[must_use]
    pub fn dns(mut self, hostname: &str, subdomain: &str) -> Self {
        self.pod.dns = DnsName { hostname: hostname.into(), subdomain: subdomain.into() }.boxed();
        self
    }

    /// Managed by an owner.
    #[must_use]
    pub fn owner(mut self, kind: &str, name: &str, uid: &str) -> Self {
        self.pod.meta.owners = Arc::new([OwnerRef {
            api_version: if kind == "ReplicationController" { "v1" } else { "apps/v1" }.into(),
            kind: kind.into(),
            name: name.into(),
            uid: uid.into(),
            controller: true,
            block_owner_deletion: true,
        }]);
        self
    }

    /// Requests of the single container `main`.
    #[must_use]
    pub fn requests(mut self, cpu: &str, memory: &str) -> Self {
        self.main().requests = list(cpu, memory);
        self
    }

    /// Limits of the single container `main`.
    #[must_use]
    pub fn limits(mut self, cpu: &str, memory: &str) -> Self {
        self.main().limits = list(cpu, memory);
        self
    }

    fn main(&mut self) -> &mut Container {
        if self.spec.containers.is_empty() {
            self.spec.containers = Box::new([container("main").build()]);
        }
        &mut self.spec.containers[0]
    }

    /// Adds a container.
    #[must_use]
    pub fn container(mut self, c: ContainerBuilder) -> Self {
        let mut all = self.spec.containers.into_vec();
        all.push(c.build());
        self.spec.containers = all.into();
        self
    }

    /// Adds an init container.
    #[must_use]
    pub fn init(mut self, c: ContainerBuilder) -> Self {
        let mut all = self.spec.init_containers.into_vec();
        all.push(c.build());
        self.spec.init_containers = all.into();
        self
    }

    /// Overhead.
    #[must_use]
    pub fn overhead(mut self, cpu: &str, memory: &str) -> Self {
        self.spec.overhead = list(cpu, memory);
        self
    }

    /// Priority.
    #[must_use]
    pub const fn priority(mut self, priority: i32) -> Self {
        self.spec.priority = priority;
        self
    }

    /// Bound to this node.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.pod.node_name = Some(node.into());
        self
    }

    /// Phase.
    #[must_use]
    pub const fn phase(mut self, phase: Phase) -> Self {
        self.pod.status.phase = phase;
        self
    }

    /// Running and ready since this second, with this address.
    #[must_use]
    pub fn ready(mut self, second: i64, ip: &str) -> Self {
        self.pod.status.phase = Phase::Running;
        self.pod.status.ips = Box::new([ip.into()]);
        self.pod.status.start_time = Some(Timestamp::from_secs(second));
        self.condition("Ready", Status::True, second)
    }

    /// Sets a condition.
    #[must_use]
    pub fn condition(mut self, kind: &str, status: Status, second: i64) -> Self {
        let mut all = self.pod.status.conditions.into_vec();
        all.retain(|c| c.kind != *kind);
        all.push(PodCondition {
            kind: kind.into(),
            status,
            reason: Str::default(),
            message: Str::default(),
            last_transition: Some(Timestamp::from_secs(second)),
            observed_generation: 0,
        });
        self.pod.status.conditions = all.into();
        self
    }

    /// Adds a node selector.
    #[must_use]
    pub fn node_selector(mut self, key: &str, value: &str) -> Self {
        self.spec.node_selector = with_label(&self.spec.node_selector, key, value);
        self
    }

    /// Tolerates a taint with this key and effect, whatever its value.
    #[must_use]
    pub fn tolerates(mut self, key: &str, effect: Option<Effect>, seconds: Option<i64>) -> Self {
        let mut all = self.spec.tolerations.into_vec();
        all.push(Toleration {
            key: key.into(),
            operator: TolerationOperator::Exists,
            value: Str::default(),
            effect,
            seconds,
        });
        self.spec.tolerations = all.into();
        self
    }

    /// Adds a scheduling gate.
    #[must_use]
    pub fn gate(mut self, name: &str) -> Self {
        let mut all = self.spec.scheduling_gates.into_vec();
        all.push(name.into());
        self.spec.scheduling_gates = all.into();
        self
    }

    /// Changes the spec in any other way.
    #[must_use]
    pub fn spec(mut self, change: impl FnOnce(&mut PodSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Changes the row in any other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(&mut self.pod);
        self
    }

    /// The pod.
    #[must_use]
    pub fn build(mut self) -> Pod {
        self.main();
        self.pod.spec = Arc::new(self.spec);
        self.pod
    }

    /// The pod, shared.
    #[must_use]
    pub fn arc(self) -> Arc<Pod> {
        Arc::new(self.build())
    }
}

/// A budget in namespace `default` for pods with this label, that allows so many disruptions.
#[must_use]
pub fn budget(name: &str, key: &str, value: &str, allowed: i32) -> PodDisruptionBudget {
    let requirement = Requirement { key: key.into(), operator: Operator::In, values: Box::new([value.into()]) };
    PodDisruptionBudget {
        meta: meta("default", name),
        selector: Some(LabelSelector { requirements: Box::new([requirement]) }),
        disruptions_allowed: allowed,
        disrupted_pods: Box::new([]),
    }
}

/// Builds a node that is ready, with 110 pods allowed.
#[derive(Debug, Clone)]
pub struct NodeBuilder(Node);

/// A node with 4 CPUs and 4 GiB.
#[must_use]
pub fn node(name: &str) -> NodeBuilder {
    let builder = NodeBuilder(Node {
        meta: Meta { labels: [("kubernetes.io/hostname", name)].into_iter().collect(), ..meta("", name) },
        addresses: Box::new([NodeAddress { kind: "InternalIP".into(), address: "192.0.2.1".into() }]),
        kubelet_port: 10250,
        kubelet_version: "v1.36.4".into(),
        ..Node::default()
    });
    builder.capacity("4", "4Gi", 110).condition("Ready", Status::True, 0)
}

impl NodeBuilder {
    /// Capacity and allocatable.
    #[must_use]
    pub fn capacity(mut self, cpu: &str, memory: &str, pods: i64) -> Self {
        let r = Resources {
            milli_cpu: milli_value(cpu).unwrap(),
            memory: value(memory).unwrap(),
            ephemeral_storage: i64::MAX / 2,
            pods,
            ..Resources::default()
        };
        self.0.capacity = r.clone();
        self.0.allocatable = r;
        self
    }

    /// An extended resource.
    #[must_use]
    pub fn extended(mut self, name: &str, amount: i64) -> Self {
        let l = ResourceList { scalars: Box::new([(name.into(), amount)]), ..ResourceList::default() };
        self.0.capacity.add_list(&l);
        self.0.allocatable.add_list(&l);
        self
    }

    /// Swap.
    #[must_use]
    pub fn swap(mut self, capacity: &str) -> Self {
        self.0.swap_capacity = Some(value(capacity).unwrap());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.meta.labels = with_label(&self.0.meta.labels, key, value);
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.meta.annotations = with_label(&self.0.meta.annotations, key, value);
        self
    }

    /// Adds a taint.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: Effect) -> Self {
        let mut all = self.0.taints.into_vec();
        all.push(Taint { key: key.into(), value: value.into(), effect, time_added: None });
        self.0.taints = all.into();
        self
    }

    /// Adds an image of this size in bytes.
    #[must_use]
    pub fn image(mut self, names: &[&str], size: i64) -> Self {
        let names = names.iter().map(|n| Str::from(*n)).collect();
        self.0.images = with(&self.0.images, Arc::new(ContainerImage { names, size }));
        self
    }

    /// Declares a feature.
    #[must_use]
    pub fn feature(mut self, name: &str) -> Self {
        self.0.declared_features = with(&self.0.declared_features, name.into());
        self
    }

    /// Cordons it.
    #[must_use]
    pub const fn unschedulable(mut self) -> Self {
        self.0.unschedulable = true;
        self
    }

    /// Sets a condition.
    #[must_use]
    pub fn condition(mut self, kind: &str, status: Status, second: i64) -> Self {
        let mut all = self.0.conditions.into_vec();
        all.retain(|c| c.kind != *kind);
        all.push(NodeCondition {
            kind: kind.into(),
            status,
            reason: Str::default(),
            message: Str::default(),
            last_heartbeat: Some(Timestamp::from_secs(second)),
            last_transition: Some(Timestamp::from_secs(second)),
        });
        self.0.conditions = all.into();
        self
    }

    /// Changes the row in any other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(&mut self.0);
        self
    }

    /// The node.
    #[must_use]
    pub fn build(self) -> Node {
        self.0
    }

    /// The node, shared.
    #[must_use]
    pub fn arc(self) -> Arc<Node> {
        Arc::new(self.build())
    }
}
