//! What people should know of a node's memory: conditions on its NodeHeadroom, and an Event on the Node when one begins
//! or ends. Pure; enough hysteresis and a pause between repeated warnings keep a node that wavers quiet.

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
/// Reason of a condition that is not true.
pub const AS_EXPECTED: &str = "AsExpected";
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
    /// The state.
    pub state: PressureState,
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

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Alert {
    on: bool,
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
    /// Samples for which a risk that another process saw still holds.
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

    fn in_a_row(&mut self, shown: bool) -> bool {
        self.shown = if shown { self.shown.saturating_add(1) } else { 0 };
        self.shown >= IN_A_ROW
    }
}

impl Alerts {
    /// Goes on from the conditions that another process published: what stands was told, and is told again only when it
    /// ends.
    #[must_use]
    pub fn resume(published: &[PublishedCondition]) -> Self {
        let alert = |kind: &str| {
            let on = published.iter().any(|c| c.kind == *kind && c.status == Status::True);
            Alert { on, told: on, ..Alert::default() }
        };
        Self {
            thrashing: alert("SwapThrashing"),
            low: alert("MemoryHeadroomLow"),
            swap: alert("SwapNearlyFull"),
            risk: alert("OOMRisk"),
            left: VecDeque::new(),
            trusted: TREND,
        }
    }

    /// Takes a new sample in: the conditions as they are now, and which of them began or ended.
    pub fn look(&mut self, figures: &Figures, now: Mono) -> (Vec<Verdict>, Vec<News>) {
        let mut verdicts = Vec::with_capacity(4);
        let mut news = Vec::new();
        let mut put = |kind: &'static str, ended, on: bool, alert: &mut Alert, bad: String, good: String| {
            let text = if on { &bad } else { &good };
            news.extend(alert.set(on, (kind, ended), text, now));
            let (status, reason) = if on { (Status::True, kind) } else { (Status::False, AS_EXPECTED) };
            verdicts.push(Verdict { kind, status, reason, message: if on { bad } else { String::new() } });
        };

        put(
            "SwapThrashing",
            "SwapThrashingEnded",
            figures.state == PressureState::Thrash,
            &mut self.thrashing,
            "memory is moved to and from swap all the time, and everything on the node waits for it: no pod is placed \
             here; move a pod away or stop one"
                .to_owned(),
            format!("the node is {} again", figures.state.as_str()),
        );

        let headroom = figures.headroom.unwrap_or(0);
        let enough = headroom as f64 >= ROOM * figures.capacity as f64;
        let short = self.low.in_a_row(headroom < 0);
        let low = if self.low.on { !enough } else { short };
        put(
            "MemoryHeadroomLow",
            "MemoryHeadroomLowEnded",
            low && figures.headroom.is_some(),
            &mut self.low,
            format!(
                "{} of memory are missing for what runs here and the reserve of the kernel",
                human_bytes(headroom.saturating_neg().max(0))
            ),
            format!("{} of memory are left", human_bytes(headroom)),
        );

        let used = figures.swap_used.unwrap_or(0) as f64;
        let limit = if self.swap.on { SWAP_ROOM } else { SWAP_FULL };
        let state = |used: i64| format!("{} of {} swap are in use", human_bytes(used), human_bytes(figures.swap));
        put(
            "SwapNearlyFull",
            "SwapNearlyFullEnded",
            figures.swap > 0 && used >= limit * figures.swap as f64,
            &mut self.swap,
            state(figures.swap_used.unwrap_or(0)) + ": when it is full, the kernel kills instead of swapping",
            state(figures.swap_used.unwrap_or(0)),
        );

        let (risk, note) = self.risk(figures);
        let calm = "memory no longer runs out".to_owned();
        put("OOMRisk", "OOMRiskEnded", risk, &mut self.risk, note, calm);
        (verdicts, news)
    }

    /// Whether memory ends soon if it goes on like this, and when.
    fn risk(&mut self, figures: &Figures) -> (bool, String) {
        let Some(left) = figures.left() else { return (self.risk.on, "memory is not known".to_owned()) };
        let old = |at: Timestamp| figures.at.secs().saturating_sub(at.secs()) > TREND_SECONDS || at >= figures.at;
        self.left.retain(|(at, _)| !old(*at));
        self.left.push_back((figures.at, left));
        if self.left.len() > KEPT {
            self.left.pop_front();
        }
        self.trusted = self.trusted.saturating_sub(1);
        if self.risk.on && self.left.len() < TREND && self.trusted > 0 {
            // A new process: what the one before it saw holds until there are samples enough.
            let note = "memory in use was growing; there are not enough samples yet to say whether it still is";
            return (true, note.to_owned());
        }
        let Some(rate) = self.rate().filter(|rate| *rate > 0.0) else {
            self.risk.shown = 0;
            return (false, String::new());
        };
        let seconds = left as f64 / rate;
        let tight = (left as f64) < RISK_FRACTION * figures.capacity as f64;
        let shown = self.risk.in_a_row(tight && seconds <= SOON_SECONDS);
        let risk = if self.risk.on { tight && seconds <= LATER_SECONDS } else { shown };
        let per_minute = human_bytes((rate * 60.0).round() as i64);
        let minutes = (seconds / 60.0).ceil() as i64;
        let note = format!(
            "memory in use grows by {per_minute} per minute and {} are left: at this rate the kernel starts to kill in \
             about {minutes} min",
            human_bytes(left)
        );
        (risk, note)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(second: i64, working_set: i64) -> Figures {
        Figures {
            at: Timestamp::from_secs(1_000_000 + second),
            capacity: 1024 * MIB,
            working_set: Some(working_set * MIB),
            swap: 0,
            swap_used: None,
            pods_swap: false,
            headroom: Some((1024 - 82 - working_set) * MIB),
            state: PressureState::Calm,
        }
    }

    fn reasons(alerts: &mut Alerts, figures: &Figures, second: u64) -> Vec<&'static str> {
        alerts.look(figures, Mono(second * 1_000_000)).1.iter().map(|news| news.reason).collect()
    }

    #[test]
    fn thrashing_is_told_when_it_begins_and_ends() {
        let mut alerts = Alerts::default();
        let at = |second: i64, state| Figures { state, ..figures(second, 500) };
        assert_eq!(reasons(&mut alerts, &at(0, PressureState::Hot), 0), Vec::<&str>::new());
        assert_eq!(reasons(&mut alerts, &at(15, PressureState::Thrash), 15), ["SwapThrashing"]);
        assert_eq!(reasons(&mut alerts, &at(30, PressureState::Thrash), 30), Vec::<&str>::new());
        assert_eq!(reasons(&mut alerts, &at(45, PressureState::Calm), 45), ["SwapThrashingEnded"]);
        // It wavers: nothing more is said within ten minutes, neither of its beginning nor of its end.
        for second in [60_u64, 75, 90] {
            let state = if second == 75 { PressureState::Calm } else { PressureState::Thrash };
            assert_eq!(reasons(&mut alerts, &at(second as i64, state), second), Vec::<&str>::new());
        }
        reasons(&mut alerts, &at(105, PressureState::Calm), 105);
        assert_eq!(reasons(&mut alerts, &at(700, PressureState::Thrash), 700), ["SwapThrashing"]);
        let (verdicts, _) = alerts.look(&at(715, PressureState::Thrash), Mono(715_000_000));
        assert_eq!((verdicts[0].kind, verdicts[0].status), ("SwapThrashing", Status::True));
        assert!(verdicts[0].message.contains("no pod is placed"));
    }

    #[test]
    fn low_headroom_needs_two_samples_and_some_room_to_end() {
        let mut alerts = Alerts::default();
        let mut at = |second: u64, used: i64| {
            let all = reasons(&mut alerts, &figures(second as i64, used), second);
            all.into_iter().filter(|reason| reason.starts_with("Memory")).collect::<Vec<_>>()
        };
        assert_eq!(at(0, 950), Vec::<&str>::new());
        assert_eq!(at(15, 900), Vec::<&str>::new());
        assert_eq!(at(30, 950), Vec::<&str>::new());
        assert_eq!(at(45, 950), ["MemoryHeadroomLow"]);
        assert_eq!(at(60, 930), Vec::<&str>::new(), "12 MiB are less than 2 %");
        assert_eq!(at(75, 900), ["MemoryHeadroomLowEnded"]);
    }

    #[test]
    fn swap_nearly_full() {
        let mut alerts = Alerts::default();
        let mut at = |second: u64, used: i64| {
            let figures = Figures { swap: 1000 * MIB, swap_used: Some(used * MIB), ..figures(second as i64, 500) };
            reasons(&mut alerts, &figures, second)
        };
        assert_eq!(at(0, 899), Vec::<&str>::new());
        assert_eq!(at(15, 900), ["SwapNearlyFull"]);
        assert_eq!(at(30, 800), Vec::<&str>::new());
        assert_eq!(at(45, 799), ["SwapNearlyFullEnded"]);
    }

    #[test]
    fn a_risk_says_when() {
        let mut alerts = Alerts::default();
        let mut told = Vec::new();
        for step in 0..12_i64 {
            // 40 MiB per minute from 700 MiB on.
            let (_, news) = alerts.look(&figures(step * 15, 700 + step * 10), Mono(step as u64 * 15_000_000));
            told.extend(news.into_iter().filter(|n| n.reason.starts_with("OOM")).map(|n| (step, n)));
        }
        let (step, news) = &told[0];
        assert_eq!((told.len(), *step, news.kind), (1, 8, EventType::Warning), "two samples below a quarter");
        assert!(news.note.contains("grows by 40Mi per minute and 244Mi are left"), "{}", news.note);
        assert!(news.note.ends_with("about 7 min"), "{}", news.note);
        // It stops growing.
        let mut ended = Vec::new();
        for step in 12..24_i64 {
            let (_, news) = alerts.look(&figures(step * 15, 800), Mono(step as u64 * 15_000_000));
            ended.extend(news.into_iter().map(|n| n.reason));
        }
        assert_eq!(ended, ["OOMRiskEnded"]);
    }

    #[test]
    fn swap_that_pods_may_use_puts_the_end_off() {
        let mut alerts = Alerts::default();
        for step in 0..12_i64 {
            let growing = Figures {
                swap: 2048 * MIB,
                swap_used: Some(0),
                pods_swap: true,
                ..figures(step * 15, 700 + step * 10)
            };
            let (verdicts, _) = alerts.look(&growing, Mono(step as u64 * 15_000_000));
            assert_eq!(verdicts[3].status, Status::False);
        }
    }

    #[test]
    fn what_another_process_told_is_not_told_again_and_ends_here() {
        let stands =
            |kind: &str| PublishedCondition { kind: kind.into(), status: Status::True, since: Timestamp::from_secs(5) };
        let published = ["SwapThrashing", "OOMRisk", "Fresh", "SomethingElse"].map(stands);
        let mut alerts = Alerts::resume(&published);
        let thrashes = |second| Figures { state: PressureState::Thrash, ..figures(second, 800) };
        for second in [0, 15, 30] {
            let (verdicts, news) = alerts.look(&thrashes(second), Mono(0));
            assert_eq!(news, []);
            assert_eq!(verdicts[3].status, Status::True, "too early to say");
        }
        let calm = figures(45, 800);
        assert_eq!(reasons(&mut alerts, &calm, 45), ["SwapThrashingEnded", "OOMRiskEnded"]);
        // Samples too far apart for any trend: it ends all the same.
        let mut slow = Alerts::resume(&published);
        let ended = (0..4).flat_map(|i| reasons(&mut slow, &thrashes(i * 1000), i as u64)).collect::<Vec<_>>();
        assert_eq!(ended, ["OOMRiskEnded"]);
    }

    #[test]
    fn odd_times_and_sizes_do_no_harm() {
        let mut alerts = Alerts::default();
        for (second, used) in [(0, 0), (0, i64::MAX), (i64::MIN / 4_000_000, -5), (i64::MAX / 4_000_000, 7), (3, 1)] {
            let odd = Figures {
                at: Timestamp(second),
                working_set: Some(used),
                headroom: Some(i64::MIN),
                swap: i64::MAX,
                swap_used: Some(used),
                pods_swap: true,
                ..figures(0, 0)
            };
            alerts.look(&odd, Mono(0));
            alerts.look(&Figures::default(), Mono(0));
        }
    }
}
