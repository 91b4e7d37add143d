//! Whether protobuf is asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headroom_core::Mono;

/// How long JSON is asked for once an answer could not be read. What a server writes it will write again, so trying at
/// once would lead nowhere; but a body that somebody on the way has cut comes once.
const PAUSE: Duration = Duration::from_secs(3600);

/// Whether protobuf is asked for; the same for all clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Until when JSON is asked for, on the clock of [`Mono`].
    json_until: Arc<AtomicU64>,
}

impl Trust {
    /// Protobuf is never asked for.
    pub(crate) fn never() -> Self {
        Self { json_until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Whether protobuf is asked for now.
    pub(crate) fn asks(&self, now: Mono) -> bool {
        self.json_until.load(Ordering::Relaxed) <= now.0
    }

    /// An answer could not be read. True when it was the first one since protobuf was last asked for.
    pub(super) fn lose(&self, now: Mono) -> bool {
        self.json_until.fetch_max((now + PAUSE).0, Ordering::Relaxed) <= now.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_tried_again_after_an_hour() {
        let trust = Trust::default();
        let (start, hour) = (Mono(7), Duration::from_secs(3600));
        assert!(trust.asks(start));
        assert!(trust.clone().lose(start), "the first one is told of");
        assert!(!trust.asks(start) && !trust.lose(start), "others that were under way are not");
        assert!(!trust.asks(Mono((start + hour).0 - 1)));
        assert!(trust.asks(start + hour) && trust.lose(start + hour));
        assert!(!trust.asks(start + hour));
        assert!(!Trust::never().asks(Mono(u64::MAX - 1)) && !Trust::never().lose(start));
    }
}
