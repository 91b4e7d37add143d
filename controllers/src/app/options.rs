//! Flags.

use std::path::PathBuf;

use clap::{Args, Parser};
use headroom_runtime::{
    lease::{Durations, LeaderConfig, LeaderConfigError, identity},
    process::{ConnectionFlags, GoDuration, LeaderFlags, LogFlags, ServingFlags, StockFlags},
};

use super::manager_flags::ManagerFlags;
use crate::{
    endpointslice, endpointslice_mirroring::MirroringOptions, node_headroom::NodeHeadroomOptions,
    node_lifecycle::NodeLifecycleOptions, pod_gc::PodGcOptions, selection,
};

/// Port of the stock kube-controller-manager; ours by default too, since ours runs where that one does not serve.
const SECURE_PORT: u16 = 10257;

/// The flags of `headroom-controllers`.
#[derive(Debug, Parser)]
#[command(
    name = "headroom-controllers",
    version,
    about = "Controllers for small Kubernetes clusters: measures what nodes really have, and takes over loops of kube-controller-manager",
    after_help = "Examples:
  headroom-controllers --kubeconfig ~/.kube/config
      measure nodes, learn what workloads need, publish NodeHeadroom and MemoryProfile objects, nothing else
  headroom-controllers --controllers=replicationcontroller-controller,endpoints-controller,endpointslice-controller
      take these loops over; run the stock manager with
      --controllers=*,-replicationcontroller-controller,-endpoints-controller,-endpointslice-controller
  headroom-controllers check --help
      ask from beside it whether such a process does its work"
)]
pub struct Options {
    /// Loops to run, in upstream's syntax: names, -names, and * for all of this binary
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = selection::DEFAULT, allow_hyphen_values = true)]
    pub controllers: Vec<String>,
    /// File with the memory model's arguments: a MemoryHeadroomArgs document, or the scheduler's own configuration (the
    /// first profile with arguments of MemoryHeadroom counts). What is measured, learned and judged here follows them
    #[arg(long, value_name = "FILE")]
    pub(super) memory_config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) node_lifecycle: NodeLifecycleOptions,
    #[command(flatten)]
    pub(super) node_headroom: NodeHeadroomOptions,
    #[command(flatten)]
    pub(super) endpoints: EndpointsOptions,
    #[command(flatten)]
    pub(super) mirroring: MirroringOptions,
    #[command(flatten)]
    pub(super) pod_gc: PodGcOptions,
    #[command(flatten)]
    pub(super) connection: ConnectionFlags,
    #[command(flatten)]
    pub(super) leader: LeaderFlags,
    #[command(flatten)]
    pub(super) serving: ServingFlags,
    #[command(flatten)]
    pub(super) log: LogFlags,
    #[command(flatten)]
    manager: ManagerFlags,
    #[command(flatten)]
    stock: StockFlags,
}

/// Endpoints and EndpointSlices: upstream's flags and defaults.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Endpoints (endpoints-controller, endpointslice-controller)")]
pub(super) struct EndpointsOptions {
    /// How long changes of pods are gathered before Endpoints are written
    #[arg(long = "endpoint-updates-batch-period", value_name = "DURATION", default_value = "0s")]
    pub(super) endpoints_batch_period: GoDuration,
    /// How long changes of pods are gathered before EndpointSlices are written
    #[arg(long = "endpointslice-updates-batch-period", value_name = "DURATION", default_value = "0s")]
    slices_batch_period: GoDuration,
    /// Endpoints in one EndpointSlice at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_endpoints_per_slice: u16,
}

impl EndpointsOptions {
    pub(super) fn slice_config(&self) -> endpointslice::Config {
        endpointslice::Config {
            max_endpoints_per_slice: usize::from(self.max_endpoints_per_slice),
            batch_period: self.slices_batch_period.0,
        }
    }
}

impl Options {
    /// The port to serve on; 0 serves nothing.
    #[must_use]
    pub fn secure_port(&self) -> u16 {
        self.serving.secure_port.unwrap_or(SECURE_PORT)
    }

    /// Lines for the log: which flags of the stock manager were given and are not followed, and why.
    ///
    /// # Errors
    /// A line for a flag that must not be passed over.
    pub fn ignored(&self) -> Result<Vec<String>, String> {
        let mut all = self.manager.ignored();
        all.extend(self.stock.check()?);
        Ok(all)
    }

    /// Leader election: upstream's timing, our own Lease.
    ///
    /// # Errors
    /// When the times do not fit together.
    pub fn leader_config(&self) -> Result<LeaderConfig, LeaderConfigError> {
        let flags = &self.leader;
        if let Some(lock) = flags.leader_elect_resource_lock.as_ref().filter(|lock| *lock != "leases") {
            return Err(LeaderConfigError::Lock(lock.clone()));
        }
        let default = Durations::default();
        let or = |flag: Option<GoDuration>, default| flag.map_or(default, |d| d.0);
        let durations = Durations {
            lease: or(flags.leader_elect_lease_duration, default.lease),
            renew_deadline: or(flags.leader_elect_renew_deadline, default.renew_deadline),
            retry_period: or(flags.leader_elect_retry_period, default.retry_period),
        };
        durations.validate()?;
        Ok(LeaderConfig {
            enabled: flags.leader_elect.unwrap_or(true),
            namespace: flags.leader_elect_resource_namespace.clone().unwrap_or_else(|| "kube-system".to_owned()),
            name: flags.leader_elect_resource_name.clone().unwrap_or_else(|| "headroom-controllers".to_owned()),
            identity: identity(),
            durations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_runtime::process::parse_or_explain;

    fn parse(args: &[&str]) -> Options {
        parse_or_explain(std::iter::once("headroom-controllers").chain(args.iter().copied())).unwrap()
    }

    #[test]
    fn defaults_run_only_our_own_loops() {
        let o = parse(&[]);
        assert_eq!(selection::select(&o.controllers), Ok(vec![selection::NODE_HEADROOM, selection::MEMORY_PROFILE]));
        assert_eq!(o.secure_port(), 10257);
        let leader = o.leader_config().unwrap();
        assert_eq!(
            (leader.enabled, leader.name.as_str(), leader.namespace.as_str()),
            (true, "headroom-controllers", "kube-system")
        );
    }

    #[test]
    fn the_memory_model_and_how_long_kubelets_may_take() {
        let o = parse(&[]);
        assert_eq!((o.memory_config, o.node_headroom.timeout.0.as_secs()), (None, 3));
        let o = parse(&["--memory-config=/etc/headroom/scheduler.yaml", "--kubelet-timeout=10s"]);
        assert_eq!(o.memory_config, Some(PathBuf::from("/etc/headroom/scheduler.yaml")));
        assert_eq!(o.node_headroom.timeout.0.as_secs(), 10);
        let refused = parse_or_explain::<Options>(["headroom-controllers", "--kubelet-timeout=1m"]).unwrap_err();
        assert!(refused.unwrap_err().contains("between 1s and 30s"));
    }

    #[test]
    fn lists_with_leading_minus() {
        let o = parse(&["--controllers=-endpoints-controller,*"]);
        assert_eq!(selection::select(&o.controllers).map(|l| l.len()), Ok(selection::KNOWN.len() - 1));
        let o = parse(&["--controllers=*", "--leader-elect=false", "--leader-elect-lease-duration=5s"]);
        assert!(o.leader_config().is_err_and(|e| e.to_string().contains("leaseDuration")));
    }
}
