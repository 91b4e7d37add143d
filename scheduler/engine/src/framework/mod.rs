//! The scheduling framework: extension points, states, events, profiles (reference 1).

mod erased;
pub mod events;
mod plugin;
mod pod_info;
mod probe;
mod profile;
mod registry;
mod status;

pub use self::{
    erased::{Column, DynPlugin, Erased, Normalized, State},
    events::{Actions, Change, ClusterEvent, EventResource, Hint, Interest},
    plugin::{
        BindCx, MAX_NODE_SCORE, NodeRejection, Permit, Plugin, Point, Points, PostFilter, PreFilter, PreFlight,
        PreScore, QueueItem, Reads, ReserveCx, Signature, Step, TieKey, View, default_normalize,
    },
    pod_info::{HostPort, PodInfo, SpecCache, SpecInfo, SpecMemory},
    probe::{NoProbe, Probe},
    profile::{
        CycleState, MAX_PLUGINS, Narrowed, PluginId, PluginNames, PluginSet, PreFiltered, Profile, Profiles, Rejection,
    },
    registry::{ArgsError, Factory, Registry},
    status::{Code, Reason, Status},
};
