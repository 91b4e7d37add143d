//! The configuration as it is written. Everything is optional, so that what is not given can be told from zero.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Configuration {
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) parallelism: Option<i32>,
    pub(super) leader_election: Option<LeaderElection>,
    pub(super) client_connection: Option<ClientConnection>,
    pub(super) enable_profiling: Option<bool>,
    pub(super) enable_contention_profiling: Option<bool>,
    pub(super) percentage_of_nodes_to_score: Option<i32>,
    pub(super) pod_initial_backoff_seconds: Option<i64>,
    pub(super) pod_max_backoff_seconds: Option<i64>,
    pub(super) delay_cache_until_active: Option<bool>,
    pub(super) profiles: Option<Vec<Profile>>,
    pub(super) extenders: Option<Vec<super::extenders::Wire>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LeaderElection {
    pub(super) leader_elect: Option<bool>,
    pub(super) lease_duration: Option<String>,
    pub(super) renew_deadline: Option<String>,
    pub(super) retry_period: Option<String>,
    pub(super) resource_lock: Option<String>,
    pub(super) resource_name: Option<String>,
    pub(super) resource_namespace: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ClientConnection {
    pub(super) kubeconfig: Option<String>,
    pub(super) accept_content_types: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) qps: Option<f64>,
    pub(super) burst: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Profile {
    pub(super) scheduler_name: Option<String>,
    pub(super) percentage_of_nodes_to_score: Option<i32>,
    pub(super) plugins: Option<Plugins>,
    pub(super) plugin_config: Option<Vec<PluginConfig>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Plugins {
    pub(super) multi_point: Option<PluginSet>,
    pub(super) pre_enqueue: Option<PluginSet>,
    pub(super) queue_sort: Option<PluginSet>,
    pub(super) pre_filter: Option<PluginSet>,
    pub(super) filter: Option<PluginSet>,
    pub(super) post_filter: Option<PluginSet>,
    pub(super) pre_score: Option<PluginSet>,
    pub(super) score: Option<PluginSet>,
    pub(super) reserve: Option<PluginSet>,
    pub(super) permit: Option<PluginSet>,
    pub(super) pre_bind: Option<PluginSet>,
    pub(super) bind: Option<PluginSet>,
    pub(super) post_bind: Option<PluginSet>,
    // Of pod groups (gated upstream): known, so that the message can say what they are.
    pub(super) placement_generate: Option<PluginSet>,
    pub(super) placement_score: Option<PluginSet>,
    pub(super) pod_group_post_filter: Option<PluginSet>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginSet {
    #[serde(default)]
    pub(super) enabled: Vec<Plugin>,
    #[serde(default)]
    pub(super) disabled: Vec<Plugin>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    pub(super) name: String,
    #[serde(default)]
    pub(super) weight: i32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginConfig {
    pub(super) name: String,
    #[serde(default)]
    pub(super) args: Value,
}
