//! What a pod asks for, by the scheduler's formula (`k8s.io/component-helpers/resource`, kube-scheduler reference 3.8),
//! and its quality of service class.

use crate::{
    object::{Container, Pod, PodResize, PodSpec, Qos},
    resource::{ResourceList, Resources},
};

/// CPU that scoring assumes for a container without a CPU request: 100m.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// Memory that scoring assumes for a container without a memory request: 200 MiB.
pub const DEFAULT_MEMORY: i64 = 200 << 20;

/// How names of huge pages begin.
const HUGE_PAGES: &str = "hugepages-";

/// Effective requests of a pod: app containers and sidecars together, or the largest init container with the sidecars
/// started before it, whichever is more; pod-level requests replace the sum per resource; overhead comes on top.
#[must_use]
pub fn pod_requests(spec: &PodSpec) -> Resources {
    aggregate(spec, None, |list| Resources::from(list))
}

/// The same for scoring: containers without a CPU or memory request count with [`DEFAULT_MILLI_CPU`] and
/// [`DEFAULT_MEMORY`] (upstream `NonMissingContainerRequests`); an explicit zero stays zero. In a pod with pod-level
/// requests nothing is assumed of a resource that any part of the pod requests (`getNonMissingContainerRequests`).
#[must_use]
pub fn pod_non_zero_requests(spec: &PodSpec) -> Resources {
    let assumed = Assumed::of(spec);
    aggregate(spec, None, |list| assumed.fill(list))
}

/// What a pod takes on its node: [`pod_requests`], with what its status says of a resize. A resize that the node could
/// not grant yet takes the larger of old and new; one that it never can grant (`Infeasible`) takes the old.
#[must_use]
pub fn effective_requests(pod: &Pod) -> Resources {
    aggregate(&pod.spec, Status::of(pod), |list| Resources::from(list))
}

/// [`effective_requests`] for scoring.
#[must_use]
pub fn effective_non_zero_requests(pod: &Pod) -> Resources {
    let assumed = Assumed::of(&pod.spec);
    aggregate(&pod.spec, Status::of(pod), |list| assumed.fill(list))
}

/// Limits of a pod (`resourcehelper.PodLimits`): summed as requests are; pod-level limits replace the sum, and overhead
/// comes on top of what is limited at all.
#[must_use]
pub fn pod_limits(spec: &PodSpec) -> Resources {
    let of = |c: &Container| Resources::from(&c.limits);
    let mut limits = sum(spec, of, of);
    if let Some(level) = &spec.pod_limits {
        replace_supported(&mut limits, level, level);
    }
    let over = &spec.overhead;
    let top = |limit: &mut i64, over: Option<i64>| {
        if *limit != 0 {
            *limit = limit.saturating_add(over.unwrap_or(0));
        }
    };
    top(&mut limits.milli_cpu, over.milli_cpu);
    top(&mut limits.memory, over.memory);
    top(&mut limits.ephemeral_storage, over.ephemeral_storage);
    for (name, limit) in &mut limits.scalars {
        top(limit, over.get(name));
    }
    limits
}

/// Which resources count with a default in containers that do not request them.
#[derive(Clone, Copy)]
struct Assumed {
    cpu: bool,
    memory: bool,
}

impl Assumed {
    fn of(spec: &PodSpec) -> Self {
        let level = spec.pod_requests.as_deref().filter(|level| sets_supported(level));
        let assumed = |said: fn(&ResourceList) -> bool| {
            let containers = spec.containers.iter().chain(&spec.init_containers).map(|c| &c.requests);
            level.is_none_or(|level| !containers.chain([level, &spec.overhead]).any(said))
        };
        Self { cpu: assumed(|r| r.milli_cpu.is_some()), memory: assumed(|r| r.memory.is_some()) }
    }

    fn fill(self, list: &ResourceList) -> Resources {
        let mut r = Resources::from(list);
        if self.cpu && list.milli_cpu.is_none() {
            r.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if self.memory && list.memory.is_none() {
            r.memory = DEFAULT_MEMORY;
        }
        r
    }
}

/// Whether a list holds anything that the pod level may set (`IsPodLevelRequestsSet`).
fn sets_supported(level: &ResourceList) -> bool {
    level.milli_cpu.is_some()
        || level.memory.is_some()
        || level.scalars.iter().any(|(name, _)| name.starts_with(HUGE_PAGES))
}

/// Whether the node said that a resize can never be granted (`resourcehelper.IsPodResizeInfeasible`).
#[must_use]
pub fn is_resize_infeasible(pod: &Pod) -> bool {
    pod.condition("PodResizePending").is_some_and(|c| c.reason == "Infeasible")
}

/// What a status says of resizes.
#[derive(Clone, Copy)]
struct Status<'a> {
    resize: &'a PodResize,
    infeasible: bool,
}

impl<'a> Status<'a> {
    fn of(pod: &'a Pod) -> Option<Self> {
        let resize = pod.status.resize.as_deref()?;
        Some(Self { resize, infeasible: is_resize_infeasible(pod) })
    }

    /// `determineEffectiveRequests`.
    fn effective(self, spec: &ResourceList, actuated: &ResourceList, allocated: &ResourceList) -> ResourceList {
        let running = actuated.larger(allocated);
        if self.infeasible { running } else { spec.larger(&running) }
    }

    fn container(self, c: &Container) -> Option<ResourceList> {
        let found = self.resize.containers.iter().find(|r| r.name == c.name)?;
        Some(self.effective(&c.requests, &found.actuated, &found.allocated))
    }
}

fn aggregate(spec: &PodSpec, status: Option<Status<'_>>, of: impl Fn(&ResourceList) -> Resources) -> Resources {
    let lasting = |c: &Container| match status.and_then(|s| s.container(c)) {
        Some(effective) => of(&effective),
        None => of(&c.requests),
    };
    // What runs once and is over is never resized: its status does not count.
    let mut running = sum(spec, lasting, |c| of(&c.requests));
    if let Some(level) = &spec.pod_requests {
        let effective = status.and_then(|s| {
            let (actuated, allocated) = s.resize.pod.as_ref()?;
            Some(s.effective(level, actuated, allocated))
        });
        replace_supported(&mut running, level, effective.as_ref().unwrap_or(level));
    }
    running.add_list(&spec.overhead);
    // No API server lets negative amounts through, but a file may hold them; they must not make room.
    running.floor();
    running
}

/// What containers need together: `lasting` of those that go on, and `passing` of init containers while they run.
fn sum(
    spec: &PodSpec,
    lasting: impl Fn(&Container) -> Resources,
    passing: impl Fn(&Container) -> Resources,
) -> Resources {
    let mut running = Resources::default();
    for c in &spec.containers {
        running.add(&lasting(c));
    }
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for c in &spec.init_containers {
        if c.restartable {
            sidecars.add(&lasting(c));
            peak.max(&sidecars);
        } else {
            let mut during = sidecars.clone();
            during.add(&passing(c));
            peak.max(&during);
        }
    }
    running.add(&sidecars);
    running.max(&peak);
    running
}

/// Pod-level resources exist for CPU, memory and huge pages only (`resourcehelper.IsSupportedPodLevelResource`).
fn replace_supported(sum: &mut Resources, level: &ResourceList, effective: &ResourceList) {
    if level.milli_cpu.is_some() {
        sum.milli_cpu = effective.milli_cpu.unwrap_or(0);
    }
    if level.memory.is_some() {
        sum.memory = effective.memory.unwrap_or(0);
    }
    for (name, _) in &level.scalars {
        if name.starts_with(HUGE_PAGES) {
            let amount = effective.get(name).unwrap_or(0);
            match sum.scalars.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => sum.scalars[i].1 = amount,
                Err(i) => sum.scalars.insert(i, (name.clone(), amount)),
            }
        }
    }
}

/// Quality of service class, from CPU and memory of all containers and init containers, or of the pod level when it is
/// set (`pkg/apis/core/v1/helper/qos.ComputePodQOS`).
#[must_use]
pub fn qos(spec: &PodSpec) -> Qos {
    let mut any = false;
    let mut all_guaranteed = true;
    let mut look = |requests: &ResourceList, limits: &ResourceList| {
        for (request, limit) in [(requests.milli_cpu, limits.milli_cpu), (requests.memory, limits.memory)] {
            let (request, limit) = (request.filter(|r| *r > 0), limit.filter(|l| *l > 0));
            any |= request.is_some() || limit.is_some();
            // The API server defaults requests to limits; a request that is absent all the same follows its limit.
            all_guaranteed &= limit.is_some() && request.is_none_or(|r| Some(r) == limit);
        }
    };
    if spec.pod_requests.is_some() || spec.pod_limits.is_some() {
        let empty = ResourceList::default();
        look(spec.pod_requests.as_deref().unwrap_or(&empty), spec.pod_limits.as_deref().unwrap_or(&empty));
    } else {
        for c in spec.containers.iter().chain(&spec.init_containers) {
            look(&c.requests, &c.limits);
        }
    }
    match (any, all_guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        object::{ContainerResize, PodCondition},
        testing::{PodBuilder, container, pod},
    };

    #[test]
    fn init_containers_sidecars_and_overhead() {
        let p = pod("p")
            .container(container("a").requests("100m", "10Mi"))
            .container(container("b").requests("200m", "20Mi"))
            .init(container("i1").requests("50m", "100Mi"))
            .init(container("side").requests("10m", "5Mi").restartable())
            .init(container("i2").requests("400m", "1Mi"))
            .overhead("1m", "1Mi")
            .build();
        let r = pod_requests(&p.spec);
        // CPU: containers + sidecar = 310m, i2 beside the sidecar = 410m. Memory: 35Mi against i1's 100Mi.
        assert_eq!((r.milli_cpu, r.memory), (411, 101 << 20));
    }

    #[test]
    fn scoring_assumes_something_for_what_is_not_said() {
        let p = pod("p").container(container("a")).container(container("b").requests("0", "0")).build();
        let r = pod_non_zero_requests(&p.spec);
        assert_eq!((r.milli_cpu, r.memory), (DEFAULT_MILLI_CPU, DEFAULT_MEMORY));
        assert_eq!(pod_requests(&p.spec), Resources::default());
    }

    #[test]
    fn limits() {
        let c = |name: &str, memory: &str| container(name).limits("1", memory);
        let mut spec = pod("p")
            .container(c("a", "1Gi"))
            .container(container("none"))
            .init(c("once", "4Gi"))
            .init(c("sidecar", "1Gi").restartable())
            .build()
            .spec;
        let spec = std::sync::Arc::make_mut(&mut spec);
        spec.overhead.memory = Some(1 << 20);
        spec.overhead.ephemeral_storage = Some(7);
        let limits = pod_limits(spec);
        assert_eq!((limits.milli_cpu, limits.memory, limits.ephemeral_storage), (2000, (4 << 30) + (1 << 20), 0));
        spec.pod_limits = Some(Box::new(ResourceList { milli_cpu: Some(500), ..ResourceList::default() }));
        assert_eq!(pod_limits(spec).milli_cpu, 500);
    }

    #[test]
    fn pod_level_requests_replace_the_sum() {
        let mut p = pod("p").container(container("a").requests("100m", "10Mi")).build();
        let spec = std::sync::Arc::make_mut(&mut p.spec);
        spec.pod_requests = Some(Box::new(ResourceList { memory: Some(1 << 30), ..ResourceList::default() }));
        let r = pod_requests(&p.spec);
        assert_eq!((r.milli_cpu, r.memory), (100, 1 << 30));
    }

    fn resized(name: &str, actuated: (&str, &str), allocated: (&str, &str)) -> ContainerResize {
        let list = |(cpu, memory)| container("x").requests(cpu, memory).build().requests;
        ContainerResize { name: name.into(), actuated: list(actuated), allocated: list(allocated) }
    }

    fn in_status(p: PodBuilder, containers: Vec<ContainerResize>, pending: &str) -> Pod {
        let mut p = p.build();
        p.status.resize = Some(Box::new(PodResize { containers: containers.into(), pod: None }));
        if !pending.is_empty() {
            p.status.conditions = Box::new([PodCondition {
                kind: "PodResizePending".into(),
                status: crate::object::Status::True,
                reason: pending.into(),
                message: "".into(),
                last_transition: None,
                observed_generation: 0,
            }]);
        }
        p
    }

    /// After upstream's table of PodRequests with `UseStatusResources` (`resource/helpers_test.go`).
    #[test]
    fn resizes_count_by_what_the_status_says() {
        let one = || pod("p").container(container("c").requests("2", "4Gi"));
        for (what, p, cpu, gib) in [
            ("no status", one().build(), 2000, 4),
            ("the larger of all", in_status(one(), vec![resized("c", ("1", "6Gi"), ("3", "5Gi"))], ""), 3000, 6),
            ("grows, put off", in_status(one(), vec![resized("c", ("1", "1Gi"), ("1", "1Gi"))], "Deferred"), 2000, 4),
            ("grows, never", in_status(one(), vec![resized("c", ("1", "1Gi"), ("1", "2Gi"))], "Infeasible"), 1000, 2),
            ("shrinks", in_status(one(), vec![resized("c", ("4", "8Gi"), ("2", "4Gi"))], ""), 4000, 8),
            ("a status without an entry", in_status(one(), vec![resized("c", ("", "8Gi"), ("", ""))], ""), 2000, 8),
            (
                "somebody else's status",
                in_status(one(), vec![resized("other", ("9", "9Gi"), ("9", "9Gi"))], ""),
                2000,
                4,
            ),
            (
                "a sidecar counts, an init container's status does not",
                in_status(
                    one()
                        .init(container("i").requests("1", "1Gi"))
                        .init(container("s").requests("1", "1Gi").restartable()),
                    vec![resized("s", ("2", "2Gi"), ("1", "1Gi")), resized("i", ("50", "50Gi"), ("50", "50Gi"))],
                    "",
                ),
                4000,
                6,
            ),
        ] {
            let r = effective_requests(&p);
            assert_eq!((r.milli_cpu, r.memory), (cpu, gib << 30), "{what}");
        }
    }

    #[test]
    fn resizes_of_the_pod_level_and_what_scoring_assumes() {
        let level = |cpu: i64| ResourceList { milli_cpu: Some(cpu), ..ResourceList::default() };
        let mut p = pod("p").container(container("c").requests("100m", "")).overhead("10m", "1Mi").build();
        std::sync::Arc::make_mut(&mut p.spec).pod_requests = Some(Box::new(level(1000)));
        p.status.resize = Some(Box::new(PodResize { containers: Box::new([]), pod: Some((level(500), level(2000))) }));
        let r = effective_requests(&p);
        assert_eq!((r.milli_cpu, r.memory), (2010, 1 << 20));
        assert_eq!(pod_requests(&p.spec).milli_cpu, 1010, "a pod that is not placed counts by its spec");
        let r = effective_non_zero_requests(&p);
        assert_eq!((r.milli_cpu, r.memory), (2010, 1 << 20), "the overhead names memory: nothing is assumed");
    }

    /// After upstream's table of init containers and sidecars (`TestPodResourceRequests`).
    #[test]
    fn sidecars_before_and_after_init_containers() {
        let cpu = |p: PodBuilder| pod_requests(&p.build().spec).milli_cpu / 1000;
        let c = |name: &str, cpu: &str| container(name).requests(cpu, "");
        let side = |name: &str, cpu: &str| c(name, cpu).restartable();
        assert_eq!(cpu(pod("p").init(c("i", "2")).container(c("a", "1"))), 2);
        assert_eq!(cpu(pod("p").init(c("i", "2")).container(c("a", "3"))), 3);
        assert_eq!(cpu(pod("p").init(side("s", "1")).container(c("a", "1"))), 2);
        assert_eq!(cpu(pod("p").init(side("s", "1")).init(c("i", "5")).container(c("a", "1"))), 6);
        assert_eq!(cpu(pod("p").init(c("i", "5")).init(side("s", "1")).container(c("a", "1"))), 5);
        assert_eq!(cpu(pod("p").init(side("s", "1")).init(c("i", "5")).init(side("t", "2")).container(c("a", "3"))), 6);
        assert_eq!(
            cpu(pod("p").init(side("s", "1")).init(side("t", "2")).init(c("i", "5")).container(c("a", "10"))),
            13
        );
    }

    #[test]
    fn pod_level_requests_end_what_is_assumed() {
        let mut p = pod("p").container(container("a")).container(container("b").requests("10m", "1Mi")).build();
        let spec = std::sync::Arc::make_mut(&mut p.spec);
        spec.pod_requests = Some(Box::new(ResourceList { memory: Some(1 << 30), ..ResourceList::default() }));
        let r = pod_non_zero_requests(&p.spec);
        assert_eq!((r.milli_cpu, r.memory), (10, 1 << 30), "b names CPU: nothing is assumed for a");
        let spec = std::sync::Arc::make_mut(&mut p.spec);
        spec.containers[1].requests.milli_cpu = None;
        let r = pod_non_zero_requests(&p.spec);
        assert_eq!((r.milli_cpu, r.memory), (2 * DEFAULT_MILLI_CPU, 1 << 30));
    }

    #[test]
    fn qos_classes() {
        for (p, expected) in [
            (pod("p").container(container("a")), Qos::BestEffort),
            (pod("p").container(container("a").requests("0", "0")), Qos::BestEffort),
            (pod("p").container(container("a").requests("1", "1Mi")), Qos::Burstable),
            (pod("p").container(container("a").requests("1", "1Mi").limits("1", "1Mi")), Qos::Guaranteed),
            (pod("p").container(container("a").limits("1", "1Mi")), Qos::Guaranteed),
            (pod("p").container(container("a").requests("1", "1Mi").limits("1", "2Mi")), Qos::Burstable),
            (
                pod("p").container(container("a").requests("1", "1Mi").limits("1", "1Mi")).container(container("b")),
                Qos::Burstable,
            ),
        ] {
            assert_eq!(p.build().qos(), expected);
        }
    }
}
