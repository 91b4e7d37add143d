//! A trace: what happened, when, how that is known, and what is still missing. The JSON of `-o json` is this.

use headroom_core::Timestamp;
use serde::{Serialize, Serializer};

use super::target::short;

/// An object of the namespace that is traced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
}

impl Object {
    pub(super) fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for Object {
    /// `rc/web`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", short(&self.kind), self.name)
    }
}

/// What can happen to an object, in the order of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Event {
    /// It was written.
    Created,
    /// A pod was given a node.
    Scheduled,
    /// The last of its containers started.
    Started,
    /// It may be sent requests.
    Ready,
    /// An EndpointSlice has it as ready.
    InEndpointSlice,
    /// All its containers ended, and none is started again.
    Ended,
}

impl Event {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Scheduled => "Scheduled",
            Self::Started => "Started",
            Self::Ready => "Ready",
            Self::InEndpointSlice => "InSlice",
            Self::Ended => "Ended",
        }
    }
}

/// How well a time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Precision {
    /// To the microsecond.
    Exact,
    /// The API keeps whole seconds of it.
    Second,
    /// It was then or before.
    NotLater,
    /// It was then or after.
    NotEarlier,
}

/// A time, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    #[serde(serialize_with = "rfc3339")]
    pub(super) at: Timestamp,
    pub(super) precision: Precision,
}

fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

impl Moment {
    pub(super) const fn second(at: Timestamp) -> Self {
        Self { at, precision: Precision::Second }
    }

    /// Seconds from `before` until this. Times in whole seconds are compared as such: a pod that was scheduled in the
    /// second in which it was created took no second, as far as anybody knows.
    pub(super) fn since(self, before: Self) -> f64 {
        let exact = self.precision == Precision::Exact && before.precision == Precision::Exact;
        let (from, to) = if exact { (before.at, self.at) } else { (before.at.truncated(), self.at.truncated()) };
        to.since(from).as_secs_f64()
    }
}

/// One thing that happened to one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) object: Object,
    pub(super) event: Event,
    /// When; absent where nothing says it.
    pub(super) when: Option<Moment>,
    /// Seconds since what came before it in the chain of its object; absent where that is not known.
    pub(super) took_seconds: Option<f64>,
    /// Where the time comes from.
    pub(super) source: String,
    /// What else there is to say, in one line; empty if nothing.
    pub(super) note: String,
}

/// What has not happened yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wait {
    pub(super) object: Object,
    /// The event that comes next.
    #[serde(rename = "for")]
    pub(super) next: Event,
    /// Seconds that it waits.
    pub(super) seconds: Option<f64>,
    /// What for or on whom, in one line.
    pub(super) why: String,
    /// Where that comes from.
    pub(super) source: String,
}

/// How many pods there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Pods {
    /// How many there should be; absent where nobody says it.
    pub(super) wanted: Option<i64>,
    /// How many there are that have not ended.
    pub(super) active: usize,
    /// How many of these are ready.
    pub(super) ready: usize,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trace {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    /// The time as of which it holds.
    #[serde(serialize_with = "rfc3339")]
    pub(super) at: Timestamp,
    pub(super) namespace: String,
    pub(super) target: Object,
    pub(super) pods: Pods,
    /// In the order of time, or the slowest first.
    pub(super) steps: Vec<Step>,
    pub(super) waiting: Vec<Wait>,
}

impl Trace {
    /// The first of all times.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.steps.iter().filter_map(|step| step.when).map(|when| when.at).min()
    }

    /// In the order of time; what has no time comes behind the rest of its object.
    pub(super) fn in_order(&mut self) {
        let last = |object: &Object| {
            let times = self.steps.iter().filter(|step| step.object == *object).filter_map(|step| step.when);
            times.map(|when| when.at).max()
        };
        let key = |step: &Step| {
            let at = step.when.map(|when| when.at).or_else(|| last(&step.object));
            // Whole seconds first: within one the chain says what came first, not the precision.
            (at.map(Timestamp::truncated), step.event, at)
        };
        let mut keyed: Vec<_> = self.steps.iter().map(|step| (key(step), step.clone())).collect();
        // Stable: owners stand before their pods.
        keyed.sort_by_key(|(key, _)| *key);
        self.steps = keyed.into_iter().map(|(_, step)| step).collect();
    }

    /// The slowest first; what took nobody knows how long comes last, in the order of time.
    pub(super) fn slowest_first(&mut self) {
        self.in_order();
        self.steps.sort_by(|a, b| {
            let took = |step: &Step| step.took_seconds.unwrap_or(-1.0);
            took(b).total_cmp(&took(a))
        });
        let waited = |wait: &Wait| wait.seconds.unwrap_or(-1.0);
        self.waiting.sort_by(|a, b| waited(b).total_cmp(&waited(a)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_compared_as_such() {
        let exact = |micros| Moment { at: Timestamp(micros), precision: Precision::Exact };
        let second = |seconds| Moment::second(Timestamp::from_secs(seconds));
        assert_eq!(exact(1_500_000).since(exact(1_250_000)), 0.25);
        assert_eq!(exact(1_900_000).since(second(1)), 0.0);
        assert_eq!(second(2).since(exact(1_900_000)), 1.0);
        assert_eq!(second(1).since(second(5)), 0.0, "clocks differ");
    }
}
