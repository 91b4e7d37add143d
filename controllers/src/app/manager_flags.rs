//! Flags of kube-controller-manager 1.36 beside those that all of upstream's components have ([`StockFlags`]): a command line
//! that was tuned for the loops of this binary starts it as well. What a flag asked for and does not get is said in the log.
//! Flags of loops that are not here end the start, with a line that says whose they are.
//!
//! [`StockFlags`]: headroom_runtime::process::StockFlags

use std::ffi::OsString;

use clap::{ArgAction, Args};
use headroom_runtime::process::GoDuration;

const ONE_THREAD: &str = "one thread decides, and writes are limited by their number in flight";

/// Flags that are accepted and not followed.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ManagerFlags {
    /// Workers of replicationcontroller-controller
    #[arg(long, hide = true, value_name = "NUMBER", allow_negative_numbers = true)]
    concurrent_rc_syncs: Option<i32>,
    /// Workers of endpoints-controller
    #[arg(long, hide = true, value_name = "NUMBER", allow_negative_numbers = true)]
    concurrent_endpoint_syncs: Option<i32>,
    /// Workers of endpointslice-controller
    #[arg(long, hide = true, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=50))]
    concurrent_service_endpoint_syncs: Option<u8>,
    /// Workers of endpointslice-mirroring-controller
    #[arg(long, hide = true, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=50))]
    mirroring_concurrent_service_endpoint_syncs: Option<u8>,
    /// How often everything is looked at anew
    #[arg(long, hide = true, value_name = "DURATION")]
    min_resync_period: Option<GoDuration>,
    /// Pause between the starts of two loops
    #[arg(long, hide = true, value_name = "DURATION")]
    controller_start_interval: Option<GoDuration>,
    /// A ServiceAccount for each loop
    #[arg(
        long,
        hide = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    use_service_account_credentials: Option<bool>,
}

impl ManagerFlags {
    /// Lines for the log: what was given and is not followed.
    pub(super) fn ignored(&self) -> Vec<String> {
        let all = [
            ("concurrent-rc-syncs", self.concurrent_rc_syncs.is_some(), ONE_THREAD),
            ("concurrent-endpoint-syncs", self.concurrent_endpoint_syncs.is_some(), ONE_THREAD),
            ("concurrent-service-endpoint-syncs", self.concurrent_service_endpoint_syncs.is_some(), ONE_THREAD),
            (
                "mirroring-concurrent-service-endpoint-syncs",
                self.mirroring_concurrent_service_endpoint_syncs.is_some(),
                ONE_THREAD,
            ),
            (
                "min-resync-period",
                self.min_resync_period.is_some(),
                "what is watched is not looked at anew: each loop has timers for what it waits for",
            ),
            (
                "controller-start-interval",
                self.controller_start_interval.is_some(),
                "each loop starts once it knows its objects",
            ),
            (
                "use-service-account-credentials",
                self.use_service_account_credentials.is_some(),
                "all loops act as one account, which has the role of each loop that runs",
            ),
        ];
        all.into_iter().filter(|(_, given, _)| *given).map(|(flag, _, why)| format!("--{flag}: {why}")).collect()
    }
}

/// Flags of loops that are not here, by how their names begin, and whose they are.
const ELSEWHERE: &[(&str, &str)] = &[
    ("allocate-node-cidrs", "node-ipam-controller"),
    ("attach-detach-reconcile-sync-period", "persistentvolume-attach-detach-controller"),
    ("cidr-allocator-type", "node-ipam-controller"),
    ("cluster-cidr", "node-ipam-controller"),
    ("cluster-name", "service-lb-controller"),
    ("cluster-signing-", "certificatesigningrequest-signing-controller"),
    ("concurrent-cron-job-syncs", "cronjob-controller"),
    ("concurrent-daemonset-syncs", "daemonset-controller"),
    ("concurrent-deployment-syncs", "deployment-controller"),
    ("concurrent-device-taint-eviction-syncs", "device-taint-eviction-controller"),
    ("concurrent-disruption-", "disruption-controller"),
    ("concurrent-ephemeralvolume-syncs", "ephemeral-volume-controller"),
    ("concurrent-gc-syncs", "garbage-collector-controller"),
    ("concurrent-horizontal-pod-autoscaler-syncs", "horizontal-pod-autoscaler-controller"),
    ("concurrent-job-syncs", "job-controller"),
    ("concurrent-namespace-syncs", "namespace-controller"),
    ("concurrent-replicaset-syncs", "replicaset-controller"),
    ("concurrent-resource-quota-syncs", "resourcequota-controller"),
    ("concurrent-resourceclaim-syncs", "resourceclaim-controller"),
    ("concurrent-service-syncs", "service-lb-controller"),
    ("concurrent-serviceaccount-token-syncs", "serviceaccount-token-controller"),
    ("concurrent-statefulset-syncs", "statefulset-controller"),
    ("concurrent-ttl-after-finished-syncs", "ttl-after-finished-controller"),
    ("concurrent-validating-admission-policy-status-syncs", "validatingadmissionpolicy-status-controller"),
    ("configure-cloud-routes", "node-route-controller"),
    ("daemonset-burst-replicas", "daemonset-controller"),
    ("disable-attach-detach-reconcile-sync", "persistentvolume-attach-detach-controller"),
    ("disable-force-detach-on-timeout", "persistentvolume-attach-detach-controller"),
    ("enable-dynamic-provisioning", "persistentvolume-binder-controller"),
    ("enable-garbage-collector", "garbage-collector-controller"),
    ("enable-hostpath-provisioner", "persistentvolume-binder-controller"),
    ("flex-volume-plugin-dir", "persistentvolume-binder-controller"),
    ("horizontal-pod-autoscaler-", "horizontal-pod-autoscaler-controller"),
    ("legacy-service-account-token-clean-up-period", "legacy-serviceaccount-token-cleaner-controller"),
    ("namespace-sync-period", "namespace-controller"),
    ("node-cidr-mask-size", "node-ipam-controller"),
    ("pv-recycler-", "persistentvolume-binder-controller"),
    ("pvclaimbinder-sync-period", "persistentvolume-binder-controller"),
    ("resource-quota-sync-period", "resourcequota-controller"),
    ("root-ca-file", "root-ca-certificate-publisher-controller"),
    ("route-reconciliation-period", "node-route-controller"),
    ("service-account-private-key-file", "serviceaccount-token-controller"),
    ("service-cluster-ip-range", "node-ipam-controller"),
];

/// The line for a command line that is wrong: a clearer one than `line` where that is about a flag of a loop that is not
/// here.
pub(super) fn explain(args: &[OsString], line: String) -> String {
    let mut names = args.iter().skip(1).filter_map(|arg| {
        let name = arg.to_str()?.strip_prefix("--")?;
        Some(name.split_once('=').map_or(name, |(name, _)| name).replace('_', "-"))
    });
    let elsewhere = |name: String| {
        let (_, owner) = ELSEWHERE.iter().find(|(begins, _)| name.starts_with(begins))?;
        line.contains(&format!("'--{name}'")).then_some((name, *owner))
    };
    match names.find_map(elsewhere) {
        Some((name, owner)) => format!(
            "--{name} is a flag of {owner}, which is not a controller of this binary: leave it with the stock \
             kube-controller-manager (see --help)"
        ),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use headroom_runtime::process::parse_or_explain;

    use super::*;
    use crate::app::Options;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let args: Vec<OsString> =
            std::iter::once("headroom-controllers").chain(args.iter().copied()).map(Into::into).collect();
        parse_or_explain(args.clone()).map_err(|wrong| explain(&args, wrong.unwrap_err()))
    }

    #[test]
    fn a_tuned_command_line_of_stock_is_taken_and_what_is_not_followed_is_said() {
        let told = parse(&[
            "--concurrent_rc_syncs=20",
            "--concurrent-endpoint-syncs",
            "10",
            "--concurrent-service-endpoint-syncs=10",
            "--mirroring-concurrent-service-endpoint-syncs=10",
            "--kube-api-qps=50.5",
            "--kube-api-burst=100",
            "--kube-api-content-type=application/vnd.kubernetes.protobuf",
            "--min-resync-period=8h",
            "--controller-start-interval=2s",
            "--use-service-account-credentials",
            "--profiling=false",
            "--node-monitor-grace-period=40s",
            "--terminated-pod-gc-threshold=1000",
            "--max-endpoints-per-slice=200",
        ])
        .unwrap()
        .ignored()
        .unwrap();
        let flags: Vec<&str> = told.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
        assert_eq!(flags.len(), told.len(), "each says why: {told:?}");
        let mut expected = vec![
            "--concurrent-rc-syncs",
            "--concurrent-endpoint-syncs",
            "--concurrent-service-endpoint-syncs",
            "--mirroring-concurrent-service-endpoint-syncs",
            "--kube-api-qps",
            "--kube-api-burst",
            "--kube-api-content-type",
            "--min-resync-period",
            "--controller-start-interval",
            "--use-service-account-credentials",
            "--profiling",
        ];
        expected.sort_unstable();
        let mut flags = flags;
        flags.sort_unstable();
        assert_eq!(flags, expected);
        assert_eq!(parse(&[]).unwrap().ignored(), Ok(Vec::new()), "what is not given is not spoken of");
    }

    #[test]
    fn values_are_checked_as_with_stock() {
        for wrong in [
            "--concurrent-rc-syncs=many",
            "--concurrent-endpoint-syncs=3000000000",
            "--concurrent-service-endpoint-syncs=0",
            "--concurrent-service-endpoint-syncs=51",
            "--mirroring-concurrent-service-endpoint-syncs=0",
            "--mirroring-concurrent-service-endpoint-syncs=51",
            "--min-resync-period=8",
            "--use-service-account-credentials=maybe",
        ] {
            let name = wrong.split_once('=').unwrap().0;
            let line = parse(&[wrong]).unwrap_err();
            assert!(line.contains(name) && !line.contains('\n'), "{line}");
        }
        assert!(parse(&["--tls-min-version=VersionTLS13"]).unwrap().ignored().is_err());
    }

    #[test]
    fn flags_of_loops_that_are_not_here_are_refused_with_a_clear_line() {
        for (flag, owner) in [
            ("--concurrent-deployment-syncs=10", "deployment-controller"),
            ("--concurrent_gc_syncs=30", "garbage-collector-controller"),
            ("--cluster-signing-duration=10h", "certificatesigningrequest-signing-controller"),
            ("--horizontal-pod-autoscaler-sync-period=45s", "horizontal-pod-autoscaler-controller"),
            ("--node-cidr-mask-size-ipv4=24", "node-ipam-controller"),
            ("--cluster-name=kubernetes", "service-lb-controller"),
        ] {
            let line = parse(&["--concurrent-rc-syncs=5", flag]).unwrap_err();
            let name = flag.split_once('=').unwrap().0.replace('_', "-");
            assert!(line.starts_with(&format!("{name} is a flag of {owner}, which is not a controller")), "{line}");
            assert!(!line.contains('\n') && line.contains("stock kube-controller-manager"), "{line}");
        }
        // What is nobody's, and what is wrong beside such a flag, is told as ever.
        for (args, wanted) in [
            (&["--no-such-flag"][..], "--no-such-flag"),
            (&["--secure-port=x", "--concurrent-deployment-syncs=10"], "--secure-port"),
        ] {
            let line = parse(args).unwrap_err();
            assert!(line.contains(wanted) && !line.contains("is a flag of"), "{line}");
        }
    }

    #[test]
    fn what_is_told_of_is_not_ours() {
        for (begins, owner) in ELSEWHERE {
            assert!(owner.ends_with("-controller"), "{owner}");
            assert!(crate::selection::KNOWN.iter().all(|known| known.name != *owner), "{begins}: {owner}");
        }
    }
}
