//! Flags that all of upstream's components have (1.36) and that do nothing here: a command line that starts stock starts us
//! as well, and what a flag asked for and does not get is said in the log, or at once when it would be wrong to go on.
//!
//! Flags that do something are in [`super::flags`]. The list is that of `kube-scheduler --help`, and kube-controller-manager
//! has all of them as well.

use clap::{ArgAction, Args};

/// Paths that stock lets through without asking, unless told otherwise.
const OPEN_PATHS: [&str; 5] = ["/healthz", "/readyz", "/livez", "/statusz", "/flagz"];

macro_rules! flags {
    ($($(#[$doc:meta])* $field:ident => $why:literal;)*) => {
        /// Flags that are accepted and not followed.
        #[derive(Debug, Clone, Default, Args)]
        pub struct StockFlags {
            $(
                $(#[$doc])*
                #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Append)]
                $field: Vec<String>,
            )*
        }

        impl StockFlags {
            /// Flags that were given and change nothing, with the reason. Those without one are looked at one by one.
            fn unfollowed(&self) -> Vec<(&'static str, &'static str)> {
                let all = [$((stringify!($field), $why, self.$field.is_empty())),*];
                all.into_iter().filter(|(_, why, absent)| !absent && !why.is_empty()).map(|(f, why, _)| (f, why)).collect()
            }
        }
    };
}

flags! {
    /// Directory of generated certificates
    cert_dir => "certificates are given with --tls-cert-file, or made in memory";
    /// HTTP/2 off
    disable_http2_serving => "health and metrics are served over HTTP/1.1 and HTTP/2";
    /// Streams per connection
    http2_max_streams_per_connection => "the server has its own limit";
    /// SO_REUSEADDR
    permit_address_sharing => "addresses are not shared";
    /// SO_REUSEPORT
    permit_port_sharing => "ports are not shared";
    /// Cipher suites
    tls_cipher_suites => "only suites with forward secrecy and AEAD are served";
    /// Curves
    tls_curve_preferences => "only X25519, P-256 and P-384 are served";
    /// Lowest version of TLS
    tls_min_version => "";
    /// Further certificates
    tls_sni_cert_key => "";
    /// No look-up of the cluster's authentication configuration
    authentication_skip_lookup => "callers are known by bearer token alone";
    /// Cache of tokens
    authentication_token_webhook_cache_ttl => "answers are kept for 10s";
    /// Failure of the look-up
    authentication_tolerate_lookup_failure => "nothing is looked up";
    /// CA of client certificates
    client_ca_file => "callers are known by bearer token alone";
    /// Front proxy
    requestheader_allowed_names => "callers are known by bearer token alone";
    /// Front proxy
    requestheader_client_ca_file => "callers are known by bearer token alone";
    /// Front proxy
    requestheader_extra_headers_prefix => "callers are known by bearer token alone";
    /// Front proxy
    requestheader_group_headers => "callers are known by bearer token alone";
    /// Front proxy
    requestheader_uid_headers => "callers are known by bearer token alone";
    /// Front proxy
    requestheader_username_headers => "callers are known by bearer token alone";
    /// Paths without authorization
    authorization_always_allow_paths => "";
    /// Cache of verdicts
    authorization_webhook_cache_authorized_ttl => "answers are kept for 10s";
    /// Cache of verdicts
    authorization_webhook_cache_unauthorized_ttl => "answers are kept for 10s";
    /// Block profiles
    contention_profiling => "there are no Go profiles";
    /// CPU and heap profiles
    profiling => "there are no Go profiles";
    /// Burst of the client
    kube_api_burst => "requests are limited by their number in flight";
    /// Encoding
    kube_api_content_type => "kinds that change often are read in protobuf, and JSON is written";
    /// Requests per second
    kube_api_qps => "requests are limited by their number in flight";
    /// Feature gates
    feature_gates => "features cannot be switched; see the parity table for what is there";
    /// Emulated version
    emulated_version => "behaviour is that of 1.36";
    /// Compatible version
    min_compatibility_version => "behaviour is that of 1.36";
    /// Label values
    allow_metric_labels => "labels are bounded";
    /// Label values
    allow_metric_labels_manifest => "labels are bounded";
    /// Metrics that are off
    disabled_metrics => "metrics cannot be switched off";
    /// Hidden metrics
    show_hidden_metrics_for_version => "no metrics are hidden";
    /// Flushing
    log_flush_frequency => "every line is written at once";
    /// Buffer
    log_json_info_buffer_size => "every line is written at once";
    /// Streams
    log_json_split_stream => "logs go to standard error";
    /// Buffer
    log_text_info_buffer_size => "every line is written at once";
    /// Streams
    log_text_split_stream => "logs go to standard error";
    /// Verbosity by file
    vmodule => "verbosity is set with -v";
}

impl StockFlags {
    /// Lines for the log: what was given and is not followed.
    ///
    /// # Errors
    /// A line for a flag that must not be passed over: going on would be less safe or less reachable than asked for.
    pub fn check(&self) -> Result<Vec<String>, String> {
        // Of a flag that is given twice the last one counts; lists grow.
        if self.tls_min_version.last().is_some_and(|v| v == "VersionTLS13") {
            return Err(
                "--tls-min-version VersionTLS13 is not supported: TLS 1.2 is served as well; leave it out".to_owned()
            );
        }
        if let Some(version) = self.tls_min_version.last().filter(|v| !known_version(v)) {
            return Err(format!(
                "--tls-min-version {version}: must be VersionTLS10, VersionTLS11, VersionTLS12 or VersionTLS13"
            ));
        }
        if !self.tls_sni_cert_key.is_empty() {
            return Err("--tls-sni-cert-key is not supported: one certificate is served (--tls-cert-file)".to_owned());
        }
        let paths = self.authorization_always_allow_paths.iter().flat_map(|list| list.split(','));
        if let Some(path) = paths.filter(|p| !p.is_empty()).find(|p| !OPEN_PATHS.contains(p)) {
            return Err(format!(
                "--authorization-always-allow-paths {path} is not supported: only health is open to everybody; allow its \
                 reader with RBAC on nonResourceURLs instead"
            ));
        }
        Ok(self.unfollowed().into_iter().map(|(flag, why)| format!("--{}: {why}", flag.replace('_', "-"))).collect())
    }
}

fn known_version(version: &str) -> bool {
    ["VersionTLS10", "VersionTLS11", "VersionTLS12"].contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Top {
        #[command(flatten)]
        flags: StockFlags,
    }

    fn check(args: &[&str]) -> Result<Vec<String>, String> {
        Top::try_parse_from(std::iter::once("x").chain(args.iter().copied())).unwrap().flags.check()
    }

    #[test]
    fn accepted_and_told() {
        let told = check(&[
            "--profiling=false",
            "--kube-api-qps=100",
            "--feature-gates=A=true",
            "--feature-gates",
            "B=false",
            "--tls-min-version=VersionTLS12",
            "--authorization-always-allow-paths=/healthz,/readyz,/livez",
        ])
        .unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|l| l.starts_with("--kube-api-qps: ")), "{told:?}");
        assert_eq!(check(&[]), Ok(Vec::new()));
        assert_eq!(check(&["--tls-min-version=VersionTLS13", "--tls-min-version=VersionTLS12"]), Ok(Vec::new()));
    }

    #[test]
    fn refused_with_a_reason() {
        for (args, expected) in [
            ("--tls-min-version=VersionTLS13", "is not supported: TLS 1.2"),
            ("--tls-min-version=1.3", "must be VersionTLS10"),
            ("--tls-sni-cert-key=a,b", "one certificate is served"),
            ("--authorization-always-allow-paths=/healthz,/metrics", "/metrics is not supported"),
        ] {
            let line = check(&[args]).unwrap_err();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
