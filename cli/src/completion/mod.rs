//! `kubectl headroom completion SHELL`, and what kubectl asks while somebody types.
//!
//! Two ways lead here. A shell that completes `kubectl-headroom` itself gets a script that is made of the flags.
//! `kubectl headroom …` is completed by kubectl, which looks for a program `kubectl_complete-headroom` on the PATH and
//! gives it the words: that program calls [`answer`], which knows the names in the cluster as well. The answer has cobra's
//! form, as all of kubectl's completion: a candidate, a tab and a description per line, then a colon and directives.

mod names;
#[cfg(test)]
mod tests;

use std::{
    ffi::{OsStr, OsString},
    io::Write,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, Command, ValueEnum};
use clap_complete::{
    aot,
    engine::{self, ArgValueCandidates, CompletionCandidate},
};

use self::names::{Names, Typed};

/// The first word of a question, as with programs made with cobra.
pub(crate) const QUESTION: &str = "__complete";
/// Cobra's ShellCompDirectiveNoSpace: the word is not at its end.
const NO_SPACE: u8 = 2;
/// Cobra's ShellCompDirectiveNoFileComp: names of files are among the candidates where they fit.
const NO_FILES: u8 = 4;
/// The program's name, without kubectl.
const PROGRAM: &str = "kubectl-headroom";
/// The program that kubectl looks for.
const FOR_KUBECTL: &str = include_str!("kubectl_complete-headroom");

/// Flags of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom completion kubectl > ~/bin/kubectl_complete-headroom
  chmod +x ~/bin/kubectl_complete-headroom
      kubectl headroom … in every shell that has kubectl's own completion
  source <(kubectl headroom completion bash)
      kubectl-headroom … in this shell
  kubectl headroom completion fish > ~/.config/fish/completions/kubectl-headroom.fish")]
pub(crate) struct Options {
    /// For whom
    #[arg(value_enum)]
    shell: Shell,
}

/// Who completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    /// kubectl itself: a program for the PATH, named kubectl_complete-headroom
    Kubectl,
}

pub(crate) fn run(options: &Options, command: Command) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(&script(options.shell, command)).context("cannot write")?;
    Ok(ExitCode::SUCCESS)
}

/// What is installed.
fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut text = Vec::new();
    match shell {
        Shell::Bash => aot::generate(aot::Bash, &mut command, PROGRAM, &mut text),
        Shell::Zsh => aot::generate(aot::Zsh, &mut command, PROGRAM, &mut text),
        Shell::Fish => aot::generate(aot::Fish, &mut command, PROGRAM, &mut text),
        Shell::Kubectl => text.extend_from_slice(FOR_KUBECTL.as_bytes()),
    }
    text
}

/// What may stand in place of the last of these words, which follow `kubectl headroom`.
pub(crate) fn answer(command: Command, words: &[OsString]) -> String {
    let typed = Arc::new(Typed::read(words));
    let mut command = informed(command, &typed);
    let (current, before) = match words.split_last() {
        Some((current, before)) => (current.clone(), before),
        None => (OsString::new(), words),
    };
    let mut args = vec![OsString::from(PROGRAM)];
    args.extend_from_slice(before);
    args.push(current.clone());
    let last = args.len() - 1;
    let here = std::env::current_dir().ok();
    // Words that are no command line have no continuation.
    let found = engine::complete(&mut command, args, last, here.as_deref()).unwrap_or_default();
    lines(&found, &current)
}

/// The command, with arguments that know what there is in the cluster.
fn informed(command: Command, typed: &Arc<Typed>) -> Command {
    let verb = command.get_name().to_owned();
    let command = command.mut_args(|arg| match Names::of(&verb, arg.get_id().as_str()) {
        Some(names) => {
            let typed = Arc::clone(typed);
            arg.add(ArgValueCandidates::new(move || names.candidates(&typed)))
        }
        None => arg,
    });
    command.mut_subcommands(|command| informed(command, typed))
}

/// The answer as kubectl reads it.
fn lines(found: &[CompletionCandidate], current: &OsStr) -> String {
    let is_flag = |candidate: &CompletionCandidate| candidate.get_value().to_string_lossy().starts_with('-');
    // As with kubectl, flags come when a dash was typed, or when there is nothing else.
    let no_flags = current.is_empty() && !found.iter().all(is_flag);
    let mut text = String::new();
    let mut directives = NO_FILES;
    for candidate in found.iter().filter(|&candidate| !(no_flags && is_flag(candidate))) {
        let value = candidate.get_value().to_string_lossy();
        if value.contains(char::is_control) {
            continue;
        }
        if value.ends_with('/') {
            directives |= NO_SPACE;
        }
        text.push_str(&value);
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(line) = help.lines().next() {
            text.push('\t');
            text.push_str(line.trim());
        }
        text.push('\n');
    }
    text.push_str(&format!(":{directives}\n"));
    text
}
