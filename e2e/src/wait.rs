//! Waiting for something to become true, with a deadline and a useful text when it does not.
//!
//! Nothing here sleeps instead of looking: a probe is repeated until it succeeds, first often and then less often.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::time::{Duration, Instant};

use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// Pause before the second look; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Longest pause between two looks.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// Something did not happen within its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {:.1} s in vain for {what}: {last} ({looks} looks)", waited.as_secs_f64())]
pub struct Timeout {
    /// What was waited for.
    pub what: String,
    /// What the last look found.
    pub last: String,
    /// For how long.
    pub waited: Duration,
    /// How often was looked.
    pub looks: u32,
}

/// Repeats `probe` until it answers `Ok`, at most for `timeout`; the value of `Ok` is returned.
///
/// `Err` means "not yet" and says why; the last reason stands in the error. A probe that hangs is cut off at the
/// deadline.
///
/// # Errors
/// [`Timeout`] when the deadline passes.
pub async fn eventually<T, E, F, Fut>(timeout: Duration, what: &str, mut probe: F) -> Result<T, Timeout>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Display,
{
    let start = Instant::now();
    let mut pause = MIN_PAUSE;
    let mut last = "the first look has not answered".to_owned();
    let mut looks = 0_u32;
    loop {
        looks = looks.saturating_add(1);
        match tokio::time::timeout(timeout.saturating_sub(start.elapsed()), probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason.to_string(),
            Err(_) => last = format!("a look got no answer in time; before: {last}"),
        }
        if start.elapsed().saturating_add(pause) >= timeout {
            return Err(Timeout { what: what.to_owned(), last, waited: start.elapsed(), looks });
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(MAX_PAUSE);
    }
}

/// Waits with a watch until the object `name` fulfils `condition`; returns the object, or `None` when the condition
/// was fulfilled by its absence.
///
/// Conditions: [`kube::runtime::wait::conditions`] or a closure `|object: Option<&K>| -> bool`.
///
/// # Errors
/// [`Timeout`] when the deadline passes or the watch fails; the text carries the object's last state.
pub async fn wait_for<K>(
    api: Api<K>,
    name: &str,
    timeout: Duration,
    what: &str,
    condition: impl Condition<K>,
) -> Result<Option<K>, Timeout>
where
    K: Clone + Debug + Send + DeserializeOwned + serde::Serialize + Resource + 'static,
{
    let start = Instant::now();
    let failure = match tokio::time::timeout(timeout, await_condition(api.clone(), name, condition)).await {
        Ok(Ok(object)) => return Ok(object),
        Ok(Err(error)) => format!("the watch failed: {error}"),
        Err(_) => "the condition was not met".to_owned(),
    };
    let waited = start.elapsed();
    // The object as it stands helps more than the fact of the timeout; a dead API server must not hold us up here.
    let state = match tokio::time::timeout(Duration::from_secs(5), api.get_opt(name)).await {
        Ok(Ok(Some(object))) => serde_json::to_string(&object).unwrap_or_else(|error| error.to_string()),
        Ok(Ok(None)) => "it does not exist".to_owned(),
        Ok(Err(error)) => format!("it cannot be read: {error}"),
        Err(_) => "it cannot be read: no answer".to_owned(),
    };
    Err(Timeout { what: what.to_owned(), last: format!("{failure}; {name}: {state}"), waited, looks: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn eventually_returns_the_first_success() {
        let calls = Cell::new(0);
        let got = eventually(Duration::from_secs(5), "three", || async {
            calls.set(calls.get() + 1);
            if calls.get() == 3 { Ok(calls.get()) } else { Err("less") }
        })
        .await;
        assert_eq!(got, Ok(3));
    }

    #[tokio::test]
    async fn eventually_tells_what_the_last_look_found() {
        let got: Result<(), _> =
            eventually(Duration::from_millis(30), "the pod", || async { Err::<(), _>("it is Pending") }).await;
        let text = got.unwrap_err().to_string();
        assert!(text.contains("in vain for the pod: it is Pending"), "{text}");
    }

    #[tokio::test]
    async fn a_hanging_probe_is_cut_off() {
        let got: Result<(), _> = eventually(Duration::from_millis(30), "an answer", || async {
            std::future::pending::<Result<(), String>>().await
        })
        .await;
        assert!(got.unwrap_err().last.contains("no answer in time"));
    }
}
