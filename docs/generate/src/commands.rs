//! Whether what a document tells people to type could work: flags and verbs that exist, values that can be read, targets
//! and files that are there. Nothing is run.

use std::{collections::BTreeSet, path::Path};

use clap::{Args as _, Command, error::ErrorKind};
use headroom_runtime::check::CheckFlags;

use crate::{flags::command_lines, untried::place};

/// How strictly a command is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As it would be typed.
    Whole,
    /// As it is mentioned: arguments may be missing, and values stand for others.
    Mentioned,
}

/// What is wrong with a simple command, if anything: words as the shell hands them over.
///
/// # Errors
/// A sentence for whoever wrote the document.
pub fn check(words: &[String], reading: Reading, root: &Path, makefile: &str) -> Result<(), String> {
    let words = bare(words);
    // Commands are typed in the root of the repository.
    words.iter().try_for_each(|word| place(word, reading, root, Path::new("README.md")))?;
    match words.as_slice() {
        ["kubectl", "headroom", rest @ ..] | ["kubectl-headroom", rest @ ..] => {
            parse("kubectl headroom", rest, reading)
        }
        [program @ ("headroom-scheduler" | "headroom-controllers"), rest @ ..] => parse(program, rest, reading),
        ["make", rest @ ..] => make(rest, makefile),
        _ => Ok(()),
    }
}

/// Every long flag of our programs, under each of its names.
#[must_use]
pub fn flags() -> BTreeSet<String> {
    fn gather(command: &Command, found: &mut BTreeSet<String>) {
        for arg in command.get_arguments() {
            let names = arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten());
            found.extend(names.map(|name| format!("--{name}")));
        }
        for verb in command.get_subcommands() {
            gather(verb, found);
        }
    }
    let mut found = BTreeSet::from(["--help".to_owned()]);
    // `headroom-scheduler check` and `headroom-controllers check` are read apart from the processes' own flags.
    let check = CheckFlags::augment_args(Command::new("check"));
    for command in command_lines().into_iter().map(|(_, command)| command).chain([check]) {
        gather(&command, &mut found);
    }
    found
}

/// The words from the program on, without `sudo` and what is assigned behind it.
pub(crate) fn bare(words: &[String]) -> Vec<&str> {
    let assigned = |word: &str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    words.iter().map(String::as_str).skip_while(|word| *word == "sudo" || assigned(word)).collect()
}

fn parse(program: &str, arguments: &[&str], reading: Reading) -> Result<(), String> {
    let Some((_, command)) = command_lines().into_iter().find(|(name, _)| *name == program) else { return Ok(()) };
    // Read before clap sees it.
    let arguments = arguments.iter().copied().filter(|argument| !argument.starts_with("--version"));
    let parsed = command.args_override_self(true).try_get_matches_from(std::iter::once(program).chain(arguments));
    let Err(error) = parsed else { return Ok(()) };
    let fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::InvalidValue
        | ErrorKind::ValueValidation => reading == Reading::Mentioned,
        _ => false,
    };
    if fine {
        return Ok(());
    }
    let said = error.render().to_string();
    Err(said.lines().next().unwrap_or("it cannot be read").to_owned())
}

fn make(words: &[&str], makefile: &str) -> Result<(), String> {
    for word in words.iter().filter(|word| !word.starts_with(['-', '$'])) {
        let (name, is) = match word.split_once('=') {
            Some((variable, _)) => (variable, makefile.contains(variable)),
            None => {
                (*word, makefile.lines().any(|line| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(':'))))
            }
        };
        if !is {
            return Err(format!("the Makefile has no {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{root, shell};

    fn checked(line: &str, reading: Reading) -> Result<(), String> {
        let makefile = "demo: build ## Show\n\t@demo $(if $(KEEP),--keep)\n";
        let commands = shell::commands(line);
        commands.iter().try_for_each(|words| check(words, reading, &root(), makefile))
    }

    #[test]
    fn what_works_passes() {
        for line in [
            "kubectl headroom top pods -A --sort-by swap",
            "kubectl headroom explain pod web-1 -n shop -o wide | head",
            "headroom-controllers --controllers='*' --kubelet-timeout=5s",
            "headroom-scheduler --mode shadow -v 2",
            "sudo KUBECONFIG=/etc/kubernetes/admin.conf kubectl headroom takeover --host-files",
            "make demo KEEP=1",
            "kubectl get nodes --no-such-flag",
            "helm install headroom charts/headroom",
        ] {
            assert_eq!(checked(line, Reading::Whole), Ok(()), "{line}");
        }
        for line in ["kubectl headroom explain pod", "kubectl headroom explain pod NAME --at TIME", "make"] {
            assert_eq!(checked(line, Reading::Mentioned), Ok(()), "{line}");
        }
    }

    #[test]
    fn what_cannot_work_is_told() {
        for (line, said) in [
            ("kubectl headroom top pods --all", "--all"),
            ("kubectl headroom toop", "toop"),
            ("kubectl headroom explain pod", "required"),
            ("headroom-scheduler --mode third", "third"),
            ("make demmo", "no demmo"),
            ("make demo KEEEP=1", "no KEEEP"),
            ("helm install headroom charts/nowhere", "no charts/nowhere"),
            ("sudo KUBECONFIG=/etc/kubernetes/admin.conf kubectl headroom takeover --files", "--files"),
        ] {
            let error = checked(line, Reading::Whole).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
