//! Which containers may swap, and how much: the kubelet's rule (memory-and-swap.md 1.2, 1.3, 5.0; k/k
//! `ConfigureLimitedSwap`).

use super::demand::{ContainerMemory, PodMemory, Qos};

/// What the kubelet of a node lets pods do with swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SwapBehavior {
    /// Eligible containers get a share of the swap in proportion to their memory request.
    LimitedSwap,
    /// Pods get none.
    NoSwap,
    /// No limit is written (kubelets before 1.28, or with the feature off).
    Unlimited,
    /// Not found out; counted as NoSwap.
    #[default]
    Unknown,
}

impl SwapBehavior {
    /// The value of the annotation `headroom.dev/swap-behavior` and of the NodeHeadroom field; anything else is `None`,
    /// and is then ignored (5.12 (2)).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "LimitedSwap" => Some(Self::LimitedSwap),
            "NoSwap" => Some(Self::NoSwap),
            "Unlimited" => Some(Self::Unlimited),
            "Unknown" => Some(Self::Unknown),
            _ => None,
        }
    }

    /// The kubelet's `memorySwap.swapBehavior`: empty or absent is NoSwap, the removed `UnlimitedSwap` is Unlimited.
    #[must_use]
    pub fn from_configz(text: Option<&str>) -> Self {
        match text.unwrap_or("") {
            "" | "NoSwap" => Self::NoSwap,
            "LimitedSwap" => Self::LimitedSwap,
            "UnlimitedSwap" => Self::Unlimited,
            _ => Self::Unknown,
        }
    }

    /// The name in API objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LimitedSwap => "LimitedSwap",
            Self::NoSwap => "NoSwap",
            Self::Unlimited => "Unlimited",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether some pods can swap.
    #[must_use]
    pub const fn gives_swap(self) -> bool {
        matches!(self, Self::LimitedSwap | Self::Unlimited)
    }
}

/// The swap numbers of one container in a kubelet's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObservedSwap {
    /// `swapAvailableBytes`.
    pub available: Option<u64>,
    /// `swapUsageBytes`.
    pub usage: Option<u64>,
    /// Whether it would get swap under LimitedSwap ([`eligible`]).
    pub eligible: bool,
    /// Age of the container in seconds; unknown is taken as old.
    pub age_seconds: Option<i64>,
}

/// A container's first numbers come from the runtime and say 0/0 whatever it swapped (1.4, measured): below this age in
/// seconds that means "unknown".
pub const YOUNG_SECONDS: i64 = 30;

impl ObservedSwap {
    /// `available + usage`, the container's swap limit; `None` when it is not known, of a young container with 0/0, or
    /// when the numbers exceed the node's swap (underflows of the kubelet).
    #[must_use]
    pub fn limit(&self, swap_capacity: i64) -> Option<i64> {
        let (available, usage) = (used(self.available?, swap_capacity)?, used(self.usage?, swap_capacity)?);
        if available == 0 && usage == 0 && self.age_seconds.is_some_and(|age| age < YOUNG_SECONDS) {
            return None;
        }
        Some(available.saturating_add(usage))
    }
}

/// A reported amount of swap, or `None` when it exceeds the capacity: k/k cAdvisor's `SwapUsage - Usage` can underflow,
/// and a wrong number is worse than none.
#[must_use]
pub fn used(reported: u64, capacity: i64) -> Option<i64> {
    i64::try_from(reported).ok().filter(|&bytes| bytes <= capacity.max(0))
}

/// The behaviour of a node, by the first that is known: override, `/configz`, what containers show (5.0).
///
/// `configz` is `None` when it could not be read, `Some(None)` when it has no `swapBehavior`.
pub fn detect(
    annotation: Option<&str>,
    configz: Option<Option<&str>>,
    swap_capacity: i64,
    containers: impl IntoIterator<Item = ObservedSwap>,
) -> SwapBehavior {
    if let Some(set) = annotation.and_then(SwapBehavior::parse) {
        return set;
    }
    if let Some(text) = configz {
        let read = SwapBehavior::from_configz(text);
        if read != SwapBehavior::Unknown {
            return read;
        }
    }
    let (mut denied, mut unlimited) = (false, false);
    for container in containers {
        match container.limit(swap_capacity) {
            Some(limit) if limit > 0 => return SwapBehavior::LimitedSwap,
            // Only a container that LimitedSwap would serve proves by its zero that the kubelet serves nobody.
            Some(_) => denied |= container.eligible,
            None => {
                unlimited |= container.available.is_none()
                    && container.usage.and_then(|usage| used(usage, swap_capacity)).is_some_and(|usage| usage > 0);
            }
        }
    }
    match (unlimited, denied) {
        (true, _) => SwapBehavior::Unlimited,
        (false, true) => SwapBehavior::NoSwap,
        (false, false) => SwapBehavior::Unknown,
    }
}

/// Whether the kubelet gives this container swap under LimitedSwap (1.3): pod Burstable and not critical, request above
/// 0 and different from the limit.
#[must_use]
pub fn eligible(pod: &PodMemory<'_>, container: &ContainerMemory) -> bool {
    let request = container.request();
    pod.qos == Qos::Burstable && !pod.critical() && request > 0 && Some(request) != container.limit()
}

/// The requests, in bytes, that earn a pod swap: of its eligible app and restartable-init containers (5.12 (6)).
pub fn eligible_requests<'a>(pod: &'a PodMemory<'a>) -> impl Iterator<Item = i64> + 'a {
    pod.containers
        .iter()
        .filter(|container| container.kind != super::ContainerKind::Init && eligible(pod, container))
        .map(ContainerMemory::request)
}

/// The swap limit in bytes of an eligible container with this request: `trunc(request / memory * swap)`, in 64-bit
/// floats as the kubelet computes it, not rounded to pages (5.12 (2)); 0 where the kubelet reports an error.
#[must_use]
pub fn container_limit(request: i64, memory_capacity: i64, swap_capacity: i64) -> i64 {
    if request <= 0 || memory_capacity <= 0 || swap_capacity <= 0 || request > memory_capacity {
        return 0;
    }
    (request as f64 / memory_capacity as f64 * swap_capacity as f64) as i64
}

/// What decides a pod's swap limit on a node; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwapNode {
    /// The kubelet's behaviour.
    pub behavior: SwapBehavior,
    /// RAM of the machine.
    pub memory: i64,
    /// Swap of the machine.
    pub swap: i64,
    /// The part of the swap that may be used at all (`phi * S`): the limit of every pod with an eligible container on
    /// an Unlimited node.
    pub usable_swap: i64,
}

/// `L`: the swap limit in bytes of a pod with these eligible requests on this node.
pub fn pod_limit(requests: impl IntoIterator<Item = i64>, node: &SwapNode) -> i64 {
    let mut requests = requests.into_iter();
    match node.behavior {
        SwapBehavior::LimitedSwap => {
            requests.fold(0, |sum: i64, request| sum.saturating_add(container_limit(request, node.memory, node.swap)))
        }
        SwapBehavior::Unlimited if requests.next().is_some() => node.usable_swap.max(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(available: Option<u64>, usage: Option<u64>, eligible: bool, age: Option<i64>) -> ObservedSwap {
        ObservedSwap { available, usage, eligible, age_seconds: age }
    }

    #[test]
    fn behaviour_is_detected_in_order() {
        let limited = observed(Some(100), Some(28), true, None);
        let denied = observed(Some(0), Some(0), true, Some(300));
        let young = observed(Some(0), Some(0), true, Some(29));
        let outsider = observed(Some(0), Some(0), false, Some(300));
        let free = observed(None, Some(5), false, None);
        let none = || std::iter::empty();
        let detect = |list: &[ObservedSwap]| detect(None, None, 1 << 30, list.iter().copied());
        assert_eq!(super::detect(Some("NoSwap"), Some(Some("LimitedSwap")), 1 << 30, [limited]), SwapBehavior::NoSwap);
        // An override that nobody knows is ignored.
        assert_eq!(super::detect(Some("yes"), Some(Some("LimitedSwap")), 0, none()), SwapBehavior::LimitedSwap);
        // L11
        assert_eq!(super::detect(None, Some(None), 1 << 30, [limited]), SwapBehavior::NoSwap);
        assert_eq!(super::detect(None, Some(Some("")), 1 << 30, none()), SwapBehavior::NoSwap);
        assert_eq!(super::detect(None, Some(Some("FutureSwap")), 1 << 30, [limited]), SwapBehavior::LimitedSwap);
        assert_eq!(detect(&[denied, limited]), SwapBehavior::LimitedSwap);
        assert_eq!(detect(&[outsider, denied]), SwapBehavior::NoSwap);
        assert_eq!(detect(&[outsider]), SwapBehavior::Unknown);
        assert_eq!(detect(&[young]), SwapBehavior::Unknown);
        assert_eq!(detect(&[denied, free]), SwapBehavior::Unlimited);
        assert_eq!(detect(&[]), SwapBehavior::Unknown);
        // An underflow proves nothing.
        assert_eq!(detect(&[observed(Some(u64::MAX - 5), Some(0), true, None)]), SwapBehavior::Unknown);
        assert_eq!(detect(&[observed(None, Some(u64::MAX - 5), true, None)]), SwapBehavior::Unknown);
    }

    #[test]
    fn l13_an_underflow_is_unknown() {
        assert_eq!(used(18_446_743_709_127_774_000, 2 << 30), None);
        assert_eq!(used(2 << 30, 2 << 30), Some(2 << 30));
        assert_eq!(used((2 << 30) + 1, 2 << 30), None);
        assert_eq!(used(1, -1), None);
    }

    #[test]
    fn unlimited_needs_an_eligible_container() {
        let node = SwapNode { behavior: SwapBehavior::Unlimited, memory: 100, swap: 50, usable_swap: 40 };
        assert_eq!(pod_limit([7], &node), 40);
        assert_eq!(pod_limit([], &node), 0);
    }

    #[test]
    fn names_round_trip() {
        for behavior in
            [SwapBehavior::LimitedSwap, SwapBehavior::NoSwap, SwapBehavior::Unlimited, SwapBehavior::Unknown]
        {
            assert_eq!(SwapBehavior::parse(behavior.as_str()), Some(behavior));
        }
    }
}
