//! Writes the man pages of what is shipped into a folder, from the definitions that `--help` shows: `headroom-man DIR`.
#![allow(clippy::print_stderr, reason = "a tool for people")]

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Command, CommandFactory, Parser};
use clap_mangen::Man;

/// What the pages belong to.
const MANUAL: &str = "Headroom";

/// Writes the man pages of what is shipped.
#[derive(Debug, Parser)]
#[command(name = "headroom-man")]
struct Options {
    /// Folder to write into; made if it is not there
    dir: PathBuf,
}

fn main() -> ExitCode {
    let dir = Options::parse().dir;
    match write(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headroom-man: cannot write into {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

fn write(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    // Daemons are section 8, what people type is section 1.
    page(headroom_scheduler::Options::command(), "8", dir)?;
    page(headroom_controllers::app::Options::command(), "8", dir)?;
    let mut plugin = kubectl_headroom::command().disable_help_subcommand(true);
    plugin.build();
    pages(&plugin, dir)
}

/// A page for the command and one for each of its verbs.
fn pages(command: &Command, dir: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(verb, dir)?;
    }
    page(command.clone(), "1", dir)
}

fn page(command: Command, section: &str, dir: &Path) -> io::Result<()> {
    let man = Man::new(command).section(section).manual(MANUAL);
    let mut text = Vec::new();
    man.render(&mut text)?;
    std::fs::write(dir.join(man.get_filename()), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_and_every_verb_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        for page in [
            "headroom-scheduler.8",
            "headroom-controllers.8",
            "kubectl-headroom.1",
            "kubectl-headroom-top-pods.1",
            "kubectl-headroom-explain-pod.1",
        ] {
            let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
            assert!(text.contains(".TH "), "{page}: {text}");
        }
    }
}
