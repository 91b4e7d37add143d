//! Requests that the API server has answered, from its own counter `apiserver_request_total`.

use super::BenchError;
use super::wire::Wire;

/// Requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Bindings that were made.
    pub(crate) bindings: u64,
    /// Bindings that were refused, for example because the pod had a node already.
    pub(crate) bindings_refused: u64,
    /// Events that were created.
    pub(crate) events: u64,
    /// Events that were changed.
    pub(crate) event_updates: u64,
}

impl Requests {
    /// Reads the API server's metrics.
    pub(crate) async fn read(wire: &Wire) -> Result<Self, BenchError> {
        Ok(Self::parse(&wire.text("/metrics").await?))
    }

    fn parse(text: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines() {
            let Some((labels, value)) =
                line.strip_prefix("apiserver_request_total{").and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let count = number(value);
            let (resource, verb) = (label(labels, "resource"), label(labels, "verb"));
            let made = label(labels, "code") == "201";
            let field = match (resource, label(labels, "subresource"), verb, made) {
                ("pods", "binding", "POST", true) => &mut sum.bindings,
                ("pods", "binding", "POST", false) => &mut sum.bindings_refused,
                ("events", _, "POST", true) => &mut sum.events,
                ("events", _, "PATCH" | "APPLY" | "PUT", _) => &mut sum.event_updates,
                _ => continue,
            };
            *field = field.saturating_add(count);
        }
        sum
    }
}

/// Attempts to schedule a pod by their results, from a scheduler's counter `scheduler_schedule_attempts_total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Attempts {
    /// That found a node.
    pub scheduled: u64,
    /// That found none.
    pub unschedulable: u64,
    /// That failed.
    pub errors: u64,
}

impl Attempts {
    /// Reads a scheduler's metrics.
    pub(crate) fn parse(text: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines() {
            let Some((labels, value)) =
                line.strip_prefix("scheduler_schedule_attempts_total{").and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let count = number(value);
            let field = match label(labels, "result") {
                "scheduled" => &mut sum.scheduled,
                "unschedulable" => &mut sum.unschedulable,
                "error" => &mut sum.errors,
                _ => continue,
            };
            *field = field.saturating_add(count);
        }
        sum
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.scheduled.saturating_add(self.unschedulable).saturating_add(self.errors)
    }
}

/// The sum of a metric's samples that have all of these labels. Values of labels hold neither quotes nor commas.
pub fn sum(text: &str, metric: &str, labels: &[(&str, &str)]) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        let (found, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let all = labels.iter().all(|(name, wanted)| label(found, name) == *wanted);
        all.then(|| value.split_whitespace().next()?.parse::<f64>().ok())?
    };
    text.lines().filter_map(value).sum()
}

/// A counter's value: printed as a float, far below 2^53.
fn number(value: &str) -> u64 {
    value.split_whitespace().next().and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) as u64
}

/// The value of a label; the values that matter here hold neither quotes nor commas.
fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    labels
        .split(',')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_summed_by_what_matters() {
        let text = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="binding",verb="POST",version="v1"} 499
apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="binding",verb="POST",version="v1"} 3
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 500
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 1.2e+03
apiserver_request_total{code="201",group="",resource="events",subresource="",verb="POST"} 1
apiserver_request_total{code="200",group="",resource="events",subresource="",verb="PATCH"} 7
other{code="201"} 5
"#;
        let want = Requests { bindings: 499, bindings_refused: 3, events: 1201, event_updates: 7 };
        assert_eq!(Requests::parse(text), want);
    }

    #[test]
    fn samples_are_summed() {
        let text =
            "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\"} 4.5\na{x=\"2\"} 100\nab{x=\"1\"} 7\nc 8 1700000000\n";
        assert_eq!(sum(text, "a", &[("x", "1")]), 7.5);
        assert_eq!(sum(text, "a", &[]), 107.5);
        assert_eq!((sum(text, "c", &[]), sum(text, "d", &[])), (8.0, 0.0));
    }

    #[test]
    fn attempts_are_read_by_result() {
        let text = r#"scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 500
scheduler_schedule_attempts_total{profile="other",result="scheduled"} 1
scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 7
"#;
        let got = Attempts::parse(text);
        assert_eq!((got, got.all()), (Attempts { scheduled: 501, unschedulable: 7, errors: 0 }, 508));
    }
}
