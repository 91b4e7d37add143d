//! Every field, and what a wrong file is told.

use super::*;

#[test]
fn arguments_alone_and_a_whole_configuration() {
    let alone = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: MemoryHeadroomArgs\nhotPercent: 20\n";
    let expected = Params { hot_percent: 20.0, ..Params::default() };
    assert_eq!(parse(alone), Ok(expected.clone()));
    assert_eq!(parse("hotPercent: 20"), Ok(expected.clone()));
    let whole = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
profiles:
- schedulerName: plain
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: LeastAllocated}}
  - name: MemoryHeadroom
- schedulerName: default-scheduler
  pluginConfig:
  - name: MemoryHeadroom
    args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: MemoryHeadroomArgs, hotPercent: 20}
- schedulerName: third
  pluginConfig:
  - name: MemoryHeadroom
    args: {hotPercent: 30}
";
    assert_eq!(parse(whole), Ok(expected));
    let bare = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    assert_eq!(parse(bare), Ok(Params::default()));
    let wrong = parse(&whole.replace("hotPercent: 20", "hotPercent: 101")).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "profiles[1].pluginConfig[0].args.hotPercent: 101 is not allowed: must be between 0 and 100"
    );
}

#[test]
fn errors_name_file_and_field_in_one_line() {
    for (text, said) in [
        ("hotPercents: 1", "hotPercents: unknown field"),
        ("phi: half", "phi: expected a number, not \"half\""),
        ("kind: Pod", "kind: \"Pod\" is not allowed: must be \"MemoryHeadroomArgs\""),
        ("apiVersion: v1", "apiVersion: \"v1\" is not allowed: must be \"kubescheduler.config.k8s.io/v1\""),
        ("[]", "must be an object of kind MemoryHeadroomArgs or KubeSchedulerConfiguration"),
        ("kind: KubeSchedulerConfiguration", "apiVersion: must be \"kubescheduler.config.k8s.io/v1\""),
        (
            "{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, profiles: {}}",
            "profiles: must be a list",
        ),
        (
            "{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration,\n profiles: [{pluginConfig: x}]}",
            "profiles[0].pluginConfig: must be a list",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), said, "{text}");
    }
    for text in ["phi: 0.5\nphi: 0.6", "{", ""] {
        let wrong = parse(text).unwrap_err().to_string();
        assert!(!wrong.contains('\n'), "{wrong}");
    }
    assert!(parse(&" ".repeat((1 << 20) + 1)).unwrap_err().to_string().contains("larger"));
    let error = load(Some(Path::new("/nowhere/memory.yaml"))).unwrap_err().to_string();
    assert!(error.starts_with("--memory-config /nowhere/memory.yaml: "), "{error}");
    assert_eq!(load(None), Ok(Params::default()));
}
