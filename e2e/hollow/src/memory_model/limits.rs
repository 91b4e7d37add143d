//! How much swap a container may use: the kubelet's LimitedSwap (reference memory-and-swap.md 1.2 and 1.3).

use serde::{Deserialize, Serialize};

/// Page size; the kernel rounds `memory.swap.max` down to whole pages.
pub(crate) const PAGE: u64 = 4096;

/// The kubelet's `memorySwap.swapBehavior`, with the legacy kubelets' third mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwapBehavior {
    /// Containers cannot swap; everything outside pods still can.
    NoSwap,
    /// Eligible containers get a share of the swap that is proportional to their memory request.
    LimitedSwap,
    /// No limit is written (kubelets before 1.28/1.30): every container may use all of the swap.
    Unlimited,
}

/// Quality of service class of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Qos {
    /// Requests equal limits everywhere.
    Guaranteed,
    /// Some request or limit.
    Burstable,
    /// Neither requests nor limits.
    BestEffort,
}

/// `memory.swap.max` of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SwapAllowance {
    /// At most this many bytes.
    Limited(u64),
    /// `max`.
    Unlimited,
}

/// What the rule looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwapSubject {
    pub(crate) qos: Qos,
    /// Static, mirror, or priority of at least 2,000,000,000.
    pub(crate) critical: bool,
    /// Memory request in bytes; 0 means none.
    pub(crate) request: u64,
    /// Memory limit in bytes.
    pub(crate) limit: Option<u64>,
}

/// The `memory.swap.max` that a kubelet sets, on a node with `ram` and `swap` bytes.
///
/// trunc(request / ram * swap) in double precision, divided first as upstream does, then rounded down to pages as the
/// kernel does. 0 for whoever is not eligible, and where the formula fails (request larger than the node).
pub(crate) fn swap_allowance(behavior: SwapBehavior, ram: u64, swap: u64, c: SwapSubject) -> SwapAllowance {
    match behavior {
        SwapBehavior::Unlimited => SwapAllowance::Unlimited,
        SwapBehavior::NoSwap => SwapAllowance::Limited(0),
        SwapBehavior::LimitedSwap => {
            let eligible = c.qos == Qos::Burstable && !c.critical && c.request > 0 && c.limit != Some(c.request);
            if !eligible || ram == 0 || c.request > ram {
                return SwapAllowance::Limited(0);
            }
            let bytes = (c.request as f64 / ram as f64 * swap as f64) as u64;
            SwapAllowance::Limited(bytes / PAGE * PAGE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    fn burstable(request: u64, limit: Option<u64>) -> SwapSubject {
        SwapSubject { qos: Qos::Burstable, critical: false, request, limit }
    }

    fn limited(ram: u64, swap: u64, c: SwapSubject) -> u64 {
        match swap_allowance(SwapBehavior::LimitedSwap, ram, swap, c) {
            SwapAllowance::Limited(bytes) => bytes,
            SwapAllowance::Unlimited => panic!("limited"),
        }
    }

    #[test]
    fn follows_the_examples() {
        let on = |c| limited(1024 * MI, 2048 * MI, c);
        assert_eq!(on(burstable(64 * MI, Some(256 * MI))), 128 * MI);
        assert_eq!(on(burstable(256 * MI, Some(768 * MI))), 512 * MI);
        assert_eq!(on(burstable(64 * MI, None)), 128 * MI);
        assert_eq!(on(burstable(128 * MI, Some(128 * MI))), 0);
        assert_eq!(on(burstable(2000 * MI, Some(3000 * MI))), 0);
        assert_eq!(on(burstable(0, Some(64 * MI))), 0);
        assert_eq!(on(SwapSubject { critical: true, ..burstable(64 * MI, None) }), 0);
        for qos in [Qos::Guaranteed, Qos::BestEffort] {
            assert_eq!(on(SwapSubject { qos, ..burstable(64 * MI, None) }), 0);
        }
    }

    #[test]
    fn truncates_and_rounds_down_to_pages() {
        assert_eq!(limited(1_035_468_800, 2_147_479_453, burstable(104_857_600, None)), 217_466_273 / PAGE * PAGE);
        // Measured on a real kubelet.
        assert_eq!(limited(1_047_502_848, 2_147_479_552, burstable(64 * MI, None)), 137_576_448);
    }

    #[test]
    fn other_behaviours() {
        let c = burstable(64 * MI, None);
        assert_eq!(swap_allowance(SwapBehavior::NoSwap, MI, MI, c), SwapAllowance::Limited(0));
        assert_eq!(swap_allowance(SwapBehavior::Unlimited, MI, MI, c), SwapAllowance::Unlimited);
    }
}
