//! Where stories take place: which loops tell them, how fast these are, and what is compared. One corpus for each.

use std::time::Duration;

use super::Step;
use super::generate::{CROWDS, NODES, QUOTA};

/// How long a node's silence is put up with, on both sides.
const GRACE: Duration = Duration::from_secs(8);
/// How long changes of pods are gathered, on both sides: those of one step are to be one change.
pub(super) const BATCH: Duration = Duration::from_secs(4);
/// When nothing has changed for so long, no timer of the gathering controllers runs: a slice whose change is seen before the
/// answer to its write is looked at again after [`BATCH`].
pub(super) const REST: Duration = BATCH.saturating_add(Duration::from_millis(1500));
/// Two rounds of the pod garbage collector, which has no flag for it, and its quarantine of 40 s.
const ORPHANED: Duration = Duration::from_secs(85);
/// One of its rounds.
const COLLECTED: Duration = Duration::from_secs(24);

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Pods, what makes them and what leads to them, on three nodes that nobody looks after.
    Services,
    /// The same on nodes of each story's own, whose kubelets fall silent, come back or leave.
    Nodes,
    /// Services with so many pods that one slice does not hold them.
    Crowds,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Services, Self::Nodes, Self::Crowds];

    /// Of the story of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed {
            CROWDS.. => Self::Crowds,
            NODES.. => Self::Nodes,
            _ => Self::Services,
        }
    }

    /// The loops that run, as stock names them.
    #[must_use]
    pub const fn loops(self) -> &'static [&'static str] {
        match self {
            Self::Services => &[
                "replicationcontroller-controller",
                "endpoints-controller",
                "endpointslice-controller",
                "endpointslice-mirroring-controller",
            ],
            Self::Nodes => &[
                "replicationcontroller-controller",
                "endpoints-controller",
                "endpointslice-controller",
                "node-lifecycle-controller",
                "taint-eviction-controller",
                "pod-garbage-collector-controller",
            ],
            Self::Crowds => &["endpoints-controller", "endpointslice-controller"],
        }
    }

    /// Flags that both sides get: a story is to take seconds.
    #[must_use]
    pub const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Services => &[],
            Self::Nodes => &["--node-monitor-period=1s", "--node-monitor-grace-period=8s", "--node-eviction-rate=10"],
            Self::Crowds => &["--endpoint-updates-batch-period=4s", "--endpointslice-updates-batch-period=4s"],
        }
    }

    /// The file of its stories.
    #[must_use]
    pub const fn corpus(self) -> &'static str {
        match self {
            Self::Services => "corpus/stories.jsonl",
            Self::Nodes => "corpus/nodes.jsonl",
            Self::Crowds => "corpus/crowds.jsonl",
        }
    }

    /// Stories at a time, unless somebody wants it otherwise.
    #[must_use]
    pub const fn at_once(self) -> usize {
        match self {
            // Those about nodes spend their time waiting: all of them.
            Self::Services | Self::Nodes => 40,
            // The writes of a step have to be done before the gathering of its changes ends.
            Self::Crowds => 12,
        }
    }

    /// How long ours may take to come to where stock was.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::Services => Duration::from_secs(30),
            Self::Nodes => Duration::from_secs(150),
            Self::Crowds => Duration::from_secs(60),
        }
    }
}

/// What has to be the same whenever a story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rigour {
    /// Everything.
    All,
    /// Not the events, which tell what went wrong on the way and how often it was tried, nor the trigger times.
    Objects,
    /// Only how many there are of each kind: which endpoint stands in which of several slices is left to chance by stock.
    Sizes,
}

impl Rigour {
    /// For the story of a seed, when nothing disturbs it.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed {
            CROWDS.. => Self::Sizes,
            QUOTA.. => Self::Objects,
            _ => Self::All,
        }
    }
}

impl Step {
    /// So long it may take until something follows from it; while stock tells, not before that nothing having changed for
    /// a while means that it is done.
    pub(super) fn takes(&self) -> Duration {
        match self {
            Self::Silence(_) => GRACE + Duration::from_secs(4),
            Self::Leave(_) => ORPHANED,
            Self::Taint(_, taint) if taint["key"] == super::generate::OUT_OF_SERVICE => COLLECTED,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_say_what_the_times_say() {
        let seconds = |time: Duration| format!("={}s", time.as_secs());
        assert!(Scene::Nodes.flags()[1].ends_with(&seconds(GRACE)));
        assert!(Scene::Crowds.flags().iter().all(|flag| flag.ends_with(&seconds(BATCH))));
    }

    #[test]
    fn every_seed_has_its_scene() {
        for (seed, scene, rigour) in [
            (1, Scene::Services, Rigour::All),
            (QUOTA, Scene::Services, Rigour::Objects),
            (NODES, Scene::Nodes, Rigour::Objects),
            (CROWDS - 1, Scene::Nodes, Rigour::Objects),
            (CROWDS, Scene::Crowds, Rigour::Sizes),
        ] {
            assert_eq!((Scene::of(seed), Rigour::of(seed)), (scene, rigour), "{seed}");
        }
    }
}
