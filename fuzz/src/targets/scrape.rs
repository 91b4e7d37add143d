//! What kubelets answer.

use headroom_controllers::node_headroom::{configz::KubeletConfig, summary::Summary};

/// `/stats/summary`.
pub(crate) fn summary(data: &[u8]) {
    if let Ok(summary) = Summary::parse(data) {
        assert!(!format!("{summary:?}").is_empty());
    }
}

/// `/configz`.
pub(crate) fn configz(data: &[u8]) {
    if let Ok(config) = KubeletConfig::parse(data) {
        assert!(!format!("{config:?}").is_empty());
    }
}
