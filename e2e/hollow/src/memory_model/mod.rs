//! A deterministic model of a node's memory: resident pages, swap, stalls, faults and OOM kills.
//!
//! Not a kernel: a few rules, in steps of one second, that reproduce what real kubelets were measured to report
//! (reference memory-and-swap.md 1.4):
//!
//! - A container's demand follows a curve; a share of it is *hot*, touched all the time.
//! - Growth is free while RAM lasts. Then, or at the container's own limit, pages must go to swap first: cold ones,
//!   only of containers that may swap and within their `memory.swap.max`, at half of the disk's bandwidth.
//! - Hot pages in swap are wanted back at once, at the other half of the bandwidth. Each costs a major fault and time.
//!   When only other hot pages could make room, nothing is gained: that is thrashing, and it never ends by itself.
//! - Time spent waiting is the stall; PSI averages follow it with the kernel's windows.
//! - Work is the time without stall, and never more than the disk allows: going once through its hot memory counts as a
//!   second of a container's work, and takes as long as the disk needs for the hot pages that are missing on the node.
//!   (Over-committed, one touch of 300 MiB was measured to take 111 s instead of 0.05 s while PSI said 82 %.) A container
//!   that was given an amount of work is finished when it has done it.
//! - A container over its limit with no swap left is killed after two seconds. A node where nothing can be reclaimed
//!   any more stalls for [`GLOBAL_OOM_SECONDS`], then the container with the highest OOM score dies.
//!
//! Pure: no clock, no randomness. Two calls of [`NodeMemory::tick`] give the same result as one over the same time.

mod cgroup;
mod curve;
mod limits;
mod psi;
#[cfg(test)]
mod tests;

pub(crate) use cgroup::{ContainerParams, Owner};
pub use curve::Curve;
pub(crate) use curve::parse_duration;
pub(crate) use limits::{PAGE, SwapAllowance, SwapSubject, swap_allowance};
pub use limits::{Qos, SwapBehavior};
pub(crate) use psi::{Line, Psi};

use crate::time::Millis;
use cgroup::Cgroup;

/// Length of a step.
pub(crate) const STEP: Millis = 1000;
/// A gap longer than this many steps (the process was stopped) is not replayed in full.
const MAX_STEPS: u64 = 600;
/// Share of RAM that the kernel keeps free.
const KERNEL_RESERVE: f64 = 0.015;
/// Share of the pages chosen by reclaim that turn out to be hot although cold ones were left.
const WRONG_GUESSES: f64 = 0.08;
/// Pages that one major fault brings in (readahead): 48.5 MiB in 3,221 faults were measured.
const READAHEAD: f64 = 4.0;
/// Highest share of a second that a container stalls on swapping.
const MAX_STALL: f64 = 0.78;
/// Stall of everything once only the pages of running programs are left to reclaim.
const HOPELESS_STALL: f64 = 0.7;
/// Seconds over its limit, with no swap left, after which a container is killed.
const LIMIT_OOM_SECONDS: u32 = 2;
/// Seconds without anything to reclaim until the kernel gives up (23 to 43 s after pressure began were measured).
const GLOBAL_OOM_SECONDS: u32 = 25;
/// Less than this is rounding.
const EPSILON: f64 = 1.0;

/// What a node's memory is like. Sizes are bytes.
#[derive(Debug, Clone)]
pub(crate) struct NodeParams {
    pub(crate) ram: u64,
    pub(crate) swap: u64,
    /// Disk bandwidth for swapping, bytes per second, in and out together.
    pub(crate) bandwidth: u64,
    /// Memory of everything outside pods.
    pub(crate) system: Curve,
    pub(crate) system_hot: f64,
}

/// Figures of one cgroup, whole bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) started: Millis,
    pub(crate) resident: u64,
    pub(crate) swapped: u64,
    pub(crate) page_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) psi: Psi,
}

/// What was done and what was not, in seconds summed up since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Progress {
    /// Work of the containers: one that never waits for memory does a second of it per second.
    pub(crate) worked: f64,
    /// Containers ran without stall, however far behind their pages were: what PSI alone says.
    pub(crate) unstalled: f64,
    /// Everything outside pods waited for memory.
    pub(crate) system_stalled: f64,
}

/// The memory of one node.
#[derive(Debug, Clone)]
pub(crate) struct NodeMemory {
    ram: f64,
    swap: f64,
    bandwidth: f64,
    /// The system first, then the containers in the order of their start.
    groups: Vec<Cgroup>,
    last: Millis,
    hopeless: u32,
    psi: Psi,
    forced: Option<(f64, f64)>,
    /// Faults of containers that are gone; a node's counters never fall.
    past_faults: (f64, f64),
    progress: Progress,
}

impl NodeMemory {
    pub(crate) fn new(params: NodeParams, now: Millis) -> Self {
        let mut system = Cgroup::system(params.system, params.system_hot, now);
        system.begin(now);
        system.grow();
        Self {
            ram: params.ram as f64 * (1.0 - KERNEL_RESERVE),
            swap: params.swap as f64,
            bandwidth: (params.bandwidth as f64).max(1.0),
            groups: vec![system],
            last: now,
            hopeless: 0,
            psi: Psi::default(),
            forced: None,
            past_faults: (0.0, 0.0),
            progress: Progress::default(),
        }
    }

    /// Adds a container that starts now, with nothing in memory yet.
    pub(crate) fn add(&mut self, params: ContainerParams, now: Millis) {
        self.remove(params.owner);
        self.groups.push(Cgroup::container(params, now));
    }

    /// Removes a container that ended; all its memory is free at once.
    pub(crate) fn remove(&mut self, owner: Owner) {
        if let Some(index) = self.groups.iter().position(|g| g.owner == Some(owner)) {
            let gone = self.groups.remove(index);
            self.past_faults.0 += gone.page_faults;
            self.past_faults.1 += gone.major_faults;
        }
    }

    /// Replaces a container's curve (time zero is now) and, if given, its hot share. False when there is none.
    pub(crate) fn set_curve(&mut self, owner: Owner, curve: Curve, hot: Option<f64>, now: Millis) -> bool {
        let Some(group) = self.groups.iter_mut().find(|g| g.owner == Some(owner)) else { return false };
        group.curve = curve;
        group.epoch = now;
        if let Some(hot) = hot.filter(|h| h.is_finite()) {
            group.hot = hot.clamp(0.0, 1.0);
        }
        true
    }

    /// Replaces the curve of everything outside pods; time zero is now.
    pub(crate) fn set_system(&mut self, curve: Curve, now: Millis) {
        if let Some(system) = self.groups.first_mut() {
            system.curve = curve;
            system.epoch = now;
        }
    }

    /// Pins the node's PSI to fixed percentages (`some`, `full`), or lets it run again from there.
    pub(crate) fn force_pressure(&mut self, pressure: Option<(f64, f64)>) {
        self.forced = pressure.filter(|(some, full)| some.is_finite() && full.is_finite());
        if let Some((some, full)) = self.forced {
            self.psi.pin(some, full);
        }
    }

    /// Moves the model to `now` in whole steps and returns the containers that were killed, in order.
    ///
    /// A killed container's memory is free at once.
    pub(crate) fn tick(&mut self, now: Millis) -> Vec<Owner> {
        let mut killed = Vec::new();
        let steps = now.saturating_sub(self.last) / STEP;
        if steps > MAX_STEPS {
            self.last += (steps - MAX_STEPS) * STEP;
        }
        while self.last.saturating_add(STEP) <= now {
            self.last += STEP;
            self.step(&mut killed);
        }
        killed
    }

    /// The containers that have done their work, in the order of their start.
    pub(crate) fn finished(&self) -> Vec<Owner> {
        self.groups.iter().filter(|g| g.worked >= g.work).filter_map(|g| g.owner).collect()
    }

    /// What was done so far, by containers that are gone as well.
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// The node's own figures.
    pub(crate) fn node(&self) -> Usage {
        let sum = |f: fn(&Cgroup) -> f64| self.groups.iter().map(f).sum::<f64>();
        Usage {
            started: self.groups.first().map_or(0, |g| g.started),
            resident: pages(sum(Cgroup::resident)),
            swapped: pages(sum(Cgroup::swapped)),
            page_faults: (sum(|g| g.page_faults) + self.past_faults.0) as u64,
            major_faults: (sum(|g| g.major_faults) + self.past_faults.1) as u64,
            psi: self.psi,
        }
    }

    /// Figures of everything outside pods.
    pub(crate) fn system(&self) -> Usage {
        self.groups.first().map(usage).unwrap_or_default()
    }

    /// Figures of one container, if it runs.
    pub(crate) fn container(&self, owner: Owner) -> Option<Usage> {
        self.groups.iter().find(|g| g.owner == Some(owner)).map(usage)
    }

    fn step(&mut self, killed: &mut Vec<Owner>) {
        let now = self.last;
        for group in &mut self.groups {
            group.begin(now);
        }
        let out_left = self.reclaim_for_limits();
        let hopeless = self.reclaim_for_node(out_left);
        let missing: f64 = self.groups.iter().map(Cgroup::missing).sum();
        let round = missing / (self.bandwidth / 2.0);
        for group in &mut self.groups {
            group.grow();
            group.stall = MAX_STALL * (group.missing() / (self.bandwidth / 2.0)).min(1.0);
            if hopeless && group.used > 0.0 {
                group.stall = group.stall.max(HOPELESS_STALL);
            }
            group.pace = 1.0 - group.stall;
            if group.missing() > EPSILON {
                group.pace = group.pace.min(1.0 / round);
            }
        }
        self.swap_in();
        self.account();
        self.kill_over_limit(killed);
        self.hopeless = if hopeless { self.hopeless + 1 } else { 0 };
        if self.hopeless >= GLOBAL_OOM_SECONDS {
            self.hopeless = 0;
            self.kill_worst(killed);
        }
    }

    /// Makes room in containers at their own limit; returns what is left of the write bandwidth.
    fn reclaim_for_limits(&mut self) -> f64 {
        let mut swap_free = self.swap_free();
        let needy = self.groups.iter().filter(|g| g.growth - g.room() > EPSILON).count();
        let fair = self.bandwidth / 2.0 / needy.max(1) as f64;
        let mut out_left = self.bandwidth / 2.0;
        for group in &mut self.groups {
            let excess = group.growth - group.room();
            if excess <= EPSILON {
                group.over_limit = 0;
                continue;
            }
            let possible = group.swap_room().min(swap_free);
            let out = excess.min(possible).min(fair);
            group.swap_out(out);
            swap_free -= out;
            out_left -= out;
            group.growth -= excess - out;
            group.blocked += excess - out;
            let exhausted = possible - out <= EPSILON && excess - out > EPSILON;
            group.over_limit = if exhausted { group.over_limit + 1 } else { 0 };
        }
        out_left.max(0.0)
    }

    /// Makes room on the node for this step's growth; true when nothing is left to reclaim.
    fn reclaim_for_node(&mut self, out_left: f64) -> bool {
        let growth: f64 = self.groups.iter().map(|g| g.growth).sum();
        let free = (self.ram - self.groups.iter().map(Cgroup::resident).sum::<f64>()).max(0.0);
        let need = growth - free;
        if need <= EPSILON {
            return false;
        }
        let possible = self.groups.iter().map(Cgroup::swap_room).sum::<f64>().min(self.swap_free());
        let out = need.min(possible).min(out_left);
        self.swap_out_anywhere(out);
        let granted = ((free + out) / growth).clamp(0.0, 1.0);
        for group in &mut self.groups {
            group.blocked += group.growth * (1.0 - granted);
            group.growth *= granted;
        }
        possible - out <= EPSILON && need - out > EPSILON
    }

    /// Takes `bytes` from all cgroups that may swap: mostly cold pages, in proportion to how many each has.
    fn swap_out_anywhere(&mut self, bytes: f64) {
        if bytes <= 0.0 {
            return;
        }
        let cold_cap = |g: &Cgroup| g.swap_room().min(g.cold_resident());
        let hot_cap = |g: &Cgroup| (g.swap_room() - g.cold_resident().min(g.swap_room())).min(g.hot_resident());
        let cold_total: f64 = self.groups.iter().map(cold_cap).sum();
        let hot_total: f64 = self.groups.iter().map(hot_cap).sum();
        let guessed = (bytes * WRONG_GUESSES).min(hot_total);
        let cold = (bytes - guessed).min(cold_total);
        let hot = (bytes - cold).min(hot_total);
        for group in &mut self.groups {
            let (c, h) = (cold_cap(group), hot_cap(group));
            if cold_total > 0.0 {
                group.swapped_cold += cold * c / cold_total;
            }
            if hot_total > 0.0 {
                group.swapped_hot += hot * h / hot_total;
            }
        }
    }

    /// Brings hot pages back, as far as bandwidth, limits and room allow.
    fn swap_in(&mut self) {
        let wanted: f64 = self.groups.iter().map(|g| g.swapped_hot).sum();
        if wanted <= EPSILON {
            return;
        }
        let share = (self.bandwidth / 2.0 / wanted).min(1.0);
        let mut free = (self.ram - self.groups.iter().map(Cgroup::resident).sum::<f64>()).max(0.0);
        let mut elsewhere = 0.0;
        let mut claims = Vec::with_capacity(self.groups.len());
        for group in &mut self.groups {
            let read = group.swapped_hot * share;
            group.major_faults += read / (PAGE as f64 * READAHEAD);
            group.page_faults += read / PAGE as f64;
            // Into free memory, else in exchange for an own cold page, else for somebody else's.
            let direct = read.min(group.room()).min(free);
            group.swapped_hot -= direct;
            free -= direct;
            let exchanged = (read - direct).min(group.cold_resident());
            group.swapped_hot -= exchanged;
            group.swapped_cold += exchanged;
            let claim = (read - direct - exchanged).min(group.room()).max(0.0);
            elsewhere += claim;
            claims.push(claim);
        }
        let cold: f64 = self.groups.iter().map(|g| g.swap_room().min(g.cold_resident())).sum();
        let moved = elsewhere.min(cold);
        if moved <= EPSILON {
            return;
        }
        for (group, claim) in self.groups.iter_mut().zip(&claims) {
            let give = group.swap_room().min(group.cold_resident()) / cold * moved;
            group.swapped_cold += give;
            group.swapped_hot -= claim / elsewhere * moved;
        }
    }

    /// PSI of this step.
    fn account(&mut self) {
        let (mut worst, mut stalled) = (0.0f64, 0u32);
        for group in &mut self.groups {
            let stall = group.stall;
            group.psi.second(stall, stall);
            if group.owner.is_some() {
                group.worked += group.pace;
                self.progress.worked += group.pace;
                self.progress.unstalled += 1.0 - stall;
            } else {
                self.progress.system_stalled += stall;
            }
            if stall > 0.01 {
                stalled += 1;
                worst = worst.max(stall);
            }
        }
        if let Some((some, full)) = self.forced {
            self.psi.pin(some, full);
            return;
        }
        // One stalled task among few: full follows closely. Many: somebody is mostly able to run (82 and 46 measured
        // with three).
        let others = f64::from(stalled.saturating_sub(1).min(3));
        let some = (worst + 0.02 * others).min(0.9);
        let some = if worst > 0.0 { some } else { 0.0 };
        self.psi.second(some, some * (0.9 - 0.12 * others));
    }

    fn kill_over_limit(&mut self, killed: &mut Vec<Owner>) {
        let doomed: Vec<Owner> =
            self.groups.iter().filter(|g| g.over_limit >= LIMIT_OOM_SECONDS).filter_map(|g| g.owner).collect();
        for owner in doomed {
            self.remove(owner);
            killed.push(owner);
        }
    }

    /// Kills the container with the highest badness: its memory plus `oom_score_adj` thousandths of the RAM.
    fn kill_worst(&mut self, killed: &mut Vec<Owner>) {
        let score = |g: &Cgroup| g.used + g.oom_score_adj as f64 / 1000.0 * self.ram;
        let worst = self
            .groups
            .iter()
            .filter_map(|g| g.owner.map(|owner| (score(g), owner)))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        if let Some((_, owner)) = worst {
            self.remove(owner);
            killed.push(owner);
        }
    }

    fn swap_free(&self) -> f64 {
        (self.swap - self.groups.iter().map(Cgroup::swapped).sum::<f64>()).max(0.0)
    }
}

fn usage(group: &Cgroup) -> Usage {
    Usage {
        started: group.started,
        resident: pages(group.resident()),
        swapped: pages(group.swapped()),
        page_faults: group.page_faults as u64,
        major_faults: group.major_faults as u64,
        psi: group.psi,
    }
}

/// Whole pages of a size in bytes.
fn pages(bytes: f64) -> u64 {
    // A sum of shares may end a hair below the whole page that it means.
    (bytes + 0.5) as u64 / PAGE * PAGE
}
