//! `exit-codes.md`: from the constants, and from what the commands say of themselves.

use std::fmt::Write as _;

use clap::Command;

use crate::markdown::{Table, code, text};

/// How a command's own line about its statuses begins.
const LINE: &str = "Exit status: ";

pub(crate) fn page() -> String {
    let mut out = "# Exit statuses\n\n## headroom-scheduler and headroom-controllers\n\n".to_owned();
    let mut table = Table::new(&["status", "when"]);
    table.row(&[
        "0".to_owned(),
        "SIGTERM or SIGINT: writes under way were finished and the lease was let go. And `--help`, `--version`, \
         `--write-config-to`"
            .to_owned(),
    ]);
    table.row(&[
        "1".to_owned(),
        "a flag or a field is wrong, something needed to start is missing, or the lease was lost; the last line on stderr \
         says what, where and what to do"
            .to_owned(),
    ]);
    let _ = write!(out, "{}\n`headroom-scheduler check` and `headroom-controllers check`:\n\n", table.finish());
    let mut table = Table::new(&["status", "when"]);
    for (status, when) in [
        ("0", "everything that was asked for holds"),
        ("1", "it could not be found out"),
        ("2", "something does not hold"),
    ] {
        table.row(&[status.to_owned(), when.to_owned()]);
    }
    let _ = write!(out, "{}\n## kubectl headroom\n\n", table.finish());
    let mut table = Table::new(&["status", "when"]);
    for (status, when) in [
        (0, "yes, or done"),
        (1, "the tool failed: one line on stderr says why"),
        (kubectl_headroom::NO, "the answer is no: a pod fits nowhere, there are findings"),
        (kubectl_headroom::NO_SUCH_OBJECT, "the object that was named does not exist"),
        (
            kubectl_headroom::READER_GONE,
            "whoever read the output has gone, as in `kubectl headroom explain pod web | head`",
        ),
    ] {
        table.row(&[status.to_string(), when.to_owned()]);
    }
    let _ = write!(out, "{}\nResults are on stdout, remarks on stderr.\n", table.finish());
    let mut table = Table::new(&["command", "statuses"]);
    let mut any = false;
    for verb in kubectl_headroom::command().get_subcommands() {
        if let Some(line) = own(verb) {
            table.row(&[code(&format!("kubectl headroom {}", verb.get_name())), text(&line)]);
            any = true;
        }
    }
    if any {
        let _ = write!(out, "\nIn particular:\n\n{}", table.finish());
    }
    out
}

/// What the command says of its own statuses.
fn own(command: &Command) -> Option<String> {
    let said = command.get_after_help()?.to_string();
    said.lines().find_map(|line| line.strip_prefix(LINE)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_the_tool() {
        let page = page();
        assert!(page.contains("| 2 | the answer is no") && page.contains("| 3 | the object"), "{page}");
        assert!(
            page.contains("| `kubectl headroom doctor` | 0 no findings, 2 findings, 1 the tool failed |"),
            "{page}"
        );
    }
}
