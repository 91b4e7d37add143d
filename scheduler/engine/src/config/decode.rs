//! From text to [`Configuration`]: decoding, defaults, validation (`apis/config/v1/defaults.go`,
//! `apis/config/validation`).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    API_VERSION, ClientConnection, ConfigError, Configuration, DEFAULT_SCHEDULER_NAME, EnabledPlugin, Extender, KIND,
    LeaderElection, PluginSetConfig, PluginsConfig, ProfileConfig,
    duration::parse_duration,
    extenders,
    field::{duplicate, go_duration, invalid, required},
    wire,
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
    pub fn from_value(mut value: Value) -> Result<Self, ConfigError> {
        drop_nulls(&mut value);
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

/// A field that is `null` is one that is not given, as Go decodes it. Entries of lists stay: there `null` is an entry.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(entries) => entries.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Plugins of earlier versions (`invalidPluginsByVersion`).
const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

/// An error unless the condition holds.
fn must(holds: bool, path: &str, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::at(path, message())) }
}

fn percentage(path: &str, given: Option<i32>) -> Result<(), ConfigError> {
    let value = given.unwrap_or(0);
    must((0..=100).contains(&value), path, || invalid(value, "not in valid range [0-100]"))
}

fn not_removed(path: &str, name: &str) -> Result<(), ConfigError> {
    must(!REMOVED.contains(&name), path, || {
        let detail = format!("was invalid in version \"v1\" (KubeSchedulerConfiguration is version {API_VERSION:?})");
        invalid(format!("{name:?}"), detail)
    })
}

fn convert(w: wire::Configuration) -> Result<Configuration, ConfigError> {
    let d = Configuration::default();
    debug_assert!(w.api_version.is_some() && w.kind.is_some());
    let connection = w.client_connection.unwrap_or_default();
    let burst = connection.burst.filter(|burst| *burst != 0);
    must(burst.is_none_or(|b| b > 0), "clientConnection.burst", || {
        invalid(burst.unwrap_or_default(), "must be non-negative")
    })?;
    let leader_election = leader_election(w.leader_election.unwrap_or_default())?;
    let parallelism = w.parallelism.unwrap_or(d.parallelism);
    must(parallelism > 0, "parallelism", || invalid(parallelism, "should be an integer value greater than zero"))?;
    let mut profiles = match w.profiles {
        None => d.profiles,
        Some(list) if list.is_empty() => d.profiles,
        Some(list) => convert_profiles(list)?,
    };
    percentage("percentageOfNodesToScore", w.percentage_of_nodes_to_score)?;
    let initial = w.pod_initial_backoff_seconds.unwrap_or(1);
    must(initial > 0, "podInitialBackoffSeconds", || invalid(initial, "must be greater than 0"))?;
    let max = w.pod_max_backoff_seconds.unwrap_or(10);
    must(max >= initial, "podMaxBackoffSeconds", || {
        invalid(max, "must be greater than or equal to PodInitialBackoffSeconds")
    })?;
    let extenders = extenders::convert(w.extenders.unwrap_or_default())?;
    ignore_managed(&mut profiles, &extenders);
    let seconds = |s: i64| Duration::from_secs(u64::try_from(s).unwrap_or(0));
    Ok(Configuration {
        parallelism,
        leader_election,
        client_connection: ClientConnection {
            kubeconfig: connection.kubeconfig.unwrap_or_default(),
            accept_content_types: connection.accept_content_types.unwrap_or_default(),
            content_type: connection.content_type.unwrap_or_default(),
            qps: connection.qps.filter(|qps| *qps != 0.0),
            burst,
        },
        enable_profiling: w.enable_profiling.unwrap_or(true),
        enable_contention_profiling: w.enable_contention_profiling.unwrap_or(w.enable_profiling.unwrap_or(true)),
        percentage_of_nodes_to_score: w.percentage_of_nodes_to_score,
        pod_initial_backoff: seconds(initial),
        pod_max_backoff: seconds(max),
        delay_cache_until_active: w.delay_cache_until_active.unwrap_or(false),
        profiles,
        extenders,
    })
}

/// NodeResourcesFit does not look at resources that an extender manages and says so of (`buildExtenders`).
fn ignore_managed(profiles: &mut [ProfileConfig], extenders: &[Extender]) {
    let managed = extenders.iter().flat_map(|e| &e.managed_resources).filter(|r| r.ignored_by_scheduler);
    let names: Vec<Value> = managed.map(|r| r.name.as_str().into()).collect();
    if names.is_empty() {
        return;
    }
    for profile in profiles {
        let args =
            profile.plugin_config.entry("NodeResourcesFit".to_owned()).or_insert_with(|| Value::Object(Map::new()));
        if args.is_null() {
            *args = Value::Object(Map::new());
        }
        // What is no object is refused when the plugin is made.
        let Some(args) = args.as_object_mut() else { continue };
        let list = args.entry("ignoredResources").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            // A file that was written from this configuration has them already.
            for name in &names {
                if !list.contains(name) {
                    list.push(name.clone());
                }
            }
        }
    }
}

fn leader_election(w: wire::LeaderElection) -> Result<LeaderElection, ConfigError> {
    let d = LeaderElection::default();
    let time = |field: &str, text: Option<String>, default: Duration| match text {
        None => Ok(default),
        Some(text) => {
            parse_duration(&text).map_err(|message| ConfigError::at(format!("leaderElection.{field}"), message))
        }
    };
    // As with upstream, 0 is the same as not given.
    let or = |given: Duration, default: Duration| if given.is_zero() { default } else { given };
    let lease_duration = or(time("leaseDuration", w.lease_duration, d.lease_duration)?, d.lease_duration);
    let renew_deadline = or(time("renewDeadline", w.renew_deadline, d.renew_deadline)?, d.renew_deadline);
    let retry_period = or(time("retryPeriod", w.retry_period, d.retry_period)?, d.retry_period);
    let quoted = |duration: Duration| format!("{:?}", go_duration(duration));
    if w.leader_elect.unwrap_or(true) {
        must(lease_duration > renew_deadline, "leaderElection.leaseDuration", || {
            invalid(quoted(renew_deadline), "must be greater than `RenewDeadline`")
        })?;
        if let Some(lock) = w.resource_lock.filter(|lock| !lock.is_empty() && lock != "leases") {
            let message = invalid(format!("{lock:?}"), "resourceLock value must be \"leases\"");
            return Err(ConfigError::at("leaderElection.resourceLock", message));
        }
        // client-go's jitter: the pause is up to 1.2 times the retry period.
        must(renew_deadline > retry_period.mul_f64(1.2), "leaderElection.renewDeadline", || {
            invalid(quoted(renew_deadline), "must be greater than retryPeriod*JitterFactor (1.2)")
        })?;
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
                return Err(ConfigError::at(format!("{path}.schedulerName"), required("")));
            }
        };
        if all.iter().any(|p| p.scheduler_name == *name) {
            return Err(ConfigError::at(format!("{path}.schedulerName"), duplicate(&name)));
        }
        percentage(&format!("{path}.percentageOfNodesToScore"), profile.percentage_of_nodes_to_score)?;
        let mut converted = ProfileConfig {
            scheduler_name: name.into(),
            percentage_of_nodes_to_score: profile.percentage_of_nodes_to_score,
            plugins: plugins(&path, profile.plugins.unwrap_or_default())?,
            ..ProfileConfig::default()
        };
        for (k, entry) in profile.plugin_config.into_iter().flatten().enumerate() {
            let path = format!("{path}.pluginConfig[{k}]");
            must(!converted.plugin_config.contains_key(&entry.name), &path, || duplicate(&entry.name))?;
            not_removed(&path, &entry.name)?;
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
            if field != "multiPoint" {
                not_removed(&at, &p.name)?;
            }
            if set.enabled[..i].iter().any(|before| before.name == p.name) {
                return Err(ConfigError::at(format!("{at}.name"), duplicate(&p.name)));
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
