use super::*;

/// Three nodes: one without a network plugin, two of k3s whose pods get no swap, one of these without a threshold.
fn cluster() -> Vec<Value> {
    let no_plugin = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                     message:Network plugin returns error: cni plugin not initialized";
    let no_swap = |name: &str| with(sample(name), json!({"status": {"swap": {"behavior": "NoSwap"}}}));
    vec![
        with(node("worker-1"), ready("False", no_plugin)),
        with(node("worker-2"), k3s()),
        with(node("worker-3"), k3s()),
        no_swap("worker-2"),
        with(no_swap("worker-3"), json!({"status": {"memory": {"evictionHardBytes": 0}}})),
    ]
}

fn all(objects: Vec<Value>) -> Diagnosis {
    let ids: Vec<&str> = checks::all().iter().map(|rule| rule.id).collect();
    diagnosis(&ids, objects)
}

#[test]
fn the_table_says_whom_why_and_what_to_do() {
    let expected = r#"ERROR  cni-missing
  - Node worker-1: NotReady for 12m, its kubelet says "container runtime network
    not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network
    plugin returns error: cni plugin not initialized"; no pod of a known network
    plugin is on it
  Why: Without a network plugin no pod with a network of its own starts on the
  node. The plugin's configuration, its programs or its DaemonSet are missing:
  emptied by a clean-up, or never installed because the distribution's setting
  leaves the plugin out.
  Fix:
    # 1 and 2: on worker-1 itself, is there a configuration, are there programs?
    sudo ls -l /etc/cni/net.d /opt/cni/bin
    # 3: does a pod of the plugin's DaemonSet run there?
    kubectl get pods -A -o wide --field-selector spec.nodeName=worker-1
    # write no configuration by hand: install the plugin (kubeadm: apply its
    # manifest; rancher: network.plugin in cluster.yml)

WARNING  swap-not-given
  - Node worker-2: 2048Mi of swap, none of it for pods (NoSwap)
  - Node worker-3: 2048Mi of swap, none of it for pods (NoSwap)
  Why: NoSwap is the kubelet's default, k3s' included: then only what runs
  outside of pods is swapped out, the kubelet and the system, while pods are
  killed for want of memory with the swap empty.
  Fix (Node worker-2):
    # on worker-2, as root:
    mkdir -p /etc/rancher/k3s/config.yaml.d
    printf '%s\n' 'apiVersion: kubelet.config.k8s.io/v1beta1' \
      'kind: KubeletConfiguration' 'failSwapOn: false' \
      'memorySwap: {swapBehavior: LimitedSwap}' \
      > /etc/rancher/k3s/kubelet.yaml
    echo 'kubelet-arg+: ["config=/etc/rancher/k3s/kubelet.yaml"]' \
      > /etc/rancher/k3s/config.yaml.d/kubelet.yaml
    systemctl restart k3s-agent
    # or it is meant like that:
    kubectl annotate node worker-2 headroom.dev/swap-behavior=NoSwap

INFO  no-eviction-threshold
  - Node worker-3: no memory.available threshold, and no swap for pods
  Why: k3s sets no memory.available threshold. On a node whose pods get no swap
  the kernel then kills whatever it picks, where the kubelet would evict the pod
  that is furthest above its request.
  Fix:
    # on worker-3, as root:
    mkdir -p /etc/rancher/k3s/config.yaml.d
    printf '%s' 'kubelet-arg+: ["eviction-hard=memory.available<5%,' \
      'nodefs.available<5%,imagefs.available<5%"]' \
      > /etc/rancher/k3s/config.yaml.d/eviction.yaml
    systemctl restart k3s-agent

1 error, 2 warnings, 1 info
"#;
    let text = table::table(&all(cluster()));
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(table::table(&all(healthy())), "no findings\n");
}

#[test]
fn wide_has_a_line_for_each() {
    let expected = r#"SEVERITY  ID                     SUBJECT        SUMMARY
error     cni-missing            Node worker-1  NotReady for 12m, its kubelet says "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"; no pod of a known network plugin is on it
warning   swap-not-given         Node worker-2  2048Mi of swap, none of it for pods (NoSwap)
warning   swap-not-given         Node worker-3  2048Mi of swap, none of it for pods (NoSwap)
info      no-eviction-threshold  Node worker-3  no memory.available threshold, and no swap for pods
"#;
    assert_eq!(table::wide(&all(cluster())), expected);
    assert_eq!(table::wide(&all(healthy())), "");
}

#[test]
fn json_for_scripts() {
    let budget = json!({"kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
        "status": {"expectedPods": 2, "desiredHealthy": 2, "disruptionsAllowed": 0}});
    let state = State::from_objects(vec![budget]);
    let ids = ["pdb-blocks-every-move", "cgroup-v1", "cni-missing"];
    let rules: Vec<&'static Rule> = checks::all().into_iter().filter(|rule| ids.contains(&rule.id)).collect();
    let lacking = [lacking("events"), lacking("pods")];
    let diagnosis = diagnosed(&state, at(), &rules, &lacking);
    let expected = r##"{
  "apiVersion": "headroom.dev/v1alpha1",
  "kind": "Diagnosis",
  "at": "2026-11-22T10:00:00Z",
  "findings": [
    {
      "id": "pdb-blocks-every-move",
      "severity": "warning",
      "subject": {
        "kind": "PodDisruptionBudget",
        "namespace": "shop",
        "name": "web"
      },
      "summary": "2 of 2 pods must stay",
      "why": "As many pods must stay as there are. Every eviction is refused: a drain of the node does not end, and nothing can make room by moving them. Deleting the pods goes past the budget.",
      "fix": [
        "# run one replica more than it asks for, or let one go at a time:",
        "kubectl -n shop patch pdb web --type merge -p \\",
        "  '{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":1}}'"
      ]
    }
  ],
  "omitted": [],
  "notChecked": [
    {
      "id": "cni-missing",
      "lacking": [
        "pods"
      ],
      "inPart": true
    },
    {
      "id": "cgroup-v1",
      "lacking": [
        "events"
      ],
      "inPart": false
    }
  ]
}
"##;
    let json = printed(&diagnosis, Output::Json).unwrap();
    assert_eq!(json, expected);
    let yaml: Value = serde_saphyr::from_str(&printed(&diagnosis, Output::Yaml).unwrap()).unwrap();
    assert_eq!(yaml, serde_json::from_str::<Value>(&json).unwrap());
}

fn lacking(plural: &'static str) -> Lacking {
    Lacking { plural, why: format!("you may not list {plural}") }
}

#[test]
fn what_could_not_be_read_is_said_with_its_checks() {
    let rules: Vec<&'static Rule> = checks::all();
    let lacking = [lacking("events"), lacking("events"), lacking("leases"), lacking("services")];
    let diagnosis = diagnosed(&State::from_objects(healthy()), at(), &rules, &lacking);
    assert_eq!(
        notes(&lacking, &diagnosis),
        [
            "you may not list events; left out: foreign-binding, loop-yielded, cgroup-v1",
            "you may not list leases; checked in part: clock-skew",
        ]
    );
}

fn options(args: &[&str]) -> Result<Options, clap::Error> {
    #[derive(Debug, clap::Parser)]
    struct Top {
        #[command(flatten)]
        options: Options,
    }
    let parsed = <Top as clap::Parser>::try_parse_from(std::iter::once("x").chain(args.iter().copied()));
    parsed.map(|top| top.options)
}

#[test]
fn checks_are_chosen_by_name_and_severity() {
    let ids = |args: &[&str]| options(args).unwrap().rules().iter().map(|rule| rule.id).collect::<Vec<_>>();
    assert_eq!(ids(&[]).len(), checks::all().len());
    assert_eq!(ids(&["--only", "max-pods,cni-missing"]), ["cni-missing", "max-pods"]);
    assert_eq!(ids(&["--only", "max-pods", "--only", "cni-missing"]), ["cni-missing", "max-pods"]);
    assert_eq!(ids(&["--only", "max-pods,cni-missing", "--severity", "error"]), ["cni-missing"]);
    assert!(options(&["--severity", "warning"]).unwrap().rules().iter().all(|rule| rule.severity <= Severity::Warning));
    let refused = options(&["--only", "cni-mising"]).unwrap_err().to_string();
    assert!(refused.contains("there is no check \"cni-mising\""), "{refused}");
    assert!(options(&["--snapshot", "f", "--context", "c"]).is_err());
    assert!(options(&["--at", "yesterday"]).is_err());
}

#[test]
fn the_list_fits_80_columns() {
    let list = table::list(&checks::all());
    assert_eq!(list.lines().count(), checks::all().len() + 1);
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
}

#[test]
fn exit_status_says_whether_there_are_findings() {
    let run = |objects: Vec<Value>, args: &[&str]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({"kind": "List", "items": objects}).to_string()).unwrap();
        let snapshot = format!("--snapshot={}", file.path().display());
        let options = options(&[&[snapshot.as_str()], args].concat()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        format!("{:?}", runtime.block_on(run(&options)).unwrap())
    };
    let code = |code: u8| format!("{:?}", ExitCode::from(code));
    assert_eq!(run(healthy(), &[]), code(0));
    for output in ["table", "wide", "json", "yaml"] {
        assert_eq!(run(cluster(), &["-o", output]), code(2), "{output}");
    }
    assert_eq!(run(cluster(), &["--only", "max-pods"]), code(0));
    assert_eq!(run(cluster(), &["--list"]), code(0));
}
