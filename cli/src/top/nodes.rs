//! `top nodes`.

use std::cmp::Reverse;

use clap::{Args, ValueEnum};
use headroom_api::{NodeHeadroom, State};
use headroom_runtime::wire::time::parse_rfc3339;
use kube::ResourceExt;

use super::{
    Common, Item, Shown,
    read::Samples,
    table::{UNKNOWN, age, bytes, number, of},
};

/// Flags of `top nodes`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Names of nodes; all of them if not given
    names: Vec<String>,
    /// What comes first: the fullest, the most swapped, the most pressed
    #[arg(long, value_enum, default_value = "name")]
    sort_by: SortBy,
    /// Only nodes that are in this state or in a worse one
    #[arg(long, value_enum, ignore_case = true, value_name = "STATE")]
    state: Option<AtLeast>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortBy {
    Name,
    /// Least headroom first
    Headroom,
    /// Most RAM in use first
    Ram,
    Swap,
    /// Most memory that belongs to no pod first
    System,
    Pressure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AtLeast {
    Calm,
    Elevated,
    Hot,
    Thrash,
}

impl AtLeast {
    const fn state(self) -> State {
        match self {
            Self::Calm => State::Calm,
            Self::Elevated => State::Elevated,
            Self::Hot => State::Hot,
            Self::Thrash => State::Thrash,
        }
    }
}

/// Some task waited for memory, percent of the last minute.
fn pressure(node: &NodeHeadroom) -> Option<f64> {
    node.status.as_ref()?.memory.pressure.as_ref()?.some.as_ref()?.avg60
}

impl Options {
    fn has(&self, samples: &Samples, node: &NodeHeadroom) -> bool {
        let name = node.name_any();
        (self.names.is_empty() || self.names.contains(&name))
            && samples.selected.as_ref().is_none_or(|names| names.contains(&name))
            && self.state.is_none_or(|least| {
                node.status.as_ref().is_some_and(|s| s.observed_at.is_some() && s.state >= least.state())
            })
    }

    fn sort(&self, nodes: &mut [&NodeHeadroom]) {
        nodes.sort_by_key(|node| node.name_any());
        let status = |node: &NodeHeadroom| node.status.clone().unwrap_or_default();
        // What is not known comes last; so it does in reverse, since `None` is the smallest.
        match self.sort_by {
            SortBy::Name => {}
            SortBy::Headroom => {
                nodes.sort_by_key(|node| (status(node).headroom_bytes.is_none(), status(node).headroom_bytes));
            }
            SortBy::Ram => nodes.sort_by_key(|node| Reverse(status(node).memory.working_set_bytes)),
            SortBy::Swap => nodes.sort_by_key(|node| Reverse(status(node).swap.used_bytes)),
            SortBy::System => nodes.sort_by_key(|node| Reverse(status(node).memory.system_overhead_bytes)),
            SortBy::Pressure => nodes.sort_by(|a, b| {
                let of = |node: &NodeHeadroom| pressure(node).unwrap_or(-1.0);
                of(b).total_cmp(&of(a))
            }),
        }
    }
}

fn item(node: &NodeHeadroom, samples: &Samples, wide: bool) -> Item {
    let s = node.status.clone().unwrap_or_default();
    let measured = s.observed_at.as_deref().and_then(parse_rfc3339);
    let seconds = measured.map(|at| samples.at.since(at).as_secs());
    let interval = s.interval_seconds.and_then(|n| u64::try_from(n).ok()).unwrap_or(15);
    let aged = match seconds {
        Some(seconds) if seconds > interval.saturating_mul(12) => format!("{} (stale)", age(seconds)),
        Some(seconds) => age(seconds),
        None => UNKNOWN.to_owned(),
    };
    let mut cells = vec![
        node.name_any(),
        of(s.memory.working_set_bytes, s.memory.capacity_bytes),
        bytes(s.headroom_bytes),
        of(s.swap.used_bytes, s.swap.capacity_bytes),
        bytes(s.memory.system_overhead_bytes),
        number(pressure(node), "%"),
        measured.map_or_else(|| UNKNOWN.to_owned(), |_| format!("{:?}", s.state)),
        aged,
    ];
    if wide {
        cells.extend([
            bytes(s.accessible_swap_bytes),
            format!("{:?}", s.swap.behavior),
            number(s.memory.major_faults_per_second, ""),
            number(s.swap.in_pages_per_second, ""),
            if s.protected { "yes" } else { "no" }.to_owned(),
            format!("{:?}", s.source),
        ]);
    }
    let value = serde_json::to_value(node).unwrap_or_default();
    Item { name: node.name_any(), cells, value }
}

impl Shown for Options {
    fn common(&self) -> &Common {
        &self.common
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn plural(&self) -> &'static str {
        "nodes"
    }

    fn kind(&self) -> &'static str {
        "node"
    }

    fn columns(&self, wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["NODE", "RAM", "HEADROOM", "SWAP", "SYSTEM", "PRESSURE", "STATE", "AGE"];
        if wide {
            columns.extend(["SWAP LEFT", "BEHAVIOR", "FAULTS/S", "SWAP-IN/S", "PROTECTED", "SOURCE"]);
        }
        columns
    }

    fn items(&self, samples: &Samples, nodes: &[NodeHeadroom]) -> Vec<Item> {
        let mut chosen: Vec<&NodeHeadroom> = nodes.iter().filter(|node| self.has(samples, node)).collect();
        self.sort(&mut chosen);
        let wide = self.common.output == super::Output::Wide;
        chosen.into_iter().map(|node| item(node, samples, wide)).collect()
    }
}
