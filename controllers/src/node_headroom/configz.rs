//! The kubelet's `/configz`, an optional enrichment (reference memory-and-swap.md 5.0): the swap behaviour before any
//! container shows it, and the real eviction threshold.

use headroom_core::{memory::node::Eviction, quantity};
use serde::Deserialize;

use super::summary::SummaryError;

/// What is read of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KubeletConfig {
    /// `memorySwap.swapBehavior`, absent when unset (NoSwap then).
    pub swap_behavior: Option<String>,
    /// `evictionHard["memory.available"]`. A map without the key means no threshold: setting any key resets the rest.
    pub eviction: Option<Eviction>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    kubeletconfig: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    memory_swap: Option<MemorySwap>,
    eviction_hard: Option<EvictionHard>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MemorySwap {
    swap_behavior: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EvictionHard {
    #[serde(rename = "memory.available")]
    memory: Option<String>,
}

impl KubeletConfig {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is not what a kubelet answers.
    pub fn parse(body: &[u8]) -> Result<Self, SummaryError> {
        let wire: Wire = serde_json::from_slice(body)?;
        let Some(config) = wire.kubeletconfig else { return Err(SummaryError::without("kubeletconfig")) };
        Ok(Self {
            swap_behavior: config.memory_swap.and_then(|m| m.swap_behavior).filter(|b| !b.is_empty()),
            eviction: config.eviction_hard.and_then(|hard| threshold(hard.memory.as_deref())),
        })
    }
}

/// A threshold; `None` when it cannot be read (then the default is assumed).
fn threshold(text: Option<&str>) -> Option<Eviction> {
    let Some(text) = text else { return Some(Eviction::Bytes(0)) };
    if let Some(percent) = text.strip_suffix('%') {
        return percent.parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p)).map(Eviction::Percent);
    }
    quantity::value(text).ok().filter(|b| *b >= 0).map(Eviction::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> KubeletConfig {
        KubeletConfig::parse(format!("{{\"kubeletconfig\":{config}}}").as_bytes()).unwrap()
    }

    #[test]
    fn what_is_read() {
        assert_eq!(
            read(
                r#"{"memorySwap":{"swapBehavior":"LimitedSwap"},"evictionHard":{"memory.available":"100Mi"},"maxPods":9}"#
            ),
            KubeletConfig { swap_behavior: Some("LimitedSwap".into()), eviction: Some(Eviction::Bytes(100 << 20)) }
        );
        assert_eq!(read(r#"{"evictionHard":{"memory.available":"5%"}}"#).eviction, Some(Eviction::Percent(5.0)));
        assert_eq!(read(r#"{"evictionHard":{"nodefs.available":"5%"}}"#).eviction, Some(Eviction::Bytes(0)));
        for odd in ["x", "-5%", "200%", "-1", ""] {
            assert_eq!(read(&format!(r#"{{"evictionHard":{{"memory.available":"{odd}"}}}}"#)).eviction, None, "{odd}");
        }
        assert_eq!(read("{}"), KubeletConfig::default());
        assert!(KubeletConfig::parse(b"{}").is_err() && KubeletConfig::parse(b"no").is_err());
    }
}
