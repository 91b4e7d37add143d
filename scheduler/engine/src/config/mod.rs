//! `KubeSchedulerConfiguration` v1 (reference 4): strict decoding, validation, defaults, and profiles made from it.
//!
//! Strict as upstream: an unknown field, a duplicate key or a wrong type is an error that names the field's path.

mod args;
mod build;
mod decode;
mod duration;
mod extenders;
pub(crate) mod field;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use std::{collections::BTreeMap, time::Duration};

use headroom_core::Str;
use serde_json::Value;
use thiserror::Error;

pub use self::{
    args::decode_args,
    duration::parse_duration,
    extenders::{Extender, ExtenderTls, ManagedResource},
};
use crate::framework::Point;

/// `apiVersion` of the configuration and of plugin arguments.
pub const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
/// `kind` of the configuration.
pub const KIND: &str = "KubeSchedulerConfiguration";
/// Name of the profile that serves pods which name no scheduler.
pub const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";

/// Why a configuration cannot be used: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Not YAML (or JSON).
    #[error("the scheduler's configuration is not valid YAML: {0}")]
    Syntax(String),
    /// A field.
    #[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    Field {
        /// Path, for example `profiles[0].plugins.score.enabled[1].name`.
        path: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl ConfigError {
    pub(crate) fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field { path: path.into(), message: message.into() }
    }
}

/// `leaderElection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// Whether to elect a leader.
    pub leader_elect: bool,
    /// How long a lease lasts.
    pub lease_duration: Duration,
    /// How long a leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// Pause between tries.
    pub retry_period: Duration,
    /// Name of the Lease; absent = not given (the mode decides).
    pub resource_name: Option<String>,
    /// Its namespace.
    pub resource_namespace: String,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            leader_elect: true,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            resource_name: None,
            resource_namespace: "kube-system".to_owned(),
        }
    }
}

/// `clientConnection`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientConnection {
    /// Path of a kubeconfig; empty = not given.
    pub kubeconfig: String,
    /// `acceptContentTypes`; accepted and not used.
    pub accept_content_types: String,
    /// `contentType`; accepted and not used.
    pub content_type: String,
    /// Requests per second; absent = not given.
    pub qps: Option<f64>,
    /// Burst; absent = not given.
    pub burst: Option<i32>,
}

/// A plugin that is enabled somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnabledPlugin {
    /// Name.
    pub name: String,
    /// Weight in Score, 0 when not given.
    pub weight: i32,
}

/// Plugins enabled and disabled at an extension point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginSetConfig {
    /// Enabled, in order.
    pub enabled: Vec<EnabledPlugin>,
    /// Disabled names; `*` is all of them.
    pub disabled: Vec<String>,
}

/// `plugins` of a profile, defaults not merged in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginsConfig {
    /// `multiPoint`.
    pub multi_point: PluginSetConfig,
    /// The extension points, in the order of [`Point::ALL`].
    pub points: [PluginSetConfig; Point::ALL.len()],
}

/// A profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileConfig {
    /// `schedulerName`.
    pub scheduler_name: Str,
    /// `percentageOfNodesToScore`; accepted and not used.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// `plugins`.
    pub plugins: PluginsConfig,
    /// `pluginConfig`: arguments by plugin name.
    pub plugin_config: BTreeMap<String, Value>,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            scheduler_name: DEFAULT_SCHEDULER_NAME.into(),
            percentage_of_nodes_to_score: None,
            plugins: PluginsConfig::default(),
            plugin_config: BTreeMap::new(),
        }
    }
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// `parallelism`; accepted and not used: one thread decides.
    pub parallelism: i32,
    /// `leaderElection`.
    pub leader_election: LeaderElection,
    /// `clientConnection`.
    pub client_connection: ClientConnection,
    /// `enableProfiling`; accepted and not used.
    pub enable_profiling: bool,
    /// `enableContentionProfiling`; accepted and not used.
    pub enable_contention_profiling: bool,
    /// `percentageOfNodesToScore`; accepted and not used: every node is always considered.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// `podInitialBackoffSeconds`.
    pub pod_initial_backoff: Duration,
    /// `podMaxBackoffSeconds`.
    pub pod_max_backoff: Duration,
    /// `delayCacheUntilActive`.
    pub delay_cache_until_active: bool,
    /// `profiles`; at least one.
    pub profiles: Vec<ProfileConfig>,
    /// `extenders`.
    pub extenders: Vec<Extender>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            parallelism: 16,
            leader_election: LeaderElection::default(),
            client_connection: ClientConnection::default(),
            enable_profiling: true,
            enable_contention_profiling: true,
            percentage_of_nodes_to_score: None,
            pod_initial_backoff: Duration::from_secs(1),
            pod_max_backoff: Duration::from_secs(10),
            delay_cache_until_active: false,
            profiles: vec![ProfileConfig::default()],
            extenders: Vec::new(),
        }
    }
}
