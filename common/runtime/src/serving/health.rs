//! Named health checks, rendered as the API server's `healthz` package renders them.

use std::{fmt, sync::Arc};

use parking::Mutex;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::metrics::{Registry, registered};

/// What a check answers: fine, or why not.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Which of the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `/livez`: restart me when this fails.
    Live,
    /// `/readyz`: everything is known that decisions rest on.
    Ready,
    /// `/healthz`.
    Health,
}

/// The checks of one process.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<Named>>>,
    sli: Option<Sli>,
}

/// What `/metrics/slis` shows: the results of the checks that probes asked for (`component-base/metrics/prometheus/slis`).
#[derive(Clone)]
struct Sli {
    registry: Registry,
    last: IntGaugeVec,
    total: IntCounterVec,
}

impl Sli {
    fn new() -> Result<Self, prometheus::Error> {
        // It remembers, for the reference: two families.
        let registry = Registry::remembering();
        let last = Opts::new("kubernetes_healthcheck", "This metric records the result of a single healthcheck.");
        let total = Opts::new("kubernetes_healthchecks_total", "This metric records the results of all healthcheck.");
        Ok(Self {
            last: registered(&registry, IntGaugeVec::new(last, &["name", "type"])?)?,
            total: registered(&registry, IntCounterVec::new(total, &["name", "status", "type"])?)?,
            registry,
        })
    }

    fn observe(&self, name: &str, probe: &str, fine: bool) {
        self.last.with_label_values(&[name, probe]).set(i64::from(fine));
        let status = if fine { "success" } else { "error" };
        self.total.with_label_values(&[name, status, probe]).inc();
    }
}

type Named = (Probe, &'static str, Check);

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

impl Health {
    /// Without checks yet. With metrics of their results.
    ///
    /// # Errors
    /// Never in practice: the metrics' names are valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { checks: Arc::default(), sli: Some(Sli::new()?) })
    }

    /// What `/metrics/slis` shows.
    #[must_use]
    pub fn slis(&self) -> Option<&Registry> {
        self.sli.as_ref().map(|sli| &sli.registry)
    }

    /// Adds a check to an endpoint.
    pub fn add(&self, probe: Probe, name: &'static str, check: Check) {
        self.checks.lock().push((probe, name, check));
    }

    /// Whether all checks of the endpoint pass, and the text that says which: one line for each with `verbose`, or when
    /// one fails.
    #[must_use]
    pub fn report(&self, probe: Probe, verbose: bool) -> (bool, String) {
        let word = match probe {
            Probe::Live => "livez",
            Probe::Ready => "readyz",
            Probe::Health => "healthz",
        };
        let checks: Vec<_> = self.checks.lock().iter().filter(|(p, ..)| *p == probe).cloned().collect();
        let mut text = String::from("[+]ping ok\n");
        let mut healthy = true;
        let observe = |name: &str, fine| {
            if let Some(sli) = &self.sli {
                sli.observe(name, word, fine);
            }
        };
        observe("ping", true);
        for (_, name, check) in checks {
            let result = check();
            observe(name, result.is_ok());
            match result {
                Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
                Err(why) => {
                    healthy = false;
                    text.push_str(&format!("[-]{name} failed: {why}\n"));
                }
            }
        }
        match (healthy, verbose) {
            (true, false) => (true, "ok".to_owned()),
            (true, true) => (true, format!("{text}{word} check passed\n")),
            (false, _) => (false, format!("{text}{word} check failed\n")),
        }
    }
}

/// A mutex that is never poisoned for its users: checks are pure reads.
mod parking {
    use std::sync::{MutexGuard, PoisonError};

    #[derive(Default)]
    pub(super) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failing_check_is_named() {
        let health = Health::new().unwrap();
        health.add(Probe::Ready, "informers", Arc::new(|| Ok(())));
        assert_eq!(health.report(Probe::Ready, false), (true, "ok".to_owned()));
        health.add(Probe::Ready, "leaderElection", Arc::new(|| Err("lease expired".to_owned())));
        let (healthy, text) = health.report(Probe::Ready, false);
        assert!(!healthy);
        assert_eq!(text, "[+]ping ok\n[+]informers ok\n[-]leaderElection failed: lease expired\nreadyz check failed\n");
        assert_eq!(health.report(Probe::Live, true), (true, "[+]ping ok\nlivez check passed\n".to_owned()));
        let text = crate::metrics::encode(health.slis().unwrap()).unwrap();
        for line in [
            "kubernetes_healthcheck{name=\"leaderElection\",type=\"readyz\"} 0",
            "kubernetes_healthcheck{name=\"informers\",type=\"readyz\"} 1",
            "kubernetes_healthchecks_total{name=\"informers\",status=\"success\",type=\"readyz\"} 2",
            "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"livez\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
