//! `kubectl headroom`: what nodes really have, why a pod goes where it goes, what fits and what it costs, and what is
//! wrong with a cluster.
//!
//! A library, so that tests ask exactly what the command asks ([`snapshot`]), and so that a scheduler with plugins of
//! one's own can bring its own `explain`: call [`run`] with its registry.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

#[macro_use]
mod output;

mod cluster;
mod completion;
mod distribution;
mod doctor;
mod explain;
mod file;
mod fixes;
mod handback;
mod plan;
mod reach;
mod redact;
mod rightsize;
mod rollout;
mod save;
pub mod snapshot;
mod status;
mod takeover;
#[cfg(test)]
mod testkit;
mod top;
mod trace;
mod version;
mod view;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use headroom_engine::Registry;
use headroom_runtime::process::parse_or_explain;

use self::cluster::Connection;

/// Exit status when the answer is no.
pub const NO: u8 = 2;
/// Exit status when nobody reads the output any more: what a shell shows of a process that SIGPIPE has ended.
pub const READER_GONE: u8 = 141;
/// Exit status when the named object does not exist.
pub const NO_SUCH_OBJECT: u8 = 3;

/// `kubectl headroom`.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-headroom",
    bin_name = "kubectl headroom",
    version,
    about = "Memory and swap headroom of a cluster",
    after_help = "Examples:
  kubectl headroom top
  kubectl headroom top pods -A --sort-by swap
  kubectl headroom explain pod web-1 -n shop -o wide
  kubectl headroom plan --cheapest --catalog digitalocean
  kubectl headroom doctor
  kubectl headroom trace rc/web
  kubectl headroom rightsize -n shop
  kubectl headroom snapshot > cluster.json
  kubectl headroom explain pod web-1 --snapshot cluster.json --config scheduler.yaml -o json

Exit status: 0 yes or done, 1 the tool failed, 2 the answer is no, 3 there is no such object"
)]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What nodes and pods really use: RAM, headroom, swap, system overhead, pressure
    Top(top::Options),
    /// Where a pod would go, and what every plugin says of every node
    Explain(explain::Options),
    /// What fits, what can go, and the cheapest machines for it
    Plan(plan::Options),
    /// What is wrong with the cluster, why that matters, and what to do about it
    Doctor(doctor::Options),
    /// How an owner became pods, where they went, when they served, and what still waits
    Trace(trace::Options),
    /// Memory requests and limits by what was seen, and the patches that set them
    Rightsize(rightsize::Options),
    /// Who schedules, and who runs each loop: Headroom or stock, with what shows it
    Status(status::Options),
    /// Give work of stock components to Headroom, each step proven before the next
    Takeover(takeover::Options),
    /// Give it back
    Handback(handback::Options),
    /// Save what the other verbs read, without secrets, as a file for --snapshot
    Snapshot(save::Options),
    /// The version of this tool, and that of the API server
    Version(version::Options),
    /// Completion for bash, zsh and fish, and for kubectl itself
    Completion(completion::Options),
}

impl Verb {
    /// Where it looks; none where it asks no API server.
    fn connection(&self) -> Option<&Connection> {
        Some(match self {
            Self::Top(options) => options.connection(),
            Self::Explain(options) => options.connection(),
            Self::Plan(options) => options.connection(),
            Self::Doctor(options) => options.connection(),
            Self::Trace(options) => options.connection(),
            Self::Rightsize(options) => options.connection(),
            Self::Status(options) => options.connection(),
            Self::Takeover(options) => options.connection(),
            Self::Handback(options) => options.connection(),
            Self::Snapshot(options) => options.connection(),
            Self::Version(options) => options.connection(),
            Self::Completion(_) => return None,
        })
    }
}

/// The command line, for the reference and whatever else is made from it.
#[must_use]
pub fn command() -> clap::Command {
    Options::command()
}

/// The flags of kube-controller-manager that a takeover of a loop knows: the loop, the flag without its dashes, and whether
/// headroom-controllers follow it. For a test beside their command line, which this crate does not see.
pub fn tuned_flags() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    takeover::tuned::known()
}

/// Runs the command with the plugins of a registry.
pub fn run(registry: fn() -> Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Not a verb: kubectl asks this while somebody types.
    if let [_, first, words @ ..] = args.as_slice()
        && first == completion::QUESTION
    {
        print!("{}", completion::answer(command(), words));
        return ExitCode::SUCCESS;
    }
    let options: Options = match parse_or_explain(args) {
        Ok(options) => options,
        Err(Ok(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Err(line)) => return fail(&line),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let verb = &options.verb;
    let result = match verb {
        Verb::Top(options) => runtime.block_on(top::run(options)),
        Verb::Explain(options) => runtime.block_on(explain::run(options, registry())),
        Verb::Plan(options) => runtime.block_on(plan::run(options, registry)),
        Verb::Doctor(options) => runtime.block_on(doctor::run(options)),
        Verb::Trace(options) => runtime.block_on(trace::run(options, registry)),
        Verb::Rightsize(options) => runtime.block_on(rightsize::run(options)),
        Verb::Status(options) => runtime.block_on(status::run(options)),
        Verb::Takeover(options) => runtime.block_on(takeover::run(options, registry())),
        Verb::Handback(options) => runtime.block_on(handback::run(options)),
        Verb::Snapshot(options) => runtime.block_on(save::run(options)),
        Verb::Version(options) => runtime.block_on(version::run(options)),
        Verb::Completion(options) => completion::run(options, command()),
    };
    result.unwrap_or_else(|error| fail(&reach::line(&error, verb.connection().and_then(Connection::server))))
}

fn fail(line: &str) -> ExitCode {
    // Causes quote the cluster, and webhooks of others.
    eprintln!("kubectl headroom: {}", doctor::text::clean(line));
    ExitCode::FAILURE
}
