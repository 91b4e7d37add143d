//! What a pod will take (memory-and-swap.md 5.2; 5.12 (4) to (12)). All sizes in bytes.

use super::{params::Params, peak::History, rounded, swap};
use crate::time::Timestamp;

/// Kubernetes' quality-of-service class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Qos {
    /// Requests equal limits, for CPU and memory, in every container.
    Guaranteed,
    /// Neither of the others.
    Burstable,
    /// No requests and no limits.
    #[default]
    BestEffort,
}

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContainerKind {
    /// A container of `spec.containers`.
    #[default]
    App,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// An init container that ends before the next starts.
    Init,
}

/// One container's memory figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ContainerMemory {
    /// When it runs.
    pub kind: ContainerKind,
    /// `resources.requests.memory`; `None` = not set.
    pub request: Option<i64>,
    /// `resources.limits.memory`; `None` = not set.
    pub limit: Option<i64>,
}

impl ContainerMemory {
    /// The limit, if there is one: 0 is none, as for the kubelet.
    #[must_use]
    pub fn limit(&self) -> Option<i64> {
        self.limit.filter(|&limit| limit > 0)
    }

    /// The request, which defaults to the limit as the API server does it (5.12 (7)); never negative.
    #[must_use]
    pub fn request(&self) -> i64 {
        self.request.or(self.limit).unwrap_or(0).max(0)
    }
}

/// What the model reads of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodMemory<'a> {
    /// `spec.initContainers`, then `spec.containers`, each in the order of the spec.
    pub containers: &'a [ContainerMemory],
    /// Its class.
    pub qos: Qos,
    /// `spec.priority`, else its class's value (5.12 (21)).
    pub priority: i32,
    /// A static pod, or a mirror pod of one.
    pub static_pod: bool,
    /// Owned by a DaemonSet.
    pub daemon_set: bool,
    /// `spec.overhead.memory`.
    pub overhead: i64,
    /// Sum of `sizeLimit` over `emptyDir` volumes of medium Memory.
    pub memory_volumes: i64,
    /// The annotation `headroom.dev/memory-hint`, parsed; `None` also when it cannot be parsed.
    pub hint: Option<i64>,
    /// The annotation `headroom.dev/swap: never`.
    pub swap_never: bool,
    /// The annotation `headroom.dev/allow-protected-nodes: "true"`.
    pub allow_protected: bool,
    /// Pod-level `spec.resources.requests.memory`.
    pub pod_request: Option<i64>,
    /// Pod-level `spec.resources.limits.memory`.
    pub pod_limit: Option<i64>,
}

/// Priorities from here on are critical (`system-cluster-critical`).
pub const SYSTEM_CRITICAL_PRIORITY: i32 = 2_000_000_000;

impl PodMemory<'_> {
    /// Upstream's `IsCriticalPod`: static, mirror, or of a system priority. Such pods get no swap.
    #[must_use]
    pub const fn critical(&self) -> bool {
        self.static_pod || self.priority >= SYSTEM_CRITICAL_PRIORITY
    }

    /// Exempt from the rules (5.5 rule 1).
    #[must_use]
    pub const fn exempt(&self, params: &Params) -> bool {
        self.daemon_set || (params.exempt_critical_pods && self.critical())
    }

    /// Gets no swap credit whatever the node offers.
    #[must_use]
    pub fn latency_critical(&self, params: &Params) -> bool {
        self.swap_never || params.latency_critical_priority.is_some_and(|least| self.priority >= least)
    }
}

/// Where a demand comes from (`demand.source` of `explain`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DemandSource {
    /// The limit of a Guaranteed pod.
    Limit,
    /// A learned peak.
    Profile,
    /// Request, or request and limit.
    Request,
    /// The annotation.
    Hint,
    /// Nothing known.
    #[default]
    Default,
}

impl DemandSource {
    /// The name in API objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Profile => "profile",
            Self::Request => "request",
            Self::Hint => "hint",
            Self::Default => "default",
        }
    }
}

/// What a pod will take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// `d`.
    pub total: i64,
    /// The part that cannot swap.
    pub fixed: i64,
    /// The part that can, where the node lets it: `total - fixed`.
    pub swappable: i64,
    /// What NodeResourcesFit counts.
    pub request: i64,
    /// `r_q`: what stays reserved for the pod once it has settled: requests of app and restartable-init containers and
    /// the overhead (5.12 (13)).
    pub reserved: i64,
    /// Of the largest container.
    pub source: DemandSource,
    /// When a learned peak ages by its next step, if one counts.
    pub valid_until: Option<Timestamp>,
}

/// Sum over containers that run at the same time.
#[derive(Clone, Copy, Default)]
struct Side {
    total: i64,
    fixed: i64,
    request: i64,
    largest: i64,
    source: DemandSource,
}

impl Side {
    fn of(demand: i64, request: i64, source: DemandSource, eligible: bool) -> Self {
        Self { total: demand, fixed: if eligible { 0 } else { demand }, request, largest: demand, source }
    }

    fn with(self, other: Self) -> Self {
        let (largest, source) = if other.largest > self.largest || self.total == 0 {
            (other.largest, other.source)
        } else {
            (self.largest, self.source)
        };
        Self {
            total: self.total.saturating_add(other.total),
            fixed: self.fixed.saturating_add(other.fixed),
            request: self.request.saturating_add(other.request),
            largest,
            source,
        }
    }
}

/// What one container will take, and why.
fn container(
    qos: Qos,
    container: &ContainerMemory,
    history: Option<&History>,
    default_demand: i64,
    now: Timestamp,
    params: &Params,
) -> (i64, DemandSource) {
    let (request, limit) = (container.request(), container.limit());
    let capped = |bytes: i64| limit.map_or(bytes, |limit| bytes.min(limit));
    let (expected, source) = match (qos, limit, history) {
        (Qos::Guaranteed, Some(limit), _) => (limit, DemandSource::Limit),
        (_, _, Some(history)) => {
            let peak = history.decayed(now, params);
            let margin = rounded(peak as f64 * params.margin_fraction);
            (capped(margin.max(peak.saturating_add(params.margin_min_bytes))), DemandSource::Profile)
        }
        (_, Some(limit), None) if request > 0 => {
            (request.saturating_add(limit.saturating_sub(request).max(0) / 2), DemandSource::Request)
        }
        (_, None, None) if request > 0 => (rounded(request as f64 * 1.2), DemandSource::Request),
        _ => (capped(default_demand.max(0)), DemandSource::Default),
    };
    if request > expected { (request, DemandSource::Request) } else { (expected, source) }
}

/// `d(p)` and its parts.
///
/// `history(i)` is what was learned of `pod.containers[i]`; `default_demand` is `D`
/// ([`Footprints`](super::Footprints)). Pod-level resources, on which the reference is silent: the request is a lower
/// end and the limit an upper end of what the containers take together.
pub fn demand(
    pod: &PodMemory<'_>,
    history: impl Fn(usize) -> Option<History>,
    default_demand: i64,
    now: Timestamp,
    params: &Params,
) -> Demand {
    let (mut running, mut sidecars, mut starting) = (Side::default(), Side::default(), Side::default());
    let mut starting_request = 0;
    let mut valid_until: Option<Timestamp> = None;
    for (index, spec) in pod.containers.iter().enumerate() {
        let learned = history(index).filter(|history| history.usable(params));
        let (bytes, source) = container(pod.qos, spec, learned.as_ref(), default_demand, now, params);
        if let Some(learned) = learned.filter(|_| pod.hint.is_none() && source != DemandSource::Limit) {
            let step = learned.next_step(now);
            valid_until = Some(valid_until.map_or(step, |known| known.min(step)));
        }
        let this = Side::of(bytes, spec.request(), source, swap::eligible(pod, spec));
        match spec.kind {
            ContainerKind::App => running = running.with(this),
            ContainerKind::Sidecar => {
                running = running.with(this);
                sidecars = sidecars.with(this);
            }
            ContainerKind::Init => {
                let phase = sidecars.with(this);
                starting_request = starting_request.max(phase.request);
                if phase.total > starting.total {
                    starting = phase;
                }
            }
        }
    }

    let overhead = pod.overhead.max(0);
    let pod_request = pod.pod_request.map(|bytes| bytes.max(0));
    let requests = pod_request.unwrap_or(running.request);
    let reserved = requests.saturating_add(overhead);
    let request = pod_request.unwrap_or(running.request.max(starting_request)).saturating_add(overhead);

    if let Some(hint) = pod.hint {
        let total = requests.max(hint);
        let fixed = running.fixed.min(total);
        let source = DemandSource::Hint;
        return Demand { total, fixed, swappable: total - fixed, request, reserved, source, valid_until: None };
    }

    let mut side = if starting.total > running.total { starting } else { running };
    let guaranteed = pod.qos == Qos::Guaranteed;
    if let Some(limit) = pod.pod_limit.filter(|&limit| limit > 0 && (guaranteed || side.total > limit)) {
        let source = if guaranteed { DemandSource::Limit } else { side.source };
        // What the limit takes away is the swappable part first: the fixed part has to find RAM.
        side = Side { total: limit, fixed: side.fixed.min(limit), source, ..side };
    }
    if let Some(floor) = pod_request.filter(|&floor| floor > side.total) {
        let grown = floor - side.total;
        side = Side { total: floor, fixed: side.fixed.saturating_add(grown), source: DemandSource::Request, ..side };
    }
    let extra = overhead.saturating_add(pod.memory_volumes.max(0));
    let total = side.total.saturating_add(extra);
    let fixed = if pod.qos == Qos::Burstable { side.fixed.saturating_add(extra).min(total) } else { total };
    Demand { total, fixed, swappable: total - fixed, request, reserved, source: side.source, valid_until }
}

#[cfg(test)]
mod tests {
    use super::{super::MIB, *};

    fn c(kind: ContainerKind, request: i64, limit: i64) -> ContainerMemory {
        let given = |mib: i64| (mib >= 0).then_some(mib * MIB);
        ContainerMemory { kind, request: given(request), limit: given(limit) }
    }

    fn of(pod: &PodMemory<'_>) -> Demand {
        demand(pod, |_| None, 128 * MIB, Timestamp(0), &Params::default())
    }

    #[test]
    fn sidecars_count_with_later_init_containers_and_with_the_apps() {
        use ContainerKind::{App, Init, Sidecar};
        let containers =
            [c(Init, 500, 500), c(Sidecar, 100, 100), c(Init, 450, 450), c(Sidecar, 50, 50), c(App, 200, 200)];
        let pod = PodMemory { containers: &containers, qos: Qos::Burstable, ..PodMemory::default() };
        let got = of(&pod);
        // 450 with the sidecar before it, not 500 alone, nor 350 for what runs in the end.
        assert_eq!((got.total, got.fixed), (550 * MIB, 550 * MIB));
        assert_eq!((got.request, got.reserved), (550 * MIB, 350 * MIB));
    }

    #[test]
    fn overhead_and_memory_volumes_are_ram() {
        let containers = [c(ContainerKind::App, 64, 256)];
        let pod = PodMemory {
            containers: &containers,
            qos: Qos::Burstable,
            overhead: 10 * MIB,
            memory_volumes: 30 * MIB,
            ..PodMemory::default()
        };
        let got = of(&pod);
        assert_eq!((got.total, got.fixed, got.swappable), (200 * MIB, 40 * MIB, 160 * MIB));
        assert_eq!((got.request, got.reserved), (74 * MIB, 74 * MIB));
        // A hint is the whole demand: neither is added.
        let got = of(&PodMemory { hint: Some(300 * MIB), ..pod });
        assert_eq!((got.total, got.fixed, got.source), (300 * MIB, 0, DemandSource::Hint));
        let got = of(&PodMemory { hint: Some(5 * MIB), ..pod });
        assert_eq!(got.total, 64 * MIB);
    }

    #[test]
    fn defaults_of_requests_and_limits() {
        let one = |request, limit| {
            let containers = [c(ContainerKind::App, request, limit)];
            let got = of(&PodMemory { containers: &containers, qos: Qos::Burstable, ..PodMemory::default() });
            (got.total / MIB, got.swappable / MIB, got.source)
        };
        assert_eq!(one(-1, 100), (100, 0, DemandSource::Request));
        assert_eq!(one(0, 100), (100, 0, DemandSource::Default));
        assert_eq!(one(0, 200), (128, 0, DemandSource::Default));
        assert_eq!(one(100, -1), (120, 120, DemandSource::Request));
        assert_eq!(one(100, 0), (120, 120, DemandSource::Request));
        assert_eq!(one(300, 200), (300, 300, DemandSource::Request));
    }

    #[test]
    fn pod_level_resources_bound_the_sum() {
        let containers = [c(ContainerKind::App, -1, -1), c(ContainerKind::App, -1, -1)];
        let pod = PodMemory { containers: &containers, qos: Qos::Burstable, ..PodMemory::default() };
        assert_eq!(of(&pod).total, 256 * MIB);
        let limited = PodMemory { pod_limit: Some(200 * MIB), pod_request: Some(64 * MIB), ..pod };
        let got = of(&limited);
        assert_eq!((got.total, got.fixed, got.request), (200 * MIB, 200 * MIB, 64 * MIB));
        let requested = PodMemory { pod_request: Some(300 * MIB), ..pod };
        assert_eq!((of(&requested).total, of(&requested).source), (300 * MIB, DemandSource::Request));
        let guaranteed =
            PodMemory { qos: Qos::Guaranteed, pod_request: Some(100 * MIB), pod_limit: Some(100 * MIB), ..pod };
        assert_eq!((of(&guaranteed).total, of(&guaranteed).source), (100 * MIB, DemandSource::Limit));
    }

    #[test]
    fn the_largest_container_names_the_source() {
        let containers = [c(ContainerKind::App, 64, 256), c(ContainerKind::App, -1, -1)];
        let pod = PodMemory { containers: &containers, qos: Qos::Burstable, ..PodMemory::default() };
        assert_eq!(of(&pod).source, DemandSource::Request);
        let learned = History { peak: 200 * MIB, samples: 3, ..History::default() };
        let got = demand(&pod, |i| (i == 1).then_some(learned), 128 * MIB, Timestamp(0), &Params::default());
        assert_eq!((got.total, got.source), (390 * MIB, DemandSource::Profile));
        assert_eq!(got.valid_until, Some(Timestamp::from_secs(300)));
        assert_eq!(of(&PodMemory::default()), Demand::default());
    }
}
