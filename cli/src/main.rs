//! `kubectl headroom`: what nodes really have. More verbs (`explain`, `plan`, `doctor` …) are to come.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// `kubectl headroom`.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-headroom",
    bin_name = "kubectl headroom",
    version,
    about = "Memory and swap headroom of a cluster",
    after_help = "Examples:
  kubectl headroom top
  kubectl headroom top worker-1 --context home -o json"
)]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// RAM, headroom, swap and pressure of each node, as last measured
    Top(top::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kubectl headroom: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = match options.verb {
        Verb::Top(options) => runtime.block_on(top::run(&options)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kubectl headroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}
