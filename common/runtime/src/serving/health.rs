//! Named health checks, rendered as the API server's `healthz` package renders them.

use std::{fmt, sync::Arc};

use parking::Mutex;

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
pub struct Health(Arc<Mutex<Vec<Named>>>);

type Named = (Probe, &'static str, Check);

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

impl Health {
    /// Adds a check to an endpoint.
    pub fn add(&self, probe: Probe, name: &'static str, check: Check) {
        self.0.lock().push((probe, name, check));
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
        let checks: Vec<_> = self.0.lock().iter().filter(|(p, ..)| *p == probe).cloned().collect();
        let mut text = String::from("[+]ping ok\n");
        let mut healthy = true;
        for (_, name, check) in checks {
            match check() {
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
        let health = Health::default();
        health.add(Probe::Ready, "informers", Arc::new(|| Ok(())));
        assert_eq!(health.report(Probe::Ready, false), (true, "ok".to_owned()));
        health.add(Probe::Ready, "leaderElection", Arc::new(|| Err("lease expired".to_owned())));
        let (healthy, text) = health.report(Probe::Ready, false);
        assert!(!healthy);
        assert_eq!(text, "[+]ping ok\n[+]informers ok\n[-]leaderElection failed: lease expired\nreadyz check failed\n");
        assert_eq!(health.report(Probe::Live, true), (true, "[+]ping ok\nlivez check passed\n".to_owned()));
    }
}
