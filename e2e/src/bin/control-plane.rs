//! `control-plane`: builds the real control plane that the end-to-end tests, the demo and the benches run on.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use headroom_e2e::control_plane::assets::{Assets, Component};
use headroom_e2e::control_plane::build;

/// Builds etcd, kube-apiserver, kubectl, kube-scheduler and kube-controller-manager from their Go modules.
///
/// The binaries go to $HEADROOM_CACHE/control-plane/<versions> (default: ~/.cache/headroom), are built once, and are
/// found there by the tests, the demo and the benches. With KUBEBUILDER_ASSETS set, etcd, kube-apiserver and kubectl
/// are taken from that directory instead, and only a stock scheduler and controller manager that are not there are
/// built.
#[derive(Debug, Parser)]
#[command(name = "control-plane", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Build what is missing (the default).
    Build,
    /// Build e2e.test, Kubernetes' own end-to-end specs, if it is missing.
    BuildE2eTest,
    /// Build Helm, which the chart's scenarios install with, if it is missing.
    BuildHelm,
    /// Print the directory that holds the binaries; exit status 1 when some are missing.
    Path,
}

const EXAMPLES: &str = "Examples:
  control-plane                     build what is missing
  control-plane path                print the directory
  export KUBEBUILDER_ASSETS=$(control-plane path)
  HEADROOM_CACHE=/var/tmp/headroom control-plane build

Needs Go on the PATH; modules come from GOPROXY. Safe to interrupt and to run twice at once.";

fn main() -> ExitCode {
    let verb = Arguments::parse().verb.unwrap_or(Verb::Build);
    match run(verb) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "control-plane: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode, build::BuildError> {
    let assets = Assets::from_env()?;
    match verb {
        Verb::Build => {
            build::build(&assets)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::BuildE2eTest => {
            build::build_e2e_test(&assets)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::BuildHelm => {
            build::build_helm(&assets)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Path => {
            let _ = writeln!(std::io::stdout(), "{}", assets.directory().display());
            let missing = assets.missing(&Component::ALL);
            if missing.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            let names: Vec<_> = missing.iter().map(|component| component.binary()).collect();
            let _ = writeln!(
                std::io::stderr(),
                "control-plane: not there yet: {}: run `make control-plane`",
                names.join(", ")
            );
            Ok(ExitCode::FAILURE)
        }
    }
}
