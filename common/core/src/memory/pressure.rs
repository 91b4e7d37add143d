//! Memory pressure of a node: what counts as known, the state with its hysteresis, and the way out when every node is
//! hot (memory-and-swap.md 5.7; 5.12 (23), (24), (27)).

use super::{SECOND, micros_between, params::Params, sane};
use crate::time::Timestamp;

/// Stall in percent from which a node counts as elevated.
const ELEVATED_PERCENT: f64 = 1.0;
/// Major faults per second that stand for 1 % of stall, where PSI is not known.
const FAULTS_PER_PERCENT: f64 = 25.0;
/// Most stall that faults can stand for.
const PROXY_CAP: f64 = 40.0;
/// Two-way paging has to last this long.
const PAGING_SECONDS: i64 = 30;
/// A state without new readings is believed for this long.
const HOLD_SECONDS: i64 = 600;
/// A node that has been up for this long and swaps or faults has had time to stall once.
const SETTLED_UPTIME_SECONDS: i64 = 600;

/// The published state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PressureState {
    /// No stall to speak of.
    #[default]
    Calm,
    /// Some stall: fewer points.
    Elevated,
    /// Tasks wait for memory: no new pods.
    Hot,
    /// The node does little but page: no new pods, and not soon.
    Thrash,
}

impl PressureState {
    /// The name in API objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "Calm",
            Self::Elevated => "Elevated",
            Self::Hot => "Hot",
            Self::Thrash => "Thrash",
        }
    }

    /// The inverse of [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Calm, Self::Elevated, Self::Hot, Self::Thrash].into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the `pressure` rule rejects.
    #[must_use]
    pub const fn closed(self) -> bool {
        matches!(self, Self::Hot | Self::Thrash)
    }
}

/// Memory PSI of a node that is known to be measured, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Psi {
    /// `some.avg10`.
    pub some10: f64,
    /// `some.avg60`.
    pub some60: f64,
    /// `full.avg10`.
    pub full10: f64,
    /// `full.avg60`.
    pub full60: f64,
}

/// One line of PSI as the kubelet reports it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PsiLine {
    /// Percent over 10 s.
    pub avg10: f64,
    /// Percent over 60 s.
    pub avg60: f64,
    /// Percent over 300 s.
    pub avg300: f64,
    /// Since boot; its unit differs between kubelets, so only zero or not is read.
    pub total: u64,
}

impl PsiLine {
    fn zero(&self) -> bool {
        self.avg10 == 0.0 && self.avg60 == 0.0 && self.avg300 == 0.0 && self.total == 0
    }
}

/// The node's PSI when it can be believed: a kernel without PSI reports zeros, which on a node that has been up for a
/// while and swaps or faults cannot be true.
#[must_use]
pub fn known_psi(
    some: Option<&PsiLine>,
    full: Option<&PsiLine>,
    uptime_seconds: i64,
    swap_used: Option<i64>,
    major_faults: Option<f64>,
) -> Option<Psi> {
    let some = some?;
    let full = full.copied().unwrap_or_default();
    let busy = swap_used.is_some_and(|used| used > 0) || major_faults.is_some_and(|rate| rate > 1.0);
    if some.zero() && full.zero() && uptime_seconds > SETTLED_UPTIME_SECONDS && busy {
        return None;
    }
    let percent = |x: f64| sane(x).map(|x| x.min(100.0));
    Some(Psi {
        some10: percent(some.avg10)?,
        some60: percent(some.avg60)?,
        full10: percent(full.avg10)?,
        full60: percent(full.avg60)?,
    })
}

/// The stall in percent that major faults stand for.
#[must_use]
pub fn proxy(major_faults: f64) -> Option<f64> {
    sane(major_faults).map(|rate| (rate / FAULTS_PER_PERCENT).min(PROXY_CAP))
}

/// `some60` in percent: PSI if known, else what faults stand for; `None` = neither is known.
#[must_use]
pub fn effective_some60(psi: Option<&Psi>, major_faults: Option<f64>) -> Option<f64> {
    psi.and_then(|psi| sane(psi.some60)).map(|x| x.min(100.0)).or_else(|| major_faults.and_then(proxy))
}

/// One look at a node.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    /// When.
    pub at: Timestamp,
    /// PSI, if known ([`known_psi`]).
    pub psi: Option<Psi>,
    /// Major faults per second since the reading before.
    pub major_faults: Option<f64>,
    /// Pages per second in from swap, if a provider has them.
    pub swap_in: Option<f64>,
    /// Pages per second out to swap.
    pub swap_out: Option<f64>,
}

/// A node's state and what it takes to leave it. The node-headroom controller keeps one per node.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// The state.
    pub state: PressureState,
    /// Since when (`stateSince`).
    pub since: Timestamp,
    /// The newest reading.
    at: Timestamp,
    /// The newest reading that said anything.
    known_at: Timestamp,
    /// Since when the stall has been below `leavePercent`.
    below_since: Option<Timestamp>,
    /// Since when pages have gone both ways at the rate of thrashing.
    paging_since: Option<Timestamp>,
    /// When the node last met the conditions of Thrash.
    thrashed_at: Option<Timestamp>,
    /// What the faults of the reading before stood for.
    last_proxy: Option<f64>,
    started: bool,
}

impl Pressure {
    /// A node of which this is published: after a restart of the controller hysteresis begins anew at `at`, but the
    /// state and its age stay.
    #[must_use]
    pub fn resume(state: PressureState, since: Timestamp, at: Timestamp) -> Self {
        Self {
            state,
            since,
            at,
            known_at: at,
            thrashed_at: (state == PressureState::Thrash).then_some(at),
            started: true,
            ..Self::default()
        }
    }

    /// The state after this reading. One that is not newer than the last changes nothing (kubelets repeat samples).
    #[must_use]
    pub fn step(self, reading: &Reading, params: &Params) -> Self {
        if self.started && reading.at <= self.at {
            return self;
        }
        let at = reading.at;
        let before = if self.started { self } else { Self { since: at, at, known_at: at, started: true, ..self } };
        let mut next = Self { at, ..before };
        next.paging_since = before.paging(reading, params);
        let paging = next.paging_since.is_some_and(|since| held(since, at, PAGING_SECONDS));

        // What must be reached to enter a state, and what must be left behind to leave one. They differ for the proxy:
        // one reading with many faults is no proof, so two in a row have to agree to enter.
        let (enter10, enter60, leave60, full) = if let Some(psi) = reading.psi {
            next.last_proxy = None;
            (psi.some10, psi.some60, psi.some60, psi.full10.min(psi.full60))
        } else if let Some(now) = reading.major_faults.and_then(proxy) {
            let both = before.last_proxy.map_or(0.0, |last| last.min(now));
            next.last_proxy = Some(now);
            (both, both, now, 0.0)
        } else if paging {
            next.last_proxy = None;
            (0.0, 0.0, 0.0, 0.0)
        } else {
            next.last_proxy = None;
            next.below_since = None;
            if before.state != PressureState::Calm && micros_between(before.known_at, at) > HOLD_SECONDS * SECOND {
                next.state = PressureState::Calm;
                next.since = at;
            }
            return next;
        };
        next.known_at = at;

        let thrashing = full >= params.thrash_percent || paging;
        if thrashing {
            next.thrashed_at = Some(at);
        }
        next.below_since =
            if leave60 < params.leave_percent && !thrashing { before.below_since.or(Some(at)) } else { None };
        let quiet = next.below_since.is_some_and(|since| held(since, at, params.leave_seconds));
        let cooled = next.thrashed_at.is_none_or(|last| held(last, at, params.cool_down_seconds));
        let settled = if enter60 >= ELEVATED_PERCENT { PressureState::Elevated } else { PressureState::Calm };
        next.state = match before.state {
            _ if thrashing => PressureState::Thrash,
            PressureState::Thrash if !(quiet && cooled) => PressureState::Thrash,
            _ if enter60 >= params.hot_percent && enter10 >= params.hot_percent => PressureState::Hot,
            PressureState::Hot if !quiet => PressureState::Hot,
            _ => settled,
        };
        if next.state != before.state {
            next.since = at;
        }
        next
    }

    /// Since when pages go both ways. A rate is that of the time since the reading before, so it began there.
    fn paging(&self, reading: &Reading, params: &Params) -> Option<Timestamp> {
        let fast = |rate: Option<f64>| rate.is_some_and(|rate| rate >= params.thrash_pages_per_second);
        (fast(reading.swap_in) && fast(reading.swap_out)).then(|| self.paging_since.unwrap_or(self.at))
    }
}

fn held(since: Timestamp, at: Timestamp, seconds: i64) -> bool {
    micros_between(since, at) >= seconds.saturating_mul(SECOND)
}

/// A node as the escape sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EscapeNode<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its state as far as it is believed.
    pub state: PressureState,
    /// Since when, when known.
    pub since: Option<Timestamp>,
    /// Its stall in percent.
    pub some60: Option<f64>,
    /// The pod's whole demand fits in its RAM: `d <= H`.
    pub fits_ram: bool,
}

/// The node to open when every node that the pod could go to has been hot or thrashing for `escapeSeconds` and the pod
/// has waited as long: the calmest one that does not thrash and where the pod fits in RAM (lowest stall, then name).
pub fn escape<'a>(
    nodes: impl IntoIterator<Item = EscapeNode<'a>>,
    waiting_since: Option<Timestamp>,
    now: Timestamp,
    params: &Params,
) -> Option<&'a str> {
    let long = |since: Option<Timestamp>| since.is_some_and(|since| held(since, now, params.escape_seconds));
    if !long(waiting_since) {
        return None;
    }
    let mut best: Option<(f64, &'a str)> = None;
    for node in nodes {
        if !node.state.closed() || !long(node.since) {
            return None;
        }
        if node.state == PressureState::Thrash || !node.fits_ram {
            continue;
        }
        let stall = node.some60.unwrap_or(100.0);
        let calmer = best.is_none_or(|(least, name)| stall.total_cmp(&least).then(node.name.cmp(name)).is_lt());
        if calmer {
            best = Some((stall, node.name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{PressureState::*, *};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    fn some(seconds: i64, some10: f64, some60: f64) -> Reading {
        Reading { at: at(seconds), psi: Some(Psi { some10, some60, ..Psi::default() }), ..Reading::default() }
    }

    fn run(readings: &[Reading]) -> Vec<PressureState> {
        let params = Params::default();
        let mut pressure = Pressure::default();
        readings
            .iter()
            .map(|reading| {
                pressure = pressure.step(reading, &params);
                pressure.state
            })
            .collect()
    }

    #[test]
    fn hot_leaves_after_a_minute_below_five() {
        let states = run(&[
            some(0, 0.0, 0.9),
            some(15, 3.0, 1.0),
            some(30, 12.0, 9.0),
            some(45, 12.0, 10.0),
            some(60, 2.0, 6.0),
            some(75, 1.0, 4.0),
            some(90, 1.0, 4.9),
            some(105, 1.0, 5.0),
            some(120, 0.0, 3.0),
            some(179, 0.0, 2.0),
            some(180, 0.0, 2.0),
            some(195, 0.0, 0.5),
        ]);
        assert_eq!(states, [Calm, Elevated, Elevated, Hot, Hot, Hot, Hot, Hot, Hot, Hot, Elevated, Calm]);
    }

    #[test]
    fn f15_falling_stall_that_was_not_hot_is_elevated() {
        assert_eq!(run(&[some(0, 4.0, 12.0)]), [Elevated]);
    }

    #[test]
    fn f16_full_stall_thrashes_and_cools_for_two_minutes() {
        let full = |seconds, full| Reading {
            psi: Some(Psi { some10: full, some60: full, full10: full, full60: full }),
            ..some(seconds, 0.0, 0.0)
        };
        let states =
            run(&[full(0, 12.0), some(15, 0.0, 4.0), some(75, 0.0, 0.5), some(119, 0.0, 0.5), some(120, 0.0, 0.5)]);
        assert_eq!(states, [Thrash, Thrash, Thrash, Thrash, Calm]);
        // The cool-down alone is not enough.
        let states = run(&[full(0, 12.0), some(100, 0.0, 4.0), some(130, 0.0, 2.0), some(160, 0.0, 2.0)]);
        assert_eq!(states, [Thrash, Thrash, Thrash, Elevated]);
    }

    #[test]
    fn f17_paging_both_ways_thrashes() {
        let paging = |seconds, swap_in: f64, swap_out: f64| Reading {
            swap_in: Some(swap_in),
            swap_out: Some(swap_out),
            ..some(seconds, 0.0, 0.2)
        };
        let both = |seconds| paging(seconds, 1500.0, 1500.0);
        assert_eq!(run(&[both(0), both(15), both(30)]), [Calm, Calm, Thrash]);
        assert_eq!(run(&[some(0, 0.0, 0.0), both(15), both(30)]), [Calm, Calm, Thrash]);
        assert_eq!(run(&[both(0), both(15), paging(30, 10.0, 1500.0), both(45)]), [Calm; 4]);
        // Out alone is healthy: cold pages leave.
        assert_eq!(run(&[paging(0, 10.0, 1500.0), paging(60, 10.0, 1500.0)]), [Calm, Calm]);
    }

    #[test]
    fn faults_stand_in_for_psi_when_two_readings_agree() {
        let faults = |seconds, rate: f64| Reading { at: at(seconds), major_faults: Some(rate), ..Reading::default() };
        assert_eq!(run(&[faults(0, 900.0), faults(15, 250.0)]), [Calm, Hot]);
        assert_eq!(run(&[faults(0, 900.0), faults(15, 30.0), faults(30, 900.0)]), [Calm, Elevated, Elevated]);
        assert_eq!(run(&[faults(0, f64::NAN), faults(15, -3.0)]), [Calm, Calm]);
        assert_eq!(effective_some60(None, Some(30.0)), Some(1.2));
        assert_eq!(effective_some60(None, Some(1e9)), Some(40.0));
        assert_eq!(effective_some60(None, None), None);
    }

    #[test]
    fn a_state_without_readings_ends_after_ten_minutes() {
        let silent = |seconds| Reading { at: at(seconds), ..Reading::default() };
        assert_eq!(run(&[some(0, 20.0, 20.0), silent(600), silent(601)]), [Hot, Hot, Calm]);
    }

    #[test]
    fn repeated_samples_change_nothing() {
        let params = Params::default();
        let hot = Pressure::default().step(&some(0, 20.0, 20.0), &params);
        assert_eq!(hot.step(&some(0, 0.0, 0.0), &params), hot);
        assert_eq!(hot.since, at(0));
        let resumed = Pressure::resume(Thrash, at(-50), at(0));
        assert_eq!(resumed.step(&some(15, 0.0, 0.0), &params).state, Thrash);
        assert_eq!(resumed.since, at(-50));
    }

    #[test]
    fn f19_zeros_of_a_busy_node_are_unknown() {
        let zero = PsiLine::default();
        let known = |uptime, used, faults| known_psi(Some(&zero), Some(&zero), uptime, used, faults).is_some();
        assert!(!known(3600, Some(300), Some(30.0)));
        assert!(!known(3600, None, Some(1.1)));
        assert!(known(600, Some(300), Some(30.0)));
        assert!(known(3600, Some(0), Some(1.0)));
        assert!(known_psi(Some(&PsiLine { total: 1, ..zero }), None, 3600, Some(1), None).is_some());
        assert!(known_psi(Some(&PsiLine { avg60: f64::NAN, ..zero }), None, 0, None, None).is_none());
        assert!(known_psi(None, Some(&zero), 0, None, None).is_none());
    }

    #[test]
    fn f24_the_calmest_hot_node_is_opened() {
        let params = Params::default();
        let node = |name, state, since, some60| EscapeNode { name, state, since, some60, fits_ram: true };
        let old = Some(at(-300));
        let all = [
            node("a", Thrash, old, Some(3.0)),
            node("c", Hot, old, Some(12.0)),
            node("b", Hot, old, Some(12.0)),
            node("d", Hot, old, None),
        ];
        assert_eq!(escape(all, old, at(0), &params), Some("b"));
        assert_eq!(escape(all, old, at(-1), &params), None);
        assert_eq!(escape(all, Some(at(-299)), at(0), &params), None);
        assert_eq!(escape(all, None, at(0), &params), None);
        let mut one_open = all;
        one_open[3].state = Elevated;
        assert_eq!(escape(one_open, old, at(0), &params), None);
        let mut no_room = all;
        no_room[2].fits_ram = false;
        assert_eq!(escape(no_room, old, at(0), &params), Some("c"));
        assert_eq!(escape([], old, at(0), &params), None);
    }
}
