//! Whether the informers have seen the world: feeds `/readyz`.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use headroom_core::object::Kind;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::metrics::Registry;

/// The state of all informers of a process. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct InformerHealth(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kinds: Mutex<Vec<Arc<KindState>>>,
    streaming_refused: AtomicBool,
    skipped: Option<IntCounterVec>,
    objects: Option<IntGaugeVec>,
}

#[derive(Debug)]
struct KindState {
    kind: Kind,
    objects: Option<IntGauge>,
    synced: AtomicBool,
    trouble: AtomicBool,
    skipped: AtomicU64,
}

/// The state of one informer.
#[derive(Debug, Clone)]
pub struct KindHealth {
    state: Arc<KindState>,
    shared: Arc<Shared>,
}

impl InformerHealth {
    /// With a counter `headroom_informer_skipped_objects_total{kind}` and a gauge `headroom_informer_objects{kind}`.
    ///
    /// # Errors
    /// When one of them is registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let skipped = IntCounterVec::new(
            Opts::new(
                "headroom_informer_skipped_objects_total",
                "Objects that were skipped because they are malformed.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(skipped.clone()))?;
        let objects = IntGaugeVec::new(
            Opts::new("headroom_informer_objects", "Objects that are held of each kind that is watched."),
            &["kind"],
        )?;
        registry.register(Box::new(objects.clone()))?;
        Ok(Self(Arc::new(Shared { skipped: Some(skipped), objects: Some(objects), ..Shared::default() })))
    }

    /// A kind that has to be synced before the process is ready.
    #[must_use]
    pub fn register(&self, kind: Kind) -> KindHealth {
        let state = Arc::new(KindState {
            kind,
            objects: self.0.objects.as_ref().map(|objects| objects.with_label_values(&[kind.kind])),
            synced: AtomicBool::new(false),
            trouble: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        });
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).push(state.clone());
        KindHealth { state, shared: self.0.clone() }
    }

    /// Kinds whose first list is not complete, by plural.
    #[must_use]
    pub fn unsynced(&self) -> Vec<&'static str> {
        self.plurals(|k| !k.synced.load(Ordering::Acquire))
    }

    /// Kinds that cannot be watched at the moment, by plural; those that are synced go on with what is known.
    #[must_use]
    pub fn troubled(&self) -> Vec<&'static str> {
        self.plurals(|k| k.trouble.load(Ordering::Acquire))
    }

    fn plurals(&self, which: impl Fn(&KindState) -> bool) -> Vec<&'static str> {
        let kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().filter(|k| which(k)).map(|k| k.kind.plural).collect()
    }

    /// Whether all kinds are synced.
    #[must_use]
    pub fn all_synced(&self) -> bool {
        self.unsynced().is_empty()
    }

    /// How many malformed objects were skipped, repetitions included.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        let kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().map(|k| k.skipped.load(Ordering::Relaxed)).sum()
    }

    /// For a readiness check.
    ///
    /// # Errors
    /// A sentence that names the kinds that are not synced.
    pub fn check(&self) -> Result<(), String> {
        match self.unsynced() {
            unsynced if unsynced.is_empty() => Ok(()),
            unsynced => Err(format!("not synced: {}", unsynced.join(", "))),
        }
    }
}

impl KindHealth {
    pub(super) fn streaming_refused(&self) -> bool {
        self.shared.streaming_refused.load(Ordering::Relaxed)
    }

    pub(super) fn refuse_streaming(&self) {
        self.shared.streaming_refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_trouble(&self, trouble: bool) {
        self.state.trouble.store(trouble, Ordering::Release);
    }

    pub(super) fn is_synced(&self) -> bool {
        self.state.synced.load(Ordering::Acquire)
    }

    /// Returns whether this was the first time.
    pub(super) fn set_synced(&self) -> bool {
        !self.state.synced.swap(true, Ordering::AcqRel)
    }

    /// So many objects of the kind are held now.
    pub(super) fn holds(&self, objects: usize) {
        if let Some(gauge) = &self.state.objects {
            gauge.set(i64::try_from(objects).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn skipped(&self) {
        self.state.skipped.fetch_add(1, Ordering::Relaxed);
        if let Some(counter) = &self.shared.skipped {
            counter.with_label_values(&[self.state.kind.kind]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_watched_has_no_series_and_keeps_nobody_from_being_ready() {
        let registry = Registry::new();
        let health = InformerHealth::new(&registry).unwrap();
        let text = || crate::metrics::encode(&registry).unwrap();
        assert!(health.check().is_ok() && !text().contains("headroom_informer_objects"));
        let pods = health.register(Kind::POD);
        assert_eq!(health.check(), Err("not synced: pods".to_owned()));
        pods.holds(3);
        assert!(pods.set_synced() && health.check().is_ok());
        assert!(text().contains("headroom_informer_objects{kind=\"Pod\"} 3\n"), "{}", text());
    }
}
