//! Every field, and what a wrong file is told.

use serde_json::json;

use super::*;

/// Name, a value that can be used, one that cannot.
fn table() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("freshSeconds", json!(30), json!(0)),
        ("staleSeconds", json!(200), json!(10)),
        ("driftPerMinute", json!(0.1), json!(2)),
        ("driftMax", json!(0.2), json!(-1)),
        ("floorFraction", json!(0), json!("a lot")),
        ("floorMinBytes", json!("65Mi"), json!(-1)),
        ("floorMaxBytes", json!("513Mi"), json!("1Mi")),
        ("floorOverEvictionBytes", json!("33Mi"), json!("x")),
        ("defaultDemandBytes", json!("100Mi"), json!(-1)),
        ("defaultDemandMinBytes", json!("65Mi"), json!("2Pi")),
        ("defaultDemandMaxBytes", json!("300Mi"), json!(0)),
        ("marginFraction", json!(1.2), json!(0.5)),
        ("marginMinBytes", json!(1_048_576), json!(1.5)),
        ("historySamples", json!(5), json!(0)),
        ("historySeconds", json!(100), json!(-1)),
        ("halfLifeSeconds", json!(3600), json!(59)),
        ("warmupSeconds", json!(60), json!("120")),
        ("warmupUnreadySeconds", json!(400), json!(119)),
        ("phi", json!(0.5), json!(1.1)),
        ("deltaF", json!(0.4), json!(-0.1)),
        ("deltaS", json!(0.2), json!(2)),
        ("h", json!(0.7), json!([0.7])),
        ("deltaFHdd", json!(0.1), json!(1.5)),
        ("hHdd", json!(0.9), json!(1.5)),
        ("pressurePenaltySlope", json!(5), json!(101)),
        ("pressurePenaltyCap", json!(50), json!(101)),
        ("swapDebtPenalty", json!(5), json!(101)),
        ("hotPercent", json!(20), json!(101)),
        ("leavePercent", json!(4), json!(-1)),
        ("leaveSeconds", json!(30), json!(-1)),
        ("thrashPercent", json!(20), json!(101)),
        ("thrashPagesPerSecond", json!(500), json!(2e9)),
        ("coolDownSeconds", json!(60), json!(1_000_000_000)),
        ("escapeSeconds", json!(60), json!(1.5)),
        ("controlPlanePodFraction", json!(0.2), json!(2)),
        ("controlPlaneSwapFraction", json!(0.1), json!(2)),
        ("controlPlanePsiPercent", json!(2), json!(101)),
        ("controlPlaneReserveBytes", json!("128Mi"), json!("-1")),
        ("controlPlaneReserveFraction", json!(0.5), json!(2)),
        ("exemptCriticalPods", json!(false), json!("yes")),
        ("latencyCriticalPriority", json!(1000), json!(3_000_000_000_i64)),
        ("enforcement", json!("Score"), json!("Advise")),
    ]
}

fn one(name: &str, value: &Value) -> Result<Params, Wrong> {
    args(&Map::from_iter([(name.to_owned(), value.clone())]))
}

#[test]
fn every_field_is_read_and_checked() {
    let (mut all, mut seen) = (Map::new(), Vec::new());
    for (name, good, bad) in table() {
        let params = one(name, &good).unwrap();
        assert_ne!(params, Params::default(), "{name}");
        assert!(!seen.contains(&params), "{name} sets what another one sets");
        seen.push(params);
        let wrong = one(name, &bad).unwrap_err();
        assert_eq!(wrong.field, name, "{wrong}");
        assert_eq!(one(name, &Value::Null), Ok(Params::default()), "as if it were not given");
        all.insert(name.to_owned(), good);
    }
    let text = Value::Object(all).to_string();
    assert!(parse(&text).is_ok_and(|all| !seen.contains(&all)));
    assert_eq!(one("phi", &json!(0.5)), Ok(Params { phi: 0.5, ..Params::default() }));
    assert_eq!(one("latencyCriticalPriority", &json!(7)).unwrap().latency_critical_priority, Some(7));
}

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
