//! Upstream's flag and default (`cmd/kube-controller-manager/app/options/podgccontroller.go`, 1.36).

use clap::Args;

/// Flags of the pod garbage collector.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pod garbage collector (pod-garbage-collector-controller)")]
pub struct PodGcOptions {
    /// Pods that have ended and may stay; beyond that the oldest are deleted. Up to 0: all may stay
    #[arg(long, value_name = "PODS", default_value_t = 12500, allow_negative_numbers = true)]
    pub terminated_pod_gc_threshold: i32,
}

impl Default for PodGcOptions {
    fn default() -> Self {
        Self { terminated_pod_gc_threshold: 12500 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: PodGcOptions,
    }

    #[test]
    fn defaults_are_upstreams_and_bad_values_are_refused() {
        let parse = |args: &[&str]| Line::try_parse_from(std::iter::once(&"x").chain(args)).map(|l| l.options);
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", PodGcOptions::default()));
        let flag = "--terminated-pod-gc-threshold";
        assert_eq!(parse(&[flag, "-1"]).unwrap().terminated_pod_gc_threshold, -1);
        assert_eq!(parse(&[&format!("{flag}=100")]).unwrap().terminated_pod_gc_threshold, 100);
        for bad in ["many", "3000000000", "1.5"] {
            assert!(parse(&[flag, bad]).is_err(), "{bad}");
        }
    }
}
