//! `--node-lifecycle-profile`: how dead nodes are found and how fast their pods leave (DESIGN.md 12).
//!
//! | | `stock` | `fast` | `patient` |
//! |---|---|---|---|
//! | monitor period, grace | 5 s, 50 s | 2 s, 24 s | 5 s, 120 s |
//! | before a node is declared silent | live read of its Lease | the same, and a dial of its kubelet that fails | live read of its Lease |
//! | the admission default of 300 s | 300 s | capped at 60 s | 300 s |
//! | after a pause of ours or an outage | the clocks go on | they start afresh | they start afresh |
//! | slow is not dead, brake | no | yes | yes |
//! | pods that have ended | deleted like any other | left alone | left alone |
//!
//! There is no upstream counterpart; `stock` is upstream's behaviour. What is different all the same stands in
//! `docs/decisions/0014-what-stays-different-under-stock.md`.

use std::time::Duration;

use clap::ValueEnum;

/// A profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LifecycleProfile {
    /// As upstream: 50 s of silence, then pods leave after their tolerations, all at once
    #[default]
    Stock,
    /// 24 s of silence and a kubelet that cannot be dialled; pods leave after a minute, as fast as the rest can take them
    Fast,
    /// 2 minutes of silence; pods leave after their tolerations, as fast as the rest can take them
    Patient,
}

impl LifecycleProfile {
    /// How often node health is looked at.
    #[must_use]
    pub const fn monitor_period(self) -> Duration {
        match self {
            Self::Fast => Duration::from_secs(2),
            Self::Stock | Self::Patient => Duration::from_secs(5),
        }
    }

    /// How long a running node may be silent.
    #[must_use]
    pub const fn monitor_grace_period(self) -> Duration {
        match self {
            Self::Stock => Duration::from_secs(50),
            Self::Fast => Duration::from_secs(24),
            Self::Patient => Duration::from_secs(120),
        }
    }

    /// Whether a kubelet is dialled before its node is declared silent: with so short a grace its Lease alone says too
    /// little.
    #[must_use]
    pub const fn dials(self) -> bool {
        matches!(self, Self::Fast)
    }

    /// Whether the clocks of all nodes start afresh after a pause of this process or an outage of the API server, when
    /// nobody could be heard.
    #[must_use]
    pub const fn restarts_clocks(self) -> bool {
        !matches!(self, Self::Stock)
    }

    /// Whether tolerations that admission has added are cut short.
    #[must_use]
    pub const fn caps_default_tolerations(self) -> bool {
        matches!(self, Self::Fast)
    }

    /// Whether pods of dead nodes leave only as fast as the rest of the cluster can take them.
    #[must_use]
    pub const fn brakes(self) -> bool {
        !matches!(self, Self::Stock)
    }

    /// Whether a node that thrashes and still answers is given more time.
    #[must_use]
    pub const fn spares_thrashing(self) -> bool {
        !matches!(self, Self::Stock)
    }

    /// Whether pods that have ended stay on nodes that are emptied by a taint: nothing of them runs, and what is left of
    /// them can still be read.
    #[must_use]
    pub const fn spares_ended(self) -> bool {
        !matches!(self, Self::Stock)
    }
}
