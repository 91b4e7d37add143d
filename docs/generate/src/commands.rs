//! Whether what a document tells people to type could work: flags and verbs that exist, values that can be read, targets
//! and files that are there. Nothing is run.

use std::path::Path;

use clap::error::ErrorKind;

use crate::flags::command_lines;

/// Where files of this repository are that commands name.
const OURS: [&str; 3] = ["examples/", "charts/", "docs/"];

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
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| *word == "sudo").collect();
    let missing = words.iter().find(|word| OURS.iter().any(|ours| word.starts_with(ours)) && !root.join(word).exists());
    if let Some(missing) = missing {
        return Err(format!("there is no {missing}"));
    }
    match words.as_slice() {
        ["kubectl", "headroom", rest @ ..] | ["kubectl-headroom", rest @ ..] => {
            parse("kubectl headroom", rest, reading)
        }
        [program @ ("headroom-scheduler" | "headroom-controllers"), rest @ ..] => parse(program, rest, reading),
        ["make", rest @ ..] => make(rest, makefile),
        _ => Ok(()),
    }
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
        ] {
            let error = checked(line, Reading::Whole).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
