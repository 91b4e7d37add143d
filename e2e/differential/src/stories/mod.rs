//! Stories for controllers: what users and kubelets do, step by step, in a namespace, and what stands there after each
//! step. The stock kube-controller-manager told them once ([`record`]); ours has to tell the same ([`replay`]).
//!
//! Both are driven by the same code on a real API server, a few dozen namespaces at a time. There are no kubelets and no
//! scheduler: the story binds pods and writes their status itself, so that everything that moves was moved by a story or
//! by a controller.

mod corpus;
mod drive;
mod excess;
pub mod generate;
mod pods;
mod stage;
mod state;
mod store;

pub use corpus::{StoryCorpus, Told};
pub use drive::{record, replay};
pub use excess::Excess;
pub use stage::{Manager, Stage};
pub use state::State;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long ours may take to come to where stock was.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The loops whose stories these are, as stock names them.
pub const LOOPS: [&str; 4] = [
    "replicationcontroller-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
];

/// A story, before it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The seed.
    pub seed: u64,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What has to be the same whenever a story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rigour {
    /// Everything.
    All,
    /// Not the events, which tell what went wrong on the way and how often it was tried, nor the trigger times.
    Objects,
}

impl Rigour {
    /// For the story of a seed, when nothing disturbs it.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        if seed >= generate::QUOTA { Self::Objects } else { Self::All }
    }
}

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A user creates an object; its namespace is the story's.
    Create(Value),
    /// A user changes one: kind, name and a merge patch.
    Patch(String, String, Value),
    /// The status of an object is written: kind, name and the status.
    Status(String, String, Value),
    /// A user deletes one: kind and name. What it owned stays, for no garbage collector runs.
    Delete(String, String),
    /// A user changes labels of a pod.
    Label(Pick, Value),
    /// Somebody deletes a pod: with 0 seconds it is gone at once, with more it is terminating until somebody insists.
    Remove(Pick, u32),
    /// A scheduler and a kubelet take a pod on: it is bound to the node, and runs with the next address of the story.
    Run(Pick, String, bool),
    /// A kubelet reports whether the pod is ready.
    Ready(Pick, bool),
    /// A kubelet reports that the pod has ended, in this phase.
    End(Pick, String),
}

/// Which pod. Names of a controller's pods are random, and its pods without an address are all alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pick {
    /// The one that got this address: the first of a story is 1.
    Address(u32),
    /// One of this ReplicationController that has no address yet.
    Fresh(String),
    /// By name.
    Name(String),
}
