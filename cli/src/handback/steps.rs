//! From the facts to the plan of a handback: a takeover's steps the other way round. Pure.

use crate::{
    distribution::{
        Distribution,
        change::{Api, Change},
        facts::{Facts, SCHEDULER_LEASE, Who},
        host::HostWork,
        record::SchedulerRecord,
        stock::{self, LeftOut},
    },
    doctor::cut,
    takeover::{
        canary::Kind,
        helm,
        plan::{Check, Plan, Step},
        refusals::{never_rolled_out, unpinned},
        steps::{OWN, canaries, our_flag, our_flags, record_change, runs_of_ours, what, with_control},
        tuned,
    },
};

/// What is asked for. Nothing named is everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) scheduler: bool,
    pub(crate) loops: Vec<String>,
    /// Rights that a takeover gave, to be taken away.
    pub(crate) granted: Vec<Api>,
}

/// The plan, or why there is none: sentences for people.
///
/// # Errors
/// There is nothing to give back.
pub(crate) fn give(facts: &Facts, wish: &Wish) -> Result<Plan, Vec<String>> {
    let everything = !wish.scheduler && wish.loops.is_empty();
    let running = runs_of_ours(facts);
    let has_scheduler = facts.record.scheduler.is_some()
        || facts.holds(SCHEDULER_LEASE) == Some(Who::Ours)
        || facts.our_mode() == Some("primary");
    let scheduler = has_scheduler && (wish.scheduler || everything);
    let loops: Vec<String> = running.iter().filter(|name| everything || wish.loops.contains(name)).cloned().collect();
    if !scheduler && loops.is_empty() {
        return Err(vec!["Headroom does nothing of that for stock: kubectl headroom status".to_owned()]);
    }
    let mut now = LeftOut::of(facts);
    let mut record = facts.record.clone();
    let mut steps = Vec::new();
    // What ours are left with.
    let (mut mode, mut list) = (None, None);
    if scheduler {
        if let Some(refused) = as_static_pod(facts, everything && !loops.is_empty()) {
            return Err(vec![refused]);
        }
        let kept = record.scheduler.take();
        // Where it is not written down: `secondary` serves whoever asks for ours by name.
        let kept =
            kept.unwrap_or_else(|| SchedulerRecord { mode: "secondary".to_owned(), ..SchedulerRecord::default() });
        let stuck = || facts.scheduler.as_ref().and_then(|ours| never_rolled_out(facts, ours));
        if let Some(refused) = waits_for_ever(facts, &kept).or_else(stuck) {
            return Err(vec![refused]);
        }
        let without = LeftOut { scheduler: true, ..now.clone() };
        let with = LeftOut { scheduler: false, ..now.clone() };
        let start = (!kept.keep_standby).then(|| stock::scheduler(facts, &without, &with));
        let start = start.and_then(|start| where_it_is_not(facts, start));
        steps.extend(scheduler_steps(facts, &kept, start));
        mode = Some(kept.mode);
        now = with;
    }
    if !loops.is_empty() {
        if let Some(refused) = facts.controllers.as_ref().and_then(|ours| never_rolled_out(facts, ours)) {
            return Err(vec![refused]);
        }
        // Loops that were taken over by hand are given back as well.
        for name in &loops {
            if !now.loops.contains(name) {
                now.loops.push(name.clone());
            }
        }
        let mut after = now.clone();
        after.loops.retain(|name| !loops.contains(name));
        let left = list_of_ours(facts, &after, &loops);
        steps.extend(loop_steps(facts, &now, &after, &loops, left.as_deref()));
        list = Some(left.unwrap_or_else(|| OWN.to_owned()));
        if let Some(kept) = &mut record.loops {
            kept.names.retain(|name| !loops.contains(name));
            kept.flags.retain(|name, _| !tuned::is_of(name, &loops));
        }
        record.loops = record.loops.filter(|kept| !kept.names.is_empty());
    }
    let mut last = Step::new("Nothing is left behind");
    if !facts.record.is_empty() {
        last = last.api(record_change(facts, &record));
    }
    if record.is_empty() {
        last = wish.granted.iter().cloned().fold(last, Step::api);
    }
    if !last.changes.is_empty() {
        steps.push(last);
    }
    let title =
        format!("Give {} back to stock ({}: {})", what(scheduler, &loops), facts.distribution.as_str(), facts.because);
    let (gone, changed) = tuned::to_take_back(facts, &loops);
    let whole = record.is_empty() && scheduler == has_scheduler && loops.len() == running.len();
    let list = list.as_deref().map(|list| (list, gone.as_slice()));
    let lasting = helm::given_back(facts, mode.as_deref(), list, whole);
    let mut notes = notes(changed);
    notes.extend(older_manifest(facts).filter(|_| scheduler));
    Ok(Plan { title, steps, notes, gives_back: true, lasting, dead_man: Vec::new() })
}

/// The start of the stock scheduler on the servers on which it is not seen, if there are any.
fn where_it_is_not(facts: &Facts, start: Change) -> Option<Change> {
    match (start, facts.servers_without_stock()) {
        (Change::Hosts(work), Some(on)) => (!on.is_empty()).then_some(Change::Hosts(HostWork { on, ..work })),
        (start, _) => Some(start),
    }
}

/// What to say where an upgrade has written the manifest anew that the takeover had moved away.
fn older_manifest(facts: &Facts) -> Option<String> {
    let moved = facts.record.scheduler.as_ref().is_some_and(|kept| !kept.keep_standby);
    let without = facts.servers_without_stock().filter(|_| moved && facts.distribution == Distribution::Kubeadm)?;
    let with: Vec<&str> = facts.servers.iter().filter(|name| !without.contains(name)).map(String::as_str).collect();
    (!with.is_empty()).then(|| {
        format!(
            "kube-scheduler is there already on {}: its manifest counts, and not the older one that the takeover moved to \
             {}, which you can remove.",
            with.join(", "),
            stock::SCHEDULER_KEPT
        )
    })
}

/// What to do where our scheduler is a static pod: no flag of it is changed from here, and under the stock scheduler's name it
/// has no right to another lease. `beside`: loops were to be given back as well.
fn as_static_pod(facts: &Facts, beside: bool) -> Option<String> {
    let hosts = facts.static_schedulers();
    if facts.scheduler.is_some() || hosts.is_empty() {
        return None;
    }
    let loops = if beside { ". The loops alone: kubectl headroom handback --loops '*'" } else { "" };
    Some(format!(
        "headroom-scheduler is a static pod. On {}, as root, put the copy of the stock manifest back: \
         cp /root/kube-scheduler.stock.yaml /etc/kubernetes/manifests/kube-scheduler.yaml{loops}",
        cut(&hosts.join(", "))
    ))
}

/// Why ours cannot leave default-scheduler alone before the stock scheduler begins: the pods of its rollout are pods of
/// default-scheduler.
fn waits_for_ever(facts: &Facts, kept: &SchedulerRecord) -> Option<String> {
    let stock_is_there = facts.stock_schedulers().is_some_and(|seen| !seen.is_empty());
    if kept.elects || kept.keep_standby || stock_is_there {
        return None;
    }
    let because = "nothing shows that the stock scheduler asks for the lease (where it does, start it first), so that ours has \
                   to be silent before it begins";
    unpinned(facts, facts.scheduler.as_ref()?, because, Some("mode=primary"))
}

fn scheduler_steps(facts: &Facts, kept: &SchedulerRecord, start: Option<Change>) -> Vec<Step> {
    let ours = facts.scheduler.as_ref();
    let leave = |title: &str| our_flag(Step::new(title), ours, "headroom-scheduler", "mode", Some(&kept.mode));
    let answered = || Check::Answered { canaries: vec![Kind::Pod], by: Some(Who::Stock) };
    if kept.elects || kept.keep_standby {
        let mut steps = Vec::new();
        steps.extend(start.map(|start| Step::new("The stock scheduler stands by").change(start)));
        steps.push(leave("Ours gives the lease up, and the stock scheduler goes on").check(Check::Leads(Who::Stock)));
        steps.push(Step::new("See it work").check(answered()));
        return steps;
    }
    if start.is_none() {
        // A silence would not come: stock is at work, or waits for ours to give the lease up.
        let work = Step::new("See it work").check(answered());
        return vec![leave("Ours leaves default-scheduler alone. The stock scheduler is there"), work];
    }
    let quiet = Check::Quiet { canaries: vec![Kind::Pod], loops: Vec::new() };
    let step = Step::new("The stock scheduler goes on");
    let step = start.into_iter().fold(step, Step::change);
    vec![
        leave("Ours leaves default-scheduler alone. Pods wait until the next step").check(quiet),
        step.check(answered()),
    ]
}

/// What `--controllers` of ours says after a handback of these loops; none where the flag goes. One that was there before the
/// takeover may have some of them as well.
fn list_of_ours(facts: &Facts, after: &LeftOut, loops: &[String]) -> Option<String> {
    let list = match facts.record.loops.as_ref().filter(|_| after.loops.is_empty()) {
        Some(kept) => kept.controllers.as_deref(),
        None => facts.controllers.as_ref().and_then(|ours| ours.flag("controllers")),
    };
    list.map(|list| stock::strike(list, loops)).filter(|list| !list.is_empty())
}

fn loop_steps(facts: &Facts, now: &LeftOut, after: &LeftOut, loops: &[String], list: Option<&str>) -> Vec<Step> {
    let ours = facts.controllers.as_ref();
    let asked = canaries(loops);
    let stop = Step::new("Ours leaves them alone. Their work waits until the next step");
    let (copied, _) = tuned::to_take_back(facts, loops);
    let mut flags = vec![("controllers", list)];
    flags.extend(copied.iter().map(|name| (name.as_str(), None)));
    let stop = our_flags(stop, ours, "headroom-controllers", &flags);
    let quiet = Check::Quiet { canaries: with_control(asked.clone()), loops: Vec::new() };
    let stop = if asked.is_empty() { stop } else { stop.check(quiet) };
    let mut start = Step::new("The stock manager goes on");
    start.changes = stock::loops(facts, now, after).0;
    let answered = (!asked.is_empty()).then_some(Check::Answered { canaries: asked, by: None });
    vec![stop, answered.into_iter().fold(start, Step::check)]
}

/// `changed`: flags of ours that were copied from stock and are not any more what they were copied as.
fn notes(changed: Vec<String>) -> Vec<String> {
    let stays = |name: String| {
        format!("headroom-controllers keeps its --{name}: somebody has changed it since it was copied from stock.")
    };
    changed.into_iter().map(stays).collect()
}
