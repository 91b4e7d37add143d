//! What plugins answer.

use std::time::Duration;

use headroom_core::{Mono, Str};

use crate::framework::Status;

/// What a plugin's verdict and score on a node depend on, besides the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// That node alone, and what [`Plugin::epoch`](super::Plugin::epoch) stands for: both are kept per class of pods and
    /// node and computed again only when the node or the epoch changed.
    Node,
    /// More of the cluster: computed in every cycle. What the other plugins say of the pod's class is kept all the same.
    Cluster,
}

/// What a plugin reads of a pod besides its spec, as numbers: pods whose spec and numbers are equal form a class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Signature(Vec<u64>);

impl Signature {
    /// Adds a number.
    pub fn push(&mut self, n: u64) {
        self.0.push(n);
    }

    /// Adds text.
    pub fn push_str(&mut self, text: &str) {
        self.0.push(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0.push(u64::from_le_bytes(word));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// The answer of PreFilter.
#[derive(Debug, Clone, PartialEq)]
pub enum PreFilter<S> {
    /// Filter runs with this state.
    Continue(S),
    /// So it does, but only these nodes can be feasible.
    Narrow(S, Vec<Str>),
    /// Filter is skipped for this pod.
    Skip,
    /// The pod is rejected, or the plugin failed.
    Reject(Status),
}

/// The answer of PreScore.
#[derive(Debug, Clone, PartialEq)]
pub enum PreScore<S> {
    /// Score runs with this state.
    Continue(S),
    /// Score is skipped.
    Skip,
    /// The plugin failed.
    Fail(Status),
}

/// The answer of Permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Allow,
    /// Hold the pod, at most this long: [`Plugin::permit`](super::Plugin::permit) is asked again.
    Wait(Duration),
    /// Rejected or failed.
    Reject(Status),
}

/// The answer of PreBindPreFlight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreFlight {
    /// PreBind has nothing to do for this pod.
    Skip,
    /// PreBind will work.
    Work,
    /// The plugin failed.
    Fail(Status),
}

/// The answer of PreBind and Bind, which are called again with each outcome of what they emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Call again with the next outcome, or at the deadline.
    Wait(Option<Mono>),
    /// Over. Bind may answer `Skip`: the next Bind plugin is asked.
    Done(Status),
}
