//! `DynamicResources`: what upstream's plugin of this name says about pods without resource claims, and no more
//! (upstream `plugins/dynamicresources`; reference 3.17, 1.10).
//!
//! Pods with claims are turned away by `Unsupported`. The plugin is here so that a configuration that enables, orders or
//! disables it means the same as with stock, and so that a pod's message is stock's: its PostFilter, which runs before
//! preemption's, adds `no new claims to deallocate`, or, when PreFilter ended before its turn, fails for want of its
//! state and keeps preemption from running.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::decode_args,
    framework::{ArgsError, Plugin, PodInfo, Point, Points, PostFilter, PostFilterCx, PreFilter, Status, View},
};

/// Its name.
pub const NAME: &str = "DynamicResources";

/// `DynamicResourcesArgs`: accepted, and without meaning here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Args {
    filter_timeout: Option<String>,
    binding_timeout: Option<String>,
}

/// The plugin.
#[derive(Debug)]
pub struct DynamicResources;

impl DynamicResources {
    /// From `DynamicResourcesArgs`.
    ///
    /// # Errors
    /// Unknown fields, durations that are none.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let args: Args = decode_args(args, "DynamicResourcesArgs")?;
        for (field, text) in [("filterTimeout", args.filter_timeout), ("bindingTimeout", args.binding_timeout)] {
            if let Some(text) = text
                && let Err(message) = crate::config::parse_duration(&text)
            {
                return Err(ArgsError::at(field, message.to_string()));
            }
        }
        Ok(Self)
    }
}

impl Plugin for DynamicResources {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::PostFilter])
    }

    fn pre_filter(&self, _: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        PreFilter::Continue(())
    }

    fn post_filter(&self, _: &PodInfo, cx: &PostFilterCx<'_>) -> PostFilter {
        if !cx.has_pre_filtered(NAME) {
            return PostFilter::failed(Status::error("not found"));
        }
        PostFilter::failed(Status::unschedulable("no new claims to deallocate"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_upstreams() {
        assert!(DynamicResources::from_args(Some(&json!({"filterTimeout": "10s", "bindingTimeout": "600s"}))).is_ok());
        for (args, path) in [(json!({"filterTimeout": "soon"}), "filterTimeout"), (json!({"other": 1}), "other")] {
            assert!(DynamicResources::from_args(Some(&args)).unwrap_err().to_string().contains(path));
        }
    }
}
