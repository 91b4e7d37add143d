//! From text to [`Configuration`]: decoding, defaults, validation (`apis/config/v1/defaults.go`,
//! `apis/config/validation`).

use std::time::Duration;

use serde_json::Value;

use super::{
    API_VERSION, ClientConnection, ConfigError, Configuration, DEFAULT_SCHEDULER_NAME, EnabledPlugin, KIND,
    LeaderElection, PluginSetConfig, PluginsConfig, ProfileConfig, duration::parse_duration, wire,
};
use crate::framework::MAX_PLUGINS;

/// Largest configuration that is read, in bytes.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Most profiles.
const MAX_PROFILES: usize = 32;

impl Configuration {
    /// Reads YAML (or JSON, which is YAML).
    ///
    /// # Errors
    /// [`ConfigError`] names the first thing that is wrong.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_CONFIG_BYTES {
            return Err(ConfigError::Syntax(format!("it is larger than {MAX_CONFIG_BYTES} bytes")));
        }
        let value: Value = serde_saphyr::from_str(text)
            .map_err(|e| ConfigError::Syntax(e.to_string().lines().next().unwrap_or_default().to_owned()))?;
        Self::from_value(value)
    }

    /// Reads a decoded document.
    ///
    /// # Errors
    /// [`ConfigError`] names the first thing that is wrong.
    pub fn from_value(value: Value) -> Result<Self, ConfigError> {
        if !value.is_object() {
            return Err(ConfigError::at(
                "",
                format!("must be an object with apiVersion {API_VERSION} and kind {KIND}"),
            ));
        }
        let check = |field: &str, expected: &str| match value.get(field).and_then(Value::as_str) {
            Some(given) if given == expected => Ok(()),
            Some(given) => Err(ConfigError::at(field, format!("{given:?} is not supported: must be {expected:?}"))),
            None => Err(ConfigError::at(field, format!("must be {expected:?}"))),
        };
        check("apiVersion", API_VERSION)?;
        check("kind", KIND)?;
        let wire: wire::Configuration = serde_path_to_error::deserialize(value).map_err(|e| {
            let path = e.path().to_string();
            ConfigError::at(if path == "." { String::new() } else { path }, e.into_inner().to_string())
        })?;
        convert(wire)
    }
}

fn in_range(path: &str, value: i64, low: i64, high: i64) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let must = if high == i64::MAX { format!("at least {low}") } else { format!("between {low} and {high}") };
    Err(ConfigError::at(path, format!("{value} is not allowed: must be {must}")))
}

fn convert(w: wire::Configuration) -> Result<Configuration, ConfigError> {
    let d = Configuration::default();
    debug_assert!(w.api_version.is_some() && w.kind.is_some());
    if w.extenders.is_some_and(|e| !e.is_empty()) {
        return Err(ConfigError::at("extenders", "extenders are not supported yet: remove them"));
    }
    let parallelism = w.parallelism.unwrap_or(d.parallelism);
    in_range("parallelism", i64::from(parallelism), 1, i64::MAX)?;
    if let Some(percentage) = w.percentage_of_nodes_to_score {
        in_range("percentageOfNodesToScore", i64::from(percentage), 0, 100)?;
    }
    let initial = w.pod_initial_backoff_seconds.unwrap_or(1);
    in_range("podInitialBackoffSeconds", initial, 1, i64::MAX)?;
    let max = w.pod_max_backoff_seconds.unwrap_or(10);
    in_range("podMaxBackoffSeconds", max, initial, i64::MAX)?;
    let seconds = |s: i64| Duration::from_secs(u64::try_from(s).unwrap_or(0));
    let profiles = match w.profiles {
        None => d.profiles,
        Some(list) if list.is_empty() => d.profiles,
        Some(list) => convert_profiles(list)?,
    };
    let c = w.client_connection.unwrap_or_default();
    Ok(Configuration {
        parallelism,
        leader_election: leader_election(w.leader_election.unwrap_or_default())?,
        client_connection: ClientConnection {
            kubeconfig: c.kubeconfig.unwrap_or_default(),
            accept_content_types: c.accept_content_types.unwrap_or_default(),
            content_type: c.content_type.unwrap_or_default(),
            qps: c.qps,
            burst: c.burst,
        },
        enable_profiling: w.enable_profiling.unwrap_or(true),
        enable_contention_profiling: w.enable_contention_profiling.unwrap_or(true),
        percentage_of_nodes_to_score: w.percentage_of_nodes_to_score,
        pod_initial_backoff: seconds(initial),
        pod_max_backoff: seconds(max),
        delay_cache_until_active: w.delay_cache_until_active.unwrap_or(false),
        profiles,
    })
}

fn leader_election(w: wire::LeaderElection) -> Result<LeaderElection, ConfigError> {
    let d = LeaderElection::default();
    let time = |field: &str, text: Option<String>, default: Duration| match text {
        None => Ok(default),
        Some(text) => {
            parse_duration(&text).map_err(|message| ConfigError::at(format!("leaderElection.{field}"), message))
        }
    };
    let lease_duration = time("leaseDuration", w.lease_duration, d.lease_duration)?;
    let renew_deadline = time("renewDeadline", w.renew_deadline, d.renew_deadline)?;
    let retry_period = time("retryPeriod", w.retry_period, d.retry_period)?;
    if let Some(lock) = w.resource_lock.filter(|lock| lock != "leases") {
        return Err(ConfigError::at(
            "leaderElection.resourceLock",
            format!("{lock:?} is not supported: must be \"leases\""),
        ));
    }
    if lease_duration <= renew_deadline {
        return Err(ConfigError::at("leaderElection.leaseDuration", "must be longer than renewDeadline"));
    }
    // client-go's jitter: the pause is up to 1.2 times the retry period.
    if renew_deadline <= retry_period.mul_f64(1.2) {
        return Err(ConfigError::at("leaderElection.renewDeadline", "must be longer than 1.2 times retryPeriod"));
    }
    if retry_period.is_zero() {
        return Err(ConfigError::at("leaderElection.retryPeriod", "must be longer than 0"));
    }
    Ok(LeaderElection {
        leader_elect: w.leader_elect.unwrap_or(true),
        lease_duration,
        renew_deadline,
        retry_period,
        resource_name: w.resource_name.filter(|n| !n.is_empty()),
        resource_namespace: w.resource_namespace.filter(|n| !n.is_empty()).unwrap_or(d.resource_namespace),
    })
}

fn convert_profiles(list: Vec<wire::Profile>) -> Result<Vec<ProfileConfig>, ConfigError> {
    if list.len() > MAX_PROFILES {
        return Err(ConfigError::at("profiles", format!("more than {MAX_PROFILES} are not supported")));
    }
    let single = list.len() == 1;
    let mut all: Vec<ProfileConfig> = Vec::new();
    for (i, profile) in list.into_iter().enumerate() {
        let path = format!("profiles[{i}]");
        let name = match profile.scheduler_name.filter(|n| !n.is_empty()) {
            Some(name) => name,
            None if single => DEFAULT_SCHEDULER_NAME.to_owned(),
            None => {
                return Err(ConfigError::at(
                    format!("{path}.schedulerName"),
                    "must be given when there are several profiles",
                ));
            }
        };
        if all.iter().any(|p| p.scheduler_name == *name) {
            return Err(ConfigError::at(format!("{path}.schedulerName"), format!("{name:?} is there twice")));
        }
        if let Some(percentage) = profile.percentage_of_nodes_to_score {
            in_range(&format!("{path}.percentageOfNodesToScore"), i64::from(percentage), 0, 100)?;
        }
        let mut converted = ProfileConfig {
            scheduler_name: name.into(),
            plugins: plugins(&path, profile.plugins.unwrap_or_default())?,
            ..ProfileConfig::default()
        };
        for (k, entry) in profile.plugin_config.into_iter().flatten().enumerate() {
            let path = format!("{path}.pluginConfig[{k}].name");
            if converted.plugin_config.contains_key(&entry.name) {
                return Err(ConfigError::at(path, format!("{:?} is there twice", entry.name)));
            }
            converted.plugin_config.insert(entry.name, entry.args);
        }
        all.push(converted);
    }
    Ok(all)
}

fn plugins(path: &str, w: wire::Plugins) -> Result<PluginsConfig, ConfigError> {
    for (field, set) in [
        ("placementGenerate", &w.placement_generate),
        ("placementScore", &w.placement_score),
        ("podGroupPostFilter", &w.pod_group_post_filter),
    ] {
        if set.as_ref().is_some_and(|s| !s.enabled.is_empty()) {
            let path = format!("{path}.plugins.{field}");
            return Err(ConfigError::at(path, "pod groups are not supported: remove it"));
        }
    }
    let convert = |field: &str, set: Option<wire::PluginSet>| {
        let set = set.unwrap_or_default();
        if set.enabled.len() + set.disabled.len() > 2 * MAX_PLUGINS {
            return Err(ConfigError::at(format!("{path}.plugins.{field}"), "has too many entries"));
        }
        for (i, p) in set.enabled.iter().enumerate() {
            let at = format!("{path}.plugins.{field}.enabled[{i}]");
            if p.weight < 0 {
                return Err(ConfigError::at(format!("{at}.weight"), format!("{}: must not be negative", p.weight)));
            }
            if set.enabled[..i].iter().any(|before| before.name == p.name) {
                return Err(ConfigError::at(format!("{at}.name"), format!("{:?} is there twice", p.name)));
            }
        }
        Ok(PluginSetConfig {
            enabled: set.enabled.into_iter().map(|p| EnabledPlugin { name: p.name, weight: p.weight }).collect(),
            disabled: set.disabled.into_iter().map(|p| p.name).collect(),
        })
    };
    Ok(PluginsConfig {
        multi_point: convert("multiPoint", w.multi_point)?,
        points: [
            convert("preEnqueue", w.pre_enqueue)?,
            convert("queueSort", w.queue_sort)?,
            convert("preFilter", w.pre_filter)?,
            convert("filter", w.filter)?,
            convert("postFilter", w.post_filter)?,
            convert("preScore", w.pre_score)?,
            convert("score", w.score)?,
            convert("reserve", w.reserve)?,
            convert("permit", w.permit)?,
            convert("preBind", w.pre_bind)?,
            convert("bind", w.bind)?,
            convert("postBind", w.post_bind)?,
        ],
    })
}
