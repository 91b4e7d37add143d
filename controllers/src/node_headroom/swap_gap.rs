//! Kubelets that leave the swap of pods out of the short summary (before 1.34, k/k#131915): the full one has it, and is
//! read every fourth time. In between, what it said last is still the best that is known.

use hashbrown::HashMap;
use headroom_core::{Str, memory::SwapBehavior};

use super::{assess::Measured, command::Path, summary::Summary};

/// Every so many polls the full summary is read.
const EVERY: u32 = 4;
/// A kubelet whose full summary says no more is asked again after so many polls.
const USELESS: u32 = 240;

/// What is known of a node whose short summary leaves swap out.
#[derive(Debug, Clone, Default)]
pub(super) struct SwapGap {
    on: bool,
    /// Polls since the full summary was last read.
    polls: u32,
    /// The full summary said no more.
    useless: bool,
    pods: HashMap<Str, (Option<i64>, Option<i64>)>,
    behavior: SwapBehavior,
}

/// Whether a node swaps and none of its pods is said to, or not to.
fn leaves_swap_out(summary: &Summary) -> bool {
    let silent = |swap: &super::summary::SwapStats| swap.swap_usage_bytes.is_none();
    summary.node.swap.swap_usage_bytes.is_some_and(|used| used > 0)
        && !summary.pods.is_empty()
        && summary.pods.iter().all(|pod| silent(&pod.swap) && pod.containers.iter().all(|c| silent(&c.swap)))
}

impl SwapGap {
    /// What to read next.
    pub(super) fn next(&mut self) -> Path {
        if !self.on {
            return Path::Summary;
        }
        self.polls = self.polls.saturating_add(1);
        let every = if self.useless { USELESS } else { EVERY };
        if self.polls < every && (self.useless || !self.pods.is_empty()) {
            return Path::Summary;
        }
        self.polls = 0;
        Path::FullSummary
    }

    /// Takes a sample in and fills what it leaves out.
    pub(super) fn fill(&mut self, path: Path, summary: &Summary, measured: &mut Measured) {
        let lacks = leaves_swap_out(summary);
        match path {
            Path::FullSummary if lacks => self.useless = true,
            Path::FullSummary => {
                self.useless = false;
                self.behavior = measured.behavior;
                self.pods = measured.pods.iter().map(|p| (p.uid.clone(), (p.swap, p.swap_available))).collect();
            }
            _ if lacks => {
                self.on = true;
                for pod in &mut measured.pods {
                    if let Some((swap, available)) = self.pods.get(&pod.uid) {
                        pod.swap = pod.swap.or(*swap);
                        pod.swap_available = pod.swap_available.or(*available);
                    }
                }
                if measured.behavior == SwapBehavior::Unknown {
                    measured.behavior = self.behavior;
                }
            }
            // It says all there is to say.
            _ => *self = Self::default(),
        }
    }
}
