//! Where stories take place: which loops tell them, how fast these are, and what is compared. One corpus for each.

use std::time::Duration;

use super::Step;
use super::generate::{CROWDS, NODES, QUOTA, ZONES};

/// How long a node's silence is put up with, on both sides.
pub(super) const GRACE: Duration = Duration::from_secs(8);
/// How long changes of pods are gathered, on both sides: those of one step are to be one change. For how long is no matter to
/// what comes of it, so that it may be longer than it was when stock told.
pub(super) const BATCH: Duration = Duration::from_secs(8);
/// When nothing has changed for so long, no timer of the gathering controllers runs: a slice whose change is seen before the
/// answer to its write is looked at again after [`BATCH`].
pub(super) const REST: Duration = BATCH.saturating_add(Duration::from_millis(1500));
/// Two rounds of the pod garbage collector, which has no flag for it, and its quarantine of 40 s.
const ORPHANED: Duration = Duration::from_secs(85);
/// One of its rounds.
const COLLECTED: Duration = Duration::from_secs(24);
/// How long a change may take to be seen: kinds are watched apart, and which one is seen first may matter.
const SEEN: Duration = Duration::from_millis(500);

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Pods, what makes them and what leads to them, on three nodes that nobody looks after.
    Services,
    /// The same on nodes of each story's own, whose kubelets fall silent, come back or leave.
    Nodes,
    /// Services with so many pods that one slice does not hold them.
    Crowds,
    /// Services whose endpoints are hinted to zones by their nodes' CPU: all nodes of the cluster are one story's.
    Zones,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Services, Self::Nodes, Self::Crowds, Self::Zones];

    /// Of the story of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed {
            ZONES.. => Self::Zones,
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
            Self::Zones => &["endpointslice-controller"],
        }
    }

    /// Flags that both sides get: a story is to take seconds.
    #[must_use]
    pub const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Services | Self::Zones => &[],
            Self::Nodes => &["--node-monitor-period=1s", "--node-monitor-grace-period=8s", "--node-eviction-rate=10"],
            Self::Crowds => &["--endpoint-updates-batch-period=8s", "--endpointslice-updates-batch-period=8s"],
        }
    }

    /// The file of its stories.
    #[must_use]
    pub const fn corpus(self) -> &'static str {
        match self {
            Self::Services => "corpus/stories.jsonl",
            Self::Nodes => "corpus/nodes.jsonl",
            Self::Crowds => "corpus/crowds.jsonl",
            Self::Zones => "corpus/zones.jsonl",
        }
    }

    /// Stories at a time: as many as somebody wants, if the scene bears more than one.
    #[must_use]
    pub const fn bears(self, wanted: Option<usize>) -> usize {
        match (self, wanted) {
            (Self::Services | Self::Nodes | Self::Crowds, Some(wanted)) => wanted,
            _ => self.at_once(),
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
            // What is hinted to a zone depends on all nodes.
            Self::Zones => 1,
        }
    }

    /// The same where stories are told anew for which the machine was too slow.
    #[must_use]
    pub const fn again(self) -> usize {
        match self {
            // What is too much for those about nodes lasts seconds, and they last minutes.
            Self::Nodes => self.at_once(),
            Self::Services | Self::Crowds | Self::Zones => 1,
        }
    }

    /// How long ours may take to come to where stock was. Only who never comes there waits for so long.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::Services | Self::Crowds | Self::Zones => Duration::from_secs(300),
            // A story is begun anew where a node that lives was given up, and then it has waited for all of this.
            Self::Nodes => Duration::from_secs(240),
        }
    }

    /// How long the controllers are let be before a step. Where nothing `follows` from it, that is for stock's reasons (a pod
    /// that fails is no news to Endpoints, only what changes with it): a look that they still owe to the step before would see it.
    pub(super) const fn pause_before(self, follows: bool) -> Duration {
        match self {
            Self::Services | Self::Crowds if !follows => SEEN,
            // About nodes the seconds count.
            Self::Services | Self::Nodes | Self::Crowds | Self::Zones => Duration::ZERO,
        }
    }

    /// How long a step is let be before the next one. Where nothing `follows` from it, nothing says that the controllers have
    /// seen it, and what comes next may be taken for the same change.
    pub(super) const fn pause(self, follows: bool) -> Duration {
        match self {
            Self::Services | Self::Nodes | Self::Crowds if follows => Duration::ZERO,
            Self::Services | Self::Nodes | Self::Crowds | Self::Zones => SEEN,
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
    /// The same, and what the loops about nodes said, however often.
    Said,
    /// Only how many there are of each kind: which endpoint stands in which of several slices is left to chance by stock.
    Sizes,
    /// Of each slice how many endpoints of a zone are hinted to which, for which ones those are is left to chance; and what
    /// events say, not how often.
    Shares,
}

impl Rigour {
    /// For the story of a seed, when nothing disturbs it.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed {
            ZONES.. => Self::Shares,
            CROWDS.. => Self::Sizes,
            NODES.. => Self::Said,
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
    fn scenes_are_told_apart_by_their_loops() {
        for scene in Scene::ALL {
            assert_eq!(Scene::ALL.iter().filter(|other| other.loops() == scene.loops()).count(), 1, "{scene:?}");
        }
        assert_eq!((Scene::Nodes.bears(Some(3)), Scene::Nodes.bears(None), Scene::Zones.bears(Some(3))), (3, 40, 1));
    }

    #[test]
    fn every_seed_has_its_scene() {
        for (seed, scene, rigour) in [
            (1, Scene::Services, Rigour::All),
            (QUOTA, Scene::Services, Rigour::Objects),
            (NODES - 1, Scene::Services, Rigour::Objects),
            (NODES, Scene::Nodes, Rigour::Said),
            (CROWDS - 1, Scene::Nodes, Rigour::Said),
            (CROWDS, Scene::Crowds, Rigour::Sizes),
            (ZONES - 1, Scene::Crowds, Rigour::Sizes),
            (ZONES, Scene::Zones, Rigour::Shares),
        ] {
            assert_eq!((Scene::of(seed), Rigour::of(seed)), (scene, rigour), "{seed}");
        }
    }
}
