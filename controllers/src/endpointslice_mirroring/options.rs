//! Upstream's flags and defaults (`cmd/kube-controller-manager/app/options/endpointslicemirroringcontroller.go`, 1.36).

use clap::Args;
use headroom_runtime::process::GoDuration;

/// Flags of the mirroring controller.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Mirroring of Endpoints (endpointslice-mirroring-controller)")]
pub struct MirroringOptions {
    /// Addresses of one subset of Endpoints that are mirrored at most
    #[arg(
        long = "mirroring-max-endpoints-per-subset",
        value_name = "NUMBER",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    pub max_endpoints_per_subset: u16,

    /// How long changes of EndpointSlices are gathered before they are looked at
    #[arg(long = "mirroring-endpointslice-updates-batch-period", value_name = "DURATION", default_value = "0s")]
    pub batch_period: GoDuration,
}

impl Default for MirroringOptions {
    fn default() -> Self {
        Self { max_endpoints_per_subset: 1000, batch_period: GoDuration(std::time::Duration::ZERO) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: MirroringOptions,
    }

    #[test]
    fn defaults_are_upstreams_and_bad_values_are_refused() {
        let parse = |args: &[&str]| Line::try_parse_from(std::iter::once(&"x").chain(args)).map(|l| l.options);
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", MirroringOptions::default()));
        let max = "--mirroring-max-endpoints-per-subset";
        assert_eq!(parse(&[max, "1"]).unwrap().max_endpoints_per_subset, 1);
        for bad in [[max, "0"], [max, "1001"], [max, "-1"]] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
