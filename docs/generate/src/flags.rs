//! `flags.md`: from the command lines themselves.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};

use crate::markdown::{Table, code, codes, text};

/// Heading of flags that have none.
const GENERAL: &str = "General";

/// The command lines of our three programs, by the words that people type.
pub(crate) fn command_lines() -> [(&'static str, Command); 3] {
    [
        ("headroom-scheduler", headroom_scheduler::Options::command()),
        ("headroom-controllers", headroom_controllers::app::Options::command()),
        ("kubectl headroom", kubectl_headroom::command()),
    ]
}

pub(crate) fn page() -> String {
    let mut out = "# Flags\n\n\
         Of a flag that is given twice the last one counts, and `_` in its name is the same as `-`. A wrong flag ends the \
         start with exit status 1 and one line. Durations are Go's: `15s`, `1m30s`, `250ms`.\n"
        .to_owned();
    for (title, mut command) in command_lines() {
        command.build();
        let _ = write!(out, "\n## {title}\n\n{}.\n", text(&about(&command)));
        described(&mut out, &command);
        verbs(&mut out, title, &command);
    }
    out
}

/// Subcommands, and theirs.
fn verbs(out: &mut String, above: &str, command: &Command) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
        let title = format!("{above} {}", verb.get_name());
        let _ = write!(out, "\n### {title}\n\n{}.\n", text(&about(verb)));
        let aliases: Vec<&str> = verb.get_all_aliases().collect();
        if !aliases.is_empty() {
            let _ = write!(out, "\nAlso: {}.\n", codes(aliases));
        }
        described(out, verb);
        verbs(out, &title, verb);
    }
}

fn about(command: &Command) -> String {
    let said = command.get_about().or(command.get_long_about());
    said.map(ToString::to_string).unwrap_or_default().trim_end_matches('.').to_owned()
}

fn described(out: &mut String, command: &Command) {
    let shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|a| !a.is_hide_set() && a.get_id() != "help" && a.get_id() != "version")
        .collect();
    let mut headings: Vec<&str> = Vec::new();
    for arg in &shown {
        let heading = arg.get_help_heading().unwrap_or(GENERAL);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in &headings {
        if headings.len() > 1 {
            let _ = write!(out, "\n**{}**\n", text(heading));
        }
        let mut table = Table::new(&["flag", "value", "default", ""]);
        for arg in shown.iter().filter(|arg| arg.get_help_heading().unwrap_or(GENERAL) == *heading) {
            table.row(&row(arg));
        }
        let _ = write!(out, "\n{}", table.finish());
    }
    let hidden: Vec<String> = command
        .get_arguments()
        .filter(|a| a.is_hide_set())
        .filter_map(|a| Some(format!("--{}", a.get_long()?)))
        .collect();
    if !hidden.is_empty() {
        let _ = write!(
            out,
            "\nAccepted as by the stock component, and not followed (the log says so, or the start is refused where going \
             on would be less safe): {}.\n",
            codes(hidden.iter().map(String::as_str))
        );
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(out, "\n```text\n{}\n```\n", after.to_string().trim_end());
    }
}

fn row(arg: &Arg) -> Vec<String> {
    let names = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut flag: Vec<String> = Vec::new();
    flag.extend(arg.get_short().map(|short| format!("-{short}")));
    flag.extend(arg.get_long().map(|long| format!("--{long}")));
    // `-v` has a long form of one letter as well, as with stock.
    let positional = flag.is_empty();
    if positional {
        flag.push(names.clone());
    }
    let takes = arg.get_action().takes_values();
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    let value = match (takes, possible.is_empty()) {
        (false, _) => String::new(),
        (true, false) => codes(possible.iter().map(String::as_str)),
        (true, true) if positional => String::new(),
        (true, true) => code(&names),
    };
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let default = if takes { codes(defaults.iter().map(String::as_str)) } else { String::new() };
    let mut help = arg.get_long_help().or(arg.get_help()).map(|help| text(&help.to_string())).unwrap_or_default();
    let aliases: Vec<String> =
        arg.get_all_aliases().unwrap_or_default().iter().map(|name| format!("--{name}")).collect();
    if !aliases.is_empty() {
        help = format!("{help} (also {})", codes(aliases.iter().map(String::as_str)));
    }
    vec![codes(flag.iter().map(String::as_str)), value, default, help]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_are_there_with_their_verbs() {
        let page = page();
        for expected in [
            "## headroom-scheduler\n",
            "| `--mode` | `shadow`, `secondary`, `primary` | `primary` |",
            "`--kube-api-qps`",
            "## headroom-controllers\n",
            "`--kubelet-timeout`",
            "### kubectl headroom explain pod\n",
            "| `NAME` |",
            "(also `--logging-format`)",
        ] {
            assert!(page.contains(expected), "{expected} is missing in\n{page}");
        }
        assert!(page.lines().filter(|l| l.starts_with("| `--leader-elect`")).count() == 2, "{page}");
    }
}
