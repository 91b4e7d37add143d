//! The scheduling framework: extension points, states, events, profiles (reference 1).

mod column;
mod erased;
pub mod events;
mod plugin;
mod plugin_set;
mod pod_info;
mod post_filter;
mod probe;
mod profile;
mod registry;
mod status;

pub use self::{
    column::{Column, Normalized},
    erased::{DynPlugin, Erased, State},
    events::{Actions, Change, ClusterEvent, EventResource, Hint, Interest},
    plugin::{
        BindCx, MAX_NODE_SCORE, Permit, Plugin, Point, Points, PreFilter, PreFlight, PreScore, QueueItem, Reads,
        ReserveCx, Signature, Step, TieKey, View, default_normalize,
    },
    plugin_set::{MAX_PLUGINS, PluginId, PluginNames, PluginSet},
    pod_info::{HostPort, PodInfo, SpecCache, SpecInfo, SpecMemory},
    post_filter::{
        Candidate, Consultation, DryRun, DryRunError, NodeRejection, PostFilter, PostFilterCx, Preemption, Question,
    },
    probe::{HintProbe, NoProbe, Probe},
    profile::{CycleState, Narrowed, PreFiltered, Profile, Profiles, Rejection},
    registry::{ArgsError, Factory, Registry},
    status::{Code, Reason, Status},
};
pub(crate) use self::{plugin_set::Places, profile::narrow};
pub use crate::queue::WaitingPods;
