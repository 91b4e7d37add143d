//! `pod_gc_collector_*` (`podgc/metrics`).

use std::collections::BTreeMap;

use headroom_core::Str;

use super::{Counters, Reason};
use crate::framework::{Measurements, Metric};

/// Series of a family at most: namespaces beyond are counted together, under none.
const MOST: usize = 4096;

pub(super) static DELETIONS: Metric = Metric::counter(
    "pod_gc_collector_force_delete_pods_total",
    &["namespace", "reason"],
    "Pods that were to be deleted by force since this process leads.",
);
pub(super) static ERRORS: Metric = Metric::counter(
    "pod_gc_collector_force_delete_pod_errors_total",
    &["namespace", "reason"],
    "Errors when deleting pods by force since this process leads.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 2] = [&DELETIONS, &ERRORS];

/// One more.
pub(super) fn count(counts: &mut BTreeMap<(Str, Reason), u64>, namespace: &Str, reason: Reason) {
    let key = (namespace.clone(), reason);
    let key = if counts.len() < MOST || counts.contains_key(&key) { key } else { (Str::default(), reason) };
    *counts.entry(key).or_default() += 1;
}

impl Counters {
    pub(super) fn measure(&self, into: &mut Measurements) {
        for (metric, counts) in [(&DELETIONS, &self.deletions), (&ERRORS, &self.errors)] {
            for ((namespace, reason), count) in counts {
                into.count(metric, &[namespace, reason.as_str()], *count);
            }
        }
    }
}
