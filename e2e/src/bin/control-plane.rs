//! `control-plane`: builds the real control plane that the end-to-end tests, the demo and the benches run on.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use headroom_e2e::control_plane::assets::{Assets, Component};
use headroom_e2e::control_plane::{Release, build};

/// Builds etcd, kube-apiserver, kubectl, kube-scheduler and kube-controller-manager from their Go modules.
///
/// The binaries go to $HEADROOM_CACHE/control-plane/<versions> (default: ~/.cache/headroom), are built once, and are
/// found there by the tests, the demo and the benches. With KUBEBUILDER_ASSETS set, etcd, kube-apiserver and kubectl
/// are taken from that directory instead, and only a stock scheduler and controller manager that are not there are
/// built. Another version of Kubernetes than the usual one has a directory of its own, and never comes from there.
#[derive(Debug, Parser)]
#[command(name = "control-plane", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Build what is missing (the default).
    Build {
        /// Version of Kubernetes
        #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
        kubernetes: Release,
    },
    /// Build e2e.test, Kubernetes' own end-to-end specs, if it is missing.
    BuildE2eTest,
    /// Build Helm, which the chart's scenarios install with, if it is missing.
    BuildHelm,
    /// Print the directory that holds the binaries; exit status 1 when some are missing.
    Path {
        /// Version of Kubernetes
        #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
        kubernetes: Release,
    },
}

const EXAMPLES: &str = "Examples:
  control-plane                     build what is missing
  control-plane path                print the directory
  control-plane build --kubernetes 1.37.2
                                    the same of a version to measure beside
  export KUBEBUILDER_ASSETS=$(control-plane path)
  HEADROOM_CACHE=/var/tmp/headroom control-plane build

Needs Go on the PATH; modules come from GOPROXY. Safe to interrupt and to run twice at once.";

fn main() -> ExitCode {
    let verb = Arguments::parse().verb.unwrap_or(Verb::Build { kubernetes: Release::default() });
    match run(verb) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "control-plane: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode, build::BuildError> {
    match verb {
        Verb::Build { kubernetes } => {
            build::build(&Assets::of(kubernetes)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::BuildE2eTest => {
            build::build_e2e_test(&Assets::from_env()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::BuildHelm => {
            build::build_helm(&Assets::from_env()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Path { kubernetes } => {
            let assets = Assets::of(kubernetes)?;
            let _ = writeln!(std::io::stdout(), "{}", assets.directory().display());
            let missing = assets.missing(&Component::ALL);
            if missing.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            let names: Vec<_> = missing.iter().map(|component| component.binary()).collect();
            let _ =
                writeln!(std::io::stderr(), "control-plane: not there yet: {}: {}", names.join(", "), assets.remedy());
            Ok(ExitCode::FAILURE)
        }
    }
}
