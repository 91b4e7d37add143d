//! `extenders`: decoding and validation (`validateExtenders`, `SetDefaults` of `httpTimeout`; reference 4.5).

use std::time::Duration;

use serde::Deserialize;

use super::{
    ConfigError,
    duration::parse_duration,
    field::{invalid, required},
};

/// Most extenders, and most resources of one.
const MAX_EXTENDERS: usize = 32;
const MAX_RESOURCES: usize = 256;
/// `httpTimeout` when it is not given (`DefaultExtenderTimeout`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest name part of a qualified name.
const MAX_NAME: usize = 63;
/// Longest prefix of a qualified name.
const MAX_PREFIX: usize = 253;

/// `extenders[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extender {
    /// `urlPrefix`.
    pub url_prefix: String,
    /// `filterVerb`; empty = does not filter. So with the other verbs.
    pub filter_verb: String,
    /// `preemptVerb`.
    pub preempt_verb: String,
    /// `prioritizeVerb`.
    pub prioritize_verb: String,
    /// `weight` of its scores.
    pub weight: i64,
    /// `bindVerb`; at most one extender has it.
    pub bind_verb: String,
    /// `enableHTTPS`.
    pub enable_https: bool,
    /// `tlsConfig`.
    pub tls: Option<ExtenderTls>,
    /// `httpTimeout`.
    pub http_timeout: Duration,
    /// `nodeCacheCapable`: it is sent names, not nodes.
    pub node_cache_capable: bool,
    /// `managedResources`; empty = asked about every pod.
    pub managed_resources: Vec<ManagedResource>,
    /// `ignorable`: its errors do not fail a pod.
    pub ignorable: bool,
}

/// `extenders[].tlsConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtenderTls {
    /// `insecure`: the server's certificate is not checked.
    pub insecure: bool,
    /// `serverName`.
    pub server_name: String,
    /// `certFile`.
    pub cert_file: String,
    /// `keyFile`.
    pub key_file: String,
    /// `caFile`.
    pub ca_file: String,
    /// `certData`, base64.
    pub cert_data: String,
    /// `keyData`, base64.
    pub key_data: String,
    /// `caData`, base64.
    pub ca_data: String,
}

/// `extenders[].managedResources[]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ManagedResource {
    /// Name of the extended resource.
    pub name: String,
    /// `ignoredByScheduler`: NodeResourcesFit does not look at it.
    #[serde(default)]
    pub ignored_by_scheduler: bool,
}

/// An extender as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wire {
    url_prefix: String,
    filter_verb: String,
    preempt_verb: String,
    prioritize_verb: String,
    weight: i64,
    bind_verb: String,
    #[serde(rename = "enableHTTPS")]
    enable_https: bool,
    tls_config: Option<ExtenderTls>,
    #[serde(rename = "httpTimeout")]
    http_timeout: Option<String>,
    node_cache_capable: bool,
    managed_resources: Vec<ManagedResource>,
    ignorable: bool,
}

/// The extenders, checked.
pub(super) fn convert(list: Vec<Wire>) -> Result<Vec<Extender>, ConfigError> {
    if list.len() > MAX_EXTENDERS {
        return Err(ConfigError::at("extenders", format!("more than {MAX_EXTENDERS} are not supported")));
    }
    let mut resources: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for (i, w) in list.into_iter().enumerate() {
        let path = format!("extenders[{i}]");
        // Stock takes an empty prefix and fails at every pod.
        if w.url_prefix.is_empty() {
            return Err(ConfigError::at(format!("{path}.urlPrefix"), required("")));
        }
        if !w.prioritize_verb.is_empty() && w.weight <= 0 {
            let message = invalid(w.weight, "must have a positive weight applied to it");
            return Err(ConfigError::at(format!("{path}.weight"), message));
        }
        if w.managed_resources.len() > MAX_RESOURCES {
            let message = format!("more than {MAX_RESOURCES} are not supported");
            return Err(ConfigError::at(format!("{path}.managedResources"), message));
        }
        for (j, resource) in w.managed_resources.iter().enumerate() {
            let at = format!("{path}.managedResources[{j}].name");
            let name = resource.name.as_str();
            check_resource(name).map_err(|why| ConfigError::at(at.as_str(), invalid(format!("{name:?}"), why)))?;
            if resources.iter().any(|seen| seen == name) {
                let message = invalid(format!("{name:?}"), "duplicate extender managed resource name");
                return Err(ConfigError::at(at, message));
            }
            resources.push(name.to_owned());
        }
        let http_timeout = match &w.http_timeout {
            None => DEFAULT_TIMEOUT,
            Some(text) => parse_duration(text).map_err(|m| ConfigError::at(format!("{path}.httpTimeout"), m))?,
        };
        all.push(Extender {
            url_prefix: w.url_prefix,
            filter_verb: w.filter_verb,
            preempt_verb: w.preempt_verb,
            prioritize_verb: w.prioritize_verb,
            weight: w.weight,
            bind_verb: w.bind_verb,
            enable_https: w.enable_https,
            tls: w.tls_config,
            http_timeout: if http_timeout.is_zero() { DEFAULT_TIMEOUT } else { http_timeout },
            node_cache_capable: w.node_cache_capable,
            managed_resources: w.managed_resources,
            ignorable: w.ignorable,
        });
    }
    match all.iter().filter(|e| !e.bind_verb.is_empty()).count() {
        0 | 1 => Ok(all),
        n => {
            let value = format!("\"found {n} extenders implementing bind\"");
            Err(ConfigError::at("extenders", invalid(value, "only one extender can implement bind")))
        }
    }
}

/// `validateExtendedResourceName`.
fn check_resource(name: &str) -> Result<(), &'static str> {
    const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
        an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
        '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let (prefix, part) = match name.split_once('/') {
        None => (None, name),
        Some((_, rest)) if rest.contains('/') => {
            return Err("a qualified name must consist of one prefix and one name, separated by a '/'");
        }
        Some((prefix, part)) => (Some(prefix), part),
    };
    if let Some(prefix) = prefix {
        let label = |l: &str| {
            let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            !l.is_empty() && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
        };
        if prefix.is_empty() {
            return Err("prefix part must be non-empty");
        }
        if prefix.len() > MAX_PREFIX || !prefix.split('.').all(label) {
            return Err("prefix part must be a lowercase RFC 1123 subdomain");
        }
    }
    if part.is_empty() {
        return Err("name part must be non-empty");
    }
    if part.len() > MAX_NAME {
        return Err("name part must be no more than 63 bytes");
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !part.chars().all(inner) || !edge(part.chars().next()) || !edge(part.chars().next_back()) {
        return Err(NAME);
    }
    let native = prefix.is_none_or(|p| format!("{p}/").contains("kubernetes.io/"));
    if native || name.starts_with("requests.") || "requests.".len() + name.len() > MAX_PREFIX {
        return Err("is an invalid extended resource name");
    }
    Ok(())
}
