//! What people should know of a node's memory: conditions on its NodeHeadroom, and an Event on the Node when one begins
//! or ends. Pure; enough hysteresis and a pause between repeated warnings keep a node that wavers quiet.
//!
//! What a sample does not say changes nothing: the condition stays as it is, for as long as figures of a node that went
//! silent count (5.12 (25)), and is then `Unknown`. It never ends by that.

use std::{collections::VecDeque, time::Duration};

use headroom_core::{
    Mono, Timestamp,
    intent::EventType,
    memory::{MIB, PressureState},
    object::{PublishedCondition, Status},
    quantity::human_bytes,
};

use super::status::Verdict;

/// The conditions of this file.
pub const ALERTS: [&str; 4] = ["SwapThrashing", "MemoryHeadroomLow", "SwapNearlyFull", "OOMRisk"];
/// What their ends are called.
const ENDED: [&str; 4] = ["SwapThrashingEnded", "MemoryHeadroomLowEnded", "SwapNearlyFullEnded", "OOMRiskEnded"];
/// Reason of a condition that is not true.
pub const AS_EXPECTED: &str = "AsExpected";
/// Reason of a condition of which no sample says anything.
pub const NO_SAMPLE: &str = "NoSample";
/// What is said of a condition that another process published.
pub const FOUND: &str = "as it was found before this process started";
/// A condition stays as it is for this long, in seconds, when nothing is measured: as deciders take state and swap.
const HELD_SECONDS: i64 = 600;
/// The same warning of a node is repeated after this time at the earliest.
const REPEAT: Duration = Duration::from_secs(600);
/// Swap in use from which it is nearly full …
const SWAP_FULL: f64 = 0.9;
/// … until it is below this again.
const SWAP_ROOM: f64 = 0.8;
/// Headroom from which a node is no longer low, as a fraction of its capacity; it is low below 0.
const ROOM: f64 = 0.02;
/// Samples in a row that have to show a lack of headroom or a risk: one may be a spike.
const IN_A_ROW: u32 = 2;
/// Memory ends within this time: a risk …
const SOON_SECONDS: f64 = 600.0;
/// … until it lasts longer than this.
const LATER_SECONDS: f64 = 1200.0;
/// What is left has to be below this fraction of the capacity for a risk: start-up bursts are none.
const RISK_FRACTION: f64 = 0.25;
/// Samples that a trend needs, and that are kept for it.
const TREND: usize = 4;
const KEPT: usize = 8;
/// Samples older than this, in seconds, say nothing of the trend.
const TREND_SECONDS: i64 = 900;

/// What is looked at of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// When.
    pub at: Timestamp,
    /// `C`.
    pub capacity: i64,
    /// `W`.
    pub working_set: Option<i64>,
    /// `S`, 0 without swap.
    pub swap: i64,
    /// `U`.
    pub swap_used: Option<i64>,
    /// Whether pods may swap.
    pub pods_swap: bool,
    /// `H`.
    pub headroom: Option<i64>,
    /// The state, if the sample says anything of it.
    pub state: Option<PressureState>,
}

impl Figures {
    /// RAM, and swap that pods may take, before the kernel has to kill.
    fn left(&self) -> Option<i64> {
        let ram = self.capacity.saturating_sub(self.working_set?).max(0);
        let swap =
            if self.pods_swap { self.swap.saturating_sub(self.swap_used.unwrap_or(self.swap)).max(0) } else { 0 };
        Some(ram.saturating_add(swap))
    }
}

/// A condition that began or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Warning when it began, Normal when it ended.
    pub kind: EventType,
    /// Its name, or its name and `Ended`.
    pub reason: &'static str,
    /// For people.
    pub note: String,
}

/// What a sample says of one condition.
struct Finding {
    on: bool,
    /// For people, when it is on.
    bad: String,
    /// When it has just ended.
    good: String,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Alert {
    on: bool,
    /// The newest sample that said so.
    known_at: Option<Timestamp>,
    /// What was said of it.
    message: String,
    /// Samples in a row that show it.
    shown: u32,
    /// The last warning.
    told_at: Option<Mono>,
    /// That warning has not been taken back.
    told: bool,
}

/// The conditions of a node.
#[derive(Debug, Clone, Default)]
pub struct Alerts {
    thrashing: Alert,
    low: Alert,
    swap: Alert,
    risk: Alert,
    /// What was left, sample by sample.
    left: VecDeque<(Timestamp, i64)>,
    /// Swap is part of that.
    with_swap: bool,
    /// Samples for which a risk holds although there is no trend (yet).
    trusted: usize,
}

impl Alert {
    fn set(&mut self, on: bool, names: (&'static str, &'static str), note: &str, now: Mono) -> Option<News> {
        let before = std::mem::replace(&mut self.on, on);
        if on && !before && self.told_at.is_none_or(|at| now.since(at) >= REPEAT) {
            self.told_at = Some(now);
            self.told = true;
            return Some(News { kind: EventType::Warning, reason: names.0, note: note.to_owned() });
        }
        if !on && before && std::mem::take(&mut self.told) {
            return Some(News { kind: EventType::Normal, reason: names.1, note: note.to_owned() });
        }
        None
    }

    /// Takes over what a sample that was taken at `at` says, or that it says nothing.
    fn take(
        &mut self,
        names: (&'static str, &'static str),
        found: Option<Finding>,
        at: Timestamp,
        now: Mono,
    ) -> (Verdict, Option<News>) {
        let news = found.and_then(|Finding { on, bad, good }| {
            self.known_at = Some(at);
            let news = self.set(on, names, if on { &bad } else { &good }, now);
            self.message = if on { bad } else { String::new() };
            news
        });
        (self.verdict(names.0, at), news)
    }

    /// The condition at a time.
    fn verdict(&self, kind: &'static str, at: Timestamp) -> Verdict {
        let since = self.known_at.map(Timestamp::truncated);
        let message = match since {
            Some(since) if at.secs().saturating_sub(since.secs()) <= HELD_SECONDS => {
                let (status, reason) = if self.on { (Status::True, kind) } else { (Status::False, AS_EXPECTED) };
                return Verdict { kind, status, reason, message: self.message.clone() };
            }
            Some(since) if self.on => format!("no sample says anything of it since {since}, when it was so"),
            Some(since) => format!("no sample says anything of it since {since}"),
            None => "no sample has said anything of it yet".to_owned(),
        };
        Verdict { kind, status: Status::Unknown, reason: NO_SAMPLE, message }
    }

    fn in_a_row(&mut self, shown: bool) -> bool {
        self.shown = if shown { self.shown.saturating_add(1) } else { 0 };
        self.shown >= IN_A_ROW
    }
}

impl Alerts {
    /// Goes on from the conditions that another process published with a sample of `at`: what stands was told, and is
    /// told again only when it ends.
    #[must_use]
    pub fn resume(published: &[PublishedCondition], at: Timestamp) -> Self {
        let alert = |kind: &str| {
            let decided = |c: &&PublishedCondition| c.kind == *kind && c.status != Status::Unknown;
            let on = published.iter().find(decided).map(|c| c.status == Status::True);
            let message = if on == Some(true) { FOUND.to_owned() } else { String::new() };
            let known_at = on.map(|_| at);
            Alert { on: on == Some(true), told: on == Some(true), known_at, message, ..Alert::default() }
        };
        let [thrashing, low, swap, risk] = ALERTS.map(alert);
        Self { thrashing, low, swap, risk, left: VecDeque::new(), with_swap: false, trusted: TREND }
    }

    fn all(&mut self) -> [&mut Alert; 4] {
        [&mut self.thrashing, &mut self.low, &mut self.swap, &mut self.risk]
    }

    /// Takes a new sample in: the conditions as they are now, and which of them began or ended.
    pub fn look(&mut self, figures: &Figures, now: Mono) -> (Vec<Verdict>, Vec<News>) {
        let found = [thrashes(figures), self.lacks(figures), self.fills(figures), self.risk(figures)];
        let mut verdicts = Vec::with_capacity(ALERTS.len());
        let mut news = Vec::new();
        for (names, (alert, found)) in ALERTS.into_iter().zip(ENDED).zip(self.all().into_iter().zip(found)) {
            let (verdict, change) = alert.take(names, found, figures.at, now);
            verdicts.push(verdict);
            news.extend(change);
        }
        (verdicts, news)
    }

    /// The conditions at a time, without a new sample.
    #[must_use]
    pub fn stand(&self, at: Timestamp) -> [Verdict; 4] {
        let [thrashing, low, swap, risk] = ALERTS;
        [
            self.thrashing.verdict(thrashing, at),
            self.low.verdict(low, at),
            self.swap.verdict(swap, at),
            self.risk.verdict(risk, at),
        ]
    }

    fn lacks(&mut self, figures: &Figures) -> Option<Finding> {
        let headroom = figures.headroom?;
        let enough = headroom as f64 >= ROOM * figures.capacity as f64;
        let short = self.low.in_a_row(headroom < 0);
        Some(Finding {
            on: if self.low.on { !enough } else { short },
            bad: format!(
                "{} of memory are missing for what runs here and the reserve of the kernel",
                human_bytes(headroom.saturating_neg().max(0))
            ),
            good: format!("{} of memory are left", human_bytes(headroom)),
        })
    }

    fn fills(&self, figures: &Figures) -> Option<Finding> {
        let used = figures.swap_used?;
        let limit = if self.swap.on { SWAP_ROOM } else { SWAP_FULL };
        let state = format!("{} of {} swap are in use", human_bytes(used), human_bytes(figures.swap));
        Some(Finding {
            on: figures.swap > 0 && used as f64 >= limit * figures.swap as f64,
            bad: format!("{state}: when it is full, the kernel kills instead of swapping"),
            good: if figures.swap > 0 { state } else { "there is no swap any more".to_owned() },
        })
    }

    /// Whether memory ends soon if it goes on like this, and when.
    fn risk(&mut self, figures: &Figures) -> Option<Finding> {
        let left = figures.left()?;
        let finding = |on, bad| Some(Finding { on, bad, good: "memory no longer runs out".to_owned() });
        // With swap and without it are two curves: what lies between them is no trend.
        let with_swap = figures.pods_swap && figures.swap_used.is_some();
        if std::mem::replace(&mut self.with_swap, with_swap) != with_swap {
            self.left.clear();
            self.trusted = TREND;
        }
        let old = |at: Timestamp| figures.at.secs().saturating_sub(at.secs()) > TREND_SECONDS || at >= figures.at;
        self.left.retain(|(at, _)| !old(*at));
        self.left.push_back((figures.at, left));
        if self.left.len() > KEPT {
            self.left.pop_front();
        }
        self.trusted = self.trusted.saturating_sub(1);
        if self.risk.on && self.left.len() < TREND && self.trusted > 0 {
            // What was seen before stands until there are samples enough, and not for ever.
            return None;
        }
        let Some(rate) = self.rate().filter(|rate| *rate > 0.0) else {
            self.risk.shown = 0;
            return finding(false, String::new());
        };
        let seconds = left as f64 / rate;
        let tight = (left as f64) < RISK_FRACTION * figures.capacity as f64;
        let shown = self.risk.in_a_row(tight && seconds <= SOON_SECONDS);
        let risk = if self.risk.on { tight && seconds <= LATER_SECONDS } else { shown };
        let per_minute = human_bytes((rate * 60.0).round() as i64);
        let minutes = (seconds / 60.0).ceil() as i64;
        let unmeasured = figures.pods_swap && !with_swap;
        let swap = if unmeasured { ", unless there is room in swap, which is not measured" } else { "" };
        let note = format!(
            "memory in use grows by {per_minute} per minute and {} are left: at this rate the kernel starts to kill in \
             about {minutes} min{swap}",
            human_bytes(left)
        );
        finding(risk, note)
    }

    /// Bytes per second by which what is left shrinks: least squares over the samples kept.
    fn rate(&self) -> Option<f64> {
        if self.left.len() < TREND {
            return None;
        }
        let (first, _) = self.left.front()?;
        let points = self.left.iter().map(|(at, left)| {
            // In seconds and MiB, so that squares stay small.
            ((at.0.saturating_sub(first.0)) as f64 / 1e6, *left as f64 / MIB as f64)
        });
        let n = self.left.len() as f64;
        let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
        let (mean_x, mean_y) = (x / n, y / n);
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (a, b) in points {
            covariance += (a - mean_x) * (b - mean_y);
            variance += (a - mean_x) * (a - mean_x);
        }
        (variance > 0.0).then(|| -covariance / variance * MIB as f64).filter(|rate| rate.is_finite())
    }
}

fn thrashes(figures: &Figures) -> Option<Finding> {
    let state = figures.state?;
    Some(Finding {
        on: state == PressureState::Thrash,
        bad:
            "memory is moved to and from swap all the time, and everything on the node waits for it: no pod is placed \
              here; move a pod away or stop one"
                .to_owned(),
        good: format!("the node is {} again", state.as_str()),
    })
}

/// Whether a sample is so old that conditions rest on nothing.
#[must_use]
pub fn outdated(sample: Timestamp, now: Timestamp) -> bool {
    now.secs().saturating_sub(sample.secs()) > HELD_SECONDS
}

#[cfg(test)]
mod tests;
