//! Who does what, and what shows it. Pure. What nothing shows is unknown, and said to be.

use serde::Serialize;

use crate::{
    distribution::facts::{CONTROLLERS_LEASE, Facts, MANAGER_LEASE, SCHEDULER, SCHEDULER_LEASE, Who},
    doctor::{
        Program,
        control_loops::{self, LOOPS, Manager},
        cut, schedulers,
    },
    top::table::age,
};

/// A sighting that is older shows nothing of today, seconds.
const RECENT: u64 = 3600;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Owner {
    Headroom,
    Stock,
    /// Both: they fight.
    Both,
    /// Nobody: it stands still.
    Nobody,
    Unknown,
}

impl Owner {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Headroom => "headroom",
            Self::Stock => "stock",
            Self::Both => "BOTH",
            Self::Nobody => "NOBODY",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn of(who: Who) -> Self {
        match who {
            Who::Ours => Self::Headroom,
            Who::Stock => Self::Stock,
        }
    }

    /// Whether it is as it should be, as far as is known.
    pub(crate) const fn is_well(self) -> bool {
        !matches!(self, Self::Both | Self::Nobody)
    }
}

/// A job, and who does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    /// `scheduler`, or a loop.
    pub(crate) name: String,
    pub(crate) owner: Owner,
    /// What shows it, the strongest first.
    pub(crate) evidence: Vec<String>,
    /// Nothing shows the owner but what somebody wrote in the last hour.
    #[serde(skip)]
    pub(crate) guessed: bool,
}

/// The scheduler, and each loop that Headroom can take over.
pub(crate) fn jobs(facts: &Facts) -> Vec<Job> {
    let mut jobs = vec![scheduler(facts)];
    let look = facts.look();
    let stock = control_loops::stock(&look);
    let (ours, all_known) = control_loops::ours(&look);
    let ours =
        Lists { managers: &ours, known: all_known && (!ours.is_empty() || facts.holds(CONTROLLERS_LEASE).is_none()) };
    let stock = Lists { managers: &stock, known: !stock.is_empty() };
    jobs.extend(LOOPS.into_iter().map(|(name, alias)| one_loop(facts, name, alias, &stock, &ours)));
    jobs
}

/// What somebody's managers are told to run.
struct Lists<'m, 'a> {
    managers: &'m [Manager<'a>],
    /// Whether these are all.
    known: bool,
}

impl Lists<'_, '_> {
    fn runs(&self, name: &str, alias: &str) -> Option<&Manager<'_>> {
        self.managers.iter().find(|manager| control_loops::runs(&manager.list, name, alias))
    }
}

fn one_loop(facts: &Facts, name: &str, alias: &str, stock: &Lists<'_, '_>, ours: &Lists<'_, '_>) -> Job {
    let mut evidence = Vec::new();
    let (theirs, own) = (stock.runs(name, alias), ours.runs(name, alias));
    for manager in theirs.iter().chain(&own) {
        evidence.push(format!("{} runs it", manager.name));
    }
    if let (None, Some(first)) = (theirs, stock.managers.first()) {
        evidence.push(format!("{} leaves it out", first.name));
    }
    let mut owner = match (theirs.is_some(), own.is_some()) {
        (true, true) => Owner::Both,
        (true, false) => Owner::Stock,
        // Where no list of stock is seen, it may have the loop as well.
        (false, true) if stock.known => Owner::Headroom,
        (false, false) if stock.known && ours.known => Owner::Nobody,
        _ => Owner::Unknown,
    };
    let recent = facts.last_seen(name).filter(|seen| facts.at.since(seen.at).as_secs() <= RECENT);
    let guessed = owner == Owner::Unknown && recent.is_some();
    if let Some(seen) = recent {
        let ago = age(facts.at.since(seen.at).as_secs());
        evidence.push(format!("{} wrote {} {ago} ago, and nobody else later", cut(&seen.manager), seen.object));
        if guessed {
            owner = Owner::of(seen.who);
        }
    }
    let yielded =
        facts.state.told.iter().find(|told| told.reason == "YieldedToAnotherManager" && told.message.contains(name));
    if let Some(told) = yielded {
        evidence.push(told.message.clone());
    }
    if evidence.is_empty() {
        evidence.push(nothing(facts));
    }
    Job { name: name.to_owned(), owner, evidence, guessed }
}

/// What is known of the managers when nothing is known of a loop.
fn nothing(facts: &Facts) -> String {
    let held = |lease: &str, who: Who| facts.holds(lease) == Some(who);
    let both = (held(MANAGER_LEASE, Who::Stock), held(CONTROLLERS_LEASE, Who::Ours));
    match both {
        (true, true) => "both managers run, and no arguments of theirs are seen",
        (true, false) => "the stock manager runs, and no arguments of it are seen",
        (false, true) => "headroom-controllers runs, and no arguments of it are seen",
        (false, false) => "no manager is seen, nor anything that it wrote lately",
    }
    .to_owned()
}

fn scheduler(facts: &Facts) -> Job {
    let mut evidence = Vec::new();
    let leader = facts.holds(SCHEDULER_LEASE);
    if let (Some(_), Some(lease)) = (leader, facts.leases.get(SCHEDULER_LEASE)) {
        let ago = lease.renewed.map_or(0, |renewed| facts.at.since(renewed).as_secs());
        evidence.push(format!(
            "{} ({}) renewed the lease kube-scheduler {} ago",
            lease.renewer,
            lease.holder,
            age(ago)
        ));
    }
    let look = facts.look();
    let alone = facts.stock_elects() == Some(false);
    let seen = facts.stock_schedulers();
    match &seen {
        Some(seen) if seen.is_empty() => evidence.push("no stock scheduler is started".to_owned()),
        Some(seen) => {
            let election = if alone { ", without asking for the lease" } else { "" };
            evidence.push(format!("{}{election}", cut(&seen.join(", "))));
        }
        None => {}
    }
    let ours_alone = look.running(Program::Scheduler).any(|pod| {
        let primary = crate::doctor::flag(&pod.args, "mode").last().is_none_or(|mode| *mode == "primary");
        !pod.args.is_empty() && primary && !schedulers::elects(&pod.args)
    });
    if let Some(ours) = facts.scheduler.as_ref().filter(|ours| ours.replicas > 0) {
        evidence.push(format!("Deployment {} has --mode={}", ours.full_name(), ours.mode()));
    }
    let stock_at_work = leader == Some(Who::Stock) || (alone && seen.as_ref().is_some_and(|seen| !seen.is_empty()));
    let ours_at_work = leader == Some(Who::Ours) || ours_alone;
    let mut owner = match (stock_at_work, ours_at_work) {
        (true, true) => Owner::Both,
        (true, false) => Owner::Stock,
        (false, true) => Owner::Headroom,
        (false, false) if seen.as_ref().is_some_and(Vec::is_empty) && facts.our_mode() != Some("primary") => {
            Owner::Nobody
        }
        (false, false) => Owner::Unknown,
    };
    let recent = facts.last_seen(SCHEDULER).filter(|seen| facts.at.since(seen.at).as_secs() <= RECENT);
    let guessed = owner == Owner::Unknown && recent.is_some();
    if let Some(seen) = recent {
        let ago = age(facts.at.since(seen.at).as_secs());
        evidence.push(format!("{} bound {} {ago} ago, and nobody else later", cut(&seen.manager), seen.object));
        if guessed {
            owner = Owner::of(seen.who);
        }
    }
    if let Some(told) = facts.state.told.iter().find(|told| told.reason == "ForeignBinding") {
        evidence.push(told.message.clone());
    }
    if evidence.is_empty() {
        evidence.push("no lease, no pod, no event of a binding is seen".to_owned());
    }
    Job { name: SCHEDULER.to_owned(), owner, evidence, guessed }
}
