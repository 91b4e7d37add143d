//! Which manager runs which of the control loops that Headroom can take over.

use super::Rule;
use crate::{
    doctor::{
        finding::{Fix, Out, Severity, Subject},
        look::{Look, flag, is_k3s},
        state::{NodeFacts, Program},
        text::cut,
    },
    takeover::helm,
};

pub(super) static RULES: [Rule; 3] = [
    Rule {
        id: "two-managers-of-one-loop",
        severity: Severity::Error,
        title: "a loop runs in stock and in Headroom",
        why: "Two managers do not know of each other's writes. Two ReplicationController loops make and delete pods \
              twice, two loops of Endpoints overwrite each other, two of evictions evict twice as fast. First the \
              stock loop is stopped, then ours is started.",
        reads: &["pods"],
        also: &["nodes"],
        check: two_managers,
    },
    Rule {
        id: "loop-yielded",
        severity: Severity::Error,
        title: "a loop of Headroom's has stopped",
        why: "It saw another manager write its objects and yielded to it. It does not go on by itself: when the other \
              is stopped nobody does the work, until headroom-controllers is restarted.",
        reads: &["events"],
        also: &[],
        check: loop_yielded,
    },
    Rule {
        id: "loop-without-manager",
        severity: Severity::Error,
        title: "nobody runs a loop",
        why: "Its objects stand still: no pods for ReplicationControllers, no slices for Services, no word of dead \
              nodes. A gap does no harm while a loop is handed over; it is not meant to last.",
        reads: &["pods"],
        also: &["nodes"],
        check: loop_without_manager,
    },
];

/// Upstream's loops that headroom-controllers can run, and the older names under which kube-controller-manager knows
/// them, too.
pub(crate) const LOOPS: [(&str, &str); 7] = [
    ("replicationcontroller-controller", "replicationcontroller"),
    ("endpoints-controller", "endpoint"),
    ("endpointslice-controller", "endpointslice"),
    ("endpointslice-mirroring-controller", "endpointslicemirroring"),
    ("node-lifecycle-controller", "nodelifecycle"),
    ("taint-eviction-controller", "taint-eviction-controller"),
    ("pod-garbage-collector-controller", "podgc"),
];

/// Whether a list of `--controllers` turns a loop on: the first mention decides, else the star.
pub(crate) fn runs(list: &[&str], name: &str, alias: &str) -> bool {
    let mentioned = list.iter().find_map(|word| match word.strip_prefix('-') {
        Some(word) => (word == name || word == alias).then_some(false),
        None => (*word == name || *word == alias).then_some(true),
    });
    mentioned.unwrap_or_else(|| list.contains(&"*"))
}

/// The words of all mentions of `--controllers`, which add up.
fn words<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    values.into_iter().flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// A manager that runs, and its list.
pub(crate) struct Manager<'a> {
    pub(crate) name: String,
    pub(crate) list: Vec<&'a str>,
}

/// What k3s' own manager runs on a server: `controllers=` replaces its list, `controllers+=` adds to it.
fn k3s(node: &NodeFacts) -> Option<Vec<&str>> {
    let off = flag(&node.args, "disable-controller-manager").last().is_some_and(|value| *value != "false");
    if !is_k3s(node) || node.args.first().is_none_or(|word| word != "server") {
        return None;
    }
    if off {
        return Some(Vec::new());
    }
    let mut list = vec!["*"];
    for value in flag(&node.args, "kube-controller-manager-arg") {
        // k3s takes it with dashes and without.
        let value = value.trim_start_matches('-');
        if let Some(more) = value.strip_prefix("controllers+=") {
            list.extend(words([more]));
        } else if let Some(first) = value.strip_prefix("controllers-=") {
            let mut before = words([first]);
            before.append(&mut list);
            list = before;
        } else if let Some(all) = value.strip_prefix("controllers=") {
            list = words([all]);
        }
    }
    Some(list)
}

/// The stock managers whose lists are known. Without arguments nothing is: a saved cluster leaves those of pods out.
pub(crate) fn stock<'a>(look: &Look<'a>) -> Vec<Manager<'a>> {
    let pods = look.running(Program::StockManager).filter(|pod| !pod.args.is_empty()).map(|pod| {
        let list = words(flag(&pod.args, "controllers"));
        Manager { name: format!("pod {}", pod.full_name()), list: if list.is_empty() { vec!["*"] } else { list } }
    });
    let servers = look
        .nodes()
        .filter_map(|node| Some(Manager { name: format!("k3s on {}", cut(node.name())), list: k3s(node)? }));
    pods.chain(servers).collect()
}

/// Ours, and whether the lists of all that run are known.
pub(crate) fn ours<'a>(look: &Look<'a>) -> (Vec<Manager<'a>>, bool) {
    let mut all_known = true;
    let mut managers = Vec::new();
    for pod in look.running(Program::Controllers) {
        all_known &= !pod.args.is_empty();
        // What is not named does not run: the default is our own two loops.
        let list = words(flag(&pod.args, "controllers"));
        managers.push(Manager { name: format!("pod {}", pod.full_name()), list });
    }
    (managers, all_known)
}

/// The first manager that runs a loop.
fn runner<'m, 'a>(managers: &'m [Manager<'a>], name: &str, alias: &str) -> Option<&'m Manager<'a>> {
    managers.iter().find(|manager| runs(&manager.list, name, alias))
}

fn two_managers(look: &Look<'_>, out: &mut Out<'_>) {
    let (stock, (ours, _)) = (stock(look), ours(look));
    let doubled: Vec<(&str, &Manager<'_>, &Manager<'_>)> = LOOPS
        .into_iter()
        .filter_map(|(name, alias)| Some((name, runner(&stock, name, alias)?, runner(&ours, name, alias)?)))
        .collect();
    let names: Vec<&str> = doubled.iter().map(|(name, ..)| *name).collect();
    for (name, theirs, own) in &doubled {
        let fix = Fix::default()
            .say(format!("stop the stock one: -{name} in its --controllers (docs/controllers.md says where)"))
            .say("or let ours go, by leaving it out of what it is told to run:");
        let by_hand = format!("no {name} in --controllers of its args:");
        let fix = look.change(fix, Program::Controllers, &without(own, &names), &by_hand);
        out.push(Subject::new("Loop", "", name), format!("runs in {} and in {}", theirs.name, own.name), fix);
    }
}

/// The values of the chart with which a manager of ours runs what it runs, without these loops: all that are doubled, since
/// the fix of one must not bring back another. The last one is in a line of its own, for the width.
fn without(own: &Manager<'_>, names: &[&str]) -> String {
    let mut left = helm::loops(&own.list.join(","));
    left.retain(|name| !names.contains(name));
    if left.is_empty() {
        // The chart refuses an empty list.
        left.extend(helm::OWN);
    }
    let mut values = helm::of_loops(&left);
    if names.iter().any(|name| helm::HELD_BACK.contains(name)) {
        // Another profile is refused where one of the two is missing.
        values.insert(0, "--set controllers.nodeLifecycleProfile=stock".to_owned());
    }
    let text = values.join(" \\\n");
    text.replace("--set 'controllers.loops", "--set \\\n'controllers.loops")
}

fn loop_without_manager(look: &Look<'_>, out: &mut Out<'_>) {
    let (stock, (ours, all_known)) = (stock(look), ours(look));
    let Some(first) = stock.first().filter(|_| all_known) else { return };
    for (name, alias) in LOOPS {
        if runner(&stock, name, alias).is_some() || runner(&ours, name, alias).is_some() {
            continue;
        }
        let what =
            if ours.is_empty() { "headroom-controllers does not run" } else { "headroom-controllers does not name it" };
        // Not by values of the chart: it refuses loops of stock outside of primary, and an upgrade proves no silence.
        let fix = Fix::default()
            .say("this names it in --controllers and gives the rights; with Helm it prints the upgrade that makes it last:")
            .run(format!("kubectl headroom takeover --loops {name}"))
            .say(format!("or give it back: take -{name} out of the stock manager's --controllers"));
        out.push(Subject::new("Loop", "", name), format!("{} leaves it out, and {what}", first.name), fix);
    }
}

fn loop_yielded(look: &Look<'_>, out: &mut Out<'_>) {
    for told in look.state.told.iter().filter(|told| told.reason == "YieldedToAnotherManager") {
        let (namespace, name) = look.place(Program::Controllers);
        let fix = Fix::default()
            .say("stop the loop in the stock manager (docs/controllers.md), then start ours again:")
            .run(format!("kubectl -n {namespace} rollout restart deployment {name}"));
        out.push(Subject::namespaced(&told.kind, &told.key), &told.message, fix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mention_decides() {
        for (list, on) in [
            (&["*"][..], true),
            (&["*", "-podgc"], false),
            (&["*", "-pod-garbage-collector-controller", "podgc"], false),
            (&["podgc", "*", "-podgc"], true),
            (&["endpoint"], false),
            (&[], false),
        ] {
            assert_eq!(runs(list, "pod-garbage-collector-controller", "podgc"), on, "{list:?}");
        }
    }
}
