//! Upstream's flags and defaults (`cmd/kube-controller-manager/app/options/nodelifecyclecontroller.go`, 1.36), and the
//! profile that changes some of the defaults. A flag that is given wins over the profile's number.

use std::time::Duration;

use clap::Args;
use headroom_runtime::process::{DurationError, GoDuration};

use super::profile::LifecycleProfile;

/// Flags of the node lifecycle controller.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Node lifecycle (node-lifecycle-controller)")]
pub struct NodeLifecycleOptions {
    /// How dead nodes are found and how fast their pods leave: as upstream, faster, or slower [default: stock]
    #[arg(long = "node-lifecycle-profile", value_name = "PROFILE", default_value = "stock", hide_default_value = true)]
    pub profile: LifecycleProfile,

    /// How often node health is looked at [default: 5s; fast: 2s]
    #[arg(long = "node-monitor-period", value_name = "DURATION", value_parser = positive)]
    pub monitor_period: Option<GoDuration>,

    /// How long a running node may be silent before it is marked unhealthy [default: 50s; fast: 24s; patient: 2m]
    #[arg(long = "node-monitor-grace-period", value_name = "DURATION", value_parser = positive)]
    pub monitor_grace_period: Option<GoDuration>,

    /// The same for a node that has never reported its status.
    #[arg(long = "node-startup-grace-period", value_name = "DURATION", default_value = "1m", value_parser = positive)]
    pub startup_grace_period: GoDuration,

    /// Nodes per second whose pods are evicted when a zone is healthy.
    #[arg(long = "node-eviction-rate", value_name = "RATE", default_value_t = 0.1, value_parser = rate)]
    pub eviction_rate: f32,

    /// The same when a large zone is unhealthy.
    #[arg(long = "secondary-node-eviction-rate", value_name = "RATE", default_value_t = 0.01, value_parser = rate)]
    pub secondary_eviction_rate: f32,

    /// Zones up to this many nodes are small: the secondary rate is 0 there.
    #[arg(long = "large-cluster-size-threshold", value_name = "NODES", default_value_t = 50)]
    pub large_cluster_size_threshold: u32,

    /// Fraction of nodes (at least 3) that must be not ready for a zone to be unhealthy.
    #[arg(long = "unhealthy-zone-threshold", value_name = "FRACTION", default_value_t = 0.55, value_parser = fraction)]
    pub unhealthy_zone_threshold: f32,
}

impl Default for NodeLifecycleOptions {
    fn default() -> Self {
        Self {
            profile: LifecycleProfile::Stock,
            monitor_period: None,
            monitor_grace_period: None,
            startup_grace_period: GoDuration(Duration::from_secs(60)),
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            large_cluster_size_threshold: 50,
            unhealthy_zone_threshold: 0.55,
        }
    }
}

impl NodeLifecycleOptions {
    /// `--node-monitor-period`, else the profile's.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.monitor_period.map_or_else(|| self.profile.monitor_period(), |given| given.0)
    }

    /// `--node-monitor-grace-period`, else the profile's.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.monitor_grace_period.map_or_else(|| self.profile.monitor_grace_period(), |given| given.0)
    }
}

fn positive(text: &str) -> Result<GoDuration, String> {
    let parsed: GoDuration = text.parse().map_err(|e: DurationError| e.to_string())?;
    if parsed.0 < Duration::from_millis(100) { Err("must be at least 100ms".into()) } else { Ok(parsed) }
}

fn rate(text: &str) -> Result<f32, String> {
    number(text).filter(|r| *r <= 1000.0).ok_or_else(|| "must be a rate per second between 0 and 1000".into())
}

fn fraction(text: &str) -> Result<f32, String> {
    number(text).filter(|f| *f <= 1.0).ok_or_else(|| "must be between 0 and 1".into())
}

fn number(text: &str) -> Option<f32> {
    text.parse::<f32>().ok().filter(|n| n.is_finite() && *n >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: NodeLifecycleOptions,
    }

    #[test]
    fn defaults_are_upstreams_and_bad_values_are_refused() {
        let parsed = Line::try_parse_from(["x"]).unwrap().options;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", NodeLifecycleOptions::default()));
        for bad in [
            "--node-monitor-period=0s",
            "--node-eviction-rate=-1",
            "--node-eviction-rate=NaN",
            "--unhealthy-zone-threshold=1.5",
            "--large-cluster-size-threshold=-5",
            "--node-lifecycle-profile=slow",
        ] {
            assert!(Line::try_parse_from(["x", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_profile_and_the_profile_over_the_default() {
        let of = |args: &[&str]| {
            let parsed = Line::try_parse_from(["x"].iter().chain(args)).unwrap().options;
            (parsed.period().as_secs(), parsed.grace().as_secs(), parsed.startup_grace_period.0.as_secs())
        };
        for (args, wanted) in [
            (&[][..], (5, 50, 60)),
            (&["--node-lifecycle-profile=stock"], (5, 50, 60)),
            (&["--node-lifecycle-profile=fast"], (2, 24, 60)),
            (&["--node-lifecycle-profile=patient"], (5, 120, 60)),
            (&["--node-lifecycle-profile=fast", "--node-monitor-period=5s"], (5, 24, 60)),
            (&["--node-lifecycle-profile=fast", "--node-monitor-grace-period=50s"], (2, 50, 60)),
            (&["--node-monitor-grace-period=30s", "--node-lifecycle-profile=patient"], (5, 30, 60)),
            (&["--node-monitor-period=1s", "--node-monitor-grace-period=9s"], (1, 9, 60)),
        ] {
            assert_eq!(of(args), wanted, "{args:?}");
        }
    }
}
