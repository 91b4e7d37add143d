//! The checks, by what they are about. A new one is a function and an entry in the `RULES` of its file, with a test and
//! a section in docs/doctor.md.

pub(crate) mod control_loops;
mod machines;
mod memory;
mod nodes;
mod samples;
pub(crate) mod schedulers;
mod swap;
mod workloads;

use headroom_core::Timestamp;

use super::{
    finding::{Diagnosis, NotChecked, Omitted, Out, Severity},
    look::Look,
    state::State,
};

/// A check.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name, in kebab-case. It stays as it is: scripts name it.
    pub(super) id: &'static str,
    /// How bad it is what it finds.
    pub(super) severity: Severity,
    /// What it finds, in a few words.
    pub(super) title: &'static str,
    /// Why that matters.
    pub(super) why: &'static str,
    /// Plurals of the kinds without which it says nothing.
    pub(super) reads: &'static [&'static str],
    /// Plurals of the kinds without which it sees less.
    pub(super) also: &'static [&'static str],
    check: fn(&Look<'_>, &mut Out<'_>),
}

/// All of them: the worst first, then by name.
pub(super) fn all() -> Vec<&'static Rule> {
    let files: [&'static [Rule]; 8] = [
        &control_loops::RULES,
        &machines::RULES,
        &memory::RULES,
        &nodes::RULES,
        &samples::RULES,
        &schedulers::RULES,
        &swap::RULES,
        &workloads::RULES,
    ];
    let mut rules: Vec<&'static Rule> = files.into_iter().flatten().collect();
    rules.sort_by_key(|rule| (rule.severity, rule.id));
    rules
}

/// The plurals of all kinds that some check reads.
pub(super) fn kinds() -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> =
        all().into_iter().flat_map(|rule| rule.reads.iter().chain(rule.also)).copied().collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// What these checks find in a cluster at a time. Kinds in `lacking` could not be read: checks that need them are left
/// out.
pub(super) fn diagnose(state: &State, at: Timestamp, rules: &[&'static Rule], lacking: &[&'static str]) -> Diagnosis {
    let look = Look::new(state, at);
    let mut diagnosis = Diagnosis::new(at);
    for &rule in rules {
        let needed = among(rule.reads, lacking);
        let in_part = needed.is_empty();
        let missing = if in_part { among(rule.also, lacking) } else { needed };
        if !missing.is_empty() {
            diagnosis.not_checked.push(NotChecked { id: rule.id, lacking: missing, in_part });
        }
        if !in_part {
            continue;
        }
        let mut out = Out::new(rule, &mut diagnosis.findings);
        (rule.check)(&look, &mut out);
        let count = out.omitted();
        if count > 0 {
            diagnosis.omitted.push(Omitted { id: rule.id, count });
        }
    }
    diagnosis.findings.sort_by(|a, b| (a.severity, a.id, &a.subject).cmp(&(b.severity, b.id, &b.subject)));
    diagnosis
}

/// Those of the kinds that could not be read.
fn among(kinds: &'static [&'static str], lacking: &[&'static str]) -> Vec<&'static str> {
    kinds.iter().copied().filter(|kind| lacking.contains(kind)).collect()
}
