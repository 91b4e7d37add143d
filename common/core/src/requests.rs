//! What a pod asks for, by the scheduler's formula (`k8s.io/component-helpers/resource`, kube-scheduler reference 3.8),
//! and its quality of service class.

use crate::{
    object::{Container, PodSpec, Qos},
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
    aggregate(spec, |c| Resources::from(&c.requests))
}

/// The same for scoring: containers without a CPU or memory request count with [`DEFAULT_MILLI_CPU`] and
/// [`DEFAULT_MEMORY`] (upstream `NonMissingContainerRequests`); an explicit zero stays zero. In a pod with pod-level
/// requests nothing is assumed of a resource that any part of the pod requests (`getNonMissingContainerRequests`).
#[must_use]
pub fn pod_non_zero_requests(spec: &PodSpec) -> Resources {
    let level = spec.pod_requests.as_deref().filter(|level| sets_supported(level));
    let assumed = |said: fn(&ResourceList) -> bool| {
        let containers = spec.containers.iter().chain(&spec.init_containers).map(|c| &c.requests);
        level.is_none_or(|level| !containers.chain([level, &spec.overhead]).any(said))
    };
    let (cpu, memory) = (assumed(|r| r.milli_cpu.is_some()), assumed(|r| r.memory.is_some()));
    aggregate(spec, |c| {
        let mut r = Resources::from(&c.requests);
        if cpu && c.requests.milli_cpu.is_none() {
            r.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if memory && c.requests.memory.is_none() {
            r.memory = DEFAULT_MEMORY;
        }
        r
    })
}

/// Whether a list holds anything that the pod level may set (`IsPodLevelRequestsSet`).
fn sets_supported(level: &ResourceList) -> bool {
    level.milli_cpu.is_some()
        || level.memory.is_some()
        || level.scalars.iter().any(|(name, _)| name.starts_with(HUGE_PAGES))
}

fn aggregate(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for c in &spec.containers {
        running.add(&of(c));
    }
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for c in &spec.init_containers {
        let own = of(c);
        if c.restartable {
            sidecars.add(&own);
            peak.max(&sidecars);
        } else {
            let mut during = sidecars.clone();
            during.add(&own);
            peak.max(&during);
        }
    }
    running.add(&sidecars);
    running.max(&peak);
    if let Some(level) = &spec.pod_requests {
        replace_supported(&mut running, level);
    }
    running.add_list(&spec.overhead);
    running
}

/// Pod-level resources exist for CPU, memory and huge pages only (`resourcehelper.IsSupportedPodLevelResource`).
fn replace_supported(sum: &mut Resources, level: &ResourceList) {
    if let Some(cpu) = level.milli_cpu {
        sum.milli_cpu = cpu;
    }
    if let Some(memory) = level.memory {
        sum.memory = memory;
    }
    for (name, amount) in &level.scalars {
        if name.starts_with(HUGE_PAGES) {
            match sum.scalars.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => sum.scalars[i].1 = *amount,
                Err(i) => sum.scalars.insert(i, (name.clone(), *amount)),
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
    use crate::testing::{container, pod};

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
    fn pod_level_requests_replace_the_sum() {
        let mut p = pod("p").container(container("a").requests("100m", "10Mi")).build();
        let spec = std::sync::Arc::make_mut(&mut p.spec);
        spec.pod_requests = Some(Box::new(ResourceList { memory: Some(1 << 30), ..ResourceList::default() }));
        let r = pod_requests(&p.spec);
        assert_eq!((r.milli_cpu, r.memory), (100, 1 << 30));
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
