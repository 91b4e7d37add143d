//! Flags.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use headroom_core::object::ObjectKey;
use headroom_runtime::process::GoDuration;

/// How kubelets are read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Measuring nodes (node-headroom-controller)")]
pub struct NodeHeadroomOptions {
    /// How often each kubelet is read; grows above 150 nodes.
    #[arg(long = "node-headroom-interval", value_name = "DURATION", default_value = "15s", value_parser = interval)]
    pub interval: GoDuration,

    /// How long a kubelet may take to answer, from dialling to the last byte.
    #[arg(long = "kubelet-timeout", value_name = "DURATION", default_value = "3s", value_parser = timeout)]
    pub timeout: GoDuration,

    /// PEM file with the CAs that kubelets' serving certificates are checked against; default: the cluster's CA.
    #[arg(long = "kubelet-certificate-authority", value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,

    /// Do not check kubelets' certificates. Whoever can answer for a node then sees the token for reading kubelets
    /// (which opens nothing else) and can invent its figures.
    #[arg(long = "kubelet-insecure-tls")]
    pub insecure_tls: bool,

    /// ServiceAccount whose short-lived token is shown to kubelets; it needs "get" on nodes/stats and nothing else.
    #[arg(
        long = "kubelet-token-service-account",
        value_name = "NAMESPACE/NAME",
        default_value = "kube-system/headroom-kubelet-reader",
        value_parser = account
    )]
    pub token_service_account: ObjectKey,
}

impl Default for NodeHeadroomOptions {
    fn default() -> Self {
        Self {
            interval: GoDuration(Duration::from_secs(15)),
            timeout: GoDuration(Duration::from_secs(3)),
            certificate_authority: None,
            insecure_tls: false,
            token_service_account: ObjectKey::new("kube-system", "headroom-kubelet-reader"),
        }
    }
}

fn interval(text: &str) -> Result<GoDuration, String> {
    seconds(text, 600, "must be whole seconds between 1s and 10m")
}

fn timeout(text: &str) -> Result<GoDuration, String> {
    seconds(text, 30, "must be whole seconds between 1s and 30s")
}

/// Whole seconds, at least one.
fn seconds(text: &str, most: u64, must: &str) -> Result<GoDuration, String> {
    let parsed: GoDuration = text.parse().map_err(|e: headroom_runtime::process::DurationError| e.to_string())?;
    if parsed.0.subsec_nanos() != 0 || !(1..=most).contains(&parsed.0.as_secs()) {
        return Err(must.into());
    }
    Ok(parsed)
}

fn account(text: &str) -> Result<ObjectKey, String> {
    let label = |s: &str| {
        !s.is_empty()
            && s.len() <= 253
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    match text.split_once('/') {
        Some((namespace, name)) if label(namespace) && label(name) => Ok(ObjectKey::new(namespace, name)),
        _ => Err("must be NAMESPACE/NAME".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_checked() {
        assert!(interval("15s").is_ok() && interval("10m").is_ok());
        for bad in ["0s", "1.5s", "11m", "x"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
        assert!(timeout("1s").is_ok() && timeout("30s").is_ok());
        for bad in ["0s", "999ms", "1.5s", "31s", "x"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
        assert_eq!(timeout("1m"), Err("must be whole seconds between 1s and 30s".into()));
        assert_eq!(account("a/b"), Ok(ObjectKey::new("a", "b")));
        for bad in ["", "a", "/b", "a/", "a/b/c", "A/b", "a/..%2f"] {
            assert!(account(bad).is_err(), "{bad}");
        }
    }
}
