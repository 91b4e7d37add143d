//! `DynamicResources`: what upstream's plugin of this name says about pods without resource claims, and no more
//! (upstream `plugins/dynamicresources`; reference 3.17, 1.10).
//!
//! Pods with claims are turned away by `Unsupported`. The plugin is here so that a configuration that enables, orders or
//! disables it means the same as with stock, and so that a pod's message is stock's: its PostFilter, which runs before
//! preemption's, adds `no new claims to deallocate`, or, when PreFilter ended before its turn, fails for want of its
//! state and keeps preemption from running.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::{
        decode_args,
        field::{go_duration, invalid},
        parse_duration,
    },
    framework::{ArgsError, Plugin, PodInfo, Point, Points, PostFilter, PostFilterCx, PreFilter, Status, View},
};

/// Its name.
pub const NAME: &str = "DynamicResources";

/// The shortest `bindingTimeout`.
const MIN_BINDING_TIMEOUT: Duration = Duration::from_secs(1);

/// `DynamicResourcesArgs`: checked as upstream does with its default feature gates, and without meaning here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Args {
    filter_timeout: Option<String>,
    binding_timeout: Option<String>,
}

/// A duration that is checked.
struct Timeout {
    /// Absent when it is negative.
    length: Option<Duration>,
    /// As Go prints it, in quotes.
    shown: String,
}

impl Timeout {
    /// Go's notation has a sign; the durations of a configuration otherwise have none.
    fn parse(field: &str, text: &str) -> Result<Self, ArgsError> {
        let unsigned = text.strip_prefix('-');
        // What is no duration is told as it was given.
        let length = parse_duration(unsigned.unwrap_or(text))
            .or_else(|_| parse_duration(text))
            .map_err(|message| ArgsError::at(field, message))?;
        let negative = unsigned.is_some() && !length.is_zero();
        let sign = if negative { "-" } else { "" };
        Ok(Self { length: (!negative).then_some(length), shown: format!("\"{sign}{}\"", go_duration(length)) })
    }
}

/// The plugin.
#[derive(Debug)]
pub struct DynamicResources;

impl DynamicResources {
    /// From `DynamicResourcesArgs`.
    ///
    /// # Errors
    /// Unknown fields, durations that are none or that upstream refuses (`ValidateDynamicResourcesArgs`).
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let args: Args = decode_args(args, "DynamicResourcesArgs")?;
        for (field, text, least, detail) in [
            ("filterTimeout", args.filter_timeout, Duration::ZERO, "must be zero or positive"),
            ("bindingTimeout", args.binding_timeout, MIN_BINDING_TIMEOUT, "must be at least 1 second"),
        ] {
            let Some(text) = text else { continue };
            let timeout = Timeout::parse(field, &text)?;
            if timeout.length.is_none_or(|length| length < least) {
                return Err(ArgsError::at(field, invalid(timeout.shown, detail)));
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
        assert!(DynamicResources::from_args(None).is_ok());
        for (filter, binding) in [("10s", "600s"), ("0s", "1s"), ("-0s", "1m")] {
            let args = json!({"filterTimeout": filter, "bindingTimeout": binding});
            assert!(DynamicResources::from_args(Some(&args)).is_ok(), "{args}");
        }
        for (args, expected) in [
            (json!({"other": 1}), "other: unknown field `other`"),
            (json!({"filterTimeout": "soon"}), "filterTimeout: \"soon\" is not a duration"),
            (json!({"filterTimeout": "-soon"}), "filterTimeout: \"-soon\" is not a duration"),
            (json!({"filterTimeout": "-1500ms"}), "filterTimeout: Invalid value: \"-1.5s\": must be zero or positive"),
            (json!({"bindingTimeout": "0"}), "bindingTimeout: Invalid value: \"0s\": must be at least 1 second"),
            (json!({"bindingTimeout": "999ms"}), "bindingTimeout: Invalid value: \"999ms\": must be at least 1 second"),
            (json!({"bindingTimeout": "-1m"}), "bindingTimeout: Invalid value: \"-1m0s\": must be at least 1 second"),
        ] {
            let error = DynamicResources::from_args(Some(&args)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
