//! One container (or everything outside pods) in the memory model.

use super::curve::Curve;
use super::limits::SwapAllowance;
use super::psi::Psi;
use crate::time::Millis;

/// Names a container of a node: the pod's key and the container's index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Owner {
    pub(crate) pod: u64,
    pub(crate) container: u16,
}

/// What is known about a container when it starts.
#[derive(Debug, Clone)]
pub(crate) struct ContainerParams {
    pub(crate) owner: Owner,
    /// Demand since the start of the container.
    pub(crate) curve: Curve,
    /// Share of the memory in use that is touched all the time, 0 to 1.
    pub(crate) hot: f64,
    /// `memory.max`.
    pub(crate) limit: Option<u64>,
    pub(crate) swap: SwapAllowance,
    /// `oom_score_adj`, -1000 to 1000.
    pub(crate) oom_score_adj: i64,
    /// Work after which it is finished, in milliseconds; `None` never ends.
    pub(crate) work: Option<Millis>,
}

/// State of one memory cgroup. Sizes are bytes; fractions of a byte only keep the arithmetic smooth.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    /// `None` for the system.
    pub(super) owner: Option<Owner>,
    pub(super) curve: Curve,
    /// Time zero of the curve.
    pub(super) epoch: Millis,
    pub(super) started: Millis,
    pub(super) hot: f64,
    pub(super) limit: f64,
    pub(super) swap: SwapAllowance,
    pub(super) oom_score_adj: i64,
    /// Anonymous memory that exists: resident and swapped.
    pub(super) used: f64,
    pub(super) swapped_cold: f64,
    pub(super) swapped_hot: f64,
    /// Growth still wanted in this step, and what could not be granted.
    pub(super) growth: f64,
    pub(super) blocked: f64,
    pub(super) stall: f64,
    /// Work done in this step, seconds, and in all.
    pub(super) pace: f64,
    pub(super) worked: f64,
    /// Work after which it is finished, in seconds.
    pub(super) work: f64,
    pub(super) page_faults: f64,
    pub(super) major_faults: f64,
    /// Seconds in a row in which the limit could not be met.
    pub(super) over_limit: u32,
    pub(super) psi: Psi,
}

/// Share of the system's memory that the kernel cannot swap.
const SYSTEM_FIXED: f64 = 0.4;

impl Cgroup {
    pub(super) fn system(curve: Curve, hot: f64, now: Millis) -> Self {
        Self::build(None, curve, hot, f64::INFINITY, SwapAllowance::Unlimited, -999, now)
    }

    pub(super) fn container(params: ContainerParams, now: Millis) -> Self {
        let limit = params.limit.map_or(f64::INFINITY, |bytes| bytes as f64);
        let work = params.work.map_or(f64::INFINITY, |millis| millis as f64 / 1000.0);
        let group =
            Self::build(Some(params.owner), params.curve, params.hot, limit, params.swap, params.oom_score_adj, now);
        Self { work, ..group }
    }

    fn build(
        owner: Option<Owner>,
        curve: Curve,
        hot: f64,
        limit: f64,
        swap: SwapAllowance,
        oom_score_adj: i64,
        now: Millis,
    ) -> Self {
        let hot = if hot.is_finite() { hot.clamp(0.0, 1.0) } else { 1.0 };
        Self {
            owner,
            curve,
            epoch: now,
            started: now,
            hot,
            limit,
            swap,
            oom_score_adj,
            used: 0.0,
            swapped_cold: 0.0,
            swapped_hot: 0.0,
            growth: 0.0,
            blocked: 0.0,
            stall: 0.0,
            pace: 0.0,
            worked: 0.0,
            work: f64::INFINITY,
            page_faults: 0.0,
            major_faults: 0.0,
            over_limit: 0,
            psi: Psi::default(),
        }
    }

    pub(super) fn swapped(&self) -> f64 {
        self.swapped_cold + self.swapped_hot
    }

    pub(super) fn resident(&self) -> f64 {
        (self.used - self.swapped()).max(0.0)
    }

    pub(super) fn hot_resident(&self) -> f64 {
        (self.used * self.hot - self.swapped_hot).max(0.0)
    }

    pub(super) fn cold_resident(&self) -> f64 {
        (self.used * (1.0 - self.hot) - self.swapped_cold).max(0.0)
    }

    /// What is waited for: hot pages in swap, and what a limit or the node could not give.
    pub(super) fn missing(&self) -> f64 {
        self.swapped_hot + self.blocked
    }

    /// Room up to the memory limit.
    pub(super) fn room(&self) -> f64 {
        (self.limit - self.resident()).max(0.0)
    }

    /// Bytes that may still go to swap, as far as this cgroup's own limit says.
    pub(super) fn swap_room(&self) -> f64 {
        let allowed = match (self.owner, self.swap) {
            (None, _) => self.used * (1.0 - SYSTEM_FIXED),
            (Some(_), SwapAllowance::Limited(bytes)) => bytes as f64,
            (Some(_), SwapAllowance::Unlimited) => f64::INFINITY,
        };
        (allowed - self.swapped()).clamp(0.0, self.resident())
    }

    /// Starts a step: follows the curve, frees what is no longer wanted, and notes the growth.
    pub(super) fn begin(&mut self, now: Millis) {
        let target = self.curve.at(now.saturating_sub(self.epoch));
        self.blocked = 0.0;
        self.stall = 0.0;
        self.growth = (target - self.used).max(0.0);
        if target < self.used {
            let keep = if self.used > 0.0 { target / self.used } else { 0.0 };
            self.used = target;
            self.swapped_cold *= keep;
            self.swapped_hot *= keep;
        }
        // The hot share may have been changed from outside.
        let excess = (self.swapped_hot - self.used * self.hot).max(0.0);
        self.swapped_hot -= excess;
        self.swapped_cold = (self.swapped_cold + excess).min(self.used * (1.0 - self.hot));
    }

    /// Sends `bytes` to swap, cold ones first; the caller has checked [`Cgroup::swap_room`].
    pub(super) fn swap_out(&mut self, bytes: f64) {
        let cold = bytes.min(self.cold_resident());
        self.swapped_cold += cold;
        self.swapped_hot += (bytes - cold).min(self.hot_resident());
    }

    /// Grants the growth of this step.
    pub(super) fn grow(&mut self) {
        self.used += self.growth;
        self.page_faults += self.growth / super::limits::PAGE as f64;
        self.growth = 0.0;
    }
}
