use super::*;
use crate::framework::{Profiles, Registry};

mod dynamic_resources;

fn yaml(body: &str) -> Result<Configuration, ConfigError> {
    Configuration::from_yaml(&format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}"))
}

fn build(body: &str) -> Result<Profiles, ConfigError> {
    yaml(body)?.build(&Registry::in_tree())
}

fn names(profiles: &Profiles, point: Point) -> Vec<&'static str> {
    profiles.all()[0].plugins_at(point).map(|(name, _)| name).collect()
}

#[test]
fn nothing_given_means_defaults() {
    assert_eq!(yaml("").unwrap(), Configuration::default());
    let p = build("").unwrap();
    assert_eq!(
        names(&p, Point::Filter),
        [
            "Unsupported",
            "NodeUnschedulable",
            "NodeName",
            "TaintToleration",
            "NodeAffinity",
            "NodePorts",
            "NodeResourcesFit",
            "VolumeRestrictions",
            "NodeVolumeLimits",
            "VolumeBinding",
            "VolumeZone",
            "PodTopologySpread",
            "InterPodAffinity",
            "NodeDeclaredFeatures",
            "MemoryHeadroom"
        ]
    );
    let scores: Vec<_> = p.all()[0].plugins_at(Point::Score).collect();
    assert_eq!(
        scores,
        [
            ("TaintToleration", 3),
            ("NodeAffinity", 2),
            ("NodeResourcesFit", 1),
            ("PodTopologySpread", 2),
            ("InterPodAffinity", 2),
            ("NodeResourcesBalancedAllocation", 1),
            ("ImageLocality", 1),
            ("MemoryHeadroom", 3)
        ]
    );
    assert_eq!(names(&p, Point::QueueSort), ["PrioritySort"]);
    assert_eq!(names(&p, Point::Bind), ["DefaultBinder"]);
    assert_eq!(names(&p, Point::PreEnqueue), ["SchedulingGates", "DefaultPreemption"]);
    assert_eq!(names(&p, Point::PostFilter), ["DynamicResources", "DefaultPreemption"]);
}

#[test]
fn a_usual_bin_packing_profile() {
    let p = build(
        "
profiles:
- schedulerName: default-scheduler
  plugins:
    score:
      disabled: [{name: NodeResourcesBalancedAllocation}, {name: ImageLocality}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy:
        type: MostAllocated
        resources: [{name: cpu, weight: 1}, {name: memory, weight: 3}]
",
    )
    .unwrap();
    let scores: Vec<_> = p.all()[0].plugins_at(Point::Score).collect();
    assert_eq!(
        scores,
        [
            ("NodeResourcesFit", 5),
            ("TaintToleration", 3),
            ("NodeAffinity", 2),
            ("PodTopologySpread", 2),
            ("InterPodAffinity", 2),
            ("MemoryHeadroom", 3)
        ],
        "explicitly enabled ones come first"
    );
}

#[test]
fn multi_point_merges_in_place() {
    let p = build(
        "
profiles:
- plugins:
    multiPoint:
      disabled: [{name: MemoryHeadroom}]
      enabled: [{name: TaintToleration, weight: 9}]
    filter:
      disabled: [{name: NodePorts}]
",
    )
    .unwrap();
    let scores: Vec<_> = p.all()[0].plugins_at(Point::Score).collect();
    assert_eq!(scores[0], ("TaintToleration", 9));
    assert!(!names(&p, Point::Filter).contains(&"MemoryHeadroom"));
    assert!(!names(&p, Point::Filter).contains(&"NodePorts"));
    assert!(names(&p, Point::PreFilter).contains(&"NodePorts"));
    let p = build(
        "
profiles:
- plugins:
    multiPoint:
      disabled: [{name: '*'}]
      enabled: [{name: PrioritySort}, {name: DefaultBinder}, {name: NodeName}]
",
    )
    .unwrap();
    assert_eq!(names(&p, Point::Filter), ["Unsupported", "NodeName"]);
}

#[test]
fn everything_that_is_read() {
    let c = yaml(
        "
parallelism: 4
leaderElection: {leaderElect: false, leaseDuration: 30s, renewDeadline: 20s, retryPeriod: 4s, resourceLock: leases, resourceName: x, resourceNamespace: z}
clientConnection: {kubeconfig: /etc/k.conf, qps: 200, burst: 400, contentType: application/json, acceptContentTypes: ''}
percentageOfNodesToScore: 50
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
enableProfiling: false
enableContentionProfiling: false
delayCacheUntilActive: true
profiles: [{schedulerName: a}, {schedulerName: b, percentageOfNodesToScore: 10}]
",
    )
    .unwrap();
    assert_eq!((c.parallelism, c.profiles.len(), c.pod_max_backoff.as_secs()), (4, 2, 20));
    assert_eq!((c.leader_election.lease_duration.as_secs(), c.leader_election.leader_elect), (30, false));
    assert_eq!((c.client_connection.kubeconfig.as_str(), c.client_connection.burst), ("/etc/k.conf", Some(400)));
}

#[test]
fn what_is_wrong_is_named() {
    for (body, expected) in [
        ("parallelism: many", "parallelism: invalid type: string \"many\", expected i32"),
        ("parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        ("paralelism: 1", "paralelism: unknown field `paralelism`, expected one of `apiVersion`"),
        ("profiles: [{plugins: {score: {enabled: [{nam: X}]}}}]", "profiles[0].plugins.score.enabled[0]"),
        (
            "podMaxBackoffSeconds: 0",
            "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to PodInitialBackoffSeconds",
        ),
        ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        (
            "leaderElection: {leaseDuration: 15}",
            "leaderElection.leaseDuration: invalid type: integer `15`, expected a string",
        ),
        (
            "leaderElection: {leaseDuration: 5s}",
            "leaderElection.leaseDuration: Invalid value: \"10s\": must be greater than `RenewDeadline`",
        ),
        (
            "leaderElection: {resourceLock: endpoints}",
            "leaderElection.resourceLock: Invalid value: \"endpoints\": resourceLock value must be \"leases\"",
        ),
        ("profiles: [{}, {}]", "profiles[0].schedulerName: Required value"),
        ("profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles[1].schedulerName: Duplicate value: \"a\""),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodeNmae}]}}}]",
            "profiles[0].plugins.score.enabled[0].name: there is no plugin \"NodeNmae\": must be one of ",
        ),
        (
            "profiles: [{plugins: {multiPoint: {enabled: [{name: GangScheduling}]}}}]",
            "profiles[0].plugins.multiPoint.enabled[0].name: plugin \"GangScheduling\" is not supported yet: remove it",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodeName}]}}}]",
            "profiles[0].plugins.score.enabled[0].name: plugin \"NodeName\" does not extend Score",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Most}}}]}]",
            "profiles[0].pluginConfig[0].args.scoringStrategy.type: unknown variant `Most`",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {kind: Other}}]}]",
            "profiles[0].pluginConfig[0].args.kind: \"Other\" is not allowed: must be \"NodeResourcesFitArgs\"",
        ),
        (
            "profiles: [{pluginConfig: [{name: GangScheduling, args: {}}]}]",
            "profiles[0].pluginConfig: plugin \"GangScheduling\" is not supported yet: remove it",
        ),
        ("podInitialBackoffSeconds: -1", "podInitialBackoffSeconds: Invalid value: -1: must be greater than 0"),
        ("clientConnection: {burst: -1}", "clientConnection.burst: Invalid value: -1: must be non-negative"),
        (
            "profiles: [{percentageOfNodesToScore: -1}]",
            "profiles[0].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]",
        ),
        ("healthzBindAddress: 0.0.0.0:10251", "healthzBindAddress: unknown field `healthzBindAddress`"),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: EBSLimits}]}}}]",
            "profiles[0].plugins.filter.enabled[0]: Invalid value: \"EBSLimits\": was invalid in version \"v1\" (KubeSchedulerConfiguration is version \"kubescheduler.config.k8s.io/v1\")",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit}, {name: NodeResourcesFit}]}]",
            "profiles[0].pluginConfig[1]: Duplicate value: \"NodeResourcesFit\"",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodeResourcesFit}, {name: NodeResourcesFit}]}}}]",
            "profiles[0].plugins.score.enabled[1].name: Duplicate value: \"NodeResourcesFit\"",
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: b, plugins: {queueSort: {enabled: [{name: X}]}}}]",
            "profiles[1].plugins.queueSort: Invalid value: \"X\": must be the same for all profiles",
        ),
        (
            "profiles: [{plugins: {queueSort: {enabled: [{name: A}, {name: B}]}}}]",
            "profiles[0].plugins.queueSort.enabled: Invalid value: 2: only one queue sort plugin can be enabled",
        ),
        (
            "profiles: [{plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}]}}, pluginConfig: [{name: NodeResourcesFit, args: {ignoredResourceGroups: [a/b]}}]}]",
            "profiles[0].pluginConfig[0].args.ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
        ),
        ("extenders: [{filterVerb: f}]", "extenders[0].urlPrefix: Required value"),
        ("extenders: [{urlPrefix: u, verb: f}]", "extenders[0].verb: unknown field `verb`"),
        (
            "extenders: [{urlPrefix: u, prioritizeVerb: p}]",
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        ),
        (
            "extenders: [{urlPrefix: u, managedResources: [{name: cpu}]}]",
            "extenders[0].managedResources[0].name: Invalid value: \"cpu\": is an invalid extended resource name",
        ),
        (
            "extenders: [{urlPrefix: u, managedResources: [{name: a b}]}]",
            "extenders[0].managedResources[0].name: Invalid value: \"a b\": name part must consist of alphanumeric",
        ),
        (
            "extenders: [{urlPrefix: u, managedResources: [{name: x.io/a}, {name: x.io/a}]}]",
            "extenders[0].managedResources[1].name: Invalid value: \"x.io/a\": duplicate extender managed resource name",
        ),
        (
            "extenders: [{urlPrefix: u, bindVerb: b}, {urlPrefix: v, bindVerb: b}]",
            "extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind",
        ),
        ("extenders: [{urlPrefix: u, httpTimeout: 5}]", "extenders[0].httpTimeout: invalid type: integer"),
        (
            "profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]",
            "profiles[0].plugins.bind: at least one plugin must be enabled",
        ),
        (
            "profiles: [{plugins: {queueSort: {disabled: [{name: '*'}]}}}]",
            "profiles[0].plugins.queueSort: exactly one plugin must be enabled, 0 are",
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: b, pluginConfig: [{name: MemoryHeadroom, args: {phi: 0.5}}]}]",
            "profiles[1].pluginConfig: the arguments of MemoryHeadroom must be the same in each profile",
        ),
    ] {
        let error = build(body).expect_err(body).to_string();
        assert!(error.starts_with(expected), "{body}\n  got      {error}\n  expected {expected}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn other_versions_and_kinds() {
    for (text, expected) in [
        ("a: [", "the scheduler's configuration is not valid YAML: "),
        ("kind: KubeSchedulerConfiguration", "apiVersion: must be \"kubescheduler.config.k8s.io/v1\""),
        (
            "apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration",
            "apiVersion: \"kubescheduler.config.k8s.io/v1beta3\" is not supported: must be",
        ),
        ("- a", "must be an object with apiVersion"),
    ] {
        let error = Configuration::from_yaml(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn duplicate_keys_are_refused() {
    assert!(yaml("parallelism: 1\nparallelism: 2").is_err());
}

#[test]
fn everything_with_its_defaults() {
    let registry = Registry::in_tree();
    let text = yaml("").unwrap().to_yaml(&registry).unwrap();
    for line in [
        "  contentType: application/vnd.kubernetes.protobuf",
        "  leaseDuration: 15s",
        "  resourceName: kube-scheduler",
        "parallelism: 16",
        "percentageOfNodesToScore: 0",
        "podMaxBackoffSeconds: 10",
        "enableContentionProfiling: true",
        "        type: LeastAllocated",
        "      kind: MemoryHeadroomArgs",
        "      bindingTimeout: 10m0s",
    ] {
        assert!(text.lines().any(|l| l == line || l.trim_start_matches("- ") == line.trim()), "{line} in\n{text}");
    }
    let given = "
leaderElection: {leaderElect: false, leaseDuration: 90s, retryPeriod: 0s}
clientConnection: {qps: 12.5, kubeconfig: /k}
enableProfiling: false
profiles:
- schedulerName: a
  percentageOfNodesToScore: 7
  plugins:
    multiPoint: {disabled: [{name: NodePorts}], enabled: [{name: TaintToleration, weight: 9}]}
    score: {disabled: [{name: NodeAffinity}], enabled: [{name: NodeResourcesFit, weight: 4}]}
  pluginConfig:
  - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated, resources: [{name: memory}]}}}
  - {name: MemoryHeadroom, args: {phi: 0.5}}
- schedulerName: b
  pluginConfig: [{name: MemoryHeadroom, args: {phi: 0.5}}]
";
    let first = yaml(given).unwrap();
    assert!(!first.enable_contention_profiling, "follows enableProfiling, as upstream");
    let value = first.to_value(&registry);
    assert_eq!(value["leaderElection"]["leaseDuration"], "1m30s");
    assert_eq!(value["clientConnection"]["qps"], 12.5);
    let fit = &value["profiles"][0]["pluginConfig"];
    assert!(fit.to_string().contains(r#"{"name":"memory","weight":1}"#), "{fit}");
    let again = Configuration::from_value(value.clone()).unwrap();
    assert_eq!(again.to_value(&registry), value, "reading it back changes nothing");
    let points = |c: &Configuration| {
        let profiles = c.build(&registry).unwrap();
        Point::ALL.map(|p| profiles.all()[0].plugins_at(p).collect::<Vec<_>>())
    };
    assert_eq!(points(&again), points(&first));
}

#[test]
fn extenders_are_read() {
    let c = yaml(
        "
extenders:
- {urlPrefix: 'http://127.0.0.1:8', filterVerb: f, nodeCacheCapable: true, ignorable: true, enableHTTPS: true,
   tlsConfig: {insecure: true, keyData: c2VjcmV0}, managedResources: [{name: x.io/a, ignoredByScheduler: true}]}
- {urlPrefix: u, prioritizeVerb: p, weight: 3, httpTimeout: 100ms, preemptVerb: e, bindVerb: b}
",
    )
    .unwrap();
    let e = &c.extenders;
    assert_eq!((e[0].http_timeout.as_secs(), e[1].http_timeout.as_millis(), e[1].weight), (5, 100, 3));
    assert!(e[0].node_cache_capable && e[0].ignorable && e[0].tls.as_ref().is_some_and(|t| t.insecure));
    assert_eq!(c.profiles[0].plugin_config["NodeResourcesFit"]["ignoredResources"], serde_json::json!(["x.io/a"]));
    let shown = c.to_value(&Registry::in_tree());
    assert_eq!(shown["extenders"][1]["httpTimeout"], "100ms");
    assert!(!shown.to_string().contains("c2VjcmV0"), "no key in what is shown");
    let profiles = c.build(&Registry::in_tree()).unwrap();
    assert!(
        profiles.all()[0].plugins.iter().any(|p| p.name() == crate::extender::NAME),
        "the queue knows who rejected"
    );
}

/// What Go decodes as not given.
#[test]
fn null_is_not_given() {
    let c = yaml(
        "
parallelism:
leaderElection: {leaseDuration: null, resourceName: ~}
clientConnection:
profiles:
- schedulerName: default-scheduler
  percentageOfNodesToScore: null
  plugins:
    multiPoint: {enabled: [{name: NodeResourcesFit, weight: null}], disabled: }
    score:
    filter: {enabled: null, disabled: null}
  pluginConfig:
  - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated, resources: null}, ignoredResources: }}
  - {name: NodeAffinity, args: }
  - {name: MemoryHeadroom, args: {phi: null}}
extenders:
- {urlPrefix: u, filterVerb: f, weight: null, tlsConfig: {insecure: null, caFile: }, managedResources: null}
",
    )
    .unwrap();
    assert_eq!((c.parallelism, &c.leader_election), (16, &LeaderElection::default()));
    assert_eq!((c.extenders[0].weight, c.extenders[0].managed_resources.len()), (0, 0));
    let profiles = c.build(&Registry::in_tree()).unwrap();
    assert!(names(&profiles, Point::Score).contains(&"NodeResourcesFit"));
    // An entry of a list is there, whatever it is.
    assert!(yaml("profiles: [null]").is_err());
}
