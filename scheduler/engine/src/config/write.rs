//! The whole configuration with all defaults, as `--write-config-to` and `/configz` show it (`LogOrWriteConfig`).
//!
//! Profiles stand as upstream writes them: `multiPoint` with the default set merged in, the other points as they were
//! given, arguments of every enabled plugin that has some. Reading it back gives the same configuration.

use serde_json::{Map, Value, json};

use super::{
    API_VERSION, Configuration, EnabledPlugin, Extender, KIND, PluginSetConfig, ProfileConfig,
    build::merge_multi_point, field::go_duration,
};
use crate::{
    framework::{Point, Registry},
    plugins::memory_headroom,
};

/// Name of the Lease when the file does not say (`SchedulerDefaultLockObjectName`).
const LOCK_NAME: &str = "kube-scheduler";

impl Configuration {
    /// The configuration with its defaults, for the plugins of `registry`.
    #[must_use]
    pub fn to_value(&self, registry: &Registry) -> Value {
        let election = &self.leader_election;
        let connection = &self.client_connection;
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let mut all = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "parallelism": self.parallelism,
            "leaderElection": {
                "leaderElect": election.leader_elect,
                "leaseDuration": go_duration(election.lease_duration),
                "renewDeadline": go_duration(election.renew_deadline),
                "retryPeriod": go_duration(election.retry_period),
                "resourceLock": "leases",
                "resourceName": election.resource_name.as_deref().unwrap_or(LOCK_NAME),
                "resourceNamespace": election.resource_namespace,
            },
            "clientConnection": {
                "kubeconfig": connection.kubeconfig,
                "acceptContentTypes": connection.accept_content_types,
                "contentType": or(&connection.content_type, "application/vnd.kubernetes.protobuf"),
                "qps": number(connection.qps.unwrap_or(50.0)),
                "burst": connection.burst.unwrap_or(100),
            },
            "enableProfiling": self.enable_profiling,
            "enableContentionProfiling": self.enable_contention_profiling,
            "percentageOfNodesToScore": self.percentage_of_nodes_to_score.unwrap_or(0),
            "podInitialBackoffSeconds": self.pod_initial_backoff.as_secs(),
            "podMaxBackoffSeconds": self.pod_max_backoff.as_secs(),
            "profiles": self.profiles.iter().map(|p| profile(p, registry)).collect::<Vec<_>>(),
        });
        if let Some(fields) = all.as_object_mut() {
            if self.delay_cache_until_active {
                fields.insert("delayCacheUntilActive".to_owned(), true.into());
            }
            if !self.extenders.is_empty() {
                fields.insert("extenders".to_owned(), self.extenders.iter().map(extender).collect());
            }
        }
        all
    }

    /// The same as YAML.
    ///
    /// # Errors
    /// A sentence, when the writer refuses.
    pub fn to_yaml(&self, registry: &Registry) -> Result<String, String> {
        serde_saphyr::to_string(&self.to_value(registry)).map_err(|error| error.to_string())
    }
}

/// Whole numbers without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn profile(p: &ProfileConfig, registry: &Registry) -> Value {
    let merged = merge_multi_point(registry, &p.plugins.multi_point);
    let mut plugins = Map::new();
    let multi = PluginSetConfig { enabled: merged.clone(), disabled: p.plugins.multi_point.disabled.clone() };
    plugins.insert("multiPoint".to_owned(), set(&multi));
    for point in Point::ALL {
        plugins.insert(point.field().to_owned(), set(&p.plugins.points[point as usize]));
    }
    let mut named: Vec<&str> = merged.iter().map(|e| e.name.as_str()).collect();
    named.extend(p.plugins.points.iter().flat_map(|s| s.enabled.iter().map(|e| e.name.as_str())));
    named.extend(p.plugin_config.keys().map(String::as_str));
    named.sort_unstable();
    named.dedup();
    let configs: Vec<Value> = named
        .iter()
        .filter_map(|name| Some(json!({"name": name, "args": args(name, p.plugin_config.get(*name))?})))
        .collect();
    let mut all =
        json!({"schedulerName": p.scheduler_name.as_ref() as &str, "plugins": plugins, "pluginConfig": configs});
    if let (Some(percentage), Some(fields)) = (p.percentage_of_nodes_to_score, all.as_object_mut()) {
        fields.insert("percentageOfNodesToScore".to_owned(), percentage.into());
    }
    all
}

fn set(set: &PluginSetConfig) -> Value {
    let enabled = |e: &EnabledPlugin| json!({"name": e.name, "weight": e.weight});
    let mut all = Map::new();
    if !set.enabled.is_empty() {
        all.insert("enabled".to_owned(), set.enabled.iter().map(enabled).collect());
    }
    if !set.disabled.is_empty() {
        let disabled = |name: &String| json!({"name": name, "weight": 0});
        all.insert("disabled".to_owned(), set.disabled.iter().map(disabled).collect());
    }
    all.into()
}

/// Arguments with their defaults (`apis/config/v1/defaults.go`); nothing for a plugin that has none and was given none.
fn args(name: &str, given: Option<&Value>) -> Option<Value> {
    let resources = json!([{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]);
    let defaults = match name {
        "DefaultPreemption" => json!({"minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 100}),
        "DynamicResources" => json!({"bindingTimeout": "10m0s", "filterTimeout": "10s"}),
        "InterPodAffinity" => json!({"hardPodAffinityWeight": 1, "ignorePreferredTermsOfExistingPods": false}),
        "NodeAffinity" => json!({}),
        "NodeResourcesBalancedAllocation" => json!({"resources": resources}),
        "NodeResourcesFit" => json!({"scoringStrategy": {"type": "LeastAllocated", "resources": resources}}),
        "PodTopologySpread" => json!({"defaultingType": "System"}),
        "VolumeBinding" => json!({"bindTimeoutSeconds": 600}),
        "MemoryHeadroom" => memory_headroom::args_value(given),
        _ => return given.filter(|v| !v.is_null()).cloned(),
    };
    let mut all = defaults.as_object().cloned().unwrap_or_default();
    for (field, value) in given.and_then(Value::as_object).into_iter().flatten() {
        all.insert(field.clone(), value.clone());
    }
    if let Some(Value::Object(strategy)) = all.get_mut("scoringStrategy") {
        weights(strategy, &resources);
    }
    if name == "NodeResourcesBalancedAllocation" {
        weights(&mut all, &resources);
    }
    all.insert("apiVersion".to_owned(), API_VERSION.into());
    all.insert("kind".to_owned(), format!("{name}Args").into());
    Some(all.into())
}

/// No resources mean cpu and memory, and a weight of 0 means 1.
fn weights(fields: &mut Map<String, Value>, defaults: &Value) {
    let resources = fields.entry("resources").or_insert_with(|| defaults.clone());
    if resources.as_array().is_none_or(Vec::is_empty) {
        *resources = defaults.clone();
    }
    for resource in resources.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if resource.get("weight").is_none_or(|w| w == 0) {
            resource.insert("weight".to_owned(), 1.into());
        }
    }
}

fn extender(e: &Extender) -> Value {
    let mut all = json!({"urlPrefix": e.url_prefix, "httpTimeout": go_duration(e.http_timeout)});
    let Some(fields) = all.as_object_mut() else { return all };
    for (field, text) in [
        ("filterVerb", &e.filter_verb),
        ("preemptVerb", &e.preempt_verb),
        ("prioritizeVerb", &e.prioritize_verb),
        ("bindVerb", &e.bind_verb),
    ] {
        if !text.is_empty() {
            fields.insert(field.to_owned(), text.as_str().into());
        }
    }
    for (field, on) in
        [("enableHTTPS", e.enable_https), ("nodeCacheCapable", e.node_cache_capable), ("ignorable", e.ignorable)]
    {
        if on {
            fields.insert(field.to_owned(), true.into());
        }
    }
    if e.weight != 0 {
        fields.insert("weight".to_owned(), e.weight.into());
    }
    let resource = |r: &super::ManagedResource| {
        let mut all = json!({"name": r.name});
        if r.ignored_by_scheduler {
            all["ignoredByScheduler"] = true.into();
        }
        all
    };
    if !e.managed_resources.is_empty() {
        fields.insert("managedResources".to_owned(), e.managed_resources.iter().map(resource).collect());
    }
    if let Some(tls) = &e.tls {
        let mut written = Map::new();
        if tls.insecure {
            written.insert("insecure".to_owned(), true.into());
        }
        for (field, text) in [
            ("serverName", &tls.server_name),
            ("certFile", &tls.cert_file),
            ("keyFile", &tls.key_file),
            ("caFile", &tls.ca_file),
            ("certData", &tls.cert_data),
            ("caData", &tls.ca_data),
        ] {
            if !text.is_empty() {
                written.insert(field.to_owned(), text.as_str().into());
            }
        }
        if !tls.key_data.is_empty() {
            // A key is not for pages and logs.
            written.insert("keyData".to_owned(), "".into());
        }
        fields.insert("tlsConfig".to_owned(), written.into());
    }
    all
}
