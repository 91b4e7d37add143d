//! Who is measured, and how each is started.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use crate::binaries::our_binary;
use crate::control_plane::assets::{Assets, Component};
use crate::control_plane::{ControlPlane, Identity, Release, SchedulerOptions};
use crate::error::HarnessError;
use crate::process::Process;

use super::BenchError;
use super::bare::BareArguments;
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
    /// All, in the order of the runs.
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

/// A contestant whose binary is there.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) contestant: Contestant,
    pub(crate) path: PathBuf,
    /// The Kubernetes that it runs on, and that stock is of.
    pub(crate) release: Release,
    in_flight: usize,
}

impl Program {
    /// Looks for the binary.
    pub(crate) fn find(contestant: Contestant, release: Release, in_flight: usize) -> Result<Self, BenchError> {
        let path = match contestant {
            Contestant::Bare => std::env::current_exe().map_err(HarnessError::io("find", "the running executable"))?,
            Contestant::Stock => Assets::of(release)?.require(Component::Scheduler)?,
            Contestant::Headroom => our_binary("headroom-scheduler")?,
        };
        Ok(Self { contestant, path, release, in_flight })
    }

    /// Starts it on a control plane where the workload waits.
    pub(crate) fn start(&self, cluster: &ControlPlane, workload: Workload) -> Result<Process, BenchError> {
        Ok(match self.contestant {
            Contestant::Bare => {
                let kubeconfig = cluster.kubeconfig(&self.contestant.identity())?;
                let mut command = Command::new(&self.path);
                command.args(BareArguments::flags(&kubeconfig, workload, self.in_flight));
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
                format!("binding POSTs over one HTTP/2 connection, {} in flight, no watch, no events", self.in_flight)
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
