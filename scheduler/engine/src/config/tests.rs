use super::*;
use crate::framework::{Profiles, Registry};

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
            ("NodeResourcesBalancedAllocation", 1),
            ("MemoryHeadroom", 3)
        ]
    );
    assert_eq!(names(&p, Point::QueueSort), ["PrioritySort"]);
    assert_eq!(names(&p, Point::Bind), ["DefaultBinder"]);
    assert_eq!(names(&p, Point::PreEnqueue), ["SchedulingGates"]);
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
        [("NodeResourcesFit", 5), ("TaintToleration", 3), ("NodeAffinity", 2), ("MemoryHeadroom", 3)],
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
        ("parallelism: 0", "parallelism: 0 is not allowed: must be at least 1"),
        ("paralelism: 1", "paralelism: unknown field `paralelism`, expected one of `apiVersion`"),
        ("profiles: [{plugins: {score: {enabled: [{nam: X}]}}}]", "profiles[0].plugins.score.enabled[0]"),
        ("podMaxBackoffSeconds: 0", "podMaxBackoffSeconds: 0 is not allowed: must be at least 1"),
        ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: 101 is not allowed: must be between 0 and 100"),
        (
            "leaderElection: {leaseDuration: 15}",
            "leaderElection.leaseDuration: invalid type: integer `15`, expected a string",
        ),
        ("leaderElection: {leaseDuration: 5s}", "leaderElection.leaseDuration: must be longer than renewDeadline"),
        (
            "leaderElection: {resourceLock: endpoints}",
            "leaderElection.resourceLock: \"endpoints\" is not supported: must be \"leases\"",
        ),
        ("extenders: [{urlPrefix: http://x}]", "extenders: extenders are not supported yet: remove them"),
        ("profiles: [{}, {}]", "profiles[0].schedulerName: must be given when there are several profiles"),
        ("profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles[1].schedulerName: \"a\" is there twice"),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodeNmae}]}}}]",
            "profiles[0].plugins.score.enabled[0].name: there is no plugin \"NodeNmae\": must be one of ",
        ),
        (
            "profiles: [{plugins: {multiPoint: {enabled: [{name: PodTopologySpread}]}}}]",
            "profiles[0].plugins.multiPoint.enabled[0].name: plugin \"PodTopologySpread\" is not supported yet: remove it",
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
            "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {}}]}]",
            "profiles[0].pluginConfig: plugin \"InterPodAffinity\" is not supported yet: remove it",
        ),
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
