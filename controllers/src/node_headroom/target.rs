//! What the collector keeps of one node, and when it is polled.

use std::time::Duration;

use hashbrown::HashMap;
use headroom_core::{
    Mono, Str, Timestamp,
    memory::{
        PodUsage, Pressure,
        publish::{Digest, fnv},
    },
};

use super::{
    alerts::Alerts, assess::Measured, command::ScrapeError, configz::KubeletConfig, status::Conditions,
    swap_gap::SwapGap,
};

/// Longest time between two polls of a node that fails.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// First polls are spread so that no more than this many start in a second.
const FIRST_POLLS_PER_SECOND: u64 = 50;

/// The published object, as far as it is known: from its row, or from our own write when the row lags behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// UID.
    pub(super) uid: Str,
    /// Resource version.
    pub(super) resource_version: u64,
    /// Whether it is owned by the node as it is now.
    pub(super) ours: bool,
}

/// One node.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// UID of the Node: a node made anew under the same name starts afresh.
    pub(super) uid: Str,
    /// When to poll next.
    pub(super) due: Mono,
    /// Number of the scrape in flight.
    pub(super) request: Option<u64>,
    /// Waits for room among the scrapes.
    pub(super) waiting: bool,
    /// Failed polls in a row.
    pub(super) failures: u32,
    /// The last failure; absent after a success.
    pub(super) failure: Option<ScrapeError>,
    /// At least one poll has ended: there is something to say.
    pub(super) answered: bool,
    /// The sample.
    pub(super) measured: Option<Measured>,
    /// Whether it was published.
    pub(super) sample_published: bool,
    /// Whether it was not yet looked at for what people should know.
    pub(super) untold: bool,
    /// What people were told.
    pub(super) alerts: Alerts,
    /// They know that it cannot be read, for this reason.
    pub(super) told_failure: Option<&'static str>,
    /// They know that this node of the control plane has swap.
    pub(super) told_of_swap: bool,
    /// What the full summary adds to the short one.
    pub(super) swap_gap: SwapGap,
    /// State, once there was a sample.
    pub(super) pressure: Option<Pressure>,
    /// The kubelet's configuration, if it could be read.
    pub(super) config: Option<KubeletConfig>,
    /// When to read it again.
    pub(super) config_due: Mono,
    /// Conditions.
    pub(super) conditions: Conditions,
    /// What was last written, and when.
    pub(super) published: Option<(Digest, Timestamp)>,
    /// What was last written of each pod.
    pub(super) pods: HashMap<Str, PodUsage>,
    /// The object.
    pub(super) object: Option<Object>,
    /// A write was refused because the object is not what we take it to be: only a consistent read helps.
    pub(super) must_read: bool,
    /// UID of an object that we have deleted: its row may still be there.
    pub(super) deleted: Option<Str>,
    /// A write is in flight.
    pub(super) writing: bool,
    /// No write before this.
    pub(super) retry_at: Mono,
}

/// When a node is polled for the first time: at once in a small cluster, spread in a large one.
pub(super) fn first_due(name: &str, nodes: usize, interval: Duration, now: Mono) -> Mono {
    let spread = (nodes as u64).saturating_mul(1_000_000) / FIRST_POLLS_PER_SECOND;
    let spread = spread.clamp(1, micros(interval).max(1));
    now + Duration::from_micros(fnv(name.as_bytes()) % spread)
}

/// When a node is polled after a success: every interval at its own offset, which its name decides, so that a restart
/// changes nothing and no two nodes of a cluster move in step. Never before half an interval has passed.
pub(super) fn next_due(name: &str, interval: Duration, now: Mono) -> Mono {
    let interval = micros(interval).max(1);
    let offset = fnv(name.as_bytes()) % interval;
    let earliest = now.0.saturating_add(interval / 2);
    let passed = earliest % interval;
    let wait = if offset >= passed { offset - passed } else { interval - passed + offset };
    Mono(earliest.saturating_add(wait))
}

/// The same after failures in a row: the interval, doubled with each, up to [`MAX_BACKOFF`], plus up to a tenth by name
/// and count; at least what the kubelet asked for.
pub(super) fn retry_due(name: &str, failures: u32, interval: Duration, retry_after: Option<u64>, now: Mono) -> Mono {
    let doubled = interval.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    let asked = Duration::from_secs(retry_after.unwrap_or(0));
    let delay = doubled.max(asked).min(MAX_BACKOFF).max(interval);
    let jitter = (fnv(name.as_bytes()) ^ u64::from(failures)) % (micros(delay) / 10).max(1);
    now + delay + Duration::from_micros(jitter)
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[test]
    fn backoff_doubles_up_to_five_minutes() {
        let delays: Vec<u64> = (1..8).map(|n| retry_due("n", n, INTERVAL, None, Mono(0)).0 / 1_000_000).collect();
        for (delay, least) in delays.iter().zip([15, 30, 60, 120, 240, 300, 300]) {
            assert!(*delay >= least && *delay <= least * 11 / 10, "{delays:?}");
        }
        assert!(retry_due("n", 1, INTERVAL, Some(100), Mono(0)) >= Mono(100_000_000));
        assert!(retry_due("n", 1, INTERVAL, Some(u64::MAX), Mono(0)) <= Mono(330_000_000));
        let slow = Duration::from_secs(600);
        assert!(retry_due("n", 9, slow, None, Mono(0)) >= Mono(600_000_000), "never faster than a healthy node");
    }

    proptest! {
        #[test]
        fn polls_keep_their_offset(name in "[a-z]{1,12}", start in 0_u64..1 << 50, seconds in 1_u64..600) {
            let interval = Duration::from_secs(seconds);
            let first = next_due(&name, interval, Mono(start));
            let second = next_due(&name, interval, first);
            prop_assert!(first.0 - start >= seconds * 500_000 && first.0 - start <= seconds * 1_500_000);
            prop_assert_eq!(second.0 - first.0, seconds * 1_000_000);
        }

        #[test]
        fn first_polls_are_soon(name in "[a-z]{1,12}", nodes in 0_usize..100_000) {
            let due = first_due(&name, nodes, INTERVAL, Mono(0)).0;
            prop_assert!(due < 15_000_000);
            prop_assert!(nodes > 10 || due < 200_000 || nodes == 0);
        }
    }
}
