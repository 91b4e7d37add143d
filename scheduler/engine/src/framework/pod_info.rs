//! A pod with what is computed once from its spec.

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Str,
    memory::{ContainerKind, ContainerMemory, PodMemory},
    object::{Pod, PodSpec, Protocol, Qos, VolumeKind},
    requests::{
        effective_non_zero_requests, effective_requests, is_resize_infeasible, pod_non_zero_requests, pod_requests, qos,
    },
    resource::Resources,
};

/// A port on the node that a pod claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Address, empty or `0.0.0.0` for all.
    pub ip: Str,
    /// Protocol.
    pub protocol: Protocol,
    /// Port, never 0.
    pub port: u16,
}

/// What the memory model reads of a spec.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecMemory {
    /// Init containers, then app containers.
    containers: Box<[ContainerMemory]>,
    /// Sum of the size limits of volumes in memory, in bytes.
    volumes: i64,
}

impl SpecMemory {
    fn new(spec: &PodSpec) -> Self {
        let one = |c: &headroom_core::object::Container, kind| ContainerMemory {
            kind,
            request: c.requests.memory,
            limit: c.limits.memory,
        };
        let init = spec
            .init_containers
            .iter()
            .map(|c| one(c, if c.restartable { ContainerKind::Sidecar } else { ContainerKind::Init }));
        let volumes = spec.volumes.iter().filter_map(|v| match v.kind {
            VolumeKind::MemoryEmptyDir(size) => size,
            _ => None,
        });
        Self {
            containers: init.chain(spec.containers.iter().map(|c| one(c, ContainerKind::App))).collect(),
            volumes: volumes.fold(0, |sum, size| sum.saturating_add(size.max(0))),
        }
    }
}

/// What follows from a [`PodSpec`]; shared by all pods with an equal one.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecInfo {
    /// The spec.
    pub spec: Arc<PodSpec>,
    /// Effective requests (reference 3.8).
    pub requests: Resources,
    /// CPU for scoring, in thousandths: containers without a request count 100m.
    pub non_zero_milli_cpu: i64,
    /// Memory for scoring, in bytes: containers without a request count 200Mi.
    pub non_zero_memory: i64,
    /// Host ports of containers and sidecars.
    pub ports: Box<[HostPort]>,
    /// Quality of service class.
    pub qos: Qos,
    /// For the memory model.
    pub memory: SpecMemory,
}

impl SpecInfo {
    /// Computes everything.
    #[must_use]
    pub fn new(spec: Arc<PodSpec>) -> Self {
        let non_zero = pod_non_zero_requests(&spec);
        let ports = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().filter(|c| c.restartable))
            .flat_map(|c| c.ports.iter())
            .filter(|p| p.host_port != 0)
            .map(|p| HostPort { ip: p.host_ip.clone(), protocol: p.protocol, port: p.host_port })
            .collect();
        Self {
            requests: pod_requests(&spec),
            non_zero_milli_cpu: non_zero.milli_cpu,
            non_zero_memory: non_zero.memory,
            ports,
            qos: qos(&spec),
            memory: SpecMemory::new(&spec),
            spec,
        }
    }

    /// For one pod: what its status says of a resize counts.
    fn of(pod: &Pod) -> Self {
        let mut this = Self::new(pod.spec.clone());
        if pod.status.resize.is_some() {
            let non_zero = effective_non_zero_requests(pod);
            this.requests = effective_requests(pod);
            (this.non_zero_milli_cpu, this.non_zero_memory) = (non_zero.milli_cpu, non_zero.memory);
        }
        this
    }
}

/// Whether the two have the same spec and the same resize.
fn same_requests(a: &Pod, b: &Pod) -> bool {
    Arc::ptr_eq(&a.spec, &b.spec)
        && a.status.resize == b.status.resize
        && (a.status.resize.is_none() || is_resize_infeasible(a) == is_resize_infeasible(b))
}

/// A pod and what follows from its spec. Cloning costs two atomic increments.
#[derive(Debug, Clone)]
pub struct PodInfo {
    /// The pod.
    pub pod: Arc<Pod>,
    /// From its spec.
    pub spec: Arc<SpecInfo>,
}

impl PodInfo {
    /// Computes what follows from the spec, without sharing it. [`SpecCache::info`] shares.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        let spec = Arc::new(SpecInfo::of(&pod));
        Self { pod, spec }
    }

    /// UID.
    #[must_use]
    pub fn uid(&self) -> &Str {
        &self.pod.meta.uid
    }

    /// Priority, 0 when unset.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.pod.spec.priority
    }

    /// The pod as the memory model reads it (interfaces.md 1, "Names on other objects").
    #[must_use]
    pub fn memory(&self) -> PodMemory<'_> {
        let (meta, spec) = (&self.pod.meta, &self.pod.spec);
        let annotation = |name: &str| meta.annotations.get(name).map(Str::as_str);
        PodMemory {
            containers: &self.spec.memory.containers,
            qos: match self.spec.qos {
                Qos::Guaranteed => headroom_core::memory::Qos::Guaranteed,
                Qos::Burstable => headroom_core::memory::Qos::Burstable,
                Qos::BestEffort => headroom_core::memory::Qos::BestEffort,
            },
            priority: spec.priority,
            static_pod: self.pod.is_mirror(),
            daemon_set: meta.controller().is_some_and(|o| o.kind == "DaemonSet"),
            overhead: spec.overhead.memory.unwrap_or(0),
            memory_volumes: self.spec.memory.volumes,
            hint: annotation("headroom.dev/memory-hint")
                .and_then(|v| headroom_core::quantity::value(v).ok())
                .filter(|bytes| *bytes >= 0),
            swap_never: annotation("headroom.dev/swap") == Some("never"),
            allow_protected: annotation("headroom.dev/allow-protected-nodes") == Some("true"),
            pod_request: spec.pod_requests.as_ref().and_then(|r| r.memory),
            pod_limit: spec.pod_limits.as_ref().and_then(|r| r.memory),
        }
    }
}

/// One [`SpecInfo`] per distinct spec. Specs that nobody holds any more are swept whenever the cache has doubled.
#[derive(Debug)]
pub struct SpecCache {
    specs: HashMap<Arc<PodSpec>, Arc<SpecInfo>>,
    sweep_at: usize,
}

/// Below this many specs a sweep is not worth its walk.
const SMALLEST_SWEEP: usize = 512;

impl Default for SpecCache {
    fn default() -> Self {
        Self { specs: HashMap::new(), sweep_at: SMALLEST_SWEEP }
    }
}

impl SpecCache {
    /// The pod with its shared [`SpecInfo`]. `before` saves the hashing when the spec did not change.
    pub fn info(&mut self, pod: Arc<Pod>, before: Option<&PodInfo>) -> PodInfo {
        if let Some(before) = before
            && same_requests(&before.pod, &pod)
        {
            return PodInfo { spec: before.spec.clone(), pod };
        }
        if pod.status.resize.is_some() {
            // Few pods are being resized, and each for itself.
            return PodInfo::new(pod);
        }
        if let Some(known) = self.specs.get(&pod.spec) {
            return PodInfo { spec: known.clone(), pod };
        }
        if self.specs.len() >= self.sweep_at {
            self.specs.retain(|_, info| Arc::strong_count(info) > 1);
            self.sweep_at = (self.specs.len() * 2).max(SMALLEST_SWEEP);
        }
        let info = Arc::new(SpecInfo::new(pod.spec.clone()));
        self.specs.insert(pod.spec.clone(), info.clone());
        PodInfo { pod, spec: info }
    }

    /// How many specs are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{container, pod};

    use super::*;

    #[test]
    fn equal_specs_share_one_info() {
        let mut specs = SpecCache::default();
        let a = specs.info(pod("a").requests("1", "1Gi").arc(), None);
        let b = specs.info(pod("b").requests("1", "1Gi").arc(), None);
        let c = specs.info(pod("c").requests("2", "1Gi").arc(), None);
        assert!(Arc::ptr_eq(&a.spec, &b.spec) && !Arc::ptr_eq(&a.spec, &c.spec));
        drop(c);
        for i in 0..SMALLEST_SWEEP * 3 {
            specs.info(pod("x").requests(&format!("{i}m"), "1").arc(), None);
        }
        assert!(specs.len() <= SMALLEST_SWEEP, "{}", specs.len());
    }

    #[test]
    fn a_hint_that_is_no_size_is_ignored() {
        for (text, hint) in [("300Mi", Some(300 << 20)), ("0", Some(0)), ("-1", None), ("-300Mi", None), ("big", None)]
        {
            let info = PodInfo::new(pod("p").annotation("headroom.dev/memory-hint", text).arc());
            assert_eq!(info.memory().hint, hint, "{text}");
        }
    }

    #[test]
    fn host_ports_of_containers_and_sidecars() {
        let p = pod("p")
            .container(container("a").port("x", 80, 8080).port("y", 81, 0))
            .init(container("i").port("x", 1, 1))
            .init(container("s").port("x", 2, 2).restartable())
            .arc();
        let ports: Vec<_> = PodInfo::new(p).spec.ports.iter().map(|p| p.port).collect();
        assert_eq!(ports, [8080, 2]);
    }
}
