//! Who is measured, and how each is started.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use crate::binaries::our_binary;
use crate::control_plane::assets::{Assets, Component};
use crate::control_plane::{ControlPlane, Identity, Release, SchedulerOptions};
use crate::process::Process;

use super::BenchError;
use super::workload::Workload;

/// How ours is started. Like the stock scheduler it takes no lease first, so that nobody's start waits.
const HEADROOM_FLAGS: [&str; 2] = ["--mode=primary", "--leader-elect=false"];

/// Who is measured.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// A loop of binding POSTs: the limit of the API server.
    Bare,
    /// kube-scheduler.
    Stock,
    /// headroom-scheduler.
    Headroom,
}

impl Contestant {
    /// All, in the order of the first round.
    pub const ALL: [Self; 3] = [Self::Bare, Self::Stock, Self::Headroom];

    /// Whether it has an idle state worth measuring.
    pub(crate) fn idles(self) -> bool {
        self != Self::Bare
    }

    /// Whom the API server sees.
    pub(crate) fn identity(self) -> Identity {
        match self {
            Self::Bare | Self::Stock => Identity::Scheduler,
            Self::Headroom => Identity::HeadroomScheduler,
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Stock => "stock",
            Self::Headroom => "headroom",
        })
    }
}

/// How the bare loop binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bare {
    /// Connections, in turn.
    pub connections: u16,
    /// POSTs at once, over all of them.
    pub in_flight: u16,
}

impl Bare {
    /// What ours may have in flight, on the connections that it has for that.
    pub const AS_OURS: Self = Self { connections: 3, in_flight: 300 };

    /// Its command line for a workload, without the kubeconfig.
    fn flags(self, workload: Workload) -> [String; 4] {
        let Self { connections, in_flight } = self;
        let Workload { nodes, pods } = workload;
        [
            format!("--nodes={nodes}"),
            format!("--pods={pods}"),
            format!("--connections={connections}"),
            format!("--in-flight={in_flight}"),
        ]
    }
}

/// A contestant whose binary is there.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) contestant: Contestant,
    pub(crate) path: PathBuf,
    /// The Kubernetes that it runs on, and that stock is of.
    pub(crate) release: Release,
    bare: Bare,
}

impl Program {
    /// Looks for the binary.
    pub(crate) fn find(contestant: Contestant, release: Release, bare: Bare) -> Result<Self, BenchError> {
        let path = match contestant {
            Contestant::Bare => our_binary("bare-loop")?,
            Contestant::Stock => Assets::of(release)?.require(Component::Scheduler)?,
            Contestant::Headroom => our_binary("headroom-scheduler")?,
        };
        Ok(Self { contestant, path, release, bare })
    }

    /// Starts it on a control plane where the workload waits.
    pub(crate) fn start(&self, cluster: &ControlPlane, workload: Workload) -> Result<Process, BenchError> {
        Ok(match self.contestant {
            Contestant::Bare => {
                let kubeconfig = cluster.kubeconfig(&self.contestant.identity())?;
                let mut command = Command::new(&self.path);
                command.arg("--kubeconfig").arg(kubeconfig).args(self.bare.flags(workload));
                cluster.start_process("bare", command)?
            }
            Contestant::Stock => cluster.start_stock_scheduler(&SchedulerOptions::unlimited())?,
            Contestant::Headroom => cluster.start_headroom_scheduler(&HEADROOM_FLAGS)?,
        })
    }

    /// How it is configured, for the page.
    pub(crate) fn configuration(&self) -> String {
        match self.contestant {
            Contestant::Bare => {
                let Bare { connections, in_flight } = self.bare;
                format!(
                    "binding POSTs in turn over HTTP/2 connections, {connections} of them, {in_flight} in flight in all; \
                     answers in protobuf, fieldValidation=Ignore; no watch, no events"
                )
            }
            Contestant::Stock => {
                let options = SchedulerOptions::unlimited();
                format!(
                    "default profile; clientConnection qps {} and burst {} instead of 50 and 100; leaderElect {}; \
                     else upstream's defaults (percentageOfNodesToScore adaptive, parallelism 16)",
                    options.qps, options.burst, options.leader_elect
                )
            }
            Contestant::Headroom => {
                format!(
                    "{}; default profile with MemoryHeadroom, no NodeHeadroom objects; every node considered",
                    HEADROOM_FLAGS.join(" ")
                )
            }
        }
    }

    /// What it calls its version, one line.
    pub(crate) fn version(&self) -> Option<String> {
        match self.contestant {
            Contestant::Bare => None,
            Contestant::Stock | Contestant::Headroom => super::machine::first_line(&self.path, "--version"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_runtime::dispatcher::MAX_WRITES;

    #[test]
    fn the_bare_loop_may_have_in_flight_what_ours_may() {
        let Bare { connections, in_flight } = Bare::AS_OURS;
        assert_eq!(usize::from(in_flight), MAX_WRITES);
        // What an API server takes of one connection at once.
        assert_eq!(in_flight.div_ceil(100), connections);
        let flags = Bare { connections: 2, in_flight: 7 }.flags(Workload::SMALL);
        assert_eq!(flags, ["--nodes=100", "--pods=5000", "--connections=2", "--in-flight=7"]);
    }
}
