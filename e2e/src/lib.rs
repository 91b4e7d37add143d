//! Real control plane for tests: builder, harness, scenarios, demo, benches.
//!
//! ```no_run
//! # async fn example() -> headroom_e2e::Result<()> {
//! use headroom_e2e::{ControlPlane, Identity, RbacSet};
//!
//! let cluster = ControlPlane::builder().audit(true).start().await?;
//! cluster.apply_rbac(RbacSet::Primary).await?;
//! let scheduler = cluster.start_headroom_scheduler(&["--mode=primary"])?;
//! let client = cluster.client(&Identity::HeadroomScheduler).await?;
//! # drop((scheduler, client));
//! # Ok(())
//! # }
//! ```
//!
//! Environment: `KUBEBUILDER_ASSETS`, `TEST_ASSET_*`, `HEADROOM_CACHE` (where the binaries are),
//! `HEADROOM_E2E_PARALLEL` (control planes at once, 2), `HEADROOM_E2E_KEEP` (keep every directory),
//! `HEADROOM_E2E_RECORD` (a file to which each start appends a line), `KUBEBUILDER_CONTROLPLANE_START_TIMEOUT`,
//! `HEADROOM_SCHEDULER_BIN`, `HEADROOM_CONTROLLERS_BIN`, `HOLLOW_BIN`, `BARE_LOOP_BIN` (our own binaries).

pub mod bench;
pub mod bench_budgets;
pub mod bench_collector;
pub mod bench_controllers;
pub mod bench_hostile;
pub mod bench_memory;
pub mod binaries;
pub mod budget;
mod chart;
mod command;
pub mod control_plane;
pub mod demo;
pub mod dump;
mod error;
pub mod helm;
pub mod own_pods;
pub mod process;
pub mod proxy;
pub mod reserve;
pub mod soak;
pub mod upstream;
pub mod wait;

pub use binaries::our_binary;
pub use command::arguments;
pub use control_plane::{ControlPlane, ControlPlaneBuilder, Identity, RbacSet, SchedulerOptions};
pub use error::{HarnessError, Result};
pub use own_pods::OwnPods;
pub use process::{Process, Signal};
pub use reserve::slots;
pub use wait::{Timeout, eventually, wait_for};

/// A line for whoever runs the tests, on standard error.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "e2e: {line}");
}
