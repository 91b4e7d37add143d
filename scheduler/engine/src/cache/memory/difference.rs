//! Whether what is kept up to date pod by pod is what counting anew gives. For tests, simulation and fuzzing.

use std::collections::BTreeSet;

use headroom_core::{
    Str,
    memory::{ClusterCounts, NodeState, NodeSums},
};

use super::{NodeMemoryInfo, sample_uid};
use crate::cache::{Cache, NodeInfo};

/// What those held that left the node, by the sample and by who is on the node now; no sum is taken over.
fn freed(row: &NodeInfo, mine: &NodeMemoryInfo) -> NodeSums {
    let here: BTreeSet<&Str> = row.pods.iter().map(|pod| sample_uid(&pod.pod)).collect();
    let mut sums = NodeSums::default();
    for usage in mine.credited.iter().filter(|uid| !here.contains(uid)).filter_map(|uid| mine.usage(uid)) {
        sums.credit(&usage);
    }
    sums
}

impl Cache {
    /// The first node whose incremental memory differs from counting anew, in words.
    #[must_use]
    pub fn memory_difference(&self) -> Option<String> {
        let index = self.memory.as_ref()?;
        let mut counts = ClusterCounts::default();
        for row in self.rows.iter().filter(|r| r.exists) {
            let Some(mine) = &row.memory else { continue };
            counts.add(&mine.facts);
            let mut fresh = index.fresh(row, self.now);
            fresh.sums = freed(row, mine);
            for pod in &row.pods {
                let counted = index.count(&fresh, pod, self.now);
                let part = fresh.part(&counted);
                fresh.sums.add(&part);
            }
            if fresh.sums != mine.sums || fresh.node != mine.node {
                return Some(format!("{}: {:?} kept, {:?} counted anew", row.name, mine.sums, fresh.sums));
            }
            let state = fresh.state_with(&fresh.sums, self.now, &index.params);
            if mine.state.holds_at(self.now)
                && (NodeState { age_seconds: None, ..state }) != (NodeState { age_seconds: None, ..mine.state })
            {
                return Some(format!("{}: {:?} kept, {state:?} worked out anew", row.name, mine.state));
            }
        }
        (counts != index.counts).then(|| format!("{:?} kept, {counts:?} counted anew", index.counts))
    }
}
