//! From the facts to the plan of a takeover. Pure.
//!
//! For the scheduler ours is a warm standby first, where stock asks for the lease: then never two are active. Where stock
//! does not ask, ours must look on until stock is proven to be silent. For loops it is always so: a gap is harmless, an
//! overlap is not.

use std::collections::BTreeSet;

use super::{
    canary::Kind,
    plan::{Check, Plan, Step},
};
use crate::{
    distribution::{
        Distribution,
        change::{Api, Change},
        facts::{CONTROLLERS_LEASE, Facts, OUR_LEASE, SCHEDULER_LEASE, Who},
        ours::Ours,
        record::{self, LoopsRecord, Record, SchedulerRecord},
        requests::{MERGE, STRATEGIC},
        stock::{self, LeftOut},
    },
    doctor::{control_loops, cut},
};

/// Loops of ours that run when none is named.
const OWN: &str = "node-headroom-controller,memory-profile-controller";
/// Loops that only a dead node would move: no canary shows whether somebody runs them.
const OF_NODES: [&str; 2] = ["node-lifecycle-controller", "taint-eviction-controller"];

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) scheduler: bool,
    pub(crate) loops: Vec<String>,
    pub(crate) keep_standby: bool,
    /// Loops that nothing shows are taken over all the same.
    pub(crate) unproven: bool,
    /// Rights that ours lack.
    pub(crate) grants: Vec<Api>,
}

/// The plan, or why there is none: sentences for people.
///
/// # Errors
/// What has to be put right first.
pub(crate) fn take(facts: &Facts, wish: &Wish) -> Result<Plan, Vec<String>> {
    let mut refused = refusals(facts, wish);
    let running = runs_of_ours(facts);
    let loops: Vec<String> = wish.loops.iter().filter(|name| !running.contains(*name)).cloned().collect();
    let scheduler = wish.scheduler && facts.holds(SCHEDULER_LEASE) != Some(Who::Ours);
    if refused.is_empty() && !scheduler && loops.is_empty() {
        refused.push("Headroom does that already: kubectl headroom status".to_owned());
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let before = LeftOut::of(facts);
    let mut now = before.clone();
    let mut record = facts.record.clone();
    let mut steps = Vec::new();
    let mut undone = Vec::new();
    if scheduler {
        let elects = facts.stock_elects() == Some(true);
        let mode = facts.our_mode().filter(|mode| *mode != "primary").unwrap_or("secondary").to_owned();
        record.scheduler = Some(SchedulerRecord { mode, elects, keep_standby: wish.keep_standby });
        let without = LeftOut { scheduler: true, ..now.clone() };
        steps.extend(if elects {
            behind_the_lease(facts, &now, &without, wish.keep_standby)
        } else {
            after_silence(facts, &now, &without)
        });
        if !wish.keep_standby {
            undone.push(stock::scheduler(facts, &now, &without));
            now = without;
        }
    }
    if !loops.is_empty() {
        let mut after = now.clone();
        after.loops.extend(loops.iter().cloned());
        let (changes, list) = stock::loops(facts, &now, &after);
        let kept = record.loops.get_or_insert_with(|| LoopsRecord {
            controllers: facts.controllers.as_ref().and_then(|ours| ours.flag("controllers")).map(str::to_owned),
            stock: list,
            cluster_configuration: facts.cluster_configuration.clone(),
            ..LoopsRecord::default()
        });
        kept.names.extend(loops.iter().cloned());
        undone.extend(changes.iter().cloned());
        steps.extend(loop_steps(facts, changes, &loops, &running));
    }
    let dead_man = dead_man(facts, &before, &undone, !loops.is_empty());
    let mut first = Step::new("Write down what is changed, for the way back").api(record_change(facts, &record));
    for grant in &wish.grants {
        first = first.api(grant.clone());
    }
    steps.insert(0, first);
    let title = format!("Take over {} ({}: {})", what(scheduler, &loops), facts.distribution.as_str(), facts.because);
    Ok(Plan { title, steps, notes: notes(facts, wish, scheduler, &loops), gives_back: false, dead_man })
}

/// What to type when nothing of ours answers: the changes of stock undone, the last one first.
fn dead_man(facts: &Facts, before: &LeftOut, changes: &[Change], loops: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(ours) = facts.controllers.as_ref().filter(|_| loops) {
        lines.push(format!("kubectl -n {} scale deployment {} --replicas=0", ours.namespace, ours.name));
    }
    match stock::one_line_back(facts, before).filter(|_| !changes.is_empty()) {
        Some(line) => lines.extend(line),
        None => lines.extend(changes.iter().rev().flat_map(|change| change.reversed().lines())),
    }
    lines
}

/// `the scheduler and endpoints-controller`.
pub(crate) fn what(scheduler: bool, loops: &[String]) -> String {
    let mut parts: Vec<&str> = if scheduler { vec!["the scheduler"] } else { Vec::new() };
    parts.extend(loops.iter().map(String::as_str));
    match parts.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The loops that ours run, as far as it is known.
pub(crate) fn runs_of_ours(facts: &Facts) -> BTreeSet<String> {
    match facts.controllers.as_ref().filter(|ours| ours.replicas > 0) {
        Some(ours) => {
            let list: Vec<&str> = ours.flag("controllers").unwrap_or(OWN).split(',').map(str::trim).collect();
            let runs = control_loops::LOOPS.into_iter().filter(|(name, alias)| control_loops::runs(&list, name, alias));
            runs.map(|(name, _)| name.to_owned()).collect()
        }
        None => facts.record.loops().iter().cloned().collect(),
    }
}

fn refusals(facts: &Facts, wish: &Wish) -> Vec<String> {
    let mut refused = Vec::new();
    if let Some(offer) = facts.managed {
        refused.push(format!(
            "{offer} runs the control plane: its scheduler and loops cannot be turned off. Stay with mode=secondary"
        ));
    }
    if wish.scheduler {
        match facts.our_mode() {
            None => refused.push(
                "headroom-scheduler does not run: helm install headroom charts/headroom -n kube-system \
                 --set mode=secondary --set scheduler.nodeName=NODE"
                    .to_owned(),
            ),
            Some("primary") if facts.scheduler.is_none() && facts.holds(SCHEDULER_LEASE) == Some(Who::Stock) => {
                refused.push("headroom-scheduler cannot be changed here: restart it with --mode=secondary".to_owned());
            }
            Some(_) => {}
        }
        refused.extend(unclear(facts.scheduler.as_ref(), "scheduler"));
        refused.extend(facts.scheduler.as_ref().and_then(|ours| unsafe_ours(ours, "scheduler", false)));
        if wish.keep_standby && facts.stock_elects() != Some(true) {
            refused.push(
                "--keep-standby needs a stock scheduler that asks for the lease kube-scheduler, and here nothing shows \
                 that it does: both would schedule"
                    .to_owned(),
            );
        }
    }
    if wish.loops.is_empty() {
        return refused;
    }
    if facts.controllers.as_ref().is_none_or(|ours| ours.replicas < 1)
        && facts.holds(CONTROLLERS_LEASE) != Some(Who::Ours)
    {
        refused
            .push("headroom-controllers does not run: helm install headroom charts/headroom -n kube-system".to_owned());
    }
    refused.extend(unclear(facts.controllers.as_ref(), "controllers"));
    let of_nodes: Vec<&String> = wish.loops.iter().filter(|name| OF_NODES.contains(&name.as_str())).collect();
    if of_nodes.is_empty() {
        return refused;
    }
    refused.extend(facts.controllers.as_ref().and_then(|ours| unsafe_ours(ours, "controllers", true)));
    if control_loops::stock(&facts.look()).is_empty() && !wish.unproven {
        let names: Vec<&str> = of_nodes.iter().map(|name| name.as_str()).collect();
        refused.push(format!(
            "nothing here shows whether the stock manager runs {}: no pod of it is seen, and no canary moves it. Take \
             it out of its list yourself, make sure, and give --unproven",
            names.join(", ")
        ));
    }
    refused
}

/// Why it is not known which Deployment is meant.
fn unclear(ours: Option<&Ours>, component: &str) -> Option<String> {
    let ours = ours.filter(|ours| !ours.others.is_empty())?;
    Some(format!(
        "{}, {}: each looks like headroom-{component}, and one of them would be given its rights. Remove what is not \
         yours, or install it in kube-system",
        ours.full_name(),
        cut(&ours.others.join(", "))
    ))
}

/// Why a Deployment must not become what a cluster depends on, and the way to make it fit.
fn unsafe_ours(ours: &Ours, component: &str, needs_network: bool) -> Option<String> {
    let why = ours.unsafe_because().or_else(|| {
        let fits = !needs_network || (ours.host_network && ours.tolerates_all);
        if fits {
            None
        } else {
            Some("it must use its node's network and tolerate every taint: nobody else removes them")
        }
    })?;
    let release = ours.release.as_deref().unwrap_or("headroom");
    let network = if needs_network { format!(" --set {component}.hostNetwork=true") } else { String::new() };
    Some(format!(
        "{}: {why}. First: helm upgrade {release} charts/headroom -n {} --reset-then-reuse-values \
         --set {component}.nodeName=NODE{network}",
        ours.full_name(),
        ours.namespace,
    ))
}

/// The change of the record.
pub(crate) fn record_change(facts: &Facts, record: &Record) -> Api {
    let (old, new) = (facts.record.object(), record.object());
    let collection = record::COLLECTION.to_owned();
    if record.is_empty() {
        return Api::Delete { collection, object: old };
    }
    if facts.record.is_empty() {
        return Api::Create { collection, object: new };
    }
    let data = |object: &serde_json::Value| serde_json::json!({"data": object["data"]});
    let says = vec!["change ConfigMap headroom-takeover".to_owned()];
    Api::Patch {
        path: record::PATH.to_owned(),
        kind: MERGE,
        patch: data(&new),
        undo: data(&old),
        says: says.clone(),
        back: says,
    }
}

/// A flag of ours is changed: by us where it is a Deployment, else by whoever runs it.
pub(crate) fn our_flag(step: Step, ours: Option<&Ours>, program: &str, name: &str, value: Option<&str>) -> Step {
    let said = |value: Option<&str>| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("no --{name}"),
    };
    match ours {
        Some(ours) => {
            let (patch, undo) = ours.with_flag(name, value);
            let line = |value: Option<&str>| vec![format!("Deployment {}: {}", ours.full_name(), said(value))];
            step.api(Api::Patch {
                path: ours.path(),
                kind: STRATEGIC,
                patch,
                undo,
                says: line(value),
                back: line(ours.flag(name)),
            })
            .check(Check::RolledOut { path: ours.path(), name: ours.full_name() })
        }
        None => step.change(Change::Operator {
            does: vec![format!("# run {program} with {}", said(value))],
            undoes: vec![format!("# run {program} as before, without {}", said(value))],
        }),
    }
}

/// Where stock asks for the lease: ours stands by, stock ends, ours goes on.
fn behind_the_lease(facts: &Facts, before: &LeftOut, without: &LeftOut, keep_standby: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    if facts.our_mode() != Some("primary") {
        let step = Step::new("A warm standby: ours waits for the stock scheduler's lease");
        let step = our_flag(step, facts.scheduler.as_ref(), "headroom-scheduler", "mode", Some("primary"));
        let by_hand = facts.scheduler.is_none();
        steps.push(if by_hand { step.check(Check::Released(OUR_LEASE)) } else { step });
    }
    let stop = stock::scheduler(facts, before, without);
    let mut step = Step::new("The stock scheduler ends, and ours goes on when the lease has run out");
    if facts.stock_schedulers().is_none_or(|seen| !seen.is_empty()) {
        step = step.change(stop.clone());
    }
    steps.push(step.check(Check::Leads(Who::Ours)));
    let answered = Check::Answered { canaries: vec![Kind::Pod], by: Some(Who::Ours) };
    steps.push(Step::new("See it work").check(answered));
    if keep_standby {
        let step =
            Step::new("The stock scheduler stands by: it goes on when ours is down for as long as a lease lasts");
        steps.push(step.change(stop.reversed()).check(Check::Stays(Who::Ours)));
    }
    steps
}

/// Where stock does not ask for the lease, or nothing shows it: ours looks on until stock is silent.
fn after_silence(facts: &Facts, before: &LeftOut, without: &LeftOut) -> Vec<Step> {
    let ours = facts.scheduler.as_ref();
    let mut steps = Vec::new();
    if facts.our_mode() == Some("primary") && ours.is_some() {
        let step = Step::new("Ours leaves default-scheduler alone, as long as stock does not ask for the lease");
        steps.push(our_flag(step, ours, "headroom-scheduler", "mode", Some("secondary")));
    }
    let mut step = Step::new("The stock scheduler ends. Pods wait until the next step");
    if facts.stock_schedulers().is_none_or(|seen| !seen.is_empty()) {
        step = step.change(stock::scheduler(facts, before, without));
    }
    steps.push(step.check(Check::Quiet { canaries: vec![Kind::Pod], loops: Vec::new() }));
    let step = Step::new("Ours goes on");
    let step = our_flag(step, ours, "headroom-scheduler", "mode", Some("primary")).check(Check::Leads(Who::Ours));
    steps.push(step.check(Check::Answered { canaries: vec![Kind::Pod], by: Some(Who::Ours) }));
    steps
}

/// The canaries of loops, with a control where there is anything to control.
pub(crate) fn canaries(loops: &[String]) -> Vec<Kind> {
    loops.iter().filter_map(|name| Kind::of_loop(name)).collect()
}

/// With what shows that the stock manager is awake.
pub(crate) fn with_control(mut canaries: Vec<Kind>) -> Vec<Kind> {
    if !canaries.is_empty() {
        canaries.push(Kind::Control);
    }
    canaries
}

fn loop_steps(facts: &Facts, changes: Vec<Change>, loops: &[String], running: &BTreeSet<String>) -> Vec<Step> {
    let asked = canaries(loops);
    let mut stop = Step::new("The stock manager leaves them out. Their work waits until the next step");
    stop.changes = changes;
    let quiet = Check::Quiet { canaries: with_control(asked.clone()), loops: loops.to_vec() };
    let ours = facts.controllers.as_ref();
    let current = ours.and_then(|ours| ours.flag("controllers")).unwrap_or(OWN);
    let mut list: Vec<&str> = current.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if ours.is_none() {
        list.extend(running.iter().map(String::as_str));
    }
    list.extend(loops.iter().map(String::as_str));
    let start = our_flag(Step::new("Ours goes on"), ours, "headroom-controllers", "controllers", Some(&list.join(",")));
    let answered = (!asked.is_empty()).then_some(Check::Answered { canaries: asked, by: None });
    let start = answered.into_iter().fold(start, Step::check);
    vec![stop.check(quiet), start]
}

fn notes(facts: &Facts, wish: &Wish, scheduler: bool, loops: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    let schedulers = facts.scheduler.iter().filter(|_| scheduler);
    let mut deployed = schedulers.chain(facts.controllers.iter().filter(|_| !loops.is_empty()));
    if let Some(release) = deployed.find_map(|ours| ours.release.as_deref()) {
        let mut values = Vec::new();
        if scheduler {
            values.push("mode=primary");
        }
        if !loops.is_empty() {
            values.extend(["controllers.mode=primary", "controllers.loops"]);
        }
        notes.push(format!(
            "Helm does not know of this. The next upgrade of the release {release} takes it back, unless it has the same \
             values: {}.",
            values.join(", ")
        ));
    }
    if scheduler && facts.distribution == Distribution::Kubeadm && !wish.keep_standby {
        notes.push(
            "kubeadm upgrade writes kube-scheduler.yaml anew. The stock scheduler then stands by, if it asks for the \
             lease; otherwise take over again."
                .to_owned(),
        );
    }
    if !loops.is_empty() {
        notes.push(
            "Flags that were tuned on the stock manager have the same names on headroom-controllers: copy them."
                .to_owned(),
        );
    }
    notes
}
