//! From the facts to the plan of a takeover. Pure.
//!
//! For the scheduler ours is a warm standby first, where stock asks for the lease: then never two are active. Where stock
//! does not ask, ours must look on until stock is proven to be silent. For loops it is always so: a gap is harmless, an
//! overlap is not.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    canary::Kind,
    configured, helm,
    plan::{Check, Plan, Step},
    refusals::refusals,
    tuned::Tuned,
};
use crate::{
    distribution::{
        Distribution,
        change::{Api, Change},
        facts::{Facts, OUR_LEASE, SCHEDULER_LEASE, Who},
        ours::Ours,
        record::{self, LoopsRecord, Record, SchedulerRecord},
        requests::{MERGE, STRATEGIC},
        stock::{self, LeftOut},
    },
    doctor::{
        control_loops, cut,
        text::{arg, clean},
    },
};

/// The name by which pods ask for ours in `secondary`. In `primary` nobody serves it.
const OUR_NAME: &str = "headroom-scheduler";
/// Loops of ours that run when none is named.
pub(crate) const OWN: &str = "node-headroom-controller,memory-profile-controller";

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
    let mut now = LeftOut::of(facts);
    let mut record = facts.record.clone();
    let mut steps = Vec::new();
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
            now = without;
        }
    }
    let list = (!loops.is_empty()).then(|| list_of_ours(facts, &loops, &running));
    let tuned = Tuned::of(facts, &loops);
    if let Some(list) = &list {
        let mut after = now.clone();
        after.loops.extend(loops.iter().cloned());
        let (changes, of_stock) = stock::loops(facts, &now, &after);
        let kept = record.loops.get_or_insert_with(|| LoopsRecord {
            controllers: facts.controllers.as_ref().and_then(|ours| ours.flag("controllers")).map(str::to_owned),
            stock: of_stock,
            cluster_configuration: facts.cluster_configuration.clone(),
            ..LoopsRecord::default()
        });
        kept.names.extend(loops.iter().cloned());
        kept.flags.extend(tuned.copied.clone());
        steps.extend(loop_steps(facts, changes, &loops, list, &tuned.copied));
    }
    let dead_man = dead_man(facts, &record);
    let mut first = Step::new("Write down what is changed, for the way back").api(record_change(facts, &record));
    for grant in &wish.grants {
        first = first.api(grant.clone());
    }
    steps.insert(0, first);
    let title = format!("Take over {} ({}: {})", what(scheduler, &loops), facts.distribution.as_str(), facts.because);
    let copied = record.loops.map(|kept| kept.flags).unwrap_or_default();
    let lasting = helm::lasting(facts, scheduler, list.as_deref(), &copied);
    Ok(Plan { title, steps, notes: notes(facts, wish, scheduler, tuned), gives_back: false, lasting, dead_man })
}

/// What to type when nothing of ours answers: all that this takeover and those before it changed of stock.
fn dead_man(facts: &Facts, record: &Record) -> Vec<String> {
    let taken = LeftOut::by(record);
    let mut lines = Vec::new();
    // Ours may come up again, and there no lease keeps the two apart.
    if taken.scheduler && record.scheduler.as_ref().is_some_and(|kept| !kept.elects) {
        lines.push(end(facts.scheduler.as_ref(), "headroom-scheduler"));
    }
    if !taken.loops.is_empty() {
        lines.push(end(facts.controllers.as_ref(), "headroom-controllers"));
    }
    let first = record.loops.as_ref().and_then(|kept| kept.stock.as_deref());
    lines.extend(stock::all_back(facts, &taken, first));
    lines
}

/// How ours is ended for good.
fn end(ours: Option<&Ours>, program: &str) -> String {
    match ours {
        Some(ours) => {
            format!("kubectl -n {} scale deployment {} --replicas=0", arg(&ours.namespace), arg(&ours.name))
        }
        None => format!("# end {program}, and keep it from being started again"),
    }
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
        read_as: facts.read_as.record.clone(),
        says: says.clone(),
        back: says,
    }
}

/// A flag of ours is changed.
pub(crate) fn our_flag(step: Step, ours: Option<&Ours>, program: &str, name: &str, value: Option<&str>) -> Step {
    our_flags(step, ours, program, &[(name, value)])
}

/// Flags of ours are changed: by us where it is a Deployment, else by whoever runs it.
pub(crate) fn our_flags(step: Step, ours: Option<&Ours>, program: &str, flags: &[(&str, Option<&str>)]) -> Step {
    let said = |name: &str, value: Option<&str>| match value {
        Some(value) => clean(&format!("--{name}={value}")),
        None => format!("no --{name}"),
    };
    match ours {
        Some(ours) => {
            let (patch, undo) = ours.with_flags(flags);
            let line =
                |name: &str, value: Option<&str>| format!("Deployment {}: {}", ours.full_name(), said(name, value));
            step.api(Api::Patch {
                path: ours.path(),
                kind: STRATEGIC,
                patch,
                undo,
                // It changes with every pod that comes or goes.
                read_as: None,
                says: flags.iter().map(|(name, value)| line(name, *value)).collect(),
                back: flags.iter().map(|(name, _)| line(name, ours.flag(name))).collect(),
            })
            .check(Check::RolledOut { path: ours.path(), name: ours.full_name() })
        }
        None => {
            let all: Vec<String> = flags.iter().map(|(name, value)| said(name, *value)).collect();
            step.change(Change::Operator {
                does: vec![format!("# run {program} with {}", all.join(" and "))],
                undoes: vec![format!("# run {program} as before, without {}", all.join(" and "))],
            })
        }
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

/// What `--controllers` of ours says after a takeover of these loops.
fn list_of_ours(facts: &Facts, loops: &[String], running: &BTreeSet<String>) -> String {
    let ours = facts.controllers.as_ref();
    let current = ours.and_then(|ours| ours.flag("controllers")).unwrap_or(OWN);
    let mut list: Vec<&str> = current.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if ours.is_none() {
        list.extend(running.iter().map(String::as_str));
    }
    list.extend(loops.iter().map(String::as_str));
    list.join(",")
}

fn loop_steps(
    facts: &Facts,
    changes: Vec<Change>,
    loops: &[String],
    list: &str,
    copied: &BTreeMap<String, String>,
) -> Vec<Step> {
    let asked = canaries(loops);
    let mut stop = Step::new("The stock manager leaves them out. Their work waits until the next step");
    stop.changes = changes;
    let quiet = Check::Quiet { canaries: with_control(asked.clone()), loops: loops.to_vec() };
    let ours = facts.controllers.as_ref();
    let mut flags = vec![("controllers", Some(list))];
    flags.extend(copied.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))));
    let start = our_flags(Step::new("Ours goes on"), ours, "headroom-controllers", &flags);
    let answered = (!asked.is_empty()).then_some(Check::Answered { canaries: asked, by: None });
    let start = answered.into_iter().fold(start, Step::check);
    vec![stop.check(quiet), start]
}

/// Whether ours serves everybody in `primary` is not known where what it is configured with is not seen.
fn unread(facts: &Facts, ours: &Ours) -> Option<String> {
    let given = ours.flag("config")?;
    let why = match &facts.configuration {
        None => "it is in no ConfigMap that can be read here".to_owned(),
        Some(file) => cut(&format!("{}: {}", file.place, file.serves().err()?)),
    };
    Some(format!(
        "Whether {} has a profile for default-scheduler in its --config={} is not known: {why}. Without one nobody serves \
         these pods, and only the canary at the end shows it.",
        ours.full_name(),
        cut(given)
    ))
}

fn notes(facts: &Facts, wish: &Wish, scheduler: bool, tuned: Tuned) -> Vec<String> {
    let mut notes = Vec::new();
    if scheduler && facts.distribution == Distribution::Kubeadm && !wish.keep_standby {
        notes.push(
            "kubeadm upgrade writes kube-scheduler.yaml anew. The stock scheduler then stands by, if it asks for the \
             lease; otherwise take over again."
                .to_owned(),
        );
    }
    if scheduler && facts.our_mode() == Some("secondary") {
        let look = facts.look();
        let by_name = look.pods().filter(|pod| pod.row.is_active() && &*pod.row.spec.scheduler_name == OUR_NAME);
        let count = by_name.count();
        if count > 0 {
            notes.push(format!(
                "Pods that ask for {OUR_NAME} by name (spec.schedulerName) are served in secondary alone; here are {count}. \
                 They run on. Take it out of their templates first, or those that come after them wait."
            ));
        }
    }
    notes.extend(facts.scheduler.as_ref().filter(|_| scheduler).and_then(|ours| unread(facts, ours)));
    if scheduler {
        notes.extend(configured::notes(facts, OUR_NAME));
    }
    notes.extend(tuned.notes);
    notes
}
