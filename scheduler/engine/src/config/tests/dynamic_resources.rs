//! A plugin that can be configured and has next to nothing to say.

use super::*;

/// What stock 1.36.4 writes with `--write-config-to` names DynamicResources, and plugins of others may have arguments.
#[test]
fn what_stock_wrote_is_read() {
    let c = yaml(
        "
profiles:
- schedulerName: default-scheduler
  plugins:
    multiPoint:
      enabled: [{name: PrioritySort, weight: 0}, {name: DynamicResources, weight: 2}, {name: DefaultBinder, weight: 0}]
      disabled: [{name: NodePorts, weight: 0}]
    placementGenerate: {}
    placementScore: {}
  pluginConfig:
  - {name: DynamicResources, args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: DynamicResourcesArgs, filterTimeout: 10s}}
  - {name: SomebodyElses, args: {anything: 1}}
",
    )
    .unwrap();
    assert_eq!(c.profiles[0].plugin_config["DynamicResources"]["filterTimeout"], "10s");
    assert!(!names(&c.build(&Registry::in_tree()).unwrap(), Point::Filter).contains(&"NodePorts"));
}

#[test]
fn dynamic_resources_stays_where_it_is_named() {
    let p = build(
        "
profiles:
- plugins:
    multiPoint:
      disabled: [{name: '*'}]
      enabled: [{name: PrioritySort}, {name: DynamicResources}, {name: DefaultPreemption}, {name: DefaultBinder}]
    filter: {enabled: [{name: DynamicResources}]}
    score: {enabled: [{name: DynamicResources, weight: 2}]}
",
    )
    .unwrap();
    assert_eq!(names(&p, Point::PostFilter), ["DynamicResources", "DefaultPreemption"]);
    assert_eq!(names(&p, Point::PreFilter), ["Unsupported", "DynamicResources"]);
    assert_eq!((names(&p, Point::Filter), names(&p, Point::Score).len()), (vec!["Unsupported"], 0));
    let p = build("profiles: [{plugins: {postFilter: {enabled: [{name: DynamicResources}]}}}]").unwrap();
    assert_eq!(names(&p, Point::PostFilter), ["DynamicResources", "DefaultPreemption"]);
    for (args, expected) in [
        ("{filterTimeout: soon}", "args.filterTimeout: \"soon\" is not a duration"),
        ("{filterTimeout: 10}", "args.filterTimeout: invalid type: integer `10`, expected a string"),
        ("{timeout: 10s}", "args.timeout: unknown field `timeout`"),
        ("{filterTimeout: -1s}", "args.filterTimeout: Invalid value: \"-1s\": must be zero or positive"),
        ("{bindingTimeout: 0s}", "args.bindingTimeout: Invalid value: \"0s\": must be at least 1 second"),
        (
            "{filterTimeout: 0s, bindingTimeout: 500ms}",
            "args.bindingTimeout: Invalid value: \"500ms\": must be at least",
        ),
    ] {
        let error = build(&format!("profiles: [{{pluginConfig: [{{name: DynamicResources, args: {args}}}]}}]"));
        let expected = format!("profiles[0].pluginConfig[0].{expected}");
        assert!(error.as_ref().is_err_and(|e| e.to_string().starts_with(&expected)), "{error:?}");
    }
}
