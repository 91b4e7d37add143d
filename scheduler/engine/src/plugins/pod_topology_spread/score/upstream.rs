//! Upstream's tables of what PreScore counts (`scoring_test.go`): `TestPreScoreSkip` and `TestPreScoreStateEmptyNodes`.

use std::sync::Arc;

use headroom_core::{
    object::{NodeInclusion, TopologySpreadConstraint, WorkloadKind},
    testing::{PodBuilder, pod, spread, workload},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    cache::NodeInfo,
    framework::{Plugin, PreScore},
    plugins::{
        between_pods::{cluster, nodes_of, requiring, tagged, view},
        pod_topology_spread::PodTopologySpread,
    },
};

/// More domains than any case has.
const MANY: usize = 9;

fn p(labels: &str) -> PodBuilder {
    tagged(pod("p"), labels)
}

fn soft(skew: i32, key: &str, labels: &str) -> TopologySpreadConstraint {
    spread(skew, key, false, labels)
}

fn anywhere(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_affinity: NodeInclusion::Ignore, ..c }
}

fn tolerated(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_taints: NodeInclusion::Honor, ..c }
}

fn listed(constraints: &Value) -> Value {
    json!({"defaultingType": "List", "defaultConstraints": constraints})
}

/// For each constraint its skew, its key and how many domains it counts; then the nodes that are not scored. `host` is
/// short for the key of the host name. The ReplicaSet `rs1` has this selector.
fn counted(args: &Value, p: PodBuilder, nodes: &str, selector: &str) -> String {
    let mut cache = cluster(&nodes_of(&nodes.replace("host=", &format!("{HOSTNAME}="))), &[]);
    cache.workloads_mut().set(Arc::new(workload(WorkloadKind::ReplicaSet, "rs1", selector)));
    let view = view(&cache);
    let feasible: Vec<&NodeInfo> = view.nodes().map(|(_, node)| node).collect();
    let plugin = PodTopologySpread::from_args(Some(args)).unwrap();
    let state = match plugin.pre_score(&PodInfo::new(p.arc()), &feasible, &view) {
        PreScore::Skip => return "skip".to_owned(),
        PreScore::Continue(state) => state,
        PreScore::Fail(status) => panic!("{status}"),
    };
    let mut told: Vec<String> = Vec::new();
    for part in &state.parts {
        let size = (0..MANY).find(|size| part.weight == libm::log((size + 2) as f64)).unwrap();
        told.push(format!("{}/{}:{size}", part.tolerated + 1.0, part.domains.key()));
    }
    for node in feasible {
        match score(&state, node.slot) {
            None => told.push(format!("not {}", node.name)),
            // Without pods the skew alone counts, of the constraints whose label the node has.
            Some(sum) => {
                let here = state.parts.iter().filter(|part| part.domains.of(node.slot) != 0);
                assert_eq!(sum as f64, here.map(|part| part.tolerated).sum::<f64>());
            }
        }
    }
    told.join(" ").replace(HOSTNAME, "host")
}

/// `TestPreScoreStateEmptyNodes`, constraints of the pod's own.
#[test]
fn domains_of_the_pods_constraints() {
    let (foo, bar) = (|key: &str| soft(1, key, "foo"), |key: &str| soft(1, key, "bar"));
    let nodes = "a:zone=1,host=a b:zone=1,host=b x:zone=2,host=x";
    let some = "a:zone=1,foo,host=a b:zone=1,foo,host=b x:zone=2,host=x";
    let tainted = "a:zone=1,foo,host=a b:zone=1,foo,host=b x!:zone=2,host=x";
    let selecting = || p("foo").node_selector("foo", "");
    for (i, (p, nodes, expected)) in [
        (p("foo").spread(foo("zone")).spread(foo(HOSTNAME)), nodes, "1/zone:2 1/host:3"),
        (p("foo").spread(TopologySpreadConstraint { selector: None, ..foo("zone") }), nodes, "1/zone:2"),
        (
            p("foo").spread(foo("zone")).spread(bar(HOSTNAME)),
            "a:zone=1,host=a b:zone=1,host=b x:host=x",
            "1/zone:1 1/host:2 not x",
        ),
        // Which nodes' pods count has no say in which domains there are.
        (selecting().spread(bar("zone")), some, "1/zone:2"),
        (selecting().spread(anywhere(bar("zone"))), some, "1/zone:2"),
        (requiring(p("foo"), "foo=").spread(bar("zone")), some, "1/zone:2"),
        (requiring(p("foo"), "foo=").spread(anywhere(bar("zone"))), some, "1/zone:2"),
        (p("foo").spread(tolerated(bar("zone"))), tainted, "1/zone:2"),
        (p("foo").spread(bar("zone")), tainted, "1/zone:2"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(counted(&listed(&json!([])), p, nodes, "foo"), expected, "case {i}");
    }
}

/// `TestPreScoreSkip`, and `TestPreScoreStateEmptyNodes` with constraints of the configuration.
#[test]
fn domains_of_the_defaults() {
    let one =
        |skew: i32, key: &str, when: &str| json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when});
    let (hard_one, soft_one) = ("DoNotSchedule", "ScheduleAnyway");
    let owned = |labels: &str| p(labels).owner("ReplicaSet", "rs1", "uid-rs1");
    let system = json!({"defaultingType": "System"});
    for (i, (args, p, nodes, selector, expected)) in [
        (listed(&json!([])), p(""), "a:host=a b:host=b", "foo", "skip"),
        // The pod belongs to a ReplicaSet that is not there.
        (
            listed(&json!([one(2, "planet", soft_one)])),
            p("foo=bar,baz=sup").owner("ReplicaSet", "rs2", "uid-rs2"),
            "a:planet=mars",
            "tar",
            "skip",
        ),
        // Nodes without a zone are a zone of their own.
        (
            system,
            owned("foo=tar,baz=sup"),
            "a:host=a,topology.kubernetes.io/zone=mars b:host=b,topology.kubernetes.io/zone=mars c:host=c d:host=d",
            "foo",
            "3/host:4 5/topology.kubernetes.io/zone:2",
        ),
        (
            listed(&json!([one(1, HOSTNAME, soft_one), one(2, "rack", hard_one), one(2, "planet", soft_one)])),
            owned("foo=tar,baz=sup"),
            "a:rack=rack1,host=a,planet=mars",
            "foo",
            "1/host:1 2/planet:1",
        ),
        (
            listed(&json!([one(2, "galaxy", soft_one)])),
            owned("foo=bar,baz=sup").spread(spread(1, "zone", true, "bar")).spread(soft(2, "planet", "baz=sup")),
            "a:planet=mars,galaxy=andromeda",
            "foo",
            "2/planet:1",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(counted(&args, p, nodes, selector), expected, "case {i}");
    }
}
