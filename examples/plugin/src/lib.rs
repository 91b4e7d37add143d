//! `Price`: cheap nodes first, and none that is too dear. An example of a plugin in a crate of its own;
//! `docs/write-a-plugin.md` walks through it.
//!
//! A node's price is its label `example.com/price`: a whole number, for example cents per month. Nodes without one, or
//! with one that is no number, count as free: a label that somebody mistyped must not keep pods from running.

use headroom_engine::{
    Registry,
    cache::NodeInfo,
    config::decode_args,
    framework::{
        Actions, ArgsError, Change, EventResource, Hint, Interest, MAX_NODE_SCORE, Plugin, PodInfo, Point, Points,
        Status, View,
    },
};
use serde::Deserialize;
use serde_json::Value;

/// The name in configuration files, messages and metrics.
pub const NAME: &str = "Price";
/// The label that holds the price.
pub const LABEL: &str = "example.com/price";
/// Weight in the default profile, unless a configuration says otherwise.
const WEIGHT: i32 = 2;
/// What a pod reads in its event when it waits because of this plugin.
const TOO_DEAR: &str = "node(s) were too expensive";

/// Adds the plugin to a registry, at the end of the default set.
pub fn register(registry: &mut Registry) {
    registry.with_args(NAME, WEIGHT, Price::from_args);
}

/// `pluginConfig[].args`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Args {
    /// Nodes above this price take no pods.
    max_price: Option<i64>,
}

/// The plugin: its arguments, and nothing that changes.
#[derive(Debug)]
pub struct Price {
    most: i64,
}

impl Price {
    /// From the arguments of the configuration.
    ///
    /// # Errors
    /// Unknown fields, or a negative price: the message names the field.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let args: Args = decode_args(args, "PriceArgs")?;
        match args.max_price {
            Some(price @ ..0) => {
                Err(ArgsError::at("maxPrice", format!("{price} is not allowed: must not be negative")))
            }
            most => Ok(Self { most: most.unwrap_or(i64::MAX) }),
        }
    }
}

fn price(node: &NodeInfo) -> i64 {
    node.node.meta.labels.get(LABEL).and_then(|text| text.parse().ok()).unwrap_or(0).max(0)
}

impl Plugin for Price {
    // Nothing is computed once per cycle, so there is no state to hand from PreFilter to Filter, or PreScore to Score.
    type Filter = ();
    type Score = ();
    /// The price.
    type Raw = i64;
    /// The highest price among the nodes that are left.
    type Bounds = i64;

    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Filter, Point::Score])
    }

    /// What can make a pod schedulable that this plugin turned away: a new node, or a new label on an old one.
    fn events(&self) -> Vec<Interest> {
        vec![Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_LABEL))]
    }

    /// Of these events, only those are worth another attempt that bring an affordable node.
    fn hint(&self, change: &Change, _: &PodInfo, _: &View<'_>) -> Hint {
        match change {
            Change::Node { new: Some(node), .. } if price(&NodeInfo::new(node.clone())) > self.most => Hint::Skip,
            _ => Hint::Queue,
        }
    }

    fn filter(&self, (): &(), _: &PodInfo, node: &NodeInfo) -> Status {
        // Unresolvable: evicting pods from this node would not make it cheaper, so that preemption leaves it alone.
        if price(node) > self.most { Status::unresolvable(TOO_DEAR) } else { Status::SUCCESS }
    }

    fn score(&self, (): &(), _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        Ok(price(node))
    }

    fn bound(&self, highest: &mut i64, raw: &i64) {
        *highest = (*highest).max(*raw);
    }

    /// The dearest node gets 0, a free one 100.
    fn normalize(&self, raw: &i64, highest: &i64) -> i64 {
        match *highest {
            0 => MAX_NODE_SCORE,
            // In 128 bits: labels are written by people.
            highest => {
                let share = i128::from(MAX_NODE_SCORE) * i128::from(*raw) / i128::from(highest);
                MAX_NODE_SCORE - i64::try_from(share).unwrap_or(MAX_NODE_SCORE)
            }
        }
    }
}

#[cfg(test)]
mod tests;
