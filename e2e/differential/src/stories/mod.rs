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
mod kubelets;
mod pods;
mod scene;
mod settled;
mod stage;
mod state;
mod store;

pub use corpus::{StoryCorpus, Told};
pub use drive::{record, replay, retell};
pub use excess::Excess;
pub use scene::{Rigour, Scene};
pub use stage::{Manager, Stage};
pub use state::State;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A story, before it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The seed.
    pub seed: u64,
    /// What happens.
    pub steps: Vec<Step>,
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
    /// A node of the story's own appears, whose kubelet reports these conditions (see [`Step::Report`]).
    Enter(String, Value),
    /// The kubelet of a node lives (again) and reports: by type, what is not as it should be; null leaves a condition out.
    Report(String, Value),
    /// The kubelet of a node falls silent.
    Silence(String),
    /// A user taints a node.
    Taint(String, Value),
    /// A user takes the taint with this key off.
    Untaint(String, String),
    /// A user cordons a node, or takes that back.
    Cordon(String, bool),
    /// A node is deleted, and its kubelet with it.
    Leave(String),
    /// Nothing is done for so many seconds, in which nothing may happen.
    Wait(u32),
    /// So many pods at once, which run on all nodes and are ready. Their names are this one and a number.
    Crowd {
        /// Begin of their names.
        stem: String,
        /// How many.
        count: u32,
        /// Their labels.
        labels: Value,
        /// The number of their port `http`.
        port: u16,
    },
    /// Labels of pods of a crowd are changed.
    Mark {
        /// Begin of their names.
        stem: String,
        /// The first one, from 0.
        from: u32,
        /// How many.
        count: u32,
        /// What changes.
        labels: Value,
    },
    /// Ready pods are not ready any more, all of one slice.
    Unready(Few),
    /// Ready pods are deleted, all of one slice.
    Thin(Few),
    /// Steps of a crowd that are one change for controllers, which gather such for seconds.
    Together(Vec<Step>),
    /// Nodes of the story's own appear, which nobody looks after.
    Machines(Vec<Machine>),
}

/// A node as far as topology aware hints go by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its zone; empty: it does not say.
    pub zone: String,
    /// Its CPU in thousandths of a core.
    pub cpu: u32,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is one of the control plane.
    pub control_plane: bool,
}

/// Some pods of a slice. Which ones is left to chance, as is what stands in which slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Few {
    /// The Service.
    pub service: String,
    /// Which of its slices, the largest being 0.
    pub rank: usize,
    /// How many.
    pub count: usize,
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
