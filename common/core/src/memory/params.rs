//! The arguments of the model: `MemoryHeadroomArgs` in bytes and seconds (interfaces.md 2; memory-and-swap.md 7).

use thiserror::Error;

use super::MIB;

/// What the plugin does with a node that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Enforcement {
    /// The node is refused.
    #[default]
    Filter,
    /// The node stays feasible and scores 0: advice only.
    Score,
}

/// All arguments, named as in `MemoryHeadroomArgs`; sizes in bytes, times in seconds, fractions of 1, pressure in
/// percent of time stalled.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// A sample up to this age is fresh, at a poll interval of 15 s; scaled with the interval in force.
    pub fresh_seconds: i64,
    /// A sample up to this age is aging, older ones are stale; scaled as [`Self::fresh_seconds`].
    pub stale_seconds: i64,
    /// Fraction of the capacity by which an aging sample's working set is taken to have grown per minute.
    pub drift_per_minute: f64,
    /// Upper end of the drift, and what is added to the last working set of a stale node.
    pub drift_max: f64,
    /// Fraction of the capacity that is kept free for page cache and kernel.
    pub floor_fraction: f64,
    /// Lower end of that floor.
    pub floor_min_bytes: i64,
    /// Upper end of that floor.
    pub floor_max_bytes: i64,
    /// The floor is at least the kubelet's eviction threshold and this.
    pub floor_over_eviction_bytes: i64,
    /// What a container without requests, limits and history is taken to need while too few were seen.
    pub default_demand_bytes: i64,
    /// Lower end of the learned default.
    pub default_demand_min_bytes: i64,
    /// Upper end of the learned default.
    pub default_demand_max_bytes: i64,
    /// A learned peak is multiplied by this (1.15 = 15 % on top).
    pub margin_fraction: f64,
    /// At least this is added to a learned peak.
    pub margin_min_bytes: i64,
    /// A history counts from this many samples on …
    pub history_samples: u32,
    /// … or when it spans this time.
    pub history_seconds: i64,
    /// A learned peak halves in this time.
    pub half_life_seconds: i64,
    /// A pod is warming up for this long after its start.
    pub warmup_seconds: i64,
    /// A pod that is not Ready yet is warming up for this long.
    pub warmup_unready_seconds: i64,
    /// Fraction of the swap that may be used at all.
    pub phi: f64,
    /// Fraction of the accessible swap that a pod may lean on.
    pub delta_f: f64,
    /// Fraction of the accessible swap that counts in the score.
    pub delta_s: f64,
    /// Fraction of a pod's swappable demand that is hot and must find RAM.
    pub h: f64,
    /// [`Self::delta_f`] where the swap is on a hard disk or a throttled volume.
    pub delta_f_hdd: f64,
    /// [`Self::h`] where the swap is on a hard disk or a throttled volume.
    pub h_hdd: f64,
    /// Points off per percent of stall beyond the first.
    pub pressure_penalty_slope: f64,
    /// Most points off for stall.
    pub pressure_penalty_cap: f64,
    /// Points off for a full swap on a node that stalls.
    pub swap_debt_penalty: f64,
    /// Stall at which a node is hot.
    pub hot_percent: f64,
    /// Stall below which a node cools …
    pub leave_percent: f64,
    /// … when it stays there for this long.
    pub leave_seconds: i64,
    /// Stall of all tasks at which a node thrashes.
    pub thrash_percent: f64,
    /// Pages per second in and out of swap at which a node thrashes.
    pub thrash_pages_per_second: f64,
    /// A node stays in Thrash for this long after it last thrashed.
    pub cool_down_seconds: i64,
    /// After this time with every node hot the calmest one is opened.
    pub escape_seconds: i64,
    /// Largest pod on a protected node, as a fraction of its capacity.
    pub control_plane_pod_fraction: f64,
    /// Most swap in use on a protected node, as a fraction of its swap.
    pub control_plane_swap_fraction: f64,
    /// Stall from which a protected node takes nothing.
    pub control_plane_psi_percent: f64,
    /// Headroom that stays on a protected node …
    pub control_plane_reserve_bytes: i64,
    /// … and the same as a fraction of its capacity; the larger counts.
    pub control_plane_reserve_fraction: f64,
    /// Critical pods are exempt from the rules, as DaemonSet pods are.
    pub exempt_critical_pods: bool,
    /// Pods of at least this priority get no swap credit.
    pub latency_critical_priority: Option<i32>,
    /// Refuse, or advise only.
    pub enforcement: Enforcement,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            fresh_seconds: 45,
            stale_seconds: 180,
            drift_per_minute: 0.05,
            drift_max: 0.15,
            floor_fraction: 0.08,
            floor_min_bytes: 64 * MIB,
            floor_max_bytes: 512 * MIB,
            floor_over_eviction_bytes: 32 * MIB,
            default_demand_bytes: 128 * MIB,
            default_demand_min_bytes: 64 * MIB,
            default_demand_max_bytes: 256 * MIB,
            margin_fraction: 1.15,
            margin_min_bytes: 16 * MIB,
            history_samples: 3,
            history_seconds: 300,
            half_life_seconds: 86_400,
            warmup_seconds: 120,
            warmup_unready_seconds: 300,
            phi: 0.8,
            delta_f: 0.5,
            delta_s: 0.25,
            h: 0.6,
            delta_f_hdd: 0.2,
            h_hdd: 0.85,
            pressure_penalty_slope: 4.0,
            pressure_penalty_cap: 60.0,
            swap_debt_penalty: 10.0,
            hot_percent: 10.0,
            leave_percent: 5.0,
            leave_seconds: 60,
            thrash_percent: 10.0,
            thrash_pages_per_second: 1000.0,
            cool_down_seconds: 120,
            escape_seconds: 300,
            control_plane_pod_fraction: 0.10,
            control_plane_swap_fraction: 0.05,
            control_plane_psi_percent: 1.0,
            control_plane_reserve_bytes: 256 * MIB,
            control_plane_reserve_fraction: 0.25,
            exempt_critical_pods: true,
            latency_critical_priority: None,
            enforcement: Enforcement::Filter,
        }
    }
}

/// Which argument cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{field}: {value} is not allowed: must be {must}")]
pub struct ParamError {
    /// The argument's name in `MemoryHeadroomArgs`.
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it has to be.
    pub must: String,
}

/// Longest time that an argument may name: 30 days.
const LONGEST: i64 = 30 * 86_400;
/// Largest size that an argument may name: 1 PiB.
const LARGEST: i64 = 1 << 50;

fn number(field: &'static str, value: f64, low: f64, high: f64) -> Result<(), ParamError> {
    if value.is_finite() && value >= low && value <= high {
        return Ok(());
    }
    Err(ParamError { field, value: value.to_string(), must: format!("between {low} and {high}") })
}

fn whole(field: &'static str, value: i64, low: i64, high: i64) -> Result<(), ParamError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(ParamError { field, value: value.to_string(), must: format!("between {low} and {high}") })
}

impl Params {
    /// Whether every argument is usable.
    ///
    /// # Errors
    /// [`ParamError`] names the first argument that is not.
    pub fn validate(&self) -> Result<(), ParamError> {
        for (field, value, low) in [
            ("freshSeconds", self.fresh_seconds, 1),
            ("staleSeconds", self.stale_seconds, 1),
            ("historySeconds", self.history_seconds, 0),
            ("halfLifeSeconds", self.half_life_seconds, 60),
            ("warmupSeconds", self.warmup_seconds, 0),
            ("warmupUnreadySeconds", self.warmup_unready_seconds, 0),
            ("leaveSeconds", self.leave_seconds, 0),
            ("coolDownSeconds", self.cool_down_seconds, 0),
            ("escapeSeconds", self.escape_seconds, 0),
        ] {
            whole(field, value, low, LONGEST)?;
        }
        for (field, value) in [
            ("floorMinBytes", self.floor_min_bytes),
            ("floorMaxBytes", self.floor_max_bytes),
            ("floorOverEvictionBytes", self.floor_over_eviction_bytes),
            ("defaultDemandBytes", self.default_demand_bytes),
            ("defaultDemandMinBytes", self.default_demand_min_bytes),
            ("defaultDemandMaxBytes", self.default_demand_max_bytes),
            ("marginMinBytes", self.margin_min_bytes),
            ("controlPlaneReserveBytes", self.control_plane_reserve_bytes),
        ] {
            whole(field, value, 0, LARGEST)?;
        }
        for (field, value, high) in [
            ("driftPerMinute", self.drift_per_minute, 1.0),
            ("driftMax", self.drift_max, 1.0),
            ("floorFraction", self.floor_fraction, 1.0),
            ("phi", self.phi, 1.0),
            ("deltaF", self.delta_f, 1.0),
            ("deltaS", self.delta_s, 1.0),
            ("h", self.h, 1.0),
            ("deltaFHdd", self.delta_f_hdd, 1.0),
            ("hHdd", self.h_hdd, 1.0),
            ("pressurePenaltySlope", self.pressure_penalty_slope, 100.0),
            ("pressurePenaltyCap", self.pressure_penalty_cap, 100.0),
            ("swapDebtPenalty", self.swap_debt_penalty, 100.0),
            ("hotPercent", self.hot_percent, 100.0),
            ("leavePercent", self.leave_percent, 100.0),
            ("thrashPercent", self.thrash_percent, 100.0),
            ("thrashPagesPerSecond", self.thrash_pages_per_second, 1e9),
            ("controlPlanePodFraction", self.control_plane_pod_fraction, 1.0),
            ("controlPlaneSwapFraction", self.control_plane_swap_fraction, 1.0),
            ("controlPlanePsiPercent", self.control_plane_psi_percent, 100.0),
            ("controlPlaneReserveFraction", self.control_plane_reserve_fraction, 1.0),
        ] {
            number(field, value, 0.0, high)?;
        }
        number("marginFraction", self.margin_fraction, 1.0, 10.0)?;
        if self.history_samples == 0 {
            return Err(ParamError { field: "historySamples", value: "0".into(), must: "at least 1".into() });
        }
        self.validate_pairs()
    }

    /// The arguments that bound one another.
    fn validate_pairs(&self) -> Result<(), ParamError> {
        let pairs: [(&'static str, f64, &str, f64); 5] = [
            ("staleSeconds", self.stale_seconds as f64, "freshSeconds", self.fresh_seconds as f64),
            ("floorMaxBytes", self.floor_max_bytes as f64, "floorMinBytes", self.floor_min_bytes as f64),
            (
                "defaultDemandMaxBytes",
                self.default_demand_max_bytes as f64,
                "defaultDemandMinBytes",
                self.default_demand_min_bytes as f64,
            ),
            ("hotPercent", self.hot_percent, "leavePercent", self.leave_percent),
            ("warmupUnreadySeconds", self.warmup_unready_seconds as f64, "warmupSeconds", self.warmup_seconds as f64),
        ];
        for (field, value, other, low) in pairs {
            if value < low {
                return Err(ParamError { field, value: value.to_string(), must: format!("at least {other} ({low})") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Params::default().validate(), Ok(()));
    }

    #[test]
    fn errors_name_the_argument() {
        let field = |change: fn(&mut Params)| {
            let mut params = Params::default();
            change(&mut params);
            params.validate().unwrap_err().field
        };
        assert_eq!(field(|p| p.fresh_seconds = 0), "freshSeconds");
        assert_eq!(field(|p| p.stale_seconds = 44), "staleSeconds");
        assert_eq!(field(|p| p.half_life_seconds = i64::MAX), "halfLifeSeconds");
        assert_eq!(field(|p| p.phi = f64::NAN), "phi");
        assert_eq!(field(|p| p.h = 1.01), "h");
        assert_eq!(field(|p| p.delta_f_hdd = -0.1), "deltaFHdd");
        assert_eq!(field(|p| p.margin_fraction = 0.9), "marginFraction");
        assert_eq!(field(|p| p.history_samples = 0), "historySamples");
        assert_eq!(field(|p| p.floor_min_bytes = -1), "floorMinBytes");
        assert_eq!(field(|p| p.floor_max_bytes = 63 * MIB), "floorMaxBytes");
        assert_eq!(field(|p| p.default_demand_max_bytes = 0), "defaultDemandMaxBytes");
        assert_eq!(field(|p| p.leave_percent = 11.0), "hotPercent");
        assert_eq!(field(|p| p.warmup_unready_seconds = 119), "warmupUnreadySeconds");
        assert_eq!(field(|p| p.thrash_pages_per_second = f64::INFINITY), "thrashPagesPerSecond");
        assert_eq!(field(|p| p.control_plane_reserve_fraction = 2.0), "controlPlaneReserveFraction");
    }

    #[test]
    fn the_message_says_what_to_write() {
        let error = Params { phi: 1.5, ..Params::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "phi: 1.5 is not allowed: must be between 0 and 1");
        let error = Params { stale_seconds: 10, ..Params::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "staleSeconds: 10 is not allowed: must be at least freshSeconds (45)");
    }
}
